//! The store of the service's records: tables of ordered keys and values, changed in transactions.
//!
//! The store knows no groups and no epochs. The ordering and admission rules know the meaning of a
//! key. So a store is short, and another one (for example a server's database) is easy to write and
//! to trust.
//!
//! | module | contents |
//! | --- | --- |
//! | `table` | the tables, and the keys in each |
//! | `key` | how keys and records are encoded |
//! | `identity` | how devices are encoded in records |
//! | `sqlite` | the store in an SQLite file or in memory |
//! | `checkpoint` | the thread that moves the write-ahead log into the database |
//! | `backup` | a copy of a store that is in use |
//! | `postgres` | the store in a PostgreSQL database (feature `server`) |
//! | `moving` | the move from a file into a database (feature `server`) |
//! | `digest` | a digest of all records (feature `server`) |
//! | `batch` | a store within a transaction of another store |
//! | `changes` | the changes of a transaction in memory |
//! | `sqlite_error` | SQLite's errors as [`StoreError`] |

mod backup;
mod batch;
mod changes;
mod checkpoint;
#[cfg(feature = "server")]
pub(crate) mod digest;
pub(crate) mod identity;
pub(crate) mod key;
#[cfg(feature = "server")]
pub mod moving;
#[cfg(feature = "server")]
pub mod postgres;
mod sqlite;
mod sqlite_error;
pub(crate) mod table;

use std::ops::{ControlFlow, Range};

pub use self::{backup::BackupError, batch::Batch, sqlite::SqliteStore, table::Table};
use crate::error::StoreError;

/// The format of keys and records, which every store notes beside them. It changes when a table, a
/// key or a record does.
const FORMAT: i64 = 6;

/// A store whose records change in transactions. All changes of a transaction are kept, or none.
///
/// Transactions run one after the other. Each sees the changes of the ones before it.
pub trait Store {
    /// Runs `work` in one transaction. Its changes are durable when this returns `Ok`. After `Err`,
    /// from `work` or from the store, none of the changes has happened.
    ///
    /// # Errors
    ///
    /// The error of `work`, or the store's own failure.
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E>;

    /// Returns a number that stays the same until another user of the store changes it. Callers
    /// that have records in memory use the number. Changes through this value do not count. For a
    /// store that no other process can open, the number never changes.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn others_version(&self) -> Result<i64, StoreError> {
        Ok(0)
    }

    /// Checks that the store is still this process's, and that the next process that opens it will
    /// find the written records.
    ///
    /// # Errors
    ///
    /// [`StoreError::Replaced`] or [`StoreError::TakenOver`] if not. Otherwise the store's own
    /// failure.
    fn examine(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Gives back a little of the space of deleted records, if there is much of it. Returns true if
    /// there is more.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn shrink(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// The operations within one transaction. Each fails with [`StoreError`] if the store fails.
pub trait Transaction {
    /// Returns the value under `key`, if there is one.
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

    /// Deletes `key`. Returns true if it was there.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError>;

    /// Calls `visit` with every key in `range` and its value, in ascending order of the bytes,
    /// until `visit` breaks. A range that ends before it starts is empty.
    ///
    /// # Errors
    ///
    /// The store failed, or `visit` did.
    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError>;
}

/// The function that [`Transaction::scan`] calls with keys and values.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'a;
