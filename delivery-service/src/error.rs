//! The errors of the store. A mistake of a client is an answer, not an error: see
//! [`crate::Outcome`].

use std::{io, path::PathBuf};

use crate::store::table::Table;

/// The store failed. Nothing of the call has happened, except perhaps after
/// [`Undetermined`](Self::Undetermined). The caller may repeat the call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A newer version of this software has written the file. An older version must not change it.
    #[error("the store has format {found}, but this version supports formats up to {supported}")]
    NewerFormat {
        /// The format of the file.
        found: i64,
        /// The newest format that this version reads.
        supported: i64,
    },
    /// Another process has the store open. One service owns one store.
    #[error("the store is in use by another process")]
    InUse,
    /// A version of this software from before its first release has written the file.
    #[error("the store has format {found}, which no release has written")]
    OlderFormat {
        /// The format of the file.
        found: i64,
    },
    /// The file does not exist.
    #[error("there is no store at {}", .path.display())]
    Missing {
        /// The path of the missing file.
        path: PathBuf,
    },
    /// The database has no tables of this software.
    #[error("the database has no store")]
    Empty,
    /// The database cannot be reached, or serves nobody at the moment.
    #[error("the database cannot be used now: {0}")]
    Away(String),
    /// Another server has taken the store, and owns it now.
    #[error("another server has taken the store")]
    TakenOver,
    /// The database has an older state than this process has written: it was restored, or a standby
    /// without the last transactions has replaced it.
    #[error("the database has lost transactions that it had confirmed")]
    WentBack,
    /// The connection was lost during the commit, and the store cannot find out any more if the
    /// call has happened. The caller may repeat it.
    #[error("the connection was lost during the commit, so that the changes may have happened or not")]
    Undetermined,
    /// The store was moved from the file into a database, which has all later records.
    #[error("the store was moved into a database")]
    Moved,
    /// A move into the database was interrupted. The records are not complete.
    #[error("the database has a store whose move was not finished")]
    Unfinished,
    /// The database has a complete store, into which nothing can be moved.
    #[error("the database has a store already")]
    NotEmpty,
    /// The file belongs to another program.
    #[error("the file is not a store of this software")]
    NotAStore,
    /// A file of the store cannot be created or opened.
    #[error("cannot open {}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The disk has no space for the transaction.
    #[error("the disk is full")]
    DiskFull,
    /// The file or its disk cannot be written.
    #[error("the store is read-only")]
    ReadOnly,
    /// The path does not lead to the open file any more. A write would be lost with the open file.
    #[error("{} was deleted or replaced while the store was open", .path.display())]
    Replaced {
        /// The database, or its write-ahead log.
        path: PathBuf,
    },
    /// A record cannot be decoded, or contradicts another record. The store is damaged, or another
    /// program has changed it.
    #[error("a record in table {} cannot be decoded, or contradicts another record", .0.name())]
    Corrupt(Table),
    /// The database failed, for example with an I/O error or without permission. Its message gives
    /// the reason.
    #[error("the store failed: {0}")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}
