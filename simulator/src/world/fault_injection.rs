//! What devices and the delivery service are built on, for a caller who wants it to be otherwise.
//!
//! A world is as good as what lies under it: a disk that deletes what it is told to, cryptography that draws fresh
//! randomness, a service that forgets nothing. Here a caller can put something else there and see what becomes of it.
//! Nothing that ships is touched by that: faults come from outside.

use std::{ops::Range, sync::Arc};

use regrow_delivery_service::{
    SqliteStore, Store as ServiceStore, StoreError,
    store::{Keep, Part, Table, Transaction, Visitor},
};
use regrow_engine::{CryptoProvider, Store};

/// Wraps what a world is built on. By default everything is left as it is.
///
/// Whatever is put there has to behave in the same way each time that the same scenario is run, or runs cannot be
/// compared; what belongs to different devices is called from different threads.
pub trait FaultInjection: Send + Sync {
    /// The store of a device. It is asked for once, and outlives the device's process. What is kept beside the device's
    /// records is best kept among them: the world now and then puts all of them back to where they were.
    fn store(&self, device: &str, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let _ = device;
        store
    }

    /// The cryptography and the randomness that a device's process calls. What is called of them in turn is on the tape.
    /// They are asked for once, and outlive the process.
    fn crypto(&self, device: &str, crypto: Arc<dyn CryptoProvider>) -> Arc<dyn CryptoProvider> {
        let _ = device;
        crypto
    }

    /// The delivery service's records, as one of its transactions sees them.
    fn service<'t>(&'t self, records: Box<dyn Transaction + 't>) -> Box<dyn Transaction + 't> {
        records
    }
}

/// Everything as it should be.
pub struct NoFaults;

impl FaultInjection for NoFaults {}

/// The delivery service's store, within surroundings.
pub(super) struct InjectedStore<'s> {
    store: SqliteStore,
    fault_injection: &'s dyn FaultInjection,
}

impl<'s> InjectedStore<'s> {
    pub(super) fn new(store: SqliteStore, fault_injection: &'s dyn FaultInjection) -> Self {
        Self { store, fault_injection }
    }
}

impl ServiceStore for InjectedStore<'_> {
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let fault_injection = self.fault_injection;
        self.store.transaction(|records| work(&mut *fault_injection.service(Box::new(Plain(records)))))
    }
}

/// A transaction as it is.
struct Plain<'t>(&'t mut dyn Transaction);

impl Transaction for Plain<'_> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(table, key)
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.0.put(table, key, value)
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        self.0.delete(table, key)
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.0.scan(table, range, visit)
    }

    fn part(&mut self, work: &mut Part<'_>) -> Result<Keep, StoreError> {
        self.0.part(work)
    }
}
