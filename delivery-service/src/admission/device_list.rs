//! The signed lists of users' devices. The service stores the entries, and rejects an invalid
//! entry.
//!
//! The readers of a list make all checks again. The service checks as well, so that a device cannot
//! spoil its user's list with an entry that every reader rejects.

use std::ops::ControlFlow;

use super::{TokenHash, device};
use crate::{
    device_list::{DeviceList, EntryHash, InvalidEntry, ListChange, ListEntry},
    devices,
    error::StoreError,
    limits::Limits,
    names::{DeviceId, UserId},
    receipt::ServicePublicKey,
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

/// The maximum number of entries in one answer to a reader.
pub(crate) const PAGE: usize = 100;

/// The answer to an entry. Unless it is `Appended`, nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The entry is on the list.
    Appended {
        /// The number of the entry.
        number: u64,
        /// The sessions that ended, of a device that the entry has removed.
        ended: Vec<TokenHash>,
    },
    /// The entry does not continue the list.
    Invalid(InvalidEntry),
    /// The device that sends the entry has not signed it.
    OtherSigner,
    /// The key of the added device is not the key that the device was registered with.
    OtherKey {
        /// The added device.
        device: DeviceId,
    },
    /// The list cannot begin anew, because a device on it is still registered.
    StillListed {
        /// The device.
        device: DeviceId,
    },
    /// The list has as many entries as [`crate::Limits::max_device_list_entries`] allows. Devices
    /// can still be removed.
    Full,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntries {
    /// Encoded entries, in their order.
    pub entries: Vec<Vec<u8>>,
    /// The number of the list's last entry.
    pub number: u64,
    /// The hash of the list's last entry.
    pub head: EntryHash,
}

pub(crate) fn load(tx: &mut dyn Transaction, user: &UserId) -> Result<Option<DeviceList>, StoreError> {
    key::get(tx, Table::DeviceLists, &Key::user(user))
}

/// Appends an entry that the device `by` sends. A device that the entry removes is removed from the
/// service as well.
pub(crate) fn append(
    tx: &mut dyn Transaction,
    service: &ServicePublicKey,
    limits: &Limits,
    by: &DeviceId,
    entry: &ListEntry,
) -> Result<Appended, StoreError> {
    let user = by.user();
    let mut list = load(tx, user)?.unwrap_or_else(|| DeviceList::new(user.clone()));
    if entry.by != by.device() {
        return Ok(Appended::OtherSigner);
    }
    let before = list.number();
    if let Err(invalid) = list.append(service, entry) {
        return Ok(Appended::Invalid(invalid));
    }
    let mut ended = Vec::new();
    match &entry.change {
        ListChange::Begin(keys) => {
            if before > 0
                && let Some(device) = registered(tx, user)?
            {
                return Ok(Appended::StillListed { device });
            }
            if devices::key_of(tx, by)? != Some(keys.key) {
                return Ok(Appended::OtherKey { device: by.clone() });
            }
        }
        ListChange::Add(card) => {
            if devices::key_of(tx, &card.device)? != Some(card.keys.key) {
                return Ok(Appended::OtherKey { device: card.device.clone() });
            }
        }
        ListChange::Remove(removed) => ended = device::remove(tx, removed)?.unwrap_or_default(),
        ListChange::SetSignatureKey(_) => {}
    }
    if before >= limits.max_device_list_entries && !matches!(entry.change, ListChange::Remove(_)) {
        return Ok(Appended::Full);
    }
    let number = list.number();
    key::put(tx, Table::DeviceLists, &Key::user(user), &list)?;
    tx.put(Table::DeviceListEntries, Key::user(user).then(number).as_bytes(), &entry.encode())?;
    Ok(Appended::Appended { number, ended })
}

/// Returns a device on the user's list that is still registered.
fn registered(tx: &mut dyn Transaction, user: &UserId) -> Result<Option<DeviceId>, StoreError> {
    let Some(list) = load(tx, user)? else { return Ok(None) };
    for (device, _) in list.devices() {
        if devices::key_of(tx, &device)?.is_some() {
            return Ok(Some(device));
        }
    }
    Ok(None)
}

/// Returns the entries of a user's list after the entry of this number, at most [`PAGE`] of them.
pub(crate) fn entries_after(tx: &mut dyn Transaction, user: &UserId, after: u64) -> Result<ListedEntries, StoreError> {
    let list = load(tx, user)?.unwrap_or_else(|| DeviceList::new(user.clone()));
    let (number, head) = (list.number(), list.head());
    let mut entries = Vec::new();
    let end = Key::user(user).everything_below().end;
    let start = Key::user(user).then(after.saturating_add(1));
    tx.scan(Table::DeviceListEntries, start.as_bytes()..&end, &mut |_, entry| {
        entries.push(entry.to_vec());
        Ok(if entries.len() < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(ListedEntries { entries, number, head })
}

/// Returns the devices whose key packages the service hands out: registered devices that are on the
/// user's list, if there is a list.
pub(crate) fn claimable(
    tx: &mut dyn Transaction,
    user: &UserId,
    one: Option<&DeviceId>,
) -> Result<Vec<DeviceId>, StoreError> {
    let list = load(tx, user)?;
    let is_listed = |device: &DeviceId| list.as_ref().is_none_or(|list| list.get(device).is_some());
    let mut devices = match one {
        Some(device) if devices::key_of(tx, device)?.is_some() => vec![device.clone()],
        Some(_) => Vec::new(),
        None => devices::of_user(tx, user)?,
    };
    devices.retain(is_listed);
    Ok(devices)
}

/// Returns true if a device may remove another device of its user. If the user has a list and the
/// device is not on it, the device may remove only itself: it may be a stranger that has got the
/// right to register.
pub(crate) fn may_remove(tx: &mut dyn Transaction, by: &DeviceId, removed: &DeviceId) -> Result<bool, StoreError> {
    if by == removed {
        return Ok(true);
    }
    Ok(by.user() == removed.user() && load(tx, by.user())?.is_none_or(|list| list.get(by).is_some()))
}
