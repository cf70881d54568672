//! Tests of external commits: they take effect only after the service has ordered them, and a
//! discarded one leaves no trace.

use std::sync::Arc;

use crate::common::{intruder::Intruder, *};
use openmls::prelude::OpenMlsProvider as _;
use regrow_engine::{Client, Error, GroupId, MemoryStore, Policy, ReceivedEvent, Refusal, default_crypto};

fn pair(store: &MemoryStore) -> (Client, Client) {
    let (mut alice, mut bob) = (client("alice"), client_in(store, "bob", policy()));
    make_group(&mut [&mut alice, &mut bob]);
    (alice, bob)
}

#[test]
fn an_external_commit_changes_nothing_until_it_is_confirmed() {
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
fn an_external_commit_that_lost_a_race_is_made_again() {
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
fn a_second_attempt_to_join_replaces_the_first() {
    let (mut alice, mut bob) = pair(&MemoryStore::new());
    let mut carol = client("carol");
    let first = carol.join_external(&group_info(&mut alice)).unwrap();
    let second = carol.join_external(&group_info(&mut alice)).unwrap();

    assert!(matches!(carol.confirm(first, NOW), Err(Error::NotPending)));
    accept(&mut carol, second, &mut [&mut alice, &mut bob]);
    assert_same_epoch(&mut [&mut alice, &mut bob, &mut carol]);
}

#[test]
fn a_delivered_own_external_commit_is_confirmed() {
    let (mut alice, _) = pair(&MemoryStore::new());
    let mut carol = client("carol");
    let pending = carol.join_external(&group_info(&mut alice)).unwrap();
    deliver(pending.commit(), &mut [&mut alice]);

    let event = carol.receive(pending.commit(), NOW).unwrap().event;

    assert!(matches!(event, ReceivedEvent::Commit(change) if change.by == device("carol")));
    assert_same_epoch(&mut [&mut alice, &mut carol]);
}

#[test]
fn an_external_commit_survives_a_restart() {
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
fn the_existing_group_works_while_a_rejoin_is_pending() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = pair(&store);
    let pending = bob.join_external(&group_info(&mut alice)).unwrap();

    assert_eq!(read(&mut bob, &send(&mut alice, b"meanwhile")), b"meanwhile");
    bob.discard(pending).unwrap();
    update(&mut alice, &mut [&mut bob]);

    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_removed_device_can_join_by_external_commit() {
    let (mut alice, mut bob) = pair(&MemoryStore::new());
    let removal = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();
    accept(&mut alice, removal, &mut [&mut bob]);

    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    assert_eq!(pending.removed().count(), 0);
    accept(&mut bob, pending, &mut [&mut alice]);

    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_stale_copy_is_removed_by_its_own_external_commit() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = pair(&store);
    let mut stale = Client::open(Arc::new(bob.snapshot().unwrap().to_store()), default_crypto(), policy()).unwrap();
    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    let commit = pending.commit().to_vec();
    accept(&mut bob, pending, &mut [&mut alice]);

    let event = stale.receive(&commit, NOW).unwrap().event;

    assert!(matches!(event, ReceivedEvent::Removed { by, .. } if by == device("bob")));
}

#[test]
fn a_device_without_its_leafs_key_cannot_join() {
    let (mut alice, _) = pair(&MemoryStore::new());
    let mut another_bob = client("bob");

    let error = another_bob.join_external(&group_info(&mut alice)).unwrap_err();

    assert!(matches!(error, Error::Refused(Refusal::Duplicate(who)) if who == device("bob")));
}

/// The device's current signature key differs from the leaf's key. The device still has the leaf's
/// key and rejoins with it.
#[test]
fn a_device_rejoins_with_its_leafs_key_after_a_rotation() {
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
fn a_group_info_needs_a_valid_signature_and_the_tree() {
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
fn an_external_joiner_follows_its_own_policy() {
    let policy = Policy { past_epochs: 1, ..policy() };
    let (mut alice, mut bob) = pair(&MemoryStore::new());
    let mut carol = client_in(&MemoryStore::new(), "carol", policy);
    let pending = carol.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut carol, pending, &mut [&mut alice, &mut bob]);
    let late = send(&mut bob, b"late");
    update(&mut alice, &mut [&mut bob, &mut carol]);

    assert_eq!(read(&mut carol, &late), b"late");
}
