//! The store of a simulated device: it outlives the process, which may not outlive its next write.
//!
//! Members of one group store the same ratchet tree. Large values that are equal are kept once for all devices: a
//! thousand members of a group of a thousand then have one tree and not a thousand.
//!
//! The records are in memory, where they are read fast and can be put back. A device whose storage is to be stolen has a
//! [file](StorageFile) besides, into which all is written as well.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use regrow_engine::{Batch, Store, StoreError, Value};

use super::file::StorageFile;

/// Values of at least so many bytes are looked for among the others.
const LARGE: usize = 4096;

/// Among how many: the trees of this epoch and of the last, and a few more.
const RECENT: usize = 8;

/// What a device has stored.
pub(super) type Records = BTreeMap<Vec<u8>, Arc<Value>>;

/// The store of one device.
#[derive(Clone)]
pub(super) struct MortalStore {
    records: Arc<RwLock<Records>>,
    common: Arc<Common>,
    file: Option<Arc<StorageFile>>,
    /// The process dies when it next writes.
    armed: Arc<AtomicBool>,
    /// It has died, and has to be started again before it can do anything.
    dead: Arc<AtomicBool>,
}

impl MortalStore {
    /// An empty store, which shares large values with the others of the same simulation.
    pub(super) fn new(common: &Arc<Common>) -> Self {
        Self {
            records: Arc::default(),
            common: common.clone(),
            file: None,
            armed: Arc::default(),
            dead: Arc::default(),
        }
    }

    /// The store, with a file into which all is written as well.
    pub(super) fn with_file(self, file: StorageFile) -> Self {
        Self { file: Some(Arc::new(file)), ..self }
    }

    /// The file, if it has one.
    pub(super) fn file(&self) -> Option<&StorageFile> {
        self.file.as_deref()
    }

    /// All that is stored now.
    pub(super) fn records(&self) -> Records {
        self.records.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other records in the place of these.
    pub(super) fn replace(&self, records: Records) -> Result<(), StoreError> {
        let mut present = self.records.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            file.apply(difference(&present, &records))?;
        }
        *present = records;
        Ok(())
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
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        Ok(records.get(key).map(|value| Value::clone(value)))
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        let from = records.range(prefix.to_vec()..).map(|(key, _)| key);
        Ok(from.take_while(|key| key.starts_with(prefix)).cloned().collect())
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        if self.armed.swap(false, Ordering::Relaxed) {
            self.dead.store(true, Ordering::Relaxed);
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
                Some(value) => records.insert(key, self.common.share(value)),
                None => records.remove(&key),
            };
        }
        Ok(())
    }
}

/// What has to be written where `present` is stored, so that `wanted` is.
fn difference(present: &Records, wanted: &Records) -> Batch {
    let mut batch = Batch::default();
    for key in present.keys().filter(|key| !wanted.contains_key(*key)) {
        batch.delete(key.clone());
    }
    for (key, value) in wanted.iter().filter(|(key, value)| present.get(*key) != Some(value)) {
        batch.put(key.clone(), Value::clone(value));
    }
    batch
}

/// Large values that several devices store.
#[derive(Default)]
pub(super) struct Common {
    recent: Mutex<VecDeque<Weak<Value>>>,
}

impl Common {
    /// The same value, which others may hold as well.
    fn share(&self, value: Value) -> Arc<Value> {
        if value.len() < LARGE {
            return Arc::new(value);
        }
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<_> = recent().iter().filter_map(Weak::upgrade).collect();
        if let Some(known) = known.into_iter().find(|known| **known == value) {
            return known;
        }
        let value = Arc::new(value);
        let mut recent = recent();
        recent.push_front(Arc::downgrade(&value));
        recent.truncate(RECENT);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(store: &MortalStore, value: Vec<u8>) -> Arc<Value> {
        let mut batch = Batch::default();
        batch.put(vec![1], Value::new(value));
        store.apply(batch).unwrap();
        store.records().remove(&vec![1]).unwrap()
    }

    #[test]
    fn equal_large_values_are_kept_once_and_others_are_not_mixed_up() {
        let common = Arc::default();
        let (one, other) = (MortalStore::new(&common), MortalStore::new(&common));

        let tree = written(&one, vec![7; LARGE]);

        assert!(Arc::ptr_eq(&tree, &written(&other, vec![7; LARGE])));
        assert_eq!(**written(&other, vec![8; LARGE]), vec![8; LARGE]);
        assert_eq!(**one.get(&[1]).unwrap().unwrap(), vec![7; LARGE]);
    }

    #[test]
    fn a_process_that_dies_writing_has_written_nothing() {
        let store = MortalStore::new(&Arc::default());
        store.arm();
        let mut batch = Batch::default();
        batch.put(vec![1], Value::new(vec![1]));

        assert!(store.apply(batch).is_err());

        assert!(store.take_death());
        assert!(store.records().is_empty());
    }
}
