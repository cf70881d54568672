//! The store of a simulated device. It outlives the process, which may crash at its next write.
//!
//! Members of one group store the same ratchet tree. The devices share equal parts of [large
//! values](super::shared_values), so a group of a thousand members has one tree in memory and not a
//! thousand.
//!
//! The records are in memory, where reads are fast and the world can put records back. A device
//! whose storage a thief will steal also has a [file](StorageFile), and each write goes to both.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use regrow_engine::{Batch, Lock, Store, StoreError, StoreKey, Value};

use super::{
    shared_values::{SharedValues, StoredValue},
    storage_file::StorageFile,
};

/// The records of a device.
pub(super) type StoredRecords = BTreeMap<Vec<u8>, StoredValue>;

/// The store of one device.
#[derive(Clone)]
pub(super) struct CrashableStore {
    records: Arc<RwLock<StoredRecords>>,
    shared_values: Arc<SharedValues>,
    file: Option<Arc<StorageFile>>,
    /// True if the process crashes at its next write.
    armed: Arc<AtomicBool>,
    /// True if the process has crashed and has to be started again.
    crashed: Arc<AtomicBool>,
    /// True if the store is locked.
    locked: Arc<AtomicBool>,
}

impl CrashableStore {
    /// An empty store, which shares large values with the other stores of the same run.
    pub(super) fn new(shared_values: &Arc<SharedValues>) -> Self {
        Self {
            records: Arc::default(),
            shared_values: shared_values.clone(),
            file: None,
            armed: Arc::default(),
            crashed: Arc::default(),
            locked: Arc::default(),
        }
    }

    /// The store, with a file that gets each write as well.
    pub(super) fn with_file(self, file: StorageFile) -> Self {
        Self { file: Some(Arc::new(file)), ..self }
    }

    /// The file, if the store has one.
    pub(super) fn file(&self) -> Option<&StorageFile> {
        self.file.as_deref()
    }

    /// The present records.
    pub(super) fn records(&self) -> StoredRecords {
        self.records.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces all records.
    pub(super) fn replace(&self, records: StoredRecords) -> Result<(), StoreError> {
        let mut present = self.records.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            file.apply(difference(&present, &records))?;
        }
        *present = records;
        Ok(())
    }

    /// Makes the process crash at its next write.
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Relaxed)
    }

    /// Fails while the store is locked.
    fn refuse_if_locked(&self) -> Result<(), StoreError> {
        if self.locked.load(Ordering::Relaxed) { Err(StoreError::Locked) } else { Ok(()) }
    }

    /// True if the process has crashed since the last call.
    pub(super) fn take_crash(&self) -> bool {
        self.crashed.swap(false, Ordering::Relaxed)
    }
}

impl Store for CrashableStore {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.refuse_if_locked()?;
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        Ok(records.get(key).map(StoredValue::to_value))
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.refuse_if_locked()?;
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        let from = records.range(prefix.to_vec()..).map(|(key, _)| key);
        Ok(from.take_while(|key| key.starts_with(prefix)).cloned().collect())
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.refuse_if_locked()?;
        if self.armed.swap(false, Ordering::Relaxed) {
            self.crashed.store(true, Ordering::Relaxed);
            return Err(StoreError::new("write", "the scenario let the process die here"));
        }
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        let changes: Vec<_> = batch.into_changes().collect();
        if let Some(file) = &self.file {
            let mut batch = Batch::default();
            for (key, value) in &changes {
                match value {
                    Some(value) => batch.put(key.clone(), value.clone()),
                    None => batch.delete(key.clone()),
                }
            }
            file.apply(batch)?;
        }
        for (key, value) in changes {
            match value {
                Some(value) => records.insert(key, self.shared_values.share(value)),
                None => records.remove(&key),
            };
        }
        Ok(())
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        self.file.as_ref().map(|_| self as &dyn Lock)
    }
}

/// Only a store with a file can be locked: the file decides if a key is right.
impl Lock for CrashableStore {
    fn lock(&self) {
        if let Some(file) = &self.file {
            file.lock();
            self.locked.store(true, Ordering::Relaxed);
        }
    }

    fn unlock(&self, key: &StoreKey) -> Result<(), StoreError> {
        if let Some(file) = &self.file {
            file.unlock(key)?;
            self.locked.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The batch that turns the present records into the wanted ones.
fn difference(present: &StoredRecords, wanted: &StoredRecords) -> Batch {
    let mut batch = Batch::default();
    for key in present.keys().filter(|key| !wanted.contains_key(*key)) {
        batch.delete(key.clone());
    }
    for (key, value) in wanted.iter().filter(|(key, value)| present.get(*key) != Some(value)) {
        batch.put(key.clone(), value.to_value());
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_dies_writing_has_written_nothing() {
        let store = CrashableStore::new(&Arc::default());
        store.arm();
        let mut batch = Batch::default();
        batch.put(vec![1], Value::new(vec![1]));

        assert!(store.apply(batch).is_err());

        assert!(store.take_crash());
        assert!(store.records().is_empty());
    }
}
