//! Pairwise encryption: a Double Ratchet session for each pair of members.
//!
//! A message is one ciphertext for each other member. There is no group state: additions and removals
//! send nothing. The first message between two members begins their session. An update is an empty
//! message to all members.

use std::borrow::Cow;

use super::signal_roster::SignalRoster;
use crate::{
    cost::{CostCounts, EntryCost, limits::TrafficTotals},
    model::group_model::{CommitParts, CommitPrice, Creation, DeviceNumber, GroupModel, Ledger, WaitingProposal},
};

/// A group with pairwise encryption.
pub(crate) struct Pairwise<'n>(SignalRoster<'n>);

impl<'n> Pairwise<'n> {
    /// A group that a device has just created.
    pub(crate) fn create(creation: &Creation<'n>) -> Self {
        Self(SignalRoster::create(creation))
    }

    fn update(&mut self, by: DeviceNumber, entry: &mut EntryCost) {
        let fan_out = self.0.speak_to_all(by);
        self.0.add_to_row(entry, fan_out, 0, CostCounts::default());
    }
}

impl GroupModel for Pairwise<'_> {
    fn is_member(&self, device: DeviceNumber) -> bool {
        self.0.is_member(device)
    }

    fn members(&self) -> u64 {
        self.0.members
    }

    fn epoch(&self) -> u64 {
        self.0.epoch
    }

    fn is_online(&self, device: DeviceNumber) -> bool {
        self.0.is_online(device)
    }

    fn waiting(&self) -> &[WaitingProposal] {
        &self.0.waiting
    }

    fn set_time(&mut self, seconds: u64) {
        self.0.time = seconds;
    }

    fn set_online(&mut self, device: DeviceNumber, online: bool) {
        self.0.set_online(device, online);
    }

    fn encrypt_early(&mut self, _: DeviceNumber) {}

    fn propose(&mut self, proposal: WaitingProposal) {
        if let Some(mut entry) = self.0.propose(proposal) {
            self.update(proposal.by, &mut entry);
            self.0.order(entry);
        }
    }

    fn send(&mut self, by: DeviceNumber, text: u64) {
        let fan_out = self.0.speak_to_all(by);
        self.0.ledger.messages += 1;
        self.0.add_to_messages(fan_out, text);
    }

    fn commit(&mut self, by: DeviceNumber, parts: &CommitParts) {
        let mut entry = self.0.change(by, parts);
        if parts.updates {
            self.update(by, &mut entry);
        }
        self.0.order(entry);
    }

    fn join(&mut self, by: DeviceNumber) {
        let entry = self.0.join(by);
        self.0.order(entry);
    }

    fn price_commit(&mut self, _: DeviceNumber, _: &CommitParts) -> Option<CommitPrice> {
        None
    }

    fn price_join(&mut self, _: DeviceNumber) -> Option<CommitPrice> {
        None
    }

    fn ledger(&self) -> Cow<'_, Ledger> {
        Cow::Borrowed(&self.0.ledger)
    }

    fn totals(&self) -> (usize, TrafficTotals) {
        self.0.ledger.totals()
    }

    fn into_ledger(self: Box<Self>) -> Ledger {
        self.0.ledger
    }
}
