//! The storage of a device's state. The caller supplies a small key-value store, and this module
//! implements OpenMLS's storage trait on top of it.
//!
//! A call of the engine reads records, collects its writes in a [`Transaction`], and applies them
//! as one [`Batch`] at its end. Therefore the store contains either all changes of a call or none
//! of them. The order of OpenMLS's writes has no influence on that.

pub(crate) mod encoding;
mod key;
mod memory;
mod openmls;
mod sqlite;
mod tenancy;
mod transaction;

use std::{collections::BTreeMap, sync::Arc};

use zeroize::Zeroizing;

pub use memory::MemoryStore;
pub use sqlite::{DiskError, SqliteStore};
pub use tenancy::Tenancy;

pub use crate::seal::StoreKey;

pub(crate) use key::{RecordKind, RecordScope};
pub(crate) use tenancy::Tenure;
pub(crate) use transaction::Transaction;

/// The value of a record. The value may be a secret, so its memory is erased when it is dropped.
pub type Value = Zeroizing<Vec<u8>>;

/// A key-value store with atomic batches. The engine needs nothing else from a disk.
///
/// Keys are ordered byte strings. A batch that [`apply`](Self::apply) has accepted must survive a
/// crash, as a whole or not at all. Deleted and overwritten values must not be readable
/// afterwards. One store belongs to one device, and only one [`Client`](crate::Client) uses it at
/// a time.
pub trait Store: Send + Sync {
    /// Returns the value under `key`, or `None` if the store has no record under it.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError>;

    /// Returns all keys that begin with `prefix`, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Writes the whole batch, or no part of it.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was written.
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;

    /// Returns the [`Tenancy`] of this store, which all handles of the store share.
    ///
    /// The default implementation returns `None`. Then the caller must make sure that only one
    /// client uses the store.
    fn tenancy(&self) -> Option<&Tenancy> {
        None
    }

    /// Returns the lock of this store, if the store can be locked. The default implementation
    /// returns `None`.
    fn as_lock(&self) -> Option<&dyn Lock> {
        None
    }
}

/// A store that can give up its key for some time: see [`Client::lock`](crate::Client::lock).
///
/// While the store is locked, every call of [`Store`] fails with [`StoreError::Locked`]. The store
/// still belongs to its device.
pub trait Lock {
    /// Erases the keys and the record names from memory. If the store is already locked, this call
    /// does nothing.
    fn lock(&self);

    /// Takes the key, and the store can be used again. A store that is not locked stays unlocked,
    /// even if the key is wrong.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`]: the store is unchanged, and the caller can try another key.
    /// [`StoreError::Failed`].
    fn unlock(&self, key: &StoreKey) -> Result<(), StoreError>;
}

/// Writes and deletions that the store applies together.
#[derive(Default)]
pub struct Batch {
    changes: BTreeMap<Vec<u8>, Option<Value>>,
}

impl Batch {
    /// Sets the record under `key`.
    pub fn put(&mut self, key: Vec<u8>, value: Value) {
        self.changes.insert(key, Some(value));
    }

    /// Deletes the record under `key`; it need not exist.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    /// True if the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns the changes in the order of their keys: a new value, or `None` for a deletion.
    pub fn into_changes(self) -> impl Iterator<Item = (Vec<u8>, Option<Value>)> {
        self.changes.into_iter()
    }

    fn extend(&mut self, later: Self) {
        self.changes.extend(later.changes);
    }

    fn change(&self, key: &[u8]) -> Option<Option<&Value>> {
        self.changes.get(key).map(Option::as_ref)
    }

    fn changes_from<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Vec<u8>, bool)> {
        self.changes
            .range(prefix.to_vec()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key, value.is_some()))
    }
}

/// The store failed. The engine call that used the store has changed nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// An operation of the store failed.
    #[error("the store failed to {action}: {source}")]
    Failed {
        /// The attempted operation, as a verb: "read a record".
        action: &'static str,
        /// The implementation's error.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The store is [locked](Lock::lock).
    #[error("the store is locked")]
    Locked,
    /// The key or the passphrase does not [unlock](Lock::unlock) the store.
    #[error("the key does not open the store")]
    WrongKey,
}

impl StoreError {
    /// Creates the error for a failed `action` (a verb: "read a record") with its cause.
    pub fn new(action: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed { action, source: Arc::from(source.into()) }
    }
}

/// A record could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// The store failed. Nothing has changed. Repeat the call once the cause is removed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value could not be encoded. This is an error in the engine.
    #[error("the record `{record}` cannot be encoded: {detail}")]
    Encode {
        /// The kind of record.
        record: &'static str,
        /// The codec's error.
        detail: String,
    },
    /// A record's content is not the content that the engine wrote: the store is damaged. The
    /// device must rejoin the group.
    #[error("the record `{record}` is damaged: {detail}")]
    Damaged {
        /// The kind of record.
        record: &'static str,
        /// The codec's error.
        detail: String,
    },
}
