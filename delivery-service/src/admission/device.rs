//! Registers and removes devices. A name is given once: a removed device leaves a mark under its
//! name, so that no other device is ever taken for it.

use std::ops::ControlFlow;

use super::{DeviceKey, TokenHash, invitation, session, wake_up};
use crate::{
    devices::{self, RegisteredDevice},
    error::StoreError,
    limits::Limits,
    names::{DeviceId, GroupId, Timestamp, UserId},
    ordering::{key_package, retention, roster, tally::Tally},
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

/// The answer to a registration. Unless it is `Registered`, nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The device is registered, now or by an earlier request with the same content.
    Registered,
    /// Another device has or had the name.
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
    /// The number of registered devices.
    pub devices: usize,
    /// The number of removed devices. Their names stay taken.
    pub removed: usize,
}

/// Registers a device. If there is an invitation, the device uses it up.
pub(crate) fn register(
    tx: &mut dyn Transaction,
    limits: &Limits,
    device: &DeviceId,
    key: DeviceKey,
    invitation: Option<&TokenHash>,
    now: Timestamp,
) -> Result<Registration, StoreError> {
    let user = device.user();
    let known = devices::load(tx, device)?;
    if known.as_ref().is_some_and(|known| known.key == Some(key) && known.user == *user) {
        return Ok(Registration::Registered);
    }
    // The right to register comes before the name, so that devices without the right learn nothing
    // about names.
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
    let record = RegisteredDevice { user: user.clone(), key: Some(key), registered: now };
    key::put(tx, Table::Devices, &Key::device(device), &record)?;
    for table in [Table::Users, Table::UserDevices] {
        tx.put(table, Key::user(user).then_device(device).as_bytes(), &[])?;
    }
    Tally::Devices(user).add(tx, 1)?;
    Ok(Registration::Registered)
}

/// Returns all users that have or had a device, in the order of the keys of [`Table::Users`].
pub(crate) fn users(tx: &mut dyn Transaction) -> Result<Vec<KnownUser>, StoreError> {
    let mut pairs = Vec::new();
    tx.scan(Table::Users, &[]..&key::AFTER_ALL, &mut |key, _| {
        pairs.push(key::device_after(Table::Users, key, 1)?);
        Ok(ControlFlow::Continue(()))
    })?;
    let mut users: Vec<KnownUser> = Vec::new();
    for device in pairs {
        if users.last().is_none_or(|last| last.user != *device.user()) {
            users.push(KnownUser { user: device.user().clone(), devices: 0, removed: 0 });
        }
        let removed = devices::is_removed(tx, &device)?;
        if let Some(user) = users.last_mut() {
            *(if removed { &mut user.removed } else { &mut user.devices }) += 1;
        }
    }
    Ok(users)
}

/// Returns true if the device, or another device that its user has or had, is on the group's
/// roster. So a restored device of a member can rejoin the group.
pub(crate) fn concerns(tx: &mut dyn Transaction, group: &GroupId, device: &DeviceId) -> Result<bool, StoreError> {
    let is_known = devices::key_of(tx, device)?.is_some();
    Ok(roster::is_member(tx, group, device)? || is_known && roster::has_user(tx, group, device.user())?)
}

/// Removes a device. Deletes its sessions, its wake-up address, its key packages and its
/// memberships; its name stays taken. Returns the sessions that ended; `None` if there is no such
/// device.
pub(crate) fn remove(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Option<Vec<TokenHash>>, StoreError> {
    let Some(record) = devices::load(tx, device)?.filter(|record| record.key.is_some()) else {
        return Ok(None);
    };
    key::put(tx, Table::Devices, &Key::device(device), &RegisteredDevice { key: None, ..record })?;
    tx.delete(Table::UserDevices, Key::user(device.user()).then_device(device).as_bytes())?;
    Tally::Devices(device.user()).subtract(tx, 1)?;
    let ended = session::close_all(tx, device)?;
    wake_up::remove(tx, device)?;
    key_package::forget_device(tx, device)?;
    retention::forget_reader(tx, device)?;
    Ok(Some(ended))
}
