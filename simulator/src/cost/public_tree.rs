//! The shape of a public ratchet tree (RFC 9420, 4 and 12.4.3.3), read from its encoding.
//!
//! The shape has no keys. The module shares no code with the oracle, so the two can be compared.

use std::collections::BTreeSet;

use crate::wire::variable;

/// A ratchet tree without its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicTree {
    /// The number of bytes of the encoded tree.
    bytes: u64,
    /// True for a leaf with a member. The number of leaves is a power of two.
    leaves: Vec<bool>,
    /// The unmerged leaves of each parent that is not blank. The parent at index `n` is node
    /// `2n + 1`.
    parents: Vec<Option<BTreeSet<u32>>>,
}

/// The figures of a ratchet tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeShape {
    /// The leaves with a member.
    pub members: u64,
    /// All leaves, blank ones included: a power of two.
    pub leaves: u64,
    /// The parents without a key pair.
    pub blank_parents: u64,
    /// The entries in the lists of unmerged leaves of all parents.
    pub unmerged_leaves: u64,
    /// The bytes of the encoded tree.
    pub bytes: u64,
}

/// The figures of a commit's path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathShape {
    /// The nodes of the filtered direct path (RFC 9420, 4.1.2).
    pub filtered_length: u64,
    /// The sizes of the resolutions of its copath together, without the members that the same
    /// commit adds. The commit seals a path secret to each of these nodes.
    pub resolution_sum: u64,
    /// The size of the largest of these resolutions.
    pub resolution_max: u64,
}

/// The size of a resolution (RFC 9420, 4.1.1).
#[derive(Clone, Copy, Default)]
struct Resolution {
    all: u64,
    /// The nodes without the leaves that the commit adds.
    sealed_to: u64,
}

impl PublicTree {
    /// Reads an encoded `ratchet_tree`. [`None`] if the bytes are none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (mut nodes, rest) = variable(bytes)?;
        let (mut leaves, mut parents) = (Vec::new(), Vec::new());
        while let Some((present, after)) = nodes.split_first() {
            let is_leaf = leaves.len() == parents.len();
            nodes = match (present, is_leaf) {
                (0, true) => {
                    leaves.push(false);
                    after
                }
                (0, false) => {
                    parents.push(None);
                    after
                }
                (1, true) => {
                    leaves.push(true);
                    after_leaf_node(after.strip_prefix(&[LEAF])?)?
                }
                (1, false) => {
                    let (unmerged, after) = unmerged_leaves(after.strip_prefix(&[PARENT])?)?;
                    parents.push(Some(unmerged));
                    after
                }
                _ => return None,
            };
        }
        // The encoding leaves out the blank nodes at the right end.
        let size = leaves.len().next_power_of_two();
        leaves.resize(size, false);
        parents.resize(size - 1, None);
        rest.is_empty().then_some(Self { bytes: bytes.len() as u64, leaves, parents })
    }

    /// The figures of the tree.
    pub(crate) fn shape(&self) -> TreeShape {
        let filled = self.parents.iter().flatten();
        TreeShape {
            members: self.leaves.iter().filter(|leaf| **leaf).count() as u64,
            leaves: self.leaves.len() as u64,
            blank_parents: self.parents.iter().filter(|parent| parent.is_none()).count() as u64,
            unmerged_leaves: filled.map(|unmerged| unmerged.len() as u64).sum(),
            bytes: self.bytes,
        }
    }

    /// The figures of the path of a commit that the member at this leaf made. The tree is the one
    /// after the commit, which has also added the leaves `added`.
    ///
    /// The path changes no node of the copath. So the resolutions are the ones that the committer
    /// used.
    pub(crate) fn path(&self, leaf: u32, added: &BTreeSet<u32>) -> PathShape {
        let mut path = PathShape::default();
        let mut size = 1;
        while size < self.leaves.len() {
            let copath = ((leaf as usize / size) ^ 1) * size;
            let Resolution { all, sealed_to } = self.resolution(copath, size, added);
            if all > 0 {
                path.filtered_length += 1;
                path.resolution_sum += sealed_to;
                path.resolution_max = path.resolution_max.max(sealed_to);
            }
            size *= 2;
        }
        path
    }

    /// The resolution of the node above `size` leaves, of which `start` is the first.
    fn resolution(&self, start: usize, size: usize, added: &BTreeSet<u32>) -> Resolution {
        let is_new = |leaf: &u32| added.contains(leaf);
        if size == 1 {
            let all = u64::from(self.leaves.get(start).copied().unwrap_or_default());
            return Resolution { all, sealed_to: if is_new(&(start as u32)) { 0 } else { all } };
        }
        if let Some(Some(unmerged)) = self.parents.get(start + size / 2 - 1) {
            let new = unmerged.iter().filter(|leaf| is_new(leaf)).count();
            let all = 1 + unmerged.len() as u64;
            return Resolution { all, sealed_to: all - new as u64 };
        }
        let left = self.resolution(start, size / 2, added);
        let right = self.resolution(start + size / 2, size / 2, added);
        Resolution { all: left.all + right.all, sealed_to: left.sealed_to + right.sealed_to }
    }
}

