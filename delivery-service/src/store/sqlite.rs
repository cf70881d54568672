//! The embedded store: SQLite, in a file or in memory.
//!
//! One process owns a file, and holds the lock file beside it meanwhile: the server. Other
//! processes open the file [beside](SqliteStore::open_beside) its owner for a moment, for an
//! invitation or a check, and wait for each other as SQLite does. The module `backup` copies files.

use std::{
    fs::{self, File, TryLockError},
    io,
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::sqlite_error::{backend, file_error};
use super::{
    FORMAT, Store, Table, Transaction, Visitor,
    checkpoint::{Checkpointer, checkpoint},
};
use crate::error::StoreError;

/// The value of SQLite's `application_id`: `RgDS`. It identifies stores of this software. In files
/// of other programs, `user_version` means something else.
const APPLICATION_ID: i64 = 0x5267_4453;

/// The `application_id` of a store that was moved into a database: `RgMv`.
const MOVED_APPLICATION_ID: i64 = 0x5267_4D76;

/// The number of cached statements: one for each table and operation, with room to spare, so that
/// none is prepared twice.
const CACHED_STATEMENTS: usize = 4 * Table::ALL.len() + 16;

/// The maximum time for which a transaction waits for another process's. Commands beside a server
/// take milliseconds. A process that takes longer than this is stuck.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The size to which the file of the write-ahead log shrinks when its content is in the database.
/// Up to this size it is overwritten, not truncated. A long reader makes it grow.
const WRITE_AHEAD_BYTES: u32 = 64 * 1024 * 1024;

/// The number of pages in the write-ahead log at which the writer moves all of them itself. It is
/// as large as the size to which the file shrinks. The [`Checkpointer`] keeps the number lower,
/// unless it cannot keep up.
const WRITE_AHEAD_PAGES: u32 = WRITE_AHEAD_BYTES / 4_096;

/// The memory for pages of the file. A commit reads and writes in ten tables. With SQLite's default
/// of 2 MB, a few hundred groups would each be read from the disk's cache again.
const CACHE_KIBIBYTES: u32 = 64 * 1024;

/// A store in SQLite.
///
/// A file is written through a write-ahead log and synchronized with every transaction, so that
/// each answer of the service survives a power failure. The file must be on a disk of this machine:
/// SQLite's write-ahead log does not work over a network.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` for a command that does one thing and ends, and for a store in memory.
    checkpointer: Option<Checkpointer>,
    connection: Connection,
    /// The locks of the owner, held until the connection is closed: fields are dropped in this
    /// order.
    owner: Option<Owner>,
}

/// The locks and files of a file's owner.
#[derive(Debug)]
struct Owner {
    _lock: File,
    _database: Arc<File>,
    files: OwnedFiles,
}

/// The files that the owner writes, by device and inode: the database and its write-ahead log,
/// which exists while the owner is connected. A process that has a moved or deleted file open can
/// still use it, but no later process can.
#[derive(Debug)]
struct OwnedFiles(Vec<(PathBuf, (u64, u64))>);

impl OwnedFiles {
    fn of(path: &Path) -> Result<Self, StoreError> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let known = [path.to_owned(), PathBuf::from(log)].map(|path| match identity(&path) {
            Ok(identity) => Ok((path, identity)),
            Err(error) => Err(file_error(&path, error)),
        });
        known.into_iter().collect::<Result<_, _>>().map(Self)
    }

    fn are_in_place(&self) -> Result<(), StoreError> {
        for (path, known) in &self.0 {
            if identity(path).ok() != Some(*known) {
                return Err(StoreError::Replaced { path: path.clone() });
            }
        }
        Ok(())
    }
}

/// Returns the device and the inode of a file. Outside Unix, only says that the file is there.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    #[cfg(unix)]
    return Ok((std::os::unix::fs::MetadataExt::dev(&metadata), std::os::unix::fs::MetadataExt::ino(&metadata)));
    #[cfg(not(unix))]
    Ok((0, u64::from(metadata.is_file())))
}

