//! Wake-ups: the addresses that the server calls when something waits for a device that has no open
//! stream or long poll.

use std::ops::ControlFlow;

use crate::{
    devices,
    error::StoreError,
    names::DeviceId,
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

/// Stores the address of a device, instead of an earlier one. Returns true if the device is
/// registered.
pub(crate) fn register(tx: &mut dyn Transaction, device: &DeviceId, address: &str) -> Result<bool, StoreError> {
    if devices::key_of(tx, device)?.is_none() {
        return Ok(false);
    }
    tx.put(Table::WakeUps, Key::device(device).as_bytes(), address.as_bytes())?;
    Ok(true)
}

/// Deletes the address of a device. Returns true if there was one.
pub(crate) fn remove(tx: &mut dyn Transaction, device: &DeviceId) -> Result<bool, StoreError> {
    tx.delete(Table::WakeUps, Key::device(device).as_bytes())
}

/// Returns the address of a device.
pub(crate) fn of(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Option<String>, StoreError> {
    let address = tx.get(Table::WakeUps, Key::device(device).as_bytes())?;
    address.map(read).transpose()
}

/// Returns all devices that have an address, with their addresses.
pub(crate) fn all(tx: &mut dyn Transaction) -> Result<Vec<(DeviceId, String)>, StoreError> {
    let mut all = Vec::new();
    tx.scan(Table::WakeUps, &[]..&key::AFTER_ALL, &mut |key, address| {
        let device = key.get(Key::NAME_PREFIX..).and_then(|name| DeviceId::from_identity(name).ok());
        all.push((device.ok_or(StoreError::Corrupt(Table::WakeUps))?, read(address.to_vec())?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

fn read(address: Vec<u8>) -> Result<String, StoreError> {
    String::from_utf8(address).map_err(|_| StoreError::Corrupt(Table::WakeUps))
}
