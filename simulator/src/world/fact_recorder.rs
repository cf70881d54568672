//! Records the facts of a run: the bytes for the [evidence], and the operations for the [oracle].
//!
//! The oracle gets each operation as a [`Fact`]. The facts follow from the scenario's steps and
//! from the service's order, never from the engine's records. Without a thief, only a report needs
//! the facts, and nothing needs the bytes.
//!
//! [evidence]: crate::adversary::Evidence
//! [oracle]: crate::oracle

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use regrow_delivery_service::Sequence;
use regrow_engine::{Change, DeviceId, MessageId, PendingCommit, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::{
    adversary::{Answers, CallLog, Derivation, Evidence, Goal, StolenBytes, Traffic, TrafficKind},
    cost::{CostCounts, Costs, Operation},
    oracle::{
        Commit, CommitId, DeviceNumber, Fact, Holdings, KeyPackageId, MessageNumber, Oracle, ProposalId, ProposalKind,
        RetentionPolicy,
    },
    scenario::CompromiseId,
    wire::{push_variable, variable},
};

/// The extent of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RecordedFacts {
    /// Nothing: nobody asks the oracle.
    Nothing,
    /// The facts for the oracle: a report shows the ratchet trees.
    Facts,
    /// Also the bytes for the evidence: a thief can steal something.
    FactsAndBytes,
}

/// The facts so far.
pub(super) struct FactRecorder {
    recorded: RecordedFacts,
    evidence: Evidence,
    oracle: Oracle,
    logs: Vec<Arc<CallLog>>,
    /// The call logs of the thieves.
    thieves: Vec<Arc<CallLog>>,
    /// The facts that the oracle refused, in words.
    impossible: Vec<String>,
    /// The last number that was given.
    next: u64,
    /// The unused key packages, by reference (RFC 9420, 5.2).
    key_packages: BTreeMap<Vec<u8>, KeyPackage>,
    /// All commits, by the hash of the commit and by the hash of its welcome.
    made: BTreeMap<MessageId, CommitId>,
    /// The key package by which a commit adds a device.
    invited: BTreeMap<(CommitId, usize), KeyPackageId>,
    /// The ordered commits, by the sequence of the log entry.
    ordered: BTreeMap<Sequence, CommitId>,
    /// All proposals, by the hash of the message. The flag is true for an update.
    proposed: BTreeMap<MessageId, (ProposalId, bool)>,
    /// The last ordered update of each device in this epoch.
    updates: BTreeMap<usize, ProposalId>,
    /// All encrypted application messages, by the hash of the message.
    encrypted: BTreeMap<MessageId, MessageNumber>,
    /// The oracle's numbers of the ordered application messages, by their index.
    sent: BTreeMap<usize, MessageNumber>,
}

struct KeyPackage {
    id: KeyPackageId,
    of: usize,
    expires: Timestamp,
}

