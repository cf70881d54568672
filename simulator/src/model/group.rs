//! The group of the model: its tree, its members, and the costs of each entry of the log.

mod commit;
mod framing;
mod late;

use std::{borrow::Cow, collections::BTreeSet};

use rustc_hash::FxHashMap;

use self::{
    framing::Framed,
    late::{Membership, SentTotals},
};
use super::{
    baseline::partial_mls::{self, CommitterBefore, Upgrade},
    draft::Draft,
    encoding::vector,
    group_model::{
        Change, CommitParts, CommitPrice, Creation, DeviceNumber, GroupModel, GroupSettings, Ledger, MlsVariant,
        WaitingProposal,
    },
    messages::{LeafSource, MessageSizes, Sender},
    secret_tree::SecretTrees,
    tree::{CostTree, LeafIndex},
    work::{self, Framing, ProposalKind, ReceiverWork},
};
use crate::{
    cost::{
        ChangeCounts, CostCounts, CountSpread, EntryBytes, EntryCost, EntryKind, Operation, ServiceBytes, TreeShape,
        limits::TrafficTotals,
    },
    scenario::MemberName,
};

/// A device that was in the group.
#[derive(Clone, Debug)]
struct Device {
    /// The leaf of the device. Not set while the device is no member.
    leaf: Option<LeafIndex>,
    is_online: bool,
    /// True if the device was ever a member.
    was_member: bool,
    /// The memberships since the device went offline, which it has not caught up with.
    missed: Vec<Membership>,
}

impl Default for Device {
    fn default() -> Self {
        Self { leaf: None, is_online: true, was_member: false, missed: Vec::new() }
    }
}

/// An ordered handshake, as far as the work of a late receiver depends on it.
#[derive(Clone, Copy, Debug)]
struct Handshake {
    entry: usize,
    committer: LeafIndex,
    /// The levels of the filtered direct path, one bit for each. 0 for a proposal.
    levels: u64,
    work: ReceiverWork,
    /// The operations of a partial client.
    partial_work: ReceiverWork,
    /// The operations of a joiner, without those that depend on its leaf.
    joiner: CostCounts,
    /// The size of the welcome that the service delivers to one joiner.
    welcome_for_one: u64,
    /// The size of the handshake, as the service delivers it to a member.
    size: u64,
    /// The size, as the service delivers it to a member that the commit removes.
    size_for_removed: u64,
    is_commit: bool,
    /// True if the receivers ignore the handshake.
    is_ignored: bool,
}

/// The group, and the entries of its log so far.
pub(crate) struct CostGroup<'n> {
    pub(crate) settings: GroupSettings,
    names: &'n [MemberName],
    /// The size of each device's identity in its credential.
    identities: Vec<u16>,
    pub(crate) tree: CostTree,
    /// The device of each leaf.
    leaves: Vec<DeviceNumber>,
    devices: FxHashMap<DeviceNumber, Device>,
    secret_trees: SecretTrees,
    epoch: u64,
    sequence: u64,
    time: u64,
    waiting: Vec<WaitingProposal>,
    handshakes: Vec<Handshake>,
    sent: SentTotals,
    /// The members that hold the ratchet tree, in a group with partial clients.
    holders: BTreeSet<DeviceNumber>,
    pub(crate) ledger: Ledger,
}

impl<'n> CostGroup<'n> {
    /// A group that a device has just created.
    pub(crate) fn create(creation: Creation<'n>) -> Self {
        let Creation { settings, names, identities, by, time } = creation;
        let leaf = settings.sizes.leaf_node(u64::from(identities[by as usize]), LeafSource::KeyPackage);
        let tree = CostTree::new(settings.sizes.node_sizes(), leaf);
        let creator = Device { leaf: Some(0), is_online: true, was_member: true, missed: Vec::new() };
        let mut group = Self {
            settings,
            names,
            identities,
            tree,
            leaves: vec![by],
            devices: FxHashMap::from_iter([(by, creator)]),
            secret_trees: SecretTrees::default(),
            epoch: 0,
            sequence: 0,
            time,
            waiting: Vec::new(),
            handshakes: Vec::new(),
            sent: SentTotals::default(),
            holders: BTreeSet::from([by]),
            ledger: Ledger { devices: 1, ..Ledger::default() },
        };
        let counts = work::creation(&group.tree);
        let size = settings.sizes.group_info(0, group.tree.totals().encoded);
        group.ledger.charge(Operation::Create, counts, 1);
        let entry = EntryCost {
            tree: Some(group.tree_shape()),
            bytes: EntryBytes { group_info: Some(size), ..EntryBytes::default() },
            service: uploaded(size),
            committer: Some(counts),
            ..group.entry(EntryKind::Create, by)
        };
        group.ledger.order(entry);
        group
    }

