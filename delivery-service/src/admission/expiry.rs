//! Deletes sessions and invitations that have expired.

use std::ops::ControlFlow;

use super::{TokenHash, deadline::AdmissionDeadline, invitation, session};
use crate::{
    error::StoreError,
    names::Timestamp,
    store::{
        Table, Transaction,
        identity::Identity,
        key::{self, Key},
    },
};

/// The maximum number of deadlines in one transaction, so that no caller waits long for the store.
const BATCH: usize = 1_000;

/// Deletes a batch of sessions and invitations that have ended at `now`. Returns true if there may
/// be more.
pub(crate) fn expire_batch(tx: &mut dyn Transaction, now: Timestamp) -> Result<bool, StoreError> {
    let (from, to) = (Key::number(0), Key::number(now.plus(1).0));
    let mut passed: Vec<(Vec<u8>, AdmissionDeadline)> = Vec::new();
    tx.scan(Table::AdmissionDeadlines, from.as_bytes()..to.as_bytes(), &mut |key, value| {
        passed.push((key.to_vec(), key::decode(Table::AdmissionDeadlines, value)?));
        Ok(if passed.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    for (key, kind) in &passed {
        let token = key.last_chunk().copied().map(TokenHash).ok_or(StoreError::Corrupt(Table::AdmissionDeadlines))?;
        match kind {
            AdmissionDeadline::Session(Identity(device)) => session::expire(tx, device, &token)?,
            AdmissionDeadline::Invitation => invitation::use_up(tx, &token)?,
        }
        tx.delete(Table::AdmissionDeadlines, key)?;
    }
    Ok(passed.len() == BATCH)
}
