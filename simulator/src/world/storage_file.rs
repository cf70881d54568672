//! The storage file of a device that a thief will steal without its key.
//!
//! The file is that of a real application: the engine's own store, in a temporary folder. The file
//! gets every write and every erasure of the device from the beginning. So a thief finds all
//! remains of the device's history.

use std::{fs, io, sync::Arc};

use regrow_engine::{Batch, Layer as _, Layered, Lock as _, SqliteStore, Store as _, StoreError, StoreKey};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::{randomness::SeededCrypto, step_failure::StepFailure};
use crate::adversary::StolenFile;

/// The name of the store's file. SQLite puts its log and other files beside it.
const NAME: &str = "device.regrow";

/// The substream from which the file's key is drawn. No step of a scenario has this name.
const KEY: &str = "storage key";

/// A store's file. The store is closed before its folder is deleted.
pub(super) struct StorageFile {
    store: SqliteStore,
    folder: TempDir,
}

impl StorageFile {
    /// An empty store, sealed under a key from the device's randomness. The draw leaves the
    /// device's other randomness unchanged.
    pub(super) fn create(seed: u64, name: &str, device: &SeededCrypto) -> Result<Self, StepFailure> {
        let failed = |e: &dyn std::error::Error| StepFailure::rejected(format!("{name}'s storage file: {e}"));
        let folder = tempfile::tempdir().map_err(|e| failed(&e))?;
        let key = key(device).map_err(|e| failed(&e))?;
        // The file has one stream for its whole life. So no nonce comes twice, even if the device
        // goes back to an earlier state.
        let crypto = Arc::new(Layered(SeededCrypto::new(seed, &format!("storage of {name}"))));
        let store = SqliteStore::create(folder.path().join(NAME), &key, crypto).map_err(|e| failed(&e))?;
        Ok(Self { store, folder })
    }

    pub(super) fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.store.apply(batch)
    }

    /// Erases the key from memory.
    pub(super) fn lock(&self) {
        self.store.lock();
    }

    pub(super) fn unlock(&self, key: &StoreKey) -> Result<(), StoreError> {
        self.store.unlock(key)
    }

    /// The raw bytes of all files, sorted by name.
    ///
    /// The store stays usable. (Closing a file after reading releases the lock that the store has
    /// on it. No other process looks for the file, so the missing lock does no harm.)
    pub(super) fn steal(&self) -> io::Result<Vec<StolenFile>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.folder.path())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push(StolenFile { name, bytes: Zeroizing::new(fs::read(entry.path())?) });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }
}

/// Draws the key that seals the device's file.
pub(super) fn key(device: &SeededCrypto) -> Result<StoreKey, openmls_traits::types::CryptoError> {
    device.begin_step(KEY);
    let drawn = Zeroizing::new(device.random_bytes(32)?);
    device.begin_step("");
    let mut key = [0; 32];
    key.copy_from_slice(&drawn);
    Ok(StoreKey::from_bytes(key))
}

#[cfg(test)]
mod tests;
