//! The calls of the service that are about waking devices.

use super::DeliveryService;
use crate::{admission::wake_up, error::StoreError, names::DeviceId, ordering::reading, store::Store};

impl<S: Store> DeliveryService<S> {
    /// Registers the address that is called when something waits for the device. It replaces the address before. Returns
    /// whether the device is known. The service only keeps the address: a server calls it.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn register_wake_up(&self, device: &DeviceId, address: &str) -> Result<bool, StoreError> {
        self.store().transaction(|tx| wake_up::register(tx, device, address))
    }

    /// Erases the address of the device. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn remove_wake_up(&self, device: &DeviceId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| wake_up::remove(tx, device))
    }

    /// The devices that have an address, with their addresses.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn wake_ups(&self) -> Result<Vec<(DeviceId, String)>, StoreError> {
        self.store().transaction(wake_up::all)
    }

    /// Whether there are entries that the device has not acknowledged.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn has_unread(&self, device: &DeviceId) -> Result<bool, StoreError> {
        self.store().transaction(|tx| reading::has_unread(tx, device))
    }
}
