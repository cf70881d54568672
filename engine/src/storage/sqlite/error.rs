//! What can be wrong with a store's file, and what can be done about it.

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
    /// There is a store already. Open it, or choose another place.
    #[error("there is a store in {path} already")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is no store. Create it.
    #[error("there is no store in {path}")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else, or its first page is damaged. Look at the path; restore or make anew.
    #[error("{path} is not a store of this engine")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version of this engine. Use that version; nothing was changed.
    #[error("the store is of format {found}, and this version knows formats up to {supported}")]
    NewerFormat {
        /// The file's format.
        found: usize,
        /// The newest that this version knows.
        supported: usize,
    },
    /// Another process, or another part of this one, has the file open. A device runs once.
    #[error("{path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The key or the passphrase is not the one that the file is sealed under.
    #[error("the key does not open the store")]
    WrongKey,
    /// The store is [locked](crate::Lock::lock). Unlock it first.
    #[error("the store is locked")]
    Locked,
    /// The file is sealed under a key and a passphrase was given, or the other way round.
    #[error("the store is sealed under {protection}, and something else was given")]
    OtherProtection {
        /// What it is sealed under.
        protection: &'static str,
    },
    /// Something in the file is not what was written there: the disk has failed, or somebody has changed it. What is
    /// damaged cannot be read; the device has to be made anew and to rejoin its groups.
    #[error("the store is damaged: {what}")]
    Damaged {
        /// What cannot be read.
        what: String,
    },
    /// The file could not be created or looked at.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// SQLite failed: the disk is full, or gone. The call has not happened and can be made again.
    #[error("SQLite failed: {0}")]
    Sqlite(#[source] rusqlite::Error),
    /// The cryptography or the randomness failed.
    #[error("cryptography failed: {0}")]
    Crypto(CryptoError),
    /// Another thread panicked while it was using the store. Open it again.
    #[error("another thread panicked while it was using the store")]
    Poisoned,
}

impl DiskError {
    /// The same, about the file at `path`: SQLite does not say which it is.
    pub(super) fn at(self, path: &Path) -> Self {
        match self {
            Self::InUse { .. } => Self::InUse { path: path.to_owned() },
            Self::NotAStore { .. } => Self::NotAStore { path: path.to_owned() },
            other => other,
        }
    }

    /// The store's failure to do `action`, for this reason.
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
            // Something else stands there than what we write.
            None => Self::Damaged { what: error.to_string() },
            Some(_) => Self::Sqlite(error),
        }
    }
}
