//! A ratchet tree without keys (RFC 9420, 4 and 7), whose totals follow each change.
//!
//! Each node has the totals of its subtree: members, resolutions, encoded bytes, hashed bytes. A
//! change recomputes only the nodes above the changed leaves, so a commit costs as much as its path
//! is long. The sizes of encoded nodes come from [`NodeSizes`].

use super::encoding::vector;

/// The index of a leaf.
pub(crate) type LeafIndex = u32;

/// The size of a leaf's index in a list of unmerged leaves (RFC 9420, 7.1).
const INDEX: u64 = 4;

/// The bytes of a leaf in the input of a tree hash, besides the leaf node: the node type, the leaf
/// index, and the mark of an optional value (RFC 9420, 7.8).
const LEAF_HASH_INPUT: u64 = 6;

/// The sizes of the parts of a node, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeSizes {
    /// An HPKE public key with its length.
    pub(crate) public_key: u64,
    /// A hash with its length.
    pub(crate) hash: u64,
}

/// A node: its own state, and the totals of its subtree.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// The bytes of a member's leaf node. 0 for blank leaves, and for parents.
    leaf_bytes: u32,
    state: ParentState,
    members: u32,
    /// The members that are online.
    online: u32,
    /// The number of nodes in the resolution (RFC 9420, 4.1.1).
    resolution: u32,
    filled_parents: u32,
    unmerged: u32,
    /// The fewest nodes to which a member of the subtree seals a path inside of the subtree.
    cheapest: Cheapest,
    /// The bytes of the encoded nodes.
    encoded: u64,
    /// The bytes of the nodes on the direct paths of all online members, inside of the subtree.
    path_bytes: u64,
    /// The bytes of all inputs of the subtree's tree hash.
    hashed: u64,
    verification: HashWork,
}

/// The content of a parent node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ParentState {
    #[default]
    Blank,
    /// A key pair, and an empty parent hash: the highest node of a path.
    Top,
    /// A key pair, and a parent hash.
    Below,
}

/// A number of hashes, and of the bytes that they hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HashWork {
    pub(crate) hashes: u64,
    pub(crate) bytes: u64,
}

/// The member of a subtree with the cheapest path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cheapest {
    sealed: u32,
    leaf: LeafIndex,
}

impl Default for Cheapest {
    fn default() -> Self {
        Self { sealed: u32::MAX, leaf: 0 }
    }
}

impl HashWork {
    pub(crate) fn of(bytes: u64) -> Self {
        Self { hashes: 1, bytes }
    }
}

impl std::ops::Add for HashWork {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { hashes: self.hashes + other.hashes, bytes: self.bytes + other.bytes }
    }
}

impl std::ops::AddAssign for HashWork {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// A node of the filtered direct path of a member, with the copath child below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathNode {
    /// The level of the node: 1 for the parent of two leaves.
    pub(crate) level: u32,
    /// The first leaf below the copath child. The child has half of the node's leaves.
    pub(crate) copath: LeafIndex,
    /// The number of nodes in the resolution of the copath child.
    pub(crate) resolution: u64,
    /// The members below the copath child.
    pub(crate) members: u64,
    /// The online members below the copath child.
    pub(crate) online: u64,
    /// The tree hash of the copath child.
    pub(crate) hashing: HashWork,
}

impl PathNode {
    /// True if the leaf is below the copath child.
    pub(crate) fn has_below_copath(&self, leaf: LeafIndex) -> bool {
        leaf >> (self.level - 1) == self.copath >> (self.level - 1)
    }
}

/// The totals of the whole tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeTotals {
    pub(crate) members: u64,
    pub(crate) leaves: u64,
    pub(crate) blank_parents: u64,
    pub(crate) unmerged: u64,
    /// The bytes of the `ratchet_tree` without the length before it.
    pub(crate) encoded: u64,
}

