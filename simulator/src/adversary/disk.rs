//! The thief of a storage without its key: it tries to open a copy of the files, and has what is in them if that works.
//!
//! Nothing is taken for granted: the attempt is made with the engine's own store, which has to find the file whole and
//! refuse the key. What the raw bytes say without any attempt to open them is not asked here.

use std::{collections::BTreeSet, fs, io, sync::Arc};

use regrow_engine::{Client, CryptoProvider, DiskError, Policy, Snapshot, SqliteStore, StoreKey};

use super::{Adversary, StolenFile, Traffic};

/// Somebody with a storage that does not open.
pub(super) struct LockedOut {
    nothing: BTreeSet<usize>,
}

impl LockedOut {
    pub(super) fn new() -> Self {
        Self { nothing: BTreeSet::new() }
    }
}

impl Adversary for LockedOut {
    fn observe(&mut self, _: &[Traffic]) -> Vec<Traffic> {
        Vec::new()
    }

    fn readable(&self) -> &BTreeSet<usize> {
        &self.nothing
    }
}

/// Stolen files could not even be tried.
#[derive(Debug, thiserror::Error)]
pub enum BreakInError {
    /// There was no place for the copy.
    #[error("the stolen files cannot be copied: {0}")]
    Copy(#[from] io::Error),
    /// None of them is a store that only lacks its key: so that it does not open says nothing.
    #[error("none of the stolen files is a whole store: {0:?}")]
    NoStore(Vec<DiskError>),
    /// The store opened, and the engine finds no device in it.
    #[error("the stolen store opened: {0}")]
    Engine(#[from] regrow_engine::Error),
}

/// The keys that somebody tries who knows nothing: those of an application that has none.
fn guesses() -> [StoreKey; 2] {
    [StoreKey::from_bytes([0; 32]), StoreKey::from_passphrase("")]
}

/// Tries to open a copy of the files. [`None`] if a store is there and no guess opens it.
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
