//! The lies of a malicious delivery service about its streams and its rosters.

use std::collections::BTreeMap;

use regrow_delivery_service::{DeviceId, Roster, Sequence};

/// A lie about the stream of one device. It concerns the entries after `after`.
#[derive(Clone, Copy)]
pub(in crate::world) enum StreamLie {
    /// The device does not get the next entries, or no entry at all.
    Withhold { after: Sequence, entries: Option<u32> },
    /// The device gets the next entries in reverse order.
    Reorder { after: Sequence, entries: u32 },
    /// The device sees the second history.
    SecondHistory,
}

/// What the service does with an entry of a device's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world) enum Treatment {
    Deliver,
    /// The service ends the stream before the entry.
    EndStream,
    /// The service keeps the entry back, and goes on with the next one.
    KeepBack,
    /// The service delivers this entry, and then those that it has kept back, the latest first.
    DeliverAllReversed,
}

/// A lie about the roster: users whose devices are added to the answer or hidden from it.
#[derive(Clone)]
pub(in crate::world) struct FalseRoster {
    pub(in crate::world) add: Vec<DeviceId>,
    pub(in crate::world) hide: Vec<DeviceId>,
}

/// The lies in force, by the index of the device that the service lies to.
#[derive(Default)]
pub(in crate::world) struct ServiceLies {
    streams: BTreeMap<usize, StreamLie>,
    rosters: BTreeMap<usize, FalseRoster>,
    /// The group's epoch when the latest lie began.
    began: Option<u64>,
}

impl ServiceLies {
    pub(in crate::world) fn begin_stream(&mut self, device: usize, lie: StreamLie, epoch: u64) {
        self.streams.insert(device, lie);
        self.began = Some(epoch);
    }

    pub(in crate::world) fn begin_roster(&mut self, device: usize, lie: FalseRoster, epoch: u64) {
        self.rosters.insert(device, lie);
        self.began = Some(epoch);
    }

    /// Ends all lies to a device.
    pub(in crate::world) fn end(&mut self, device: usize) {
        self.streams.remove(&device);
        self.rosters.remove(&device);
    }

    /// The group's epoch when the latest lie began. [`None`] if the service has been honest to
    /// everybody.
    pub(in crate::world) fn began(&self) -> Option<u64> {
        self.began
    }

    /// True if the service still lies about the stream of this device. `last` is the last entry of
    /// the log.
    pub(super) fn is_stream_false(&self, device: usize, last: Sequence) -> bool {
        match self.streams.get(&device) {
            Some(StreamLie::Reorder { after, entries }) => last.0 < after.0 + u64::from(*entries),
            Some(StreamLie::Withhold { .. } | StreamLie::SecondHistory) => true,
            None => false,
        }
    }

    pub(super) fn treatment(&self, device: usize, sequence: Sequence) -> Treatment {
        let number_after = |after: Sequence| sequence.0.checked_sub(after.0).filter(|number| *number > 0);
        match self.streams.get(&device) {
            Some(StreamLie::Withhold { after, entries }) => match (number_after(*after), entries) {
                (Some(_), None) => Treatment::EndStream,
                (Some(number), Some(entries)) if number <= u64::from(*entries) => Treatment::KeepBack,
                _ => Treatment::Deliver,
            },
            Some(StreamLie::Reorder { after, entries }) => match number_after(*after) {
                Some(number) if number < u64::from(*entries) => Treatment::KeepBack,
                Some(number) if number == u64::from(*entries) => Treatment::DeliverAllReversed,
                _ => Treatment::Deliver,
            },
            Some(StreamLie::SecondHistory) | None => Treatment::Deliver,
        }
    }

    /// The roster that the service tells this device.
    pub(super) fn told_roster(&self, device: usize, mut roster: Roster) -> Roster {
        if let Some(FalseRoster { add, hide }) = self.rosters.get(&device) {
            roster.devices.extend(add.iter().cloned());
            roster.devices.retain(|device| !hide.contains(device));
        }
        roster
    }
}
