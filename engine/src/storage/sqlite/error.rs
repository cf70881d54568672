//! The errors of a store's file, and their remedies.

use std::{
    io,
    path::{Path, PathBuf},
};

use openmls_traits::types::CryptoError;
use rusqlite::ErrorCode;

use crate::{seal::SealError, storage::StoreError};

/// A store's file cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The file already contains a store. Open it, or choose another path.
    #[error("{path} already contains a store; open it or choose another path")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file does not exist or contains no store. Create the store.
    #[error("there is no store in {path}; create it first")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a store, or its first page is damaged. Check the path, restore the file, or
    /// create a new store.
    #[error("{path} is not a store of this engine")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this engine wrote the file. Use that version. The file is unchanged.
    #[error("the store has format {found}, but this version supports formats up to {supported}; use a newer version")]
    NewerFormat {
        /// The file's format.
        found: usize,
        /// The newest format that this version supports.
        supported: usize,
    },
    /// Another process, or another part of this one, has the file open. A device must run only
    /// once.
    #[error("{path} is already in use by this or another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is sealed under another key or passphrase.
    #[error("the key does not open the store")]
    WrongKey,
    /// The store is [locked](crate::Lock::lock). Unlock it first.
    #[error("the store is locked")]
    Locked,
    /// The file is sealed under a key and the caller gave a passphrase, or the reverse.
    #[error("the store is sealed under {protection}, but the caller gave the other kind of secret")]
    OtherProtection {
        /// The kind of secret that seals the file.
        protection: &'static str,
    },
    /// The file's content has changed since it was written: the disk has failed, or somebody has
    /// changed the file. The damaged part cannot be read. Create a new device, which then must
    /// rejoin its groups.
    #[error("the store is damaged: {what}")]
    Damaged {
        /// The part of the file that cannot be read.
        what: String,
    },
    /// The file could not be created or accessed.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// SQLite failed, for example because the disk is full or missing. The call has changed
    /// nothing and can be repeated.
    #[error("SQLite failed: {0}")]
    Sqlite(#[source] rusqlite::Error),
    /// The cryptography or the randomness failed.
    #[error("cryptography failed: {0}")]
    Crypto(CryptoError),
    /// Another thread panicked while it used the store. Open the store again.
    #[error("another thread panicked while it used the store; open it again")]
    Poisoned,
}

impl DiskError {
    /// Adds the file's `path` to the error, because SQLite does not report it.
    pub(super) fn at(self, path: &Path) -> Self {
        match self {
            Self::InUse { .. } => Self::InUse { path: path.to_owned() },
            Self::NotAStore { .. } => Self::NotAStore { path: path.to_owned() },
            other => other,
        }
    }

    /// Converts the error into a [`StoreError`] of the failed `action`.
    pub(super) fn during(self, action: &'static str) -> StoreError {
        match self {
            Self::Locked => StoreError::Locked,
            Self::WrongKey => StoreError::WrongKey,
            other => StoreError::new(action, other),
        }
    }
}

impl From<SealError> for DiskError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::WrongKey => Self::WrongKey,
            SealError::OtherProtection { protection } => Self::OtherProtection { protection },
            SealError::Damaged { what } => Self::Damaged { what: what.into() },
            SealError::Crypto(error) => Self::Crypto(error),
        }
    }
}

impl From<rusqlite::Error> for DiskError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path: PathBuf::new() },
            Some(ErrorCode::NotADatabase) => Self::NotAStore { path: PathBuf::new() },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { what: error.to_string() },
            // The file contains a value of an unexpected type.
            None => Self::Damaged { what: error.to_string() },
            Some(_) => Self::Sqlite(error),
        }
    }
}