/// The types of nodes (RFC 9420, 7.8).
const LEAF: u8 = 1;
const PARENT: u8 = 2;

/// The bytes after a LeafNode (RFC 9420, 7.2).
pub(super) fn after_leaf_node(bytes: &[u8]) -> Option<&[u8]> {
    // The keys; then the credential, which has a type and one vector; then five lists of
    // capabilities.
    let credential = after_vectors(bytes, 2)?;
    let capabilities = after_vectors(credential.get(2..)?, 1)?;
    let source = after_vectors(capabilities, 5)?;
    let extensions = match source.split_first()? {
        // A key package: the lifetime.
        (1, lifetime) => lifetime.get(16..)?,
        // An update.
        (2, extensions) => extensions,
        // A commit: the parent hash.
        (3, parent_hash) => after_vectors(parent_hash, 1)?,
        _ => return None,
    };
    // The extensions and the signature.
    after_vectors(extensions, 2)
}

/// The unmerged leaves of a ParentNode (RFC 9420, 7.1), and the bytes after the node.
fn unmerged_leaves(bytes: &[u8]) -> Option<(BTreeSet<u32>, &[u8])> {
    let (leaves, rest) = variable(after_vectors(bytes, 2)?)?;
    let (leaves, []) = leaves.as_chunks::<4>() else { return None };
    Some((leaves.iter().map(|leaf| u32::from_be_bytes(*leaf)).collect(), rest))
}

/// The bytes after this number of vectors.
pub(super) fn after_vectors(bytes: &[u8], count: usize) -> Option<&[u8]> {
    (0..count).try_fold(bytes, |rest, _| variable(rest).map(|(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::push_variable;

    fn leaf(node: &mut Vec<u8>, source: &[u8]) {
        node.extend([1, LEAF, 2, 0, 0, 2, 0, 0, 0, 1, 1, b'a']);
        node.extend([0; 5]);
        node.extend(source);
        node.extend([0, 1, 9]);
    }

    fn parent(node: &mut Vec<u8>, unmerged: &[u32]) {
        node.extend([1, PARENT, 2, 0, 0, 0]);
        push_variable(node, &unmerged.iter().flat_map(|leaf| leaf.to_be_bytes()).collect::<Vec<_>>());
    }

    /// A tree with five leaves. Leaf 1 is blank. Node 3 is filled, and leaf 2 is unmerged there.
    fn encoded() -> Vec<u8> {
        let of_key_package: Vec<u8> = [1].into_iter().chain([0; 16]).collect();
        let mut nodes = Vec::new();
        leaf(&mut nodes, &[2]);
        nodes.extend([0, 0]);
        parent(&mut nodes, &[2]);
        leaf(&mut nodes, &of_key_package);
        nodes.push(0);
        leaf(&mut nodes, &[3, 0]);
        nodes.push(0);
        leaf(&mut nodes, &[2]);
        let mut encoded = Vec::new();
        push_variable(&mut encoded, &nodes);
        encoded
    }

    #[test]
    fn shape_counts_blanks_and_unmerged_leaves() {
        let encoded = encoded();
        let shape = PublicTree::read(&encoded).unwrap().shape();
        let bytes = encoded.len() as u64;
        // Of the seven parents, only node 3 is filled.
        assert_eq!(shape, TreeShape { members: 4, leaves: 8, blank_parents: 6, unmerged_leaves: 1, bytes });
    }

    #[test]
    fn path_leaves_out_nodes_without_members_below_the_copath() {
        let tree = PublicTree::read(&encoded()).unwrap();
        // The copath of leaf 4: leaf 5 and node 11 have no members; node 3 has leaf 2 beside it.
        let path = |added: &[u32]| tree.path(4, &added.iter().copied().collect());
        assert_eq!(path(&[]), PathShape { filtered_length: 1, resolution_sum: 2, resolution_max: 2 });
        assert_eq!(path(&[2]), PathShape { filtered_length: 1, resolution_sum: 1, resolution_max: 1 });
        // The copath of leaf 0: the blank leaf 1, two leaves below the blank node 5, and leaf 4.
        let path = tree.path(0, &BTreeSet::new());
        assert_eq!(path, PathShape { filtered_length: 2, resolution_sum: 3, resolution_max: 2 });
    }

    #[test]
    fn damaged_tree_is_none() {
        let encoded = encoded();
        for length in 0..encoded.len() {
            assert_eq!(PublicTree::read(&encoded[..length]), None);
        }
        assert_eq!(PublicTree::read(&[encoded, vec![0]].concat()), None);
    }
}
