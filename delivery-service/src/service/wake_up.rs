//! The calls of the service for wake-ups.

use super::DeliveryService;
use crate::{admission::wake_up, error::StoreError, names::DeviceId, ordering::reading, store::Store};

impl<S: Store> DeliveryService<S> {
    /// Stores the address to call when something waits for the device, instead of an earlier
    /// address. Returns true if the device is registered. The service only stores the address: a
    /// server calls it.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn register_wake_up(&self, device: &DeviceId, address: &str) -> Result<bool, StoreError> {
        self.store().transaction(|tx| wake_up::register(tx, device, address))
    }

    /// Deletes the address of the device. Returns true if there was one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn remove_wake_up(&self, device: &DeviceId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| wake_up::remove(tx, device))
    }

    /// Returns the devices that have an address, with their addresses.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn wake_ups(&self) -> Result<Vec<(DeviceId, String)>, StoreError> {
        self.store().transaction(wake_up::all)
    }

    /// Returns true if there are entries that the device has not acknowledged.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn has_unread(&self, device: &DeviceId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| reading::has_unread(tx, device))
    }
}
