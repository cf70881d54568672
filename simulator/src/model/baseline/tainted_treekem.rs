//! Tainted TreeKEM (K. Klein, G. Pascual-Perez, M. Walter et al., "Keep the Dirt: Tainted TreeKEM,
//! Adaptively and Actively Secure Continuous Group Key Agreement", ePrint 2019/1489).
//!
//! A committer chooses secrets for the paths of the members that it adds and removes, and taints
//! them. Its next commits refresh the tainted nodes, too. There are no blanks and no unmerged leaves.
//! The messages have the framing of MLS.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::tainted_tree::{Refresh, TaintedTree};
use crate::{
    cost::{
        ChangeCounts, CostCounts, EntryBytes, EntryCost, EntryKind, Operation, PathShape, ServiceBytes, TreeShape,
        limits::TrafficTotals,
    },
    model::{
        encoding::vector,
        group_model::{
            Change, CommitParts, CommitPrice, Creation, DeviceNumber, GroupModel, GroupSettings, Ledger,
            WaitingProposal,
        },
        messages::{LeafSource, MessageSizes, Sender, WelcomeParts},
        secret_tree::SecretTree,
        suite::HASH,
        tree::LeafIndex,
        work::{self, Framing},
    },
    scenario::MemberName,
};

/// The key schedule of MLS, with the commit secret (RFC 9420, 8).
const KEY_SCHEDULE: u64 = 13;

/// The derivations of a node: its key pair, and the next seed.
const NODE: u64 = 2;

/// Assumption: a refreshed node beside the committer's path has its index, of four bytes.
const NODE_INDEX: u64 = 4;

/// Assumption: a parent in the public tree has the leaf index of its tainter, an optional value.
const TAINTER: u64 = 1 + 4;

/// The type of a node, and the mark of an optional value.
const NODE_HEAD: u64 = 2;

/// A group of Tainted TreeKEM.
#[derive(Clone)]
pub(crate) struct TaintedTreekem<'n> {
    settings: GroupSettings,
    names: &'n [MemberName],
    identities: Vec<u16>,
    tree: TaintedTree,
    leaves: FxHashMap<DeviceNumber, LeafIndex>,
    /// The bytes of all leaf nodes.
    leaf_bytes: u64,
    was_member: Vec<bool>,
    is_offline: Vec<bool>,
    secret_tree: SecretTree,
    epoch: u64,
    sequence: u64,
    time: u64,
    waiting: Vec<WaitingProposal>,
    ledger: Ledger,
}

impl<'n> TaintedTreekem<'n> {
    /// A group that a device has just created.
    pub(crate) fn create(creation: Creation<'n>) -> Self {
        let Creation { settings, names, identities, by, time } = creation;
        let mut group = Self {
            settings,
            names,
            identities,
            tree: TaintedTree::new(),
            leaves: FxHashMap::from_iter([(by, 0)]),
            leaf_bytes: 0,
            was_member: vec![false; names.len()],
            is_offline: vec![false; names.len()],
            secret_tree: SecretTree::default(),
            epoch: 0,
            sequence: 0,
            time,
            waiting: Vec::new(),
            ledger: Ledger { devices: 1, ..Ledger::default() },
        };
        group.was_member[by as usize] = true;
        group.leaf_bytes = group.leaf(by);
        let size = settings.sizes.group_info(0, group.encoded());
        let counts = CostCounts {
            key_pairs: 2,
            signatures: 2,
            kdf: KEY_SCHEDULE + 1,
            macs: 2,
            random_bytes: 3 * HASH,
            ..CostCounts::default()
        };
        group.ledger.charge(Operation::Create, counts, 1);
        let entry = EntryCost {
            tree: Some(group.shape()),
            bytes: EntryBytes { group_info: Some(size), ..EntryBytes::default() },
            service: ServiceBytes { uploaded: size, ..ServiceBytes::default() },
            committer: Some(counts),
            ..group.entry(EntryKind::Create, by)
        };
        group.ledger.order(entry);
        group
    }

    fn identity(&self, device: DeviceNumber) -> u64 {
        self.identities[device as usize].into()
    }

    /// The leaf node of a device. All sources have the same size here, for a simple sum.
    fn leaf(&self, device: DeviceNumber) -> u64 {
        self.settings.sizes.leaf_node(self.identity(device), LeafSource::Commit { has_path: true })
    }

    /// The public tree without its length. Blank nodes at the right end count, too.
    fn encoded(&self) -> u64 {
        let (members, leaves) = (self.leaves.len() as u64, self.tree.leaves());
        let parents = leaves - 1 - self.tree.blank_parents();
        let parent = NODE_HEAD + vector(self.settings.sizes.suite.public_key) + TAINTER;
        self.leaf_bytes + members * NODE_HEAD + parents * parent + (leaves - members) + self.tree.blank_parents()
    }

