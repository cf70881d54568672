//! What goes when its time has come: entries that some reader never acknowledged, outcomes, key packages.

use std::collections::BTreeSet;

use super::{
    claim,
    deadlines::{BATCH, passed},
    ending, group, invitation, key_package, log, remembered, retention,
};
use crate::{
    error::StoreError,
    names::{Cursor, Timestamp},
    store::{Table, Transaction, key::number_in},
};

/// What [`crate::DeliveryService::expire`] deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Entries that not every reader had acknowledged.
    pub entries: u64,
    /// Answers that were remembered for resubmissions.
    pub remembered_outcomes: u64,
    /// Key packages that were never handed out, last-resort ones included.
    pub key_packages: u64,
}

/// Handles a batch of deadlines up to `now`, and adds to `expired` what went. Returns whether there may be more.
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
    for (deadline, due) in &passed {
        let cursor = Cursor(number_in(Table::Deadlines, deadline, size_of::<u64>())?);
        tx.delete(Table::Deadlines, deadline)?;
        // The entries of a group that was ended are gone.
        if ending::is_ended(tx, &due.group)? {
            continue;
        }
        let mut group = group::load(tx, &due.group)?.ok_or(StoreError::Corrupt(Table::Deadlines))?;
        if log::forget(tx, &due.group, &mut group, cursor)? {
            group::save(tx, &due.group, &group)?;
            expired.entries += 1;
        }
        expired.remembered_outcomes += u64::from(remembered::forget(tx, due)?);
        groups.insert(&due.group);
    }
    for group in groups {
        retention::skip_deleted_entries(tx, group)?;
    }
    Ok(passed.len() == BATCH)
}

fn expire_key_packages(tx: &mut dyn Transaction, now: Timestamp, expired: &mut Expired) -> Result<bool, StoreError> {
    let passed: Vec<(Vec<u8>, key_package::ExpiringKeyPackage)> = passed(tx, Table::KeyPackageDeadlines, now)?;
    for (deadline, due) in &passed {
        let number = number_in(Table::KeyPackageDeadlines, deadline, size_of::<u64>())?;
        expired.key_packages += u64::from(key_package::forget(tx, number, due)?);
        tx.delete(Table::KeyPackageDeadlines, deadline)?;
    }
    Ok(passed.len() == BATCH)
}
