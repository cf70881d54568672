//! What goes when its time has come: sessions and invitations.

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

/// The most deadlines that one transaction handles, so that nobody waits long for the store.
const BATCH: usize = 1_000;

/// Deletes a batch of what has ended at `now`. Returns whether there may be more.
pub(crate) fn expire_batch(tx: &mut dyn Transaction, now: Timestamp) -> Result<bool, StoreError> {
    let (from, to) = (Key::number(0), Key::number(now.plus(1).0));
    let mut passed: Vec<(Vec<u8>, AdmissionDeadline)> = Vec::new();
    tx.scan(Table::AdmissionDeadlines, from.as_bytes()..to.as_bytes(), &mut |key, value| {
        passed.push((key.to_vec(), key::decode(Table::AdmissionDeadlines, value)?));
        Ok(if passed.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    for (key, due) in &passed {
        let token = key.last_chunk().copied().map(TokenHash).ok_or(StoreError::Corrupt(Table::AdmissionDeadlines))?;
        match due {
            AdmissionDeadline::Session(Identity(device)) => session::expire(tx, device, &token)?,
            AdmissionDeadline::Invitation => invitation::use_up(tx, &token)?,
        }
        tx.delete(Table::AdmissionDeadlines, key)?;
    }
    Ok(passed.len() == BATCH)
}