    fn shape(&self) -> TreeShape {
        TreeShape {
            members: self.leaves.len() as u64,
            leaves: self.tree.leaves(),
            blank_parents: self.tree.blank_parents(),
            unmerged_leaves: 0,
            bytes: vector(self.encoded()),
        }
    }

    fn entry(&self, kind: EntryKind, who: DeviceNumber) -> EntryCost {
        EntryCost::new(self.sequence, self.epoch, self.time, kind, &self.names[who as usize])
    }

    fn add(&mut self, device: DeviceNumber) -> LeafIndex {
        let leaf = self.tree.add();
        self.leaves.insert(device, leaf);
        self.leaf_bytes += self.leaf(device);
        self.ledger.devices += u64::from(!std::mem::replace(&mut self.was_member[device as usize], true));
        leaf
    }

    fn remove(&mut self, device: DeviceNumber) -> Option<LeafIndex> {
        let leaf = self.leaves.remove(&device)?;
        self.leaf_bytes -= self.leaf(device);
        self.tree.remove(leaf);
        Some(leaf)
    }

    /// The bytes of the refreshed nodes.
    fn nodes(&self, refresh: &Refresh) -> u64 {
        let sizes = &self.settings.sizes;
        let sum = |nodes: &std::collections::BTreeMap<u64, u64>, index: u64| -> u64 {
            nodes.iter().map(|(sealed, count)| count * (index + sizes.path_node(*sealed))).sum()
        };
        sum(&refresh.on_path, 0) + sum(&refresh.off_path, NODE_INDEX)
    }

    /// The costs of a commit that is not ordered: those of a copy of the group that orders it.
    fn price(&mut self, commit: impl FnOnce(&mut Self)) -> CommitPrice {
        let ledger = std::mem::take(&mut self.ledger);
        let mut copy = self.clone();
        self.ledger = ledger;
        commit(&mut copy);
        copy.ledger.entries.iter().fold(CommitPrice::default(), |price, entry| {
            let counts = entry.committer.unwrap_or_default();
            price.beside(CommitPrice { bytes: entry.service.uploaded, counts })
        })
    }

    fn order(&mut self, commit: &Ordered<'_>, refresh: &Refresh) {
        let Ordered { sender, by, parts, added, changes, proposals, before, .. } = commit;
        let sizes = self.settings.sizes;
        let nodes = self.nodes(refresh);
        let update_path = self.leaf(*by) + vector(nodes);
        let size = sizes.handshake(*sender, MessageSizes::commit_content(*proposals, update_path), true);
        let joiners = added.len() as u64;
        let welcomes = u64::from(joiners > 0);
        let publishes = u64::from(self.settings.publishes_group_info);
        // The confirmation tag, and the membership tag of a PublicMessage.
        let macs = 1 + u64::from(!sizes.opaque && *sender == Sender::Member);
        let committer = CostCounts {
            hpke_seals: refresh.sealed + joiners,
            hpke_exports: u64::from(*sender == Sender::NewMember),
            key_pairs: refresh.nodes + publishes,
            signature_keys: u64::from(parts.new_signature_key),
            signatures: 2 + welcomes + publishes,
            verifications: if parts.verifies_key_packages { 2 * parts.add.len() as u64 } else { 0 }
                + if *sender == Sender::NewMember { self.leaves.len() as u64 } else { 0 },
            kdf: NODE * refresh.nodes + KEY_SCHEDULE + 1 + 2 * welcomes,
            macs,
            aead_seals: welcomes,
            random_bytes: (refresh.chains + 1) * HASH,
            ..CostCounts::default()
        };
        self.sequence += 1;
        let epoch = self.epoch;
        let encoded = self.encoded();
        let group_info = self.settings.publishes_group_info.then(|| sizes.group_info(epoch + 1, encoded));
        let kind = if *sender == Sender::NewMember { EntryKind::ExternalCommit } else { EntryKind::Commit };
        let operation = if kind == EntryKind::Commit { Operation::Commit } else { Operation::ExternalCommit };
        let length: u64 = refresh.on_path.values().sum();
        let mut entry = EntryCost {
            changes: Some(*changes),
            tree: Some(self.shape()),
            path: Some(PathShape {
                // Without the leaf.
                filtered_length: length - 1,
                resolution_sum: refresh.sealed,
                resolution_max: refresh.on_path.keys().chain(refresh.off_path.keys()).copied().max().unwrap_or(0),
            }),
            bytes: EntryBytes {
                commit: Some(size),
                update_path: (!sizes.opaque || *sender == Sender::NewMember).then_some(update_path),
                group_info,
                ..EntryBytes::default()
            },
            service: ServiceBytes {
                uploaded: size + group_info.unwrap_or_default(),
                deliveries: *before,
                delivered: before * size,
                ..ServiceBytes::default()
            },
            committer: Some(committer),
            ..self.entry(kind, *by)
        };
        self.ledger.charge(operation, committer, 1);
        let fixed = CostCounts {
            verifications: 2 + 2 * parts.add.len() as u64,
            macs,
            kdf: KEY_SCHEDULE,
            ..CostCounts::default()
        };
        let along = |opened: u64, keys: u64| CostCounts {
            hpke_opens: opened,
            key_pairs: keys,
            kdf: NODE * keys,
            ..CostCounts::default()
        };
        for ((opened, keys), members) in &refresh.receivers {
            let mut counts = fixed;
            counts += along(*opened, *keys);
            self.ledger.receive(&mut entry.receivers, Operation::ReceiveCommit, counts, *members);
        }
        let of_removed = CostCounts { kdf: 0, macs: macs - 1, ..fixed };
        self.ledger.receive(&mut entry.receivers, Operation::ReceiveCommit, of_removed, commit.removed);
        self.ledger.order(entry);
        self.epoch += 1;
        self.secret_tree.clear();
        self.waiting.clear();
        if joiners > 0 {
            self.welcome(commit, encoded);
        }
    }

