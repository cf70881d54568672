//! Tests of this device's commits, which change nothing until they are confirmed or discarded, and
//! of intents.

use crate::common::*;
use regrow_engine::{Change, Error, HandshakeMode, MemoryStore, Outgoing, Policy, ReceivedEvent};

#[test]
fn a_commit_changes_nothing_until_it_is_confirmed() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);

    let pending = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();

    assert_same_epoch(&mut [&mut alice, &mut bob]);
    assert_eq!(members(&mut alice), ["alice", "bob"]);
    alice.confirm(pending, NOW).unwrap();
    assert_eq!(members(&mut alice), ["alice"]);
}

#[test]
fn a_pending_commit_is_not_replaced_by_another() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let first = alice.group(&group()).unwrap().update().unwrap();
    let carol = key_package(&mut client("carol"));

    let mut chat = alice.group(&group()).unwrap();
    let attempts = [
        chat.update(),
        chat.rotate_signature_key(),
        chat.commit(),
        chat.remove(&[device("bob")]),
        chat.add(&[carol], NOW),
    ];

    assert!(attempts.iter().all(|attempt| matches!(attempt, Err(Error::CommitPending { .. }))), "{attempts:?}");
    accept(&mut alice, first, &mut [&mut bob]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn resume_returns_the_pending_commit() {
    let mut alice = client("alice");
    make_group(&mut [&mut alice]);
    let pending = alice.group(&group()).unwrap().update().unwrap();

    let resumed = alice.group(&group()).unwrap().resume().unwrap();

    assert_eq!(resumed, Some(Outgoing::Commit(pending)));
}

#[test]
fn a_commit_is_confirmed_once() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let pending = alice.group(&group()).unwrap().update().unwrap();
    let again = pending.clone();
    accept(&mut alice, pending, &mut [&mut bob]);

    assert!(matches!(alice.confirm(again.clone(), NOW), Err(Error::NotPending)));
    assert!(matches!(alice.discard(again), Err(Error::NotPending)));
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_discarded_commit_cannot_be_confirmed() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let pending = alice.group(&group()).unwrap().update().unwrap();
    alice.discard(pending.clone()).unwrap();

    assert!(matches!(alice.confirm(pending, NOW), Err(Error::NotPending)));
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn an_earlier_commit_cannot_confirm_its_replacement() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let first = alice.group(&group()).unwrap().update().unwrap();
    alice.discard(first.clone()).unwrap();
    let Some(Outgoing::Commit(second)) = alice.group(&group()).unwrap().resume().unwrap() else { panic!("no commit") };

    assert!(matches!(alice.confirm(first, NOW), Err(Error::NotPending)));
    accept(&mut alice, second, &mut [&mut bob]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_delivered_own_commit_is_confirmed() {
    for handshake in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let policy = Policy { handshake, ..policy() };
        let mut alice = client_in(&MemoryStore::new(), "alice", policy.clone());
        let mut bob = client_in(&MemoryStore::new(), "bob", policy);
        make_group(&mut [&mut alice, &mut bob]);
        let pending = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();

        let event = alice.receive(pending.commit(), NOW).unwrap().event;

        assert!(matches!(event, ReceivedEvent::Commit(change) if change.changes == [Change::Removed(device("bob"))]));
        assert!(matches!(alice.confirm(pending, NOW), Err(Error::NotPending)));
    }
}

#[test]
fn a_device_that_loses_a_race_tries_again() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let lost = alice.group(&group()).unwrap().remove(&[device("carol")]).unwrap();
    let won = bob.group(&group()).unwrap().update().unwrap();

    let events = accept(&mut bob, won, &mut [&mut alice, &mut carol]);

    assert!(matches!(&events[0], ReceivedEvent::Commit(change) if change.resume));
    assert!(matches!(alice.confirm(lost, NOW), Err(Error::NotPending)));
    let Some(Outgoing::Commit(again)) = alice.group(&group()).unwrap().resume().unwrap() else { panic!("no commit") };
    accept(&mut alice, again, &mut [&mut bob, &mut carol]);
    assert_eq!(members(&mut bob), ["alice", "bob"]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn an_intent_that_another_member_fulfils_is_done() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let lost = alice.group(&group()).unwrap().remove(&[device("carol")]).unwrap();
    let won = bob.group(&group()).unwrap().remove(&[device("carol")]).unwrap();
    let events = accept(&mut bob, won, &mut [&mut alice]);

    assert!(matches!(&events[0], ReceivedEvent::Commit(change) if !change.resume));
    assert_eq!(alice.group(&group()).unwrap().resume().unwrap(), None);
    assert!(matches!(alice.discard(lost), Err(Error::NotPending)));
}

#[test]
fn a_fulfilled_removal_does_not_affect_a_later_addition() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let _lost = alice.group(&group()).unwrap().remove(&[device("carol")]).unwrap();
    let won = bob.group(&group()).unwrap().remove(&[device("carol")]).unwrap();
    accept(&mut bob, won, &mut [&mut alice, &mut carol]);
    let back = bob.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    accept(&mut bob, back, &mut [&mut alice]);

    assert_eq!(alice.group(&group()).unwrap().resume().unwrap(), None);
}

