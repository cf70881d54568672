//! Where a device's state lives: a small key-value store that the caller supplies, and OpenMLS's storage on top of it.
//!
//! A call of the engine reads what it needs, gathers what it writes in a [`Transaction`], and applies it as one
//! [`Batch`] at its end. So a call has happened in the store or it has not, whatever OpenMLS wrote in which order.

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

pub(crate) use key::{Kind, Scope};
pub(crate) use tenancy::Tenure;
pub(crate) use transaction::Transaction;

/// A record's value. It may be a secret, so it is erased from memory when it is dropped.
pub type Value = Zeroizing<Vec<u8>>;

/// A key-value store with atomic batches: all that the engine asks of a disk.
///
/// Keys are ordered byte strings. What `apply` has accepted must survive a crash, all of it or none of it, and what it
/// has deleted or overwritten must not be readable afterwards. One store belongs to one device and to one
/// [`Client`](crate::Client) at a time.
pub trait Store: Send + Sync {
    /// The value under `key`, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError>;

    /// All keys that begin with `prefix`, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Writes the whole batch, or nothing of it.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was written.
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;

    /// The succession of the clients over this store, which all handles of the store share. By default there is none, and the
    /// caller sees to it that only one client uses the store.
    fn tenancy(&self) -> Option<&Tenancy> {
        None
    }

    /// What locks this store, if it can be locked. By default it cannot.
    fn as_lock(&self) -> Option<&dyn Lock> {
        None
    }
}

/// A store that can be without its key for a while: see [`Client::lock`](crate::Client::lock).
///
/// While it is locked every call of [`Store`] fails with [`StoreError::Locked`], and the store belongs to its device as
/// before.
pub trait Lock {
    /// Erases from memory what reads and writes the records: keys, and the records' names. Nothing happens if it is
    /// locked.
    fn lock(&self);

    /// Takes the key and goes on. A store that is not locked stays so, whatever the key.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`]: nothing has changed, and another key can be tried. [`StoreError::Failed`].
    fn unlock(&self, key: &StoreKey) -> Result<(), StoreError>;
}

/// Writes and deletions that happen together.
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

    /// Whether the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes in the order of their keys: a new value, or `None` for a deletion.
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

/// The store failed; nothing of the call that needed it has happened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store could not do what was asked.
    #[error("the store failed to {action}: {source}")]
    Failed {
        /// What was attempted, as a verb: "read a record".
        action: &'static str,
        /// What the implementation says.
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
    /// A failure to do `action` (a verb: "read a record"), for this reason.
    pub fn new(action: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed { action, source: Arc::from(source.into()) }
    }
}

/// A record could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// The store failed. Nothing has changed; the call can be made again once the cause is gone.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value could not be encoded: an error in the engine.
    #[error("the record `{record}` cannot be encoded: {detail}")]
    Encode {
        /// The kind of record.
        record: &'static str,
        /// What the codec says.
        detail: String,
    },
    /// A record is not what was written there: the store is damaged. The group has to be rejoined.
    #[error("the record `{record}` is damaged: {detail}")]
    Damaged {
        /// The kind of record.
        record: &'static str,
        /// What the codec says.
        detail: String,
    },
}
