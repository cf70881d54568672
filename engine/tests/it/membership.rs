//! Tests of joining, leaving, removing and rejoining: the members of a group, and the messages that
//! they can read.

use crate::common::*;
use regrow_engine::{Change, Error, HandshakeMode, MemoryStore, Outgoing, Policy, ReceivedEvent};

#[test]
fn added_members_read_messages() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);

    let message = send(&mut alice, b"hello");

    assert_eq!(read(&mut bob, &message), b"hello");
    assert_eq!(read(&mut carol, &message), b"hello");
    assert_same_epoch(&mut [&mut alice, &mut bob, &mut carol]);
}

#[test]
fn a_removed_member_gets_the_removal_and_reads_no_more() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);

    let pending = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();
    let events = accept(&mut alice, pending, &mut [&mut bob, &mut carol]);

    assert!(matches!(&events[0], ReceivedEvent::Removed { by, .. } if *by == device("alice")));
    assert!(matches!(&events[1], ReceivedEvent::Commit(change) if change.changes == [Change::Removed(device("bob"))]));
    let message = send(&mut alice, b"without bob");
    assert!(matches!(bob.receive(&message, NOW), Err(Error::Removed { .. })));
    assert!(matches!(bob.group(&group()), Err(Error::Removed { .. })));
    assert_eq!(read(&mut carol, &message), b"without bob");
}

#[test]
fn members_agree_after_an_update_and_a_signature_key_rotation() {
    for handshake in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let policy = Policy { handshake, ..policy() };
        let mut alice = client_in(&MemoryStore::new(), "alice", policy.clone());
        let mut bob = client_in(&MemoryStore::new(), "bob", policy.clone());
        make_group(&mut [&mut alice, &mut bob]);
        let before = alice.signature_key().unwrap();

        let pending = bob.group(&group()).unwrap().update().unwrap();
        accept(&mut bob, pending, &mut [&mut alice]);
        let pending = alice.group(&group()).unwrap().rotate_signature_key().unwrap();
        accept(&mut alice, pending, &mut [&mut bob]);

        assert_ne!(alice.signature_key().unwrap(), before);
        assert_same_epoch(&mut [&mut alice, &mut bob]);
        let message = send(&mut alice, b"new keys");
        assert_eq!(read(&mut bob, &message), b"new keys");
    }
}

#[test]
fn a_proposal_to_leave_takes_effect_with_another_members_commit() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);

    let leave = bob.group(&group()).unwrap().leave().unwrap();
    deliver(leave.as_bytes(), &mut [&mut alice, &mut bob]);
    let pending = alice.group(&group()).unwrap().commit().unwrap();
    let events = accept(&mut alice, pending, &mut [&mut bob]);

    assert!(matches!(events[0], ReceivedEvent::Removed { .. }));
    assert_eq!(alice.group(&group()).unwrap().roster().unwrap().len(), 1);
}

#[test]
fn an_intent_to_leave_survives_the_end_of_the_epoch() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let unheard = bob.group(&group()).unwrap().leave().unwrap();

    let pending = alice.group(&group()).unwrap().update().unwrap();
    let events = accept(&mut alice, pending, &mut [&mut bob]);

    assert!(matches!(&events[0], ReceivedEvent::Commit(change) if change.resume));
    let Some(Outgoing::Proposal(again)) = bob.group(&group()).unwrap().resume().unwrap() else { panic!("no proposal") };
    assert_ne!(again.as_bytes(), unheard.as_bytes());
    deliver(again.as_bytes(), &mut [&mut alice, &mut bob]);
    let pending = alice.group(&group()).unwrap().commit().unwrap();
    accept(&mut alice, pending, &mut [&mut bob]);
    assert!(matches!(bob.group(&group()), Err(Error::Removed { .. })));
}

#[test]
fn a_device_joins_by_external_commit() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob]);
    let info = alice.group(&group()).unwrap().group_info().unwrap();

    let pending = carol.join_external(&info).unwrap();
    let events = accept(&mut carol, pending, &mut [&mut alice, &mut bob]);

    assert!(matches!(&events[0], ReceivedEvent::Commit(change) if change.changes == [Change::Added(device("carol"))]));
    assert_same_epoch(&mut [&mut alice, &mut bob, &mut carol]);
    let message = send(&mut carol, b"here");
    assert_eq!(read(&mut alice, &message), b"here");
}

#[test]
fn a_device_that_lost_its_group_replaces_its_old_leaf() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    bob.forget(&group()).unwrap();
    let info = alice.group(&group()).unwrap().group_info().unwrap();

    let pending = bob.join_external(&info).unwrap();
    assert_eq!(pending.removed().count(), 1);
    accept(&mut bob, pending, &mut [&mut alice]);

    assert_eq!(alice.group(&group()).unwrap().roster().unwrap().len(), 2);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_discarded_external_commit_does_not_change_the_group() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let info = alice.group(&group()).unwrap().group_info().unwrap();

    let pending = bob.join_external(&info).unwrap();
    bob.discard(pending).unwrap();

    assert_same_epoch(&mut [&mut alice, &mut bob]);
    let message = send(&mut alice, b"still here");
    assert_eq!(read(&mut bob, &message), b"still here");
}

/// The new leaf has the signature key of the key package, which may differ from the device's
/// current key.
#[test]
fn a_device_added_with_an_old_signature_key_works() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    let older = key_package(&mut bob);
    make_group(&mut [&mut alice, &mut bob]);
    let rotation = bob.group(&group()).unwrap().rotate_signature_key().unwrap();
    accept(&mut bob, rotation, &mut [&mut alice]);
    let removal = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();
    accept(&mut alice, removal, &mut [&mut bob]);

    let invitation = alice.group(&group()).unwrap().add(&[older], NOW).unwrap();
    let welcome = invitation.welcome().unwrap().to_vec();
    alice.confirm(invitation, NOW).unwrap();
    bob.join(&welcome, NOW).unwrap();

    assert_eq!(read(&mut alice, &send(&mut bob, b"back")), b"back");
    update(&mut bob, &mut [&mut alice]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}
