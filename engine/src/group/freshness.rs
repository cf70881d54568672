//! When each leaf last got new keys, as far as this device knows: by its own clock, from the day that it joined.

use std::collections::BTreeMap;

use openmls::{
    group::{MlsGroup, StagedCommit},
    prelude::LeafNodeIndex,
};
use serde::{Deserialize, Serialize};

use super::{
    GroupState,
    check::{self, Effect},
};
use crate::{error::Error, names::Timestamp};

/// When the members' leaves last got new keys, by the leaves' indices: one entry for each member.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Freshness(BTreeMap<u32, Timestamp>);

impl Freshness {
    /// Takes moments after `now` for now: the clock was ahead. Whether there were any.
    pub(crate) fn take_future_for(&mut self, now: Timestamp) -> bool {
        let future = self.0.values_mut().filter(|since| **since > now);
        future.map(|since| *since = now).count() > 0
    }

    /// For how many seconds the leaf has had its keys. (0 if the clock was set back since.)
    pub(crate) fn age(&self, leaf: LeafNodeIndex, now: Timestamp) -> u64 {
        self.0.get(&leaf.u32()).map_or(0, |since| now.0.saturating_sub(since.0))
    }
}

/// Which leaves a commit gives new keys, and which it blanks, read off before it is merged. Leaves that it adds have no
/// place yet.
pub(crate) struct LeafChanges {
    renewed: Vec<LeafNodeIndex>,
    blanked: Vec<LeafNodeIndex>,
}

impl LeafChanges {
    /// Of a commit by the member with that leaf; [`None`] if it came from outside, and has added its own.
    pub(crate) fn of(staged: &StagedCommit, group: &MlsGroup, committer: Option<LeafNodeIndex>) -> Result<Self, Error> {
        // RFC 9420, 12.4: a commit's path gives its committer a new leaf. A commit of adds alone may have none.
        let committer = committer.filter(|_| staged.update_path_leaf_node().is_some());
        let mut changes = Self { renewed: committer.into_iter().collect(), blanked: Vec::new() };
        for queued in staged.queued_proposals() {
            match check::effect(queued, group)? {
                Effect::Update { leaf, .. } => changes.renewed.push(leaf),
                Effect::Remove { leaf } => changes.blanked.push(leaf),
                Effect::Add { .. } | Effect::Data(_) | Effect::ExternalInit => {}
            }
        }
        Ok(changes)
    }
}

impl GroupState {
    /// A commit has been merged that changed these leaves.
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
        // What has no entry now is new: a leaf may be blanked and filled again by the same commit.
        for (leaf, _) in self.mls.treesync().full_leaves() {
            freshness.0.entry(leaf.u32()).or_insert(now);
        }
        self.membership_mut().freshness = freshness;
    }

    /// This device has come into the group: how old the others' keys are, it cannot know.
    pub(crate) fn all_leaves_are_new(&mut self, now: Timestamp) {
        let leaves = self.mls.treesync().full_leaves().map(|(leaf, _)| (leaf.u32(), now));
        let freshness = Freshness(leaves.collect());
        self.membership_mut().freshness = freshness;
    }
}
