//! Where the service's records are kept: a few tables of ordered keys and values, changed in transactions.
//!
//! The store knows nothing of groups or epochs. All rules, and what a key means, are in the modules that order; so a
//! store is short, and another one (a server's database) is easy to write and to trust.

mod backup;
mod batch;
mod checkpoint;
pub(crate) mod identity;
pub(crate) mod key;
mod sqlite;
mod sqlite_error;
mod table;

use std::ops::{ControlFlow, Range};

pub use self::{backup::BackupError, batch::Batch, sqlite::SqliteStore, table::Table};
use crate::error::StoreError;

/// A store whose records change in transactions: all of one's changes are kept, or none.
///
/// Transactions are one after the other: each sees what those before it did.
pub trait Store {
    /// Runs `work` in one transaction. Its changes are durable when this returns `Ok`; after `Err`, whether from `work`
    /// or from the store, none of them has happened.
    ///
    /// # Errors
    ///
    /// What `work` returned, or the store's own failure.
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E>;

    /// A number that stays the same until somebody else changes the store, for those who keep in memory what is stored.
    /// What is changed through this value does not count. It never changes for a store that is nobody else's to open.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn others_version(&self) -> Result<i64, StoreError> {
        Ok(0)
    }

    /// Looks whether what is written is still there for whoever opens the store next.
    ///
    /// # Errors
    ///
    /// [`StoreError::Replaced`] if not.
    fn examine(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Gives back a little of the room that deleted records took, if there is much of it. Returns whether there is more.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn shrink(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// What can be done within one transaction. Each call fails with [`StoreError`] if the store does.
pub trait Transaction {
    /// The value under `key`, if there is one.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Sets the value under `key`.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Deletes `key`. Returns whether it was there.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError>;

    /// Shows every key in `range`, in ascending order of bytes, with its value, until `visit` breaks off. A range that
    /// ends before it starts is empty.
    ///
    /// # Errors
    ///
    /// The store failed, or `visit` did.
    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError>;

    /// Runs `work` as a part of this transaction. Unless it says [`Keep::Yes`], what it changed is undone, and
    /// only that; so it is if it panics, and the panic goes on.
    ///
    /// # Errors
    ///
    /// The store could not begin or end the part. The whole transaction has to fail then.
    fn part(&mut self, work: &mut Part<'_>) -> Result<Keep, StoreError>;
}

/// What [`Transaction::part`] runs.
pub type Part<'a> = dyn FnMut(&mut dyn Transaction) -> Keep + 'a;

/// Whether the changes of a part of a transaction are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// As far as the transaction is.
    Yes,
    /// No: they are undone.
    No,
}

/// What [`Transaction::scan`] shows keys and values to.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'a;