/// The maximum number of free pages in a file of any size before it shrinks. Free pages are used
/// again, and a file that shrinks and grows all the time is written twice. A large file may have a
/// quarter of its pages free.
const FREE_PAGES: i64 = 4_096;

/// The maximum number of pages that one transaction of [`Store::shrink`] gives back. It takes a few
/// milliseconds.
const SHRINK_PAGES: u32 = 256;

impl SqliteStore {
    /// Opens the store in the file at `path` as its owner. Creates the file if it is not there, so
    /// that only this user can read it. The owner holds a lock on `path` with `.lock` after it. The
    /// system releases the lock when the process ends, also after a crash. The lock file stays, and
    /// its content means nothing.
    ///
    /// # Errors
    ///
    /// - [`StoreError::InUse`] if the file has an owner.
    /// - [`StoreError::NewerFormat`] or [`StoreError::OlderFormat`] for a file of another version.
    /// - [`StoreError::NotAStore`] for a file of another program.
    /// - [`StoreError::Backend`] if it is no SQLite file or cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let lock = lock_store(path)?;
        create_private(path).map_err(|error| file_error(path, error))?;
        // SQLite follows symbolic links, and keeps its write-ahead log beside the file itself.
        let path = &fs::canonicalize(path).map_err(|error| file_error(path, error))?;
        let database = Arc::new(File::open(path).map_err(|error| file_error(path, error))?);
        lock_database(path, &database)?;
        let connection = Connection::open(path).map_err(backend)?;
        let mut store = Self { checkpointer: None, connection, owner: None };
        store.prepare()?;
        let files = OwnedFiles::of(path)?;
        store.owner = Some(Owner { _lock: lock, _database: Arc::clone(&database), files });
        store.checkpointer = Some(Checkpointer::start(path, database)?);
        Ok(store)
    }

    /// Opens an existing store beside its owner, if it has one. It is for commands, which do one
    /// thing and end. The owner sees by its [`data_version`](Self::data_version) that the file has
    /// changed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] if there is no such file. Otherwise the same as
    /// [`open`](Self::open), but never [`StoreError::InUse`].
    pub fn open_beside(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        match Self::open_existing(path.as_ref())? {
            (store, false) => Ok(store),
            (_, true) => Err(StoreError::Moved),
        }
    }

    /// Opens an existing store with the locks of its owner. Returns the store, true if it was moved
    /// already, and the locks.
    #[cfg(feature = "server")]
    pub(super) fn open_to_move(path: &Path) -> Result<(Self, bool, [File; 2]), StoreError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Missing { path: path.to_owned() },
            _ => file_error(path, error),
        })?;
        let lock = lock_store(path)?;
        lock_database(path, &file)?;
        let (store, is_moved) = Self::open_existing(path)?;
        Ok((store, is_moved, [lock, file]))
    }

    /// Opens an existing store, and returns true with it if it was moved.
    fn open_existing(path: &Path) -> Result<(Self, bool), StoreError> {
        if !path.try_exists().map_err(|error| file_error(path, error))? {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        let flags = OpenFlags::default() - OpenFlags::SQLITE_OPEN_CREATE;
        let connection = Connection::open_with_flags(path, flags).map_err(backend)?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        connection.busy_timeout(BUSY_TIMEOUT).map_err(backend)?;
        let is_moved = match is_store(&connection) {
            Ok(true) => false,
            Ok(false) => return Err(StoreError::NotAStore),
            Err(StoreError::Moved) => true,
            Err(error) => return Err(error),
        };
        connection.execute_batch("PRAGMA synchronous = FULL;").map_err(backend)?;
        Ok((Self { checkpointer: None, connection, owner: None }, is_moved))
    }

    /// Runs `work`, during which nobody changes the store, and then marks the store as moved. After
    /// an error of `work`, there is no mark.
    #[cfg(feature = "server")]
    pub(super) fn mark_moved<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(backend)?;
        let result = work(&mut SqliteTransaction { connection: &transaction })?;
        let mark = format!("PRAGMA application_id = {MOVED_APPLICATION_ID}");
        transaction.execute_batch(&mark).and_then(|()| transaction.commit()).map_err(backend)?;
        Ok(result)
    }

    /// Opens a store in memory, which ends when it is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::Backend`] if SQLite cannot be started.
    pub fn in_memory() -> Result<Self, StoreError> {
        let connection = Connection::open_in_memory().map_err(backend)?;
        let mut store = Self { checkpointer: None, connection, owner: None };
        store.prepare()?;
        Ok(store)
    }

    fn prepare(&mut self) -> Result<(), StoreError> {
        self.connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        self.connection.busy_timeout(BUSY_TIMEOUT).map_err(backend)?;
        // SQLite copies the pages that a failed statement would restore: to memory, and not to a
        // file.
        let memory = format!("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{CACHE_KIBIBYTES};");
        self.connection.execute_batch(&memory).map_err(backend)?;
        // This check comes before the first write: a file of another program or of a newer format
        // stays unchanged.
        let exists = is_store(&self.connection)?;
        if !exists {
            // The pragma has no effect when the file already has a page, so it comes first.
            self.connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;").map_err(backend)?;
        }
        self.connection.execute_batch(&schema()).map_err(backend)
    }

    /// Returns a number that stays the same until another process changes the file. Changes by this
    /// process do not change it.
    ///
    /// A server that has records in memory (sessions, devices) reads the number with every batch,
    /// which costs a look into shared memory. If the number has changed, it loads the records
    /// again. Then another process has written to the file: `invite`, `remove-device`, or another
    /// program.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        self.connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(backend)
    }

    /// Gives up to `pages` of the file's free pages back to the file system, and returns the number
    /// of free pages that are left. A caller calls it from time to time until it returns zero. Each
    /// call is one short transaction.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn vacuum(&mut self, pages: u32) -> Result<u64, StoreError> {
        let free = |connection: &Connection| -> rusqlite::Result<i64> {
            connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))
        };
        let work = || {
            if free(&self.connection)? > 0 {
                // Each step of the statement frees one page.
                let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
                let mut rows = statement.query([])?;
                while rows.next()?.is_some() {}
            }
            free(&self.connection)
        };
        work().map(|left| u64::try_from(left).unwrap_or(0)).map_err(backend)
    }

    /// Runs `work` on the store as it is now, without blocking writers. The changes of `work` are
    /// undone.
    ///
    /// # Errors
    ///
    /// The error of `work`, or the store's own failure.
    pub fn snapshot<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        // The transaction is rolled back when it is dropped.
        let transaction = self.connection.transaction().map_err(backend)?;
        work(&mut SqliteTransaction { connection: &transaction })
    }

    /// Returns the faults that SQLite finds in the file, in SQLite's words. A good file has none.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn integrity_check(&self) -> Result<Vec<String>, StoreError> {
        let work = || {
            let mut statement = self.connection.prepare("PRAGMA integrity_check")?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
            lines.collect::<Result<Vec<_>, _>>()
        };
        let lines = match work() {
            Ok(lines) => lines,
            // The file is too damaged for the check itself.
            Err(error) if is_damage(&error) => vec![error.to_string()],
            Err(error) => return Err(backend(error)),
        };
        Ok(if lines == ["ok"] { Vec::new() } else { lines })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// Takes the lock of the owner of the file at `path`.
