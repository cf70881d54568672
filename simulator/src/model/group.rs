//! The group of the model: its tree, its members, and the costs of each entry of the log.

use rustc_hash::FxHashMap;

use super::{
    draft::{CommitPrice, Draft, Measured, below, sorted},
    messages::{LeafSource, MessageSizes, Sender},
    secret_tree::{Derivations, SecretTrees},
    tree::{CostTree, LeafIndex},
    work::{self, Framing, ProposalKind, ReceiverWork},
};
use crate::{
    cost::{
        ChangeCounts, CostCounts, Costs, CountSpread, EntryBytes, EntryCost, EntryKind, Operation, PathShape,
        ServiceBytes, TreeShape,
    },
    scenario::MemberName,
};

use super::encoding::vector;

/// The number of a device: its place in the list of members of the scenario.
pub(crate) type DeviceNumber = u32;

/// The settings of a modelled group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupSettings {
    pub(crate) sizes: MessageSizes,
    pub(crate) publishes_group_info: bool,
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
    pub(crate) new_signature_key: bool,
    /// True for the first attempt. Later attempts have verified key packages.
    pub(crate) verifies_key_packages: bool,
}

/// A device that was in the group.
#[derive(Clone, Debug)]
struct Device {
    /// The leaf of the device. Not set while the device is no member.
    leaf: Option<LeafIndex>,
    is_online: bool,
    /// The memberships since the device went offline, which it has not caught up with.
    missed: Vec<Membership>,
}

/// The part of the log that a device reads as a member at one leaf.
#[derive(Clone, Copy, Debug)]
struct Membership {
    leaf: LeafIndex,
    /// The number of the first handshake.
    from: usize,
    /// True if the handshake before the first one has added the device.
    joins: bool,
    /// The number of the handshake that removes the device.
    until: Option<usize>,
}

/// An ordered handshake, as far as the work of a late receiver depends on it.
#[derive(Clone, Copy, Debug)]
struct Handshake {
    entry: usize,
    committer: LeafIndex,
    /// The levels of the filtered direct path, one bit for each. 0 for a proposal.
    levels: u64,
    work: ReceiverWork,
    /// The operations of a joiner, without those that depend on its leaf.
    joiner: CostCounts,
    /// The size of the welcome that the service delivers to one joiner.
    welcome_for_one: u64,
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
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) time: u64,
    pub(crate) waiting: Vec<WaitingProposal>,
    handshakes: Vec<Handshake>,
    pub(crate) entries: Vec<EntryCost>,
    pub(crate) costs: Costs,
    pub(crate) messages: u64,
}

