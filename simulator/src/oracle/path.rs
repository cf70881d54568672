//! Applies a commit to the tree (RFC 9420, 12.3 and 7.5), and finds the receivers of its path
//! secrets.

use std::collections::BTreeSet;

use super::{
    history::{Commit, CommitId, DeviceNumber, KeyPackageId},
    secret::KeyPair,
    tree::{Leaf, Tree},
    tree_math::{LeafIndex, NodeIndex},
};

/// The path of a commit (RFC 9420, 7.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdatePath {
    /// The committer's leaf.
    pub committer: LeafIndex,
    /// The nodes to which the commit gives new keys, from the committer's parent to the root. Path
    /// secret `n` belongs to the node at index `n`. After the last path secret comes the commit
    /// secret.
    pub nodes: Vec<PathNode>,
}

/// A node in the path of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathNode {
    /// The position of the node in the tree.
    pub node: NodeIndex,
    /// The key pairs to which the path secret is sealed: the resolution of the node's child beside
    /// the path, without the members that the same commit adds.
    pub sealed_to: Vec<KeyPair>,
}

/// A device that a commit adds. The welcome is sealed to it (RFC 9420, 12.4.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Joiner {
    pub(super) device: DeviceNumber,
    pub(super) key_package: KeyPackageId,
    pub(super) leaf: LeafIndex,
}

/// The result of a commit.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    pub(super) tree: Tree,
    pub(super) path: UpdatePath,
    pub(super) joiners: Vec<Joiner>,
}

impl UpdatePath {
    /// The number of the first path secret that this member learns: that of the lowest node above
    /// both the member and the committer. The later path secrets follow from it.
    pub(super) fn first_known_to(&self, leaf: LeafIndex) -> usize {
        self.nodes.iter().position(|path_node| path_node.node.covers(leaf)).unwrap_or(self.nodes.len())
    }

    /// The private keys that follow from this path secret.
    pub(super) fn keys_from(&self, commit: CommitId, position: usize) -> impl Iterator<Item = KeyPair> {
        (position..self.nodes.len()).map(move |position| KeyPair::PathNode(commit, position))
    }
}

