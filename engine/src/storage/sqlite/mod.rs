//! A store in a SQLite file. All records are sealed, deleted data is erased, and the amount of
//! written data depends on the size of the change.
//!
//! Each [`apply`](Store::apply) is one transaction, which is synchronized to disk before the call
//! returns. Then the write-ahead log is emptied, so no file contains deleted or overwritten data.

mod error;
mod pages;

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, TransactionBehavior, params};
use zeroize::{Zeroize as _, Zeroizing};

pub use error::DiskError;

use self::pages::PageStore;
use super::{Batch, Lock, Store, StoreError, StoreKey, Tenancy, Value};
use crate::{
    layer::{Layered, SharedCrypto},
    provider::CryptoProvider,
    seal::Sealer,
};

/// The mark of a store's file in SQLite's `application_id`: "Rgrw".
const APPLICATION: i32 = 0x5267_7277;

/// The migration steps to the current file format.
///
/// The step at index n upgrades format n to n + 1, and a new file takes all steps. SQLite's
/// `user_version` has the number of the file's format. New steps may be added; existing steps
/// never change.
const STEPS: &[&str] = &[
    "
    CREATE TABLE seal (id INTEGER PRIMARY KEY CHECK (id = 1), protection BLOB NOT NULL, data_key BLOB NOT NULL) STRICT;
    CREATE TABLE record (id INTEGER PRIMARY KEY, name BLOB NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE TABLE page (id INTEGER PRIMARY KEY, page BLOB NOT NULL) STRICT;
",
    "
    ALTER TABLE seal ADD COLUMN openings BLOB;
",
];

/// A store in its own file, for one device.
///
/// Names and values of records are sealed with XChaCha20-Poly1305 under a data key. The data key
/// is sealed under a [`StoreKey`].
///
/// An attacker with the file, but without the key, sees the number and the sizes of records and
/// pages. The attacker also sees the times of their changes. An attacker with both the file and
/// the key has the device. An attacker with write access to the file can restore older content, in
/// whole or in part. An application can detect that with [`openings`](Self::openings).
///
/// When a call returns, no file contains the data that the call has deleted or overwritten. If the
/// disk fails at that moment, the next successful call completes the erasure. (The file system and
/// the disk may still keep copies of overwritten or freed blocks, so encrypt the disk.)
///
/// ```
/// # use std::sync::Arc;
/// use regrow_engine::{Client, DeviceId, Policy, SqliteStore, StoreKey, default_crypto};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("alice.regrow");
/// let key = StoreKey::from_passphrase("correct horse battery staple");
/// let store = SqliteStore::create(&path, &key, default_crypto())?;
/// let device = DeviceId::new("alice", "phone")?;
/// Client::create(Arc::new(store), default_crypto(), device, Policy::default())?;
///
/// // Another day:
/// let store = SqliteStore::open(&path, &key, default_crypto())?;
/// let alice = Client::open(Arc::new(store), default_crypto(), Policy::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SqliteStore {
    path: PathBuf,
    crypto: SharedCrypto,
    openings: u64,
    file: Mutex<File>,
    tenancy: Tenancy,
}

/// The open file. The file stays open, and reserved for this store, while the store is locked.
struct File {
    connection: Connection,
    unlocked: Option<Unlocked>,
    written: u64,
}

impl File {
    fn unlocked(&self) -> Result<&Unlocked, DiskError> {
        self.unlocked.as_ref().ok_or(DiskError::Locked)
    }
}

/// The part of the store in memory that is erased when the store is locked.
struct Unlocked {
    sealer: Sealer,
    /// The names of the records and their numbers in the file. The map always agrees with the
    /// file.
    ids: BTreeMap<Vec<u8>, i64>,
}

impl Unlocked {
    fn load(connection: &Connection, sealer: Sealer) -> Result<Self, DiskError> {
        let mut unlocked = Self { sealer, ids: BTreeMap::new() };
        let mut names = connection.prepare("SELECT id, name FROM record")?;
        let mut rows = names.query([])?;
        while let Some(row) = rows.next()? {
            let (id, sealed): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let name = unlocked.sealer.open(&bound("name", id, &[]), &sealed);
            let name = name.ok_or_else(|| DiskError::Damaged { what: format!("the name of record {id}") })?;
            unlocked.ids.insert(name.to_vec(), id);
        }
        Ok(unlocked)
    }
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        while let Some((mut name, _)) = self.ids.pop_first() {
            name.zeroize();
        }
    }
}

