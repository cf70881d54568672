//! The ratchet tree of a generated group, for the choice of the member with the cheapest path.

use super::batching::Changes;
use crate::model::{CostTree, LeafIndex, NodeSizes};

/// The sizes of nodes: they do not change the choice.
const NO_SIZES: NodeSizes = NodeSizes { public_key: 0, hash: 0 };

/// A ratchet tree in which the members that can act count as online.
pub(crate) struct RatchetTree {
    tree: CostTree,
    /// The leaf of each member of the group.
    leaves: Vec<Option<LeafIndex>>,
    /// The member of each leaf. Blank leaves have the member before.
    members: Vec<u32>,
}

impl RatchetTree {
    /// The tree of a group that the first member has just created, in a scenario with this number of
    /// members.
    pub(crate) fn new(members: usize) -> Self {
        let mut leaves = vec![None; members];
        if let Some(creator) = leaves.first_mut() {
            *creator = Some(0);
        }
        Self { tree: CostTree::new(NO_SIZES, 0), leaves, members: vec![0] }
    }

    /// Notes that a member can act, or cannot.
    pub(crate) fn set_able(&mut self, member: u32, able: bool) {
        if let Some(leaf) = self.leaves[member as usize] {
            self.tree.set_online(leaf, able);
        }
    }

    /// The member that can make this commit, and seals to the fewest nodes. Of several, the one with
    /// the lowest leaf. [`None`] if no member can act.
    ///
    /// A path does not seal to the added members. Each of them is below one copath node of each path,
    /// so all paths count it once.
    pub(crate) fn cheapest(&mut self, changes: &Changes) -> Option<u32> {
        let Self { tree, leaves, members } = self;
        let leaf = tree.attempt(|tree| {
            apply(tree, leaves, changes);
            tree.cheapest()
        })?;
        members.get(leaf as usize).copied()
    }

    /// Makes a commit. The added members cannot act before [`set_able`](Self::set_able).
    pub(crate) fn commit(&mut self, by: u32, changes: &Changes) {
        let Some(leaf) = self.leaves[by as usize] else { return };
        let new_leaves = apply(&mut self.tree, &self.leaves, changes);
        self.tree.set_path(leaf, 0);
        for member in &changes.removes {
            self.leaves[*member as usize] = None;
        }
        for (member, leaf) in changes.adds.iter().zip(new_leaves) {
            self.leaves[*member as usize] = Some(leaf);
            if self.members.len() <= leaf as usize {
                self.members.resize(leaf as usize + 1, *member);
            }
            self.members[leaf as usize] = *member;
        }
    }
}

/// Makes the changes in the order of RFC 9420, 12.3, and returns the new leaves.
///
/// A commit does not contain an update of its committer (12.2). Here such an update changes nothing:
/// it blanks nodes of the committer's path, which the committer fills, and seals nothing to.
fn apply(tree: &mut CostTree, leaves: &[Option<LeafIndex>], changes: &Changes) -> Vec<LeafIndex> {
    let leaf = |member: &u32| leaves[*member as usize];
    changes.updates.iter().filter_map(leaf).for_each(|leaf| tree.update(leaf, 0));
    changes.removes.iter().filter_map(leaf).for_each(|leaf| tree.remove(leaf));
    let new_leaves = changes.adds.iter().map(|_| tree.add(0, false)).collect();
    tree.trim();
    tree.settle();
    new_leaves
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};

    use super::*;

    const MEMBERS: u32 = 24;

    /// The nodes to which each member seals in this commit, by its path.
    fn sealed(tree: &mut RatchetTree, changes: &Changes) -> Vec<(u64, LeafIndex, u32)> {
        let RatchetTree { tree, leaves, .. } = tree;
        let candidates = (0..).zip(leaves.iter()).filter(|(member, _)| !changes.removes.contains(member));
        let candidates: Vec<(u32, LeafIndex)> =
            candidates.filter_map(|(member, leaf)| Some((member, (*leaf)?))).collect();
        tree.attempt(|tree| {
            apply(tree, leaves, changes);
            let of = |leaf| tree.path(leaf).iter().map(|node| node.resolution).sum();
            candidates.into_iter().map(|(member, leaf)| (of(leaf), leaf, member)).collect()
        })
    }

    /// One commit: the members that change their places, those that update, those that cannot act,
    /// and a position among the members that commits, if the cheapest one does not.
    fn any_commit() -> impl Strategy<Value = (Vec<u32>, Vec<u32>, Vec<u32>, Option<usize>)> {
        let some = |most| subsequence((0..MEMBERS).collect::<Vec<_>>(), 0..=most).prop_shuffle();
        (some(5), some(4), some(MEMBERS as usize), proptest::option::of(0_usize..99))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn cheapest_member_seals_to_the_fewest_nodes(commits in prop::collection::vec(any_commit(), 1..40)) {
            let mut tree = RatchetTree::new(MEMBERS as usize);
            for (moved, updates, unable, other) in commits {
                for member in 0..MEMBERS {
                    tree.set_able(member, !unable.contains(&member));
                }
                let is_member = |member: &u32| tree.leaves[*member as usize].is_some();
                let (mut removes, adds): (Vec<u32>, Vec<u32>) = moved.into_iter().partition(is_member);
                let updates = updates.into_iter().filter(|member| is_member(member) && !removes.contains(member)).collect();
                // A member stays.
                if (0..MEMBERS).filter(is_member).count() == removes.len() {
                    removes.pop();
                }
                let changes = Changes { adds, removes, updates };
                let all = sealed(&mut tree, &changes);
                let fewest = all.iter().filter(|(_, _, member)| !unable.contains(member)).min();
                // A member that wants to leave cannot act.
                changes.removes.iter().for_each(|member| tree.set_able(*member, false));
                prop_assert_eq!(tree.cheapest(&changes), fewest.map(|(_, _, member)| *member));
                prop_assert_eq!(sealed(&mut tree, &changes), all.clone(), "a choice changes nothing");
                let by = other.map_or(fewest, |position| all.get(position % all.len())).or(all.first());
                tree.commit(by.unwrap().2, &changes);
            }
        }
    }
}
