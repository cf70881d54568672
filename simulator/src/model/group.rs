//! The group of the model: its tree, its members, and the costs of each entry of the log.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{
    baseline::partial_mls::{self, Annotations, CommitterBefore, Upgrade},
    draft::{Draft, Measured, below, sorted},
    group_model::{
        Change, CommitParts, CommitPrice, Creation, DeviceNumber, GroupModel, GroupSettings, Ledger, MlsVariant,
        WaitingProposal,
    },
    messages::{LeafSource, MessageSizes, Sender},
    secret_tree::{Derivations, SecretTrees},
    tree::{CostTree, LeafIndex},
    work::{self, Framing, ProposalKind, ReceiverWork},
};
use crate::{
    cost::{
        ChangeCounts, CostCounts, CountSpread, EntryBytes, EntryCost, EntryKind, Operation, PathShape, ServiceBytes,
        TreeShape,
    },
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

    /// Orders an external commit that also contains other proposals with these bytes.
    pub(crate) fn join_with(&mut self, by: DeviceNumber, other_proposals: u64) {
        self.order(&Draft::of_joiner(self, by, other_proposals), &Framed::default());
    }

    /// The costs of such a commit if it is not ordered.
    pub(crate) fn price_join_with(&mut self, by: DeviceNumber, other_proposals: u64) -> CommitPrice {
        self.price(&Draft::of_joiner(self, by, other_proposals), Framing::default())
    }

    /// The costs of a commit that is not ordered. A partial client keeps the tree that it downloads
    /// for the commit, so the download is not lost.
    fn price(&mut self, draft: &Draft, framing: Framing) -> CommitPrice {
        let (settings, epoch, identity) = (self.settings, self.epoch, self.identity(draft.by));
        self.tree.attempt(|tree| {
            let measured = draft.measure(tree, &settings, epoch, identity, framing);
            let beside = measured.group_info.unwrap_or_default() + measured.welcome.unwrap_or_default();
            CommitPrice { bytes: measured.commit + beside, counts: measured.committer }
        })
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
            if !handshake.is_ignored {
                entry.receivers.add_many(counts, 1);
            }
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

    /// A member has lost its leaf.
    fn exit(&mut self, number: DeviceNumber) {
        let (until, sent) = (self.handshakes.len(), self.sent);
        let Some(device) = self.devices.get_mut(&number) else { return };
        device.leaf = None;
        if !device.is_online
            && let Some(membership) = device.missed.last_mut()
        {
            membership.until = Some(until);
            membership.sent_until = Some(sent);
        }
        self.holders.remove(&number);
    }

    /// A device has a leaf.
    fn enter(&mut self, number: DeviceNumber, leaf: LeafIndex) {
        let (next, sent) = (self.handshakes.len() + 1, self.sent);
        let device = self.devices.entry(number).or_default();
        if !std::mem::replace(&mut device.was_member, true) {
            self.ledger.devices += 1;
        }
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
    }

    /// Orders a commit.
    fn order(&mut self, draft: &Draft, framed: &Framed) {
        let online_before = self.tree.online();
        let removed_online = draft.removed.iter().filter(|device| self.is_online(**device)).count() as u64;
        let identity = self.identity(draft.by);
        let measured = draft.measure(&mut self.tree, &self.settings, self.epoch, identity, framed.framing);
        let Measured { leaf, new_leaves, path, sealed, group_info, work, partial_work, .. } = &measured;
        let is_external = draft.is_external();
        for device in &draft.removed {
            self.exit(*device);
        }
        if is_external {
            self.exit(draft.by);
            self.enter(draft.by, *leaf);
        }
        for (device, leaf) in draft.added.iter().zip(new_leaves) {
            self.enter(*device, *leaf);
        }
        if self.is_partial() {
            self.holders.insert(draft.by);
        }

        self.sequence += 1;
        let kind = if is_external { EntryKind::ExternalCommit } else { EntryKind::Commit };
        // A new external joiner gets its own commit, too.
        let deliveries = online_before + u64::from(is_external && !draft.rejoins);
        let mut committer = measured.committer;
        if let Some(upgrade) = draft.before.upgrade {
            committer += upgrade.counts;
        }
        let mut entry = EntryCost {
            changes: Some(draft.changes),
            tree: Some(self.tree_shape()),
            path: Some(PathShape {
                filtered_length: path.len() as u64,
                resolution_sum: sealed.iter().sum(),
                resolution_max: sealed.iter().copied().max().unwrap_or_default(),
            }),
            bytes: EntryBytes {
                commit: Some(measured.commit),
                update_path: (!framed.framing.is_private).then_some(measured.update_path),
                group_info: *group_info,
                ..EntryBytes::default()
            },
            service: self.service(draft, &measured, deliveries, removed_online),
            committer: Some(committer),
            ..self.entry(kind, draft.by)
        };
        let operation = if is_external { Operation::ExternalCommit } else { Operation::Commit };
        self.ledger.charge(operation, committer, 1);
        self.receive_commit(&mut entry.receivers, draft, &measured, framed, removed_online);
        let handshake = Handshake {
            entry: self.ledger.entries.len(),
            committer: *leaf,
            levels: path.iter().fold(0_u64, |levels, node| levels | 1 << node.level),
            work: *work,
            partial_work: *partial_work,
            joiner: measured.joiner,
            welcome_for_one: measured.welcome_for_one,
            size: measured.size_for_member,
            size_for_removed: measured.size_without_path,
            is_commit: true,
            is_ignored: false,
        };
        self.ledger.entries.push(entry);
        self.handshakes.push(handshake);
        self.epoch += 1;
        self.secret_trees.clear();
        self.waiting.clear();
        if let Some(size) = measured.welcome {
            let entry = EntryCost {
                tree: Some(self.tree_shape()),
                bytes: EntryBytes { welcome: Some(size), ..EntryBytes::default() },
                service: uploaded(size),
                ..self.entry(EntryKind::Welcome, draft.by)
            };
            self.ledger.entries.push(entry);
            for (device, leaf) in draft.added.iter().zip(new_leaves) {
                if self.is_online(*device) {
                    let counts = self.joiner_counts(&handshake, *device, *leaf);
                    self.deliver_welcome(&handshake, *leaf, counts);
                }
            }
        }
    }

    /// Adds the online receivers of a commit.
    fn receive_commit(
        &mut self,
        receivers: &mut CountSpread,
        draft: &Draft,
        measured: &Measured,
        framed: &Framed,
        mut removed_online: u64,
    ) {
        let Measured { new_leaves, path, work, partial_work, .. } = measured;
        let receive = Operation::ReceiveCommit;
        let sorted = sorted(new_leaves);
        let holders = if self.is_partial() { self.leaves_of_online_holders() } else { Vec::new() };
        for (position, node) in path.iter().enumerate() {
            let along_path = work::along_path((path.len() - position) as u64);
            // Without partial clients, both kinds of work are the same.
            let (mut counts, mut counts_of_holder) = (partial_work.fixed, work.fixed);
            counts += along_path;
            counts_of_holder += along_path;
            let is_online = |leaf: &&LeafIndex| self.is_online(self.leaves[**leaf as usize]);
            let mut others = node.online - below(&sorted, node).iter().filter(is_online).count() as u64;
            for (device, difference) in &framed.others {
                if self.leaf(*device).is_some_and(|leaf| node.has_below_copath(leaf)) {
                    others -= 1;
                    self.ledger.receive(receivers, receive, difference.applied_to(counts), 1);
                }
            }
            let full = holders.iter().filter(|leaf| node.has_below_copath(**leaf)).count() as u64;
            self.ledger.receive(receivers, receive, counts_of_holder, full);
            self.ledger.receive(receivers, receive, counts, others.saturating_sub(full));
        }
        if path.is_empty() {
            let others = self.tree.online() - 1 - self.online_newcomers(draft, measured).count() as u64;
            self.ledger.receive(receivers, receive, work.fixed, others);
        }
        for (_, difference) in framed.others.iter().filter(|(device, _)| draft.removed.contains(device)) {
            removed_online -= 1;
            self.ledger.receive(receivers, receive, difference.applied_to(partial_work.removed), 1);
        }
        self.ledger.receive(receivers, receive, partial_work.removed, removed_online);
    }

    /// The leaves of the added devices that are online.
    fn online_newcomers<'d>(
        &'d self,
        draft: &'d Draft,
        measured: &'d Measured,
    ) -> impl Iterator<Item = LeafIndex> + 'd {
        let added = draft.added.iter().zip(&measured.new_leaves);
        added.filter(|(device, _)| self.is_online(**device)).map(|(_, leaf)| *leaf)
    }

    /// The bytes of a commit at the service.
    fn service(&self, draft: &Draft, measured: &Measured, mut deliveries: u64, removed_online: u64) -> ServiceBytes {
        let receivers = deliveries - 1 - removed_online;
        let mut delivered = receivers * measured.size_for_member + (1 + removed_online) * measured.size_without_path;
        if self.is_partial() {
            // The committer holds the tree, and the added devices get a welcome instead.
            let mut full = self.leaves_of_online_holders();
            full.extend(self.online_newcomers(draft, measured));
            let of_full: u64 = full.iter().map(|leaf| self.tree.direct_path_bytes(*leaf)).sum();
            let partial = self.tree.online() - full.len() as u64;
            let direct_paths = self.tree.direct_path_bytes_of_online() - of_full;
            let annotations = Annotations::of(&self.tree, draft.before.proof, measured.leaf, partial, direct_paths);
            delivered += annotations.bytes();
        }
        if let Some(upgrade) = draft.before.upgrade {
            deliveries += 1;
            delivered += upgrade.bytes;
        }
        ServiceBytes { deliveries, delivered, ..uploaded(measured.commit + measured.group_info.unwrap_or_default()) }
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
