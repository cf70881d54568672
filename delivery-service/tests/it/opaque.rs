//! Opaque mode: handshakes are encrypted and the sender declares the roster change. The ordering
//! rules are the same.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    DeliveryKind, DeviceId, Epoch,
    HandshakeMode::{Assisted, Opaque},
    Outcome, RejectReason, RosterChange,
};

fn id(name: &str) -> DeviceId {
    device(name)
}

#[test]
fn the_declared_roster_change_is_applied() {
    let service = service();
    let mut members = group_of(&service, Opaque, &["alice", "bob"]);
    let commit = members[0].commit(&[Client::new("carol").claimed_by(&service, &device("alice"))], &[&id("bob")]);
    accept(&service, &commit);
    let roster = service.roster(&room()).unwrap().unwrap();
    assert_eq!((roster.epoch, roster.devices), (Epoch(2), devices(&["alice", "carol"])));
    assert_eq!(stream(&service, &id("carol"))[0].kind, DeliveryKind::Welcome);
}

#[test]
fn one_encrypted_commit_per_epoch_is_accepted() {
    let service = service();
    let mut members = group_of(&service, Opaque, &["alice", "bob"]);
    let (first, second) = (members[0].update(), members[1].update());
    let answer = accept(&service, &first);
    assert_eq!(service.submit_commit(&second, NOW).unwrap(), Outcome::Stale { current_epoch: Epoch(2) });
    assert_eq!(accept(&service, &first), answer);
}

#[test]
fn handshakes_must_be_private_messages() {
    let service = service();
    group_of(&service, Opaque, &["alice", "bob"]);
    let mut open = Client::new("alice").create_unregistered(&room(), Assisted);
    open.update();
    open.confirm();
    let commit = open.update();
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), rejected(RejectReason::WrongWireFormat));
    open.discard();
    let proposal = open.propose_to_update(None);
    let outcome = service.submit_proposal(&room(), &id("alice"), &proposal, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::WrongWireFormat));
}

#[test]
fn encrypted_proposals_are_ordered_and_committed() {
    let service = service();
    let mut members = group_of(&service, Opaque, &["alice", "bob"]);
    let leave = members[1].propose_to_leave();
    let outcome = service.submit_proposal(&room(), &id("bob"), &leave, NOW).unwrap();
    assert!(matches!(outcome, Outcome::Accepted(_)));
    members[0].receive(&leave);
    let commit = members[0].update();
    accept(&service, &commit);
    assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice"]));
}

#[test]
fn impossible_roster_changes_are_refused() {
    let service = service();
    let mut members = group_of(&service, Opaque, &["alice", "bob"]);
    let mut commit = members[0].commit(&[Client::new("carol").claimed_by(&service, &device("alice"))], &[]);
    for (added, removed) in [
        (vec!["bob"], vec![]),
        (vec!["carol"], vec!["mallory"]),
        (vec!["carol"], vec!["alice"]),
        (vec!["alice"], vec!["alice"]),
    ] {
        commit.roster_change = RosterChange { added: devices(&added), removed: devices(&removed) };
        let outcome = service.submit_commit(&commit, NOW).unwrap();
        assert_eq!(outcome, rejected(RejectReason::ImpossibleRosterChange), "{added:?} {removed:?}");
    }
    register(&service, &id("dave"));
    commit.roster_change = RosterChange { added: devices(&["carol", "dave"]), removed: devices(&[]) };
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), rejected(RejectReason::WelcomeMismatch));
}

#[test]
fn an_external_commit_changes_only_its_senders_membership() {
    let service = service();
    group_of(&service, Opaque, &["alice", "bob"]);
    let info = service.group_info(&room()).unwrap().unwrap();
    let (mut carol, join) = Client::new("carol").join_externally(&info, Opaque);
    for (added, removed) in
        [(vec![], vec![]), (vec!["dave"], vec![]), (vec!["carol", "dave"], vec![]), (vec!["carol"], vec!["bob"])]
    {
        let mut lie = join.clone();
        lie.roster_change = RosterChange { added: devices(&added), removed: devices(&removed) };
        let outcome = service.submit_commit(&lie, NOW).unwrap();
        assert_eq!(outcome, rejected(RejectReason::RosterMismatch), "{added:?} {removed:?}");
    }
    accept(&service, &join);
    say(&service, &mut carol, "hello");
    assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice", "bob", "carol"]));
}

#[test]
fn an_external_commit_to_an_opaque_group_is_verified() {
    let service = service();
    let mut members = group_of(&service, Opaque, &["alice", "bob"]);
    let info = service.group_info(&room()).unwrap().unwrap();
    let (_, join) = Client::new("carol").join_externally(&info, Opaque);
    let mut of_another = join.clone();
    of_another.sender = id("dave");
    assert_eq!(service.submit_commit(&of_another, NOW).unwrap(), rejected(RejectReason::NotSignedBySender));
    let mut tampered = join.clone();
    let middle = tampered.commit.len() / 2;
    tampered.commit[middle] ^= 1;
    let outcome = service.submit_commit(&tampered, NOW).unwrap();
    assert!(matches!(outcome, Outcome::Rejected(RejectReason::Invalid(_) | RejectReason::Malformed)), "{outcome:?}");

    let mut commit = members[0].update();
    commit.group_info = None;
    accept(&service, &commit);
    members[0].confirm();
    let (_, join) = Client::new("carol").join_externally(&members[0].group_info(), Opaque);
    assert_eq!(service.submit_commit(&join, NOW).unwrap(), rejected(RejectReason::NoGroupInfo));
}

#[test]
fn a_group_info_must_be_of_the_new_epoch() {
    let service = service();
    let mut members = group_of(&service, Opaque, &["alice", "bob"]);
    let of_now = members[0].group_info();
    let mut commit = members[0].update();
    commit.group_info = Some(of_now);
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), rejected(RejectReason::GroupInfoMismatch));
}

#[test]
fn a_member_rejoins_by_external_commit() {
    let service = service();
    let mut members = group_of(&service, Opaque, &["alice", "bob"]);
    let info = service.group_info(&room()).unwrap().unwrap();
    let bob = members.pop().unwrap();
    let (mut bob, rejoin) = bob.client.join_externally(&info, Opaque);
    accept(&service, &rejoin);
    say(&service, &mut bob, "back");
}
