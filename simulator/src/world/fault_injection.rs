//! Replaces the stores and the cryptography below a world, so that a test can inject faults.
//!
//! A world relies on the layers below it: a disk that deletes records, cryptography that draws
//! fresh randomness, a service that forgets nothing. A caller can wrap each of these layers and
//! observe the effect on the scenario. No code that ships depends on this module.

use std::{ops::Range, sync::Arc};

use regrow_delivery_service::{
    Store as ServiceStore, StoreError,
    store::{Table, Transaction, Visitor},
};
use regrow_engine::{CryptoProvider, Store};

use super::service_under_test::{SharedDisk, WriteCounter, WrittenBytes};

/// Wraps the layers below a world. By default every layer stays unchanged.
///
/// A wrapper has to behave in the same way each time that the same scenario runs. Otherwise two
/// runs cannot be compared. The wrappers of different devices are called from different threads.
pub trait FaultInjection: Send + Sync {
    /// Wraps the store of a device.
    ///
    /// The world asks once for each device, and the store outlives the device's process. A wrapper
    /// keeps its own records best among those of the device, because the world now and then puts
    /// all records back to an earlier state.
    fn store(&self, device: &str, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let _ = device;
        store
    }

    /// Wraps the cryptography and the randomness of a device.
    ///
    /// The tape records the calls that the wrapper passes on. The world asks once for each device,
    /// and the provider outlives the device's process.
    fn crypto(&self, device: &str, crypto: Arc<dyn CryptoProvider>) -> Arc<dyn CryptoProvider> {
        let _ = device;
        crypto
    }

    /// The checks that a device makes of the delivery service. A product may forget one.
    fn checks(&self, device: &str) -> MadeChecks {
        let _ = device;
        MadeChecks { receipts: true, rosters: true }
    }

    /// Wraps the delivery service's records, as one of its transactions sees them.
    fn service<'t>(&'t self, records: Box<dyn Transaction + 't>) -> Box<dyn Transaction + 't> {
        records
    }
}

/// The checks that a device makes of the delivery service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeChecks {
    /// True if the device compares all receipts that it gets.
    pub receipts: bool,
    /// True if the device compares the service's roster with its own.
    pub rosters: bool,
}

/// No faults: every layer stays unchanged.
pub struct NoFaults;

impl FaultInjection for NoFaults {}

/// The delivery service's store with injected faults. It counts the bytes that it writes.
pub(super) struct InjectedStore<'s> {
    disk: SharedDisk,
    faults: &'s dyn FaultInjection,
    counter: Arc<WriteCounter>,
}

impl<'s> InjectedStore<'s> {
    pub(super) fn new(disk: SharedDisk, faults: &'s dyn FaultInjection, counter: Arc<WriteCounter>) -> Self {
        Self { disk, faults, counter }
    }
}

impl ServiceStore for InjectedStore<'_> {
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let (faults, disk, mut written) = (self.faults, &self.disk, WrittenBytes::default());
        let done = disk.store().transaction(|records| {
            let borrowed = BorrowedTransaction { records, disk, written: &mut written };
            work(&mut *faults.service(Box::new(borrowed)))
        })?;
        self.counter.add(written);
        Ok(done)
    }
}

/// A borrowed transaction, in the form of an owned one.
struct BorrowedTransaction<'t> {
    records: &'t mut dyn Transaction,
    disk: &'t SharedDisk,
    written: &'t mut WrittenBytes,
}

impl Transaction for BorrowedTransaction<'_> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.records.get(table, key)
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.disk.permit_write()?;
        self.written.count(table, key, value);
        self.records.put(table, key, value)
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        self.disk.permit_write()?;
        self.records.delete(table, key)
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.records.scan(table, range, visit)
    }
}
