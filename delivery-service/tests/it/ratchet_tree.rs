//! Ratchet trees of assisted groups. The service keeps them and returns them to devices that join
//! without a tree.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::ops::ControlFlow;

use crate::common::*;
use crate::http::{World, room_path};
use axum::http::StatusCode;
use regrow_delivery_service::{
    Cursor, Epoch,
    HandshakeMode::{Assisted, Opaque},
    RejectReason, Sequence, SqliteStore, Store as _, StoreError,
    api::{self, Code},
    store::Table,
};

/// Creates a group of Alice, whose client sends no trees. She adds Bob. Bob has not joined yet.
fn invite_bob(service: &TestService) -> (Member, Client) {
    let (mut alice, bob) = (Client::new("alice").without_trees().create(service, Assisted), Client::new("bob"));
    accept(service, &alice.commit(&[bob.claimed_by(service, &device("alice"))], &[]));
    alice.confirm();
    (alice, bob)
}

fn update(service: &TestService, member: &mut Member) {
    accept(service, &member.update());
    member.confirm();
}

fn welcome_tree(service: &TestService, device: &str, epoch: u64) -> Option<Vec<u8>> {
    service.welcome_tree(&room(), &crate::common::device(device), Epoch(epoch)).unwrap()
}

fn tree(service: &TestService, epoch: u64) -> Option<Vec<u8>> {
    service.ratchet_tree(&room(), Epoch(epoch)).unwrap()
}

#[test]
fn a_late_joiner_gets_the_tree_of_its_welcome() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ds.sqlite");
    let open = || service_over(SqliteStore::open(&path).unwrap());
    let service = open();
    let (mut alice, bob) = invite_bob(&service);
    for _ in 0..3 {
        update(&service, &mut alice);
    }
    drop(service);

    let service = open();
    let entries = stream(&service, &device("bob"));
    let tree = welcome_tree(&service, "bob", 1).unwrap();
    let mut bob = bob.join_with(&entries[0].bytes, Some(&tree), Assisted);
    for entry in &entries[1..] {
        bob.receive(&entry.bytes);
    }
    assert_eq!(bob.authenticator(), alice.authenticator());
}

#[test]
fn only_an_invited_device_gets_the_tree_of_its_welcome() {
    let service = service();
    let (mut alice, _) = invite_bob(&service);
    update(&service, &mut alice);
    assert_eq!(welcome_tree(&service, "alice", 1), None);
    assert_eq!(welcome_tree(&service, "mallory", 1), None);
    assert_eq!((welcome_tree(&service, "bob", 0), welcome_tree(&service, "bob", 2)), (None, None));
    assert!(welcome_tree(&service, "bob", 1).is_some());

    for device in ["alice", "bob"] {
        service.acknowledge(&crate::common::device(device), Cursor(u64::MAX)).unwrap();
    }
    assert!(stream(&service, &device("bob")).is_empty());
    assert_eq!(welcome_tree(&service, "bob", 1), None);
}

#[test]
fn an_unneeded_tree_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ds.sqlite");
    let kept = || {
        let mut kept = 0;
        let mut store = SqliteStore::open_beside(&path).unwrap();
        let counted = store.transaction::<_, StoreError>(|tx| {
            tx.scan(Table::WelcomeTrees, &[0][..]..&[1][..], &mut |_, _| {
                kept += 1;
                Ok(ControlFlow::Continue(()))
            })
        });
        counted.unwrap();
        kept
    };
    let service = service_over(SqliteStore::open(&path).unwrap());
    let (mut alice, bob) = invite_bob(&service);
    update(&service, &mut alice);
    assert_eq!(kept(), 1, "only the tree of the commit that adds Bob is stored");
    for device in ["alice", "bob"] {
        service.acknowledge(&crate::common::device(device), Cursor(u64::MAX)).unwrap();
    }
    assert_eq!(kept(), 0);

    // If the welcome contains the tree, the service stores no second copy.
    drop(bob);
    alice.client.sends_trees = true;
    accept(&service, &alice.commit(&[Client::new("carol").claimed_by(&service, &device("alice"))], &[]));
    assert_eq!(kept(), 0);
}