    fn welcome(&mut self, commit: &Ordered<'_>, encoded: u64) {
        let sizes = self.settings.sizes;
        let parts = WelcomeParts { path_secret: true, encoded: Some(encoded) };
        let (size, for_one) =
            (sizes.welcome(commit.added.len() as u64, self.epoch, parts), sizes.welcome(1, self.epoch, parts));
        let joiners = commit.added.len() as u64;
        // A joiner derives the keys of its whole path from the seed of its leaf, as far as the
        // committer's chains go. The model counts one key pair for each level.
        let keys = u64::from(self.tree.leaves().trailing_zeros()) + 1;
        let counts = CostCounts {
            hpke_opens: 1,
            key_pairs: keys,
            verifications: self.leaves.len() as u64 + 1,
            kdf: NODE * keys + KEY_SCHEDULE + 1,
            macs: 1,
            aead_opens: 1,
            ..CostCounts::default()
        };
        let mut entry = EntryCost {
            tree: Some(self.shape()),
            bytes: EntryBytes { welcome: Some(size), welcome_for_one: Some(for_one), ..EntryBytes::default() },
            service: ServiceBytes {
                uploaded: size,
                deliveries: joiners,
                delivered: joiners * for_one,
                ..ServiceBytes::default()
            },
            ..self.entry(EntryKind::Welcome, commit.by)
        };
        entry.joiners.add_many(counts, joiners);
        self.ledger.charge(Operation::Join, counts, joiners);
        self.ledger.order(entry);
    }
}

/// A commit whose changes the tree has.
struct Ordered<'c> {
    sender: Sender,
    by: DeviceNumber,
    parts: &'c CommitParts,
    added: &'c [DeviceNumber],
    changes: ChangeCounts,
    /// The bytes of the list of proposals.
    proposals: u64,
    /// The members before the commit, and the external joiner.
    before: u64,
    /// The number of members that it removes.
    removed: u64,
}