impl<'n> CostGroup<'n> {
    /// A group that a device has just created.
    pub(crate) fn create(
        settings: GroupSettings,
        names: &'n [MemberName],
        identities: Vec<u16>,
        by: DeviceNumber,
        time: u64,
    ) -> Self {
        let leaf = settings.sizes.leaf_node(u64::from(identities[by as usize]), LeafSource::KeyPackage);
        let tree = CostTree::new(settings.sizes.node_sizes(), leaf);
        let creator = Device { leaf: Some(0), is_online: true, missed: Vec::new() };
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
            entries: Vec::new(),
            costs: Costs::new(),
            messages: 0,
        };
        let counts = work::creation(&group.tree);
        let size = settings.sizes.group_info(0, group.tree.totals().encoded);
        group.charge(Operation::Create, counts, 1);
        let entry = EntryCost {
            tree: Some(group.tree_shape()),
            bytes: EntryBytes { group_info: Some(size), ..EntryBytes::default() },
            service: uploaded(size),
            committer: Some(counts),
            ..group.entry(EntryKind::Create, by)
        };
        group.entries.push(entry);
        group
    }

    /// The leaf of a device.
    pub(crate) fn leaf(&self, device: DeviceNumber) -> Option<LeafIndex> {
        self.devices.get(&device)?.leaf
    }

    /// True if the device is connected. Every device is at the beginning.
    pub(crate) fn is_online(&self, device: DeviceNumber) -> bool {
        self.devices.get(&device).is_none_or(|device| device.is_online)
    }

    /// Orders a proposal.
    pub(crate) fn propose(&mut self, proposal: WaitingProposal) {
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
        self.charge(Operation::Proposal, sender, 1);
        // The receivers process the proposal before they find that they know it.
        let mut ignored = CountSpread::default();
        let receivers = if is_known { &mut ignored } else { &mut entry.receivers };
        self.receive(receivers, Operation::ReceiveProposal, receiver, online - 1 - others.len() as u64);
        for (_, difference) in &others {
            self.receive(receivers, Operation::ReceiveProposal, difference.applied_to(receiver), 1);
        }
        if !is_known {
            self.waiting.push(proposal);
        }
        self.handshakes.push(Handshake {
            entry: self.entries.len(),
            committer: leaf,
            levels: 0,
            work: ReceiverWork { fixed: receiver, removed: receiver },
            joiner: CostCounts::default(),
            welcome_for_one: 0,
            is_commit: false,
            is_ignored: is_known,
        });
        self.entries.push(entry);
    }

    /// Orders an application message with this number of bytes. Returns the size of the message.
    pub(crate) fn send(&mut self, by: DeviceNumber, text: u64) -> u64 {
        let Some(leaf) = self.leaf(by) else { return 0 };
        let (sender, receiver) = work::message(self.frame_private(by, leaf).framing);
        self.sequence += 1;
        self.messages += 1;
        self.charge(Operation::Send, sender, 1);
        self.charge(Operation::ReceiveMessage, receiver, self.tree.totals().members - 1);
        self.settings.sizes.application(text)
    }

    /// Orders the commit of a member.
    pub(crate) fn commit(&mut self, by: DeviceNumber, parts: &CommitParts) {
        let Some(leaf) = self.leaf(by) else { return };
        let framed = self.frame(by, leaf);
        self.order(&Draft::of_member(self, by, leaf, parts), &framed);
    }

    /// Orders the external commit of a device, which replaces its old leaf if it has one.
    pub(crate) fn join(&mut self, by: DeviceNumber) {
        self.order(&Draft::of_joiner(self, by), &Framed::default());
    }

    /// The costs of a commit that a member makes now, and that is not ordered.
    pub(crate) fn price_commit(&mut self, by: DeviceNumber, parts: &CommitParts) -> Option<CommitPrice> {
        let leaf = self.leaf(by)?;
        let framing = Framing {
            is_private: self.settings.sizes.opaque,
            has_tag: !self.settings.sizes.opaque,
            sender_derivations: self.secret_trees.unsent(by),
            receiver_derivations: 0,
        };
        Some(self.price(&Draft::of_member(self, by, leaf, parts), framing))
    }

    /// The costs of an external commit that a device makes now, and that is not ordered.
    pub(crate) fn price_join(&mut self, by: DeviceNumber) -> CommitPrice {
        self.price(&Draft::of_joiner(self, by), Framing::default())
    }

    fn price(&mut self, draft: &Draft, framing: Framing) -> CommitPrice {
        let (settings, epoch, identity) = (self.settings, self.epoch, self.identity(draft.by));
        self.tree.attempt(|tree| {
            let measured = draft.measure(tree, &settings, epoch, identity, framing);
            let beside = measured.group_info.unwrap_or_default() + measured.welcome.unwrap_or_default();
            CommitPrice { bytes: measured.commit + beside, counts: measured.committer }
        })
    }

    /// The device is connected, or not. A device that is connected again catches up.
    pub(crate) fn set_online(&mut self, number: DeviceNumber, online: bool) {
        let next = self.handshakes.len();
        let device = self.devices.entry(number).or_insert(Device { leaf: None, is_online: true, missed: Vec::new() });
        if device.is_online == online {
            return;
        }
        device.is_online = online;
        let leaf = device.leaf;
        if let Some(leaf) = leaf {
            self.tree.set_online(leaf, online);
        }
        if online {
            let missed = std::mem::take(&mut device.missed);
            for membership in missed {
                self.catch_up(number, membership);
            }
        } else if let Some(leaf) = leaf {
            device.missed.push(Membership { leaf, from: next, joins: false, until: None });
        }
    }

    /// Adds the costs of a device that reads the entries of a membership late.
    fn catch_up(&mut self, device: DeviceNumber, membership: Membership) {
        if membership.joins {
            let handshake = self.handshakes[membership.from - 1];
            let counts = self.joiner_counts(&handshake, device, membership.leaf);
            self.deliver_welcome(&handshake, counts);
        }
        let end = membership.until.map_or(self.handshakes.len(), |until| until + 1);
        for number in membership.from..end {
            let handshake = self.handshakes[number];
            let mut counts = handshake.work.removed;
            if membership.until != Some(number) {
                counts = handshake.work.fixed;
                if handshake.levels != 0 {
                    counts += work::along_path(nodes_above(handshake.levels, handshake.committer, membership.leaf));
                }
            }
            let entry = &mut self.entries[handshake.entry];
            entry.service.deliveries += 1;
            entry.service.delivered += entry.bytes.commit.or(entry.bytes.proposal).unwrap_or_default();
            if !handshake.is_ignored {
                entry.receivers.add_many(counts, 1);
            }
            let operation = if handshake.is_commit { Operation::ReceiveCommit } else { Operation::ReceiveProposal };
            self.charge(operation, counts, 1);
        }
    }

    fn joiner_counts(&self, handshake: &Handshake, device: DeviceNumber, leaf: LeafIndex) -> CostCounts {
        let mut counts = handshake.joiner;
        let reference = self.settings.sizes.key_package_reference(self.identity(device));
        counts.hashed_bytes += work::own_references(reference);
        counts += work::along_path(nodes_above(handshake.levels, handshake.committer, leaf));
        counts
    }

    fn deliver_welcome(&mut self, handshake: &Handshake, counts: CostCounts) {
        let size = handshake.welcome_for_one;
        let entry = &mut self.entries[handshake.entry + 1];
        entry.joiners.add_many(counts, 1);
        entry.service.deliveries += 1;
        entry.service.delivered += size;
        entry.bytes.welcome_for_one = Some(size);
        self.charge(Operation::Join, counts, 1);
    }

    /// A member has lost its leaf.
    fn exit(&mut self, number: DeviceNumber) {
        let until = self.handshakes.len();
        let Some(device) = self.devices.get_mut(&number) else { return };
        device.leaf = None;
        if !device.is_online
            && let Some(membership) = device.missed.last_mut()
        {
            membership.until = Some(until);
        }
    }

    /// A device has a leaf.
    fn enter(&mut self, number: DeviceNumber, leaf: LeafIndex) {
        let next = self.handshakes.len() + 1;
        let device = self.devices.entry(number).or_insert(Device { leaf: None, is_online: true, missed: Vec::new() });
        device.leaf = Some(leaf);
        if !device.is_online {
            device.missed.push(Membership { leaf, from: next, joins: true, until: None });
        }
        match self.leaves.get_mut(leaf as usize) {
            Some(owner) => *owner = number,
            None => {
                self.leaves.resize(leaf as usize, number);
                self.leaves.push(number);
            }
        }
    }

    /// Orders a commit.
    fn order(&mut self, draft: &Draft, framed: &Framed) {
        let sizes = self.settings.sizes;
        let online_before = self.tree.online();
        let removed_online = draft.removed.iter().filter(|device| self.is_online(**device)).count() as u64;
        let identity = self.identity(draft.by);
        let Measured {
            leaf,
            new_leaves,
            path,
            sealed,
            commit,
            update_path,
            group_info,
            welcome,
            committer,
            work,
            joiner,
        } = draft.measure(&mut self.tree, &self.settings, self.epoch, identity, framed.framing);
        for device in &draft.removed {
            self.exit(*device);
        }
        if draft.is_external() {
            self.exit(draft.by);
            self.enter(draft.by, leaf);
        }
        for (device, leaf) in draft.added.iter().zip(&new_leaves) {
            self.enter(*device, *leaf);
        }
        let sorted = sorted(&new_leaves);

        self.sequence += 1;
        let epoch = self.epoch;
        let encoded = self.tree.totals().encoded;
        let is_external = draft.is_external();
        let kind = if is_external { EntryKind::ExternalCommit } else { EntryKind::Commit };
        // A new external joiner gets its own commit, too.
        let deliveries = online_before + u64::from(is_external && !draft.rejoins);
        let mut entry = EntryCost {
            changes: Some(draft.changes),
            tree: Some(self.tree_shape()),
            path: Some(PathShape {
                filtered_length: path.len() as u64,
                resolution_sum: sealed.iter().sum(),
                resolution_max: sealed.iter().copied().max().unwrap_or_default(),
            }),
            bytes: EntryBytes {
                commit: Some(commit),
                update_path: (!framed.framing.is_private).then_some(update_path),
                group_info,
                ..EntryBytes::default()
            },
            service: ServiceBytes {
                deliveries,
                delivered: deliveries * commit,
                ..uploaded(commit + group_info.unwrap_or_default())
            },
            committer: Some(committer),
            ..self.entry(kind, draft.by)
        };
        let operation = if is_external { Operation::ExternalCommit } else { Operation::Commit };
        self.charge(operation, committer, 1);
        let levels = path.iter().fold(0_u64, |levels, node| levels | 1 << node.level);
        let receive = Operation::ReceiveCommit;
        for (position, node) in path.iter().enumerate() {
            let mut counts = work.fixed;
            counts += work::along_path((path.len() - position) as u64);
            let is_online = |leaf: &&LeafIndex| self.is_online(self.leaves[**leaf as usize]);
            let mut receivers = node.online - below(&sorted, node).iter().filter(is_online).count() as u64;
            for (device, difference) in &framed.others {
                if self.leaf(*device).is_some_and(|leaf| node.has_below_copath(leaf)) {
                    receivers -= 1;
                    self.receive(&mut entry.receivers, receive, difference.applied_to(counts), 1);
                }
            }
            self.receive(&mut entry.receivers, receive, counts, receivers);
        }
        let mut removed = removed_online;
        for (_, difference) in framed.others.iter().filter(|(device, _)| draft.removed.contains(device)) {
            removed -= 1;
            self.receive(&mut entry.receivers, receive, difference.applied_to(work.removed), 1);
        }
        self.receive(&mut entry.receivers, receive, work.removed, removed);
        let entry_number = self.entries.len();
        self.entries.push(entry);
        let welcome_for_one = sizes.welcome(1, epoch + 1, encoded);
        let handshake = Handshake {
            entry: entry_number,
            committer: leaf,
            levels,
            work,
            joiner,
            welcome_for_one,
            is_commit: true,
            is_ignored: false,
        };
        self.handshakes.push(handshake);
        self.epoch += 1;
        self.secret_trees.clear();
        self.waiting.clear();
        if let Some(size) = welcome {
            let entry = EntryCost {
                tree: Some(self.tree_shape()),
                bytes: EntryBytes { welcome: Some(size), ..EntryBytes::default() },
                service: uploaded(size),
                ..self.entry(EntryKind::Welcome, draft.by)
            };
            self.entries.push(entry);
            for (device, leaf) in draft.added.iter().zip(&new_leaves) {
                if self.is_online(*device) {
                    let counts = self.joiner_counts(&handshake, *device, *leaf);
                    self.deliver_welcome(&handshake, counts);
                }
            }
        }
    }

    /// A device encrypts a message before it reads the messages of the others.
    pub(crate) fn encrypt_early(&mut self, device: DeviceNumber) {
        if let Some(leaf) = self.leaf(device) {
            self.secret_trees.encrypt_early(device, leaf, self.tree.totals().leaves);
        }
    }

    /// The framing of a member's handshake.
    fn frame(&mut self, by: DeviceNumber, leaf: LeafIndex) -> Framed {
        match self.settings.sizes.opaque {
            true => self.frame_private(by, leaf),
            false => Framed { framing: Framing { has_tag: true, ..Framing::default() }, others: Vec::new() },
        }
    }

    fn frame_private(&mut self, by: DeviceNumber, leaf: LeafIndex) -> Framed {
        let Derivations { sender, receiver, others } = self.secret_trees.message(by, leaf, self.tree.totals().leaves);
        let framing =
            Framing { is_private: true, has_tag: false, sender_derivations: sender, receiver_derivations: receiver };
        let others = others.into_iter().map(|(device, own)| (device, KdfDifference { from: receiver, to: own }));
        Framed { framing, others: others.collect() }
    }

    /// Adds devices that received an entry.
    fn receive(&mut self, receivers: &mut CountSpread, operation: Operation, counts: CostCounts, devices: u64) {
        receivers.add_many(counts, devices);
        self.charge(operation, counts, devices);
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

    fn charge(&mut self, operation: Operation, counts: CostCounts, devices: u64) {
        if devices > 0 {
            let mut total = counts.times(devices);
            total.calls = devices;
            *self.costs.entry(operation).or_default() += total;
        }
    }
}

/// The framing of a message.
#[derive(Clone, Debug, Default)]
struct Framed {
    framing: Framing,
    /// The receivers in a race, which make other derivations.
    others: Vec<(DeviceNumber, KdfDifference)>,
}

/// The derivations of a receiver in a race, in place of those of the others.
#[derive(Clone, Copy, Debug)]
struct KdfDifference {
    from: u64,
    to: u64,
}

impl KdfDifference {
    fn applied_to(self, mut counts: CostCounts) -> CostCounts {
        counts.kdf = counts.kdf + self.to - self.from;
        counts
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
