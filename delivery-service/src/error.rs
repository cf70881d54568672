//! What can go wrong on our side. What a client did wrong is an answer, not an error: see [`crate::Outcome`].

use std::{io, path::PathBuf};

use crate::store::Table;

/// The store failed. Nothing of the call has happened; the same call may be made again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file was written by a newer version of this software; an older one must not touch it.
    #[error("the store has format {found}, and this version knows formats up to {supported}")]
    NewerFormat {
        /// The format of the file.
        found: i64,
        /// The newest format that this version reads.
        supported: i64,
    },
    /// Another process has the store open. One service owns one store.
    #[error("the store is in use by another process")]
    InUse,
    /// The file was written by a version of this software from before its first release.
    #[error("the store has format {found}, which no release has written; make a new one")]
    OlderFormat {
        /// The format of the file.
        found: i64,
    },
    /// There is no such file.
    #[error("there is no store at {}", .path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is another program's.
    #[error("the file is no store of this software")]
    NotAStore,
    /// A file of the store cannot be created or opened.
    #[error("cannot open {}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The disk has no room for the transaction.
    #[error("the disk is full")]
    DiskFull,
    /// The file, or the disk that it is on, cannot be written.
    #[error("the store is read-only")]
    ReadOnly,
    /// The path does not lead to the file that is open: a write would be lost with that file.
    #[error("{} is gone, or is another file than the one in use", .path.display())]
    Replaced {
        /// The database, or its write-ahead log.
        path: PathBuf,
    },
    /// Another call of the same batch broke the transaction, and nothing of the batch has happened.
    #[error("the batch that the call was part of has failed")]
    BatchFailed,
    /// A record cannot be decoded, or contradicts another: the store is damaged, or was changed by something else.
    #[error("a record in table {} cannot be understood", .0.name())]
    Corrupt(Table),
    /// The database refused: disk full, I/O error, no permission, or whatever its message says.
    #[error("the store failed: {0}")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}
