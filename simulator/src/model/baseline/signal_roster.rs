//! The members of a group without a group state, and the sessions between them.
//!
//! Two members have a session after the first direct message between them. Whoever sends to the
//! group directly sends to all of its members, so the moments at which members joined and spoke tell
//! the state of all sessions. The roster counts sessions, and lists none.

use super::{
    event_counts::EventCounts,
    signal_messages::{PairMessages, open, seal, step},
};
use crate::{
    cost::{ChangeCounts, CostCounts, EntryCost, EntryKind, Operation, ServiceBytes},
    model::group_model::{Change, CommitParts, Creation, DeviceNumber, Ledger, WaitingProposal},
    scenario::{Ciphersuite, MemberName},
};

/// A device: its present membership.
#[derive(Clone, Copy, Debug, Default)]
struct DeviceState {
    is_member: bool,
    was_member: bool,
    is_offline: bool,
    joined: u64,
    /// The moment of the last direct message to the group.
    spoke: Option<u64>,
}

/// The direct messages of one member to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FanOut {
    pub(crate) recipients: u64,
    /// The recipients with which the member begins a session.
    pub(crate) fresh: u64,
    /// The recipients that have not answered yet. They get a PreKeySignalMessage.
    pub(crate) unanswered: u64,
    /// The recipients that have sent since the member's last message. They make a ratchet step.
    pub(crate) turned: u64,
}

impl FanOut {
    /// The bytes of messages with this text.
    pub(crate) fn bytes(&self, sizes: &PairMessages, text: u64) -> u64 {
        self.unanswered * sizes.prekey_message(text) + (self.recipients - self.unanswered) * sizes.message(text)
    }

    /// The operations of the sender.
    pub(crate) fn sender(&self, sizes: &PairMessages) -> CostCounts {
        let mut counts = seal().times(self.recipients);
        counts += sizes.initiate().times(self.fresh);
        counts
    }

    /// The operations of the recipients, each with the number of recipients.
    pub(crate) fn recipients(&self, sizes: &PairMessages) -> [(CostCounts, u64); 3] {
        let with = |mut counts: CostCounts| {
            counts += open();
            counts
        };
        [
            (with(sizes.respond()), self.fresh),
            (with(step()), self.turned),
            (open(), self.recipients - self.fresh - self.turned),
        ]
    }
}

/// The members, and the costs so far.
pub(crate) struct SignalRoster<'n> {
    names: &'n [MemberName],
    pub(crate) sizes: PairMessages,
    devices: Vec<DeviceState>,
    pub(crate) members: u64,
    /// A moment passes with each join, removal and direct message.
    clock: u64,
    /// The moments at which members joined.
    joined: EventCounts,
    /// The moments at which the members joined that have not spoken.
    silent: EventCounts,
    /// The moments at which members spoke last.
    vocal: EventCounts,
    pub(crate) epoch: u64,
    sequence: u64,
    pub(crate) time: u64,
    pub(crate) waiting: Vec<WaitingProposal>,
    pub(crate) ledger: Ledger,
}

impl<'n> SignalRoster<'n> {
    /// The roster of a group that a device has just created.
    pub(crate) fn create(creation: &Creation<'n>) -> Self {
        let suite = creation.settings.sizes.suite;
        let quantum = crate::model::suite::SuiteSizes::of(Ciphersuite::XWingChaCha20Poly1305Sha256Ed25519);
        let mut roster = Self {
            names: creation.names,
            sizes: PairMessages { padding: creation.settings.sizes.padding, is_quantum_safe: suite == quantum },
            devices: vec![DeviceState::default(); creation.names.len()],
            members: 0,
            clock: 0,
            joined: EventCounts::new(),
            silent: EventCounts::new(),
            vocal: EventCounts::new(),
            epoch: 0,
            sequence: 0,
            time: creation.time,
            waiting: Vec::new(),
            ledger: Ledger::default(),
        };
        roster.add(creation.by);
        let entry =
            EntryCost { committer: Some(CostCounts::default()), ..roster.entry(EntryKind::Create, creation.by) };
        roster.ledger.charge(Operation::Create, CostCounts::default(), 1);
        roster.ledger.order(entry);
        roster
    }

    pub(crate) fn is_member(&self, device: DeviceNumber) -> bool {
        self.devices[device as usize].is_member
    }

    pub(crate) fn is_online(&self, device: DeviceNumber) -> bool {
        !self.devices[device as usize].is_offline
    }

    pub(crate) fn set_online(&mut self, device: DeviceNumber, online: bool) {
        self.devices[device as usize].is_offline = !online;
    }

    /// The moment of a member's last direct message.
    pub(crate) fn spoke(&self, device: DeviceNumber) -> Option<u64> {
        self.devices[device as usize].spoke
    }

    /// The next moment.
    pub(crate) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn add(&mut self, device: DeviceNumber) {
        let moment = self.tick();
        self.joined.mark(moment);
        self.silent.mark(moment);
        self.members += 1;
        let state = &mut self.devices[device as usize];
        self.ledger.devices += u64::from(!state.was_member);
        *state = DeviceState { is_member: true, was_member: true, joined: moment, spoke: None, ..*state };
    }

    fn remove(&mut self, device: DeviceNumber) {
        let state = &mut self.devices[device as usize];
        state.is_member = false;
        self.joined.unmark(state.joined);
        match state.spoke {
            Some(moment) => self.vocal.unmark(moment),
            None => self.silent.unmark(state.joined),
        }
        self.members -= 1;
    }

