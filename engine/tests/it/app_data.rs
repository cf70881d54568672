//! Tests of app data: the application's values are stored as safely as the groups. Each call stores
//! all of its values or none.

use std::sync::Arc;

use crate::common::{store::FaultyStore, *};
use regrow_engine::{
    Backup, Client, Error, MAX_APP_DATA_NAME_BYTES, MemoryStore, Policy, SqliteStore, StoreKey, default_crypto,
};

fn kept(client: &Client, name: &str) -> Option<Vec<u8>> {
    client.app_data(name).unwrap().map(|value| value.to_vec())
}

#[test]
fn app_data_survives_a_restart() {
    let store = MemoryStore::new();
    let mut alice = client_in(&store, "alice", policy());
    alice.set_app_data([("one", Some("1")), ("two", Some("2"))]).unwrap();
    drop(alice);

    let alice = reopen(&store);

    assert_eq!(kept(&alice, "one").unwrap(), b"1");
    assert_eq!(kept(&alice, "two").unwrap(), b"2");
    assert_eq!(kept(&alice, "three"), None);
}

#[test]
fn an_empty_value_differs_from_no_value() {
    let mut alice = client("alice");
    alice.set_app_data([("empty", Some(""))]).unwrap();
    assert_eq!(kept(&alice, "empty").unwrap(), b"");
}

#[test]
fn replaced_and_deleted_values_are_erased() {
    let store = MemoryStore::new();
    let mut alice = client_in(&store, "alice", policy());
    let holds = |text: &[u8]| {
        store::records(&store).iter().any(|(_, value)| value.windows(text.len()).any(|window| window == text))
    };
    alice.set_app_data([("one", Some("the first value"))]).unwrap();
    assert!(holds(b"the first value"));

    alice.set_app_data([("one", Some("the second value"))]).unwrap();
    assert!(!holds(b"the first value"));
    alice.set_app_data([("one", None::<&str>)]).unwrap();

    assert!(!holds(b"the second value"));
    assert_eq!(kept(&alice, "one"), None);
}

#[test]
fn each_call_stores_all_values_or_none() {
    let store = FaultyStore::new();
    let mut alice = client_over(&store, "alice");
    alice.set_app_data([("one", Some("1"))]).unwrap();

    store.fail_writes();
    assert!(alice.set_app_data([("one", Some("2")), ("two", Some("2"))]).is_err());
    store.heal();
    let long = "x".repeat(MAX_APP_DATA_NAME_BYTES + 1);
    let refused = alice.set_app_data([("one", Some("3")), (&long, Some("3"))]);

    assert!(matches!(refused, Err(Error::AppDataName { bytes }) if bytes == long.len()));
    assert_eq!(kept(&alice, "one").unwrap(), b"1");
    assert_eq!(kept(&alice, "two"), None);
    store.take_batches();
    alice.set_app_data([("one", Some("4")), ("two", Some("4"))]).unwrap();
    assert_eq!(store.take_batches().len(), 1, "the call is one transaction");
}

#[test]
fn names_are_listed_by_prefix_in_order() {
    let mut alice = client("alice");
    alice.set_app_data(["b/2", "a", "b/10", "b/1", "c"].map(|name| (name, Some("")))).unwrap();

    assert_eq!(alice.app_data_names("b/").unwrap(), [&b"b/1"[..], b"b/10", b"b/2"]);
    assert_eq!(alice.app_data_names("").unwrap().len(), 5);
}

#[test]
fn forgetting_a_group_does_not_delete_app_data() {
    let mut alice = client("alice");
    make_group(&mut [&mut alice]);
    alice.set_app_data([("chat", Some("kept"))]).unwrap();

    alice.forget(&group()).unwrap();

    assert_eq!(kept(&alice, "chat").unwrap(), b"kept");
}

#[test]
fn a_locked_device_neither_returns_nor_stores_app_data() {
    let folder = tempfile::tempdir().unwrap();
    let key = StoreKey::from_bytes([7; 32]);
    let store = SqliteStore::create(folder.path().join("alice"), &key, default_crypto()).unwrap();
    let mut alice = Client::create(Arc::new(store), default_crypto(), device("alice"), Policy::default()).unwrap();
    alice.set_app_data([("seed", Some("secret"))]).unwrap();

    alice.lock().unwrap();

    assert!(matches!(alice.app_data("seed"), Err(Error::Locked)));
    assert!(matches!(alice.app_data_names(""), Err(Error::Locked)));
    assert!(matches!(alice.set_app_data([("seed", Some("other"))]), Err(Error::Locked)));
    alice.unlock(&key).unwrap();
    assert_eq!(kept(&alice, "seed").unwrap(), b"secret");
}

#[test]
fn app_data_is_in_snapshots_but_not_in_backups() {
    let mut alice = client("alice");
    alice.set_app_data([("seed", Some("a secret of the layer above"))]).unwrap();

    let snapshot = alice.snapshot().unwrap();
    let found: Vec<_> = snapshot.records().iter().filter(|record| record.name() == "device: app data").collect();
    let backup = Backup::open(&alice.backup(b"archive", "words").unwrap(), "words").unwrap();
    let restored = Client::restore(
        Arc::new(MemoryStore::new()),
        default_crypto(),
        regrow_engine::DeviceId::new("alice", "tablet").unwrap(),
        policy(),
        &backup,
    )
    .unwrap();

    assert_eq!(found.len(), 1);
    assert!(found[0].decode().is_some());
    assert_eq!(kept(&restored, "seed"), None);
}
