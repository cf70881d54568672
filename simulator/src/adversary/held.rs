//! The secrets that a thief holds, by the names that the oracles of the groups give them.

use std::collections::BTreeMap;

use regrow_engine::GroupId;

use crate::oracle::Holdings;

/// The secrets of a device or a thief. Each group has an oracle of its own, so its secrets have
/// names of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldSecrets {
    /// The secrets that belong to no group: the private keys of unused key packages. They are the
    /// holdings in a group that was created later.
    pub(crate) outside: Holdings,
    /// The holdings in each group. They contain the unused key packages, too.
    pub(crate) groups: BTreeMap<GroupId, Holdings>,
}

impl HeldSecrets {
    /// The secrets that matter in a group.
    pub(crate) fn of(&self, group: &GroupId) -> &Holdings {
        self.groups.get(group).unwrap_or(&self.outside)
    }

    /// Adds the secrets of another thief, or of the same thief at another moment.
    pub(crate) fn pool(&mut self, other: &Self) {
        for group in other.groups.keys() {
            self.groups.entry(group.clone()).or_insert_with(|| self.outside.clone());
        }
        self.outside.pool(&other.outside);
        for (group, holdings) in &mut self.groups {
            holdings.pool(other.of(group));
        }
    }
}
