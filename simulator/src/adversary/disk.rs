//! The thief of a storage without its key. It tries to open a copy of the files. If that works, the
//! thief has their contents.
//!
//! The attempt is made with the engine's own store. The store has to find the file complete, and to
//! refuse the key. This module does not search the raw bytes.

use std::{fs, io, sync::Arc};

use regrow_engine::{Client, CryptoProvider, DiskError, Policy, Snapshot, SqliteStore, StoreKey};

use super::stolen_state::StolenFile;

/// An attempt to open stolen files was impossible.
#[derive(Debug, thiserror::Error)]
pub enum BreakInError {
    /// The files could not be copied.
    #[error("the stolen files cannot be copied: {0}")]
    Copy(#[from] io::Error),
    /// None of the files is a store that lacks only its key. A failure to open them proves nothing.
    #[error("none of the stolen files is a complete store: {0:?}")]
    NoStore(Vec<DiskError>),
    /// The store opened, and the engine finds no device in it.
    #[error("the stolen store opened, but the engine finds no device in it: {0}")]
    Engine(#[from] regrow_engine::Error),
}

/// The keys that a thief without knowledge tries. They belong to applications that have no key.
fn guesses() -> [StoreKey; 2] {
    [StoreKey::from_bytes([0; 32]), StoreKey::from_passphrase("")]
}

/// Tries to open a copy of the files. [`None`] if there is a store and no guessed key opens it.
pub(super) fn break_in(
    files: &[StolenFile],
    crypto: &Arc<dyn CryptoProvider>,
    policy: &Policy,
) -> Result<Option<Snapshot>, BreakInError> {
    let folder = tempfile::tempdir()?;
    for file in files {
        fs::write(folder.path().join(&file.name), &*file.bytes)?;
    }
    let mut refused = false;
    let mut reasons = Vec::new();
    for file in files {
        for guess in guesses() {
            match SqliteStore::open(folder.path().join(&file.name), &guess, crypto.clone()) {
                Ok(store) => {
                    let device = Client::open(Arc::new(store), crypto.clone(), policy.clone())?;
                    return Ok(Some(device.snapshot()?));
                }
                Err(DiskError::WrongKey) => refused = true,
                Err(error) => reasons.push(error),
            }
        }
    }
    if refused { Ok(None) } else { Err(BreakInError::NoStore(reasons)) }
}
