//! Which keys this device's user has compared, of each user: kept with the device, for a key is compared once and not
//! once for each group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::safety_number::Keys;
use crate::{
    Claim, UserId,
    storage::{Kind, Scope, StorageError, Transaction},
};

/// A user whose keys were compared. Exists from the comparison until a key appears that was not part of one.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct VerifiedUser {
    keys: Keys,
}

impl VerifiedUser {
    /// Remembers that these keys were compared, with those that were before: a user may have other devices in another
    /// group.
    pub(crate) fn remember(records: &Transaction<'_>, user: &UserId, keys: Keys) -> Result<(), StorageError> {
        let mut verified = Self::load(records, user)?.unwrap_or_default();
        verified.keys.extend(keys);
        records.put(Self::key(user), Kind::VerifiedUser, &verified)
    }

    /// Whether all of these keys of the user were compared.
    pub(crate) fn covers(records: &Transaction<'_>, user: &UserId, keys: &Keys) -> Result<bool, StorageError> {
        Ok(Self::load(records, user)?.is_some_and(|verified| keys.is_subset(&verified.keys)))
    }

    /// Forgets the users of whom keys have appeared that were not compared; who they are.
    pub(crate) fn forget_changed(records: &Transaction<'_>, claims: Vec<Claim>) -> Result<Vec<UserId>, StorageError> {
        let mut changed = Vec::new();
        for Claim { device, signature_key, previous } in claims {
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

    /// All users of whom keys were compared, and those keys.
    pub(crate) fn all(records: &Transaction<'_>) -> Result<BTreeMap<UserId, Keys>, StorageError> {
        let prefix = Scope::Device.key(Kind::VerifiedUser);
        let mut all = BTreeMap::new();
        for key in records.keys(&prefix)? {
            let user = String::from_utf8_lossy(&key[prefix.len()..]);
            let user = UserId::from_normal(user).map_err(|error| StorageError::Damaged {
                record: Kind::VerifiedUser.name(),
                detail: error.to_string(),
            })?;
            if let Some(verified) = Self::load(records, &user)? {
                all.insert(user, verified.keys);
            }
        }
        Ok(all)
    }

    fn load(records: &Transaction<'_>, user: &UserId) -> Result<Option<Self>, StorageError> {
        records.get(&Self::key(user), Kind::VerifiedUser)
    }

    fn key(user: &UserId) -> Vec<u8> {
        Scope::Device.item(Kind::VerifiedUser, user.as_str().as_bytes())
    }
}
