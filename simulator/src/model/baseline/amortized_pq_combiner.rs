//! The Amortized PQ MLS Combiner (draft-ietf-mls-combiner-02, 20 October 2025).
//!
//! Two MLS sessions have the same members. A FULL commit is a commit in the post-quantum session, and
//! one in the traditional session with a pre-shared key of the first. A PARTIAL commit is one in the
//! traditional session only. Application messages are in the traditional session.

use std::borrow::Cow;

use crate::{
    cost::{CostCounts, CountSpread, EntryBytes, EntryCost, Operation, limits::TrafficTotals},
    model::{
        encoding::vector,
        group::CostGroup,
        group_model::{
            Change, CommitParts, CommitPrice, Creation, DeviceNumber, GroupModel, GroupSettings, Ledger,
            WaitingProposal,
        },
        messages::{GROUP_ID, MessageSizes},
        suite::HASH,
    },
};

/// Of the commits that change no member, every one with this number is FULL. The draft suggests "once
/// every fifty or one hundred" if updates are frequent (section 4).
const FULL_EVERY: u64 = 50;

/// The sizes of ML-KEM-768 (FIPS 203): an encapsulation key, and a ciphertext.
const ENCAPSULATION_KEY: u64 = 1184;
const CIPHERTEXT: u64 = 1088;

/// The type of an extension or of a proposal, and the identifier of a component. Assumption: it has
/// two bytes, as in draft-ietf-mls-extensions-08.
const TYPE: u64 = 2;
const COMPONENT_ID: u64 = 2;

/// The mark of a proposal in the list of a commit.
const BY_VALUE: u64 = 1;

/// The derivations of a FULL commit: the exported secret with its identifier and its key, and the
/// three derivations that bring the key into the key schedule (RFC 9420, 8.4).
const PSK_DERIVATIONS: u64 = 3 + 3;

/// The extension APQInfo of both group contexts (draft, 6): two group identifiers, the mode, two
/// ciphersuites and two epochs.
fn apq_info() -> u64 {
    TYPE + vector(2 * vector(GROUP_ID) + 1 + 2 * 2 + 2 * 8)
}

/// The identifier of the pre-shared key: its type, the component, the identifier and a nonce.
fn psk_identifier() -> u64 {
    1 + COMPONENT_ID + vector(HASH) + vector(HASH)
}

/// The proposal by which both sessions learn the new epochs: an operation, and an epoch with its
/// type.
fn epoch_update() -> u64 {
    BY_VALUE + TYPE + COMPONENT_ID + 1 + vector(1 + 8)
}

/// The proposal of the pre-shared key in the traditional session.
fn psk_proposal() -> u64 {
    BY_VALUE + TYPE + psk_identifier()
}

/// The operations of the committer that join the two key schedules.
fn price_of_psk() -> CommitPrice {
    CommitPrice { bytes: 0, counts: CostCounts { kdf: PSK_DERIVATIONS, ..CostCounts::default() } }
}

/// A group with both sessions.
pub(crate) struct Combiner<'n> {
    traditional: CostGroup<'n>,
    quantum: CostGroup<'n>,
    /// The PARTIAL commits since the last FULL one.
    since_full: u64,
    /// For each row of the post-quantum session, the row of the traditional session beside it.
    beside: Vec<usize>,
}

/// The parts of a FULL commit in each session.
struct Full {
    quantum: CommitParts,
    traditional: CommitParts,
}

impl<'n> Combiner<'n> {
    /// A group that a device has just created.
    pub(crate) fn create(creation: Creation<'n>) -> Self {
        let settings = creation.settings;
        let mut suite = settings.sizes.suite;
        (suite.public_key, suite.encapsulated) = (ENCAPSULATION_KEY, CIPHERTEXT);
        let with = |sizes| Creation { settings: GroupSettings { sizes, ..settings }, ..creation.clone() };
        let context_extensions = apq_info();
        let quantum = with(MessageSizes { suite, context_extensions, ..settings.sizes });
        let traditional =
            with(MessageSizes { context_extensions, psk_identifiers: psk_identifier(), ..settings.sizes });
        Self {
            traditional: CostGroup::create(traditional),
            quantum: CostGroup::create(quantum),
            since_full: 0,
            beside: vec![0],
        }
    }

