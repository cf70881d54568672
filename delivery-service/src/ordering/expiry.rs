//! What goes when its time has come: entries that some reader never acknowledged, remembered answers, key packages.

use std::{collections::BTreeSet, ops::ControlFlow};

use super::{answers, claim, ending, group, key_package, log, membership, roster};
use crate::{
    error::StoreError,
    names::{Cursor, Timestamp},
    store::{
        Table, Transaction,
        key::{self, Key, number_in},
    },
};

/// The most deadlines that one transaction handles, so that nobody waits long for the store.
pub(crate) const BATCH: usize = 1_000;

/// What [`crate::DeliveryService::expire`] deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Entries that not every reader had acknowledged.
    pub entries: u64,
    /// Answers that were remembered for resubmissions.
    pub answers: u64,
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
    let more_invitations = membership::expire_batch(tx, now)?;
    Ok(more_entries || more_key_packages || more_claims || more_invitations)
}

fn expire_entries(tx: &mut dyn Transaction, now: Timestamp, expired: &mut Expired) -> Result<bool, StoreError> {
    let passed: Vec<(Vec<u8>, answers::Due)> = passed(tx, Table::Deadlines, now)?;
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
        expired.answers += u64::from(answers::forget(tx, due)?);
        groups.insert(&due.group);
    }
    for group in groups {
        roster::skip_what_is_gone(tx, group)?;
    }
    Ok(passed.len() == BATCH)
}

fn expire_key_packages(tx: &mut dyn Transaction, now: Timestamp, expired: &mut Expired) -> Result<bool, StoreError> {
    let passed: Vec<(Vec<u8>, key_package::Due)> = passed(tx, Table::KeyPackageDeadlines, now)?;
    for (deadline, due) in &passed {
        let number = number_in(Table::KeyPackageDeadlines, deadline, size_of::<u64>())?;
        expired.key_packages += u64::from(key_package::forget(tx, number, due)?);
        tx.delete(Table::KeyPackageDeadlines, deadline)?;
    }
    Ok(passed.len() == BATCH)
}

/// The first deadlines that have passed at `now`.
fn passed<T: serde::de::DeserializeOwned>(
    tx: &mut dyn Transaction,
    table: Table,
    now: Timestamp,
) -> Result<Vec<(Vec<u8>, T)>, StoreError> {
    let passed = passed_keys(tx, table, now)?;
    passed.into_iter().map(|(key, value)| Ok((key, key::decode(table, &value)?))).collect()
}

/// The key of a deadline, and its value as it is stored.
pub(crate) type PassedDeadline = (Vec<u8>, Vec<u8>);

/// The first deadlines that have passed at `now`.
pub(crate) fn passed_keys(
    tx: &mut dyn Transaction,
    table: Table,
    now: Timestamp,
) -> Result<Vec<PassedDeadline>, StoreError> {
    let (from, to) = (Key::number(0), Key::number(now.plus(1).0));
    let mut passed = Vec::new();
    tx.scan(table, from.as_bytes()..to.as_bytes(), &mut |key, value| {
        passed.push((key.to_vec(), value.to_vec()));
        Ok(if passed.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(passed)
}