/// A ratchet tree of sizes.
pub(crate) struct CostTree {
    sizes: NodeSizes,
    /// The nodes, in the order of RFC 9420, Appendix C. The number of leaves is a power of two.
    nodes: Vec<Node>,
    /// The unmerged leaves of each parent. The parent at index `n` is node `2n + 1`.
    unmerged: Vec<Vec<LeafIndex>>,
    /// The changed leaves whose ancestors have old totals.
    changed: Vec<LeafIndex>,
}

impl CostTree {
    /// A tree with one member, whose leaf node has this size.
    pub(crate) fn new(sizes: NodeSizes, leaf_bytes: u64) -> Self {
        let mut tree = Self { sizes, nodes: vec![Node::default()], unmerged: Vec::new(), changed: Vec::new() };
        tree.set_leaf(0, leaf_bytes, true);
        tree.settle();
        tree
    }

    fn leaf_count(&self) -> u32 {
        self.nodes.len().div_ceil(2) as u32
    }

    /// The number of levels above the leaves.
    pub(crate) fn height(&self) -> u32 {
        self.leaf_count().trailing_zeros()
    }

    /// True if a member has the leaf.
    pub(crate) fn is_member(&self, leaf: LeafIndex) -> bool {
        self.nodes.get(2 * leaf as usize).is_some_and(|node| node.members == 1)
    }

    /// The totals of the tree.
    pub(crate) fn totals(&self) -> TreeTotals {
        let root = self.nodes[root(self.height())];
        TreeTotals {
            members: root.members.into(),
            leaves: self.leaf_count().into(),
            blank_parents: u64::from(self.leaf_count() - 1 - root.filled_parents),
            unmerged: root.unmerged.into(),
            encoded: self.encoded(),
        }
    }

    /// The tree hash of the whole tree.
    pub(crate) fn hashing(&self) -> HashWork {
        self.hashing_of(root(self.height()), self.height())
    }

    /// The verification of all parent hashes (RFC 9420, 7.9.2).
    pub(crate) fn verification(&self) -> HashWork {
        self.nodes[root(self.height())].verification
    }

    /// The number of online members.
    pub(crate) fn online(&self) -> u64 {
        self.nodes[root(self.height())].online.into()
    }

    /// The member with the cheapest path: the one that seals to the fewest nodes. Of several, the
    /// one with the lowest leaf.
    pub(crate) fn cheapest(&self) -> LeafIndex {
        self.nodes[root(self.height())].cheapest.leaf
    }

    /// Puts a member in the lowest blank leaf (RFC 9420, 7.7 and 12.1.1), and returns the leaf.
    pub(crate) fn add(&mut self, leaf_bytes: u64, online: bool) -> LeafIndex {
        let leaf = self.free_leaf();
        if leaf == self.leaf_count() {
            self.grow();
        }
        self.set_leaf(leaf, leaf_bytes, online);
        // The members below each node are exact at any time, because the next addition needs them.
        for level in 1..=self.height() {
            let node = ancestor(leaf, level);
            self.nodes[node].members += 1;
            if self.nodes[node].state != ParentState::Blank {
                let unmerged = &mut self.unmerged[node / 2];
                let at = unmerged.partition_point(|known| *known < leaf);
                unmerged.insert(at, leaf);
            }
        }
        leaf
    }

    /// Gives a member a new leaf node, and blanks its direct path (RFC 9420, 12.1.2).
    pub(crate) fn update(&mut self, leaf: LeafIndex, leaf_bytes: u64) {
        let online = self.nodes[2 * leaf as usize].online == 1;
        self.set_leaf(leaf, leaf_bytes, online);
        self.blank_path(leaf);
    }

    /// Blanks the leaf of a member, and its direct path (RFC 9420, 12.1.3).
    pub(crate) fn remove(&mut self, leaf: LeafIndex) {
        self.nodes[2 * leaf as usize] = Node::blank_leaf();
        self.changed.push(leaf);
        for level in 1..=self.height() {
            self.nodes[ancestor(leaf, level)].members -= 1;
        }
        self.blank_path(leaf);
    }