#[test]
fn the_trees_of_the_last_two_epochs_are_available() {
    let service = service();
    let (mut alice, _) = invite_bob(&service);
    let mut trees = vec![alice.tree()];
    for _ in 0..3 {
        update(&service, &mut alice);
        trees.push(alice.tree());
    }
    assert_eq!(tree(&service, 4), Some(trees.pop().unwrap()));
    assert_eq!(tree(&service, 3), Some(trees.pop().unwrap()));
    for epoch in [0, 1, 2, 5, 6, u64::MAX] {
        assert_eq!(tree(&service, epoch), None, "{epoch}");
    }
    let nowhere = service.ratchet_tree(&group("another room"), Epoch(0)).unwrap();
    assert_eq!(nowhere, None);
}

#[test]
fn a_rollback_removes_the_tree_of_the_commit() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let before = members[0].tree();
    accept(&service, &members[0].update());
    assert!(tree(&service, 2).is_some());
    for by in ["bob", "carol"] {
        service.report_commit(&room(), &device(by), Sequence(2), NOW).unwrap();
    }

    assert_eq!(service.epoch(&room()).unwrap(), Some(Epoch(1)));
    assert_eq!(tree(&service, 1), Some(before));
    assert_eq!((tree(&service, 0), tree(&service, 2)), (None, None));
}

#[test]
fn an_opaque_group_needs_the_tree_in_the_group_info() {
    let service = service();
    let mut alice = Client::new("alice").without_trees().create(&service, Opaque);
    let commit = alice.update();
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), rejected(RejectReason::GroupInfoMismatch));
    alice.discard();
    alice.client.sends_trees = true;
    accept(&service, &alice.update());
    assert_eq!((tree(&service, 0), tree(&service, 1)), (None, None));
}

#[test]
fn a_group_is_not_created_without_its_tree() {
    let alice = Client::new("alice").without_trees();
    let service = service();
    let info = alice.create_unregistered(&room(), Assisted).group_info();
    for mode in [Assisted, Opaque] {
        let outcome = service.create_group(&room(), &device("alice"), mode, &info, NOW).unwrap();
        assert_eq!(outcome, rejected(RejectReason::GroupInfoMismatch));
    }
}

#[tokio::test]
async fn only_authorized_devices_get_a_tree() {
    let world = World::new().await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let (tablet, mallory) = (world.device("alice", "tablet").await, world.device("mallory", "phone").await);
    let mut members = world.group(Assisted, &[&alice]).await;
    members[0].client.sends_trees = false;
    let add = members[0].commit(&[world.claimed(&alice, &bob, &bob.client()).await], &[]);
    world.commit(&alice, &add).await.is(StatusCode::OK);
    members[0].confirm();
    let invited_to = members[0].tree();
    let removal = members[0].commit(&[], &[&bob.id()]);
    world.commit(&alice, &removal).await.is(StatusCode::OK);
    members[0].confirm();

    let get = async |path: &str, token: &str| world.call("GET", &room_path(path), Some(token), None).await;
    for who in [&alice, &tablet] {
        let present: api::RatchetTree = get("/trees/2", &who.token).await.ok();
        assert_eq!(present.ratchet_tree.0, members[0].tree());
    }
    // Bob may still read the tree of his welcome, but no later tree.
    let own: api::RatchetTree = get("/trees/1", &bob.token).await.ok();
    assert_eq!(own.ratchet_tree.0, invited_to);
    get("/trees/2", &bob.token).await.refused(Code::NotFound);
    for path in ["/trees/0", "/trees/1", "/trees/2", "/trees/3", "/trees/-1", "/trees/latest"] {
        get(path, &mallory.token).await.refused(Code::NotFound);
    }
    for path in ["/trees/0", "/trees/3", "/trees/99999999999999999999"] {
        get(path, &alice.token).await.refused(Code::NotFound);
    }
}
