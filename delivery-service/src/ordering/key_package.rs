//! Key packages (RFC 9420, 10; RFC 9750, 5.1): the service hands out each one once, the last-resort
//! one when no other is left, and an expired one never.

use std::{collections::BTreeSet, ops::ControlFlow};

use openmls::{prelude::KeyPackage, versions::ProtocolVersion};
use regrow_crypto::DefaultCrypto;
use regrow_protocol::profile::{USE_PERIOD_EXTENSION, UsePeriod};
use serde::{Deserialize, Serialize};

use super::OrderingContext;
use crate::{
    error::StoreError,
    handshake::{
        basic_identity,
        wire::{self, Hash, KeyPackageRef},
    },
    limits::Limits,
    names::{DeviceId, Timestamp},
    store::{
        Table, Transaction,
        identity::{self, Identity},
        key::{self, Key},
    },
};

pub(crate) const NUMBER: &str = "key_package";

/// The largest key package, in bytes: twice the size of a key package with the largest post-quantum
/// keys and signatures. Every claim and every count reads all key packages that wait for a device.
const MAX_BYTES: usize = 32 * 1024;

/// The key packages of a device that can still be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPackageCount {
    /// The number of key packages that can still be handed out, the last-resort one not counted.
    pub left: usize,
    /// True if there is a last-resort key package.
    pub last_resort: bool,
    /// True if the last-resort key package has been handed out. Its device then replaces it, so
    /// that two groups do not see that they share it.
    pub last_resort_used: bool,
}

/// The answer to an upload. The service has stored the key packages that it has not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadOutcome {
    /// The key packages that can be handed out now.
    pub left: KeyPackageCount,
    /// The refused key packages. They do not affect the others.
    pub refused: Vec<RefusedKeyPackage>,
}

/// A refused key package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedKeyPackage {
    /// The index in the upload, from 0. The last-resort key package comes after all others.
    pub index: usize,
    /// The reason.
    pub reason: KeyPackageFault,
}

/// The fault of a key package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyPackageFault {
    /// The bytes are not an MLSMessage with a key package, or they are too large.
    #[error("the bytes are not a key package of at most 32 KiB")]
    Malformed,
    /// Its signatures, versions or extensions are not valid (RFC 9420, 10.1). The text is
    /// OpenMLS's.
    #[error("the key package is invalid: {0}")]
    Invalid(String),
    /// Its credential names another device than the one that uploads it.
    #[error("the key package names another device")]
    OfAnotherDevice,
    /// It has expired: its use period has ended, or its lifetime if it has no use period.
    #[error("the key package has expired; upload a new one")]
    Expired,
    /// Its lifetime has not begun.
    #[error("the lifetime of the key package has not begun")]
    NotYetValid,
    /// It has the last-resort extension and is uploaded as another key package, or the reverse.
    #[error("only the last-resort key package must have the last-resort extension")]
    WrongLastResort,
    /// The device has as many key packages as [`crate::Limits::max_key_packages_per_device`]
    /// allows.
    #[error("the device would have more than {limit} key packages; upload it when some have been handed out")]
    TooMany {
        /// The limit, in key packages.
        limit: usize,
    },
}

/// A key package in the store.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct StoredKeyPackage {
    pub(crate) not_after: Timestamp,
    #[serde(with = "serde_bytes")]
    pub(crate) reference: KeyPackageRef,
    /// True if the key package was handed out as the last-resort one, and stays available.
    pub(super) used: bool,
    #[serde(with = "serde_bytes")]
    pub(crate) bytes: Vec<u8>,
}

/// The records that are deleted when a key package expires.
#[derive(Serialize, Deserialize)]
pub(crate) struct ExpiringKeyPackage {
    #[serde(with = "identity")]
    pub(crate) device: DeviceId,
    #[serde(with = "serde_bytes")]
    pub(crate) hash: Hash,
    #[serde(with = "serde_bytes")]
    pub(crate) reference: KeyPackageRef,
}

/// The conditions that a key package is verified under.
#[derive(Clone, Copy)]
pub(crate) struct Conditions<'a> {
    pub(crate) crypto: &'a DefaultCrypto,
    pub(crate) limits: &'a Limits,
    pub(crate) now: Timestamp,
}

