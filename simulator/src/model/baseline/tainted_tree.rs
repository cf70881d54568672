//! A ratchet tree without blanks: members taint the nodes whose secrets they chose for others.
//!
//! A node is tainted by the member that made its key pair and has no leaf below it.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::{
    group_model::DeviceNumber,
    tree::{LeafIndex, ancestor, node_over},
};

/// The mark of a node that nobody has tainted.
const NOBODY: DeviceNumber = DeviceNumber::MAX;

/// The part of the tree that a commit refreshes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refresh {
    /// The number of new key pairs.
    pub(crate) nodes: u64,
    /// The number of sealed seeds, without those in welcomes.
    pub(crate) sealed: u64,
    /// The number of new key pairs for each number of sealed seeds. The first list has the nodes on
    /// the committer's path, and the second one the others.
    pub(crate) on_path: BTreeMap<u64, u64>,
    pub(crate) off_path: BTreeMap<u64, u64>,
    /// The chains of derived seeds. Each begins with a random one.
    pub(crate) chains: u64,
    /// The number of members for each number of opened seeds and new key pairs.
    pub(crate) receivers: BTreeMap<(u64, u64), u64>,
}

/// The tree, in the order of nodes of RFC 9420, Appendix C.
#[derive(Clone)]
pub(crate) struct TaintedTree {
    members: Vec<u32>,
    tainter: Vec<DeviceNumber>,
    tainted: FxHashMap<DeviceNumber, FxHashSet<u32>>,
    /// The round in which each node was last refreshed.
    refreshed: Vec<u32>,
    round: u32,
    /// The parents with a member below them.
    filled_parents: u64,
    /// The lowest leaf that may be free.
    first_free: LeafIndex,
}

impl TaintedTree {
    /// A tree with one member at leaf 0.
    pub(crate) fn new() -> Self {
        Self {
            members: vec![1],
            tainter: vec![NOBODY],
            tainted: FxHashMap::default(),
            refreshed: vec![0],
            round: 0,
            filled_parents: 0,
            first_free: 1,
        }
    }

    /// The number of leaves, a power of two.
    pub(crate) fn leaves(&self) -> u64 {
        self.members.len().div_ceil(2) as u64
    }

    fn height(&self) -> u32 {
        self.leaves().trailing_zeros()
    }

    /// The parents without a member below them.
    pub(crate) fn blank_parents(&self) -> u64 {
        self.leaves() - 1 - self.filled_parents
    }

    /// Puts a member in the lowest free leaf.
    pub(crate) fn add(&mut self) -> LeafIndex {
        let mut leaf = self.first_free;
        while u64::from(leaf) < self.leaves() && self.members[2 * leaf as usize] == 1 {
            leaf += 1;
        }
        if u64::from(leaf) == self.leaves() {
            let (size, below) = (2 * self.members.len() + 1, self.members[node_over(0, self.height())]);
            self.members.resize(size, 0);
            self.tainter.resize(size, NOBODY);
            self.refreshed.resize(size, 0);
            let root = node_over(0, self.height());
            self.members[root] = below;
            self.filled_parents += u64::from(below > 0);
        }
        self.first_free = leaf + 1;
        for level in 0..=self.height() {
            let node = ancestor(leaf, level);
            self.filled_parents += u64::from(level > 0 && self.members[node] == 0);
            self.members[node] += 1;
        }
        leaf
    }

    /// Takes a member's leaf.
    pub(crate) fn remove(&mut self, leaf: LeafIndex) {
        self.first_free = self.first_free.min(leaf);
        for level in 0..=self.height() {
            let node = ancestor(leaf, level);
            self.members[node] -= 1;
            if self.members[node] == 0 {
                self.filled_parents -= u64::from(level > 0);
                self.taint(node, NOBODY);
            }
        }
    }

    fn taint(&mut self, node: usize, by: DeviceNumber) {
        let before = std::mem::replace(&mut self.tainter[node], by);
        if before == by {
            return;
        }
        if let Some(nodes) = self.tainted.get_mut(&before) {
            nodes.remove(&(node as u32));
            if nodes.is_empty() {
                self.tainted.remove(&before);
            }
        }
        if by != NOBODY {
            self.tainted.entry(by).or_default().insert(node as u32);
        }
    }

