//! The records of the devices that the service knows.
//!
//! Ordering rules and admission read these records; only admission changes them.

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

/// The key of a device that is known and has not been removed.
pub(crate) fn key_of(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Option<DeviceKey>, StoreError> {
    Ok(load(tx, device)?.and_then(|device| device.key))
}

/// Whether the device was known, and has been removed.
pub(crate) fn is_removed(tx: &mut dyn Transaction, device: &DeviceId) -> Result<bool, StoreError> {
    Ok(load(tx, device)?.is_some_and(|device| device.key.is_none()))
}

/// The device in a key that has the name of its user before it.
pub(crate) fn device_in(table: Table, key: &[u8]) -> Result<DeviceId, StoreError> {
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
