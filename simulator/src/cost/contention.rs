//! The contention of a run: commits that lost a race, and the delays of the changes behind them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::CostCounts;

/// The number of a device: its place in the list of members of the scenario.
type DeviceNumber = usize;

/// The commits and intents of a run so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contention {
    devices: BTreeMap<DeviceNumber, CommitsOfDevice>,
    wasted_bytes: u64,
    wasted: CostCounts,
    /// The lost attempts of each intent that was carried out or became void.
    attempts: Total,
    /// The seconds from each first attempt or proposal to the commit that carried it out.
    waits: Total,
    /// The times of the proposals that wait.
    proposals: Vec<u64>,
}

/// The commits of a device.
#[derive(Clone, Copy, Debug, Default)]
struct CommitsOfDevice {
    ordered: u64,
    lost: u64,
    /// The intent that the device has not carried out yet.
    open: Option<OpenIntent>,
}

/// An intent with a first attempt.
#[derive(Clone, Copy, Debug)]
struct OpenIntent {
    since: u64,
    lost: u64,
}

/// The number, the sum and the largest of several values.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    count: u64,
    sum: u64,
    most: u64,
}

/// The contention of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ContentionFigures {
    /// The commits that devices submitted, external ones included.
    pub commits: u64,
    /// The commits that the service did not order, because another commit had ended their epoch.
    pub lost: u64,
    /// The bytes of the lost commits, with their welcomes and group infos.
    pub wasted_bytes: u64,
    /// The operations that made the lost commits.
    pub wasted_operations: CostCounts,
    /// The mean number of lost attempts of an intent.
    pub lost_attempts_mean: f64,
    /// The largest number of lost attempts of one intent: the worst starvation.
    pub lost_attempts_max: u64,
    /// The mean time from the first attempt, or from a proposal, to the commit that carries it out,
    /// in seconds of virtual time.
    pub wait_mean_s: f64,
    /// The longest such time.
    pub wait_max_s: u64,
    /// Jain's index of fairness over the devices that submitted commits, of the share of their
    /// commits that the service ordered: 1 if all have the same share, 1/n if one of n has
    /// everything. Not set if no device submitted a commit.
    pub fairness: Option<f64>,
}

impl Total {
    fn add(&mut self, value: u64) {
        self.count += 1;
        self.sum += value;
        self.most = self.most.max(value);
    }

    fn pool(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.most = self.most.max(other.most);
    }

    fn mean(self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }
}

impl Contention {
    /// A device has submitted a commit too late. The commit had this size, with the messages beside
    /// it, and its making had these costs.
    pub(crate) fn lost(&mut self, device: DeviceNumber, now: u64, bytes: u64, made: CostCounts) {
        let device = self.devices.entry(device).or_default();
        device.lost += 1;
        device.open.get_or_insert(OpenIntent { since: now, lost: 0 }).lost += 1;
        self.wasted_bytes += bytes;
        self.wasted += CostCounts { calls: 0, ..made };
    }

    /// The service has ordered the commit of a device. The commit ends its epoch, and carries out
    /// the proposals of the epoch.
    pub(crate) fn ordered(&mut self, device: DeviceNumber, now: u64) {
        let device = self.devices.entry(device).or_default();
        device.ordered += 1;
        let OpenIntent { since, lost } = device.open.take().unwrap_or(OpenIntent { since: now, lost: 0 });
        self.attempts.add(lost);
        self.waits.add(now.saturating_sub(since));
        for since in self.proposals.drain(..) {
            self.waits.add(now.saturating_sub(since));
        }
    }

    /// The intent of a device is void.
    pub(crate) fn void(&mut self, device: DeviceNumber) {
        if let Some(intent) = self.devices.get_mut(&device).and_then(|device| device.open.take()) {
            self.attempts.add(intent.lost);
        }
    }

    /// The service has ordered a proposal.
    pub(crate) fn proposed(&mut self, now: u64) {
        self.proposals.push(now);
    }

    /// Adds the contention of another group. The intents and proposals that wait do not count.
    pub(crate) fn pool(&mut self, other: &Self) {
        for (device, commits) in &other.devices {
            let device = self.devices.entry(*device).or_default();
            device.ordered += commits.ordered;
            device.lost += commits.lost;
        }
        self.wasted_bytes += other.wasted_bytes;
        self.wasted += other.wasted;
        self.attempts.pool(other.attempts);
        self.waits.pool(other.waits);
    }

    /// The figures so far.
    pub(crate) fn figures(&self) -> ContentionFigures {
        let (ordered, lost) = self
            .devices
            .values()
            .fold((0, 0), |(ordered, lost), device| (ordered + device.ordered, lost + device.lost));
        let shares = self.devices.values().map(|device| device.ordered as f64 / (device.ordered + device.lost) as f64);
        let (sum, squares) = shares.fold((0.0, 0.0), |(sum, squares), share| (sum + share, squares + share * share));
        let devices = self.devices.len() as f64;
        ContentionFigures {
            commits: ordered + lost,
            lost,
            wasted_bytes: self.wasted_bytes,
            wasted_operations: self.wasted,
            lost_attempts_mean: self.attempts.mean(),
            lost_attempts_max: self.attempts.most,
            wait_mean_s: self.waits.mean(),
            wait_max_s: self.waits.most,
            fairness: (squares > 0.0).then(|| sum * sum / (devices * squares)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> CostCounts {
        CostCounts { calls: 1, hpke_seals: 3, ..CostCounts::default() }
    }

    #[test]
    fn intent_counts_its_lost_attempts_and_its_wait() {
        let mut contention = Contention::default();
        contention.ordered(0, 10);
        contention.lost(1, 10, 100, made());
        contention.lost(1, 14, 50, made());
        contention.ordered(1, 20);
        let figures = contention.figures();
        assert_eq!((figures.commits, figures.lost, figures.wasted_bytes), (4, 2, 150));
        assert_eq!(figures.wasted_operations, CostCounts { hpke_seals: 6, ..CostCounts::default() });
        assert_eq!((figures.lost_attempts_mean, figures.lost_attempts_max), (1.0, 2));
        assert_eq!((figures.wait_mean_s, figures.wait_max_s), (5.0, 10));
        // The shares are 1 and 1/3.
        assert_eq!(figures.fairness, Some((4.0 / 3.0_f64).powi(2) / (2.0 * (10.0 / 9.0))));
    }

    #[test]
    fn commit_ends_the_wait_of_proposals() {
        let mut contention = Contention::default();
        contention.proposed(0);
        contention.proposed(6);
        contention.ordered(3, 9);
        let figures = contention.figures();
        assert_eq!((figures.wait_mean_s, figures.wait_max_s, figures.fairness), (4.0, 9, Some(1.0)));
    }

    #[test]
    fn void_intent_has_no_wait() {
        let mut contention = Contention::default();
        contention.lost(0, 1, 10, made());
        contention.void(0);
        contention.void(0);
        let figures = contention.figures();
        assert_eq!((figures.lost_attempts_max, figures.wait_max_s, figures.fairness), (1, 0, None));
    }
}
