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
use regrow_engine::{Change, DeviceId, GroupId, KeyPackageBytes, MessageId, PendingCommit, Timestamp};

use super::{
    group_facts::FactsOfGroups,
    known_key_packages::{KnownKeyPackages, MadeKeyPackage},
};
use crate::{
    adversary::{Answers, CallLog, Derivation, Evidence, Goal, HeldSecrets, StolenBytes, Traffic, TrafficKind},
    cost::{CostCounts, Costs, Operation},
    oracle::{
        Commit, CommitId, DeviceNumber, Fact, KeyPackageId, KeyPair, MessageNumber, Oracle, ProposalId, ProposalKind,
        Reach, RetentionPolicy,
    },
    scenario::CompromiseId,
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
    groups: FactsOfGroups,
    logs: Vec<Arc<CallLog>>,
    /// The call logs of the thieves.
    thieves: Vec<Arc<CallLog>>,
    /// The last number that was given.
    next: u64,
    key_packages: KnownKeyPackages,
    /// All commits with their groups, by the hash of the commit and by the hash of its welcome.
    made: BTreeMap<MessageId, (GroupId, CommitId)>,
    /// The key package by which a commit adds a device.
    invited: BTreeMap<(CommitId, usize), KeyPackageId>,
    /// All proposals with their groups, by the hash of the message. The flag is true for an update.
    proposed: BTreeMap<MessageId, (GroupId, ProposalId, bool)>,
    /// All encrypted application messages with their groups, by the hash of the message.
    encrypted: BTreeMap<MessageId, (GroupId, MessageNumber)>,
    /// The ordered application messages by their index: the group, and the oracle's number.
    sent: BTreeMap<usize, (GroupId, MessageNumber)>,
}

