//! External commits: nothing happens until the delivery service has ordered them, and nothing remains if it does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{intruder::Intruder, *};
use openmls::prelude::OpenMlsProvider as _;
use regrow_engine::{Client, Error, Event, GroupId, MemoryStore, Policy, Refusal, default_crypto};

fn pair(store: &MemoryStore) -> (Client, Client) {
    let (mut alice, mut bob) = (client("alice"), client_in(store, "bob", policy()));
    make_group(&mut [&mut alice, &mut bob]);
    (alice, bob)
}

#[test]
fn a_newcomers_commit_changes_nothing_until_it_is_confirmed() {
    let store = MemoryStore::new();
    let (mut alice, _) = pair(&MemoryStore::new());
    let mut carol = client_in(&store, "carol", policy());
    let before = store::records(&store);

    let pending = carol.join_external(&group_info(&mut alice)).unwrap();

    assert!(matches!(carol.group(&group()), Err(Error::UnknownGroup { .. })));
    assert!(carol.groups().unwrap().is_empty());
    carol.discard(pending.clone()).unwrap();
    assert!(store::records(&store) == before);
    assert!(matches!(carol.confirm(pending, NOW), Err(Error::NotPending)));
}

#[test]
fn a_lost_race_from_outside_is_run_again_on_the_new_epoch() {
    let (mut alice, mut bob) = pair(&MemoryStore::new());
    let mut carol = client("carol");
    let stale = carol.join_external(&group_info(&mut alice)).unwrap();
    update(&mut bob, &mut [&mut alice]);
    carol.discard(stale).unwrap();

    let pending = carol.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut carol, pending, &mut [&mut alice, &mut bob]);

    assert_same_epoch(&mut [&mut alice, &mut bob, &mut carol]);
}

#[test]
fn an_attempt_to_join_takes_the_place_of_the_one_before() {
    let (mut alice, mut bob) = pair(&MemoryStore::new());
    let mut carol = client("carol");
    let first = carol.join_external(&group_info(&mut alice)).unwrap();
    let second = carol.join_external(&group_info(&mut alice)).unwrap();

    assert!(matches!(carol.confirm(first, NOW), Err(Error::NotPending)));
    accept(&mut carol, second, &mut [&mut alice, &mut bob]);
    assert_same_epoch(&mut [&mut alice, &mut bob, &mut carol]);
}

#[test]
fn an_own_external_commit_that_comes_back_is_confirmed_by_it() {
    let (mut alice, _) = pair(&MemoryStore::new());
    let mut carol = client("carol");
    let pending = carol.join_external(&group_info(&mut alice)).unwrap();
    deliver(pending.commit(), &mut [&mut alice]);

    let event = carol.receive(pending.commit(), NOW).unwrap().event;

    assert!(matches!(event, Event::Commit(change) if change.by == device("carol")));
    assert_same_epoch(&mut [&mut alice, &mut carol]);
}

#[test]
fn an_external_commit_outlives_a_restart() {
    let store = MemoryStore::new();
    let (mut alice, _) = pair(&MemoryStore::new());
    let mut carol = client_in(&store, "carol", policy());
    let pending = carol.join_external(&group_info(&mut alice)).unwrap();
    drop(carol);

    let mut carol = reopen(&store);

    assert_eq!(carol.pending().unwrap(), std::slice::from_ref(&pending));
    accept(&mut carol, pending, &mut [&mut alice]);
    drop(carol);
    assert_same_epoch(&mut [&mut alice, &mut reopen(&store)]);
    assert_eq!(read(&mut alice, &send(&mut reopen(&store), b"here")), b"here");
}

#[test]
fn the_group_that_is_there_goes_on_while_a_rejoin_waits() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = pair(&store);
    let pending = bob.join_external(&group_info(&mut alice)).unwrap();

    assert_eq!(read(&mut bob, &send(&mut alice, b"meanwhile")), b"meanwhile");
    bob.discard(pending).unwrap();
    update(&mut alice, &mut [&mut bob]);

    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_removed_device_can_come_back_from_outside() {
    let (mut alice, mut bob) = pair(&MemoryStore::new());
    let removal = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();
    accept(&mut alice, removal, &mut [&mut bob]);

    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    assert_eq!(pending.removed().count(), 0);
    accept(&mut bob, pending, &mut [&mut alice]);

    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn who_was_replaced_from_outside_is_removed_by_itself() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = pair(&store);
    let mut stale = Client::open(Arc::new(bob.snapshot().unwrap().to_store()), default_crypto(), policy()).unwrap();
    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    let commit = pending.commit().to_vec();
    accept(&mut bob, pending, &mut [&mut alice]);

    let event = stale.receive(&commit, NOW).unwrap().event;

    assert!(matches!(event, Event::Removed { by, .. } if by == device("bob")));
}

#[test]
fn a_device_without_its_leafs_key_does_not_join_beside_it() {
    let (mut alice, _) = pair(&MemoryStore::new());
    let mut another_bob = client("bob");

    let error = another_bob.join_external(&group_info(&mut alice)).unwrap_err();

    assert!(matches!(error, Error::Refused(Refusal::Duplicate(who)) if who == device("bob")));
}

/// The device's key is another by now; the leaf's is still there for it to come back with.
#[test]
fn a_device_rejoins_with_its_leafs_key_after_it_rotated_elsewhere() {
    let (mut alice, mut bob) = pair(&MemoryStore::new());
    let other = GroupId::new("other").unwrap();
    let rotation = bob.create_group(other.clone(), NOW).unwrap().rotate_signature_key().unwrap();
    bob.confirm(rotation, NOW).unwrap();

    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut bob, pending, &mut [&mut alice]);

    assert_eq!(members(&mut alice), ["alice", "bob"]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
    assert_eq!(read(&mut alice, &send(&mut bob, b"back")), b"back");
}

#[test]
fn a_group_info_with_a_false_signature_is_invalid_and_one_without_the_tree_needs_it() {
    let store = MemoryStore::new();
    let (mut alice, _) = pair(&MemoryStore::new());
    let mut carol = client_in(&store, "carol", policy());
    let before = store::records(&store);
    let mut forged = group_info(&mut alice);
    *forged.last_mut().unwrap() ^= 1;
    let mut mallory = Intruder::new(&device("mallory").to_identity());
    mallory.create(b"chat");
    let Intruder { provider, signer, group, .. } = &mallory;
    let treeless = group.as_ref().unwrap().export_group_info(provider.crypto(), &**signer, false).unwrap();

    assert!(matches!(carol.join_external(&forged), Err(Error::Invalid { .. })));
    let treeless = treeless.to_bytes().unwrap();
    assert!(matches!(carol.join_external(&treeless), Err(Error::NeedsRatchetTree { .. })));
    assert!(store::records(&store) == before);
}

#[test]
fn an_external_joiner_goes_by_its_own_policy() {
    let policy = Policy { past_epochs: 1, ..policy() };
    let (mut alice, mut bob) = pair(&MemoryStore::new());
    let mut carol = client_in(&MemoryStore::new(), "carol", policy);
    let pending = carol.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut carol, pending, &mut [&mut alice, &mut bob]);
    let late = send(&mut bob, b"late");
    update(&mut alice, &mut [&mut bob, &mut carol]);

    assert_eq!(read(&mut carol, &late), b"late");
}
