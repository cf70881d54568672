//! The counts of several devices for one entry: the smallest, the mean and the largest.

use super::CostCounts;

/// The counts of several devices, without the devices. Its size does not grow with their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountSpread {
    devices: u64,
    least: CostCounts,
    sum: CostCounts,
    most: CostCounts,
}

/// One count of several devices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The smallest count of a device.
    pub min: u64,
    /// The mean over the devices.
    pub mean: f64,
    /// The largest count of a device.
    pub max: u64,
}

impl CountSpread {
    /// Adds the counts of one device.
    pub fn add(&mut self, counts: CostCounts) {
        self.add_many(counts, 1);
    }

    /// Adds several devices with the same counts.
    pub fn add_many(&mut self, counts: CostCounts, devices: u64) {
        if devices == 0 {
            return;
        }
        self.least = if self.devices == 0 { counts } else { self.least.combined(counts, u64::min) };
        self.most = self.most.combined(counts, u64::max);
        self.sum += counts.times(devices);
        self.devices += devices;
    }

    /// Adds further counts of the same devices. The smallest and largest counts become bounds,
    /// because the device with one extreme need not have the other.
    pub(crate) fn beside(mut self, other: &Self) -> Self {
        self.least += other.least;
        self.sum += other.sum;
        self.most += other.most;
        self
    }

    /// The number of devices.
    #[must_use]
    pub fn devices(&self) -> u64 {
        self.devices
    }

    /// The counts of all devices together.
    #[must_use]
    pub fn sum(&self) -> CostCounts {
        self.sum
    }

    /// Each count by its [name](CostCounts::named). [`None`] if there is no device.
    #[must_use]
    pub fn named(&self) -> Option<[Spread; 16]> {
        let (least, sum, most) = (self.least.named(), self.sum.named(), self.most.named());
        (self.devices > 0).then(|| {
            std::array::from_fn(|at| Spread {
                min: least[at].1,
                mean: sum[at].1 as f64 / self.devices as f64,
                max: most[at].1,
            })
        })
    }
}