    /// The leaf of a device.
    pub(crate) fn leaf(&self, device: DeviceNumber) -> Option<LeafIndex> {
        self.devices.get(&device)?.leaf
    }

    /// Orders a proposal.
    fn order_proposal(&mut self, proposal: WaitingProposal) {
        let WaitingProposal { by, change } = proposal;
        let Some(leaf) = self.leaf(by) else { return };
        // A member that proposes the same removal again signs the same content. Only encryption
        // makes it another message, which the receivers ignore.
        let is_known = matches!(change, Change::Remove(_)) && self.waiting.contains(&proposal);
        if is_known && !self.settings.sizes.opaque {
            return;
        }
        let sizes = self.settings.sizes;
        let (kind, content, changes) = match change {
            Change::Add(device) => (ProposalKind::Add, sizes.add(self.identity(device)), [1, 0, 0]),
            Change::Remove(_) => (ProposalKind::Remove, MessageSizes::remove(), [0, 1, 0]),
            Change::Update => (ProposalKind::Update, sizes.update(self.identity(by)), [0, 0, 1]),
        };
        let Framed { framing, others } = self.frame(by, leaf);
        let (sender, receiver) = work::proposal(kind, sizes.proposal_reference(content), framing);
        let size = sizes.handshake(Sender::Member, content, false);
        self.sequence += 1;
        let online = self.tree.online();
        let mut entry = EntryCost {
            changes: Some(change_counts(changes)),
            tree: Some(self.tree_shape()),
            bytes: EntryBytes { proposal: Some(size), ..EntryBytes::default() },
            service: ServiceBytes { deliveries: online, delivered: online * size, ..uploaded(size) },
            committer: Some(sender),
            ..self.entry(EntryKind::Proposal, by)
        };
        self.ledger.charge(Operation::Proposal, sender, 1);
        // The receivers process the proposal before they find that they know it.
        let mut ignored = CountSpread::default();
        let receivers = if is_known { &mut ignored } else { &mut entry.receivers };
        self.ledger.receive(receivers, Operation::ReceiveProposal, receiver, online - 1 - others.len() as u64);
        for (_, difference) in &others {
            self.ledger.receive(receivers, Operation::ReceiveProposal, difference.applied_to(receiver), 1);
        }
        if !is_known {
            self.waiting.push(proposal);
        }
        self.handshakes.push(Handshake {
            entry: self.ledger.entries.len(),
            committer: leaf,
            levels: 0,
            work: ReceiverWork { fixed: receiver, removed: receiver },
            partial_work: ReceiverWork { fixed: receiver, removed: receiver },
            joiner: CostCounts::default(),
            welcome_for_one: 0,
            size,
            size_for_removed: size,
            is_commit: false,
            is_ignored: is_known,
        });
        self.ledger.order(entry);
    }

    fn order_message(&mut self, by: DeviceNumber, text: u64) {
        let Some(leaf) = self.leaf(by) else { return };
        let (sender, receiver) = work::message(self.frame_private(by, leaf).framing);
        self.sequence += 1;
        self.ledger.messages += 1;
        self.ledger.charge(Operation::Send, sender, 1);
        self.ledger.charge(Operation::ReceiveMessage, receiver, self.tree.totals().members - 1);
        let size = self.settings.sizes.application(text);
        let online = self.tree.online();
        let (mut annotated, mut delivered) = (size, online * size);
        if self.is_partial() {
            annotated += partial_mls::proof(&self.tree, leaf);
            let holders = self.leaves_of_online_holders().len() as u64;
            delivered = holders * size + (online - holders) * annotated;
        }
        self.ledger.message(size, online, delivered);
        self.sent.messages += 1;
        self.sent.bytes += size;
        self.sent.annotated += annotated;
    }

    fn is_partial(&self) -> bool {
        self.settings.variant == MlsVariant::Partial
    }

