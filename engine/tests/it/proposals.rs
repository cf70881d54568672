//! Tests of proposals by reference. The service orders them, and the next commit of any member
//! carries them out.

use crate::common::*;
use regrow_engine::{
    Change, Client, Error, HandshakeMode, Ignored, MemoryStore, Outgoing, Policy, Proposed, ReceivedEvent,
};

fn pair_with(handshake: HandshakeMode) -> (Client, Client) {
    let policy = Policy { handshake, ..policy() };
    let client = |user: &str| client_in(&MemoryStore::new(), user, policy.clone());
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    (alice, bob)
}

#[test]
fn an_own_proposal_that_was_not_ordered_is_not_committed() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let _unheard = alice.group(&group()).unwrap().propose_remove(&device("carol")).unwrap();

    let pending = alice.group(&group()).unwrap().update().unwrap();
    accept(&mut alice, pending, &mut [&mut bob, &mut carol]);

    assert_same_epoch(&mut [&mut alice, &mut bob, &mut carol]);
    assert_eq!(members(&mut alice), ["alice", "bob", "carol"]);
}

#[test]
fn a_delivered_own_proposal_is_committed() {
    for handshake in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let policy = Policy { handshake, ..policy() };
        let mut alice = client_in(&MemoryStore::new(), "alice", policy.clone());
        let mut bob = client_in(&MemoryStore::new(), "bob", policy.clone());
        let mut carol = client_in(&MemoryStore::new(), "carol", policy);
        make_group(&mut [&mut alice, &mut bob, &mut carol]);
        let proposal = alice.group(&group()).unwrap().propose_remove(&device("carol")).unwrap();

        let events = deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob, &mut carol]);
        assert!(matches!(events[0], ReceivedEvent::Own));
        assert!(matches!(&events[1], ReceivedEvent::Proposal { by, change }
            if *by == device("alice") && *change == Proposed::Remove(device("carol"))));
        let pending = alice.group(&group()).unwrap().commit().unwrap();
        accept(&mut alice, pending, &mut [&mut bob, &mut carol]);

        assert_eq!(members(&mut bob), ["alice", "bob"]);
    }
}

#[test]
fn a_proposal_that_is_delivered_twice_counts_once() {
    let store = MemoryStore::new();
    let (mut alice, mut bob, mut carol) = (client_in(&store, "alice", policy()), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let proposal = bob.group(&group()).unwrap().propose_remove(&device("carol")).unwrap();
    deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob, &mut carol]);
    let before = store::records(&store);

    let again = alice.receive(proposal.as_bytes(), NOW).unwrap().event;
    assert!(matches!(again, ReceivedEvent::Ignored(Ignored::AlreadyRead)), "{again:?}");
    assert!(matches!(bob.receive(proposal.as_bytes(), NOW).unwrap().event, ReceivedEvent::Own));

    assert!(store::records(&store) == before);
    let pending = alice.group(&group()).unwrap().commit().unwrap();
    assert_eq!(pending.changes(), [Change::Removed(device("carol"))]);
    accept(&mut alice, pending, &mut [&mut bob, &mut carol]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn two_proposals_to_add_one_device_add_it_once() {
    let (mut alice, mut bob, mut carol, mut dave) = (client("alice"), client("bob"), client("carol"), client("dave"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let first = alice.group(&group()).unwrap().propose_add(&key_package(&mut dave), NOW).unwrap();
    let second = bob.group(&group()).unwrap().propose_add(&key_package(&mut dave), NOW).unwrap();
    for proposal in [first, second] {
        deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob, &mut carol]);
    }

    let pending = carol.group(&group()).unwrap().commit().unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    accept(&mut carol, pending, &mut [&mut alice, &mut bob]);
    dave.join(&welcome, NOW).unwrap();

    assert_eq!(members(&mut dave), ["alice", "bob", "carol", "dave"]);
    assert_same_epoch(&mut [&mut alice, &mut bob, &mut carol, &mut dave]);
}

#[test]
fn an_addition_that_is_proposed_and_intended_happens_once() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob]);
    let proposal = bob.group(&group()).unwrap().propose_add(&key_package(&mut carol), NOW).unwrap();
    deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob]);

    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();

    assert_eq!(pending.changes(), [Change::Added(device("carol"))]);
    accept(&mut alice, pending, &mut [&mut bob]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_removal_that_is_proposed_twice_and_intended_happens_once() {
    let (mut alice, mut bob, mut carol, mut dave) = (client("alice"), client("bob"), client("carol"), client("dave"));
    make_group(&mut [&mut alice, &mut bob, &mut carol, &mut dave]);
    for proposal in [
        bob.group(&group()).unwrap().propose_remove(&device("dave")).unwrap(),
        carol.group(&group()).unwrap().propose_remove(&device("dave")).unwrap(),
    ] {
        deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob, &mut carol, &mut dave]);
    }

    let pending = alice.group(&group()).unwrap().remove(&[device("dave")]).unwrap();

    assert_eq!(pending.changes(), [Change::Removed(device("dave"))]);
    let events = accept(&mut alice, pending, &mut [&mut bob, &mut carol, &mut dave]);
    assert!(matches!(events[2], ReceivedEvent::Removed { .. }));
    assert_same_epoch(&mut [&mut alice, &mut bob, &mut carol]);
}