#[test]
fn two_members_that_add_the_same_device_add_it_once() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob]);
    let _lost = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    let won = bob.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    accept(&mut bob, won, &mut [&mut alice]);

    assert_eq!(alice.group(&group()).unwrap().resume().unwrap(), None);
    assert_eq!(members(&mut alice), ["alice", "bob", "carol"]);
}

#[test]
fn the_next_commit_carries_out_all_intents() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let removal = alice.group(&group()).unwrap().remove(&[device("carol")]).unwrap();
    alice.discard(removal).unwrap();

    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut client("dave"))], NOW).unwrap();
    accept(&mut alice, pending, &mut [&mut bob]);

    assert_eq!(members(&mut bob), ["alice", "bob", "dave"]);
}

#[test]
fn abandoned_intents_are_not_tried_again() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let _pending = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();

    alice.group(&group()).unwrap().abandon().unwrap();

    assert_eq!(alice.group(&group()).unwrap().resume().unwrap(), None);
    assert_eq!(alice.group(&group()).unwrap().pending().unwrap(), None);
}

#[test]
fn an_intent_survives_a_restart() {
    let store = MemoryStore::new();
    let mut alice = client_in(&store, "alice", policy());
    let mut bob = client("bob");
    make_group(&mut [&mut alice, &mut bob]);
    let pending = alice.group(&group()).unwrap().rotate_signature_key().unwrap();
    drop(alice);

    let mut alice = reopen(&store);

    assert_eq!(alice.pending().unwrap(), std::slice::from_ref(&pending));
    alice.discard(pending).unwrap();
    let Some(Outgoing::Commit(again)) = reopen(&store).group(&group()).unwrap().resume().unwrap() else {
        panic!("no commit")
    };
    let mut alice = reopen(&store);
    accept(&mut alice, again, &mut [&mut bob]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
    assert_eq!(read(&mut bob, &send(&mut alice, b"new key")), b"new key");
}

#[test]
fn a_removed_device_loses_its_pending_commit_and_intents() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let lost = bob.group(&group()).unwrap().rotate_signature_key().unwrap();
    let won = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();

    accept(&mut alice, won, &mut [&mut bob]);

    assert!(matches!(bob.confirm(lost, NOW), Err(Error::Removed { .. })));
    assert!(bob.pending().unwrap().is_empty());
}

#[test]
fn impossible_changes_are_refused_and_store_no_intent() {
    let mut alice = client("alice");
    let mut bob = client("bob");
    make_group(&mut [&mut alice, &mut bob]);
    let bobs = key_package(&mut bob);

    let mut chat = alice.group(&group()).unwrap();
    assert!(matches!(chat.remove(&[device("alice")]), Err(Error::OwnRemoval)));
    assert!(matches!(chat.remove(&[device("nobody")]), Err(Error::UnknownMember { .. })));
    assert!(matches!(chat.add(&[bobs], NOW), Err(Error::AlreadyMember { .. })));
    assert!(matches!(chat.add(&[], NOW), Err(Error::NothingToCommit)));
    assert!(matches!(chat.commit(), Err(Error::NothingToCommit)));

    assert_eq!(chat.resume().unwrap(), None);
    assert_eq!(chat.pending().unwrap(), None);
}
