//! The embedded store: SQLite, in a file or in memory.

use std::{
    ops::{ControlFlow, Range},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension as _};

use super::{Store, Table, Transaction, Visitor};
use crate::error::StoreError;

/// The format of the file, in SQLite's `user_version`. It changes when a table, a key or a record does.
const FORMAT: i64 = 1;

/// One prepared statement for each table and operation, with room to spare: none is ever prepared twice.
const CACHED_STATEMENTS: usize = 4 * Table::ALL.len() + 16;

/// A store in SQLite. One process owns the file: a second one is refused with [`StoreError::InUse`].
///
/// A file is written through a write-ahead log and synchronized with every transaction, so what was answered survives a
/// power failure.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Mutex<Connection>,
}

impl SqliteStore {
    /// Opens the store in the file at `path`, and creates it if it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::NewerFormat`] for a file of a later version, [`StoreError::InUse`] if another process has it open,
    /// [`StoreError::Backend`] if it is no SQLite file or cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::prepare(Connection::open(path).map_err(backend)?)
    }

    /// A store in memory, gone when it is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::Backend`] if SQLite cannot be started.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory().map_err(backend)?)
    }

    fn prepare(connection: Connection) -> Result<Self, StoreError> {
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        // Whoever has the file keeps it, so there is nothing to wait for.
        connection.busy_timeout(Duration::ZERO).map_err(backend)?;
        // Before the first access, so that the index of the write-ahead log is in our memory, not in a shared file.
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE;").map_err(backend)?;
        // Before anything is written: a file of a newer format stays as it is.
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(backend)?;
        if found > FORMAT {
            return Err(StoreError::NewerFormat { found, supported: FORMAT });
        }
        connection.execute_batch(&schema()).map_err(backend)?;
        Ok(Self { connection: Mutex::new(connection) })
    }
}

fn schema() -> String {
    let mut script = String::from("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE;");
    for table in Table::ALL {
        script += &format!(
            "CREATE TABLE IF NOT EXISTS {} (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;",
            table.name()
        );
    }
    script += &format!("PRAGMA user_version = {FORMAT}; COMMIT;");
    script
}

impl Store for SqliteStore {
    fn transaction<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        // A panic in an earlier transaction has rolled it back when its guard was dropped: the connection is sound.
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.unchecked_transaction().map_err(backend)?;
        let result = work(&mut SqliteTransaction { connection: &connection })?;
        transaction.commit().map_err(backend)?;
        Ok(result)
    }
}

struct SqliteTransaction<'a> {
    connection: &'a Connection,
}

impl SqliteTransaction<'_> {
    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        self.connection.prepare_cached(sql).map_err(backend)
    }
}

impl Transaction for SqliteTransaction<'_> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.statement(&format!("SELECT value FROM {} WHERE key = ?1", table.name()))?
            .query_row([key], |row| row.get(0))
            .optional()
            .map_err(backend)
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.statement(&format!("INSERT OR REPLACE INTO {} (key, value) VALUES (?1, ?2)", table.name()))?
            .execute([key, value])
            .map(drop)
            .map_err(backend)
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        self.statement(&format!("DELETE FROM {} WHERE key = ?1", table.name()))?
            .execute([key])
            .map(|deleted| deleted > 0)
            .map_err(backend)
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        let mut statement = self
            .statement(&format!("SELECT key, value FROM {} WHERE key >= ?1 AND key < ?2 ORDER BY key", table.name()))?;
        let mut rows = statement.query([range.start, range.end]).map_err(backend)?;
        while let Some(row) = rows.next().map_err(backend)? {
            let key = row.get_ref(0).map_err(backend)?.as_blob().map_err(|_| StoreError::Corrupt(table))?;
            let value = row.get_ref(1).map_err(backend)?.as_blob().map_err(|_| StoreError::Corrupt(table))?;
            if visit(key, value)? == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

fn backend(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse,
        _ => StoreError::Backend(Box::new(error)),
    }
}
