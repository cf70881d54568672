//! The groups of a client in memory: the ones that were used last. The client loads the other
//! groups from the store when it needs them.

use std::collections::BTreeMap;

use crate::{group::GroupState, names::GroupId};

/// The maximum number of groups in memory.
///
/// A group of two members takes some kilobytes, and a group of a thousand members takes about a
/// megabyte. Without a limit, a device in a thousand groups would always have all of them in
/// memory, although most are silent. To load a group again is to decode its records, which costs
/// only a fraction of a commit in that group.
///
/// The policy has no field for this limit. A larger limit would save only a part of a millisecond,
/// for a group that has not been used for longer than 32 others. A smaller number of groups in
/// memory also means fewer secrets in memory: those of the other groups are only in the store.
const MAX_LOADED: usize = 32;

/// Groups whose state agrees with the store, each with the turn of its last use.
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

    /// Inserts a group. If there are too many groups, drops the least recently used one.
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

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn clear(&mut self) {
        self.groups.clear();
    }
}
