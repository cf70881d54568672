//! A commit before its order: its changes to the tree, its sizes, and the work that it makes.

use super::{
    baseline::{
        optional_paths,
        partial_mls::{self, CommitterBefore},
        split_commits::{self, SplitCommit},
    },
    group::{CostGroup, change_counts},
    group_model::{CommitParts, DeviceNumber, GroupModel, GroupSettings, MlsVariant},
    messages::{LeafSource, MessageSizes, Sender, WelcomeParts},
    tree::{CostTree, HashWork, LeafIndex, PathNode},
    work::{self, CommitShape, Framing, ReceiverWork, TreeBefore},
};
use crate::cost::{ChangeCounts, CostCounts};

/// A commit, with the numbers and sizes that its costs depend on.
pub(super) struct Draft {
    pub(super) by: DeviceNumber,
    committer: Committer,
    /// True if an external joiner has a leaf already.
    pub(super) rejoins: bool,
    listed: Listed,
    pub(super) added: Vec<DeviceNumber>,
    pub(super) removed: Vec<DeviceNumber>,
    pub(super) changes: ChangeCounts,
    /// The leaves with new keys, with the sizes of their leaf nodes.
    updated_leaves: Vec<(LeafIndex, u64)>,
    removed_leaves: Vec<LeafIndex>,
    /// The size of each new leaf node, and whether its device is online.
    added_leaves: Vec<(u64, bool)>,
    key_packages: HashWork,
    added_by_value: u64,
    verifies_key_packages: bool,
    new_signature_key: bool,
    /// True if the commit has a path. The engine's commits always have one.
    has_path: bool,
    /// The committer in a group with partial clients.
    pub(super) before: CommitterBefore,
}

/// The committer.
enum Committer {
    Member(LeafIndex),
    /// An external joiner, with the group in which it joins.
    Joiner(TreeBefore),
}

/// The list of proposals of a commit.
#[derive(Clone, Copy, Debug, Default)]
struct Listed {
    bytes: u64,
    /// The hashes of the proposals that the commit contains itself.
    references: HashWork,
}

/// The sizes of a commit, and the work that it makes.
pub(super) struct Measured {
    /// The leaf of the committer.
    pub(super) leaf: LeafIndex,
    pub(super) new_leaves: Vec<LeafIndex>,
    pub(super) path: Vec<PathNode>,
    /// The number of sealed path secrets for each node of the path.
    pub(super) sealed: Vec<u64>,
    /// The bytes that the committer uploads.
    pub(super) commit: u64,
    /// The bytes that the service delivers to a member.
    pub(super) size_for_member: u64,
    /// The bytes that it delivers to the committer, and to a removed member.
    pub(super) size_without_path: u64,
    pub(super) update_path: u64,
    pub(super) group_info: Option<u64>,
    pub(super) welcome: Option<u64>,
    pub(super) welcome_for_one: u64,
    pub(super) committer: CostCounts,
    pub(super) work: ReceiverWork,
    /// The work of a receiver that does not hold the tree.
    pub(super) partial_work: ReceiverWork,
    pub(super) joiner: CostCounts,
}

impl Listed {
    fn contains(&mut self, proposal: u64) {
        self.bytes += MessageSizes::listed(proposal);
        self.references += HashWork::of(MessageSizes::own_proposal_reference(proposal));
    }

    fn refers_to(&mut self, proposals: usize) {
        self.bytes += MessageSizes::listed_reference() * proposals as u64;
    }
}

impl Draft {
    /// The commit of a member.
    pub(super) fn of_member(group: &CostGroup<'_>, by: DeviceNumber, leaf: LeafIndex, parts: &CommitParts) -> Self {
        let sizes = group.settings.sizes;
        let mut listed = Listed::default();
        for device in &parts.add {
            listed.contains(sizes.add(group.identity(*device)));
        }
        for _ in &parts.remove {
            listed.contains(MessageSizes::remove());
        }
        listed.refers_to(parts.referred.len());
        listed.bytes += parts.other_proposals;
        let (added, removed, updated) = (parts.added(), parts.removed(), parts.updated());
        let update = |device: &DeviceNumber| {
            let size = sizes.leaf_node(group.identity(*device), LeafSource::Update);
            group.leaf(*device).map(|leaf| (leaf, size))
        };
        let reference = |device: &DeviceNumber| sizes.key_package_reference(group.identity(*device));
        Self {
            by,
            committer: Committer::Member(leaf),
            rejoins: false,
            listed,
            changes: change_counts([added.len(), removed.len(), updated.len()].map(|count| count as u64)),
            updated_leaves: updated.iter().filter_map(update).collect(),
            removed_leaves: removed.iter().filter_map(|device| group.leaf(*device)).collect(),
            added_leaves: added.iter().map(|device| new_leaf(group, *device)).collect(),
            key_packages: added.iter().map(reference).fold(HashWork::default(), |work, size| work + HashWork::of(size)),
            added_by_value: parts.add.len() as u64,
            verifies_key_packages: parts.verifies_key_packages,
            new_signature_key: parts.new_signature_key,
            has_path: group.settings.variant != MlsVariant::OptionalPaths || optional_paths::has_path(parts),
            before: group.committer_before(by, leaf),
            added,
            removed,
        }
    }

