//! What the targets for a store's file share: a file, always with the same bytes, and what may come of one that was
//! changed.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use regrow_engine::{Batch, DiskError, SqliteStore, Store, StoreError, StoreKey, Value};

use crate::crypto;

/// The folder that a target's files are in: in memory, where there is such a place.
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

/// Records of some sizes, in one page and in many. (A device's would not do: OpenMLS keeps the time by the system's clock
/// with a group's secrets, and the seeds are from another moment.)
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

/// The file that the targets begin with.
pub fn original() -> Vec<u8> {
    with_original(|original| original.file.clone())
}

/// Puts these bytes where a store's file is to be.
pub fn place(bytes: &[u8]) -> PathBuf {
    let path = folder().join("device");
    let _ = fs::remove_file(folder().join("device-wal"));
    let _ = fs::remove_file(folder().join("device-journal"));
    fs::write(&path, bytes).expect("a file");
    path
}

/// Does with the file all that can be done with one.
///
/// # Panics
/// If it gives a value that was not written there, or fails for a reason that is not the file's.
pub fn use_all(path: &Path) {
    let store = match SqliteStore::open(path, &key(), crypto("alice")) {
        Ok(store) => store,
        Err(error @ (DiskError::Poisoned | DiskError::Crypto(_) | DiskError::Exists { .. })) => {
            panic!("the file is not the cause of this: {error}")
        }
        Err(_) => return,
    };
    let keys = store.keys(&[]).expect("keys");
    with_original(|original| {
        for key in &keys {
            match store.get(key) {
                Ok(value) => assert_eq!(value.as_deref(), original.values.get(key), "another value"),
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