    fn is_refreshed(&self, node: usize) -> bool {
        self.refreshed[node] == self.round && self.members[node] > 0
    }

    /// Refreshes the path of a member, the paths of other leaves, and the nodes that these devices
    /// have tainted, with all nodes above them. The seeds of new leaves travel in welcomes.
    pub(crate) fn refresh(
        &mut self,
        by: DeviceNumber,
        own: LeafIndex,
        new: &[LeafIndex],
        removed: &[LeafIndex],
        tainters: &[DeviceNumber],
    ) -> Refresh {
        self.round += 1;
        let mut nodes = Vec::new();
        let mut starts = vec![(2 * own, 0)];
        starts.extend(new.iter().chain(removed).map(|leaf| (2 * leaf, 0)));
        for tainter in tainters {
            // A set in no order: the marks below do not depend on it.
            let tainted = self.tainted.get(tainter).into_iter().flatten();
            starts.extend(tainted.map(|node| (*node, node.trailing_ones())));
        }
        let height = self.height();
        for (node, mut level) in starts {
            // The first leaf below the node.
            let leaf = (node + 1 - (1 << level)) / 2;
            let mut index = ancestor(leaf, level);
            while self.refreshed[index] != self.round {
                self.refreshed[index] = self.round;
                if self.members[index] > 0 {
                    nodes.push(index);
                }
                if level == height {
                    break;
                }
                level += 1;
                index = ancestor(leaf, level);
            }
        }
        let refresh = self.count(own, new, &nodes);
        let own_path: FxHashSet<_> = (0..=height).map(|level| ancestor(own, level)).collect();
        for node in nodes {
            self.taint(node, if own_path.contains(&node) { NOBODY } else { by });
        }
        refresh
    }

    /// The child from whose seed the seed of a refreshed parent follows.
    fn chain_child(&self, own: LeafIndex, node: usize, level: u32) -> Option<usize> {
        let half = 1 << (level - 1);
        let children = [node - half, node + half];
        let on_path = ancestor(own, level - 1);
        children
            .into_iter()
            .find(|child| *child == on_path)
            .or_else(|| children.into_iter().find(|child| self.is_refreshed(*child)))
    }

    fn count(&self, own: LeafIndex, new: &[LeafIndex], nodes: &[usize]) -> Refresh {
        let mut refresh = Refresh::default();
        let new: FxHashSet<_> = new.iter().map(|leaf| 2 * *leaf as usize).collect();
        for node in nodes {
            let level = node.trailing_ones();
            let (sealed, begins) = if level == 0 {
                let is_known = *node == 2 * own as usize || new.contains(node);
                (u64::from(!is_known), true)
            } else {
                let half = 1 << (level - 1);
                let filled = [node - half, node + half].iter().filter(|child| self.members[**child] > 0).count() as u64;
                let chain = self.chain_child(own, *node, level);
                (filled - u64::from(chain.is_some()), chain.is_none())
            };
            refresh.nodes += 1;
            refresh.sealed += sealed;
            refresh.chains += u64::from(begins);
            let is_on_path = ancestor(own, level) == *node;
            let sizes = if is_on_path { &mut refresh.on_path } else { &mut refresh.off_path };
            *sizes.entry(sealed).or_default() += 1;
        }
        self.count_receivers(own, &new, &mut refresh);
        refresh
    }