impl SqliteStore {
    /// Creates an empty store in a new file, which only its owner can read.
    ///
    /// # Errors
    /// [`DiskError::Exists`] if the file already contains a store; [`DiskError::Crypto`] if the
    /// randomness fails; [`DiskError::InUse`]; [`DiskError::File`]; [`DiskError::Sqlite`].
    pub fn create(path: impl AsRef<Path>, key: &StoreKey, crypto: Arc<dyn CryptoProvider>) -> Result<Self, DiskError> {
        let path = path.as_ref();
        Self::create_at(path, key, Layered(crypto)).map_err(|error| error.at(path))
    }

    fn create_at(path: &Path, key: &StoreKey, crypto: SharedCrypto) -> Result<Self, DiskError> {
        let file = |source| DiskError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map_err(file)?;
        let mut connection = connect(path)?;
        match format(&connection)? {
            0 => prepare(&connection)?,
            _ => return Err(DiskError::Exists { path: path.to_owned() }),
        }
        let sealer = Sealer::generate(&crypto)?;
        let (protection, sealed) = sealer.wrap(key, &crypto)?;
        let openings = migrate(&mut connection, STEPS, |transaction| {
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            let sql = "INSERT INTO seal (id, protection, data_key) VALUES (1, ?1, ?2)";
            transaction.execute(sql, params![protection, sealed])?;
            count_opening(transaction, &sealer, &crypto)
        })?;
        Self::load(path, connection, crypto, sealer, openings)
    }

    /// Opens the store in a file, with its current [`StoreKey`] (see
    /// [`change_key`](Self::change_key)). A file of an older format is upgraded to the current
    /// one, in one transaction.
    ///
    /// # Errors
    /// [`DiskError::Missing`], [`DiskError::NotAStore`], [`DiskError::NewerFormat`],
    /// [`DiskError::WrongKey`], [`DiskError::OtherProtection`], [`DiskError::Damaged`];
    /// [`DiskError::InUse`] if another process (or another part of this one) has the file open.
    /// After any of these errors the file is unchanged.
    pub fn open(path: impl AsRef<Path>, key: &StoreKey, crypto: Arc<dyn CryptoProvider>) -> Result<Self, DiskError> {
        let path = path.as_ref();
        Self::open_at(path, key, Layered(crypto)).map_err(|error| error.at(path))
    }