/// Checks one key package (RFC 9420, 10.1).
fn verify(
    conditions: Conditions<'_>,
    device: &DeviceId,
    bytes: Vec<u8>,
    last_resort: bool,
) -> Result<VerifiedKeyPackage, KeyPackageFault> {
    if bytes.len() > MAX_BYTES {
        return Err(KeyPackageFault::Malformed);
    }
    let key_package = wire::key_package(&bytes, conditions.limits)
        .map_err(|_| KeyPackageFault::Malformed)?
        .validate(conditions.crypto, ProtocolVersion::Mls10)
        .map_err(|error| KeyPackageFault::Invalid(error.to_string()))?;
    match basic_identity(key_package.leaf_node().credential()) {
        Ok(identity) if identity == *device => {}
        _ => return Err(KeyPackageFault::OfAnotherDevice),
    }
    // OpenMLS has compared the lifetime with the system's clock. The service uses the caller's
    // clock.
    let (not_before, not_after) = lifetime(&key_package)?;
    if not_after <= conditions.now {
        return Err(KeyPackageFault::Expired);
    }
    if not_before > conditions.now {
        return Err(KeyPackageFault::NotYetValid);
    }
    if key_package.last_resort() != last_resort {
        return Err(KeyPackageFault::WrongLastResort);
    }
    let reference =
        key_package.hash_ref(conditions.crypto).map_err(|error| KeyPackageFault::Invalid(error.to_string()))?;
    let reference = reference.as_slice().to_vec();
    Ok(VerifiedKeyPackage { bytes, reference, not_after })
}

/// Returns the time in which the service hands out a key package: until the end of its use period,
/// or else its lifetime. The clock of the device may be ahead of the service's, so that the
/// beginning of the use period does not count.
fn lifetime(key_package: &KeyPackage) -> Result<(Timestamp, Timestamp), KeyPackageFault> {
    let lifetime = key_package.life_time();
    let (not_before, not_after) = (Timestamp(lifetime.not_before()), Timestamp(lifetime.not_after()));
    let Some(extension) = key_package.extensions().unknown(USE_PERIOD_EXTENSION) else {
        return Ok((not_before, not_after));
    };
    match UsePeriod::read(&extension.0).filter(|period| period.is_acceptable(not_before, not_after)) {
        Some(period) => Ok((not_before, period.until)),
        None => Err(KeyPackageFault::Invalid("the use period is not within the lifetime, or is too long".into())),
    }
}

/// A verified key package.
struct VerifiedKeyPackage {
    bytes: Vec<u8>,
    reference: KeyPackageRef,
    not_after: Timestamp,
}

/// The verified key packages of an upload, and the faults of the others.
pub(crate) struct VerifiedUpload {
    key_packages: Vec<(usize, VerifiedKeyPackage)>,
    last_resort: Option<VerifiedKeyPackage>,
    refused: Vec<RefusedKeyPackage>,
}

/// Verifies the key packages of an upload. Key packages beyond the limit are not verified.
pub(crate) fn verify_all(
    conditions: Conditions<'_>,
    device: &DeviceId,
    key_packages: Vec<Vec<u8>>,
    last_resort: Option<Vec<u8>>,
) -> VerifiedUpload {
    let limit = conditions.limits.max_key_packages_per_device;
    let mut upload = VerifiedUpload { key_packages: Vec::new(), last_resort: None, refused: Vec::new() };
    let count = key_packages.len();
    for (index, bytes) in key_packages.into_iter().enumerate() {
        let verified = match index < limit {
            true => verify(conditions, device, bytes, false),
            false => Err(KeyPackageFault::TooMany { limit }),
        };
        match verified {
            Ok(verified) => upload.key_packages.push((index, verified)),
            Err(reason) => upload.refused.push(RefusedKeyPackage { index, reason }),
        }
    }
    match last_resort.map(|bytes| verify(conditions, device, bytes, true)) {
        Some(Ok(verified)) => upload.last_resort = Some(verified),
        Some(Err(reason)) => upload.refused.push(RefusedKeyPackage { index: count, reason }),
        None => {}
    }
    upload
}

