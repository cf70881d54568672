//! Tests of snapshots: a snapshot contains everything that a device stores, and all of it can be
//! read.

use std::sync::Arc;

use crate::common::*;
use regrow_engine::{Client, MemoryStore, Policy, default_crypto};

/// Creates a device with all kinds of records: skipped messages, past epochs, own and received
/// proposals, a pending commit, intents, key packages, and a group that it is joining.
fn busy(store: &MemoryStore) -> (Client, Client) {
    let policy = Policy { past_epochs: 2, ..policy() };
    let (mut alice, mut bob) = (client("alice"), client_in(store, "bob", policy));
    make_group(&mut [&mut alice, &mut bob]);
    update(&mut alice, &mut [&mut bob]);
    let _skipped = send(&mut alice, b"skipped");
    read(&mut bob, &send(&mut alice, b"read"));
    let _unordered = bob.group(&group()).unwrap().propose_update().unwrap();
    let leave = alice.group(&group()).unwrap().leave().unwrap();
    deliver(leave.as_bytes(), &mut [&mut bob, &mut alice]);
    bob.last_resort_key_package(NOW).unwrap();
    let _pending = bob.group(&group()).unwrap().rotate_signature_key().unwrap();
    let _joining = bob.join_external(&group_info(&mut alice)).unwrap();
    (alice, bob)
}

#[test]
fn every_record_has_a_name_and_can_be_decoded() {
    let store = MemoryStore::new();
    let (_, bob) = busy(&store);

    let snapshot = bob.snapshot().unwrap();

    assert_eq!(snapshot.records().len(), store::records(&store).len());
    for record in snapshot.records() {
        assert!(!record.name().contains("unknown"), "{}", record.name());
        assert!(record.decode().is_some(), "{} cannot be decoded", record.name());
    }
}

#[test]
fn a_device_opened_from_a_snapshot_has_the_same_state() {
    let store = MemoryStore::new();
    let (_, mut bob) = busy(&store);
    let copy = bob.snapshot().unwrap().to_store();

    let mut twin = Client::open(Arc::new(copy.clone()), default_crypto(), policy()).unwrap();

    assert!(store::records(&copy) == store::records(&store));
    assert_eq!(twin.pending().unwrap(), bob.pending().unwrap());
    assert_same_epoch(&mut [&mut bob, &mut twin]);
}

#[test]
fn debug_output_does_not_show_the_contents_of_a_snapshot() {
    let store = MemoryStore::new();
    let (_, bob) = busy(&store);
    let snapshot = bob.snapshot().unwrap();

    assert_eq!(
        format!("{snapshot:?}"),
        format!("Snapshot {{ device: bob/phone, records: {} }}", snapshot.records().len())
    );
    for record in snapshot.records() {
        assert!(format!("{record:?}").len() < 120);
    }
}

#[test]
fn every_state_is_stored_after_each_call() {
    let store = MemoryStore::new();
    let mut alice = client("alice");
    let mut bob = client_in(&store, "bob", policy());
    make_group(&mut [&mut alice, &mut bob]);

    // After every call, a new process continues from the stored state.
    for turn in 0..3 {
        let mut bob = reopen(&store);
        read(&mut bob, &send(&mut alice, b"hello"));
        let message = send(&mut reopen(&store), b"hello yourself");
        read(&mut alice, &message);
        let pending = reopen(&store).group(&group()).unwrap().update().unwrap();
        let mut bob = reopen(&store);
        if turn % 2 == 0 {
            accept(&mut bob, pending, &mut [&mut alice]);
        } else {
            bob.discard(pending).unwrap();
            update(&mut alice, &mut [&mut reopen(&store)]);
        }
        assert_same_epoch(&mut [&mut alice, &mut reopen(&store)]);
    }
}