    fn open_at(path: &Path, key: &StoreKey, crypto: SharedCrypto) -> Result<Self, DiskError> {
        // Without this check, SQLite would create the file.
        fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => DiskError::Missing { path: path.to_owned() },
            _ => DiskError::File { path: path.to_owned(), source },
        })?;
        let mut connection = connect(path)?;
        match format(&connection)? {
            // The creation of the store was interrupted.
            0 => return Err(DiskError::Missing { path: path.to_owned() }),
            found => {
                let newer = DiskError::NewerFormat { found, supported: STEPS.len() };
                check_schema(&connection, STEPS.get(..found).ok_or(newer)?)?;
                prepare(&connection)?;
            }
        }
        let sealer = unseal(&connection, key)?;
        let openings = migrate(&mut connection, STEPS, |transaction| count_opening(transaction, &sealer, &crypto))?;
        Self::load(path, connection, crypto, sealer, openings)
    }

    fn load(
        path: &Path,
        connection: Connection,
        crypto: SharedCrypto,
        sealer: Sealer,
        openings: u64,
    ) -> Result<Self, DiskError> {
        // Finishes the work of a process that died before it emptied the log.
        empty_log(&connection)?;
        let unlocked = Some(Unlocked::load(&connection, sealer)?);
        let file = Mutex::new(File { connection, unlocked, written: 0 });
        Ok(Self { path: path.to_owned(), crypto, openings, file, tenancy: Tenancy::default() })
    }

    /// Returns how many times the file has been opened, including its creation and this opening.
    ///
    /// The number grows with every opening. An application can store it in a place that is not
    /// copied with the file, for example beside the key in the keystore. If somebody restores an
    /// older copy of the file, its number is not larger than the stored number.
    ///
    /// In that case call [`Client::storage_restored`](crate::Client::storage_restored), or create a new
    /// device. The number does not reveal a copy that was made since the last opening of the file.
    /// The engine detects such a copy as soon as it receives a message that the device has sent
    /// since then: [`Lost::Restored`](crate::Lost::Restored).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{Client, DeviceId, Policy, SqliteStore, StoreKey, default_crypto};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("alice.regrow");
    /// # let key = StoreKey::from_bytes([7; 32]);
    /// # let store = SqliteStore::create(&path, &key, default_crypto())?;
    /// # let device = DeviceId::new("alice", "phone")?;
    /// # Client::create(Arc::new(store), default_crypto(), device, Policy::default())?;
    /// # let kept = 1;
    /// let store = SqliteStore::open(&path, &key, default_crypto())?;
    /// let openings = store.openings();
    /// let mut alice = Client::open(Arc::new(store), default_crypto(), Policy::default())?;
    /// if openings <= kept {
    ///     alice.storage_restored()?;
    /// }
    /// // Then store `openings` in the keystore.
    /// # assert_eq!(openings, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn openings(&self) -> u64 {
        self.openings
    }

    /// Seals the data key under another key and forgets the old key. The records do not change.
    ///
    /// # Errors
    /// [`DiskError::Crypto`] if the randomness fails; the old key still opens the file.
    /// [`DiskError::Sqlite`] if the disk fails. Then either the old key or the new key opens the
    /// file. If the new key opens it, the data key sealed under the old key may not be erased yet.
    /// [`DiskError::Locked`].
    pub fn change_key(&self, key: &StoreKey) -> Result<(), DiskError> {
        let file = self.file()?;
        let (protection, sealed) = file.unlocked()?.sealer.wrap(key, &self.crypto)?;
        file.connection.execute("UPDATE seal SET protection = ?1, data_key = ?2", params![protection, sealed])?;
        empty_log(&file.connection)
    }

    /// Returns the number of bytes of sealed names, records and pages written since the store was
    /// opened. (SQLite writes whole pages of 4 KiB around them, twice.)
    ///
    /// # Errors
    /// [`DiskError::Poisoned`].
    pub fn bytes_written(&self) -> Result<u64, DiskError> {
        Ok(self.file()?.written)
    }

    fn file(&self) -> Result<MutexGuard<'_, File>, DiskError> {
        self.file.lock().map_err(|_| DiskError::Poisoned)
    }

    fn read(&self, file: &File, key: &[u8]) -> Result<Option<Value>, DiskError> {
        let Unlocked { sealer, ids } = file.unlocked()?;
        let Some(&id) = ids.get(key) else { return Ok(None) };
        let pages = Pages { sealer, crypto: &self.crypto, connection: &file.connection, key, written: 0 };
        let body = pages.body(id)?;
        pages::read(&pages, &body).map(Some)
    }

    fn write(&self, file: &mut File, batch: Batch) -> Result<(), DiskError> {
        let mut names = Vec::new();
        let Unlocked { sealer, ids } = file.unlocked.as_mut().ok_or(DiskError::Locked)?;
        let transaction = file.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut written = 0;
        for (key, value) in batch.into_changes() {
            let id = ids.get(&key).copied();
            let mut pages = Pages { sealer, crypto: &self.crypto, connection: &transaction, key: &key, written: 0 };
            match (id, value) {
                (None, None) => {}
                (Some(id), None) => {
                    let before = pages.body(id)?;
                    pages::delete(&mut pages, &before)?;
                    pages.statement("DELETE FROM record WHERE id = ?1")?.execute([id])?;
                    names.push((key, None));
                }
                (Some(id), Some(value)) => {
                    let before = pages.body(id)?;
                    let body = pages::write(&mut pages, Some(&before), &value)?;
                    let sealed = sealer.seal(&self.crypto, &bound("record", id, &key), &body)?;
                    pages.statement("UPDATE record SET body = ?2 WHERE id = ?1")?.execute(params![id, sealed])?;
                    written += pages.written + sealed.len() as u64;
                }
                (None, Some(value)) => {
                    let body = pages::write(&mut pages, None, &value)?;
                    // The record's number is part of the data that its seal authenticates.
                    let id = pages.next_id("record")?;
                    let name = sealer.seal(&self.crypto, &bound("name", id, &[]), &key)?;
                    let sealed = sealer.seal(&self.crypto, &bound("record", id, &key), &body)?;
                    pages.statement("INSERT INTO record VALUES (?1, ?2, ?3)")?.execute(params![id, name, sealed])?;
                    written += pages.written + (name.len() + sealed.len()) as u64;
                    names.push((key, Some(id)));
                }
            }
        }
        transaction.commit()?;
        for (key, id) in names {
            match id {
                Some(id) => ids.insert(key, id),
                None => ids.remove(&key),
            };
        }
        file.written += written;
        // The transaction is committed, so a failure here does not change the result. If the log
        // cannot be emptied now, the next call empties it. That call fails if the disk still
        // fails.
        let _ = empty_log(&file.connection);
        Ok(())
    }
}