    /// A member sends directly to all other members.
    pub(crate) fn speak_to_all(&mut self, by: DeviceNumber) -> FanOut {
        let DeviceState { joined, spoke, .. } = self.devices[by as usize];
        let recipients = self.members - 1;
        let turned = self.vocal.after(spoke.unwrap_or(joined));
        let answered = self.vocal.after(joined) - u64::from(spoke.is_some());
        let fresh = match spoke {
            Some(moment) => self.silent.after(moment),
            None => recipients - turned,
        };
        self.speak(by);
        FanOut { recipients, fresh, unanswered: recipients - answered, turned }
    }

    /// A member that has spoken sends directly to the members that have joined since.
    pub(crate) fn speak_to_newcomers(&mut self, by: DeviceNumber) -> FanOut {
        let Some(spoke) = self.spoke(by) else { return FanOut::default() };
        let (recipients, silent) = (self.joined.after(spoke), self.silent.after(spoke));
        if recipients > 0 {
            self.speak(by);
        }
        FanOut { recipients, fresh: silent, unanswered: silent, turned: recipients - silent }
    }

    fn speak(&mut self, by: DeviceNumber) {
        let moment = self.tick();
        let state = &mut self.devices[by as usize];
        match state.spoke.replace(moment) {
            Some(before) => self.vocal.unmark(before),
            None => self.silent.unmark(state.joined),
        }
        self.vocal.mark(moment);
    }

    /// Makes the changes of a commit, and returns its row. The changes themselves send nothing.
    pub(crate) fn change(&mut self, by: DeviceNumber, parts: &CommitParts) -> EntryCost {
        let (added, removed) = (parts.added(), parts.removed());
        let changes = ChangeCounts {
            adds: added.len() as u64,
            removes: removed.len() as u64,
            updates: parts.updated().len() as u64,
        };
        removed.iter().for_each(|device| self.remove(*device));
        added.iter().for_each(|device| self.add(*device));
        self.ordered(EntryKind::Commit, by, changes)
    }

    /// A device joins by itself. A member that has lost its state leaves first.
    pub(crate) fn join(&mut self, by: DeviceNumber) -> EntryCost {
        let rejoins = self.is_member(by);
        if rejoins {
            self.remove(by);
        }
        self.add(by);
        let changes = ChangeCounts { adds: 1, removes: rejoins.into(), updates: 0 };
        self.ordered(EntryKind::ExternalCommit, by, changes)
    }

    fn ordered(&mut self, kind: EntryKind, by: DeviceNumber, changes: ChangeCounts) -> EntryCost {
        self.sequence += 1;
        let entry =
            EntryCost { changes: Some(changes), committer: Some(CostCounts::default()), ..self.entry(kind, by) };
        self.epoch += 1;
        self.waiting.clear();
        entry
    }

    /// Notes a proposal. Only an update has a row.
    pub(crate) fn propose(&mut self, proposal: WaitingProposal) -> Option<EntryCost> {
        let is_known = self.waiting.contains(&proposal);
        if !is_known {
            self.waiting.push(proposal);
        }
        (proposal.change == Change::Update).then(|| {
            self.sequence += 1;
            EntryCost {
                changes: Some(ChangeCounts { updates: 1, ..ChangeCounts::default() }),
                committer: Some(CostCounts::default()),
                ..self.entry(EntryKind::Proposal, proposal.by)
            }
        })
    }

    /// Adds direct messages to a row.
    pub(crate) fn add_to_row(&mut self, entry: &mut EntryCost, fan_out: FanOut, text: u64, own: CostCounts) {
        let bytes = fan_out.bytes(&self.sizes, text);
        let ServiceBytes { uploaded, deliveries, delivered, stored } = entry.service;
        entry.service = ServiceBytes {
            uploaded: uploaded + bytes,
            deliveries: deliveries + fan_out.recipients,
            delivered: delivered + bytes,
            stored,
        };
        let mut counts = fan_out.sender(&self.sizes);
        counts += own;
        if let Some(committer) = &mut entry.committer {
            *committer += counts;
        }
        let operation =
            if entry.kind == EntryKind::Proposal { Operation::ReceiveProposal } else { Operation::ReceiveCommit };
        for (counts, devices) in fan_out.recipients(&self.sizes) {
            self.ledger.receive(&mut entry.receivers, operation, counts, devices);
        }
    }

    /// Ends a row.
    pub(crate) fn order(&mut self, entry: EntryCost) {
        let operation = match entry.kind {
            EntryKind::Proposal => Operation::Proposal,
            EntryKind::ExternalCommit => Operation::ExternalCommit,
            _ => Operation::Commit,
        };
        self.ledger.charge(operation, entry.committer.unwrap_or_default(), 1);
        self.ledger.order(entry);
    }

    /// Adds direct messages to the traffic of application messages.
    pub(crate) fn add_to_messages(&mut self, fan_out: FanOut, text: u64) {
        let bytes = fan_out.bytes(&self.sizes, text);
        self.ledger.message(bytes, fan_out.recipients, bytes);
        self.ledger.charge(Operation::Send, fan_out.sender(&self.sizes), 1);
        for (counts, devices) in fan_out.recipients(&self.sizes) {
            self.ledger.charge(Operation::ReceiveMessage, counts, devices);
        }
    }

    fn entry(&self, kind: EntryKind, who: DeviceNumber) -> EntryCost {
        let name = &self.names[who as usize];
        EntryCost { members: Some(self.members), ..EntryCost::new(self.sequence, self.epoch, self.time, kind, name) }
    }
}