    /// Counts the seeds that each member opens, from the root down.
    fn count_receivers(&self, own: LeafIndex, new: &FxHashSet<usize>, refresh: &mut Refresh) {
        let height = self.height();
        let mut open = vec![(node_over(0, height), height, 0_u64, 1_u64)];
        while let Some((node, level, opened, keys)) = open.pop() {
            if level == 0 {
                if node != 2 * own as usize && !new.contains(&node) {
                    *refresh.receivers.entry((opened + 1, keys)).or_default() += 1;
                }
                continue;
            }
            let chain = self.chain_child(own, node, level);
            let half = 1 << (level - 1);
            for child in [node - half, node + half] {
                if self.is_refreshed(child) {
                    open.push((child, level - 1, opened + u64::from(chain != Some(child)), keys + 1));
                } else if self.members[child] > 0 {
                    *refresh.receivers.entry((opened + 1, keys)).or_default() += u64::from(self.members[child]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: DeviceNumber = 0;
    const B: DeviceNumber = 1;

    /// Four members, whom A has added in one commit.
    fn four() -> (TaintedTree, Refresh) {
        let mut tree = TaintedTree::new();
        let new: Vec<_> = (0..3).map(|_| tree.add()).collect();
        assert_eq!(new, [1, 2, 3]);
        let refresh = tree.refresh(A, 0, &new, &[], &[A]);
        (tree, refresh)
    }

    #[test]
    fn creator_refreshes_the_whole_tree_until_others_update() {
        let (mut tree, first) = four();
        // All seven nodes. The seeds of the leaves 1, 2 and 3 are in welcomes. The parent of 0 and 1
        // is sealed to 1, that of 2 and 3 to 3, and the root to the parent of 2 and 3.
        assert_eq!((first.nodes, first.sealed, first.chains), (7, 3, 4));
        assert!(first.receivers.is_empty());
        let update = tree.refresh(A, 0, &[], &[], &[A]);
        // The leaves 1, 2 and 3 get their new seeds under their old keys.
        assert_eq!((update.nodes, update.sealed), (7, 6));
        // Member 1 opens the seed of its leaf and the one above. Member 2 derives the one above, and
        // opens the root. Member 3 opens three.
        assert_eq!(update.receivers, BTreeMap::from([((2, 3), 2), ((3, 3), 1)]));
        let update = tree.refresh(B, 1, &[], &[], &[B]);
        // The path of leaf 1: sealed to leaf 0 and to the parent of 2 and 3.
        assert_eq!((update.nodes, update.sealed), (3, 2));
        assert_eq!(update.receivers, BTreeMap::from([((1, 1), 2), ((1, 2), 1)]));
        // A still taints the parent of 2 and 3 with its leaves. Leaf 1 is B's own again.
        let update = tree.refresh(A, 0, &[], &[], &[A]);
        assert_eq!((update.nodes, update.sealed), (6, 5));
    }

    #[test]
    fn removal_refreshes_the_nodes_that_the_member_knows() {
        let (mut tree, _) = four();
        tree.remove(3);
        let removal = tree.refresh(B, 1, &[], &[3], &[B]);
        // The path of leaf 1, and the parent of 2 and 3, which is sealed to leaf 2.
        assert_eq!((removal.nodes, removal.sealed), (4, 3));
        assert_eq!(removal.receivers, BTreeMap::from([((1, 2), 1), ((2, 2), 1)]));
        assert_eq!((tree.leaves(), tree.blank_parents()), (4, 0));
    }

    #[test]
    fn leaf_of_a_removed_member_is_tainted_by_nobody() {
        let (mut tree, _) = four();
        // The member at leaf 2 makes its own keys, so A taints only leaf 3 and leaf 1.
        tree.refresh(2, 2, &[], &[], &[2]);
        tree.refresh(B, 1, &[], &[], &[B]);
        tree.remove(3);
        tree.refresh(B, 1, &[], &[3], &[B]);
        // Leaf 3 is free, so A refreshes its own path alone.
        assert_eq!(tree.refresh(A, 0, &[], &[], &[A]).nodes, 3);
    }

    #[test]
    fn seed_of_a_parent_follows_from_the_child_on_the_path_of_the_committer() {
        let mut tree = TaintedTree::new();
        let new: Vec<_> = (0..7).map(|_| tree.add()).collect();
        tree.refresh(A, 0, &new, &[], &[A]);
        for leaf in 0..8 {
            tree.refresh(leaf, leaf, &[], &[], &[leaf]);
        }
        tree.remove(0);
        tree.remove(2);
        let removal = tree.refresh(7, 7, &[], &[0, 2], &[7]);
        // The root follows from the right child. The members of the left half open its seed: leaf 1
        // opens two, and leaf 3 three. Those of the right half open one.
        let expected = BTreeMap::from([((2, 3), 1), ((3, 3), 1), ((1, 3), 1), ((1, 2), 2)]);
        assert_eq!(removal.receivers, expected);
    }
}