impl FactRecorder {
    /// An empty recorder. It counts costs, even if it records nothing.
    pub(super) fn new(recorded: RecordedFacts, policy: &regrow_engine::Policy) -> Self {
        let policy = retention(policy);
        Self {
            recorded,
            evidence: Evidence::default(),
            groups: FactsOfGroups::new(policy),
            logs: Vec::new(),
            thieves: Vec::new(),
            next: 0,
            key_packages: KnownKeyPackages::default(),
            made: BTreeMap::new(),
            invited: BTreeMap::new(),
            proposed: BTreeMap::new(),
            encrypted: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// A device has a policy of its own. It is told before there is a group.
    pub(super) fn has_policy(&mut self, of: usize, policy: &regrow_engine::Policy) {
        self.groups.set_policy(DeviceNumber(of), retention(policy));
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

    /// The model of a group, as far as it has been recorded.
    pub(super) fn oracle(&self, group: &GroupId) -> &Oracle {
        self.groups.oracle(group)
    }

    /// The group of the ordered application message with this index, and the oracle's number of it.
    pub(super) fn number_of(&self, index: usize) -> Option<(&GroupId, MessageNumber)> {
        self.sent.get(&index).map(|(group, message)| (group, *message))
    }

    /// The secrets that a device holds now, by the oracles.
    pub(super) fn holdings(&self, of: usize) -> HeldSecrets {
        self.groups.holdings(of)
    }

    /// The secrets that follow from the holdings, in each group.
    pub(super) fn reaches<'a>(&'a self, holdings: &'a HeldSecrets) -> BTreeMap<&'a GroupId, Reach<'a>> {
        self.groups.oracles().map(|(group, oracle)| (group, oracle.reach(holdings.of(group)))).collect()
    }

    /// The messages that a thief with these bytes and holdings can read, and the disagreements.
    /// `replayed` are the messages that the engine reads.
    pub(super) fn answers(
        &self,
        stolen: &[StolenBytes],
        holdings: &HeldSecrets,
        replayed: &BTreeSet<usize>,
    ) -> Answers {
        let reaches = self.reaches(holdings);
        let exposed: BTreeMap<_, _> = reaches.iter().map(|(group, reach)| (*group, reach.exposed())).collect();
        let is_exposed = |(group, message): &(GroupId, MessageNumber)| {
            exposed.get(group).is_some_and(|exposed| exposed.contains(message))
        };
        let predicted = self.sent.iter().filter(|(_, sent)| is_exposed(sent));
        let predicted = predicted.map(|(number, _)| *number).collect();
        let why = |number| {
            let reason = self.sent.get(&number).map(|(group, message)| Some(reaches.get(group)?.why(*message)));
            reason.flatten().unwrap_or_default()
        };
        Answers::compare(self.evidence.exposure(stolen), &predicted, replayed, why)
    }

    /// The derivations of these secrets from the stolen bytes.
    pub(super) fn derivations(&self, stolen: &[StolenBytes], goals: &[Goal]) -> Vec<Option<Derivation>> {
        if goals.is_empty() { Vec::new() } else { self.evidence.derivations(stolen, goals) }
    }

    /// The oracle's reasons for its answer about a message.
    pub(super) fn why(&self, holdings: &HeldSecrets, number: usize) -> Vec<String> {
        let why = |(group, message): &(GroupId, MessageNumber)| {
            self.groups.oracle(group).reach(holdings.of(group)).why(*message)
        };
        self.sent.get(&number).map(why).unwrap_or_default()
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
        self.groups.impossible()
    }

    /// Tells the oracle of a group.
    fn tell(&mut self, group: &GroupId, fact: Fact) {
        if self.recorded >= RecordedFacts::Facts {
            self.groups.apply(group, fact);
        }
    }

    /// Tells the oracles of all groups.
    fn tell_all(&mut self, fact: &Fact) {
        if self.recorded >= RecordedFacts::Facts {
            self.groups.apply_to_all(fact);
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

    /// A device has made a key package. It erases the key package at the time `expires`.
    pub(super) fn key_package_made(
        &mut self,
        of: usize,
        bytes: &KeyPackageBytes,
        expires: Timestamp,
        last_resort: bool,
    ) {
        let key_package = KeyPackageId(self.number());
        self.key_packages.made(of, key_package, bytes, expires, last_resort);
        self.tell_all(&Fact::KeyPackageMade { of: DeviceNumber(of), key_package, last_resort });
    }

    /// The key packages whose private keys a device has.
    pub(super) fn key_packages_on(&self, device: usize) -> Vec<KeyPackageBytes> {
        self.key_packages.on_device(device)
    }

    /// A device has erased its expired key packages.
    pub(super) fn key_packages_expired(&mut self, of: usize, now: Timestamp) {
        let gone = self.key_packages.expired(of, now);
        self.key_packages_gone(of, gone);
    }

    /// A device has erased these key packages, as far as it had them.
    pub(super) fn key_packages_erased(&mut self, of: usize, key_packages: &[KeyPackageBytes]) {
        let gone = self.key_packages.erased(key_packages);
        self.key_packages_gone(of, gone);
    }

    /// A device has erased all of its records.
    pub(super) fn emptied(&mut self, of: usize) {
        let gone = self.key_packages_on(of);
        self.key_packages_erased(of, &gone);
        self.tell_all(&Fact::Forgot { who: DeviceNumber(of) });
    }

    fn key_packages_gone(&mut self, of: usize, gone: Vec<KeyPackageId>) {
        for key_package in gone {
            self.tell_all(&Fact::KeyPackageErased { of: DeviceNumber(of), key_package });
        }
    }

    /// The key packages among the holdings that are in an ordered commit. For each one, the groups and
    /// the epochs to which the welcomes lead.
    pub(super) fn opened_welcomes(&self, holdings: &HeldSecrets) -> Vec<(MadeKeyPackage, Vec<(GroupId, u64)>)> {
        let mut opened = BTreeMap::<_, Vec<_>>::new();
        for (group, oracle) in self.groups.oracles() {
            let held = holdings.of(group).private_keys();
            for (epoch, ordered) in (0..).zip(oracle.ordered_epochs()) {
                let adds = ordered.commit.map(|(_, commit, _)| &commit.adds[..]).unwrap_or_default();
                for (_, key_package) in adds.iter().filter(|(_, added)| held.contains(&KeyPair::Init(*added))) {
                    opened.entry(*key_package).or_default().push((group.clone(), epoch));
                }
            }
        }
        let known = opened.into_iter().filter_map(|(id, welcomes)| Some((self.key_packages.get(id)?, welcomes)));
        known.collect()
    }

    pub(super) fn created(&mut self, group: &GroupId, by: usize) {
        self.tell(group, Fact::Created { by: DeviceNumber(by) });
    }

    /// A device has made a commit. `device` gives the index of a device.
    pub(super) fn prepared(&mut self, by: usize, pending: &PendingCommit, device: impl Fn(&DeviceId) -> Option<usize>) {
        let (group, id) = (pending.group(), CommitId(self.number()));
        for message in [Some(pending.commit()), pending.welcome()].into_iter().flatten() {
            self.made.insert(MessageId::of(message), (group.clone(), id));
        }
        let mut what = Commit { epoch: pending.epoch().0, external: pending.is_external(), ..Commit::default() };
        let invited = pending.welcome().map(|welcome| self.key_packages.invited(welcome)).unwrap_or_default();
        for change in pending.changes() {
            match change {
                Change::Added(added) => {
                    let added = device(added).and_then(|added| Some((DeviceNumber(added), *invited.get(&added)?)));
                    what.adds.extend(added);
                }
                Change::Removed(removed) => what.removes.extend(device(removed).map(DeviceNumber)),
                Change::Updated(updated) => {
                    let updated = device(updated);
                    let updates = &self.groups.group(group).updates;
                    let proposal = updated.and_then(|updated| Some((DeviceNumber(updated), *updates.get(&updated)?)));
                    what.updates.extend(proposal);
                }
                Change::Data(_) => {}
            }
        }
        self.invited.extend(what.adds.iter().map(|(added, key_package)| ((id, added.0), *key_package)));
        self.tell(group, Fact::Prepared { by: DeviceNumber(by), commit: id, what });
    }

    pub(super) fn discarded(&mut self, by: usize, pending: &PendingCommit) {
        if let Some((group, commit)) = self.made.get(&MessageId::of(pending.commit())).cloned() {
            self.tell(&group, Fact::Discarded { by: DeviceNumber(by), commit });
        }
    }

    /// The service has ordered a commit as this log entry.
    pub(super) fn commit_ordered(&mut self, sequence: Sequence, pending: &PendingCommit) {
        self.show(pending.commit());
        pending.welcome().iter().for_each(|welcome| self.show(welcome));
        self.groups.group(pending.group()).updates.clear();
        if let Some((group, commit)) = self.made.get(&MessageId::of(pending.commit())).cloned() {
            self.groups.group(&group).ordered.insert(sequence, commit);
            self.tell(&group, Fact::Ordered { commit });
        }
    }

    /// A device has entered the epoch of its own commit.
    pub(super) fn confirmed(&mut self, who: usize, commit: &[u8]) {
        if let Some((group, commit)) = self.made.get(&MessageId::of(commit)).cloned() {
            self.tell(&group, Fact::Entered { who: DeviceNumber(who), commit });
        }
    }

    /// A device has processed the commit of this log entry.
    pub(super) fn entered(&mut self, who: usize, group: &GroupId, sequence: Sequence) {
        if let Some(commit) = self.groups.ordered(group, sequence) {
            self.tell(group, Fact::Entered { who: DeviceNumber(who), commit });
        }
    }

    /// A device has joined by the welcome of this log entry.
    pub(super) fn joined(&mut self, who: usize, group: &GroupId, sequence: Sequence) {
        if let Some(commit) = self.groups.ordered(group, sequence) {
            let used = self.invited.get(&(commit, who)).copied();
            used.into_iter().for_each(|used| self.key_packages.used(used));
            self.joined_by(who, group, commit, used);
        }
    }

    /// A device or a thief has joined a group by a welcome. A one-time key package is gone in the
    /// other groups, too.
    fn joined_by(&mut self, who: usize, group: &GroupId, commit: CommitId, used: Option<KeyPackageId>) {
        let of = DeviceNumber(who);
        self.tell(group, Fact::Joined { who: of, commit });
        let gone = used.filter(|used| !self.key_packages.is_last_resort(*used));
        if let Some(key_package) = gone.filter(|_| self.recorded >= RecordedFacts::Facts) {
            self.groups.apply_to_others(Some(group), &Fact::KeyPackageErased { of, key_package });
        }
    }

    /// A device has erased its state of a group.
    pub(super) fn forgot(&mut self, who: usize, group: &GroupId) {
        self.tell(group, Fact::Forgot { who: DeviceNumber(who) });
    }

    /// A device has erased past epochs of a group that were too old, and keeps this number.
    pub(super) fn past_erased(&mut self, who: usize, group: &GroupId, kept: usize) {
        self.tell(group, Fact::PastErased { who: DeviceNumber(who), kept });
    }

    pub(super) fn proposed(&mut self, by: usize, group: &GroupId, message: &[u8], update: bool) {
        let proposal = ProposalId(self.number());
        self.proposed.insert(MessageId::of(message), (group.clone(), proposal, update));
        let what = if update { ProposalKind::Update } else { ProposalKind::Other };
        self.tell(group, Fact::Proposed { by: DeviceNumber(by), proposal, what });
    }

    pub(super) fn proposal_ordered(&mut self, by: usize, message: &[u8]) {
        self.show(message);
        if let Some((group, proposal, true)) = self.proposed.get(&MessageId::of(message)) {
            self.groups.group(group).updates.insert(by, *proposal);
        }
    }

    /// A device has processed another device's proposal.
    pub(super) fn received(&mut self, who: usize, message: MessageId) {
        if let Some((group, proposal, _)) = self.proposed.get(&message).cloned() {
            self.tell(&group, Fact::Received { who: DeviceNumber(who), proposal });
        }
    }

    pub(super) fn encrypted(&mut self, by: usize, group: &GroupId, message: &[u8]) {
        let number = MessageNumber(self.number());
        self.encrypted.insert(MessageId::of(message), (group.clone(), number));
        self.tell(group, Fact::Encrypted { by: DeviceNumber(by), message: number });
    }

    /// The service has ordered the application message with this index.
    pub(super) fn message_ordered(&mut self, number: usize, message: &[u8], text: &[u8]) {
        if self.has_bytes() {
            self.read_tapes();
            self.evidence.message_sent(number, message, text);
        }
        if let Some((group, message)) = self.encrypted.get(&MessageId::of(message)).cloned() {
            self.sent.insert(number, (group.clone(), message));
            self.tell(&group, Fact::Sent { message });
        }
    }

    pub(super) fn read(&mut self, who: usize, number: usize) {
        if let Some((group, message)) = self.sent.get(&number).cloned() {
            self.tell(&group, Fact::Read { who: DeviceNumber(who), message });
        }
    }

    /// The thief with this number has stolen a device.
    pub(super) fn stolen(&mut self, of: usize, thief: usize) {
        self.tell_all(&Fact::Stolen { of: DeviceNumber(of), thief: DeviceNumber(thief) });
    }

    /// The replay of a thief with this number, which stole that device, has followed an ordered
    /// entry.
    pub(super) fn followed(&mut self, thief: usize, device: usize, entry: &Traffic) {
        let message = MessageId::of(&entry.bytes);
        match (entry.kind, entry.message, self.made.get(&message).cloned()) {
            (TrafficKind::Commit, _, Some((group, commit))) => {
                self.tell(&group, Fact::Entered { who: DeviceNumber(thief), commit });
            }
            (TrafficKind::Welcome, _, Some((group, commit))) => {
                self.tell(&group, Fact::Forgot { who: DeviceNumber(thief) });
                let used = self.invited.get(&(commit, device)).copied();
                self.joined_by(thief, &group, commit, used);
            }
            (TrafficKind::Proposal, ..) => self.received(thief, message),
            (TrafficKind::Message, Some(number), _) => self.read(thief, number),
            _ => {}
        }
    }

    /// A device is in this epoch of a group.
    pub(super) fn epoch(&mut self, group: &GroupId, epoch: u64, authenticator: &[u8]) {
        // Nearly always another member has told the same, and its calls contain the same secrets.
        if !self.evidence.has_epoch(group, epoch, authenticator) {
            self.read_tapes();
            self.evidence.epoch(group, epoch, authenticator);
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

/// The part of a policy that decides which secrets a device keeps.
fn retention(policy: &regrow_engine::Policy) -> RetentionPolicy {
    RetentionPolicy {
        past_epochs: policy.past_epochs,
        out_of_order: policy.out_of_order,
        opaque: policy.handshake == regrow_engine::HandshakeMode::Opaque,
    }
}
