//! The storage file of a device that a scenario lets somebody steal without its key.
//!
//! It is a file as an application would have it: the engine's own store, in a folder that is deleted with it. Everything
//! that the device writes and erases is written and erased in it as well, from the device's first moment on, so that a
//! thief finds what a life has left there.

use std::{fs, io, sync::Arc};

use regrow_engine::{Batch, Layer as _, Layered, SqliteStore, Store as _, StoreError, StoreKey};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::{Failed, randomness::SeededCrypto};
use crate::{adversary::StolenFile, scenario::FailCode};

/// What the store's file is called; its log and whatever else SQLite makes stand beside it.
const NAME: &str = "device.regrow";

/// The name of the substream that the file's key is drawn from: no step of a scenario is called so.
const KEY: &str = "storage key";

/// A store's file. The store is closed before its folder is deleted.
pub(super) struct StorageFile {
    store: SqliteStore,
    folder: TempDir,
}

impl StorageFile {
    /// An empty store, sealed under a key that is drawn from the device's randomness and leaves what else it draws as it
    /// was without the file.
    pub(super) fn create(seed: u64, name: &str, device: &SeededCrypto) -> Result<Self, Failed> {
        let failed = |e: &dyn std::error::Error| Failed::new(FailCode::Rejected, format!("{name}'s storage file: {e}"));
        let folder = tempfile::tempdir().map_err(|e| failed(&e))?;
        let key = key(device).map_err(|e| failed(&e))?;
        // One stream from the file's first moment to its last: no nonce comes twice, wherever the device goes back to.
        let crypto = Arc::new(Layered(SeededCrypto::new(seed, &format!("storage of {name}"))));
        let store = SqliteStore::create(folder.path().join(NAME), &key, crypto).map_err(|e| failed(&e))?;
        Ok(Self { store, folder })
    }

    pub(super) fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.store.apply(batch)
    }

    /// The raw bytes of all files that there are, in the order of their names.
    ///
    /// The store goes on. (Closing a file that was read takes away the lock that the store has on it: nobody else looks
    /// for the file, so nobody gets in.)
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

/// The key that the device's file is sealed under.
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
