//! The store file: one owner, other processes beside it, and backups.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::test_directory::TestDirectory;
use regrow_delivery_service::{
    SqliteStore, Store as _, StoreError,
    store::{BackupError, Table},
};

fn put(store: &mut SqliteStore, key: &[u8], value: &[u8]) {
    store.transaction::<_, StoreError>(|tx| tx.put(Table::RememberedOutcomes, key, value)).unwrap();
}

fn get(store: &mut SqliteStore, key: &[u8]) -> Option<Vec<u8>> {
    store.transaction::<_, StoreError>(|tx| tx.get(Table::RememberedOutcomes, key)).unwrap()
}

fn integer(path: &Path, sql: &str) -> i64 {
    rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_file_has_one_owner() {
    let directory = TestDirectory::new();
    let owner = SqliteStore::open(directory.store_path()).unwrap();
    assert!(matches!(SqliteStore::open(directory.store_path()).unwrap_err(), StoreError::InUse));
    drop(owner);
    SqliteStore::open(directory.store_path()).unwrap();
}

#[cfg(unix)]
#[test]
fn a_file_under_two_names_has_one_owner() {
    let directory = TestDirectory::new();
    drop(SqliteStore::open(directory.store_path()).unwrap());
    std::os::unix::fs::symlink(directory.store_path(), directory.file("link.db")).unwrap();
    let _owner = SqliteStore::open(directory.file("link.db")).unwrap();
    assert!(matches!(SqliteStore::open(directory.store_path()).unwrap_err(), StoreError::InUse));
}

#[cfg(unix)]
#[test]
fn the_files_have_mode_600() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = TestDirectory::new();
    let mut store = SqliteStore::open(directory.store_path()).unwrap();
    put(&mut store, b"key", b"value");
    store.back_up(&directory.file("copy.db")).unwrap();
    for name in ["regrow-ds.db", "regrow-ds.db-wal", "copy.db"] {
        assert_eq!(fs::metadata(directory.file(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn owner_and_others_see_each_others_writes() {
    let directory = TestDirectory::new();
    let mut owner = SqliteStore::open(directory.store_path()).unwrap();
    let mut beside = SqliteStore::open_beside(directory.store_path()).unwrap();
    put(&mut owner, b"owner", b"1");
    assert_eq!(get(&mut beside, b"owner").as_deref(), Some(&b"1"[..]));
    put(&mut beside, b"beside", b"2");
    assert_eq!(get(&mut owner, b"beside").as_deref(), Some(&b"2"[..]));
}

#[test]
fn the_owner_sees_that_another_has_written() {
    let directory = TestDirectory::new();
    let mut owner = SqliteStore::open(directory.store_path()).unwrap();
    let before = owner.data_version().unwrap();
    put(&mut owner, b"key", b"1");
    assert_eq!(owner.data_version().unwrap(), before, "the owner's own write changes the version");
    put(&mut SqliteStore::open_beside(directory.store_path()).unwrap(), b"key", b"2");
    assert_ne!(owner.data_version().unwrap(), before);
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn the_write_ahead_log_is_moved_into_the_database() {
    let directory = TestDirectory::new();
    let mut store = SqliteStore::open(directory.store_path()).unwrap();
    // This is too little for the owner to move by itself.
    put(&mut store, b"key", &vec![1; 1024 * 1024]);
    assert!(length(&directory.store_path()) < 1024 * 1024);
    let begun = Instant::now();
    while length(&directory.store_path()) < 1024 * 1024 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the write-ahead log is not moved");
        thread::yield_now();
    }
    assert_eq!(get(&mut store, b"key"), Some(vec![1; 1024 * 1024]));
}

#[test]
fn the_write_ahead_log_restarts_during_writes() {
    const MEGABYTE: u64 = 1024 * 1024;
    let directory = TestDirectory::new();
    let mut store = SqliteStore::open(directory.store_path()).unwrap();
    for number in 0..160 {
        put(&mut store, b"key", &vec![number; MEGABYTE as usize]);
    }
    let log = length(&directory.file("regrow-ds.db-wal"));
    assert!(log < 100 * MEGABYTE, "{log} bytes");
    drop(store);
    assert!(!directory.file("regrow-ds.db-wal").exists(), "the write-ahead log remains after the last close");
    assert_eq!(
        get(&mut SqliteStore::open(directory.store_path()).unwrap(), b"key"),
        Some(vec![159; MEGABYTE as usize])
    );
}

#[test]
fn opening_beside_creates_no_store() {
    let directory = TestDirectory::new();
    assert!(matches!(SqliteStore::open_beside(directory.store_path()).unwrap_err(), StoreError::Missing { .. }));
    assert!(!directory.store_path().exists());
    fs::write(directory.store_path(), "").unwrap();
    assert!(matches!(SqliteStore::open_beside(directory.store_path()).unwrap_err(), StoreError::NotAStore));
    assert_eq!(fs::read(directory.store_path()).unwrap(), b"");
}

#[test]
fn another_programs_file_is_not_changed() {
    let directory = TestDirectory::new();
    let other = "PRAGMA user_version = 2; CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);";
    rusqlite::Connection::open(directory.store_path()).unwrap().execute_batch(other).unwrap();
    let before = fs::read(directory.store_path()).unwrap();
    assert!(matches!(SqliteStore::open(directory.store_path()).unwrap_err(), StoreError::NotAStore));
    assert!(matches!(SqliteStore::open_beside(directory.store_path()).unwrap_err(), StoreError::NotAStore));
    assert_eq!(fs::read(directory.store_path()).unwrap(), before);
}

#[test]
fn every_transaction_is_synchronized_and_the_file_can_shrink() {
    let directory = TestDirectory::new();
    drop(SqliteStore::open(directory.store_path()).unwrap());
    let mode: String = rusqlite::Connection::open(directory.store_path())
        .unwrap()
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!((mode.as_str(), integer(&directory.store_path(), "PRAGMA auto_vacuum")), ("wal", 2));
}

#[test]
fn free_pages_go_back_in_steps() {
    let directory = TestDirectory::new();
    let mut store = SqliteStore::open(directory.store_path()).unwrap();
    for number in 0..100_u8 {
        put(&mut store, &[number], &[0; 10_000]);
    }
    store
        .transaction::<_, StoreError>(|tx| {
            (0..100_u8).try_for_each(|number| tx.delete(Table::RememberedOutcomes, &[number]).map(drop))
        })
        .unwrap();
    let pages = integer(&directory.store_path(), "PRAGMA page_count");
    let left = store.vacuum(10).unwrap();
    assert!(left > 0, "one step returns all free pages");
    assert_eq!(integer(&directory.store_path(), "PRAGMA page_count"), pages - 10);
    while store.vacuum(10).unwrap() > 0 {}
    assert_eq!(integer(&directory.store_path(), "PRAGMA freelist_count"), 0);
    assert!(integer(&directory.store_path(), "PRAGMA page_count") < pages / 4);
}

#[test]
fn a_snapshot_does_not_change_while_others_write() {
    let directory = TestDirectory::new();
    let mut owner = SqliteStore::open(directory.store_path()).unwrap();
    put(&mut owner, b"key", b"1");
    let mut beside = SqliteStore::open_beside(directory.store_path()).unwrap();
    let seen = beside
        .snapshot::<_, StoreError>(|tx| {
            let first = tx.get(Table::RememberedOutcomes, b"key")?;
            put(&mut owner, b"key", b"2");
            Ok((first, tx.get(Table::RememberedOutcomes, b"key")?))
        })
        .unwrap();
    assert_eq!(seen, (Some(b"1".to_vec()), Some(b"1".to_vec())));
}

#[test]
fn a_backup_of_a_store_in_use_is_a_store() {
    let directory = TestDirectory::new();
    let mut owner = SqliteStore::open(directory.store_path()).unwrap();
    put(&mut owner, b"before", b"1");
    SqliteStore::open_beside(directory.store_path()).unwrap().back_up(&directory.file("copy.db")).unwrap();
    put(&mut owner, b"after", b"2");

    let mut copy = SqliteStore::open(directory.file("copy.db")).unwrap();
    assert_eq!(get(&mut copy, b"before").as_deref(), Some(&b"1"[..]));
    assert_eq!(get(&mut copy, b"after"), None);
    assert_eq!(copy.integrity_check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_backup_is_one_file() {
    let directory = TestDirectory::new();
    let mut store = SqliteStore::open(directory.store_path()).unwrap();
    put(&mut store, b"key", b"value");
    store.back_up(&directory.file("copy.db")).unwrap();
    let mut names: Vec<_> = fs::read_dir(directory.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("copy"))
        .collect();
    names.sort();
    assert_eq!(names, ["copy.db"]);
}

#[test]
fn a_backup_replaces_nothing() {
    let directory = TestDirectory::new();
    let store = SqliteStore::open(directory.store_path()).unwrap();
    fs::write(directory.file("copy.db"), "precious").unwrap();
    let error = store.back_up(&directory.file("copy.db")).unwrap_err();
    assert!(matches!(error, BackupError::Exists { .. }), "{error}");
    assert_eq!(fs::read(directory.file("copy.db")).unwrap(), b"precious");
}

#[test]
fn a_damaged_store_gives_no_backup() {
    let directory = TestDirectory::new();
    let mut store = SqliteStore::open(directory.store_path()).unwrap();
    for number in 0..200_u8 {
        put(&mut store, &[number], &[7; 1_000]);
    }
    drop(store);
    let mut bytes = fs::read(directory.store_path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8_192].fill(0xFF);
    fs::write(directory.store_path(), bytes).unwrap();
    let error =
        SqliteStore::open_beside(directory.store_path()).unwrap().back_up(&directory.file("copy.db")).unwrap_err();
    assert!(matches!(error, BackupError::Damaged { .. } | BackupError::Store(_)), "{error}");
    assert!(!directory.file("copy.db").exists());
}
