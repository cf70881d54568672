//! The leaves that a commit changes, and the record of their new keys.

use openmls::{
    group::{MlsGroup, StagedCommit},
    prelude::LeafNodeIndex,
};

use super::{
    GroupState,
    freshness::Freshness,
    proposal_effect::{ProposalEffect, effect},
};
use crate::{error::Error, names::Timestamp};

/// The leaves to which a commit gives new keys, and the leaves that it blanks, determined before
/// the merge. Added leaves have no position yet.
pub(crate) struct LeafChanges {
    renewed: Vec<LeafNodeIndex>,
    blanked: Vec<LeafNodeIndex>,
}

impl LeafChanges {
    /// Determines the leaf changes of a commit. `committer` is the leaf of the committing member;
    /// [`None`] if the commit is external and adds its own leaf.
    pub(crate) fn of(staged: &StagedCommit, group: &MlsGroup, committer: Option<LeafNodeIndex>) -> Result<Self, Error> {
        // A commit's path gives its committer a new leaf (RFC 9420, 12.4). A commit that only adds
        // devices may have no path.
        let committer = committer.filter(|_| staged.update_path_leaf_node().is_some());
        let mut changes = Self { renewed: committer.into_iter().collect(), blanked: Vec::new() };
        for queued in staged.queued_proposals() {
            match effect(queued, group)? {
                ProposalEffect::Update { leaf, .. } => changes.renewed.push(leaf),
                ProposalEffect::Remove { leaf } => changes.blanked.push(leaf),
                ProposalEffect::Add { .. } | ProposalEffect::Data(_) | ProposalEffect::ExternalInit => {}
            }
        }
        Ok(changes)
    }
}

impl GroupState {
    /// Records the leaf changes of a merged commit.
    pub(crate) fn note_leaves(&mut self, changes: &LeafChanges, now: Timestamp) {
        let mut freshness = std::mem::take(&mut self.member_state_mut().freshness);
        for leaf in changes.renewed.iter().chain(&changes.blanked) {
            freshness.forget(*leaf);
        }
        if changes.renewed.contains(&self.mls.own_leaf_index()) {
            self.activity_mut().sent = 0;
            let rotations = &mut self.member_state_mut().rotations;
            *rotations = rotations.saturating_add(1);
        }
        // A leaf without an entry is new. The same commit may blank a leaf and fill it again.
        for (leaf, _) in self.mls.treesync().full_leaves() {
            freshness.note(leaf, now);
        }
        self.member_state_mut().freshness = freshness;
    }

    /// Records all leaves as new. This device has just joined the group and cannot know the age of
    /// the other members' keys.
    pub(crate) fn all_leaves_are_new(&mut self, now: Timestamp) {
        let mut freshness = Freshness::default();
        for (leaf, _) in self.mls.treesync().full_leaves() {
            freshness.note(leaf, now);
        }
        self.member_state_mut().freshness = freshness;
    }
}
