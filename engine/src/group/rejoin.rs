//! The groups that a restored device must rejoin, and the devices that it replaces in them.
//!
//! An external commit cannot remove the former device's leaf, because that leaf belongs to another
//! device (RFC 9420, 12.4.3.2). Therefore the removal is stored with the group's identifier. It
//! becomes an intent in the same call by which the device joins the group.

use std::collections::{BTreeMap, BTreeSet};

use super::{GroupState, intent::Intent, leaves::leaf_of, record::MemberState};
use crate::{
    DeviceId,
    call::EngineCall,
    error::Error,
    names::{self, GroupId},
    storage::{RecordKind, RecordScope, StorageError, Transaction},
};

/// Records that the group must be rejoined, and that these devices must be removed from it.
pub(crate) fn remember(
    records: &Transaction<'_>,
    group: &GroupId,
    replaced: &BTreeSet<DeviceId>,
) -> Result<(), StorageError> {
    records.put(key(group), RecordKind::Rejoin, replaced)
}

/// Returns the groups that must still be rejoined, and the devices that this device replaces in
/// them.
pub(crate) fn all(records: &Transaction<'_>) -> Result<BTreeMap<GroupId, BTreeSet<DeviceId>>, StorageError> {
    let prefix = RecordScope::Device.key(RecordKind::Rejoin);
    let mut all = BTreeMap::new();
    for key in records.keys(&prefix)? {
        if let Some(replaced) = records.get(&key, RecordKind::Rejoin)? {
            let group = GroupId::new(&key[prefix.len()..]).map_err(|error| StorageError::Damaged {
                record: RecordKind::Rejoin.name(),
                detail: error.to_string(),
            })?;
            all.insert(group, replaced);
        }
    }
    Ok(all)
}

/// Deletes the record that the group must be rejoined.
pub(crate) fn forget(records: &Transaction<'_>, group: &GroupId) {
    records.delete(key(group));
}

/// Returns the devices of this user that open intents remove from the group.
pub(crate) fn still_to_remove(membership: &MemberState, own: &DeviceId) -> BTreeSet<DeviceId> {
    let removals = membership.all_intents().filter_map(|intent| match intent {
        Intent::Remove(devices) => Some(devices),
        _ => None,
    });
    removals.flatten().filter(|device| device.user() == own.user()).cloned().collect()
}

impl GroupState {
    /// Adds an intent to remove the replaced devices that are members. Call it when this device
    /// has joined the group.
    pub(crate) fn replace_former(&mut self, call: &EngineCall<'_>) -> Result<(), Error> {
        let group = names::group_id(self.mls.group_id())?;
        let replaced: Option<BTreeSet<DeviceId>> = call.records.get(&key(&group), RecordKind::Rejoin)?;
        let Some(replaced) = replaced else { return Ok(()) };
        forget(&call.records, &group);
        let members: Vec<_> = replaced.into_iter().filter(|device| leaf_of(&self.mls, device).is_some()).collect();
        if !members.is_empty() {
            self.member_state_mut().intents.push(Intent::Remove(members));
        }
        Ok(())
    }
}

fn key(group: &GroupId) -> Vec<u8> {
    RecordScope::Device.item(RecordKind::Rejoin, group.as_bytes())
}
