//! Users that a user has blocked: their devices add no device of the blocker's, and claim no key package of it.

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

/// Users that one user can block. Each is a record of some 50 bytes that stays.
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

/// Unblocks a user. Returns whether the user was blocked.
pub(crate) fn remove(tx: &mut dyn Transaction, user: &UserId, blocked: &UserId) -> Result<bool, StoreError> {
    tx.delete(Table::Blocks, key_of(user, blocked).as_bytes())
}

/// The users that a user has blocked, in the order of the lengths of their names, and then of the names.
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

/// Checks that the device's user has not blocked another user.
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
