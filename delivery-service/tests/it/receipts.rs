//! Receipts. Each log entry extends the hash chain of its group, and its receipt proves that.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    ChainHash, Delivery, DeliveryKind, DeliveryService,
    HandshakeMode::{Assisted, Opaque},
    Limits, Outcome, Receipt, Sequence, ServiceKey, SqliteStore,
};

const NAMES: [&str; 3] = ["alice", "bob", "carol"];

fn receipt(outcome: Outcome) -> Receipt {
    match outcome {
        Outcome::Accepted(receipt) => receipt,
        other => panic!("not accepted: {other:?}"),
    }
}

/// Checks that the deliveries form a hash chain that begins at `before`, and that each has a valid
/// receipt.
fn assert_chained(service: &TestService, before: ChainHash, deliveries: &[Delivery]) {
    let mut head = before;
    for delivery in deliveries {
        assert_eq!(delivery.receipt.verify(&service.public_key()), Ok(()));
        assert_eq!(delivery.chained(head), Some(delivery.receipt.head), "{delivery:?}");
        head = delivery.receipt.head;
    }
}

#[test]
fn deliveries_form_a_hash_chain_from_the_groups_creation() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let alice = Client::new("alice").create(&service, mode);
        let start = ChainHash::of_creation(&room(), &service.group_info(&room()).unwrap().unwrap());
        let mut alice = alice;
        say(&service, &mut alice, "hello");
        let commit = alice.commit(&[Client::new("bob").claimed_by(&service, &device("alice"))], &[]);
        accept(&service, &commit);
        alice.confirm();
        say(&service, &mut alice, "hello, bob");
        let deliveries = stream(&service, &alice.id());
        assert_eq!(deliveries.len(), 3);
        assert_chained(&service, start, &deliveries);
    }
}

#[test]
fn a_joiners_chain_begins_at_the_welcomes_receipt() {
    let service = service();
    let mut members = group_of(&service, Assisted, &NAMES);
    say(&service, &mut members[0], "hello");
    let bobs = stream(&service, &device("bob"));
    assert_eq!(bobs[0].kind, DeliveryKind::Welcome);
    assert_eq!(
        bobs[0].chained(ChainHash([0; 32])),
        None,
        "the joiner does not see the commit, so it cannot chain the welcome"
    );
    assert_chained(&service, bobs[0].receipt.head, &bobs[1..]);
}

#[test]
fn submitter_and_readers_get_the_same_receipt() {
    let service = service();
    let mut members = group_of(&service, Assisted, &NAMES);
    let bytes = members[0].send("hello");
    let submit = || receipt(service.submit_message(&room(), &device("alice"), &bytes, NOW).unwrap());
    let first = submit();
    assert_eq!(submit(), first);
    for name in NAMES {
        assert_eq!(stream(&service, &device(name)).last().unwrap().receipt, first, "{name}");
    }
}

#[test]
fn creating_a_group_returns_a_receipt() {
    let service = service();
    let alice = Client::new("alice").create_unregistered(&room(), Assisted);
    let info = alice.group_info();
    let create = || receipt(service.create_group(&room(), &alice.id(), Assisted, &info, NOW).unwrap());
    let created = create();
    assert_eq!((created.sequence, created.head), (Sequence(0), ChainHash::of_creation(&room(), &info)));
    assert_eq!(created.verify(&service.public_key()), Ok(()));
    assert_eq!(create(), created);
}

#[test]
fn a_store_keeps_its_key_and_its_chains() {
    let directory = tempfile::tempdir().unwrap();
    let open = |seed: u8| {
        let store = SqliteStore::open(directory.path().join("ds.sqlite")).unwrap();
        DeliveryService::open(store.into(), Limits::default(), ServiceKey::from_seed(&[seed; 32])).unwrap()
    };
    let key = open(1).public_key();
    let mut members = group_of(&open(2), Assisted, &NAMES);
    say(&open(3), &mut members[0], "hello");
    let service = open(4);
    assert_eq!(service.public_key(), key);
    say(&service, &mut members[0], "again");
    let bobs = stream(&service, &device("bob"));
    assert_chained(&service, bobs[0].receipt.head, &bobs[1..]);
}
