//! The group of the model: its tree, its members, and the costs of each entry of the log.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{
    baseline::{
        optional_paths,
        partial_mls::{self, Annotations},
        split_commits::{self, SplitCommit},
    },
    group_model::{
        Change, CommitParts, Creation, DeviceNumber, GroupModel, GroupSettings, Ledger, MlsVariant, WaitingProposal,
    },
    messages::{LeafSource, MessageSizes, Sender, WelcomeParts},
    secret_tree::{Derivations, SecretTrees},
    tree::{CostTree, HashWork, LeafIndex, PathNode},
    work::{self, CommitShape, Framing, ProposalKind, ReceiverWork, TreeBefore},
};
use crate::{
    cost::{ChangeCounts, CostCounts, EntryBytes, EntryCost, EntryKind, Operation, PathShape, ServiceBytes, TreeShape},
    scenario::MemberName,
};

use super::encoding::vector;

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

/// The bytes and the operations by which a partial client becomes a full one.
#[derive(Clone, Copy, Debug)]
struct Upgrade {
    bytes: u64,
    counts: CostCounts,
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
    /// The application messages before the first one, and those before the removal.
    sent: SentTotals,
    sent_until: Option<SentTotals>,
}

/// The application messages so far, as one member gets them.
#[derive(Clone, Copy, Debug, Default)]
struct SentTotals {
    messages: u64,
    bytes: u64,
    /// The bytes that a partial client gets.
    annotated: u64,
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
        group.ledger.entries.push(entry);
        group
    }

    /// The leaf of a device.
    pub(crate) fn leaf(&self, device: DeviceNumber) -> Option<LeafIndex> {
        self.devices.get(&device)?.leaf
    }

    /// The device with the cheapest path.
    pub(crate) fn cheapest(&self) -> DeviceNumber {
        self.leaves[self.tree.cheapest() as usize]
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
        if !is_known {
            self.ledger.receive(&mut entry, Operation::ReceiveProposal, receiver, online - 1 - others.len() as u64);
            for (_, difference) in &others {
                self.ledger.receive(&mut entry, Operation::ReceiveProposal, difference.applied_to(receiver), 1);
            }
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
        self.ledger.entries.push(entry);
    }

    fn order_message(&mut self, by: DeviceNumber, text: u64) {
        let Some(leaf) = self.leaf(by) else { return };
        let (sender, receiver) = work::message(self.frame_private(by, leaf).framing);
        self.sequence += 1;
        self.ledger.messages += 1;
        self.ledger.charge(Operation::Send, sender, 1);
        self.ledger.charge(Operation::ReceiveMessage, receiver, self.tree.totals().members - 1);
        let size = self.settings.sizes.application(text);
        let annotated = if self.is_partial() { size + partial_mls::proof(&self.tree, leaf) } else { size };
        let (online, holders) = (self.tree.online(), self.online_holders().len() as u64);
        let delivered = if self.is_partial() { holders * size + (online - holders) * annotated } else { online * size };
        self.ledger.message(size, online, delivered);
        self.sent.messages += 1;
        self.sent.bytes += size;
        self.sent.annotated += annotated;
    }

    fn is_partial(&self) -> bool {
        self.settings.variant == MlsVariant::Partial
    }

    /// The online members that hold the ratchet tree, in a group with partial clients.
    fn online_holders(&self) -> Vec<DeviceNumber> {
        let holders = self.holders.iter().copied();
        holders.filter(|device| self.is_online(*device) && self.leaf(*device).is_some()).collect()
    }

    /// The bytes and the operations by which a partial client becomes a full one.
    fn take_tree(&mut self, device: DeviceNumber) -> Option<Upgrade> {
        if !self.is_partial() || !self.holders.insert(device) {
            return None;
        }
        self.tree.settle();
        let bytes = vector(self.tree.totals().encoded);
        Some(Upgrade { bytes, counts: partial_mls::upgrade(&self.tree) })
    }

    fn order_commit(&mut self, by: DeviceNumber, parts: &CommitParts) {
        let Some(leaf) = self.leaf(by) else { return };
        let upgrade = self.take_tree(by);
        let proof_before = if self.is_partial() { partial_mls::proof(&self.tree, leaf) } else { 0 };
        let sizes = self.settings.sizes;
        let listed = self.listed(parts);
        let framed = self.frame(by, leaf);
        let before = self.tree.online();
        let (added, removed, updated) = (parts.added(), parts.removed(), parts.updated());
        for device in &updated {
            if let Some(leaf) = self.leaf(*device) {
                let size = sizes.leaf_node(self.identity(*device), LeafSource::Update);
                self.tree.update(leaf, size);
            }
        }
        let offline_removed = removed.iter().filter(|device| !self.is_online(**device)).count() as u64;
        for device in &removed {
            self.take_leaf(*device);
        }
        let new_leaves: Vec<_> = added.iter().map(|device| self.give_leaf(*device)).collect();
        self.tree.trim();
        let key_packages = self.key_packages(&added);
        let changes = change_counts([added.len(), removed.len(), updated.len()].map(|count| count as u64));
        let shape = OrderedCommit {
            sender: Sender::Member,
            by,
            leaf,
            framed,
            removed: &removed,
            parts,
            listed,
            key_packages,
            added: &added,
            new_leaves: &new_leaves,
            changes,
            before: None,
            upgrade,
            proof_before,
            deliveries: before,
            removed_online: removed.len() as u64 - offline_removed,
        };
        self.order(&shape);
    }

    pub(crate) fn order_external_commit(&mut self, by: DeviceNumber, other_proposals: u64) {
        let before = TreeBefore::of(&self.tree, self.epoch);
        let sizes = self.settings.sizes;
        let rejoins = self.leaf(by).is_some();
        let mut listed = Listed { bytes: other_proposals, ..Listed::default() };
        listed.contains(sizes.external_init());
        if rejoins {
            listed.contains(MessageSizes::remove());
        }
        let deliveries = self.tree.online() + u64::from(!rejoins);
        if rejoins {
            self.take_leaf(by);
        }
        self.tree.settle();
        let leaf = self.give_leaf(by);
        // The device has the tree of the group info.
        self.holders.insert(by);
        self.tree.trim();
        let parts = CommitParts { other_proposals, ..CommitParts::default() };
        let shape = OrderedCommit {
            sender: Sender::NewMember,
            by,
            leaf,
            framed: Framed::default(),
            removed: &[],
            parts: &parts,
            listed,
            key_packages: HashWork::default(),
            added: &[],
            new_leaves: &[],
            changes: change_counts([1, u64::from(rejoins), 0]),
            before: Some(before),
            upgrade: None,
            proof_before: 0,
            deliveries,
            removed_online: 0,
        };
        self.order(&shape);
    }

    fn connect(&mut self, number: DeviceNumber, online: bool) {
        let (next, sent) = (self.handshakes.len(), self.sent);
        let device = self.devices.entry(number).or_default();
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
            device.missed.push(Membership { leaf, from: next, joins: false, until: None, sent, sent_until: None });
        }
    }

    /// Adds the costs of a device that reads the entries of a membership late.
    fn catch_up(&mut self, device: DeviceNumber, membership: Membership) {
        if membership.joins {
            let handshake = self.handshakes[membership.from - 1];
            let counts = self.joiner_counts(&handshake, device, membership.leaf);
            self.deliver_welcome(&handshake, membership.leaf, counts);
        }
        let holds_tree = !self.is_partial() || self.holders.contains(&device);
        // A late annotation has the size of an annotation for the tree of now.
        let annotation = match self.leaf(device) {
            Some(leaf) if !holds_tree => {
                let own = self.tree.direct_path_bytes(leaf);
                let proof = partial_mls::proof(&self.tree, leaf);
                Annotations::of(&self.tree, proof, leaf, 1, own).bytes()
            }
            _ => 0,
        };
        let (since, until) = (membership.sent, membership.sent_until.unwrap_or(self.sent));
        let messages = until.messages - since.messages;
        let bytes = if holds_tree { until.bytes - since.bytes } else { until.annotated - since.annotated };
        self.ledger.message(0, messages, bytes);
        let end = membership.until.map_or(self.handshakes.len(), |until| until + 1);
        for number in membership.from..end {
            let handshake = self.handshakes[number];
            let work = if holds_tree { handshake.work } else { handshake.partial_work };
            let late = if holds_tree || !handshake.is_commit { 0 } else { annotation };
            let mut counts = work.removed;
            if membership.until != Some(number) {
                counts = work.fixed;
                if handshake.levels != 0 {
                    counts += work::along_path(nodes_above(handshake.levels, handshake.committer, membership.leaf));
                }
            }
            let entry = &mut self.ledger.entries[handshake.entry];
            entry.service.deliveries += 1;
            let is_removed = membership.until == Some(number);
            entry.service.delivered += if is_removed { handshake.size_for_removed } else { handshake.size } + late;
            if handshake.is_ignored {
                continue;
            }
            entry.receivers.add_many(counts, 1);
            let operation = if handshake.is_commit { Operation::ReceiveCommit } else { Operation::ReceiveProposal };
            self.ledger.charge(operation, counts, 1);
        }
    }

    fn joiner_counts(&self, handshake: &Handshake, device: DeviceNumber, leaf: LeafIndex) -> CostCounts {
        let mut counts = handshake.joiner;
        let reference = self.settings.sizes.key_package_reference(self.identity(device));
        counts.hashed_bytes += work::own_references(reference);
        counts += work::along_path(nodes_above(handshake.levels, handshake.committer, leaf));
        counts
    }

    fn deliver_welcome(&mut self, handshake: &Handshake, leaf: LeafIndex, counts: CostCounts) {
        let mut size = handshake.welcome_for_one;
        if self.is_partial() {
            size += partial_mls::proof(&self.tree, handshake.committer) + partial_mls::proof(&self.tree, leaf);
        }
        let entry = &mut self.ledger.entries[handshake.entry + 1];
        entry.joiners.add_many(counts, 1);
        entry.service.deliveries += 1;
        entry.service.delivered += size;
        entry.bytes.welcome_for_one = entry.bytes.welcome_for_one.max(Some(size));
        self.ledger.charge(Operation::Join, counts, 1);
    }

    /// Takes the leaf of a member.
    fn take_leaf(&mut self, number: DeviceNumber) {
        let (until, sent) = (self.handshakes.len(), self.sent);
        let Some(device) = self.devices.get_mut(&number) else { return };
        let Some(leaf) = device.leaf.take() else { return };
        if !device.is_online
            && let Some(membership) = device.missed.last_mut()
        {
            membership.until = Some(until);
            membership.sent_until = Some(sent);
        }
        self.holders.remove(&number);
        self.tree.remove(leaf);
    }

    /// Gives a device the lowest blank leaf.
    fn give_leaf(&mut self, number: DeviceNumber) -> LeafIndex {
        let (next, sent) = (self.handshakes.len() + 1, self.sent);
        let size = self.settings.sizes.leaf_node(self.identity(number), LeafSource::KeyPackage);
        let device = self.devices.entry(number).or_default();
        if !std::mem::replace(&mut device.was_member, true) {
            self.ledger.devices += 1;
        }
        let leaf = self.tree.add(size, device.is_online);
        device.leaf = Some(leaf);
        if !device.is_online {
            device.missed.push(Membership { leaf, from: next, joins: true, until: None, sent, sent_until: None });
        }
        match self.leaves.get_mut(leaf as usize) {
            Some(owner) => *owner = number,
            None => {
                self.leaves.resize(leaf as usize, number);
                self.leaves.push(number);
            }
        }
        leaf
    }

    fn key_packages(&self, added: &[DeviceNumber]) -> HashWork {
        let reference = |device: &DeviceNumber| self.settings.sizes.key_package_reference(self.identity(*device));
        added.iter().fold(HashWork::default(), |work, device| work + HashWork::of(reference(device)))
    }

    /// The list of proposals of a commit.
    fn listed(&self, parts: &CommitParts) -> Listed {
        let sizes = self.settings.sizes;
        let mut listed = Listed::default();
        for device in &parts.add {
            listed.contains(sizes.add(self.identity(*device)));
        }
        for _ in &parts.remove {
            listed.contains(MessageSizes::remove());
        }
        listed.bytes += MessageSizes::listed_reference() * parts.referred.len() as u64 + parts.other_proposals;
        listed
    }

    /// Orders a commit, whose proposals the tree has already.
    fn order(&mut self, commit: &OrderedCommit<'_>) {
        let OrderedCommit { sender, by, leaf, framed, parts, listed, key_packages, added, new_leaves, .. } = commit;
        let sizes = self.settings.sizes;
        self.tree.settle();
        let sorted = {
            let mut sorted = new_leaves.to_vec();
            sorted.sort_unstable();
            sorted
        };
        let variant = self.settings.variant;
        let is_external = *sender == Sender::NewMember;
        let has_path = variant != MlsVariant::OptionalPaths || is_external || optional_paths::has_path(parts);
        let path = if has_path { self.tree.path(*leaf) } else { Vec::new() };
        let sealed: Vec<u64> = path.iter().map(|node| node.resolution - added_below(&sorted, node) as u64).collect();
        let (sealed_sum, sealed_max) = (sealed.iter().sum(), sealed.iter().copied().max().unwrap_or_default());
        let nodes: u64 = sealed.iter().map(|count| sizes.path_node(*count)).sum();
        let identity = self.identity(*by);
        if has_path {
            self.tree.set_path(*leaf, sizes.leaf_node(identity, LeafSource::Commit { has_path: nodes > 0 }));
        }

        let update_path = if has_path { sizes.update_path(identity, nodes) } else { 0 };
        let mut content = MessageSizes::commit_content(listed.bytes, update_path);
        let mut commit_size = sizes.handshake(*sender, content, true);
        let (mut size, mut size_without_path) = (commit_size, commit_size);
        if variant == MlsVariant::SplitCommits {
            let split = SplitCommit::of(&sizes, *sender, listed.bytes, identity, nodes, path.len() as u64);
            (content, commit_size) = (split.content, split.uploaded);
            (size, size_without_path) = (split.for_member, split.without_path);
        }
        let shape = CommitShape {
            tree: &self.tree,
            path: &path,
            sealed: sealed_sum,
            references: listed.references,
            added_by_value: parts.add.len() as u64,
            key_packages: *key_packages,
            transcript: sizes.confirmed_transcript(*sender, content),
            publishes: self.settings.publishes_group_info,
            new_signature_key: parts.new_signature_key,
            framing: framed.framing,
            has_path,
        };
        let mut committer = match &commit.before {
            Some(before) => shape.external_committer(before),
            None => shape.committer(parts.verifies_key_packages),
        };
        let mut work = shape.receivers(is_external);
        let mut joiner = work::joiner(&self.tree);
        let mut partial_work = work;
        match variant {
            MlsVariant::SplitCommits => {
                committer = split_commits::confirmed(committer);
                work.fixed = split_commits::confirmed(work.fixed);
            }
            MlsVariant::Partial => {
                partial_work = partial_mls::receivers(&shape, work);
                joiner = partial_mls::joiner(&self.tree, joiner);
            }
            MlsVariant::Engine | MlsVariant::OptionalPaths => {}
        }
        if let Some(upgrade) = commit.upgrade {
            committer += upgrade.counts;
        }

        self.sequence += 1;
        let epoch = self.epoch;
        let encoded = self.tree.totals().encoded;
        let group_info = self.settings.publishes_group_info.then(|| sizes.group_info(epoch + 1, encoded));
        let new_online: Vec<_> =
            new_leaves.iter().copied().filter(|leaf| self.is_online(self.leaves[*leaf as usize])).collect();
        let kind = if is_external { EntryKind::ExternalCommit } else { EntryKind::Commit };
        let mut entry = EntryCost {
            changes: Some(commit.changes),
            tree: Some(self.tree_shape()),
            path: Some(PathShape {
                filtered_length: path.len() as u64,
                resolution_sum: sealed_sum,
                resolution_max: sealed_max,
            }),
            bytes: EntryBytes {
                commit: Some(commit_size),
                update_path: (!framed.framing.is_private).then_some(update_path),
                group_info,
                ..EntryBytes::default()
            },
            service: self.delivered(
                commit,
                &new_online,
                size,
                size_without_path,
                commit_size + group_info.unwrap_or_default(),
            ),
            committer: Some(committer),
            ..self.entry(kind, *by)
        };
        let operation = if is_external { Operation::ExternalCommit } else { Operation::Commit };
        self.ledger.charge(operation, committer, 1);
        let levels = path.iter().fold(0_u64, |levels, node| levels | 1 << node.level);
        let receive = Operation::ReceiveCommit;
        let holders: Vec<_> = match variant {
            MlsVariant::Partial => self.online_holders().iter().filter_map(|device| self.leaf(*device)).collect(),
            _ => Vec::new(),
        };
        for (position, node) in path.iter().enumerate() {
            let along_path = work::along_path((path.len() - position) as u64);
            let (mut counts, mut counts_of_holder) = (partial_work.fixed, work.fixed);
            if variant != MlsVariant::Partial {
                counts = work.fixed;
            }
            counts += along_path;
            counts_of_holder += along_path;
            let is_online = |leaf: &&LeafIndex| self.is_online(self.leaves[**leaf as usize]);
            let mut receivers = node.online - below(&sorted, node).iter().filter(is_online).count() as u64;
            for (device, difference) in &framed.others {
                if self.leaf(*device).is_some_and(|leaf| node.has_below_copath(leaf)) {
                    receivers -= 1;
                    self.ledger.receive(&mut entry, receive, difference.applied_to(counts), 1);
                }
            }
            let full = holders.iter().filter(|leaf| node.has_below_copath(**leaf)).count() as u64;
            self.ledger.receive(&mut entry, receive, counts_of_holder, full);
            self.ledger.receive(&mut entry, receive, counts, receivers.saturating_sub(full));
        }
        if path.is_empty() {
            let others = self.tree.online() - 1 - new_online.len() as u64;
            self.ledger.receive(&mut entry, receive, work.fixed, others);
        }
        let mut removed = commit.removed_online;
        for (_, difference) in framed.others.iter().filter(|(device, _)| commit.removed.contains(device)) {
            removed -= 1;
            self.ledger.receive(&mut entry, receive, difference.applied_to(work.removed), 1);
        }
        let removed_work = if variant == MlsVariant::Partial { partial_work.removed } else { work.removed };
        self.ledger.receive(&mut entry, receive, removed_work, removed);
        let entry_number = self.ledger.entries.len();
        self.ledger.entries.push(entry);
        let parts_of_welcome =
            WelcomeParts { path_secret: has_path, encoded: (variant != MlsVariant::Partial).then_some(encoded) };
        let welcome_for_one = sizes.welcome(1, epoch + 1, parts_of_welcome);
        let handshake = Handshake {
            entry: entry_number,
            committer: *leaf,
            levels,
            work,
            partial_work,
            joiner,
            welcome_for_one,
            size,
            size_for_removed: size_without_path,
            is_commit: true,
            is_ignored: false,
        };
        self.handshakes.push(handshake);
        self.epoch += 1;
        self.secret_trees.clear();
        self.waiting.clear();
        if !added.is_empty() {
            let size = sizes.welcome(added.len() as u64, epoch + 1, parts_of_welcome);
            let entry = EntryCost {
                tree: Some(self.tree_shape()),
                bytes: EntryBytes { welcome: Some(size), ..EntryBytes::default() },
                service: uploaded(size),
                ..self.entry(EntryKind::Welcome, *by)
            };
            self.ledger.entries.push(entry);
            for (device, leaf) in added.iter().zip(*new_leaves) {
                if self.is_online(*device) {
                    let counts = self.joiner_counts(&handshake, *device, *leaf);
                    self.deliver_welcome(&handshake, *leaf, counts);
                }
            }
        }
    }

    /// The bytes of a commit at the service. `size` is for a member, and `without_path` for the
    /// committer and for removed members.
    fn delivered(
        &self,
        commit: &OrderedCommit<'_>,
        new: &[LeafIndex],
        size: u64,
        without_path: u64,
        upload: u64,
    ) -> ServiceBytes {
        let receivers = commit.deliveries - 1 - commit.removed_online;
        let mut delivered = receivers * size + (1 + commit.removed_online) * without_path;
        let mut deliveries = commit.deliveries;
        if self.is_partial() {
            let holders: Vec<_> = self.online_holders().iter().filter_map(|device| self.leaf(*device)).collect();
            // The committer holds the tree, and the added devices get a welcome instead.
            let is_new = |leaf: &&LeafIndex| !holders.contains(*leaf);
            let others: u64 =
                holders.iter().chain(new.iter().filter(is_new)).map(|leaf| self.tree.direct_path_bytes(*leaf)).sum();
            let partial = self.tree.online() - holders.len() as u64 - new.iter().filter(is_new).count() as u64;
            let direct_paths = self.tree.direct_path_bytes_of_online() - others;
            let sender = commit.leaf;
            delivered += Annotations::of(&self.tree, commit.proof_before, sender, partial, direct_paths).bytes();
        }
        if let Some(upgrade) = commit.upgrade {
            deliveries += 1;
            delivered += upgrade.bytes;
        }
        ServiceBytes { deliveries, delivered, ..uploaded(upload) }
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

    fn identity(&self, device: DeviceNumber) -> u64 {
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
        self.order_commit(by, parts);
    }

    fn join(&mut self, by: DeviceNumber) {
        self.order_external_commit(by, 0);
    }

    fn into_ledger(self: Box<Self>) -> Ledger {
        self.ledger
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

/// A commit that the service has ordered, and whose proposals the tree has.
struct OrderedCommit<'c> {
    sender: Sender,
    by: DeviceNumber,
    leaf: LeafIndex,
    framed: Framed,
    removed: &'c [DeviceNumber],
    parts: &'c CommitParts,
    listed: Listed,
    key_packages: HashWork,
    added: &'c [DeviceNumber],
    new_leaves: &'c [LeafIndex],
    changes: ChangeCounts,
    /// The tree before an external commit.
    before: Option<TreeBefore>,
    /// The committer was a partial client.
    upgrade: Option<Upgrade>,
    /// The committer's membership proof for partial clients, in the tree before the commit.
    proof_before: u64,
    /// The online devices that get the commit.
    deliveries: u64,
    /// The online members that it removes.
    removed_online: u64,
}

/// The list of proposals of a commit.
#[derive(Clone, Copy, Debug, Default)]
struct Listed {
    bytes: u64,
    /// The hashes of the proposals that the commit contains itself.
    references: HashWork,
}

impl Listed {
    fn contains(&mut self, proposal: u64) {
        self.bytes += MessageSizes::listed(proposal);
        self.references += HashWork::of(MessageSizes::own_proposal_reference(proposal));
    }
}

/// The leaves below the copath child of a path's node.
fn below<'l>(sorted: &'l [LeafIndex], node: &PathNode) -> &'l [LeafIndex] {
    let from = sorted.partition_point(|leaf| *leaf < node.copath);
    &sorted[from..sorted.partition_point(|leaf| *leaf < node.copath || node.has_below_copath(*leaf))]
}

fn added_below(sorted: &[LeafIndex], node: &PathNode) -> usize {
    below(sorted, node).len()
}

/// The number of path nodes from the common ancestor of two leaves up.
fn nodes_above(levels: u64, committer: LeafIndex, leaf: LeafIndex) -> u64 {
    let common = LeafIndex::BITS - (committer ^ leaf).leading_zeros();
    (levels >> common).count_ones().into()
}

fn change_counts([adds, removes, updates]: [u64; 3]) -> ChangeCounts {
    ChangeCounts { adds, removes, updates }
}

fn uploaded(uploaded: u64) -> ServiceBytes {
    ServiceBytes { uploaded, ..ServiceBytes::default() }
}
