//! The disk of the delivery service in this process. It outlives the process, it can be full, and
//! a process can die while it writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regrow_delivery_service::{SqliteStore, StoreError};

/// The write at which a process dies that dies within a transaction. Each accepted submission
/// writes more records than that.
const LAST_WRITE: u32 = 3;

/// The store's records, and the condition of their disk.
#[derive(Clone)]
pub(in crate::world) struct SharedDisk {
    store: Arc<Mutex<SqliteStore>>,
    condition: Arc<Mutex<DiskCondition>>,
}

#[derive(Default)]
struct DiskCondition {
    full: bool,
    /// The number of writes until the process dies, if it dies.
    writes_left: Option<u32>,
}

impl SharedDisk {
    pub(super) fn new(store: SqliteStore) -> Self {
        Self { store: Arc::new(Mutex::new(store)), condition: Arc::default() }
    }

    /// The store, for one transaction.
    pub(in crate::world) fn store(&self) -> MutexGuard<'_, SqliteStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn condition(&self) -> MutexGuard<'_, DiskCondition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_full(&self, full: bool) {
        self.condition().full = full;
    }

    pub(super) fn is_full(&self) -> bool {
        self.condition().full
    }

    /// Has the process die at a write of the next transaction that writes enough.
    pub(super) fn fail_soon(&self) {
        self.condition().writes_left = Some(LAST_WRITE);
    }

    /// True if the process has died since. In any case, it does not die later.
    pub(super) fn has_failed(&self) -> bool {
        self.condition().writes_left.take() == Some(0)
    }

    /// Fails if the disk takes no write now.
    pub(in crate::world) fn permit_write(&self) -> Result<(), StoreError> {
        let mut condition = self.condition();
        if condition.full {
            return Err(StoreError::DiskFull);
        }
        match &mut condition.writes_left {
            Some(0 | 1) => {
                condition.writes_left = Some(0);
                Err(StoreError::Backend("the process died within a transaction".into()))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}