impl Store for SqliteStore {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.file().and_then(|file| self.read(&file, key)).map_err(|e| e.during("read a record"))
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let list = |file: MutexGuard<'_, File>| {
            let from = file.unlocked()?.ids.range(prefix.to_vec()..).map(|(key, _)| key);
            Ok(from.take_while(|key| key.starts_with(prefix)).cloned().collect())
        };
        self.file().and_then(list).map_err(|e: DiskError| e.during("list records"))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.file().and_then(|mut file| self.write(&mut file, batch)).map_err(|e| e.during("write"))
    }

    fn tenancy(&self) -> Option<&Tenancy> {
        Some(&self.tenancy)
    }

    fn as_lock(&self) -> Option<&dyn Lock> {
        Some(self)
    }
}

/// While the store is locked, the file stays open and reserved for this process. Without the key
/// no record can be read or written.
impl Lock for SqliteStore {
    fn lock(&self) {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).unlocked = None;
    }

    fn unlock(&self, key: &StoreKey) -> Result<(), StoreError> {
        let unlock = |mut file: MutexGuard<'_, File>| {
            let sealer = unseal(&file.connection, key)?;
            file.unlocked = Some(Unlocked::load(&file.connection, sealer)?);
            Ok(())
        };
        self.file().and_then(unlock).map_err(|e: DiskError| e.during("unlock"))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The pages of one record.
struct Pages<'a> {
    sealer: &'a Sealer,
    crypto: &'a SharedCrypto,
    connection: &'a Connection,
    key: &'a [u8],
    written: u64,
}

impl Pages<'_> {
    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, DiskError> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    /// Reads and opens the body of the record.
    fn body(&self, id: i64) -> Result<Zeroizing<Vec<u8>>, DiskError> {
        let sealed: Option<Vec<u8>> =
            self.statement("SELECT body FROM record WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()?;
        let opened = sealed.and_then(|sealed| self.sealer.open(&bound("record", id, self.key), &sealed));
        opened.ok_or_else(|| DiskError::Damaged { what: format!("record {id}") })
    }

    fn next_id(&self, table: &str) -> Result<i64, DiskError> {
        let sql = format!("SELECT coalesce(max(id), 0) + 1 FROM {table}");
        Ok(self.statement(&sql)?.query_row([], |row| row.get(0))?)
    }
}

impl PageStore for Pages<'_> {
    fn read(&self, id: i64) -> Result<Zeroizing<Vec<u8>>, DiskError> {
        let sealed: Option<Vec<u8>> =
            self.statement("SELECT page FROM page WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()?;
        let opened = sealed.and_then(|sealed| self.sealer.open(&bound("page", id, self.key), &sealed));
        opened.ok_or_else(|| DiskError::Damaged { what: format!("page {id}") })
    }

    fn write(&mut self, page: &[u8]) -> Result<i64, DiskError> {
        let id = self.next_id("page")?;
        let sealed = self.sealer.seal(self.crypto, &bound("page", id, self.key), page)?;
        self.statement("INSERT INTO page VALUES (?1, ?2)")?.execute(params![id, sealed])?;
        self.written += sealed.len() as u64;
        Ok(id)
    }

    fn delete(&mut self, id: i64) -> Result<(), DiskError> {
        self.statement("DELETE FROM page WHERE id = ?1")?.execute([id])?;
        Ok(())
    }
}

/// Returns the associated data of a sealed value: its kind, its number, and the name of its
/// record.
fn bound(what: &str, id: i64, key: &[u8]) -> Vec<u8> {
    [what.as_bytes(), &[0], &id.to_be_bytes(), key].concat()
}

/// Connects to the file without reading or changing it. SQLite takes the file's lock at the first
/// access and keeps it.
fn connect(path: &Path) -> Result<Connection, DiskError> {
    let connection = Connection::open(path)?;
    // Another owner would keep the file for long, so waiting is useless.
    connection.busy_timeout(Duration::ZERO)?;
    // This must happen before the first access. Then the index of the write-ahead log is in this
    // process's memory and not in a shared file.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE;")?;
    Ok(connection)
}