/// Stores verified key packages, as many as there is room for. Skips a key package that was
/// uploaded before, also if it has been handed out since.
pub(crate) fn upload(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    device: &DeviceId,
    upload: VerifiedUpload,
) -> Result<UploadOutcome, StoreError> {
    let limit = context.limits.max_key_packages_per_device;
    let VerifiedUpload { key_packages, last_resort, mut refused } = upload;
    let mut waiting = left(tx, device, context.now)?.left;
    for (index, key_package) in key_packages {
        if waiting < limit {
            waiting += usize::from(insert(tx, Table::KeyPackages, device, &key_package)?);
        } else if !is_seen(tx, device, &wire::hash(&key_package.bytes))? {
            refused.push(RefusedKeyPackage { index, reason: KeyPackageFault::TooMany { limit } });
        }
    }
    if let Some(key_package) = last_resort {
        replace_last_resort(tx, device, &key_package)?;
    }
    refused.sort_by_key(|refused| refused.index);
    Ok(UploadOutcome { left: left(tx, device, context.now)?, refused })
}

/// Withdraws all key packages of the device that are not in this upload. Waiting key packages are
/// deleted, and claims on key packages that were handed out cannot be used any more.
pub(crate) fn withdraw(tx: &mut dyn Transaction, device: &DeviceId, upload: &VerifiedUpload) -> Result<(), StoreError> {
    let VerifiedUpload { key_packages, last_resort, .. } = upload;
    let uploaded = key_packages.iter().map(|(_, key_package)| key_package).chain(last_resort);
    let kept: BTreeSet<_> = uploaded.map(|key_package| key_package.reference.clone()).collect();
    for table in [Table::KeyPackages, Table::LastResorts] {
        for (number, stored) in waiting(tx, table, device)? {
            if !kept.contains(&stored.reference) {
                discard(tx, table, device, number, &stored)?;
            }
        }
    }
    let range = Key::device(device).everything_below();
    let mut references = Vec::new();
    tx.scan(Table::KeyPackagesSeen, &range.start..&range.end, &mut |_, reference| {
        references.push(reference.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    for reference in references.iter().filter(|reference| !kept.contains(*reference)) {
        tx.delete(Table::KeyPackageOwners, Key::reference(reference).as_bytes())?;
    }
    Ok(())
}

/// Returns the device's key packages in that table, with their numbers.
fn waiting(
    tx: &mut dyn Transaction,
    table: Table,
    device: &DeviceId,
) -> Result<Vec<(u64, StoredKeyPackage)>, StoreError> {
    let prefix = Key::device(device);
    let range = prefix.everything_below();
    let mut waiting = Vec::new();
    tx.scan(table, &range.start..&range.end, &mut |key, value| {
        let number = key::number_in(table, key, prefix.as_bytes().len())?;
        waiting.push((number, key::decode(table, value)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(waiting)
}

/// Deletes a waiting key package. A last-resort one that was handed out stays known, because claims
/// on it are open. Any other is forgotten, so that replacing key packages without end leaves
/// nothing behind.
fn discard(
    tx: &mut dyn Transaction,
    table: Table,
    device: &DeviceId,
    number: u64,
    stored: &StoredKeyPackage,
) -> Result<(), StoreError> {
    if stored.used {
        return tx.delete(table, Key::device(device).then(number).as_bytes()).map(drop);
    }
    forget_waiting(tx, number, stored.not_after)
}

fn is_seen(tx: &mut dyn Transaction, device: &DeviceId, hash: &Hash) -> Result<bool, StoreError> {
    Ok(tx.get(Table::KeyPackagesSeen, Key::device(device).then_last(hash).as_bytes())?.is_some())
}

/// Stores a key package. Returns true if it is new.
fn insert(
    tx: &mut dyn Transaction,
    table: Table,
    device: &DeviceId,
    key_package: &VerifiedKeyPackage,
) -> Result<bool, StoreError> {
    let hash = wire::hash(&key_package.bytes);
    if is_seen(tx, device, &hash)? {
        return Ok(false);
    }
    let seen = Key::device(device).then_last(&hash);
    tx.put(Table::KeyPackagesSeen, seen.as_bytes(), &key_package.reference)?;
    let number = key::count_up(tx, NUMBER)?;
    let (reference, bytes) = (key_package.reference.clone(), key_package.bytes.clone());
    let stored = StoredKeyPackage { not_after: key_package.not_after, reference, used: false, bytes };
    key::put(tx, table, &Key::device(device).then(number), &stored)?;
    let owner = Identity(device.clone());
    key::put(tx, Table::KeyPackageOwners, &Key::reference(&key_package.reference), &owner)?;
    let expiring = ExpiringKeyPackage { device: device.clone(), hash, reference: key_package.reference.clone() };
    key::put(tx, Table::KeyPackageDeadlines, &Key::number(key_package.not_after.0).then(number), &expiring)?;
    Ok(true)
}

fn replace_last_resort(
    tx: &mut dyn Transaction,
    device: &DeviceId,
    key_package: &VerifiedKeyPackage,
) -> Result<(), StoreError> {
    let before = waiting(tx, Table::LastResorts, device)?;
    if insert(tx, Table::LastResorts, device, key_package)? {
        for (number, stored) in before {
            discard(tx, Table::LastResorts, device, number, &stored)?;
        }
    }
    Ok(())
}

/// Returns the oldest key package of the device in a table that has not expired.
pub(super) fn oldest_unexpired(
    tx: &mut dyn Transaction,
    table: Table,
    device: &DeviceId,
    now: Timestamp,
) -> Result<Option<(Vec<u8>, StoredKeyPackage)>, StoreError> {
    let range = Key::device(device).everything_below();
    let mut found = None;
    tx.scan(table, &range.start..&range.end, &mut |key, value| {
        let stored: StoredKeyPackage = key::decode(table, value)?;
        if stored.not_after <= now {
            return Ok(ControlFlow::Continue(()));
        }
        found = Some((key.to_vec(), stored));
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// Returns the device that uploaded the key package of this reference, if it has not expired and
/// was not withdrawn.
pub(crate) fn owner(tx: &mut dyn Transaction, reference: &[u8]) -> Result<Option<DeviceId>, StoreError> {
    let owner: Option<Identity> = key::get(tx, Table::KeyPackageOwners, &Key::reference(reference))?;
    Ok(owner.map(|Identity(device)| device))
}

/// Returns the number of key packages that can still be handed out.
pub(crate) fn left(tx: &mut dyn Transaction, device: &DeviceId, now: Timestamp) -> Result<KeyPackageCount, StoreError> {
    let range = Key::device(device).everything_below();
    let mut left = 0;
    tx.scan(Table::KeyPackages, &range.start..&range.end, &mut |_, value| {
        let stored: StoredKeyPackage = key::decode(Table::KeyPackages, value)?;
        left += usize::from(stored.not_after > now);
        Ok(ControlFlow::Continue(()))
    })?;
    let last_resort = oldest_unexpired(tx, Table::LastResorts, device, now)?;
    let last_resort_used = last_resort.as_ref().is_some_and(|(_, stored)| stored.used);
    Ok(KeyPackageCount { left, last_resort: last_resort.is_some(), last_resort_used })
}

/// Deletes all key packages of the device, and forgets which ones it has uploaded.
pub(crate) fn forget_device(tx: &mut dyn Transaction, device: &DeviceId) -> Result<(), StoreError> {
    for table in [Table::KeyPackages, Table::LastResorts] {
        for (number, stored) in waiting(tx, table, device)? {
            forget_waiting(tx, number, stored.not_after)?;
        }
    }
    key::delete_all(tx, Table::KeyPackagesSeen, &Key::device(device))
}

/// Forgets the key package with this number, and its deadline.
fn forget_waiting(tx: &mut dyn Transaction, number: u64, not_after: Timestamp) -> Result<(), StoreError> {
    let deadline = Key::number(not_after.0).then(number);
    if let Some(expiring) = key::get::<ExpiringKeyPackage>(tx, Table::KeyPackageDeadlines, &deadline)? {
        forget(tx, number, &expiring)?;
    }
    tx.delete(Table::KeyPackageDeadlines, deadline.as_bytes()).map(drop)
}

/// Deletes the key package with this number, if it still waits, and forgets its upload. It has
/// expired or is withdrawn. Returns true if it still waited.
pub(crate) fn forget(tx: &mut dyn Transaction, number: u64, expiring: &ExpiringKeyPackage) -> Result<bool, StoreError> {
    tx.delete(Table::KeyPackagesSeen, Key::device(&expiring.device).then_last(&expiring.hash).as_bytes())?;
    tx.delete(Table::KeyPackageOwners, Key::reference(&expiring.reference).as_bytes())?;
    let key = Key::device(&expiring.device).then(number);
    let waited = tx.delete(Table::KeyPackages, key.as_bytes())?;
    let was_last_resort = tx.delete(Table::LastResorts, key.as_bytes())?;
    Ok(waited || was_last_resort)
}
