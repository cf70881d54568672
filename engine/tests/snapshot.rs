//! A snapshot is all that a device holds, and can be read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::*;
use regrow_engine::{Client, MemoryStore, Policy, default_crypto};

/// A device in the middle of everything: skipped messages, past epochs, proposals of its own and of others, a pending
/// commit, wishes, key packages, and a group that it is joining.
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
fn a_device_opened_from_a_snapshot_is_where_the_device_was() {
    let store = MemoryStore::new();
    let (_, mut bob) = busy(&store);
    let copy = bob.snapshot().unwrap().to_store();

    let mut twin = Client::open(Arc::new(copy.clone()), default_crypto(), policy()).unwrap();

    assert!(store::records(&copy) == store::records(&store));
    assert_eq!(twin.pending().unwrap(), bob.pending().unwrap());
    assert_same_epoch(&mut [&mut bob, &mut twin]);
}

#[test]
fn a_snapshot_is_not_shown_to_who_prints_it() {
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
fn nothing_lives_in_memory_alone() {
    let store = MemoryStore::new();
    let mut alice = client("alice");
    let mut bob = client_in(&store, "bob", policy());
    make_group(&mut [&mut alice, &mut bob]);

    // After every call another process goes on from what is stored.
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
