//! The entries that the service still keeps: it deletes an entry after its last reader has
//! acknowledged it. The module does not delete by age; `expiry` does, and calls
//! [`skip_deleted_entries`] afterwards. `DeliveryService`, `invitation` and the removal of a device
//! call the other functions.

use std::ops::ControlFlow;

use super::{
    group, log,
    membership::{self, Membership},
};
use crate::{
    error::StoreError,
    names::{Cursor, DeviceId, GroupId},
    store::{
        Table, Transaction,
        key::{self, Key, number_in},
    },
};

/// Marks all entries up to `up_to` as read by the device, and deletes the entries that every reader
/// has read. Returns the number of deleted entries.
pub(crate) fn acknowledge(tx: &mut dyn Transaction, device: &DeviceId, up_to: Cursor) -> Result<u64, StoreError> {
    // A device cannot have read entries that the log does not have yet.
    let unread = up_to.min(log::end(tx)?).next();
    let mut deleted = 0;
    for membership in membership::waiting(tx, device)? {
        if membership.unread >= unread {
            continue;
        }
        let (id, until) = (membership.group.clone(), membership.until);
        membership.change(tx, until, unread)?;
        deleted += trim(tx, &id)?;
    }
    Ok(deleted)
}

/// Deletes the entries before the first entry that some reader has not read. Returns the number of
/// deleted entries.
pub(crate) fn trim(tx: &mut dyn Transaction, id: &GroupId) -> Result<u64, StoreError> {
    let prefix = Key::group(id);
    let end = match key::first(tx, Table::Unread, &prefix)? {
        Some(key) => Cursor(number_in(Table::Unread, &key, prefix.as_bytes().len())?),
        None => log::end(tx)?.next(),
    };
    if log::oldest(tx, id)?.is_none_or(|oldest| oldest >= end) {
        return Ok(0);
    }
    let mut group = group::load(tx, id)?.ok_or(StoreError::Corrupt(Table::Groups))?;
    let deleted = log::forget_range(tx, id, &mut group, Cursor::START..end)?;
    group::save(tx, id, &group)?;
    Ok(deleted)
}

/// Moves readers past entries that were deleted unread, and deletes past memberships that have no
/// entry left.
pub(crate) fn skip_deleted_entries(tx: &mut dyn Transaction, id: &GroupId) -> Result<(), StoreError> {
    let oldest = match log::oldest(tx, id)? {
        Some(oldest) => oldest,
        None => log::end(tx)?.next(),
    };
    let prefix = Key::group(id);
    let mut behind = Vec::new();
    tx.scan(Table::Unread, prefix.as_bytes()..prefix.clone().then(oldest.0).as_bytes(), &mut |_, membership| {
        behind.push(Key::from_bytes(membership.to_vec()));
        Ok(ControlFlow::Continue(()))
    })?;
    for key in behind {
        let membership: Membership =
            key::get(tx, Table::Memberships, &key)?.ok_or(StoreError::Corrupt(Table::Unread))?;
        let until = membership.until;
        membership.change(tx, until, oldest)?;
    }
    Ok(())
}

/// Deletes the device's memberships, so that no log waits for the device. The device stays on the
/// rosters until members commit its removal.
pub(crate) fn forget_reader(tx: &mut dyn Transaction, device: &DeviceId) -> Result<(), StoreError> {
    for membership in membership::of_device(tx, device)? {
        membership.delete(tx)?;
        trim(tx, &membership.group)?;
    }
    Ok(())
}