/// Sets how SQLite writes the file. The store itself empties the log after every transaction.
fn prepare(connection: &Connection) -> Result<(), DiskError> {
    Ok(connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
         PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;
         BEGIN IMMEDIATE; COMMIT;",
    )?)
}

/// Returns the file's format; 0 if the file is empty.
fn format(connection: &Connection) -> Result<usize, DiskError> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, usize::try_from(format)) {
        (0, Ok(0)) if tables == 0 => Ok(0),
        (APPLICATION, Ok(format)) if format > 0 => Ok(format),
        _ => Err(DiskError::NotAStore { path: PathBuf::new() }),
    }
}

/// Refuses a file with anything other than the tables of these steps. SQLite also runs other parts
/// of a schema, for example triggers. A trigger of an attacker could keep a copy of deleted data.
fn check_schema(connection: &Connection, steps: &[&str]) -> Result<(), DiskError> {
    let ours = Connection::open_in_memory()?;
    for step in steps {
        ours.execute_batch(step)?;
    }
    match schema(connection)? == schema(&ours)? {
        true => Ok(()),
        false => Err(DiskError::Damaged { what: "its tables are not those of a store".into() }),
    }
}

/// Returns the name, the type and the SQL statement of everything in the file's schema.
fn schema(connection: &Connection) -> Result<Vec<(String, String, Option<String>)>, DiskError> {
    let mut rows = connection.prepare("SELECT name, type, sql FROM sqlite_schema ORDER BY name, type")?;
    let entries = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(entries.collect::<Result<_, _>>()?)
}

/// Runs the missing steps, and the function `then`, in one transaction.
fn migrate<T>(
    connection: &mut Connection,
    steps: &[&str],
    then: impl FnOnce(&Connection) -> Result<T, DiskError>,
) -> Result<T, DiskError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let from: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for step in steps.iter().skip(usize::try_from(from).unwrap_or_default()) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", steps.len() as i64)?;
    let value = then(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// Increments the counter of openings and returns its new value.
fn count_opening(connection: &Connection, sealer: &Sealer, crypto: &SharedCrypto) -> Result<u64, DiskError> {
    let damaged = || DiskError::Damaged { what: "its counter of openings".into() };
    let bound = bound("openings", 1, &[]);
    let sealed: Option<Vec<u8>> = connection.query_row("SELECT openings FROM seal", [], |row| row.get(0))?;
    let before = match sealed {
        None => 0,
        Some(sealed) => {
            let opened = sealer.open(&bound, &sealed).ok_or_else(damaged)?;
            u64::from_be_bytes(opened[..].try_into().map_err(|_| damaged())?)
        }
    };
    let openings = before.saturating_add(1);
    let sealed = sealer.seal(crypto, &bound, &openings.to_be_bytes())?;
    connection.execute("UPDATE seal SET openings = ?1", [sealed])?;
    Ok(openings)
}

/// Opens the sealed data key with the store key.
fn unseal(connection: &Connection, key: &StoreKey) -> Result<Sealer, DiskError> {
    let sealed = connection
        .query_row("SELECT protection, data_key FROM seal", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (protection, sealed): (Vec<u8>, Vec<u8>) =
        sealed.ok_or_else(|| DiskError::Damaged { what: "its data key is missing".into() })?;
    Ok(Sealer::unwrap(key, &protection, &sealed)?)
}

/// Moves the content of the write-ahead log into the file, and empties the log.
fn empty_log(connection: &Connection) -> Result<(), DiskError> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    match busy {
        0 => Ok(()),
        _ => Err(DiskError::Sqlite(rusqlite::Error::ExecuteReturnedResults)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_older_format_takes_the_steps_it_has_not_taken_or_none() {
        let mut connection = Connection::open_in_memory().unwrap();
        let tables = |connection: &Connection| -> (i64, i64) {
            let count = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
            (count, connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap())
        };
        let (one, two, wrong) = ("CREATE TABLE one (a)", "CREATE TABLE two (a)", "CREATE TABLE two (a); nonsense");
        migrate(&mut connection, &[one], |_| Ok(())).unwrap();
        assert_eq!(tables(&connection), (1, 1));

        assert!(migrate(&mut connection, &[one, wrong], |_| Ok(())).is_err());
        assert_eq!(tables(&connection), (1, 1));

        migrate(&mut connection, &[one, two], |_| Ok(())).unwrap();
        assert_eq!(tables(&connection), (2, 2));
    }
}
