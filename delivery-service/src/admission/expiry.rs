//! Deletes sessions and invitations that have expired.

use super::{TokenHash, deadline::AdmissionDeadline, invitation, session};
use crate::{
    deadlines::{BATCH, passed},
    error::StoreError,
    names::Timestamp,
    store::{Table, Transaction, identity::Identity},
};

/// Deletes a batch of sessions and invitations that have ended at `now`. Returns true if there may
/// be more.
pub(crate) fn expire_batch(tx: &mut dyn Transaction, now: Timestamp) -> Result<bool, StoreError> {
    let passed = passed(tx, Table::AdmissionDeadlines, now)?;
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
