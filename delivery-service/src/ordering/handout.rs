//! Hands out key packages to the devices that claim them (RFC 9750, 5.1). The module decides which
//! key package a claimer gets; `claim` has the rules for its use. `DeliveryService` calls the
//! module.

use super::{
    Abort, OrderingContext, block, claim,
    key_package::{KeyPackageCount, StoredKeyPackage, left, oldest_unexpired},
};
use crate::{
    names::DeviceId,
    outcome::RejectReason,
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

/// A claimed key package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedKeyPackage {
    /// The MLSMessage, as its device has uploaded it.
    pub bytes: Vec<u8>,
    /// True if this is the last-resort key package, which other claimers get as well.
    pub last_resort: bool,
    /// The key packages that are left for the next claimer.
    pub left: KeyPackageCount,
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// A key package is handed out. An addition by the claimer can use it until the claim expires,
    /// after seven days.
    Claimed(ClaimedKeyPackage),
    /// The device has no key package that can be handed out, and no last-resort one. Or the
    /// claimer's user has so many other claims on the device that it gets no more, and there is no
    /// last-resort one.
    NoneLeft,
    /// The claimer may not have a key package of the device.
    Rejected(RejectReason),
}

impl From<RejectReason> for ClaimOutcome {
    fn from(reason: RejectReason) -> Self {
        Self::Rejected(reason)
    }
}

/// Hands out the oldest key package that has not expired, or else the last-resort one. Opens a
/// claim on it.
pub(crate) fn hand_out(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    device: &DeviceId,
    claimer: &DeviceId,
) -> Result<ClaimOutcome, Abort<ClaimOutcome>> {
    block::check(tx, device, claimer.user())?;
    claim::check_count(tx, context, claimer)?;
    let usual = match claim::is_target_spent(tx, context, claimer, device)? {
        true => None,
        false => oldest_unexpired(tx, Table::KeyPackages, device, context.now)?,
    };
    let (stored, last_resort) = match usual {
        Some((key, stored)) => {
            tx.delete(Table::KeyPackages, &key)?;
            (stored, false)
        }
        None => match oldest_unexpired(tx, Table::LastResorts, device, context.now)? {
            Some((key, stored)) => {
                if !stored.used {
                    let used = StoredKeyPackage { used: true, ..stored.clone() };
                    key::put(tx, Table::LastResorts, &Key::from_bytes(key), &used)?;
                }
                (stored, true)
            }
            None => return Ok(ClaimOutcome::NoneLeft),
        },
    };
    claim::open(tx, context, &stored.reference, claimer, device, last_resort)?;
    let left = left(tx, device, context.now)?;
    Ok(ClaimOutcome::Claimed(ClaimedKeyPackage { bytes: stored.bytes, last_resort, left }))
}
