//! The delivery service in this process: the ordering code over a store that outlives it.
//!
//! A process that stops or dies loses everything but its store. The next process opens the same
//! store. All durable state of the ordering code is in the store.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use regrow_delivery_service::{
    DeliveryService, Limits, Outcome, ServiceKey, SqliteStore, StoreError, Timestamp,
    store::{Store as _, Table, Transaction},
};

use super::{SharedDisk, WriteCounter, WrittenBytes};
use crate::{
    scenario::ClockJump,
    world::fault_injection::{FaultInjection, InjectedStore},
};

/// A service in this process, with its disk and its clock.
pub(in crate::world) struct LocalService<'s> {
    pub(super) service: DeliveryService<InjectedStore<'s>>,
    disk: SharedDisk,
    faults: &'s dyn FaultInjection,
    counter: Arc<WriteCounter>,
    limits: Limits,
    /// The seconds by which the service's clock is ahead of the devices' clock.
    ahead: i128,
}

impl<'s> LocalService<'s> {
    /// A service over a new store, with these faults.
    pub(super) fn new(faults: &'s dyn FaultInjection, retention: Option<Duration>) -> Result<Self, StoreError> {
        let default = Limits::default();
        let retention_seconds = retention.map_or(default.retention_seconds, |time| time.as_secs());
        Self::over(SharedDisk::new(SqliteStore::in_memory()?), faults, Limits { retention_seconds, ..default }, 0)
    }

    fn over(disk: SharedDisk, faults: &'s dyn FaultInjection, limits: Limits, ahead: i128) -> Result<Self, StoreError> {
        let counter = Arc::default();
        let service = open(&disk, faults, &counter, &limits)?;
        Ok(Self { service, disk, faults, counter, limits, ahead })
    }

    /// Opens the store with a new process. The old one is gone, with everything in its memory.
    pub(super) fn restart(&mut self) -> Result<(), StoreError> {
        self.service = open(&self.disk, self.faults, &self.counter, &self.limits)?;
        Ok(())
    }

    /// Makes a call whose process dies within its transaction. [`None`] if it has died; the outcome
    /// if the call wrote too little to die.
    pub(super) fn die_within_transaction(
        &self,
        call: impl FnOnce() -> Result<Outcome, StoreError>,
    ) -> Result<Option<Outcome>, StoreError> {
        self.disk.fail_soon();
        let outcome = call();
        match (self.disk.has_failed(), outcome) {
            (true, _) => Ok(None),
            (false, outcome) => outcome.map(Some),
        }
    }

    pub(super) fn counter(&self) -> &WriteCounter {
        &self.counter
    }

    pub(super) fn written(&self) -> WrittenBytes {
        self.counter.written()
    }

    /// The service's time at this time of the devices.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        let time = (i128::from(now.0) + self.ahead).max(0);
        Timestamp(u64::try_from(time).unwrap_or(u64::MAX))
    }

    pub(super) fn jump(&mut self, jump: ClockJump) {
        let by = i128::from(jump.by.as_secs());
        self.ahead += if jump.back { -by } else { by };
    }

    pub(super) fn set_disk_full(&self, full: bool) {
        self.disk.set_full(full);
    }

    pub(super) fn is_disk_full(&self) -> bool {
        self.disk.is_full()
    }

    pub(super) fn retention(&self) -> Duration {
        Duration::from_secs(self.limits.retention_seconds)
    }

    /// Sets the retention time of later entries. A service reads its settings when it starts.
    pub(super) fn set_retention(&mut self, time: Duration) -> Result<(), StoreError> {
        self.limits.retention_seconds = time.as_secs();
        self.restart()
    }

    /// A second service with the same key, over a copy of the store.
    pub(super) fn copy(&self) -> Result<Self, StoreError> {
        let mut copy = SqliteStore::in_memory()?;
        self.disk.store().transaction(|from| copy.transaction(|to| copy_records(from, to)))?;
        Self::over(SharedDisk::new(copy), self.faults, self.limits, self.ahead)
    }
}

fn open<'s>(
    disk: &SharedDisk,
    faults: &'s dyn FaultInjection,
    counter: &Arc<WriteCounter>,
    limits: &Limits,
) -> Result<DeliveryService<InjectedStore<'s>>, StoreError> {
    let store = InjectedStore::new(disk.clone(), faults, Arc::clone(counter));
    // The key is the same in each run, so that the receipts are the same as well.
    DeliveryService::open(store, *limits, ServiceKey::from_seed(&[0; 32]))
}

fn copy_records(from: &mut dyn Transaction, to: &mut dyn Transaction) -> Result<(), StoreError> {
    // No key of the store is as long as this one.
    const END: [u8; 4096] = [0xff; 4096];
    for table in Table::ALL {
        from.scan(table, &[][..]..&END[..], &mut |key, value| {
            to.put(table, key, value)?;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(())
}
