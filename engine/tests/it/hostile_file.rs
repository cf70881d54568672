//! Tests with a store's file that an attacker has changed. The store refuses the file, or returns
//! only values that the device wrote. No call panics.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::common::*;
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use regrow_engine::{Batch, Client, DiskError, SqliteStore, Store, StoreError, StoreKey, Value, default_crypto};
use rusqlite::{Connection, params};
use tempfile::TempDir;

/// The number of files with which each property is tested.
const CASES: u32 = 250;
/// The size of SQLite's pages.
const PAGE: usize = 4096;

fn key() -> StoreKey {
    StoreKey::from_bytes([7; 32])
}

fn open(path: &Path) -> Result<SqliteStore, DiskError> {
    SqliteStore::open(path, &key(), default_crypto())
}

/// A device's file, an older state of the file, and all values that either state contained.
struct OriginalFile {
    file: Vec<u8>,
    older: Vec<u8>,
    written: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

/// Returns Alice's file. Alice is in a group with Bob. The older state was saved before some
/// epochs.
fn original() -> &'static OriginalFile {
    static ORIGINAL: OnceLock<OriginalFile> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device");
        let mut written: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        let mut remember = || {
            let store = open(&path).unwrap();
            for key in store.keys(&[]).unwrap() {
                let value = store.get(&key).unwrap().unwrap().to_vec();
                written.entry(key).or_default().push(value);
            }
            drop(store);
            fs::read(&path).unwrap()
        };
        let store = SqliteStore::create(&path, &key(), default_crypto()).unwrap();
        let mut alice =
            Client::create(std::sync::Arc::new(store), default_crypto(), device("alice"), policy()).unwrap();
        let mut bob = client("bob");
        make_group(&mut [&mut alice, &mut bob]);
        drop(alice);
        let older = remember();
        let mut alice = Client::open(std::sync::Arc::new(open(&path).unwrap()), default_crypto(), policy()).unwrap();
        for _ in 0..3 {
            update(&mut alice, &mut [&mut bob]);
            let message = send(&mut alice, b"hello");
            read(&mut bob, &message);
        }
        drop(alice);
        let file = remember();
        OriginalFile { file, older, written }
    })
}

/// One change to the file.
#[derive(Clone, Debug)]
enum FileDamage {
    Flip(Index, u8),
    Zero(Index, usize),
    Truncate(Index),
    Append(Vec<u8>),
    /// Overwrites a page of SQLite with another page.
    Page(Index, Index),
    /// Overwrites a page with the same page of the older state.
    OldPage(Index),
    /// Overwrites a byte near the beginning of a page, where SQLite stores its own numbers.
    Header(Index, usize, u8),
}

