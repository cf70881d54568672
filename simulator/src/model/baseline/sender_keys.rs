//! Sender keys, as Signal uses them in groups.
//!
//! A message is one ciphertext with a signature. Before its first message, a member distributes a
//! chain key and a signature key over pairwise sessions. Newcomers get the key before the member's
//! next message. After a removal each member makes a new key before its next message. An update makes
//! and distributes a new key at once.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::{
    signal_messages::{DISTRIBUTION, new_sender_key, open_of_group, seal_for_group, sender_key_message},
    signal_roster::{FanOut, SignalRoster},
};
use crate::{
    cost::{CostCounts, EntryCost, Operation, limits::TrafficTotals},
    model::group_model::{CommitParts, CommitPrice, Creation, DeviceNumber, GroupModel, Ledger, WaitingProposal},
};

/// A group with sender keys.
pub(crate) struct SenderKeys<'n> {
    roster: SignalRoster<'n>,
    /// The moment at which each member made its sender key.
    keys: FxHashMap<DeviceNumber, u64>,
    /// The moment of the last removal.
    last_removal: u64,
}

impl<'n> SenderKeys<'n> {
    /// A group that a device has just created.
    pub(crate) fn create(creation: &Creation<'n>) -> Self {
        Self { roster: SignalRoster::create(creation), keys: FxHashMap::default(), last_removal: 0 }
    }

    /// Makes a new sender key of a member, and distributes it.
    fn renew(&mut self, by: DeviceNumber) -> FanOut {
        let fan_out = self.roster.speak_to_all(by);
        self.keys.insert(by, self.roster.spoke(by).unwrap_or_default());
        fan_out
    }

    fn update(&mut self, by: DeviceNumber, entry: &mut EntryCost) {
        let fan_out = self.renew(by);
        self.roster.add_to_row(entry, fan_out, DISTRIBUTION, new_sender_key());
    }

    fn change(&mut self, removed: &[DeviceNumber]) {
        if !removed.is_empty() {
            // All keys are older now, also those of the removed members.
            self.last_removal = self.roster.tick();
        }
    }
}

impl GroupModel for SenderKeys<'_> {
    fn is_member(&self, device: DeviceNumber) -> bool {
        self.roster.is_member(device)
    }

    fn members(&self) -> u64 {
        self.roster.members
    }

    fn epoch(&self) -> u64 {
        self.roster.epoch
    }

    fn is_online(&self, device: DeviceNumber) -> bool {
        self.roster.is_online(device)
    }

    fn waiting(&self) -> &[WaitingProposal] {
        &self.roster.waiting
    }

    fn set_time(&mut self, seconds: u64) {
        self.roster.time = seconds;
    }

    fn set_online(&mut self, device: DeviceNumber, online: bool) {
        self.roster.set_online(device, online);
    }

    fn encrypt_early(&mut self, _: DeviceNumber) {}

    fn propose(&mut self, proposal: WaitingProposal) {
        if let Some(mut entry) = self.roster.propose(proposal) {
            self.update(proposal.by, &mut entry);
            self.roster.order(entry);
        }
    }

    fn send(&mut self, by: DeviceNumber, text: u64) {
        let (distribution, own) = match self.keys.get(&by) {
            Some(made) if *made > self.last_removal => (self.roster.speak_to_newcomers(by), CostCounts::default()),
            _ => (self.renew(by), new_sender_key()),
        };
        if distribution.recipients > 0 {
            self.roster.add_to_messages(distribution, DISTRIBUTION);
        }
        let size = sender_key_message(text, self.roster.sizes.padding);
        let others = self.roster.members - 1;
        let mut sender = seal_for_group();
        sender += own;
        let ledger = &mut self.roster.ledger;
        ledger.messages += 1;
        ledger.message(size, others, others * size);
        ledger.charge(Operation::Send, sender, 1);
        ledger.charge(Operation::ReceiveMessage, open_of_group(), others);
    }

    fn commit(&mut self, by: DeviceNumber, parts: &CommitParts) {
        self.change(&parts.removed());
        let mut entry = self.roster.change(by, parts);
        if parts.updates {
            self.update(by, &mut entry);
        }
        self.roster.order(entry);
    }

    fn join(&mut self, by: DeviceNumber) {
        if self.is_member(by) {
            self.change(&[by]);
        }
        let entry = self.roster.join(by);
        self.roster.order(entry);
    }

    fn price_commit(&mut self, _: DeviceNumber, _: &CommitParts) -> Option<CommitPrice> {
        None
    }

    fn price_join(&mut self, _: DeviceNumber) -> Option<CommitPrice> {
        None
    }

    fn ledger(&self) -> Cow<'_, Ledger> {
        Cow::Borrowed(&self.roster.ledger)
    }

    fn totals(&self) -> (usize, TrafficTotals) {
        self.roster.ledger.totals()
    }

    fn into_ledger(self: Box<Self>) -> Ledger {
        self.roster.ledger
    }
}