    /// Halves the tree as long as its right half has no member (RFC 9420, 7.7).
    pub(crate) fn trim(&mut self) {
        while self.height() > 0 {
            let right = self.leaf_count() / 2;
            if self.nodes[node_over(right, self.height() - 1)].members > 0 {
                break;
            }
            self.nodes.truncate(self.nodes.len() / 2);
            self.unmerged.truncate(self.unmerged.len() / 2);
            self.changed.retain(|leaf| *leaf < right);
        }
    }

    /// Gives the committer a new leaf, and fills its filtered direct path (RFC 9420, 7.5).
    pub(crate) fn set_path(&mut self, leaf: LeafIndex, leaf_bytes: u64) {
        self.settle();
        let path = self.path(leaf);
        let top = path.last().map(|node| node.level);
        for PathNode { level, .. } in &path {
            let node = ancestor(leaf, *level);
            self.nodes[node].state = if Some(*level) == top { ParentState::Top } else { ParentState::Below };
            self.unmerged[node / 2].clear();
        }
        let online = self.nodes[2 * leaf as usize].online == 1;
        self.set_leaf(leaf, leaf_bytes, online);
        self.settle();
    }

    /// Notes that a member is online, or offline.
    pub(crate) fn set_online(&mut self, leaf: LeafIndex, online: bool) {
        if self.is_member(leaf) && (self.nodes[2 * leaf as usize].online == 1) != online {
            self.nodes[2 * leaf as usize].online = online.into();
            for level in 1..=self.height() {
                let node = &mut self.nodes[ancestor(leaf, level)];
                if online { node.online += 1 } else { node.online -= 1 }
            }
            let node = &mut self.nodes[2 * leaf as usize];
            node.path_bytes = if online { node.encoded } else { 0 };
            self.changed.push(leaf);
        }
    }

    /// The filtered direct path of a leaf (RFC 9420, 4.1.2), from below.
    pub(crate) fn path(&self, leaf: LeafIndex) -> Vec<PathNode> {
        let mut path = Vec::new();
        for level in 1..=self.height() {
            let copath = ((leaf >> (level - 1)) ^ 1) << (level - 1);
            let index = node_over(copath, level - 1);
            let node = &self.nodes[index];
            if node.resolution > 0 {
                path.push(PathNode {
                    level,
                    copath,
                    resolution: node.resolution.into(),
                    members: node.members.into(),
                    online: node.online.into(),
                    hashing: self.hashing_of(index, level - 1),
                });
            }
        }
        path
    }

    /// True if the parent of the leaf at this level was the highest node of a path.
    pub(crate) fn parent_hash_input(&self, has_parent_hash: bool) -> u64 {
        self.sizes.public_key + if has_parent_hash { self.sizes.hash } else { 1 } + self.sizes.hash
    }

    /// Recomputes the totals above all changed leaves.
    pub(crate) fn settle(&mut self) {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        for level in 1..=self.height() {
            let mut last = None;
            for leaf in &changed {
                let node = ancestor(*leaf, level);
                if last != Some(node) {
                    self.recompute(node, level);
                    last = Some(node);
                }
            }
        }
    }

    fn set_leaf(&mut self, leaf: LeafIndex, leaf_bytes: u64, online: bool) {
        self.nodes[2 * leaf as usize] = Node {
            leaf_bytes: leaf_bytes as u32,
            members: 1,
            online: online.into(),
            resolution: 1,
            cheapest: Cheapest { sealed: 0, leaf },
            // An optional value, and the type of the node.
            encoded: 2 + leaf_bytes,
            path_bytes: if online { 2 + leaf_bytes } else { 0 },
            hashed: LEAF_HASH_INPUT + leaf_bytes,
            ..Node::default()
        };
        self.changed.push(leaf);
    }

    fn blank_path(&mut self, leaf: LeafIndex) {
        for level in 1..=self.height() {
            let node = ancestor(leaf, level);
            self.nodes[node].state = ParentState::Blank;
            self.unmerged[node / 2].clear();
        }
        self.changed.push(leaf);
    }

