//! The ratchet tree (RFC 9420, 4 and 7): the key pair at each node, by name.

use std::collections::BTreeSet;

use super::{
    history::DeviceNumber,
    secret::KeyPair,
    tree_math::{LeafIndex, NodeIndex, direct_path, root},
};

/// A ratchet tree. The number of leaves is a power of two, and the last leaf that is not blank is
/// in the right half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    leaves: Vec<Option<Leaf>>,
    /// The parent at index `n` is node `2n + 1`.
    parents: Vec<Option<Parent>>,
}

/// A leaf that is not blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The device at the leaf.
    pub device: DeviceNumber,
    /// Its key pair.
    pub key: KeyPair,
}

/// A parent node that is not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its key pair.
    pub key: KeyPair,
    /// The leaves below the node that do not have its private key. Their devices were added after
    /// the key was set (RFC 9420, 4.1.3).
    pub unmerged: BTreeSet<LeafIndex>,
}

impl Tree {
    /// The tree of a new group.
    pub(super) fn new(creator: Leaf) -> Self {
        Self { leaves: vec![Some(creator)], parents: Vec::new() }
    }

    /// The leaves, blank ones included.
    pub fn leaves(&self) -> &[Option<Leaf>] {
        &self.leaves
    }

    /// The parent nodes from left to right, blank ones included.
    pub fn parents(&self) -> &[Option<Parent>] {
        &self.parents
    }

    /// The leaf of that device.
    pub fn leaf_of(&self, device: DeviceNumber) -> Option<LeafIndex> {
        let at = self.leaves.iter().position(|leaf| leaf.is_some_and(|leaf| leaf.device == device))?;
        Some(LeafIndex(at as u32))
    }

    /// The resolution of a node (RFC 9420, 4.1.1): the key pairs to which a commit seals a path
    /// secret so that every member below the node gets it. A leaf's key pair comes with the leaf.
    pub fn resolution(&self, node: NodeIndex) -> Vec<(KeyPair, Option<LeafIndex>)> {
        let mut resolution = Vec::new();
        self.resolve(node, &mut resolution);
        resolution
    }

    fn resolve(&self, node: NodeIndex, into: &mut Vec<(KeyPair, Option<LeafIndex>)>) {
        let mut add_leaf = |index: LeafIndex| {
            into.extend(self.leaf(index).map(|leaf| (leaf.key, Some(index))));
        };
        match (node.as_leaf(), node.children(), self.parent(node)) {
            (Some(leaf), ..) => add_leaf(leaf),
            (None, _, Some(parent)) => {
                into.push((parent.key, None));
                parent.unmerged.iter().for_each(|leaf| {
                    into.extend(self.leaf(*leaf).map(|it| (it.key, Some(*leaf))));
                });
            }
            (None, Some((left, right)), None) => {
                self.resolve(left, into);
                self.resolve(right, into);
            }
            (None, None, None) => {}
        }
    }

    /// The nodes of a leaf's direct path that get new keys with the leaf's commits. A node is left
    /// out if there is no member below its copath child. Each node comes with that child's
    /// resolution (RFC 9420, 4.1.2).
    pub(super) fn filtered_path(
        &self,
        leaf: LeafIndex,
    ) -> impl Iterator<Item = (NodeIndex, Vec<(KeyPair, Option<LeafIndex>)>)> {
        let path = direct_path(leaf, self.size()).map(|step| (step.node, self.resolution(step.copath)));
        path.filter(|(_, resolution)| !resolution.is_empty())
    }

    /// The key pairs whose private keys the member at this leaf has: the key pairs of its leaf and
    /// of its direct path, without those that were set before the member came (RFC 9420, 7.1 and
    /// 7.4).
    pub(super) fn keys_of(&self, leaf: LeafIndex) -> BTreeSet<KeyPair> {
        let parents = direct_path(leaf, self.size()).filter_map(|step| self.parent(step.node));
        let known = parents.filter(|parent| !parent.unmerged.contains(&leaf)).map(|parent| parent.key);
        self.leaf(leaf).map(|leaf| leaf.key).into_iter().chain(known).collect()
    }

    /// Gives a leaf a new key pair, and blanks its direct path (RFC 9420, 12.1.2).
    pub(super) fn update(&mut self, leaf: LeafIndex, key: KeyPair) {
        self.set_key(leaf, key);
        self.blank_path(leaf);
    }

    /// Blanks a leaf and its direct path (RFC 9420, 12.1.3).
    pub(super) fn remove(&mut self, leaf: LeafIndex) {
        if let Some(slot) = self.leaves.get_mut(leaf.0 as usize) {
            *slot = None;
        }
        self.blank_path(leaf);
    }

    /// Puts a new member at the leftmost blank leaf. If there is none, doubles the tree first. The
    /// new leaf is unmerged at every parent that is not blank (RFC 9420, 12.1.1).
    pub(super) fn add(&mut self, new: Leaf) -> LeafIndex {
        let blank = self.leaves.iter().position(Option::is_none);
        let at = blank.unwrap_or(self.leaves.len());
        if blank.is_none() {
            self.resize(2 * self.leaves.len());
        }
        let leaf = LeafIndex(at as u32);
        self.leaves[at] = Some(new);
        for step in direct_path(leaf, self.size()) {
            if let Some(parent) = self.parent_mut(step.node).as_mut() {
                parent.unmerged.insert(leaf);
            }
        }
        leaf
    }

    /// Halves the tree while its right half has no members (RFC 9420, 7.7).
    pub(super) fn truncate(&mut self) {
        let last = self.leaves.iter().rposition(Option::is_some).unwrap_or(0);
        self.resize((last + 1).next_power_of_two());
    }

    /// Applies the path of a commit. The committer's leaf and the nodes of its filtered direct path
    /// get these key pairs. The rest of its direct path becomes blank (RFC 9420, 7.5).
    pub(super) fn set_path(
        &mut self,
        leaf: LeafIndex,
        key: KeyPair,
        nodes: impl Iterator<Item = (NodeIndex, KeyPair)>,
    ) {
        self.update(leaf, key);
        for (node, key) in nodes {
            *self.parent_mut(node) = Some(Parent { key, unmerged: BTreeSet::new() });
        }
    }

    fn set_key(&mut self, leaf: LeafIndex, key: KeyPair) {
        if let Some(Some(leaf)) = self.leaves.get_mut(leaf.0 as usize) {
            leaf.key = key;
        }
    }

    fn blank_path(&mut self, leaf: LeafIndex) {
        for step in direct_path(leaf, self.size()) {
            *self.parent_mut(step.node) = None;
        }
    }

    fn resize(&mut self, leaves: usize) {
        self.leaves.resize(leaves, None);
        self.parents.resize(leaves - 1, None);
    }

    fn size(&self) -> u32 {
        self.leaves.len() as u32
    }

    /// The root.
    pub fn root(&self) -> NodeIndex {
        root(self.size())
    }

    fn leaf(&self, leaf: LeafIndex) -> Option<Leaf> {
        self.leaves.get(leaf.0 as usize).copied().flatten()
    }

    fn parent(&self, node: NodeIndex) -> Option<&Parent> {
        self.parents.get(node.0 as usize / 2)?.as_ref()
    }

    fn parent_mut(&mut self, node: NodeIndex) -> &mut Option<Parent> {
        &mut self.parents[node.0 as usize / 2]
    }
}

#[cfg(test)]
mod tests;
