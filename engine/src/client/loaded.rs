//! The groups of a client that are in memory: those that were used last. The others are in the store, and are loaded when
//! they are needed.

use std::collections::BTreeMap;

use crate::{group::GroupState, names::GroupId};

/// How many groups are kept in memory. A group of two members takes some kilobytes, one of a thousand about a megabyte: a
/// device in a thousand groups would hold all of them for ever, and most are silent. To load one again is to decode
/// its records, which takes a fraction of what a commit in it does.
const MAX_LOADED: usize = 32;

/// Groups as the store has them, each with the turn in which it was used last.
#[derive(Default)]
pub(super) struct Loaded {
    groups: BTreeMap<GroupId, (u64, GroupState)>,
    turn: u64,
}

impl Loaded {
    pub(super) fn contains_key(&self, id: &GroupId) -> bool {
        self.groups.contains_key(id)
    }

    pub(super) fn remove(&mut self, id: &GroupId) -> Option<GroupState> {
        self.groups.remove(id).map(|(_, group)| group)
    }

    /// Keeps a group, and drops the one that has not been used for longest if there are too many.
    pub(super) fn insert(&mut self, id: GroupId, group: GroupState) {
        self.turn += 1;
        self.groups.insert(id, (self.turn, group));
        if self.groups.len() > MAX_LOADED {
            let oldest = self.groups.iter().min_by_key(|(_, (turn, _))| *turn).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.groups.remove(&id));
        }
    }

    pub(super) fn extend(&mut self, groups: impl IntoIterator<Item = (GroupId, GroupState)>) {
        groups.into_iter().for_each(|(id, group)| self.insert(id, group));
    }

    pub(super) fn clear(&mut self) {
        self.groups.clear();
    }
}
