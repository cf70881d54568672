//! Trees as in RFC 9420, section 4 and appendix A.

use super::*;
use crate::oracle::{CommitId, KeyPackageId};

fn leaf(device: usize) -> Leaf {
    Leaf { device: DeviceNumber(device), key: leaf_key(device) }
}

fn leaf_key(device: usize) -> KeyPair {
    KeyPair::KeyPackageLeaf(KeyPackageId(device as u64))
}

/// A tree with this number of members, in which all parents are blank.
fn tree(members: usize) -> Tree {
    let mut tree = Tree::new(leaf(0));
    (1..members).for_each(|device| {
        tree.add(leaf(device));
    });
    tree
}

/// Sets the path of a member, like a commit without proposals.
fn set_path(tree: &mut Tree, leaf: u32, commit: u64) {
    let commit = CommitId(commit);
    let nodes: Vec<_> = tree.filtered_path(LeafIndex(leaf)).map(|(node, _)| node).collect();
    let keys = nodes.into_iter().enumerate().map(|(position, node)| (node, KeyPair::PathNode(commit, position)));
    tree.set_path(LeafIndex(leaf), KeyPair::PathLeaf(commit), keys);
}

fn key(commit: u64, position: usize) -> KeyPair {
    KeyPair::PathNode(CommitId(commit), position)
}

fn keys(resolution: Vec<(KeyPair, Option<LeafIndex>)>) -> Vec<KeyPair> {
    resolution.into_iter().map(|(key, _)| key).collect()
}

fn path(tree: &Tree, leaf: u32) -> Vec<u32> {
    tree.filtered_path(LeafIndex(leaf)).map(|(node, _)| node.0).collect()
}

/// The parents that are not blank.
fn set(tree: &Tree) -> Vec<u32> {
    (0..).zip(tree.parents()).filter(|(_, parent)| parent.is_some()).map(|(at, _)| 2 * at + 1).collect()
}

#[test]
fn members_are_added_from_the_left_and_the_tree_doubles() {
    let mut tree = tree(3);
    assert_eq!(tree.leaves().len(), 4);
    assert_eq!(tree.add(leaf(3)), LeafIndex(3));
    assert_eq!(tree.leaves().len(), 4);
    assert_eq!(tree.add(leaf(4)), LeafIndex(4));
    assert_eq!((tree.leaves().len(), tree.parents().len()), (8, 7));
    tree.remove(LeafIndex(1));
    assert_eq!(tree.add(leaf(5)), LeafIndex(1), "the leftmost blank leaf");
}

#[test]
fn a_tree_shrinks_when_its_right_half_is_empty() {
    let mut tree = tree(5);
    tree.remove(LeafIndex(3));
    tree.truncate();
    assert_eq!(tree.leaves().len(), 8);
    tree.remove(LeafIndex(4));
    tree.truncate();
    assert_eq!((tree.leaves().len(), tree.parents().len()), (4, 3), "leaf 3 is blank, but leaf 2 is in the right half");
    tree.remove(LeafIndex(2));
    tree.remove(LeafIndex(1));
    tree.truncate();
    assert_eq!((tree.leaves().len(), tree.parents().len()), (1, 0));
}

#[test]
fn path_sets_only_nodes_with_members_beside_the_path() {
    let mut tree = tree(5);
    assert_eq!(path(&tree, 0), [1, 3, 7]);
    assert_eq!(path(&tree, 4), [7], "nodes 9 and 11 have no member on the other side");
    set_path(&mut tree, 0, 1);
    assert_eq!(set(&tree), [1, 3, 7]);
    set_path(&mut tree, 4, 2);
    assert_eq!(set(&tree), [1, 3, 7]);
    assert_eq!(keys(tree.resolution(NodeIndex(7))), [key(2, 0)]);
    assert_eq!(keys(tree.resolution(NodeIndex(11))), [KeyPair::PathLeaf(CommitId(2))]);
}

/// The tree with blanks and unmerged leaves of RFC 9420, 4.1.1. X (node 3) has the unmerged leaf B,
/// and Y (node 9) is set. All other parents are blank, and so are leaves 2 and 6.
#[test]
fn resolutions_are_those_of_the_rfc() {
    let mut tree = tree(8);
    [1, 2, 6].into_iter().for_each(|leaf| tree.remove(LeafIndex(leaf)));
    set_path(&mut tree, 0, 1);
    set_path(&mut tree, 4, 2);
    tree.update(LeafIndex(7), KeyPair::CreatorLeaf);
    assert_eq!(tree.add(leaf(1)), LeafIndex(1));
    assert_eq!(set(&tree), [3, 9]);
    let (x, b, y, h) = (key(1, 0), leaf_key(1), key(2, 0), KeyPair::CreatorLeaf);

    assert_eq!(keys(tree.resolution(NodeIndex(3))), [x, b]);
    assert!(tree.resolution(NodeIndex::from(LeafIndex(2))).is_empty());
    assert!(tree.resolution(NodeIndex::from(LeafIndex(6))).is_empty());
    assert_eq!(keys(tree.resolution(tree.root())), [x, b, y, h]);
}

#[test]
fn added_leaf_is_unmerged_until_a_path_covers_it() {
    let mut tree = tree(4);
    tree.remove(LeafIndex(3));
    set_path(&mut tree, 0, 1);
    tree.add(leaf(9));
    let unmerged = |tree: &Tree| -> Vec<(u32, Vec<u32>)> {
        let parents = (0..).zip(tree.parents()).filter_map(|(at, parent)| Some((2 * at + 1, parent.as_ref()?)));
        parents.map(|(node, parent)| (node, parent.unmerged.iter().map(|leaf| leaf.0).collect())).collect()
    };
    assert_eq!(unmerged(&tree), [(1, vec![]), (3, vec![3])]);
    assert_eq!(keys(tree.resolution(NodeIndex(3))), [key(1, 1), leaf_key(9)]);
    assert_eq!(tree.keys_of(LeafIndex(3)), [leaf_key(9)].into());
    assert_eq!(tree.keys_of(LeafIndex(2)), [leaf_key(2), key(1, 1)].into());
    set_path(&mut tree, 1, 2);
    assert_eq!(unmerged(&tree), [(1, vec![]), (3, vec![])]);
    assert_eq!(tree.keys_of(LeafIndex(3)), [leaf_key(9), key(2, 1)].into());
}

#[test]
fn update_blanks_the_nodes_above_its_leaf() {
    let mut tree = tree(4);
    set_path(&mut tree, 0, 1);
    set_path(&mut tree, 2, 2);
    tree.update(LeafIndex(3), KeyPair::CreatorLeaf);
    assert_eq!(set(&tree), [1]);
    assert_eq!(keys(tree.resolution(NodeIndex(3))), [key(1, 0), KeyPair::PathLeaf(CommitId(2)), KeyPair::CreatorLeaf]);
}

/// RFC 9420, 4.1.2: the path leaves out a node if the subtree beside it is empty.
#[test]
fn the_filtered_path_leaves_out_empty_subtrees() {
    let mut tree = tree(8);
    [2, 3, 5].into_iter().for_each(|leaf| tree.remove(LeafIndex(leaf)));
    assert_eq!(path(&tree, 0), [1, 7]);
    assert_eq!(path(&tree, 4), [11, 7]);
    assert_eq!(path(&tree, 6), [13, 11, 7]);
    set_path(&mut tree, 4, 1);
    assert_eq!(set(&tree), [7, 11]);
}