#[test]
fn one_commit_carries_out_proposals_of_several_members() {
    let mut alice = client("alice");
    let (mut bob, mut carol, mut dave, mut erin) = (client("bob"), client("carol"), client("dave"), client("erin"));
    make_group(&mut [&mut alice, &mut bob, &mut carol, &mut dave]);
    let erins = key_package(&mut erin);
    let proposals = [
        bob.group(&group()).unwrap().propose_update().unwrap(),
        carol.group(&group()).unwrap().leave().unwrap(),
        dave.group(&group()).unwrap().propose_add(&erins, NOW).unwrap(),
    ];
    for proposal in &proposals {
        deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob, &mut carol, &mut dave]);
    }

    let pending = alice.group(&group()).unwrap().commit().unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    let changes = pending.changes().to_vec();
    accept(&mut alice, pending, &mut [&mut bob, &mut carol, &mut dave]);
    erin.join(&welcome, NOW).unwrap();

    for change in [Change::Updated(device("bob")), Change::Removed(device("carol")), Change::Added(device("erin"))] {
        assert!(changes.contains(&change), "{changes:?}");
    }
    assert_same_epoch(&mut [&mut alice, &mut bob, &mut dave, &mut erin]);
    // Bob can commit with the keys that he proposed.
    update(&mut bob, &mut [&mut alice, &mut dave, &mut erin]);
    assert_same_epoch(&mut [&mut alice, &mut bob, &mut dave, &mut erin]);
}

#[test]
fn a_member_is_removed_although_it_proposed_an_update() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let proposal = bob.group(&group()).unwrap().propose_update().unwrap();
    deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob, &mut carol]);

    let pending = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();
    let events = accept(&mut alice, pending, &mut [&mut bob, &mut carol]);

    assert!(matches!(events[0], ReceivedEvent::Removed { .. }));
    assert_same_epoch(&mut [&mut alice, &mut carol]);
}

#[test]
fn a_member_does_not_commit_its_own_update_or_removal() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    for proposal in [
        alice.group(&group()).unwrap().propose_update().unwrap(),
        alice.group(&group()).unwrap().leave().unwrap(),
        bob.group(&group()).unwrap().propose_remove(&device("alice")).unwrap(),
    ] {
        deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob]);
    }

    assert!(matches!(alice.group(&group()).unwrap().commit(), Err(Error::NothingToCommit)));
    let pending = alice.group(&group()).unwrap().update().unwrap();
    accept(&mut alice, pending, &mut [&mut bob]);
    assert_eq!(members(&mut bob), ["alice", "bob"]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_proposal_expires_with_its_epoch() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let late = bob.group(&group()).unwrap().propose_remove(&device("carol")).unwrap();
    update(&mut alice, &mut [&mut bob, &mut carol]);

    let events = deliver(late.as_bytes(), &mut [&mut alice, &mut bob]);

    assert!(events.iter().all(|event| matches!(event, ReceivedEvent::Ignored(Ignored::PastEpoch))), "{events:?}");
    assert!(matches!(alice.group(&group()).unwrap().commit(), Err(Error::NothingToCommit)));
}

/// RFC 9420, 12.4: a member that has seen a proposal commits before it sends application data.
#[test]
fn nothing_is_sent_while_a_proposal_waits() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let leave = carol.group(&group()).unwrap().leave().unwrap();
    deliver(leave.as_bytes(), &mut [&mut alice, &mut bob, &mut carol]);

    assert!(matches!(alice.group(&group()).unwrap().send(b"too early"), Err(Error::ProposalsWait)));

    let pending = alice.group(&group()).unwrap().commit().unwrap();
    accept(&mut alice, pending, &mut [&mut bob, &mut carol]);
    assert_eq!(read(&mut bob, &send(&mut alice, b"now")), b"now");
}

#[test]
fn an_intent_to_leave_is_proposed_once_per_epoch() {
    let (mut alice, mut bob): (Client, Client) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let _first = bob.group(&group()).unwrap().leave().unwrap();
    assert_eq!(bob.group(&group()).unwrap().resume().unwrap(), None);

    update(&mut alice, &mut [&mut bob]);

    assert!(matches!(bob.group(&group()).unwrap().resume().unwrap(), Some(Outgoing::Proposal(_))));
    assert_eq!(bob.group(&group()).unwrap().resume().unwrap(), None);
}

#[test]
fn a_proposal_made_again_after_its_ordering_stays_ordered() {
    for handshake in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let (mut alice, mut bob) = pair_with(handshake);
        let first = alice.group(&group()).unwrap().propose_remove(&device("bob")).unwrap();
        bob.receive(first.as_bytes(), NOW).unwrap();
        alice.receive(first.as_bytes(), NOW).unwrap();

        // The service already has the same bytes, or never sees these bytes.
        let _again = alice.group(&group()).unwrap().propose_remove(&device("bob")).unwrap();
        let pending = alice.group(&group()).unwrap().commit().unwrap();

        assert!(pending.removed().eq([&device("bob")]));
        assert!(matches!(bob.receive(pending.commit(), NOW).unwrap().event, ReceivedEvent::Removed { .. }));
    }
}

#[test]
fn one_ordered_proposal_of_two_equal_ones_is_enough() {
    let (mut alice, mut bob) = pair_with(HandshakeMode::Opaque);
    let first = alice.group(&group()).unwrap().propose_remove(&device("bob")).unwrap();
    let second = alice.group(&group()).unwrap().propose_remove(&device("bob")).unwrap();
    assert_ne!(first.as_bytes(), second.as_bytes());
    assert!(matches!(alice.group(&group()).unwrap().commit(), Err(Error::NothingToCommit)));

    bob.receive(second.as_bytes(), NOW).unwrap();
    alice.receive(second.as_bytes(), NOW).unwrap();
    let pending = alice.group(&group()).unwrap().commit().unwrap();

    assert!(matches!(bob.receive(pending.commit(), NOW).unwrap().event, ReceivedEvent::Removed { .. }));
    assert!(matches!(alice.receive(first.as_bytes(), NOW).unwrap().event, ReceivedEvent::Own));
}
