//! Reads the deadlines that have passed, one batch at a time. The module deletes nothing. The
//! ordering rules and the admission rules call it when they delete expired records.

use std::ops::ControlFlow;

use crate::{
    error::StoreError,
    names::Timestamp,
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

/// The maximum number of deadlines in one transaction, so that no caller waits long for the store.
pub(crate) const BATCH: usize = 1_000;

/// The key of a deadline, and its value in the store.
pub(crate) type PassedDeadline = (Vec<u8>, Vec<u8>);

/// Returns the first deadlines that have passed at `now`, undecoded.
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

/// Returns the first deadlines that have passed at `now`, with their decoded values.
pub(crate) fn passed<T: serde::de::DeserializeOwned>(
    tx: &mut dyn Transaction,
    table: Table,
    now: Timestamp,
) -> Result<Vec<(Vec<u8>, T)>, StoreError> {
    let passed = passed_keys(tx, table, now)?;
    passed.into_iter().map(|(key, value)| Ok((key, key::decode(table, &value)?))).collect()
}