    /// The parts of a FULL commit. [`None`] if the commit is PARTIAL.
    fn full(&self, parts: &CommitParts) -> Option<Full> {
        let changes_members = !parts.added().is_empty() || !parts.removed().is_empty();
        (changes_members || self.since_full + 1 >= FULL_EVERY).then(|| {
            let mut quantum = CommitParts { other_proposals: epoch_update(), ..parts.clone() };
            quantum.referred.retain(|proposal| proposal.change != Change::Update);
            let traditional = CommitParts { other_proposals: epoch_update() + psk_proposal(), ..parts.clone() };
            Full { quantum, traditional }
        })
    }

    /// Makes the rows of both sessions.
    fn in_both(&mut self, quantum: impl FnOnce(&mut CostGroup<'n>), traditional: impl FnOnce(&mut CostGroup<'n>)) {
        let (first, first_quantum) = (self.traditional.ledger.entries.len(), self.quantum.ledger.entries.len());
        quantum(&mut self.quantum);
        traditional(&mut self.traditional);
        let rows = self.quantum.ledger.entries.len() - first_quantum;
        self.beside.extend(first..first + rows);
    }
}

impl GroupModel for Combiner<'_> {
    fn is_member(&self, device: DeviceNumber) -> bool {
        self.traditional.is_member(device)
    }

    fn members(&self) -> u64 {
        self.traditional.members()
    }

    fn epoch(&self) -> u64 {
        self.traditional.epoch()
    }

    fn is_online(&self, device: DeviceNumber) -> bool {
        self.traditional.is_online(device)
    }

    fn waiting(&self) -> &[WaitingProposal] {
        self.traditional.waiting()
    }

    fn set_time(&mut self, seconds: u64) {
        self.quantum.set_time(seconds);
        self.traditional.set_time(seconds);
    }

    fn set_online(&mut self, device: DeviceNumber, online: bool) {
        self.quantum.set_online(device, online);
        self.traditional.set_online(device, online);
    }

    fn encrypt_early(&mut self, device: DeviceNumber) {
        self.traditional.encrypt_early(device);
    }

    fn propose(&mut self, proposal: WaitingProposal) {
        match proposal.change {
            Change::Update => self.traditional.propose(proposal),
            Change::Add(_) | Change::Remove(_) => {
                self.in_both(|quantum| quantum.propose(proposal), |traditional| traditional.propose(proposal));
            }
        }
    }

    fn send(&mut self, by: DeviceNumber, text: u64) {
        self.traditional.send(by, text);
    }

    fn commit(&mut self, by: DeviceNumber, parts: &CommitParts) {
        match self.full(parts) {
            Some(Full { quantum, traditional }) => {
                self.since_full = 0;
                self.in_both(|group| group.commit(by, &quantum), |group| group.commit(by, &traditional));
            }
            None => {
                self.since_full += 1;
                self.traditional.commit(by, parts);
            }
        }
    }

    fn join(&mut self, by: DeviceNumber) {
        self.since_full = 0;
        self.in_both(
            |group| group.join_with(by, epoch_update()),
            |group| group.join_with(by, epoch_update() + psk_proposal()),
        );
    }

    fn price_commit(&mut self, by: DeviceNumber, parts: &CommitParts) -> Option<CommitPrice> {
        let Some(Full { quantum, traditional }) = self.full(parts) else {
            return self.traditional.price_commit(by, parts);
        };
        let quantum = self.quantum.price_commit(by, &quantum)?;
        Some(self.traditional.price_commit(by, &traditional)?.beside(quantum).beside(price_of_psk()))
    }

    fn price_join(&mut self, by: DeviceNumber) -> Option<CommitPrice> {
        let quantum = self.quantum.price_join_with(by, epoch_update());
        let traditional = self.traditional.price_join_with(by, epoch_update() + psk_proposal());
        Some(traditional.beside(quantum).beside(price_of_psk()))
    }

    fn ledger(&self) -> Cow<'_, Ledger> {
        let (traditional, quantum) = (self.traditional.ledger.clone(), self.quantum.ledger.clone());
        Cow::Owned(combined(traditional, quantum, &self.beside))
    }

    fn totals(&self) -> (usize, TrafficTotals) {
        let (entries, traffic) = self.traditional.ledger.totals();
        let (_, quantum) = self.quantum.ledger.totals();
        (entries, traffic.beside(quantum))
    }

    fn into_ledger(self: Box<Self>) -> Ledger {
        combined(self.traditional.ledger, self.quantum.ledger, &self.beside)
    }
}

