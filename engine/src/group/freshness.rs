//! The times when the leaves last got new keys, as far as this device knows. They are from this
//! device's clock, and start when it joins the group.

use std::collections::BTreeMap;

use openmls::{
    group::{MlsGroup, StagedCommit},
    prelude::LeafNodeIndex,
};
use serde::{Deserialize, Serialize};

use super::{
    GroupState,
    check::{self, ProposalEffect},
};
use crate::{error::Error, names::Timestamp};

/// The times when the members' leaves last got new keys, by the leaves' indices. There is one
/// entry for each member.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Freshness(BTreeMap<u32, Timestamp>);

impl Freshness {
    /// Replaces times after `now` by `now`, because the clock was ahead. Returns true if there
    /// were any.
    pub(crate) fn take_future_for(&mut self, now: Timestamp) -> bool {
        let future = self.0.values_mut().filter(|since| **since > now);
        future.map(|since| *since = now).count() > 0
    }

    /// Returns the age of the leaf's keys in seconds. (0 if the clock was set back since.)
    pub(crate) fn age(&self, leaf: LeafNodeIndex, now: Timestamp) -> u64 {
        self.0.get(&leaf.u32()).map_or(0, |since| now.0.saturating_sub(since.0))
    }
}

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
            match check::effect(queued, group)? {
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
        let mut freshness = std::mem::take(&mut self.membership_mut().freshness);
        for leaf in changes.renewed.iter().chain(&changes.blanked) {
            freshness.0.remove(&leaf.u32());
        }
        if changes.renewed.contains(&self.mls.own_leaf_index()) {
            self.activity_mut().sent = 0;
            let rotations = &mut self.membership_mut().rotations;
            *rotations = rotations.saturating_add(1);
        }
        // A leaf without an entry is new. The same commit may blank a leaf and fill it again.
        for (leaf, _) in self.mls.treesync().full_leaves() {
            freshness.0.entry(leaf.u32()).or_insert(now);
        }
        self.membership_mut().freshness = freshness;
    }

    /// Records all leaves as new. This device has just joined the group and cannot know the age of
    /// the other members' keys.
    pub(crate) fn all_leaves_are_new(&mut self, now: Timestamp) {
        let leaves = self.mls.treesync().full_leaves().map(|(leaf, _)| (leaf.u32(), now));
        let freshness = Freshness(leaves.collect());
        self.membership_mut().freshness = freshness;
    }
}