    /// The leaves of the online members that hold the ratchet tree, in a group with partial clients.
    fn leaves_of_online_holders(&self) -> Vec<LeafIndex> {
        let online = self.holders.iter().filter(|device| self.is_online(**device));
        online.filter_map(|device| self.leaf(*device)).collect()
    }

    /// The committer of a commit that begins now, in a group with partial clients.
    pub(super) fn committer_before(&self, by: DeviceNumber, leaf: LeafIndex) -> CommitterBefore {
        if !self.is_partial() {
            return CommitterBefore::default();
        }
        let upgrade = (!self.holders.contains(&by)).then(|| Upgrade::of(&self.tree));
        CommitterBefore { proof: partial_mls::proof(&self.tree, leaf), upgrade }
    }

    pub(super) fn identity(&self, device: DeviceNumber) -> u64 {
        self.identities[device as usize].into()
    }

    fn tree_shape(&self) -> TreeShape {
        let totals = self.tree.totals();
        TreeShape {
            members: totals.members,
            leaves: totals.leaves,
            blank_parents: totals.blank_parents,
            unmerged_leaves: totals.unmerged,
            bytes: vector(totals.encoded),
        }
    }

    fn entry(&self, kind: EntryKind, who: DeviceNumber) -> EntryCost {
        EntryCost::new(self.sequence, self.epoch, self.time, kind, &self.names[who as usize])
    }
}

impl GroupModel for CostGroup<'_> {
    fn is_member(&self, device: DeviceNumber) -> bool {
        self.leaf(device).is_some()
    }

    fn members(&self) -> u64 {
        self.tree.totals().members
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_online(&self, device: DeviceNumber) -> bool {
        self.devices.get(&device).is_none_or(|device| device.is_online)
    }

    fn waiting(&self) -> &[WaitingProposal] {
        &self.waiting
    }

    fn set_time(&mut self, seconds: u64) {
        self.time = seconds;
    }

    fn set_online(&mut self, device: DeviceNumber, online: bool) {
        self.connect(device, online);
    }

    fn encrypt_early(&mut self, device: DeviceNumber) {
        if let Some(leaf) = self.leaf(device) {
            self.secret_trees.encrypt_early(device, leaf, self.tree.totals().leaves);
        }
    }

    fn propose(&mut self, proposal: WaitingProposal) {
        self.order_proposal(proposal);
    }

    fn send(&mut self, by: DeviceNumber, text: u64) {
        self.order_message(by, text);
    }

    fn commit(&mut self, by: DeviceNumber, parts: &CommitParts) {
        let Some(leaf) = self.leaf(by) else { return };
        let framed = self.frame(by, leaf);
        self.order(&Draft::of_member(self, by, leaf, parts), &framed);
    }

    fn join(&mut self, by: DeviceNumber) {
        self.join_with(by, 0);
    }

    fn price_commit(&mut self, by: DeviceNumber, parts: &CommitParts) -> Option<CommitPrice> {
        let leaf = self.leaf(by)?;
        let framing = Framing {
            is_private: self.settings.sizes.opaque,
            has_tag: !self.settings.sizes.opaque,
            sender_derivations: self.secret_trees.unsent(by),
            receiver_derivations: 0,
        };
        Some(self.price(&Draft::of_member(self, by, leaf, parts), framing))
    }

    fn price_join(&mut self, by: DeviceNumber) -> Option<CommitPrice> {
        Some(self.price_join_with(by, 0))
    }

    fn ledger(&self) -> Cow<'_, Ledger> {
        Cow::Borrowed(&self.ledger)
    }

    fn totals(&self) -> (usize, TrafficTotals) {
        self.ledger.totals()
    }

    fn into_ledger(self: Box<Self>) -> Ledger {
        self.ledger
    }
}

/// The number of path nodes from the common ancestor of two leaves up.
fn nodes_above(levels: u64, committer: LeafIndex, leaf: LeafIndex) -> u64 {
    let common = LeafIndex::BITS - (committer ^ leaf).leading_zeros();
    (levels >> common).count_ones().into()
}

pub(super) fn change_counts([adds, removes, updates]: [u64; 3]) -> ChangeCounts {
    ChangeCounts { adds, removes, updates }
}

fn uploaded(uploaded: u64) -> ServiceBytes {
    ServiceBytes { uploaded, ..ServiceBytes::default() }
}
