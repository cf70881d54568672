//! Tests that a locked device refuses every call until it has its key again, and then continues
//! where it stopped.

use std::{num::NonZeroU64, sync::Arc};

use crate::common::{
    store_folder::{StoreFolder, key},
    *,
};
use regrow_engine::{
    Batch, Client, DiskError, Error, MemoryStore, Policy, SqliteStore, StorageError, Store, StoreError, StoreKey,
    Timestamp, default_crypto,
};

fn wrong() -> StoreKey {
    StoreKey::from_bytes([8; 32])
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 + seconds)
}

fn alice_on(store: &Arc<SqliteStore>, policy: Policy) -> Client {
    Client::create(store.clone(), default_crypto(), device("alice"), policy).unwrap()
}

fn with_lock_after(seconds: u64) -> Policy {
    Policy { lock_after: NonZeroU64::new(seconds), ..policy() }
}

#[test]
fn every_call_on_a_locked_device_fails_and_changes_nothing() {
    let folder = StoreFolder::new();
    let store = folder.create();
    let (mut alice, mut bob) = (alice_on(&store, policy()), client("bob"));
    make_group(&mut [&mut bob, &mut alice]);
    let (message, info) = (send(&mut bob, b"hello"), group_info(&mut bob));
    let pending = alice.group(&group()).unwrap().update().unwrap();
    let written = store.bytes_written().unwrap();

    alice.lock().unwrap();

    type Call<'c> = (&'c str, Box<dyn Fn(&mut Client) -> Result<(), Error> + 'c>);
    let calls: Vec<Call<'_>> = vec![
        ("signature_key", Box::new(|alice| alice.signature_key().map(drop))),
        ("key_packages", Box::new(|alice| alice.key_packages(1, NOW).map(drop))),
        ("last_resort", Box::new(|alice| alice.last_resort_key_package(NOW).map(drop))),
        ("expire", Box::new(|alice| alice.expire(NOW).map(drop))),
        ("key_package_count", Box::new(|alice| alice.key_package_count().map(drop))),
        ("groups", Box::new(|alice| alice.groups().map(drop))),
        ("group", Box::new(|alice| alice.group(&group()).map(drop))),
        ("create_group", Box::new(|alice| alice.create_group(group_named("other"), NOW).map(drop))),
        ("join", Box::new(|alice| alice.join(b"rubbish", NOW).map(drop))),
        ("join_external", Box::new(|alice| alice.join_external(&info).map(drop))),
        ("pending", Box::new(|alice| alice.pending().map(drop))),
        ("confirm", Box::new(|alice| alice.confirm(pending.clone(), NOW).map(drop))),
        ("discard", Box::new(|alice| alice.discard(pending.clone()))),
        ("forget", Box::new(|alice| alice.forget(&group()))),
        ("groups_to_rejoin", Box::new(|alice| alice.groups_to_rejoin().map(drop))),
        ("backup", Box::new(|alice| alice.backup(b"", "words").map(drop))),
        ("acknowledge", Box::new(Client::acknowledge)),
        ("unacknowledged", Box::new(|alice| alice.unacknowledged().map(drop))),
        ("storage_restored", Box::new(Client::storage_restored)),
        ("remove_device", Box::new(|alice| alice.remove_device(&device("bob")).map(drop))),
        ("link_device", Box::new(|alice| alice.link_device(&device("alice"), &[], NOW).map(drop))),
        ("groups_of_user", Box::new(|alice| alice.groups_of_user(&user_id("bob")).map(drop))),
        ("groups_of_device", Box::new(|alice| alice.groups_of_device(&device("bob")).map(drop))),
        ("snapshot", Box::new(|alice| alice.snapshot().map(drop))),
        ("receive", Box::new(|alice| alice.receive(&message, NOW).map(drop))),
        ("receive_all", Box::new(|alice| alice.receive_all(&[&message], NOW).map(drop))),
    ];
    for (name, call) in calls {
        let result = call(&mut alice);
        assert!(matches!(result, Err(Error::Locked)), "{name}: {result:?}");
    }
    assert!(alice.is_locked());
    assert_eq!(alice.device(), &device("alice"));
    assert_eq!(store.bytes_written().unwrap(), written);

    alice.unlock(&key()).unwrap();
    assert!(!alice.is_locked());
    assert_eq!(alice.pending().unwrap(), std::slice::from_ref(&pending));
    accept(&mut alice, pending, &mut [&mut bob]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_wrong_key_does_not_unlock_or_block_the_device() {
    let folder = StoreFolder::new();
    let mut alice = alice_on(&folder.create(), policy());
    alice.lock().unwrap();
    alice.lock().unwrap();

    for _ in 0..3 {
        assert!(matches!(alice.unlock(&wrong()), Err(Error::WrongKey)));
        assert!(alice.is_locked());
    }
    let other = alice.unlock(&StoreKey::from_passphrase("seven"));
    let Err(Error::Storage(StorageError::Store(StoreError::Failed { source, .. }))) = other else {
        panic!("{other:?}")
    };
    assert!(matches!(source.downcast_ref(), Some(DiskError::OtherProtection { protection: "a key" })));
    alice.unlock(&key()).unwrap();
    assert!(matches!(alice.unlock(&wrong()), Err(Error::WrongKey)));
    assert!(!alice.is_locked());
    assert_eq!(alice.key_package_count().unwrap(), 0);
}

#[test]
fn a_locked_store_stays_in_use_and_refuses_every_call() {
    let folder = StoreFolder::new();
    let store = folder.create();
    let mut alice = alice_on(&store, policy());
    alice.lock().unwrap();

    assert!(matches!(folder.open(), Err(DiskError::InUse { .. })));
    assert!(matches!(store.get(b"a"), Err(StoreError::Locked)));
    assert!(matches!(store.keys(b"a"), Err(StoreError::Locked)));
    assert!(matches!(store.apply(Batch::default()), Err(StoreError::Locked)));
    assert!(matches!(store.change_key(&wrong()), Err(DiskError::Locked)));
    assert!(matches!(Client::open(store.clone(), default_crypto(), policy()), Err(Error::Locked)));
    drop(alice);

    store.as_lock().unwrap().unlock(&key()).unwrap();
    assert_eq!(Client::open(store, default_crypto(), policy()).unwrap().device(), &device("alice"));
}

#[test]
fn calls_fail_after_the_store_is_locked_without_the_device() {
    let folder = StoreFolder::new();
    let store = folder.create();
    let (mut alice, mut bob) = (alice_on(&store, policy()), client("bob"));
    make_group(&mut [&mut bob, &mut alice]);
    let message = send(&mut bob, b"hello");
    store.as_lock().unwrap().lock();

    assert!(matches!(alice.groups(), Err(Error::Locked)));
    assert!(matches!(alice.receive(&message, NOW), Err(Error::Locked)));
    assert!(matches!(alice.receive_all(&[&message], NOW), Err(Error::Locked)));
    alice.unlock(&key()).unwrap();
    assert_eq!(read(&mut alice, &message), b"hello");
}

#[test]
fn a_device_is_unlocked_with_the_changed_key() {
    let folder = StoreFolder::new();
    let store = folder.create();
    let mut alice = alice_on(&store, policy());
    store.change_key(&wrong()).unwrap();
    alice.lock().unwrap();

    assert!(matches!(alice.unlock(&key()), Err(Error::WrongKey)));
    alice.unlock(&wrong()).unwrap();
    assert!(alice.groups().unwrap().is_empty());
}

#[test]
fn an_idle_device_is_locked_by_the_timer() {
    let folder = StoreFolder::new();
    let mut alice = alice_on(&folder.create(), with_lock_after(60));

    // The idle time starts when the device is first given the time.
    assert!(!alice.lock_if_idle(at(1000)).unwrap());
    assert!(!alice.lock_if_idle(at(1059)).unwrap());
    alice.create_group(group(), at(1059)).unwrap();
    assert!(!alice.lock_if_idle(at(1118)).unwrap());
    assert!(alice.lock_if_idle(at(1119)).unwrap());

    assert!(matches!(alice.groups(), Err(Error::Locked)));
    assert!(alice.lock_if_idle(at(1120)).unwrap());
    alice.unlock(&key()).unwrap();
    assert!(!alice.lock_if_idle(at(5000)).unwrap());
    assert!(alice.lock_if_idle(at(5060)).unwrap());
}

#[test]
fn a_call_after_the_idle_limit_only_locks_the_device() {
    let folder = StoreFolder::new();
    let (mut alice, mut bob) = (alice_on(&folder.create(), with_lock_after(60)), client("bob"));
    make_group(&mut [&mut bob, &mut alice]);
    let message = send(&mut bob, b"hello");

    assert!(matches!(alice.receive(&message, at(60)), Err(Error::Locked)));

    assert!(alice.is_locked());
    alice.unlock(&key()).unwrap();
    assert!(alice.receive(&message, at(61)).is_ok());
    let mut chat = alice.group(&group()).unwrap();
    assert!(matches!(chat.due(at(121)), Err(Error::Locked)));
    assert!(matches!(chat.send(b"late"), Err(Error::Locked)));
    assert!(matches!(chat.add(&[], at(121)), Err(Error::Locked)));
}

#[test]
fn sending_resets_the_idle_time_and_due_does_not() {
    let folder = StoreFolder::new();
    let mut alice = alice_on(&folder.create(), with_lock_after(60));
    alice.create_group(group(), NOW).unwrap();

    let _ = send(&mut alice, b"still here");
    assert!(!alice.lock_if_idle(at(70)).unwrap());
    alice.group(&group()).unwrap().due(at(120)).unwrap();
    assert!(alice.lock_if_idle(at(130)).unwrap());
}

#[test]
fn setting_the_clock_back_does_not_delay_the_lock() {
    let folder = StoreFolder::new();
    let mut alice = alice_on(&folder.create(), with_lock_after(60));
    alice.create_group(group(), Timestamp::LATEST).unwrap();

    assert!(!alice.lock_if_idle(at(0)).unwrap());
    assert!(alice.lock_if_idle(at(60)).unwrap());
}

#[test]
fn a_device_without_an_idle_limit_is_never_locked() {
    let folder = StoreFolder::new();
    let mut alice = alice_on(&folder.create(), policy());
    alice.create_group(group(), NOW).unwrap();

    assert!(!alice.lock_if_idle(Timestamp::LATEST).unwrap());
}

#[test]
fn a_lock_policy_needs_a_store_that_can_be_locked() {
    let store = MemoryStore::new();
    let create = |policy| Client::create(Arc::new(store.clone()), default_crypto(), device("alice"), policy);
    assert!(matches!(create(with_lock_after(60)), Err(Error::NoLock)));
    assert!(store::records(&store).is_empty());

    let mut alice = create(policy()).unwrap();
    assert!(matches!(alice.lock(), Err(Error::NoLock)));
    assert!(matches!(alice.unlock(&key()), Err(Error::NoLock)));
    assert!(!alice.is_locked());
    assert_eq!(alice.groups().unwrap(), []);
    let open = Client::open(Arc::new(store), default_crypto(), with_lock_after(60));
    assert!(matches!(open, Err(Error::NoLock)));
}
