//! A store in memory whose process can die just before it writes.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use regrow_engine::{Batch, MemoryStore, Store, StoreError, Value};

/// The records outlive the process; the process may not outlive the next write.
#[derive(Clone)]
pub(super) struct MortalStore {
    records: Arc<RwLock<MemoryStore>>,
    /// The process dies when it next writes.
    armed: Arc<AtomicBool>,
    /// It has died, and has to be started again before it can do anything.
    dead: Arc<AtomicBool>,
}

impl MortalStore {
    pub(super) fn new(records: MemoryStore) -> Self {
        Self { records: Arc::new(RwLock::new(records)), armed: Arc::default(), dead: Arc::default() }
    }

    /// Puts other records in the place of these.
    pub(super) fn replace(&self, records: MemoryStore) {
        *self.records.write().unwrap_or_else(PoisonError::into_inner) = records;
    }

    fn records(&self) -> MemoryStore {
        self.records.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The process that uses it dies when it next writes.
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Relaxed)
    }

    /// Whether the process has died, since this was last asked.
    pub(super) fn take_death(&self) -> bool {
        self.dead.swap(false, Ordering::Relaxed)
    }
}

impl Store for MortalStore {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.records().get(key)
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.records().keys(prefix)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        if self.armed.swap(false, Ordering::Relaxed) {
            self.dead.store(true, Ordering::Relaxed);
            return Err(StoreError::new("write", "the scenario let the process die here"));
        }
        self.records().apply(batch)
    }
}
