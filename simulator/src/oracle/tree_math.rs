//! The positions of nodes in a ratchet tree (RFC 9420, appendix C). This module knows node numbers,
//! and no contents of nodes.

use std::fmt;

/// The position of a leaf; the first leaf is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(pub u32);

/// The position of a node in the array representation. Leaf `n` is node `2n`. The parents are the
/// odd nodes between the leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub u32);

impl fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leaf {}", self.0)
    }
}

impl From<LeafIndex> for NodeIndex {
    fn from(leaf: LeafIndex) -> Self {
        Self(2 * leaf.0)
    }
}

/// A node of a direct path, and its child that is not on that path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathStep {
    pub(super) node: NodeIndex,
    pub(super) copath: NodeIndex,
}

impl NodeIndex {
    /// The height of the node above the leaves.
    pub fn level(self) -> u32 {
        self.0.trailing_ones()
    }

    /// The position of the leaf, if the node is a leaf.
    pub fn as_leaf(self) -> Option<LeafIndex> {
        (self.level() == 0).then_some(LeafIndex(self.0 / 2))
    }

    /// The children of the node; a leaf has none.
    pub(super) fn children(self) -> Option<(Self, Self)> {
        let below = self.level().checked_sub(1)?;
        Some((Self(self.0 ^ (1 << below)), Self(self.0 ^ (3 << below))))
    }

    /// The node above this node. The root of the tree has none, and this function does not know the
    /// root.
    pub fn parent(self) -> Self {
        let level = self.level();
        let is_right_child = (self.0 >> (level + 1)) & 1;
        Self((self.0 | (1 << level)) ^ (is_right_child << (level + 1)))
    }

    /// True if the node is the leaf, or is above it.
    pub fn covers(self, leaf: LeafIndex) -> bool {
        NodeIndex::from(leaf).0 >> (self.level() + 1) == self.0 >> (self.level() + 1)
    }
}

/// The root of a tree with this number of leaves, which is a power of two.
pub(super) fn root(leaves: u32) -> NodeIndex {
    NodeIndex(leaves - 1)
}

/// The nodes from the leaf's parent to the root.
pub(super) fn direct_path(leaf: LeafIndex, leaves: u32) -> impl Iterator<Item = PathStep> {
    let root = root(leaves);
    let mut below = NodeIndex::from(leaf);
    std::iter::from_fn(move || {
        if below == root {
            return None;
        }
        let node = below.parent();
        // The numbers of a node and of its sibling differ in one bit.
        let copath = NodeIndex(below.0 ^ (2 << below.level()));
        below = node;
        Some(PathStep { node, copath })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(leaf: u32, leaves: u32) -> Vec<u32> {
        direct_path(LeafIndex(leaf), leaves).map(|step| step.node.0).collect()
    }

    fn copath(leaf: u32, leaves: u32) -> Vec<u32> {
        direct_path(LeafIndex(leaf), leaves).map(|step| step.copath.0).collect()
    }

    /// The tree of RFC 9420, 4.1.1 and appendix C, with eight leaves A to H.
    #[test]
    fn paths_are_those_of_the_rfc() {
        assert_eq!(path(0, 8), [1, 3, 7]);
        assert_eq!(copath(0, 8), [2, 5, 11]);
        assert_eq!(path(2, 8), [5, 3, 7]);
        assert_eq!(copath(2, 8), [6, 1, 11]);
        assert_eq!(path(7, 8), [13, 11, 7]);
        assert_eq!(copath(7, 8), [12, 9, 3]);
        assert!(path(0, 1).is_empty());
    }

    #[test]
    fn a_node_has_its_children_and_the_leaves_below() {
        let children = NodeIndex(3).children();
        assert_eq!(children, Some((NodeIndex(1), NodeIndex(5))));
        assert_eq!(NodeIndex(11).children(), Some((NodeIndex(9), NodeIndex(13))));
        assert_eq!(NodeIndex(4).children(), None);
        let below = |node| (0..8).filter(|leaf| NodeIndex(node).covers(LeafIndex(*leaf))).collect::<Vec<_>>();
        assert_eq!(below(11), [4, 5, 6, 7]);
        assert_eq!(below(7), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(below(6), [3]);
    }

    #[test]
    fn leaves_are_the_even_nodes() {
        assert_eq!(NodeIndex(6).as_leaf(), Some(LeafIndex(3)));
        assert_eq!(NodeIndex(5).as_leaf(), None);
    }
}
