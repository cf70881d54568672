//! Deletes records whose deadline has passed: entries that some reader never acknowledged,
//! remembered outcomes, key packages and claims. It also ends invitations to groups.

use std::collections::BTreeSet;

use super::{claim, ending, group, invitation, key_package, log, remembered, retention};
use crate::{
    deadlines::{BATCH, passed},
    error::StoreError,
    names::{Cursor, Timestamp},
    store::{Table, Transaction, key::number_in},
};

/// The numbers of records that [`crate::DeliveryService::expire`] has deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Entries that some reader had not acknowledged.
    pub entries: u64,
    /// Outcomes that were remembered for resubmissions.
    pub remembered_outcomes: u64,
    /// Key packages that were never handed out, and last-resort key packages.
    pub key_packages: u64,
}

/// Handles a batch of deadlines up to `now`, and adds the deleted records to `expired`. Returns
/// true if there may be more.
pub(crate) fn expire_batch(
    tx: &mut dyn Transaction,
    now: Timestamp,
    expired: &mut Expired,
) -> Result<bool, StoreError> {
    let more_entries = expire_entries(tx, now, expired)?;
    let more_key_packages = expire_key_packages(tx, now, expired)?;
    let more_claims = claim::expire_batch(tx, now)?;
    let more_invitations = invitation::expire_batch(tx, now)?;
    Ok(more_entries || more_key_packages || more_claims || more_invitations)
}

fn expire_entries(tx: &mut dyn Transaction, now: Timestamp, expired: &mut Expired) -> Result<bool, StoreError> {
    let passed: Vec<(Vec<u8>, remembered::ExpiringOutcome)> = passed(tx, Table::Deadlines, now)?;
    let mut groups = BTreeSet::new();
    for (deadline, expired_outcome) in &passed {
        let cursor = Cursor(number_in(Table::Deadlines, deadline, size_of::<u64>())?);
        tx.delete(Table::Deadlines, deadline)?;
        // The entries of an ended group are already deleted.
        if ending::is_ended(tx, &expired_outcome.group)? {
            continue;
        }
        let mut group = group::load(tx, &expired_outcome.group)?.ok_or(StoreError::Corrupt(Table::Deadlines))?;
        if log::forget(tx, &expired_outcome.group, &mut group, cursor)? {
            group::save(tx, &expired_outcome.group, &group)?;
            expired.entries += 1;
        }
        expired.remembered_outcomes += u64::from(remembered::forget(tx, expired_outcome)?);
        groups.insert(&expired_outcome.group);
    }
    for group in groups {
        retention::skip_deleted_entries(tx, group)?;
    }
    Ok(passed.len() == BATCH)
}

fn expire_key_packages(tx: &mut dyn Transaction, now: Timestamp, expired: &mut Expired) -> Result<bool, StoreError> {
    let passed: Vec<(Vec<u8>, key_package::ExpiringKeyPackage)> = passed(tx, Table::KeyPackageDeadlines, now)?;
    for (deadline, key_package) in &passed {
        let number = number_in(Table::KeyPackageDeadlines, deadline, size_of::<u64>())?;
        expired.key_packages += u64::from(key_package::forget(tx, number, key_package)?);
        tx.delete(Table::KeyPackageDeadlines, deadline)?;
    }
    Ok(passed.len() == BATCH)
}
