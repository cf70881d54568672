//! A folder with the file of one device.

use std::{fs, path::PathBuf, sync::Arc};

use regrow_engine::{DiskError, SqliteStore, StoreKey, default_crypto};
use rusqlite::Connection;
use tempfile::TempDir;

/// Returns the key of the file.
pub fn key() -> StoreKey {
    StoreKey::from_bytes([7; 32])
}

/// A folder for one file.
pub struct StoreFolder(pub TempDir);

impl StoreFolder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("device")
    }

    pub fn create(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::create(self.path(), &key(), default_crypto()).unwrap())
    }

    pub fn open(&self) -> Result<SqliteStore, DiskError> {
        SqliteStore::open(self.path(), &key(), default_crypto())
    }

    /// Returns the bytes of all files in the folder.
    pub fn bytes(&self) -> Vec<u8> {
        let files = fs::read_dir(self.0.path()).unwrap();
        files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }

    /// Changes the file without the engine.
    pub fn tamper(&self, sql: &str) -> usize {
        let connection = Connection::open(self.path()).unwrap();
        connection.execute(sql, []).unwrap()
    }
}
