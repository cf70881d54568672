//! A store in memory, which ends with the process. Use it for tests, simulations, and devices
//! without permanent state.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, RwLock},
};

use super::{Batch, Store, StoreError, Tenancy, Value};

/// A store in memory. Clones share the same records, so a client can be dropped and opened again
/// with another clone.
#[derive(Clone, Default)]
pub struct MemoryStore {
    records: Arc<RwLock<BTreeMap<Vec<u8>, Value>>>,
    tenancy: Arc<Tenancy>,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a store with these records.
    pub(crate) fn with_records(records: impl IntoIterator<Item = (Vec<u8>, Value)>) -> Self {
        Self { records: Arc::new(RwLock::new(records.into_iter().collect())), tenancy: Arc::default() }
    }

    /// Returns the number of bytes in all keys and values.
    ///
    /// # Errors
    /// [`StoreError`] if a thread panicked while it held the store.
    pub fn bytes(&self) -> Result<usize, StoreError> {
        let records = self.records.read().map_err(|_| poisoned("be measured"))?;
        Ok(records.iter().map(|(key, value)| key.len() + value.len()).sum())
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let records = self.records.read().map_err(|_| poisoned("read a record"))?;
        Ok(records.get(key).cloned())
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let records = self.records.read().map_err(|_| poisoned("list records"))?;
        let from = records.range(prefix.to_vec()..);
        Ok(from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect())
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut records = self.records.write().map_err(|_| poisoned("write"))?;
        for (key, value) in batch.into_changes() {
            match value {
                Some(value) => records.insert(key, value),
                None => records.remove(&key),
            };
        }
        Ok(())
    }

    fn tenancy(&self) -> Option<&Tenancy> {
        Some(&self.tenancy)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore(..)")
    }
}

fn poisoned(action: &'static str) -> StoreError {
    StoreError::new(action, "another thread panicked while it was writing")
}