impl FactRecorder {
    /// An empty recorder. It counts costs, even if it records nothing.
    pub(super) fn new(recorded: RecordedFacts, policy: &regrow_engine::Policy) -> Self {
        let policy = RetentionPolicy {
            past_epochs: policy.past_epochs,
            out_of_order: policy.out_of_order,
            opaque: policy.handshake == regrow_engine::HandshakeMode::Opaque,
        };
        Self {
            recorded,
            evidence: Evidence::default(),
            oracle: Oracle::new(policy),
            logs: Vec::new(),
            thieves: Vec::new(),
            impossible: Vec::new(),
            next: 0,
            key_packages: BTreeMap::new(),
            made: BTreeMap::new(),
            invited: BTreeMap::new(),
            ordered: BTreeMap::new(),
            proposed: BTreeMap::new(),
            updates: BTreeMap::new(),
            encrypted: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// Makes the call log of the next device. Devices come in their order.
    pub(super) fn log(&mut self, device: &str) -> Arc<CallLog> {
        let log = CallLog::new(device, self.has_bytes());
        self.logs.push(log.clone());
        log
    }

    /// Makes the call log of the next thief.
    pub(super) fn log_of_thief(&mut self, id: &CompromiseId) -> Arc<CallLog> {
        let log = CallLog::new(&format!("the thief of {id}"), self.has_bytes());
        self.thieves.push(log.clone());
        log
    }

    /// True if the devices' calls and the traffic are recorded.
    fn has_bytes(&self) -> bool {
        self.recorded == RecordedFacts::FactsAndBytes
    }

    /// The model of the group, as far as it has been recorded.
    pub(super) fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// The oracle's number of the ordered application message with this index.
    pub(super) fn number_of(&self, index: usize) -> Option<MessageNumber> {
        self.sent.get(&index).copied()
    }

    /// The secrets that a device holds now, by the oracle.
    pub(super) fn holdings(&self, of: usize) -> Holdings {
        self.oracle.holdings(DeviceNumber(of))
    }

    /// The messages that a thief with these bytes and holdings can read, and the disagreements.
    /// `replayed` are the messages that the engine reads.
    pub(super) fn answers(&self, stolen: &[StolenBytes], holdings: &Holdings, replayed: &BTreeSet<usize>) -> Answers {
        let reach = self.oracle.reach(holdings);
        let exposed = reach.exposed();
        let predicted = self.sent.iter().filter(|(_, message)| exposed.contains(message));
        let predicted = predicted.map(|(number, _)| *number).collect();
        let why = |number| self.sent.get(&number).map(|message| reach.why(*message)).unwrap_or_default();
        Answers::compare(self.evidence.exposure(stolen), &predicted, replayed, why)
    }

    /// The derivations of these secrets from the stolen bytes.
    pub(super) fn derivations(&self, stolen: &[StolenBytes], goals: &[Goal]) -> Vec<Option<Derivation>> {
        if goals.is_empty() { Vec::new() } else { self.evidence.derivations(stolen, goals) }
    }

    /// The oracle's reasons for its answer about a message.
    pub(super) fn why(&self, holdings: &Holdings, number: usize) -> Vec<String> {
        self.sent.get(&number).map(|message| self.oracle.reach(holdings).why(*message)).unwrap_or_default()
    }

    /// The costs of each device's cryptography, in the devices' order.
    pub(super) fn costs_of_all(&self) -> Vec<(Arc<str>, Operation, CostCounts)> {
        let of = |log: &Arc<CallLog>| {
            let who = log.device().clone();
            log.costs().into_iter().map(move |(operation, counts)| (who.clone(), operation, counts))
        };
        self.logs.iter().flat_map(of).collect()
    }

    /// The costs of all devices together.
    pub(super) fn costs(&self) -> Costs {
        let mut sum = Costs::new();
        for (_, operation, counts) in self.costs_of_all() {
            *sum.entry(operation).or_default() += counts;
        }
        sum
    }

    /// The facts that the oracle has refused since the last call, in words.
    pub(super) fn impossible(&mut self) -> Vec<String> {
        std::mem::take(&mut self.impossible)
    }

    fn tell(&mut self, fact: Fact) {
        if self.recorded >= RecordedFacts::Facts
            && let Err(impossible) = self.oracle.apply(fact)
        {
            self.impossible.push(impossible.to_string());
        }
    }

    /// Shows traffic to the adversary.
    fn show(&mut self, bytes: &[u8]) {
        if self.has_bytes() {
            self.read_tapes();
            self.evidence.sent(bytes);
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn key_package_made(&mut self, of: usize, message: &[u8], expires: Timestamp) {
        let id = KeyPackageId(self.number());
        self.key_packages.insert(reference(message), KeyPackage { id, of, expires });
        self.tell(Fact::KeyPackageMade { of: DeviceNumber(of), key_package: id, last_resort: false });
    }

    /// A device has erased its expired key packages.
    pub(super) fn key_packages_expired(&mut self, of: usize, now: Timestamp) {
        let gone = self.key_packages.extract_if(.., |_, known| known.of == of && known.expires <= now);
        for id in gone.map(|(_, known)| known.id).collect::<Vec<_>>() {
            self.tell(Fact::KeyPackageErased { of: DeviceNumber(of), key_package: id });
        }
    }

    pub(super) fn created(&mut self, by: usize) {
        self.tell(Fact::Created { by: DeviceNumber(by) });
    }

    /// A device has made a commit. `device` gives the index of a device.
    pub(super) fn prepared(&mut self, by: usize, pending: &PendingCommit, device: impl Fn(&DeviceId) -> Option<usize>) {
        let id = CommitId(self.number());
        for message in [Some(pending.commit()), pending.welcome()].into_iter().flatten() {
            self.made.insert(MessageId::of(message), id);
        }
        let mut what = Commit { epoch: pending.epoch().0, external: pending.is_external(), ..Commit::default() };
        let invited: BTreeMap<_, _> = pending
            .welcome()
            .map(invited)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|reference| self.key_packages.get(reference).map(|known| (known.of, known.id)))
            .collect();
        for change in pending.changes() {
            match change {
                Change::Added(added) => {
                    let added = device(added).and_then(|added| Some((DeviceNumber(added), *invited.get(&added)?)));
                    what.adds.extend(added);
                }
                Change::Removed(removed) => what.removes.extend(device(removed).map(DeviceNumber)),
                Change::Updated(updated) => {
                    let updated = device(updated);
                    let proposal =
                        updated.and_then(|updated| Some((DeviceNumber(updated), *self.updates.get(&updated)?)));
                    what.updates.extend(proposal);
                }
                Change::Data(_) => {}
            }
        }
        self.invited.extend(what.adds.iter().map(|(added, key_package)| ((id, added.0), *key_package)));
        self.tell(Fact::Prepared { by: DeviceNumber(by), commit: id, what });
    }

    pub(super) fn discarded(&mut self, by: usize, pending: &PendingCommit) {
        if let Some(commit) = self.made.get(&MessageId::of(pending.commit())).copied() {
            self.tell(Fact::Discarded { by: DeviceNumber(by), commit });
        }
    }

    /// The service has ordered a commit as this log entry.
    pub(super) fn commit_ordered(&mut self, sequence: Sequence, pending: &PendingCommit) {
        self.show(pending.commit());
        pending.welcome().iter().for_each(|welcome| self.show(welcome));
        self.updates.clear();
        if let Some(commit) = self.made.get(&MessageId::of(pending.commit())).copied() {
            self.ordered.insert(sequence, commit);
            self.tell(Fact::Ordered { commit });
        }
    }

    /// A device has entered the epoch of its own commit.
    pub(super) fn confirmed(&mut self, who: usize, commit: &[u8]) {
        if let Some(commit) = self.made.get(&MessageId::of(commit)).copied() {
            self.tell(Fact::Entered { who: DeviceNumber(who), commit });
        }
    }

    /// A device has processed the commit of this log entry.
    pub(super) fn entered(&mut self, who: usize, sequence: Sequence) {
        if let Some(commit) = self.ordered.get(&sequence).copied() {
            self.tell(Fact::Entered { who: DeviceNumber(who), commit });
        }
    }

    /// A device has joined by the welcome of this log entry.
    pub(super) fn joined(&mut self, who: usize, sequence: Sequence) {
        if let Some(commit) = self.ordered.get(&sequence).copied() {
            // The key package is used, and cannot expire any more.
            let used = self.invited.get(&(commit, who)).copied();
            self.key_packages.retain(|_, known| Some(known.id) != used);
            self.tell(Fact::Joined { who: DeviceNumber(who), commit });
        }
    }

    pub(super) fn forgot(&mut self, who: usize) {
        self.tell(Fact::Forgot { who: DeviceNumber(who) });
    }

    pub(super) fn proposed(&mut self, by: usize, message: &[u8], update: bool) {
        let proposal = ProposalId(self.number());
        self.proposed.insert(MessageId::of(message), (proposal, update));
        let what = if update { ProposalKind::Update } else { ProposalKind::Other };
        self.tell(Fact::Proposed { by: DeviceNumber(by), proposal, what });
    }

    pub(super) fn proposal_ordered(&mut self, by: usize, message: &[u8]) {
        self.show(message);
        if let Some((proposal, true)) = self.proposed.get(&MessageId::of(message)) {
            self.updates.insert(by, *proposal);
        }
    }

    /// A device has processed another device's proposal.
    pub(super) fn received(&mut self, who: usize, message: MessageId) {
        if let Some((proposal, _)) = self.proposed.get(&message).copied() {
            self.tell(Fact::Received { who: DeviceNumber(who), proposal });
        }
    }

    pub(super) fn encrypted(&mut self, by: usize, message: &[u8]) {
        let number = MessageNumber(self.number());
        self.encrypted.insert(MessageId::of(message), number);
        self.tell(Fact::Encrypted { by: DeviceNumber(by), message: number });
    }

    /// The service has ordered the application message with this index.
    pub(super) fn message_ordered(&mut self, number: usize, message: &[u8], text: &[u8]) {
        if self.has_bytes() {
            self.read_tapes();
            self.evidence.message_sent(number, message, text);
        }
        if let Some(message) = self.encrypted.get(&MessageId::of(message)).copied() {
            self.sent.insert(number, message);
            self.tell(Fact::Sent { message });
        }
    }

    pub(super) fn read(&mut self, who: usize, number: usize) {
        if let Some(message) = self.sent.get(&number).copied() {
            self.tell(Fact::Read { who: DeviceNumber(who), message });
        }
    }

    /// The thief with this number has stolen a device.
    pub(super) fn stolen(&mut self, of: usize, thief: usize) {
        self.tell(Fact::Stolen { of: DeviceNumber(of), thief: DeviceNumber(thief) });
    }

    /// A thief's replay has followed an ordered entry.
    pub(super) fn followed(&mut self, thief: usize, entry: &Traffic) {
        let message = MessageId::of(&entry.bytes);
        match (entry.kind, entry.message, self.made.get(&message).copied()) {
            (TrafficKind::Commit, _, Some(commit)) => self.tell(Fact::Entered { who: DeviceNumber(thief), commit }),
            (TrafficKind::Welcome, _, Some(commit)) => {
                self.tell(Fact::Forgot { who: DeviceNumber(thief) });
                self.tell(Fact::Joined { who: DeviceNumber(thief), commit });
            }
            (TrafficKind::Proposal, ..) => self.received(thief, message),
            (TrafficKind::Message, Some(number), _) => self.read(thief, number),
            _ => {}
        }
    }

    /// A device is in this epoch.
    pub(super) fn epoch(&mut self, epoch: u64, authenticator: &[u8]) {
        // Nearly always another member has told the same, and its calls contain the same secrets.
        if !self.evidence.has_epoch(epoch, authenticator) {
            self.read_tapes();
            self.evidence.epoch(epoch, authenticator);
        }
    }

    /// Reads the new crypto calls of all devices, in their order.
    pub(super) fn read_tapes(&mut self) {
        if self.has_bytes() {
            for log in self.logs.iter().chain(&self.thieves) {
                self.evidence.record(log);
            }
        }
    }
}

/// The reference of a key package in an MLSMessage (RFC 9420, 5.2). All ciphersuites of the
/// simulator use SHA-256.
fn reference(message: &[u8]) -> Vec<u8> {
    let mut input = Vec::with_capacity(message.len() + 64);
    push_variable(&mut input, b"MLS 1.0 KeyPackage Reference");
    // The key package follows the version and the wire format.
    push_variable(&mut input, message.get(4..).unwrap_or_default());
    Sha256::digest(&input).to_vec()
}

/// The references of the key packages in a welcome (RFC 9420, 12.4.3.1).
fn invited(welcome: &[u8]) -> Vec<&[u8]> {
    let mut references = Vec::new();
    // The secrets follow the version, the wire format and the ciphersuite.
    let secrets = welcome.get(6..).and_then(variable);
    let mut rest = secrets.map_or(&[][..], |(secrets, _)| secrets);
    while let Some((reference, after)) = variable(rest) {
        references.push(reference);
        let encrypted = variable(after).and_then(|(_kem_output, after)| variable(after));
        rest = encrypted.map_or(&[][..], |(_ciphertext, after)| after);
    }
    references
}
