//! Key packages (RFC 9420, 10; RFC 9750, 5.1): each is handed out once, the last-resort one when no other is left,
//! expired ones never.

use std::{collections::BTreeSet, ops::ControlFlow};

use openmls::{prelude::KeyPackage, versions::ProtocolVersion};
use openmls_rust_crypto::RustCrypto;
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

/// The largest key package, in bytes: twice as large as one with the largest post-quantum keys and signatures. Every claim
/// and every count reads all key packages that wait for a device.
const MAX_BYTES: usize = 32 * 1024;

/// What waits for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPackageCount {
    /// Key packages that can still be handed out, the last-resort one not counted.
    pub left: usize,
    /// Whether there is a last-resort key package.
    pub last_resort: bool,
    /// Whether it has been handed out. Its device replaces it then, so that no two groups need know that they share it.
    pub last_resort_used: bool,
}

/// The answer to an upload: the key packages that are not refused are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadOutcome {
    /// What can be handed out now.
    pub left: KeyPackageCount,
    /// The key packages that are refused. Others are not affected by them.
    pub refused: Vec<RefusedKeyPackage>,
}

/// A key package that was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedKeyPackage {
    /// Which, from 0 in the order of the upload; the last-resort one comes after all others.
    pub index: usize,
    /// Why.
    pub reason: KeyPackageFault,
}

/// What is wrong with a key package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyPackageFault {
    /// Not an MLSMessage with a key package, or too large.
    #[error("not a key package")]
    Malformed,
    /// Its signatures, versions or extensions are not valid (RFC 9420, 10.1); the text is OpenMLS's.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Its credential names another device than the one that uploads it.
    #[error("not a key package of this device")]
    OfAnotherDevice,
    /// It has expired: its use period has ended, or else its lifetime.
    #[error("expired")]
    Expired,
    /// Its lifetime has not begun.
    #[error("not valid yet")]
    NotYetValid,
    /// It is marked for last resort and uploaded as one of the others, or the other way round.
    #[error("last-resort extension where it does not belong, or missing")]
    WrongLastResort,
    /// As many wait as [`crate::Limits::max_key_packages_per_device`] allows.
    #[error("more than {limit} key packages would wait; upload it when some have been handed out")]
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
    /// Whether it was handed out, and waits as the last resort still.
    pub(super) used: bool,
    #[serde(with = "serde_bytes")]
    pub(crate) bytes: Vec<u8>,
}

/// What goes when a key package expires.
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
    pub(crate) crypto: &'a RustCrypto,
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
    // OpenMLS has compared the lifetime with the system's clock. Ours is the caller's.
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

/// When a key package can be handed out: until the end of its use period if it has one, or else in its lifetime. The clock
/// of the device may be ahead of the service's, so the beginning of the use period is not compared.
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

/// A key package that was verified.
struct VerifiedKeyPackage {
    bytes: Vec<u8>,
    reference: KeyPackageRef,
    not_after: Timestamp,
}

/// An upload whose key packages were verified, and the faults that were found.
pub(crate) struct VerifiedUpload {
    key_packages: Vec<(usize, VerifiedKeyPackage)>,
    last_resort: Option<VerifiedKeyPackage>,
    refused: Vec<RefusedKeyPackage>,
}

/// Verifies the key packages of an upload. Those beyond the limit are not even looked at.
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

/// Stores verified key packages, as many as there is room for. One that was uploaded before is left out, also when it
/// has been handed out since.
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

/// Withdraws all key packages of the device but those of this upload: what waits is deleted, and claims of what was
/// handed out are worth nothing.
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

/// The key packages in that table that wait for the device, with their numbers.
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

/// Deletes a key package that waits. A last-resort one that was handed out stays known, because claims of it are open. Any
/// other is forgotten, so that replacing key packages without end leaves nothing behind.
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

/// Returns whether it was new.
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
    let due = ExpiringKeyPackage { device: device.clone(), hash, reference: key_package.reference.clone() };
    key::put(tx, Table::KeyPackageDeadlines, &Key::number(key_package.not_after.0).then(number), &due)?;
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

/// Returns the oldest key package in a table that waits for the device and has not expired.
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

/// The device that uploaded the key package of this reference, if it has not expired.
pub(crate) fn owner(tx: &mut dyn Transaction, reference: &[u8]) -> Result<Option<DeviceId>, StoreError> {
    let owner: Option<Identity> = key::get(tx, Table::KeyPackageOwners, &Key::reference(reference))?;
    Ok(owner.map(|Identity(device)| device))
}

/// What can still be handed out.
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

/// Deletes all key packages of the device, and forgets which it had uploaded.
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
    if let Some(due) = key::get::<ExpiringKeyPackage>(tx, Table::KeyPackageDeadlines, &deadline)? {
        forget(tx, number, &due)?;
    }
    tx.delete(Table::KeyPackageDeadlines, deadline.as_bytes()).map(drop)
}

/// Deletes the key package with this number, if it still waits, and forgets that it was ever uploaded: it has expired,
/// and cannot be uploaded again.
pub(crate) fn forget(tx: &mut dyn Transaction, number: u64, due: &ExpiringKeyPackage) -> Result<bool, StoreError> {
    tx.delete(Table::KeyPackagesSeen, Key::device(&due.device).then_last(&due.hash).as_bytes())?;
    tx.delete(Table::KeyPackageOwners, Key::reference(&due.reference).as_bytes())?;
    let key = Key::device(&due.device).then(number);
    let waited = tx.delete(Table::KeyPackages, key.as_bytes())?;
    let was_last_resort = tx.delete(Table::LastResorts, key.as_bytes())?;
    Ok(waited || was_last_resort)
}