/// The costs of both sessions. The rows of the post-quantum session are added to those beside them.
fn combined(traditional: Ledger, quantum: Ledger, beside: &[usize]) -> Ledger {
    let mut ledger = traditional;
    for (operation, counts) in quantum.costs {
        *ledger.costs.entry(operation).or_default() += CostCounts { calls: 0, ..counts };
    }
    for (entry, row) in quantum.entries.into_iter().zip(beside) {
        if let Some(beside) = ledger.entries.get_mut(*row) {
            let derivations = combine(beside, &entry);
            for (operation, counts) in derivations {
                *ledger.costs.entry(operation).or_default() += counts;
            }
        }
    }
    ledger
}

/// Adds the row of the post-quantum session to the one beside it. Returns the operations that join
/// the two key schedules.
fn combine(row: &mut EntryCost, quantum: &EntryCost) -> [(Operation, CostCounts); 3] {
    let sum = |one: Option<u64>, other: Option<u64>| one.map(|one| one + other.unwrap_or_default());
    let (bytes, others) = (row.bytes, quantum.bytes);
    row.bytes = EntryBytes {
        commit: sum(bytes.commit, others.commit),
        update_path: sum(bytes.update_path, others.update_path),
        proposal: sum(bytes.proposal, others.proposal),
        welcome: sum(bytes.welcome, others.welcome),
        welcome_for_one: sum(bytes.welcome_for_one, others.welcome_for_one),
        group_info: sum(bytes.group_info, others.group_info),
    };
    row.service.uploaded += quantum.service.uploaded;
    row.service.deliveries += quantum.service.deliveries;
    row.service.delivered += quantum.service.delivered;
    let has_psk = row.path.is_some();
    let psk = CostCounts { kdf: if has_psk { PSK_DERIVATIONS } else { 0 }, ..CostCounts::default() };
    let of_joiners = CostCounts { kdf: PSK_DERIVATIONS, ..CostCounts::default() };
    if let (Some(committer), Some(other)) = (&mut row.committer, quantum.committer) {
        *committer += other;
        *committer += psk;
    }
    let everyone = |counts: CostCounts, devices: u64| {
        let mut spread = CountSpread::default();
        spread.add_many(counts, devices);
        spread
    };
    row.receivers = row.receivers.beside(&quantum.receivers).beside(&everyone(psk, row.receivers.devices()));
    row.joiners = row.joiners.beside(&quantum.joiners).beside(&everyone(of_joiners, row.joiners.devices()));
    [
        (Operation::Commit, psk),
        (Operation::ReceiveCommit, psk.times(row.receivers.devices())),
        (Operation::Join, of_joiners.times(row.joiners.devices())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_structures() {
        // Two identifiers of five bytes, the mode, two ciphersuites, two epochs.
        assert_eq!(apq_info(), 2 + 1 + (6 + 6 + 1 + 4 + 16));
        assert_eq!(psk_identifier(), 1 + 2 + 33 + 33);
        assert_eq!(psk_proposal(), 3 + 69);
        assert_eq!(epoch_update(), 1 + 2 + 2 + 1 + (1 + 9));
    }
}
