//! The place of a device's store: memory or a file.

use std::{path::PathBuf, sync::Arc};

use regrow_engine::{MemoryStore, SqliteStore, Store, StoreKey, default_crypto};

pub enum StoreLocation {
    Memory(MemoryStore),
    File(PathBuf),
}

impl StoreLocation {
    /// Returns the store: a new one, or the existing one.
    pub fn store(&self, new: bool) -> Arc<dyn Store> {
        let key = StoreKey::from_bytes([7; 32]);
        match self {
            Self::Memory(store) => Arc::new(store.clone()),
            Self::File(path) if new => Arc::new(SqliteStore::create(path, &key, default_crypto()).unwrap()),
            Self::File(path) => Arc::new(SqliteStore::open(path, &key, default_crypto()).unwrap()),
        }
    }
}
