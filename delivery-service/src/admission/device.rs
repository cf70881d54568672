//! The devices that the service knows. A name is given once: a device that was removed leaves a mark under its name, so
//! that nobody else is ever taken for it.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{DeviceKey, TokenHash, invitation, session, wake_up};
use crate::{
    error::StoreError,
    limits::Limits,
    names::{DeviceId, GroupId, Timestamp, UserId},
    ordering::{key_package, membership, roster, tally::Tally},
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

/// The answer to a registration. Unless it is `Registered`, nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The device is known, now or since the same request was first made.
    Registered,
    /// The name is that of another device, or was.
    NameTaken,
    /// The invitation is unknown, used, expired, or not for this user.
    NotInvited,
    /// The user has as many devices as [`crate::Limits::max_devices_per_user`] allows.
    TooManyDevices,
}

/// A user that the service knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownUser {
    /// The user's name.
    pub user: UserId,
    /// Devices that are known.
    pub devices: usize,
    /// Devices that were removed. Their names stay taken.
    pub removed: usize,
}

/// A device as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) user: UserId,
    /// None, once the device has been removed.
    pub(crate) key: Option<DeviceKey>,
    pub(crate) registered: Timestamp,
}

pub(crate) fn load(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Option<Device>, StoreError> {
    key::get(tx, Table::Devices, &Key::device(device))
}

/// Makes a device known. With an invitation, uses that up.
pub(crate) fn register(
    tx: &mut dyn Transaction,
    limits: &Limits,
    device: &DeviceId,
    key: DeviceKey,
    invitation: Option<&TokenHash>,
    now: Timestamp,
) -> Result<Registration, StoreError> {
    let user = device.user();
    let known = load(tx, device)?;
    if known.as_ref().is_some_and(|known| known.key == Some(key) && known.user == *user) {
        return Ok(Registration::Registered);
    }
    // The right to register comes before the name, so that those who have none learn nothing of names.
    if let Some(invitation) = invitation
        && !invitation::admits(tx, invitation, user, now)?
    {
        return Ok(Registration::NotInvited);
    }
    if known.is_some() {
        return Ok(Registration::NameTaken);
    }
    if Tally::Devices(user).get(tx)? >= limits.max_devices_per_user {
        return Ok(Registration::TooManyDevices);
    }
    if let Some(invitation) = invitation {
        invitation::use_up(tx, invitation)?;
    }
    let record = Device { user: user.clone(), key: Some(key), registered: now };
    key::put(tx, Table::Devices, &Key::device(device), &record)?;
    for table in [Table::Users, Table::UserDevices] {
        tx.put(table, Key::user(user).then_device(device).as_bytes(), &[])?;
    }
    Tally::Devices(user).add(tx, 1)?;
    Ok(Registration::Registered)
}

/// The key of a device that is known and has not been removed.
pub(crate) fn key_of(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Option<DeviceKey>, StoreError> {
    Ok(load(tx, device)?.and_then(|device| device.key))
}

/// Whether the device was known, and has been removed.
pub(crate) fn is_removed(tx: &mut dyn Transaction, device: &DeviceId) -> Result<bool, StoreError> {
    Ok(load(tx, device)?.is_some_and(|device| device.key.is_none()))
}

/// All users that have or had a device, in the order of the keys of [`Table::Users`].
pub(crate) fn users(tx: &mut dyn Transaction) -> Result<Vec<KnownUser>, StoreError> {
    let mut pairs = Vec::new();
    tx.scan(Table::Users, &[]..&key::AFTER_ALL, &mut |key, _| {
        pairs.push(device_in(Table::Users, key)?);
        Ok(ControlFlow::Continue(()))
    })?;
    let mut users: Vec<KnownUser> = Vec::new();
    for device in pairs {
        if users.last().is_none_or(|last| last.user != *device.user()) {
            users.push(KnownUser { user: device.user().clone(), devices: 0, removed: 0 });
        }
        let removed = is_removed(tx, &device)?;
        if let Some(user) = users.last_mut() {
            *(if removed { &mut user.removed } else { &mut user.devices }) += 1;
        }
    }
    Ok(users)
}

/// The device in a key that has the name of its user before it.
fn device_in(table: Table, key: &[u8]) -> Result<DeviceId, StoreError> {
    let length = usize::try_from(key::number_in(table, key, 0)?).unwrap_or(usize::MAX);
    let name_at = length.saturating_add(2 * Key::NAME_PREFIX);
    let device = key.get(name_at..).and_then(|name| DeviceId::from_identity(name).ok());
    device.ok_or(StoreError::Corrupt(table))
}

/// All devices that the user has or had, in the order of the keys.
pub(crate) fn ever_of(tx: &mut dyn Transaction, user: &UserId) -> Result<Vec<DeviceId>, StoreError> {
    devices_below(tx, Table::Users, user)
}

/// The devices of a user, without those that were removed, in the order of the keys.
pub(crate) fn of_user(tx: &mut dyn Transaction, user: &UserId) -> Result<Vec<DeviceId>, StoreError> {
    devices_below(tx, Table::UserDevices, user)
}

fn devices_below(tx: &mut dyn Transaction, table: Table, user: &UserId) -> Result<Vec<DeviceId>, StoreError> {
    let range = Key::user(user).everything_below();
    let mut devices = Vec::new();
    tx.scan(table, &range.start..&range.end, &mut |key, _| {
        devices.push(device_in(table, key)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(devices)
}

/// Whether the user has or had any device.
pub(crate) fn is_known_user(tx: &mut dyn Transaction, user: &UserId) -> Result<bool, StoreError> {
    Ok(key::first(tx, Table::Users, &Key::user(user))?.is_some())
}

/// Whether a device, or another one that its user has or had, is on the group's roster: a restored device of a member
/// has the right to find its way back.
pub(crate) fn concerns(tx: &mut dyn Transaction, group: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
    let is_known = key_of(tx, device)?.is_some();
    Ok(roster::is_member(tx, group, device)? || is_known && roster::has_user(tx, group, device.user())?)
}

/// Removes a device: its sessions, its key packages and what it has yet to read go, its name stays taken. Returns the
/// sessions that ended; `None` if there is no such device.
pub(crate) fn remove(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Option<Vec<TokenHash>>, StoreError> {
    let Some(record) = load(tx, device)?.filter(|record| record.key.is_some()) else {
        return Ok(None);
    };
    key::put(tx, Table::Devices, &Key::device(device), &Device { key: None, ..record })?;
    tx.delete(Table::UserDevices, Key::user(device.user()).then_device(device).as_bytes())?;
    Tally::Devices(device.user()).subtract(tx, 1)?;
    let ended = session::close_all(tx, device)?;
    wake_up::remove(tx, device)?;
    key_package::forget_device(tx, device)?;
    membership::forget_reader(tx, device)?;
    Ok(Some(ended))
}