fn lock_store(path: &Path) -> Result<File, StoreError> {
    // One file with two names has one owner.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut lock = path.into_os_string();
    lock.push(".lock");
    let lock = PathBuf::from(lock);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock)
        .map_err(|error| file_error(&lock, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(file_error(&lock, error)),
    }
}

/// Locks the database file itself, which may have other names: a hard link, or a mount. SQLite
/// locks ranges of bytes there (`fcntl`), which this lock (`flock`) neither blocks nor sees.
/// Systems other than Linux do not separate the two kinds of locks; there, the lock beside the file
/// must be enough.
fn lock_database(path: &Path, database: &File) -> Result<(), StoreError> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    match database.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(file_error(path, error)),
    }
}

/// Creates an empty file that only this user can read, if there is none. The file will have the
/// service's signing key. SQLite gives the files beside it the same permissions.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Returns true if the file has a store of this format, and false if the file is empty. Fails with
/// [`StoreError::Moved`] for a store of this format that was moved.
fn is_store(connection: &Connection) -> Result<bool, StoreError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(backend);
    let found = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    if ![APPLICATION_ID, MOVED_APPLICATION_ID].contains(&application) {
        let is_empty = found == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0;
        return if is_empty { Ok(false) } else { Err(StoreError::NotAStore) };
    }
    match found {
        FORMAT if application == MOVED_APPLICATION_ID => Err(StoreError::Moved),
        FORMAT => Ok(true),
        found if found > FORMAT => Err(StoreError::NewerFormat { found, supported: FORMAT }),
        found => Err(StoreError::OlderFormat { found }),
    }
}

