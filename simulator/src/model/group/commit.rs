//! Orders commits, and prices those that are not ordered.

use super::{CostGroup, Handshake, framing::Framed, late::Membership, nodes_above, uploaded};
use crate::{
    cost::{CostCounts, CountSpread, EntryBytes, EntryCost, EntryKind, Operation, PathShape, ServiceBytes},
    model::{
        baseline::partial_mls::{self, Annotations},
        draft::{Draft, Measured, below, sorted},
        group_model::{CommitPrice, DeviceNumber, GroupModel as _},
        tree::LeafIndex,
        work::{self, Framing},
    },
};

impl CostGroup<'_> {
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
    pub(super) fn price(&mut self, draft: &Draft, framing: Framing) -> CommitPrice {
        let (settings, epoch, identity) = (self.settings, self.epoch, self.identity(draft.by));
        self.tree.attempt(|tree| {
            let measured = draft.measure(tree, &settings, epoch, identity, framing);
            let beside = measured.group_info.unwrap_or_default() + measured.welcome.unwrap_or_default();
            CommitPrice { bytes: measured.commit + beside, counts: measured.committer }
        })
    }

    pub(super) fn joiner_counts(&self, handshake: &Handshake, device: DeviceNumber, leaf: LeafIndex) -> CostCounts {
        let mut counts = handshake.joiner;
        let reference = self.settings.sizes.key_package_reference(self.identity(device));
        counts.hashed_bytes += work::own_references(reference);
        counts += work::along_path(nodes_above(handshake.levels, handshake.committer, leaf));
        counts
    }

    pub(super) fn deliver_welcome(&mut self, handshake: &Handshake, leaf: LeafIndex, counts: CostCounts) {
        let mut size = handshake.welcome_for_one;
        if self.is_partial() {
            size += partial_mls::proof(&self.tree, handshake.committer) + partial_mls::proof(&self.tree, leaf);
        }
        let entry = self.ledger.deliver(handshake.entry + 1, size);
        entry.joiners.add_many(counts, 1);
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
    pub(super) fn order(&mut self, draft: &Draft, framed: &Framed) {
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
        self.ledger.order(entry);
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
            self.ledger.order(entry);
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
}
