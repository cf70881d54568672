//! Groups that a device is still to rejoin which was restored from a backup, and whom it replaces there.
//!
//! An external commit cannot remove the former device's leaf, for it is another device's (RFC 9420, 12.4.3.2). So the wish
//! to remove it waits with the group's name, and becomes an intent in the very call by which the device is in the group.

use std::collections::{BTreeMap, BTreeSet};

use super::{GroupState, intent::Intent, leaf_of, record::Membership};
use crate::{
    DeviceId,
    error::Error,
    names::{self, GroupId},
    provider::Call,
    storage::{Kind, Scope, StorageError, Transaction},
};

/// Remembers that the group is to be rejoined, and that these devices are to be removed from it.
pub(crate) fn remember(
    records: &Transaction<'_>,
    group: &GroupId,
    replaced: &BTreeSet<DeviceId>,
) -> Result<(), StorageError> {
    records.put(key(group), Kind::Rejoin, replaced)
}

/// The groups that are still to be rejoined, and whom this device replaces in them.
pub(crate) fn all(records: &Transaction<'_>) -> Result<BTreeMap<GroupId, BTreeSet<DeviceId>>, StorageError> {
    let prefix = Scope::Device.key(Kind::Rejoin);
    let mut all = BTreeMap::new();
    for key in records.keys(&prefix)? {
        if let Some(replaced) = records.get(&key, Kind::Rejoin)? {
            let group = GroupId::new(&key[prefix.len()..])
                .map_err(|error| StorageError::Damaged { record: Kind::Rejoin.name(), detail: error.to_string() })?;
            all.insert(group, replaced);
        }
    }
    Ok(all)
}

/// The group is not to be rejoined any more.
pub(crate) fn forget(records: &Transaction<'_>, group: &GroupId) {
    records.delete(key(group));
}

/// The user's own devices that are to be removed from the group and have not been yet.
pub(crate) fn still_to_remove(membership: &Membership, own: &DeviceId) -> BTreeSet<DeviceId> {
    let removals = membership.all_wishes().filter_map(|wish| match wish {
        Intent::Remove(devices) => Some(devices),
        _ => None,
    });
    removals.flatten().filter(|device| device.user() == own.user()).cloned().collect()
}

impl GroupState {
    /// This device is in the group: the devices that it replaces there are to be removed, if they are members.
    pub(crate) fn replace_former(&mut self, call: &Call<'_>) -> Result<(), Error> {
        let group = names::group_id(self.mls.group_id())?;
        let replaced: Option<BTreeSet<DeviceId>> = call.records.get(&key(&group), Kind::Rejoin)?;
        let Some(replaced) = replaced else { return Ok(()) };
        forget(&call.records, &group);
        let members: Vec<_> = replaced.into_iter().filter(|device| leaf_of(&self.mls, device).is_some()).collect();
        if !members.is_empty() {
            self.membership_mut().intents.push(Intent::Remove(members));
        }
        Ok(())
    }
}

fn key(group: &GroupId) -> Vec<u8> {
    Scope::Device.item(Kind::Rejoin, group.as_bytes())
}