impl GroupModel for TaintedTreekem<'_> {
    fn is_member(&self, device: DeviceNumber) -> bool {
        self.leaves.contains_key(&device)
    }

    fn members(&self) -> u64 {
        self.leaves.len() as u64
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_online(&self, device: DeviceNumber) -> bool {
        !self.is_offline[device as usize]
    }

    fn waiting(&self) -> &[WaitingProposal] {
        &self.waiting
    }

    fn set_time(&mut self, seconds: u64) {
        self.time = seconds;
    }

    fn set_online(&mut self, device: DeviceNumber, online: bool) {
        self.is_offline[device as usize] = !online;
    }

    fn encrypt_early(&mut self, _: DeviceNumber) {}

    fn propose(&mut self, proposal: WaitingProposal) {
        if self.waiting.contains(&proposal) {
            return;
        }
        let sizes = self.settings.sizes;
        let WaitingProposal { by, change } = proposal;
        let (content, changes, keys) = match change {
            Change::Add(device) => (sizes.add(self.identity(device)), ChangeCounts { adds: 1, ..<_>::default() }, 0),
            Change::Remove(_) => (MessageSizes::remove(), ChangeCounts { removes: 1, ..<_>::default() }, 0),
            Change::Update => (sizes.update(self.identity(by)), ChangeCounts { updates: 1, ..<_>::default() }, 1),
        };
        let size = sizes.handshake(Sender::Member, content, false);
        let package = 2 * changes.adds;
        let macs = u64::from(!sizes.opaque);
        let sender = CostCounts {
            key_pairs: keys,
            signatures: 1 + keys,
            verifications: package,
            macs,
            random_bytes: keys * HASH,
            ..CostCounts::default()
        };
        let receiver = CostCounts { verifications: 1 + keys + package, macs, ..CostCounts::default() };
        let members = self.members();
        self.sequence += 1;
        let mut entry = EntryCost {
            changes: Some(changes),
            tree: Some(self.shape()),
            bytes: EntryBytes { proposal: Some(size), ..EntryBytes::default() },
            service: ServiceBytes {
                uploaded: size,
                deliveries: members,
                delivered: members * size,
                ..ServiceBytes::default()
            },
            committer: Some(sender),
            ..self.entry(EntryKind::Proposal, by)
        };
        self.ledger.charge(Operation::Proposal, sender, 1);
        self.ledger.receive(&mut entry.receivers, Operation::ReceiveProposal, receiver, members - 1);
        self.ledger.order(entry);
        self.waiting.push(proposal);
    }

    fn send(&mut self, by: DeviceNumber, text: u64) {
        let Some(leaf) = self.leaves.get(&by) else { return };
        let derivations = self.secret_tree.derivations(*leaf, self.tree.leaves());
        let framing = Framing {
            is_private: true,
            has_tag: false,
            sender_derivations: derivations,
            receiver_derivations: derivations,
        };
        let (sender, receiver) = work::message(framing);
        let (size, members) = (self.settings.sizes.application(text), self.members());
        self.ledger.messages += 1;
        self.ledger.message(size, members, members * size);
        self.ledger.charge(Operation::Send, sender, 1);
        self.ledger.charge(Operation::ReceiveMessage, receiver, members - 1);
    }

    fn commit(&mut self, by: DeviceNumber, parts: &CommitParts) {
        let Some(own) = self.leaves.get(&by).copied() else { return };
        let sizes = self.settings.sizes;
        let before = self.members();
        let (added, removed, updated) = (parts.added(), parts.removed(), parts.updated());
        let by_value = parts.add.iter().map(|device| MessageSizes::listed(sizes.add(self.identity(*device))));
        let proposals = by_value.sum::<u64>()
            + parts.remove.len() as u64 * MessageSizes::listed(MessageSizes::remove())
            + parts.referred.len() as u64 * MessageSizes::listed_reference();
        let mut paths: Vec<_> = removed.iter().filter_map(|device| self.remove(*device)).collect();
        // The committer refreshes the path of a member that proposes an update, and taints it.
        paths.extend(updated.iter().filter_map(|device| self.leaves.get(device)));
        let new: Vec<_> = added.iter().map(|device| self.add(*device)).collect();
        let tainters: Vec<_> = std::iter::once(by).chain(removed.iter().copied()).collect();
        let refresh = self.tree.refresh(by, own, &new, &paths, &tainters);
        let changes =
            ChangeCounts { adds: added.len() as u64, removes: removed.len() as u64, updates: updated.len() as u64 };
        let removed = removed.len() as u64;
        let ordered = Ordered { sender: Sender::Member, by, parts, added: &added, changes, proposals, before, removed };
        self.order(&ordered, &refresh);
    }

    fn join(&mut self, by: DeviceNumber) {
        let rejoins = self.is_member(by);
        let before = self.members() + u64::from(!rejoins);
        let sizes = self.settings.sizes;
        let mut proposals = MessageSizes::listed(sizes.external_init());
        let mut paths = Vec::new();
        if rejoins {
            proposals += MessageSizes::listed(MessageSizes::remove());
            paths.extend(self.remove(by));
        }
        let own = self.add(by);
        let refresh = self.tree.refresh(by, own, &[], &paths, &[by]);
        let changes = ChangeCounts { adds: 1, removes: rejoins.into(), updates: 0 };
        let parts = CommitParts::default();
        let ordered = Ordered {
            sender: Sender::NewMember,
            by,
            parts: &parts,
            added: &[],
            changes,
            proposals,
            before,
            removed: 0,
        };
        self.order(&ordered, &refresh);
    }

    fn price_commit(&mut self, by: DeviceNumber, parts: &CommitParts) -> Option<CommitPrice> {
        Some(self.price(|copy| copy.commit(by, parts)))
    }

    fn price_join(&mut self, by: DeviceNumber) -> Option<CommitPrice> {
        Some(self.price(|copy| copy.join(by)))
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
