//! The keys that this device's user has compared, for each user. They belong to the device and not
//! to a group, because a user compares a key only once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::safety_number::Keys;
use crate::{
    IdentityClaim, UserId,
    storage::{RecordKind, RecordScope, StorageError, Transaction},
};

/// A user whose keys were compared. The record exists until a key of that user appears that was
/// not compared.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct VerifiedUser {
    keys: Keys,
}

impl VerifiedUser {
    /// Records that these keys were compared, and keeps the earlier keys: a user may have other
    /// devices in another group.
    pub(crate) fn remember(records: &Transaction<'_>, user: &UserId, keys: Keys) -> Result<(), StorageError> {
        let mut verified = Self::load(records, user)?.unwrap_or_default();
        verified.keys.extend(keys);
        records.put(Self::key(user), RecordKind::VerifiedUser, &verified)
    }

    /// True if all of these keys of the user were compared.
    pub(crate) fn covers(records: &Transaction<'_>, user: &UserId, keys: &Keys) -> Result<bool, StorageError> {
        Ok(Self::load(records, user)?.is_some_and(|verified| keys.is_subset(&verified.keys)))
    }

    /// Deletes and returns the verified users with a new key that was not compared.
    pub(crate) fn forget_changed(
        records: &Transaction<'_>,
        claims: Vec<IdentityClaim>,
    ) -> Result<Vec<UserId>, StorageError> {
        let mut changed = Vec::new();
        for IdentityClaim { device, signature_key, previous } in claims {
            if previous.as_ref() == Some(&signature_key) {
                continue;
            }
            let user = device.user().clone();
            let Some(verified) = Self::load(records, &user)? else { continue };
            if !verified.keys.contains(&(device, signature_key)) {
                records.delete(Self::key(&user));
                changed.push(user);
            }
        }
        Ok(changed)
    }

    /// Returns all users with compared keys, and those keys.
    pub(crate) fn all(records: &Transaction<'_>) -> Result<BTreeMap<UserId, Keys>, StorageError> {
        let prefix = RecordScope::Device.key(RecordKind::VerifiedUser);
        let mut all = BTreeMap::new();
        for key in records.keys(&prefix)? {
            let user = String::from_utf8_lossy(&key[prefix.len()..]);
            let user = UserId::from_normal(user).map_err(|error| StorageError::Damaged {
                record: RecordKind::VerifiedUser.name(),
                detail: error.to_string(),
            })?;
            if let Some(verified) = Self::load(records, &user)? {
                all.insert(user, verified.keys);
            }
        }
        Ok(all)
    }

    fn load(records: &Transaction<'_>, user: &UserId) -> Result<Option<Self>, StorageError> {
        records.get(&Self::key(user), RecordKind::VerifiedUser)
    }

    fn key(user: &UserId) -> Vec<u8> {
        RecordScope::Device.item(RecordKind::VerifiedUser, user.as_str().as_bytes())
    }
}
