//! Tests of wrong uses of the engine that would split a group or lose a message. The engine reports
//! each of them.

use std::sync::Arc;

use crate::common::*;
use regrow_engine::{
    Client, Error, HandshakeMode, Ignored, Lost, MemoryStore, Policy, ReceivedEvent, SqliteStore, Store, StoreKey,
    default_crypto,
};

fn pair(handshake: HandshakeMode) -> (Client, Client) {
    let policy = Policy { handshake, ..policy() };
    let mut alice = client_in(&MemoryStore::new(), "alice", policy.clone());
    let mut bob = client_in(&MemoryStore::new(), "bob", policy);
    make_group(&mut [&mut alice, &mut bob]);
    (alice, bob)
}

#[test]
fn confirming_an_unordered_commit_is_reported_as_a_fork() {
    for handshake in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let (mut alice, mut bob) = pair(handshake);
        let ordered = bob.group(&group()).unwrap().update().unwrap();
        let not_ordered = alice.group(&group()).unwrap().update().unwrap();
        let epoch = not_ordered.epoch();
        alice.confirm(not_ordered, NOW).unwrap();

        let event = hear(&mut alice, ordered.commit());

        let ReceivedEvent::Lost(lost) = event else { panic!("{event:?}") };
        assert_eq!(lost, Lost::Fork { epoch });
        assert!(!lost.is_reportable());
    }
}

#[test]
fn a_device_that_has_forked_rejoins() {
    let (mut alice, mut bob) = pair(HandshakeMode::Assisted);
    let ordered = bob.group(&group()).unwrap().update().unwrap();
    let not_ordered = alice.group(&group()).unwrap().update().unwrap();
    alice.confirm(not_ordered, NOW).unwrap();
    hear(&mut alice, ordered.commit());
    bob.confirm(ordered, NOW).unwrap();

    let rejoin = alice.join_external(&group_info(&mut bob)).unwrap();
    accept(&mut alice, rejoin, &mut [&mut bob]);

    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_commit_that_lost_a_race_is_not_a_fork() {
    let (mut alice, mut bob) = pair(HandshakeMode::Assisted);
    let late = bob.group(&group()).unwrap().update().unwrap();
    let first = alice.group(&group()).unwrap().update().unwrap();
    let ordered = first.commit().to_vec();
    alice.confirm(first, NOW).unwrap();
    hear(&mut alice, &ordered);

    let event = hear(&mut alice, late.commit());

    assert!(matches!(event, ReceivedEvent::Ignored(Ignored::PastEpoch)), "{event:?}");
}

/// Checks that a second client on the store makes the first one unusable, before both use the same
/// key.
fn assert_the_later_client_has(store: Arc<dyn Store>, mut first: Client) {
    let mut alice = client("alice");
    alice.create_group(group(), NOW).unwrap();
    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut first)], NOW).unwrap();
    first.join(pending.welcome().unwrap(), NOW).unwrap();
    alice.confirm(pending, NOW).unwrap();

    let mut second = Client::open(store, default_crypto(), policy()).unwrap();

    assert!(matches!(first.group(&group()).map(drop), Err(Error::Superseded)));
    assert!(matches!(first.key_packages(1, NOW), Err(Error::Superseded)));
    assert!(matches!(first.groups(), Err(Error::Superseded)));
    let text = send(&mut second, b"from the second");
    assert_eq!(read(&mut alice, &text), b"from the second");
}

#[test]
fn a_second_client_takes_over_a_memory_store() {
    let store = MemoryStore::new();
    let bob = client_in(&store, "bob", policy());
    assert_the_later_client_has(Arc::new(store), bob);
}

#[test]
fn a_second_client_takes_over_an_open_file() {
    let folder = tempfile::tempdir().unwrap();
    let key = StoreKey::from_bytes([7; 32]);
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::create(folder.path().join("bob"), &key, default_crypto()).unwrap());
    let bob = Client::create(Arc::clone(&store), default_crypto(), device("bob"), policy()).unwrap();
    assert_the_later_client_has(store, bob);
}