fn schema() -> String {
    let mut script = format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = {WRITE_AHEAD_BYTES};
         PRAGMA wal_autocheckpoint = {WRITE_AHEAD_PAGES};
         BEGIN IMMEDIATE;"
    );
    for table in Table::ALL {
        script += &format!(
            "CREATE TABLE IF NOT EXISTS {} (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;",
            table.name()
        );
    }
    script += &format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;");
    script
}

impl Store for SqliteStore {
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        // The transaction is immediate: one that has read before another process wrote could not
        // write any more. An error or a panic drops it, which rolls it back.
        let changes = self.connection.total_changes();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(backend)?;
        let result = work(&mut SqliteTransaction { connection: &transaction })?;
        let has_written = transaction.total_changes() != changes;
        if let Some(owner) = self.owner.as_ref().filter(|_| has_written) {
            owner.files.are_in_place()?;
        }
        transaction.commit().map_err(backend)?;
        if has_written && self.checkpointer.as_ref().is_some_and(Checkpointer::written) {
            // The transaction is already durable. If this fails, the next writer gets an error.
            let _ = checkpoint(&self.connection);
        }
        Ok(result)
    }

    fn others_version(&self) -> Result<i64, StoreError> {
        self.data_version()
    }

    fn examine(&mut self) -> Result<(), StoreError> {
        self.owner.as_ref().map_or(Ok(()), |owner| owner.files.are_in_place())
    }

    fn shrink(&mut self) -> Result<bool, StoreError> {
        let pages = |sql| self.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(backend);
        let (free, all) = (pages("PRAGMA freelist_count")?, pages("PRAGMA page_count")?);
        if free <= FREE_PAGES || free <= all / 4 {
            return Ok(false);
        }
        self.vacuum(SHRINK_PAGES).map(|_| true)
    }
}

struct SqliteTransaction<'a> {
    connection: &'a Connection,
}

impl SqliteTransaction<'_> {
    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        // After some errors SQLite rolls the transaction back by itself. Later changes would then
        // be durable one by one.
        if self.connection.is_autocommit() {
            return Err(StoreError::Backend("an earlier error has ended the transaction".into()));
        }
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

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_after_the_end_of_the_transaction() {
        let connection = SqliteStore::in_memory().unwrap().connection;
        connection.execute_batch("BEGIN").unwrap();
        let mut tx = SqliteTransaction { connection: &connection };
        tx.put(Table::Log, b"key", b"before").unwrap();
        connection.execute_batch("ROLLBACK").unwrap();
        assert!(tx.put(Table::Log, b"key", b"after").is_err());
        assert!(tx.delete(Table::Log, b"key").is_err());
    }
}
