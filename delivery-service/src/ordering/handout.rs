//! Hands out key packages to the devices that claim them (RFC 9750, 5.1).

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

/// A key package that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedKeyPackage {
    /// The MLSMessage as it was uploaded.
    pub bytes: Vec<u8>,
    /// Whether it is the last-resort key package, which others get as well.
    pub last_resort: bool,
    /// What is left for the next one.
    pub left: KeyPackageCount,
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// A key package is handed out. An addition by the claimer can use it until the claim expires, after seven days.
    Claimed(ClaimedKeyPackage),
    /// There is none, not even for last resort; or the claimer has so many others of the device that it gets no more.
    NoneLeft,
    /// The claimer may not have one.
    Rejected(RejectReason),
}

impl From<RejectReason> for ClaimOutcome {
    fn from(reason: RejectReason) -> Self {
        Self::Rejected(reason)
    }
}

/// Hands out the oldest key package that has not expired, or else the last-resort one, and opens a claim on it.
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
