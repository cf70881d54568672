//! The records of the devices that the service knows, and of removed devices. The module has no
//! rules of its own: the ordering and admission rules read the records, and only
//! `admission::device` changes them.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::{
    device_list::DeviceKey,
    error::StoreError,
    names::{DeviceId, Timestamp, UserId},
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

/// The stored record of a device.
#[derive(Serialize, Deserialize)]
pub(crate) struct RegisteredDevice {
    pub(crate) user: UserId,
    /// The device's key. `None` after the device was removed.
    pub(crate) key: Option<DeviceKey>,
    pub(crate) registered: Timestamp,
}

pub(crate) fn load(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Option<RegisteredDevice>, StoreError> {
    key::get(tx, Table::Devices, &Key::device(device))
}

/// Returns the key of a registered device. `None` if the device is unknown or was removed.
pub(crate) fn key_of(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Option<DeviceKey>, StoreError> {
    Ok(load(tx, device)?.and_then(|device| device.key))
}

/// Returns true if the device was registered and has been removed.
pub(crate) fn is_removed(tx: &mut dyn Transaction, device: &DeviceId) -> Result<bool, StoreError> {
    Ok(load(tx, device)?.is_some_and(|device| device.key.is_none()))
}

/// Returns all devices that the user has or had, in the order of the keys.
pub(crate) fn ever_of(tx: &mut dyn Transaction, user: &UserId) -> Result<Vec<DeviceId>, StoreError> {
    devices_below(tx, Table::Users, user)
}

/// Returns the devices of a user, without removed ones, in the order of the keys.
pub(crate) fn of_user(tx: &mut dyn Transaction, user: &UserId) -> Result<Vec<DeviceId>, StoreError> {
    devices_below(tx, Table::UserDevices, user)
}

fn devices_below(tx: &mut dyn Transaction, table: Table, user: &UserId) -> Result<Vec<DeviceId>, StoreError> {
    let range = Key::user(user).everything_below();
    let mut devices = Vec::new();
    tx.scan(table, &range.start..&range.end, &mut |key, _| {
        devices.push(key::device_after(table, key, 1)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(devices)
}

/// Returns true if the user has or had a device.
pub(crate) fn is_known_user(tx: &mut dyn Transaction, user: &UserId) -> Result<bool, StoreError> {
    Ok(key::first(tx, Table::Users, &Key::user(user))?.is_some())
}
