//! The group of a modelled protocol, as the player sees it.
//!
//! Every protocol plays the same steps. It decides only what each action costs.

use std::borrow::Cow;

use regrow_engine::HandshakeMode;

use super::{messages::MessageSizes, suite::SuiteSizes};
use crate::{
    cost::{CostCounts, Costs, CountSpread, EntryCost, Operation, limits::TrafficTotals},
    report::MessageTraffic,
    scenario::{MemberName, Protocol, Scenario},
    world::policy_without_suite,
};

/// The number of a device: its place in the list of members of the scenario.
pub(crate) type DeviceNumber = u32;

/// The group of a protocol, and the costs of its actions so far.
///
/// The player has checked that an action is possible before it calls its method.
pub(crate) trait GroupModel {
    /// True if the device is a member.
    fn is_member(&self, device: DeviceNumber) -> bool;

    /// The number of members.
    fn members(&self) -> u64;

    /// The number of commits so far.
    fn epoch(&self) -> u64;

    /// True if the device is connected. Every device is at the beginning.
    fn is_online(&self, device: DeviceNumber) -> bool;

    /// The proposals that wait for a commit.
    fn waiting(&self) -> &[WaitingProposal];

    /// The virtual seconds since the scenario began.
    fn set_time(&mut self, seconds: u64);

    /// The device is connected, or not. A device that is connected again catches up.
    fn set_online(&mut self, device: DeviceNumber, online: bool);

    /// A device encrypts a message before it reads the messages of the others.
    fn encrypt_early(&mut self, device: DeviceNumber);

    /// Orders a proposal.
    fn propose(&mut self, proposal: WaitingProposal);

    /// Orders an application message with this number of bytes of text.
    fn send(&mut self, by: DeviceNumber, text: u64);

    /// Orders the commit of a member.
    fn commit(&mut self, by: DeviceNumber, parts: &CommitParts);

    /// Orders the external commit of a device, which replaces its old leaf if it has one.
    fn join(&mut self, by: DeviceNumber);

    /// The costs of a commit that a member makes now, and that loses its race. [`None`] if the
    /// protocol loses no commits.
    fn price_commit(&mut self, by: DeviceNumber, parts: &CommitParts) -> Option<CommitPrice>;

    /// The costs of an external commit that a device makes now, and that loses its race.
    fn price_join(&mut self, by: DeviceNumber) -> Option<CommitPrice>;

    /// The costs so far. Only for an expectation: the ledger may have to be copied.
    fn ledger(&self) -> Cow<'_, Ledger>;

    /// The number of entries so far, and the traffic.
    fn totals(&self) -> (usize, TrafficTotals);

    /// Ends the run, and returns its costs.
    fn into_ledger(self: Box<Self>) -> Ledger;
}

/// The settings of a modelled group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupSettings {
    pub(crate) sizes: MessageSizes,
    pub(crate) publishes_group_info: bool,
    pub(crate) variant: MlsVariant,
}

impl GroupSettings {
    /// The settings of a scenario's group.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let policy = policy_without_suite(&scenario.group);
        let sizes = MessageSizes {
            suite: SuiteSizes::of(scenario.group.ciphersuite.unwrap_or_default()),
            opaque: policy.handshake == HandshakeMode::Opaque,
            padding: policy.padding as u64,
            context_extensions: 0,
            psk_identifiers: 0,
        };
        Self { sizes, publishes_group_info: policy.publish_group_info, variant: MlsVariant::of(scenario.protocol) }
    }
}

/// The variants of MLS that differ from the engine only in the path of a commit, or in its delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MlsVariant {
    /// MLS as the engine uses it.
    #[default]
    Engine,
    OptionalPaths,
    SplitCommits,
    Partial,
}

impl MlsVariant {
    /// The variant that a protocol uses.
    pub(crate) fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::MlsOptionalPaths => Self::OptionalPaths,
            Protocol::SplitCommits => Self::SplitCommits,
            Protocol::PartialMls => Self::Partial,
            _ => Self::Engine,
        }
    }
}

/// The creation of a group.
#[derive(Clone, Debug)]
pub(crate) struct Creation<'n> {
    pub(crate) settings: GroupSettings,
    pub(crate) names: &'n [MemberName],
    /// The size of each device's identity in its credential.
    pub(crate) identities: Vec<u16>,
    pub(crate) by: DeviceNumber,
    /// The virtual seconds since the scenario began.
    pub(crate) time: u64,
}

