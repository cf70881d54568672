//! What can go wrong on our side. What a client did wrong is an answer, not an error: see [`crate::Outcome`].

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
    /// A record cannot be decoded, or contradicts another: the store is damaged, or was changed by something else.
    #[error("a record in table {} cannot be understood", .0.name())]
    Corrupt(Table),
    /// The database refused: disk full, I/O error, no permission, or whatever its message says.
    #[error("the store failed: {0}")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}