fn damage() -> impl Strategy<Value = FileDamage> {
    let index = any::<Index>;
    prop_oneof![
        3 => (index(), 1..=u8::MAX).prop_map(|(at, bits)| FileDamage::Flip(at, bits)),
        1 => (index(), 1..6000_usize).prop_map(|(at, length)| FileDamage::Zero(at, length)),
        1 => index().prop_map(FileDamage::Truncate),
        1 => prop::collection::vec(any::<u8>(), 1..5000).prop_map(FileDamage::Append),
        2 => (index(), index()).prop_map(|(from, to)| FileDamage::Page(from, to)),
        2 => index().prop_map(FileDamage::OldPage),
        4 => (index(), 0..140_usize, any::<u8>()).prop_map(|(page, at, byte)| FileDamage::Header(page, at, byte)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &FileDamage) {
    if bytes.is_empty() {
        return;
    }
    let pages = bytes.len().div_ceil(PAGE);
    match damage {
        FileDamage::Flip(at, bits) => {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        FileDamage::Zero(at, length) => {
            bytes.iter_mut().skip(at.index(pages * PAGE)).take(*length).for_each(|b| *b = 0)
        }
        FileDamage::Truncate(at) => bytes.truncate(at.index(bytes.len())),
        FileDamage::Append(more) => bytes.extend_from_slice(more),
        FileDamage::Page(from, to) => {
            let page: Vec<u8> = bytes.iter().skip(from.index(pages) * PAGE).take(PAGE).copied().collect();
            bytes.iter_mut().skip(to.index(pages) * PAGE).zip(page).for_each(|(byte, new)| *byte = new);
        }
        FileDamage::OldPage(page) => {
            let from = page.index(original().older.len() / PAGE) * PAGE;
            let old = &original().older[from..from + PAGE];
            bytes.iter_mut().skip(from).zip(old).for_each(|(byte, new)| *byte = *new);
        }
        FileDamage::Header(page, at, new) => {
            if let Some(byte) = bytes.get_mut(page.index(pages) * PAGE + at) {
                *byte = *new;
            }
        }
    }
}

/// Writes a file with these bytes into a new folder.
fn place(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Uses the file in every way. Every value that the store returns was written there once, and every
/// error is one that a damaged file may cause.
fn use_all(path: &Path) {
    let store = match open(path) {
        Ok(store) => store,
        Err(DiskError::Poisoned | DiskError::Crypto(_) | DiskError::InUse { .. } | DiskError::Exists { .. }) => {
            panic!("a damaged file must not cause this error")
        }
        Err(_) => return,
    };
    let keys = store.keys(&[]).unwrap();
    for key in &keys {
        match store.get(key) {
            Ok(Some(value)) => {
                let known = original().written.get(key).is_some_and(|values| values.iter().any(|v| *v == **value));
                assert!(known, "the store returned a value that was never written");
            }
            Ok(None) => panic!("a listed record is missing"),
            Err(error) => caused_by_the_file(&error),
        }
    }
    let mut batch = Batch::default();
    for (number, key) in keys.into_iter().enumerate() {
        match number % 3 {
            0 => batch.delete(key),
            length => batch.put(key, Value::new(vec![7; length * 3000])),
        }
    }
    batch.put(b"new".to_vec(), Value::new(vec![8; 9000]));
    match store.apply(batch).and_then(|()| store.get(b"new")) {
        Ok(value) => assert_eq!(**value.unwrap(), [8; 9000]),
        Err(error) => caused_by_the_file(&error),
    }
}

fn caused_by_the_file(error: &StoreError) {
    let StoreError::Failed { source, .. } = error else { panic!("{error}") };
    assert!(matches!(source.downcast_ref(), Some(DiskError::Damaged { .. } | DiskError::Sqlite(_))), "{error}");
}

/// Creates a runner with fixed inputs, so that a failure is reproducible.
fn runner() -> TestRunner {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn a_file_with_changed_bytes_never_returns_false_values() {
    let damages = prop::collection::vec(damage(), 1..5);
    let result = runner().run(&damages, |damages| {
        let mut bytes = original().file.clone();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        let (_folder, path) = place(&bytes);
        use_all(&path);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_foreign_write_ahead_log_never_returns_false_values() {
    // A write-ahead log that SQLite accepts, because nobody has emptied it and its process has
    // died.
    let (folder, path) = place(&original().file);
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA journal_mode = WAL").unwrap();
    connection.execute("UPDATE record SET body = zeroblob(80) WHERE id = 1", []).unwrap();
    connection.execute("UPDATE page SET page = zeroblob(800)", []).unwrap();
    let (file, log) = (fs::read(&path).unwrap(), fs::read(folder.path().join("device-wal")).unwrap());
    assert!(log.len() > PAGE);
    let damages = prop::collection::vec(damage(), 0..3);
    let result = runner().run(&damages, |damages| {
        let mut bytes = log.clone();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        let (folder, path) = place(&file);
        fs::write(folder.path().join("device-wal"), &bytes).unwrap();
        use_all(&path);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// A column of a table, a row of that table, the new content, and true if the content comes from
/// another row.
fn change_of_a_row() -> impl Strategy<Value = (usize, Index, Vec<u8>, bool)> {
    (0..7_usize, any::<Index>(), prop::collection::vec(any::<u8>(), 0..100), any::<bool>())
}

#[test]
fn a_file_with_changed_rows_never_returns_false_values() {
    let changes = prop::collection::vec(change_of_a_row(), 1..4);
    let result = runner().run(&changes, |changes| {
        let (_folder, path) = place(&original().file);
        let connection = Connection::open(&path).unwrap();
        for (column, row, bytes, copied) in changes {
            let (table, column) = [
                ("seal", "protection"),
                ("seal", "data_key"),
                ("record", "name"),
                ("record", "body"),
                ("record", "id"),
                ("page", "page"),
                ("page", "id"),
            ][column];
            let count: u32 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).unwrap();
            let row = if count == 0 { 0 } else { row.index(count as usize) };
            let id: Option<i64> =
                connection.query_row(&format!("SELECT id FROM {table} LIMIT 1 OFFSET {row}"), [], |r| r.get(0)).ok();
            let new = match (column, copied) {
                ("id", true) => "9223372036854775807",
                ("id", false) => "id + 1000",
                // The content of another row.
                (_, true) => &format!("(SELECT {column} FROM {table} ORDER BY hex(?1) < hex({column}) LIMIT 1)"),
                (_, false) => "?1",
            };
            let sql = format!("UPDATE {table} SET {column} = {new} WHERE id = ?2 AND ?1 IS NOT NULL");
            // The change may violate a constraint of the table. Then nothing changes.
            let _ = connection.execute(&sql, params![bytes, id]);
        }
        drop(connection);
        use_all(&path);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_changed_schema_is_refused_and_the_file_stays_unchanged() {
    for sql in [
        "CREATE TABLE kept AS SELECT * FROM page",
        "CREATE TRIGGER keep BEFORE DELETE ON page BEGIN UPDATE seal SET protection = old.page; END",
        "CREATE INDEX another ON page (page)",
        "ALTER TABLE record ADD COLUMN another BLOB",
        "DROP TABLE page; CREATE VIEW page AS SELECT id, body AS page FROM record",
        "DROP TABLE page",
    ] {
        let (_folder, path) = place(&original().file);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = fs::read(&path).unwrap();

        let error = open(&path).err();

        assert!(matches!(error, Some(DiskError::Damaged { .. })), "{sql}: {error:?}");
        assert!(fs::read(&path).unwrap() == before, "{sql}");
    }
}