/// A proposal that waits for a commit of its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitingProposal {
    pub(crate) by: DeviceNumber,
    pub(crate) change: Change,
}

/// The change of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Add(DeviceNumber),
    Remove(DeviceNumber),
    /// The proposer's own leaf.
    Update,
}

/// The proposals of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommitParts {
    /// The devices that the commit adds by proposals that it contains itself.
    pub(crate) add: Vec<DeviceNumber>,
    /// The members that it removes in this way.
    pub(crate) remove: Vec<DeviceNumber>,
    /// The proposals that it refers to.
    pub(crate) referred: Vec<WaitingProposal>,
    /// True if the committer wants new keys of its own.
    pub(crate) updates: bool,
    pub(crate) new_signature_key: bool,
    /// True for the first attempt. Later attempts have verified key packages.
    pub(crate) verifies_key_packages: bool,
    /// The bytes of further proposals, which change no member.
    pub(crate) other_proposals: u64,
}

impl CommitParts {
    /// The devices that the commit adds. OpenMLS puts the referred proposals before those that the
    /// commit contains itself.
    pub(crate) fn added(&self) -> Vec<DeviceNumber> {
        let referred = self.referred.iter().filter_map(|proposal| match proposal.change {
            Change::Add(who) => Some(who),
            _ => None,
        });
        referred.chain(self.add.iter().copied()).collect()
    }

    /// The members that the commit removes.
    pub(crate) fn removed(&self) -> Vec<DeviceNumber> {
        let referred = self.referred.iter().filter_map(|proposal| match proposal.change {
            Change::Remove(who) => Some(who),
            _ => None,
        });
        self.remove.iter().copied().chain(referred).collect()
    }

    /// The members whose update proposals the commit refers to.
    pub(crate) fn updated(&self) -> Vec<DeviceNumber> {
        let updates = self.referred.iter().filter(|proposal| proposal.change == Change::Update);
        updates.map(|proposal| proposal.by).collect()
    }
}

/// The costs of a commit that is not ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommitPrice {
    /// The commit, with its welcome and its group info.
    pub(crate) bytes: u64,
    /// The operations of the committer.
    pub(crate) counts: CostCounts,
}

impl CommitPrice {
    /// Adds the price of a commit beside this one.
    pub(crate) fn beside(mut self, other: Self) -> Self {
        self.bytes += other.bytes;
        self.counts += other.counts;
        self
    }
}

/// The costs of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<EntryCost>,
    /// The bytes of the handshakes and welcomes that the service delivered.
    pub(crate) handshakes_delivered: u64,
    pub(crate) costs: Costs,
    /// The number of application messages.
    pub(crate) messages: u64,
    pub(crate) traffic: MessageTraffic,
    /// The number of devices that were ever members.
    pub(crate) devices: u64,
}

impl Ledger {
    /// Adds an entry with its first deliveries.
    pub(crate) fn order(&mut self, entry: EntryCost) {
        self.handshakes_delivered += entry.service.delivered;
        self.entries.push(entry);
    }

    /// Adds a later delivery of an entry.
    pub(crate) fn deliver(&mut self, entry: usize, bytes: u64) -> &mut EntryCost {
        self.handshakes_delivered += bytes;
        let entry = &mut self.entries[entry];
        entry.service.deliveries += 1;
        entry.service.delivered += bytes;
        entry
    }

    /// The number of entries so far, and the traffic.
    pub(crate) fn totals(&self) -> (usize, TrafficTotals) {
        (self.entries.len(), TrafficTotals::new(self.handshakes_delivered, self.traffic))
    }

    /// Adds the operations of several devices.
    pub(crate) fn charge(&mut self, operation: Operation, counts: CostCounts, devices: u64) {
        if devices > 0 {
            let mut total = counts.times(devices);
            total.calls = devices;
            *self.costs.entry(operation).or_default() += total;
        }
    }

    /// Adds several devices that received an entry.
    pub(crate) fn receive(
        &mut self,
        receivers: &mut CountSpread,
        operation: Operation,
        counts: CostCounts,
        devices: u64,
    ) {
        receivers.add_many(counts, devices);
        self.charge(operation, counts, devices);
    }

    /// Adds the bytes of an application message.
    pub(crate) fn message(&mut self, uploaded: u64, deliveries: u64, delivered: u64) {
        self.traffic.uploaded_bytes += uploaded;
        self.traffic.deliveries += deliveries;
        self.traffic.delivered_bytes += delivered;
    }
}
