//! The totals of a subtree, and the encoding of the tree.

use super::{Cheapest, CostTree, HashWork, LeafIndex, Node, ParentState, ancestor, node_over, root};
use crate::model::encoding::vector;

/// The size of a leaf's index in a list of unmerged leaves (RFC 9420, 7.1).
const INDEX: u64 = 4;

impl CostTree {
    /// Recomputes the totals of a parent from those of its children.
    pub(super) fn recompute(&mut self, index: usize, level: u32) {
        let half = 1 << (level - 1);
        let (left, right) = (self.nodes[index - half], self.nodes[index + half]);
        let (state, own_unmerged) = (self.nodes[index].state, self.unmerged[index / 2].len() as u64);
        let is_filled = state != ParentState::Blank;
        let (own, encoded_own) = (self.own_bytes(index), self.encoded_own(index));
        let children = 2 * self.sizes.hash;
        let mut verification = left.verification + right.verification;
        if is_filled {
            verification += self.verification_of(index, level, &left, &right);
        }
        let children_resolution = left.resolution + right.resolution;
        *self.node_mut(index) = Node {
            leaf_bytes: 0,
            state,
            members: left.members + right.members,
            online: left.online + right.online,
            resolution: if is_filled { 1 + own_unmerged as u32 } else { children_resolution },
            filled_parents: left.filled_parents + right.filled_parents + u32::from(is_filled),
            unmerged: left.unmerged + right.unmerged + own_unmerged as u32,
            cheapest: Cheapest::of_children(&left, &right),
            encoded: left.encoded + right.encoded + encoded_own,
            path_bytes: left.path_bytes + right.path_bytes + u64::from(left.online + right.online) * encoded_own,
            hashed: left.hashed + right.hashed + 2 + own + children,
            verification,
        };
    }

    /// The bytes of a parent's content. 0 for a blank parent.
    fn own_bytes(&self, index: usize) -> u64 {
        let unmerged = vector(INDEX * self.unmerged[index / 2].len() as u64);
        match self.nodes[index].state {
            ParentState::Blank => 0,
            ParentState::Top => self.sizes.public_key + 1 + unmerged,
            ParentState::Below => self.sizes.public_key + self.sizes.hash + unmerged,
        }
    }

    /// The bytes of a parent as an optional node.
    pub(super) fn encoded_own(&self, index: usize) -> u64 {
        match self.own_bytes(index) {
            0 => 1,
            own => 2 + own,
        }
    }

    /// The bytes of the nodes from a leaf to the root, as optional nodes.
    pub(crate) fn direct_path_bytes(&self, leaf: LeafIndex) -> u64 {
        let parents = (1..=self.height()).map(|level| self.encoded_own(ancestor(leaf, level)));
        self.nodes[2 * leaf as usize].encoded + parents.sum::<u64>()
    }

    /// The sum of [these bytes](Self::direct_path_bytes) over all online members.
    pub(crate) fn direct_path_bytes_of_online(&self) -> u64 {
        self.nodes[root(self.height())].path_bytes
    }

    /// The verification of the parent hash at a parent with a key pair. OpenMLS computes the tree
    /// hashes of both children without the unmerged leaves, and one parent hash for each child.
    fn verification_of(&self, index: usize, level: u32, left: &Node, right: &Node) -> HashWork {
        let hashed = left.hashed + right.hashed - self.bytes_of_unmerged(index, level);
        let parent_hash = self.parent_hash_input(self.nodes[index].state == ParentState::Below);
        HashWork { hashes: (1 << (level + 1)) - 2 + 2, bytes: hashed + 2 * parent_hash }
    }

    /// The bytes by which the tree hashes below a parent shrink without its unmerged leaves.
    fn bytes_of_unmerged(&self, index: usize, level: u32) -> u64 {
        let excluded = &self.unmerged[index / 2];
        let mut bytes = 0;
        for leaf in excluded {
            bytes += u64::from(self.nodes[2 * *leaf as usize].leaf_bytes);
        }
        // A leaf that is unmerged at a parent is also unmerged at all parents with a key pair
        // between the two.
        for below in 1..level {
            let mut rest = &excluded[..];
            while let Some(first) = rest.first() {
                let node = ancestor(*first, below);
                let count = rest.partition_point(|leaf| ancestor(*leaf, below) == node);
                if self.nodes[node].state != ParentState::Blank {
                    let all = self.unmerged[node / 2].len();
                    bytes += vector(INDEX * all as u64) - vector(INDEX * (all - count) as u64);
                }
                rest = &rest[count..];
            }
        }
        bytes
    }

    pub(super) fn hashing_of(&self, index: usize, level: u32) -> HashWork {
        HashWork { hashes: (1 << (level + 1)) - 1, bytes: self.nodes[index].hashed }
    }

    /// The bytes of the nodes up to the last member. The encoding leaves out the blank nodes at the
    /// right end (RFC 9420, 12.4.3.3).
    pub(super) fn encoded(&self) -> u64 {
        let (mut level, mut start, mut bytes) = (self.height(), 0, 0);
        while level > 0 {
            let right = start + (1 << (level - 1));
            if self.nodes[node_over(right, level - 1)].members > 0 {
                let (node, left) = (&self.nodes[node_over(start, level)], node_over(start, level - 1));
                let both = self.nodes[left].encoded + self.nodes[node_over(right, level - 1)].encoded;
                bytes += self.nodes[left].encoded + (node.encoded - both);
                start = right;
            }
            level -= 1;
        }
        bytes + self.nodes[2 * start as usize].encoded
    }
}