/// Applies a commit to the tree of the epoch in which it is made. The committer is a member, unless
/// it joins by this commit.
///
/// # Errors
/// Says why the commit cannot be applied.
pub(super) fn apply(before: &Tree, by: DeviceNumber, commit: CommitId, what: &Commit) -> Result<Applied, String> {
    let mut tree = before.clone();
    let at = |tree: &Tree, device| tree.leaf_of(device).ok_or_else(|| format!("{device} is not a member"));
    // RFC 9420, 12.3, prescribes this order.
    for (device, proposal) in &what.updates {
        let leaf = at(&tree, *device)?;
        tree.update(leaf, KeyPair::UpdateLeaf(*proposal));
    }
    for device in &what.removes {
        let leaf = at(&tree, *device)?;
        tree.remove(leaf);
    }
    if what.external
        && let Some(lost) = tree.leaf_of(by)
    {
        tree.remove(lost);
    }
    tree.truncate();
    let mut joiners = Vec::with_capacity(what.adds.len());
    for (device, key_package) in &what.adds {
        if tree.leaf_of(*device).is_some() {
            return Err(format!("{device} is a member already"));
        }
        let leaf = tree.add(Leaf { device: *device, key: KeyPair::KeyPackageLeaf(*key_package) });
        joiners.push(Joiner { device: *device, key_package: *key_package, leaf });
    }
    let new_leaf = KeyPair::PathLeaf(commit);
    let committer = match what.external {
        true => tree.add(Leaf { device: by, key: new_leaf }),
        false => at(&tree, by)?,
    };
    let added: BTreeSet<LeafIndex> = joiners.iter().map(|joiner| joiner.leaf).collect();
    let sealed_to = |resolution: Vec<(KeyPair, Option<LeafIndex>)>| {
        let old = resolution.into_iter().filter(|(_, leaf)| leaf.is_none_or(|leaf| !added.contains(&leaf)));
        old.map(|(key, _)| key).collect()
    };
    let nodes: Vec<PathNode> = tree
        .filtered_path(committer)
        .map(|(node, resolution)| PathNode { node, sealed_to: sealed_to(resolution) })
        .collect();
    let keys = nodes.iter().enumerate().map(|(position, it)| (it.node, KeyPair::PathNode(commit, position)));
    tree.set_path(committer, new_leaf, keys);
    Ok(Applied { tree, path: UpdatePath { committer, nodes }, joiners })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::ProposalId;

    fn added(device: usize) -> (DeviceNumber, KeyPackageId) {
        (DeviceNumber(device), KeyPackageId(device as u64))
    }

    fn leaf_key(device: u64) -> KeyPair {
        KeyPair::KeyPackageLeaf(KeyPackageId(device))
    }

    /// A group that device 0 has created, and to which it has added the other members in commit 0.
    fn group_of(members: usize) -> Tree {
        let alone = Tree::new(Leaf { device: DeviceNumber(0), key: KeyPair::CreatorLeaf });
        let what = Commit { adds: (1..members).map(added).collect(), ..Commit::default() };
        apply(&alone, DeviceNumber(0), CommitId(0), &what).unwrap().tree
    }

    fn sealed_to(applied: &Applied) -> Vec<(u32, Vec<KeyPair>)> {
        applied.path.nodes.iter().map(|node| (node.node.0, node.sealed_to.clone())).collect()
    }

    #[test]
    fn added_member_gets_its_path_secret_only_by_the_welcome() {
        let tree = group_of(3);
        let what = Commit { adds: vec![added(3), added(4)], ..Commit::default() };
        let applied = apply(&tree, DeviceNumber(2), CommitId(1), &what).unwrap();
        let above_others = KeyPair::PathNode(CommitId(0), 0);
        assert_eq!(sealed_to(&applied), [(5, vec![]), (3, vec![above_others]), (7, vec![])]);
        let first_known = |device| applied.path.first_known_to(applied.tree.leaf_of(DeviceNumber(device)).unwrap());
        assert_eq!([3, 0, 1, 4].map(first_known), [0, 1, 1, 2]);
    }

    #[test]
    fn path_secret_is_sealed_to_unmerged_leaves_separately() {
        let four = group_of(4);
        let what = Commit { removes: vec![DeviceNumber(3)], ..Commit::default() };
        let three = apply(&four, DeviceNumber(2), CommitId(1), &what).unwrap().tree;
        let what = Commit { adds: vec![added(5)], ..Commit::default() };
        let with_new = apply(&three, DeviceNumber(0), CommitId(2), &what).unwrap().tree;
        // The new member is below node 5, which is blank. Its leaf is merged at the root.
        let applied = apply(&with_new, DeviceNumber(1), CommitId(3), &Commit::default()).unwrap();
        let carol = KeyPair::PathLeaf(CommitId(1));
        assert_eq!(sealed_to(&applied), [(1, vec![KeyPair::PathLeaf(CommitId(2))]), (3, vec![carol, leaf_key(5)])]);
    }

    /// RFC 9420, 12.3: first updates, then removals, then additions, then the leaf of an external
    /// joiner.
    #[test]
    fn proposals_are_applied_in_the_order_of_the_rfc() {
        let tree = group_of(4);
        let what = Commit {
            updates: vec![(DeviceNumber(3), ProposalId(0))],
            removes: vec![DeviceNumber(1), DeviceNumber(2)],
            adds: vec![added(7)],
            ..Commit::default()
        };
        let applied = apply(&tree, DeviceNumber(0), CommitId(1), &what).unwrap();
        let leaves: Vec<_> = applied.tree.leaves().iter().map(|leaf| leaf.map(|it| it.device.0)).collect();
        assert_eq!(leaves, [Some(0), Some(7), None, Some(3)]);
        assert_eq!(sealed_to(&applied), [(1, vec![]), (3, vec![KeyPair::UpdateLeaf(ProposalId(0))])]);
    }

    #[test]
    fn external_joiner_gets_the_leftmost_blank_leaf() {
        let tree = group_of(3);
        let what = Commit { external: true, ..Commit::default() };
        let rejoined = apply(&tree, DeviceNumber(1), CommitId(1), &what).unwrap();
        assert_eq!(rejoined.path.committer, LeafIndex(1));
        let joined = apply(&tree, DeviceNumber(8), CommitId(1), &what).unwrap();
        assert_eq!(joined.path.committer, LeafIndex(3));
    }
}
