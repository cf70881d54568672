//! Code that the targets for a store's file share: a file that always has the same bytes, and the
//! permitted results with a changed file.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use regrow_engine::{Batch, DiskError, SqliteStore, Store, StoreError, StoreKey, Value};

use crate::crypto;

/// Returns the folder of a target's files. It is in memory if the system has `/dev/shm`.
fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = parent.join(format!("regrow-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn key() -> StoreKey {
    StoreKey::from_bytes([7; 32])
}

/// The file and the values in it.
struct Original {
    file: Vec<u8>,
    values: BTreeMap<Vec<u8>, Vec<u8>>,
}

thread_local! {
    static ORIGINAL: RefCell<Option<Original>> = const { RefCell::new(None) };
}

fn with_original<T>(call: impl FnOnce(&Original) -> T) -> T {
    ORIGINAL.with_borrow_mut(|original| call(original.get_or_insert_with(make)))
}

/// Creates records of some sizes, in one page and in several pages. (A device's records are not
/// suitable. OpenMLS stores a system time with a group's secrets, and the seeds are from another
/// time.)
fn make() -> Original {
    let path = folder().join("original");
    let _ = fs::remove_file(&path);
    let store = SqliteStore::create(&path, &key(), crypto("alice")).expect("a store");
    let mut values = BTreeMap::new();
    for size in [0, 1, 100, 2000, 3000, 9000_u32] {
        values.insert(format!("{size} bytes").into_bytes(), (0..size).map(|n| (n * n >> 5) as u8).collect::<Vec<_>>());
    }
    let mut batch = Batch::default();
    for (key, value) in &values {
        batch.put(key.clone(), Value::new(value.clone()));
    }
    store.apply(batch).expect("records");
    drop(store);
    Original { file: fs::read(&path).expect("a file"), values }
}

/// Returns the unchanged file, with which the targets begin.
pub fn original() -> Vec<u8> {
    with_original(|original| original.file.clone())
}

/// Writes these bytes to the path of the store's file.
pub fn place(bytes: &[u8]) -> PathBuf {
    let path = folder().join("device");
    let _ = fs::remove_file(folder().join("device-wal"));
    let _ = fs::remove_file(folder().join("device-journal"));
    fs::write(&path, bytes).expect("a file");
    path
}

/// Uses the file in every way.
///
/// # Panics
/// If the store returns a value that was not written there, or an error that a changed file cannot
/// cause.
pub fn use_all(path: &Path) {
    let store = match SqliteStore::open(path, &key(), crypto("alice")) {
        Ok(store) => store,
        Err(error @ (DiskError::Poisoned | DiskError::Crypto(_) | DiskError::Exists { .. })) => {
            panic!("a changed file must not cause this error: {error}")
        }
        Err(_) => return,
    };
    let keys = store.keys(&[]).expect("keys");
    with_original(|original| {
        for key in &keys {
            match store.get(key) {
                Ok(value) => assert_eq!(value.as_deref(), original.values.get(key), "the store returned a false value"),
                Err(error) => caused_by_the_file(&error),
            }
        }
    });
    let mut batch = Batch::default();
    for (number, key) in keys.into_iter().enumerate() {
        match number % 3 {
            0 => batch.delete(key),
            length => batch.put(key, Value::new(vec![7; length * 3000])),
        }
    }
    if let Err(error) = store.apply(batch) {
        caused_by_the_file(&error);
    }
}

fn caused_by_the_file(error: &StoreError) {
    let StoreError::Failed { source, .. } = error else { panic!("{error}") };
    let cause = source.downcast_ref();
    assert!(matches!(cause, Some(DiskError::Damaged { .. } | DiskError::Sqlite(_))), "{error}");
}
