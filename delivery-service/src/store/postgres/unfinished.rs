//! A store in a database into which the records of another store are moved.

use super::{PostgresAddress, PostgresStore, database_error::store_error, schema};
use crate::{
    check::{self, Finding},
    error::StoreError,
    store::{Store as _, Table, Transaction, digest::RecordsDigest},
};

/// A record of a table: its key and its value.
pub(crate) type TableRecord = (Table, Vec<u8>, Vec<u8>);

/// A store in a database whose records are not complete yet.
///
/// No server and no command opens the store before the end of the move. A move that was
/// interrupted can begin again.
pub struct UnfinishedStore(PostgresStore);

impl UnfinishedStore {
    /// Opens the store of an interrupted move, or creates a new one.
    ///
    /// # Errors
    ///
    /// - [`StoreError::NotEmpty`] if the database has a complete store.
    /// - [`StoreError::Away`] if the database cannot be reached, or refuses the login.
    /// - [`StoreError::Backend`] if the database refuses a statement, for example without a
    ///   privilege.
    pub fn open(address: PostgresAddress) -> Result<Self, StoreError> {
        PostgresStore::open_unfinished(address).map(Self)
    }

    /// Deletes all records.
    pub(crate) fn clear(&mut self) -> Result<(), StoreError> {
        let deleted = self.0.session()?.session().execute("DELETE FROM regrow_records");
        deleted.map_err(|error| store_error(&error))
    }

    /// Writes records in one transaction.
    pub(crate) fn put(&mut self, records: &[TableRecord]) -> Result<(), StoreError> {
        self.0.transaction(|tx| records.iter().try_for_each(|(table, key, value)| tx.put(*table, key, value)))
    }

    /// Digests all records.
    pub(crate) fn digest(&mut self) -> Result<RecordsDigest, StoreError> {
        self.0.snapshot(|tx: &mut dyn Transaction| RecordsDigest::of(tx))
    }

    /// Checks all records.
    pub(crate) fn check(&mut self) -> Result<Vec<Finding>, StoreError> {
        self.0.snapshot(check::check)
    }

    /// Makes a complete store of the moved records.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        schema::finish(self.0.session()?.session())
    }
}
