//! A store that fails on demand and counts its writes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use regrow_engine::{Batch, MemoryStore, Store, StoreError, Value};

/// The keys of a batch and the size of each value.
pub type WrittenSizes = BTreeMap<Vec<u8>, usize>;

/// A store in memory whose next reads or writes can be made to fail. Clones are the same store.
#[derive(Clone, Default)]
pub struct FaultyStore {
    pub records: MemoryStore,
    faults: Arc<Mutex<InjectedFaults>>,
    batches: Arc<Mutex<Vec<WrittenSizes>>>,
}

#[derive(Default)]
struct InjectedFaults {
    /// The number of writes that still succeed.
    writes: Option<usize>,
    /// The number of reads that still succeed.
    reads: Option<usize>,
    /// True if a read or a write has failed.
    hit: bool,
}

impl FaultyStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes every write fail from now on.
    pub fn fail_writes(&self) {
        self.fail_writes_after(0);
    }

    /// Makes all writes fail after this many successful ones.
    pub fn fail_writes_after(&self, writes: usize) {
        self.faults.lock().unwrap().writes = Some(writes);
    }

    /// Makes all reads fail after this many successful ones.
    pub fn fail_reads_after(&self, reads: usize) {
        self.faults.lock().unwrap().reads = Some(reads);
    }

    /// Ends all failures. Returns true if a read or a write has failed.
    pub fn heal(&self) -> bool {
        std::mem::take(&mut *self.faults.lock().unwrap()).hit
    }

    /// Returns the batches that were applied since the last call.
    pub fn take_batches(&self) -> Vec<WrittenSizes> {
        std::mem::take(&mut *self.batches.lock().unwrap())
    }

    fn read(&self) -> Result<(), StoreError> {
        let mut faults = self.faults.lock().unwrap();
        match &mut faults.reads {
            Some(0) => {
                faults.hit = true;
                Err(StoreError::new("read a record", "the disk is gone"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Store for FaultyStore {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.read()?;
        self.records.get(key)
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read()?;
        self.records.keys(prefix)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut faults = self.faults.lock().unwrap();
        match &mut faults.writes {
            Some(0) => {
                faults.hit = true;
                return Err(StoreError::new("write", "the disk is full"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        drop(faults);
        let changes: Vec<_> = batch.into_changes().collect();
        let sizes = changes.iter().map(|(key, value)| (key.clone(), value.as_ref().map_or(0, |value| value.len())));
        self.batches.lock().unwrap().push(sizes.collect());
        let mut batch = Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        self.records.apply(batch)
    }
}

/// Keys and values.
pub type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// Returns all records of a store.
pub fn records(store: &MemoryStore) -> Records {
    let keys = store.keys(&[]).unwrap();
    keys.into_iter()
        .map(|key| {
            let value = store.get(&key).unwrap().unwrap().to_vec();
            (key, value)
        })
        .collect()
}