    /// The external commit of a device, which replaces its old leaf if it has one.
    /// `other_proposals` are the bytes of further proposals.
    pub(super) fn of_joiner(group: &CostGroup<'_>, by: DeviceNumber, other_proposals: u64) -> Self {
        let old = group.leaf(by);
        let mut listed = Listed { bytes: other_proposals, ..Listed::default() };
        listed.contains(group.settings.sizes.external_init());
        if old.is_some() {
            listed.contains(MessageSizes::remove());
        }
        Self {
            by,
            committer: Committer::Joiner(TreeBefore::of(&group.tree, group.epoch())),
            rejoins: old.is_some(),
            listed,
            added: Vec::new(),
            removed: Vec::new(),
            changes: change_counts([1, u64::from(old.is_some()), 0]),
            updated_leaves: Vec::new(),
            removed_leaves: old.into_iter().collect(),
            added_leaves: vec![new_leaf(group, by)],
            key_packages: HashWork::default(),
            added_by_value: 0,
            verifies_key_packages: false,
            new_signature_key: false,
            has_path: true,
            before: CommitterBefore::default(),
        }
    }

    pub(super) fn is_external(&self) -> bool {
        matches!(self.committer, Committer::Joiner(_))
    }

    /// Makes the changes to the tree, and computes the sizes and the work.
    pub(super) fn measure(
        &self,
        tree: &mut CostTree,
        settings: &GroupSettings,
        epoch: u64,
        identity: u64,
        framing: Framing,
    ) -> Measured {
        let sizes = settings.sizes;
        // The order of RFC 9420, 12.3: updates, removals, additions.
        for (leaf, size) in &self.updated_leaves {
            tree.update(*leaf, *size);
        }
        for leaf in &self.removed_leaves {
            tree.remove(*leaf);
        }
        let mut new_leaves: Vec<_> = self.added_leaves.iter().map(|(size, online)| tree.add(*size, *online)).collect();
        tree.trim();
        tree.settle();
        let leaf = match self.committer {
            Committer::Member(leaf) => leaf,
            // The only new leaf is that of the joiner.
            Committer::Joiner(_) => new_leaves.pop().unwrap_or_default(),
        };
        let sorted = sorted(&new_leaves);
        let path = if self.has_path { tree.path(leaf) } else { Vec::new() };
        let sealed: Vec<u64> = path.iter().map(|node| node.resolution - below(&sorted, node).len() as u64).collect();
        let nodes: u64 = sealed.iter().map(|count| sizes.path_node(*count)).sum();
        if self.has_path {
            tree.set_path(leaf, sizes.leaf_node(identity, LeafSource::Commit { has_path: nodes > 0 }));
        }

        let sender = if self.is_external() { Sender::NewMember } else { Sender::Member };
        let update_path = if self.has_path { sizes.update_path(identity, nodes) } else { 0 };
        let split = match settings.variant {
            MlsVariant::SplitCommits => {
                SplitCommit::of(&sizes, sender, self.listed.bytes, identity, nodes, path.len() as u64)
            }
            _ => SplitCommit::whole(&sizes, sender, MessageSizes::commit_content(self.listed.bytes, update_path)),
        };
        let shape = CommitShape {
            tree,
            path: &path,
            sealed: sealed.iter().sum(),
            references: self.listed.references,
            added_by_value: self.added_by_value,
            key_packages: self.key_packages,
            transcript: sizes.confirmed_transcript(sender, split.content),
            publishes: settings.publishes_group_info,
            new_signature_key: self.new_signature_key,
            framing,
            has_path: self.has_path,
        };
        let mut committer = match &self.committer {
            Committer::Member(_) => shape.committer(self.verifies_key_packages),
            Committer::Joiner(before) => shape.external_committer(before),
        };
        let mut work = shape.receivers(self.is_external());
        let mut joiner = work::joiner(tree);
        if settings.variant == MlsVariant::SplitCommits {
            committer = split_commits::confirmed(committer);
            work.fixed = split_commits::confirmed(work.fixed);
        }
        let mut partial_work = work;
        let encoded = tree.totals().encoded;
        let mut in_welcome = WelcomeParts { path_secret: self.has_path, encoded: Some(encoded) };
        if settings.variant == MlsVariant::Partial {
            partial_work = partial_mls::receivers(&shape, work);
            joiner = partial_mls::joiner(tree, joiner);
            in_welcome.encoded = None;
        }
        let joiners = self.added.len() as u64;
        Measured {
            leaf,
            commit: split.uploaded,
            size_for_member: split.for_member,
            size_without_path: split.without_path,
            update_path,
            group_info: settings.publishes_group_info.then(|| sizes.group_info(epoch + 1, encoded)),
            welcome: (joiners > 0).then(|| sizes.welcome(joiners, epoch + 1, in_welcome)),
            welcome_for_one: sizes.welcome(1, epoch + 1, in_welcome),
            committer,
            work,
            partial_work,
            joiner,
            new_leaves,
            path,
            sealed,
        }
    }
}

/// The size of the leaf node in the key package of a device, and whether the device is online.
fn new_leaf(group: &CostGroup<'_>, device: DeviceNumber) -> (u64, bool) {
    let size = group.settings.sizes.leaf_node(group.identity(device), LeafSource::KeyPackage);
    (size, group.is_online(device))
}

/// The leaves in their order.
pub(super) fn sorted(leaves: &[LeafIndex]) -> Vec<LeafIndex> {
    let mut sorted = leaves.to_vec();
    sorted.sort_unstable();
    sorted
}

/// The leaves below the copath child of a path's node.
pub(super) fn below<'l>(sorted: &'l [LeafIndex], node: &PathNode) -> &'l [LeafIndex] {
    let from = sorted.partition_point(|leaf| *leaf < node.copath);
    &sorted[from..sorted.partition_point(|leaf| *leaf < node.copath || node.has_below_copath(*leaf))]
}
