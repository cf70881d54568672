//! Blocked users. Devices of a blocked user cannot add a device of the blocker, and cannot claim
//! its key packages.

use std::ops::ControlFlow;

use super::Abort;
use crate::{
    error::StoreError,
    names::{DeviceId, UserId},
    outcome::{RejectReason, Reply},
    store::{
        Table, Transaction,
        key::{Key, number_in},
    },
};

/// The maximum number of users that one user can block. Each is a record of some 50 bytes that
/// stays.
const MAX_BLOCKS: usize = 1_000;

fn key_of(user: &UserId, blocked: &UserId) -> Key {
    Key::user(user).then_user(blocked)
}

/// Blocks a user, if the list has room.
pub(crate) fn add(tx: &mut dyn Transaction, user: &UserId, blocked: &UserId) -> Result<Reply, Abort<Reply>> {
    let key = key_of(user, blocked);
    if tx.get(Table::Blocks, key.as_bytes())?.is_none() {
        if list(tx, user)?.len() >= MAX_BLOCKS {
            return Err(RejectReason::TooManyBlocks { limit: MAX_BLOCKS }.into());
        }
        tx.put(Table::Blocks, key.as_bytes(), &[])?;
    }
    Ok(Reply::Done)
}

/// Unblocks a user. Returns true if the user was blocked.
pub(crate) fn remove(tx: &mut dyn Transaction, user: &UserId, blocked: &UserId) -> Result<bool, StoreError> {
    tx.delete(Table::Blocks, key_of(user, blocked).as_bytes())
}

/// Returns the users that a user has blocked, ordered by the length of the name and then by the
/// name.
pub(crate) fn list(tx: &mut dyn Transaction, user: &UserId) -> Result<Vec<UserId>, StoreError> {
    let range = Key::user(user).everything_below();
    let (name_at, mut blocked) = (range.start.len(), Vec::new());
    tx.scan(Table::Blocks, &range.start..&range.end, &mut |key, _| {
        let corrupt = || StoreError::Corrupt(Table::Blocks);
        number_in(Table::Blocks, key, name_at)?;
        let name = key.get(name_at + Key::NAME_PREFIX..).and_then(|name| str::from_utf8(name).ok());
        let name = name.and_then(|name| UserId::from_normal(name).ok()).ok_or_else(corrupt)?;
        blocked.push(name);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(blocked)
}

/// Checks that the device's user has not blocked the user `by`.
pub(crate) fn check<T: From<RejectReason>>(
    tx: &mut dyn Transaction,
    device: &DeviceId,
    by: &UserId,
) -> Result<(), Abort<T>> {
    let key = key_of(device.user(), by);
    if device.user() == by || tx.get(Table::Blocks, key.as_bytes())?.is_none() {
        return Ok(());
    }
    Err(Abort::answer(RejectReason::Blocked { device: device.clone() }.into()))
}
