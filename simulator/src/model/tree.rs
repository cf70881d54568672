//! A ratchet tree without keys (RFC 9420, 4 and 7), whose totals follow each change.
//!
//! Each node has the totals of its subtree: members, resolutions, encoded bytes, hashed bytes. A
//! change recomputes only the nodes above the changed leaves, so a commit costs as much as its path
//! is long. The sizes of encoded nodes come from [`NodeSizes`].

mod hash_work;
mod totals;
mod undo;

pub(crate) use self::hash_work::HashWork;
use self::undo::Undo;

/// The index of a leaf.
pub(crate) type LeafIndex = u32;

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
    /// The online member whose path inside of the subtree seals to the fewest nodes.
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

/// The online member of a subtree with the cheapest path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cheapest {
    /// [`u32::MAX`] if no member of the subtree is online.
    sealed: u32,
    leaf: LeafIndex,
}

impl Default for Cheapest {
    fn default() -> Self {
        Self { sealed: u32::MAX, leaf: 0 }
    }
}

impl Cheapest {
    fn of_member(leaf: LeafIndex, online: bool) -> Self {
        if online { Self { sealed: 0, leaf } } else { Self::default() }
    }

    /// The cheapest member of a parent with these children. A path also seals to the resolution of
    /// the other child.
    fn of_children(left: &Node, right: &Node) -> Self {
        let below = |of: &Node, other: &Node| Self {
            sealed: of.cheapest.sealed.saturating_add(other.resolution),
            leaf: of.cheapest.leaf,
        };
        let (of_left, of_right) = (below(left, right), below(right, left));
        if of_right.sealed < of_left.sealed { of_right } else { of_left }
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
    /// The old values since the start of an [attempt](Self::attempt).
    undo: Option<Vec<Undo>>,
}

impl CostTree {
    /// A tree with one member, whose leaf node has this size.
    pub(crate) fn new(sizes: NodeSizes, leaf_bytes: u64) -> Self {
        let mut tree =
            Self { sizes, nodes: vec![Node::default()], unmerged: Vec::new(), changed: Vec::new(), undo: None };
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

    /// The online member with the cheapest path: the one that seals to the fewest nodes. Of several,
    /// the one with the lowest leaf. [`None`] if no member is online.
    pub(crate) fn cheapest(&self) -> Option<LeafIndex> {
        let Cheapest { sealed, leaf } = self.nodes[root(self.height())].cheapest;
        (sealed < u32::MAX).then_some(leaf)
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
            self.node_mut(node).members += 1;
            if self.nodes[node].state != ParentState::Blank {
                let unmerged = self.unmerged_mut(node);
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
        *self.node_mut(2 * leaf as usize) = Node::blank_leaf();
        self.changed.push(leaf);
        for level in 1..=self.height() {
            self.node_mut(ancestor(leaf, level)).members -= 1;
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
            let nodes = self.nodes.split_off(self.nodes.len() / 2);
            let unmerged = self.unmerged.split_off(self.unmerged.len() / 2);
            if let Some(undo) = &mut self.undo {
                undo.push(Undo::Trimmed(nodes, unmerged));
            }
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
            self.node_mut(node).state = if Some(*level) == top { ParentState::Top } else { ParentState::Below };
            self.unmerged_mut(node).clear();
        }
        let online = self.nodes[2 * leaf as usize].online == 1;
        self.set_leaf(leaf, leaf_bytes, online);
        self.settle();
    }

    /// Notes that a member is online, or offline.
    pub(crate) fn set_online(&mut self, leaf: LeafIndex, online: bool) {
        if self.is_member(leaf) && (self.nodes[2 * leaf as usize].online == 1) != online {
            let node = &mut self.nodes[2 * leaf as usize];
            (node.online, node.cheapest) = (online.into(), Cheapest::of_member(leaf, online));
            node.path_bytes = if online { node.encoded } else { 0 };
            for level in 1..=self.height() {
                let (index, half) = (ancestor(leaf, level), 1 << (level - 1));
                let (left, right) = (&self.nodes[index - half], &self.nodes[index + half]);
                let online = left.online + right.online;
                let path_bytes = left.path_bytes + right.path_bytes + u64::from(online) * self.encoded_own(index);
                let totals = (online, Cheapest::of_children(left, right), path_bytes);
                let node = &mut self.nodes[index];
                (node.online, node.cheapest, node.path_bytes) = totals;
            }
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
        *self.node_mut(2 * leaf as usize) = Node {
            leaf_bytes: leaf_bytes as u32,
            members: 1,
            online: online.into(),
            resolution: 1,
            cheapest: Cheapest::of_member(leaf, online),
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
            self.node_mut(node).state = ParentState::Blank;
            self.unmerged_mut(node).clear();
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
        if let Some(undo) = &mut self.undo {
            undo.push(Undo::Grown(self.nodes.len()));
        }
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
