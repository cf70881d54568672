//! The lies of a malicious delivery service about its streams and its rosters.

use std::{collections::BTreeMap, sync::Arc};

use regrow_delivery_service::{DeviceId, Roster, Sequence};
use regrow_engine::GroupId;

/// The latest log entry of each group at one moment.
pub(in crate::world) type Positions = BTreeMap<GroupId, Sequence>;

/// A lie about the stream of one device. It concerns the entries of each group after `after`.
#[derive(Clone)]
pub(in crate::world) enum StreamLie {
    /// The device does not get the next entries, or no entry at all.
    Withhold { after: Arc<Positions>, entries: Option<u32> },
    /// The device gets the next entries in reverse order.
    Reorder { after: Arc<Positions>, entries: u32 },
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
    /// The epoch of each group when the latest lie began.
    began: Option<BTreeMap<GroupId, u64>>,
}

impl ServiceLies {
    pub(in crate::world) fn begin_stream(&mut self, device: usize, lie: StreamLie) {
        self.streams.insert(device, lie);
    }

    pub(in crate::world) fn begin_roster(&mut self, device: usize, lie: FalseRoster) {
        self.rosters.insert(device, lie);
    }

    /// Ends all lies to a device.
    pub(in crate::world) fn end(&mut self, device: usize) {
        self.streams.remove(&device);
        self.rosters.remove(&device);
    }

    /// Records the epochs in which a lie begins.
    pub(in crate::world) fn begin(&mut self, epochs: BTreeMap<GroupId, u64>) {
        self.began = Some(epochs);
    }

    /// The epochs in which the latest lie began. [`None`] if the service has been honest to
    /// everybody.
    pub(in crate::world) fn began(&self) -> Option<&BTreeMap<GroupId, u64>> {
        self.began.as_ref()
    }

    /// True if the service still lies about the entries of a group to this device. `last` is the
    /// last entry of the group's log.
    pub(super) fn is_stream_false(&self, device: usize, group: &GroupId, last: Sequence) -> bool {
        match self.streams.get(&device) {
            Some(StreamLie::Reorder { after, entries }) => last.0 < position(after, group) + u64::from(*entries),
            Some(StreamLie::Withhold { .. } | StreamLie::SecondHistory) => true,
            None => false,
        }
    }

    pub(super) fn treatment(&self, device: usize, group: &GroupId, sequence: Sequence) -> Treatment {
        let number_after = |after| sequence.0.checked_sub(position(after, group)).filter(|number| *number > 0);
        match self.streams.get(&device) {
            Some(StreamLie::Withhold { after, entries }) => match (number_after(after), entries) {
                (Some(_), None) => Treatment::EndStream,
                (Some(number), Some(entries)) if number <= u64::from(*entries) => Treatment::KeepBack,
                _ => Treatment::Deliver,
            },
            Some(StreamLie::Reorder { after, entries }) => match number_after(after) {
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

/// The number of the latest entry of a group at a moment; 0 for a group that did not exist.
fn position(positions: &Positions, group: &GroupId) -> u64 {
    positions.get(group).map_or(0, |sequence| sequence.0)
}
