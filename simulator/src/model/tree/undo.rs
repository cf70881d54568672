//! Attempts: changes to the tree that are taken back.

use super::{CostTree, LeafIndex, Node};

/// An old value.
pub(super) enum Undo {
    Node(usize, Node),
    Unmerged(usize, Vec<LeafIndex>),
    /// The number of nodes before the tree grew.
    Grown(usize),
    /// The nodes that were cut off, with their unmerged leaves.
    Trimmed(Vec<Node>, Vec<Vec<LeafIndex>>),
}

impl CostTree {
    /// Makes changes, computes a value from the tree, and takes the changes back.
    pub(crate) fn attempt<T>(&mut self, compute: impl FnOnce(&mut Self) -> T) -> T {
        self.settle();
        self.undo = Some(Vec::new());
        let computed = compute(self);
        self.changed.clear();
        for old in self.undo.take().into_iter().flatten().rev() {
            match old {
                Undo::Node(index, node) => self.nodes[index] = node,
                Undo::Unmerged(index, leaves) => self.unmerged[index] = leaves,
                Undo::Grown(nodes) => {
                    self.nodes.truncate(nodes);
                    self.unmerged.truncate(nodes / 2);
                }
                Undo::Trimmed(nodes, unmerged) => {
                    self.nodes.extend(nodes);
                    self.unmerged.extend(unmerged);
                }
            }
        }
        computed
    }

    pub(super) fn node_mut(&mut self, index: usize) -> &mut Node {
        if let Some(undo) = &mut self.undo {
            undo.push(Undo::Node(index, self.nodes[index]));
        }
        &mut self.nodes[index]
    }

    /// The unmerged leaves of the parent with this node index.
    pub(super) fn unmerged_mut(&mut self, index: usize) -> &mut Vec<LeafIndex> {
        if let Some(undo) = &mut self.undo {
            undo.push(Undo::Unmerged(index / 2, self.unmerged[index / 2].clone()));
        }
        &mut self.unmerged[index / 2]
    }
}

#[cfg(test)]
mod tests {
    use crate::model::tree::{CostTree, HashWork, NodeSizes, TreeTotals};

    fn figures(tree: &CostTree) -> (TreeTotals, HashWork, HashWork, u64) {
        (tree.totals(), tree.hashing(), tree.verification(), tree.online())
    }

    #[test]
    fn attempt_leaves_the_tree_as_it_was() {
        let mut tree = CostTree::new(NodeSizes { public_key: 33, hash: 33 }, 180);
        for _ in 1..13 {
            tree.add(180, true);
        }
        tree.remove(4);
        tree.set_path(2, 200);
        tree.add(180, true);
        tree.settle();
        let before = figures(&tree);
        // The tree grows in one attempt, and shrinks in the other.
        let grown = tree.attempt(|tree| {
            for _ in 0..30 {
                tree.add(190, false);
            }
            tree.update(7, 150);
            tree.set_path(9, 200);
            figures(tree)
        });
        assert_eq!((grown.0.leaves, grown.0.members), (64, 43));
        assert_eq!(figures(&tree), before);
        let shrunk = tree.attempt(|tree| {
            (5..13).for_each(|leaf| tree.remove(leaf));
            tree.trim();
            tree.set_path(0, 200);
            figures(tree)
        });
        assert_eq!((shrunk.0.leaves, shrunk.0.members), (8, 5));
        assert_eq!(figures(&tree), before);
        // Later changes give the same tree as without the attempts.
        tree.set_path(11, 200);
        assert_eq!(tree.path(11).len(), 4);
    }
}