    fn free_leaf(&self) -> LeafIndex {
        let mut level = self.height();
        if u64::from(self.nodes[root(level)].members) == 1 << level {
            return self.leaf_count();
        }
        let mut start = 0;
        while level > 0 {
            level -= 1;
            if u64::from(self.nodes[node_over(start, level)].members) == 1 << level {
                start += 1 << level;
            }
        }
        start
    }

    /// Doubles the tree.
    fn grow(&mut self) {
        self.settle();
        let (old, height) = (self.leaf_count(), self.height() + 1);
        self.nodes.resize(4 * old as usize - 1, Node::blank_leaf());
        self.unmerged.resize_with(2 * old as usize - 1, Vec::new);
        for level in 1..height {
            let step = 1 << level;
            for start in (old..2 * old).step_by(step) {
                let node = node_over(start, level);
                self.nodes[node] = Node::default();
                self.recompute(node, level);
            }
        }
        self.nodes[root(height)] = Node::default();
        self.recompute(root(height), height);
    }

    /// Recomputes the totals of a parent from those of its children.
    fn recompute(&mut self, index: usize, level: u32) {
        let half = 1 << (level - 1);
        let (left, right) = (self.nodes[index - half], self.nodes[index + half]);
        let (state, own_unmerged) = (self.nodes[index].state, self.unmerged[index / 2].len() as u64);
        let is_filled = state != ParentState::Blank;
        let own = self.own_bytes(index);
        let encoded_own = 1 + if is_filled { 1 + own } else { 0 };
        let children = 2 * self.sizes.hash;
        let mut verification = left.verification + right.verification;
        if is_filled {
            verification += self.verification_of(index, level, &left, &right);
        }
        let children_resolution = left.resolution + right.resolution;
        let cheapest = |of: &Node, other: &Node| Cheapest {
            sealed: of.cheapest.sealed.saturating_add(other.resolution),
            leaf: of.cheapest.leaf,
        };
        let (of_left, of_right) = (cheapest(&left, &right), cheapest(&right, &left));
        self.nodes[index] = Node {
            leaf_bytes: 0,
            state,
            members: left.members + right.members,
            online: left.online + right.online,
            resolution: if is_filled { 1 + own_unmerged as u32 } else { children_resolution },
            filled_parents: left.filled_parents + right.filled_parents + u32::from(is_filled),
            unmerged: left.unmerged + right.unmerged + own_unmerged as u32,
            cheapest: if of_right.sealed < of_left.sealed { of_right } else { of_left },
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

    /// The bytes of the nodes from a leaf to the root, as optional nodes.
    pub(crate) fn direct_path_bytes(&self, leaf: LeafIndex) -> u64 {
        let parents = (1..=self.height()).map(|level| match self.own_bytes(ancestor(leaf, level)) {
            0 => 1,
            own => 2 + own,
        });
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

    fn hashing_of(&self, index: usize, level: u32) -> HashWork {
        HashWork { hashes: (1 << (level + 1)) - 1, bytes: self.nodes[index].hashed }
    }

    /// The bytes of the nodes up to the last member. The encoding leaves out the blank nodes at the
    /// right end (RFC 9420, 12.4.3.3).
    fn encoded(&self) -> u64 {
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

impl Node {
    fn blank_leaf() -> Self {
        Self { encoded: 1, hashed: LEAF_HASH_INPUT, ..Self::default() }
    }
}

/// The index of the root of a tree of this height.
fn root(height: u32) -> usize {
    node_over(0, height)
}

/// The index of the node at this level whose first leaf this is.
pub(crate) fn node_over(start: LeafIndex, level: u32) -> usize {
    2 * start as usize + (1 << level) - 1
}

/// The ancestor of a leaf at this level. The leaf itself has level 0.
pub(crate) fn ancestor(leaf: LeafIndex, level: u32) -> usize {
    node_over(leaf >> level << level, level)
}
