//! The world's knowledge of one device in one group.

use regrow_delivery_service as ds;
use regrow_engine::EpochAuthenticator;

use super::{cut_off::CutOff, generation_counter::GenerationCounter, window::Window};

/// The state of a device in a group.
#[derive(Default)]
pub(super) struct DeviceGroup {
    pub(super) window: Window,
    pub(super) generations: GenerationCounter,
    /// True if the engine has intents left that the device has to take up again.
    pub(super) resume: bool,
    /// The epoch that the device has reached. It stays when the device is removed.
    pub(super) reached: u64,
    /// True if the device knows that another device acts in its name. It makes nothing until it has
    /// rejoined.
    pub(super) lost: bool,
    /// True if the device cannot follow until it has rejoined: a thief's commit has locked it out, or
    /// its application has refused a change.
    pub(super) locked_out: bool,
    /// True if its application has refused a change of the group.
    pub(super) refused: bool,
    /// True if its application has refused a proposal of the present epoch. The device cannot follow
    /// a commit with this proposal.
    pub(super) refused_proposal: bool,
    /// True if the service deleted an entry before it reached the device: the device was offline
    /// for longer than the retention time.
    pub(super) missed: bool,
    pub(super) cut_off: CutOff,
    /// The sequence and the time of the last log entry that reached the device.
    last: Option<(u64, u64)>,
}

/// The epoch in which a device is.
pub(super) struct PresentEpoch {
    pub(super) epoch: u64,
    pub(super) authenticator: EpochAuthenticator,
}

impl DeviceGroup {
    /// Records that the device is in the group from this epoch on, with a state of its own.
    pub(super) fn joined(&mut self, epoch: u64) {
        self.window.joined(epoch);
        self.reached = epoch;
        self.cut_off.joined();
        self.lost = false;
        self.locked_out = false;
        self.refused = false;
        self.refused_proposal = false;
    }

    /// Records that the application has refused a change of the group.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
        self.locked_out = true;
    }

    /// Records the arrival of a log entry, and whether the service had deleted the entry before it.
    /// A welcome starts anew. The service has deleted records until `expired`.
    pub(super) fn note_entry(&mut self, delivery: &ds::Delivery, retention: u64, expired: u64) {
        let gone = |(number, time): (u64, u64)| delivery.receipt.sequence.0 > number + 1 && time + retention <= expired;
        let joins = delivery.kind == ds::DeliveryKind::Welcome;
        self.missed = !joins && (self.missed || self.last.is_some_and(gone));
        self.last = Some((delivery.receipt.sequence.0, delivery.time.0));
    }

    /// The number of the last log entry that reached the device.
    pub(super) fn last_sequence(&self) -> u64 {
        self.last.map_or(0, |(number, _)| number)
    }
}
