//! Assisted mode: the service tracks the public group and refuses handshakes that it cannot verify.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    CommitSubmission, DeviceId, Epoch,
    HandshakeMode::{Assisted, Opaque},
    Outcome, RejectReason, RosterChange,
};

fn id(name: &str) -> DeviceId {
    device(name)
}

fn is_invalid(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Rejected(RejectReason::Invalid(_)))
}

#[test]
fn each_commit_updates_the_roster() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let roster = service.roster(&room()).unwrap().unwrap();
    assert_eq!((roster.epoch, roster.devices), (Epoch(1), devices(&["alice", "bob", "carol"])));
    let commit = members[1].commit(&[Client::new("dave").claimed_by(&service, &device("bob"))], &[&id("carol")]);
    accept(&service, &commit);
    let roster = service.roster(&room()).unwrap().unwrap();
    assert_eq!((roster.epoch, roster.devices), (Epoch(2), devices(&["alice", "bob", "dave"])));
}

#[test]
fn a_member_cannot_submit_a_commit_that_another_signed() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let mut commit = members[0].update();
    commit.sender = id("bob");
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), rejected(RejectReason::NotSignedBySender));
    assert_eq!(service.epoch(&room()).unwrap(), Some(Epoch(1)));
}

#[test]
fn a_commit_with_a_changed_signed_byte_is_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let good = members[0].update();
    let before = visible(&service, &["alice", "bob"]);
    // Only members can check the confirmation tag and the membership tag at the end (RFC 9420, 6.1
    // and 6.2).
    let tags = 2 * 33;
    for at in (0..good.commit.len() - tags).step_by(7) {
        let mut tampered = good.clone();
        tampered.commit[at] ^= 1;
        let outcome = service.submit_commit(&tampered, NOW).unwrap();
        assert!(!matches!(outcome, Outcome::Accepted(_)), "byte {at}");
    }
    assert_eq!(visible(&service, &["alice", "bob"]), before);
    accept(&service, &good);
}

#[test]
fn a_commit_of_a_removed_member_is_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let remove = members[0].commit(&[], &[&id("bob")]);
    let by_bob = members[1].update();
    accept(&service, &remove);
    assert_eq!(service.submit_commit(&by_bob, NOW).unwrap(), rejected(RejectReason::NotAMember));
}

#[test]
fn a_declared_roster_change_must_match_the_commit() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let mut commit = members[0].commit(&[], &[&id("carol")]);
    commit.roster_change = RosterChange::default();
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), rejected(RejectReason::RosterMismatch));
    commit.roster_change.removed = devices(&["bob"]);
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), rejected(RejectReason::RosterMismatch));
}

#[test]
fn no_device_is_in_a_group_twice() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let second_bob = Client::new("bob");
    let commit = members[0].commit(&[second_bob.claimed_by(&service, &device("alice"))], &[]);
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), rejected(RejectReason::ImpossibleRosterChange));
    members[0].discard();
    let twins = [Client::new("carol").key_package(), Client::new("carol").key_package()];
    let commit = members[0].commit(&twins, &[]);
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), rejected(RejectReason::ImpossibleRosterChange));
}

#[test]
fn a_welcome_must_be_for_the_added_devices() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let other = members[0].commit(&[Client::new("dave").claimed_by(&service, &device("alice"))], &[]);
    members[0].discard();
    let good = members[0].commit(&[Client::new("carol").claimed_by(&service, &device("alice"))], &[]);
    for welcome in [None, other.welcome.clone()] {
        let bad = CommitSubmission { welcome, ..good.clone() };
        assert_eq!(service.submit_commit(&bad, NOW).unwrap(), rejected(RejectReason::WelcomeMismatch));
    }
    accept(&service, &good);
    members[0].confirm();
    let mut update = members[0].update();
    update.welcome = other.welcome;
    assert_eq!(service.submit_commit(&update, NOW).unwrap(), rejected(RejectReason::WelcomeMismatch));
}

#[test]
fn a_group_info_must_match_the_new_epoch_and_committer() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let of_now = members[0].group_info();
    let other = members[0].update();
    members[0].discard();
    let good = members[0].update();
    let mut forged = good.group_info.clone().unwrap();
    *forged.last_mut().unwrap() ^= 1;
    for group_info in [Some(of_now), other.group_info, Some(forged)] {
        let bad = CommitSubmission { group_info, ..good.clone() };
        assert_eq!(service.submit_commit(&bad, NOW).unwrap(), rejected(RejectReason::GroupInfoMismatch));
    }
    accept(&service, &good);
    assert_eq!(service.group_info(&room()).unwrap(), good.group_info);
}

#[test]
fn a_commit_without_a_group_info_removes_the_stored_one() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let mut commit = members[0].update();
    commit.group_info = None;
    accept(&service, &commit);
    assert_eq!(service.group_info(&room()).unwrap(), None);
    members[0].confirm();
    accept(&service, &members[0].update());
    assert!(service.group_info(&room()).unwrap().is_some());
}

#[test]
fn a_commit_carries_out_proposals_of_other_members() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let leave = members[2].propose_to_leave();
    let update = members[1].propose_to_update(None);
    for (sender, proposal) in [("carol", &leave), ("bob", &update)] {
        let outcome = service.submit_proposal(&room(), &id(sender), proposal, NOW).unwrap();
        assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
        members[0].receive(proposal);
    }
    let commit = members[0].update();
    assert_eq!(commit.roster_change.removed, devices(&["carol"]));
    accept(&service, &commit);
    assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice", "bob"]));
}

#[test]
fn the_service_tracks_a_change_of_the_group_context() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let commit = members[0].commit_data(b"rules", &[Client::new("carol").claimed_by(&service, &device("alice"))]);
    accept(&service, &commit);
    members[0].confirm();
    members[1].receive(&commit.commit);
    assert_eq!(members[1].data().unwrap(), b"rules");
    assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice", "bob", "carol"]));

    // The service verifies commits with the new context, and an external joiner finds it in the
    // group info.
    let update = members[1].update();
    accept(&service, &update);
    members[1].confirm();
    let info = service.group_info(&room()).unwrap().unwrap();
    let (dave, join) = Client::new("dave").join_externally(&info, Assisted);
    accept(&service, &join);
    assert_eq!(dave.data().unwrap(), b"rules");
}

#[test]
fn a_group_info_of_another_group_context_is_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let other = members[0].commit_data(b"other rules", &[]);
    members[0].discard();
    let good = members[0].commit_data(b"rules", &[]);
    let bad = CommitSubmission { group_info: other.group_info, ..good.clone() };
    assert_eq!(service.submit_commit(&bad, NOW).unwrap(), rejected(RejectReason::GroupInfoMismatch));
    accept(&service, &good);
}

#[test]
fn a_commit_carries_out_another_members_group_context_proposal() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let proposal = members[1].propose_data(b"rules");
    let outcome = service.submit_proposal(&room(), &id("bob"), &proposal, NOW).unwrap();
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    members[0].receive(&proposal);
    let commit = members[0].update();
    accept(&service, &commit);
    members[0].confirm();
    assert_eq!(members[0].data().unwrap(), b"rules");
}

#[test]
fn a_commit_of_an_unordered_proposal_is_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let leave = members[2].propose_to_leave();
    members[0].receive(&leave);
    let commit = members[0].update();
    assert!(is_invalid(&service.submit_commit(&commit, NOW).unwrap()));
}

#[test]
fn a_proposal_expires_with_its_epoch() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let leave = members[2].propose_to_leave();
    service.submit_proposal(&room(), &id("carol"), &leave, NOW).unwrap();
    let commit = members[0].update();
    accept(&service, &commit);
    assert_eq!(
        service.submit_proposal(&room(), &id("carol"), &members[2].propose_to_update(None), NOW).unwrap(),
        Outcome::Stale { current_epoch: Epoch(2) }
    );
    assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice", "bob", "carol"]));
}

#[test]
fn a_forged_proposal_is_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let proposal = members[0].propose_to_remove(&id("carol"));
    let outcome = service.submit_proposal(&room(), &id("bob"), &proposal, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::NotSignedBySender));
    let mut tampered = proposal.clone();
    let at = tampered.len() - 40;
    tampered[at] ^= 1;
    assert!(is_invalid(&service.submit_proposal(&room(), &id("alice"), &tampered, NOW).unwrap()));
}

#[test]
fn a_leaf_that_names_no_device_is_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    for identity in [&b"carol"[..], b"\x01\x05carol", b"\x01\x06carol \x05phone", b"\x01\x01\x7f\x05phone", b""] {
        let carol = Client::new("carol").with_identity(identity);
        let commit = members[0].commit(&[carol.key_package()], &[]);
        let outcome = service.submit_commit(&commit, NOW).unwrap();
        assert_eq!(outcome, rejected(RejectReason::UnacceptableCredential), "{identity:?}");
        members[0].discard();

        let alone = Client::new("carol").with_identity(identity).create_unregistered(&group("other"), Assisted);
        let outcome = service.create_group(&group("other"), &id("carol"), Assisted, &alone.group_info(), NOW).unwrap();
        assert_eq!(outcome, rejected(RejectReason::UnacceptableCredential), "{identity:?}");
    }
}

#[test]
fn an_update_proposal_cannot_change_the_identity() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let proposal = members[1].propose_to_update(Some("alice"));
    let outcome = service.submit_proposal(&room(), &id("bob"), &proposal, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::UnacceptableCredential));
}

#[test]
fn proposals_from_outside_are_refused() {
    let service = service();
    group_of(&service, Assisted, &["alice", "bob"]);
    let carol = Client::new("carol");
    let proposal = carol.propose_itself(Epoch(1));
    for sender in [&carol.id, &id("alice")] {
        let outcome = service.submit_proposal(&room(), sender, &proposal, NOW).unwrap();
        assert_eq!(outcome, rejected(RejectReason::ExternalSender));
    }
}

#[test]
fn handshakes_must_be_public_messages() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let mut encrypting = Client::new("alice").create_unregistered(&room(), Opaque);
    let commit = encrypting.update();
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), rejected(RejectReason::WrongWireFormat));
    encrypting.discard();
    let proposal = encrypting.propose_to_update(None);
    let outcome = service.submit_proposal(&room(), &id("alice"), &proposal, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::WrongWireFormat));
    accept(&service, &members[0].update());
}

#[test]
fn a_rejoin_replaces_the_devices_own_leaf() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let info = service.group_info(&room()).unwrap().unwrap();
    let bob = members.pop().unwrap();
    let (mut bob, rejoin) = bob.client.join_externally(&info, Assisted);
    assert_eq!(rejoin.roster_change, RosterChange { added: devices(&["bob"]), removed: devices(&["bob"]) });
    accept(&service, &rejoin);
    members[0].receive(&rejoin.commit);
    say(&service, &mut bob, "back");
    assert_eq!(members[0].authenticator(), bob.authenticator());
    assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice", "bob"]));
}

#[test]
fn an_external_commit_must_be_signed_by_its_sender() {
    let service = service();
    group_of(&service, Assisted, &["alice", "bob"]);
    let info = service.group_info(&room()).unwrap().unwrap();
    let (_, mut join) = Client::new("carol").join_externally(&info, Assisted);
    join.sender = id("dave");
    assert_eq!(service.submit_commit(&join, NOW).unwrap(), rejected(RejectReason::NotSignedBySender));
}

#[test]
fn a_device_cannot_join_while_its_leaf_exists() {
    let service = service();
    group_of(&service, Assisted, &["alice", "bob"]);
    let info = service.group_info(&room()).unwrap().unwrap();
    // A new key, so that OpenMLS does not remove the old leaf.
    let (_, mut join) = Client::new("bob").join_externally(&info, Assisted);
    join.roster_change = RosterChange { added: devices(&["bob"]), removed: devices(&[]) };
    assert_eq!(service.submit_commit(&join, NOW).unwrap(), rejected(RejectReason::ImpossibleRosterChange));
}

#[test]
fn an_external_commit_cannot_remove_another_devices_leaf() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let info = service.group_info(&room()).unwrap().unwrap();
    // With Bob's key, OpenMLS removes Bob's leaf although the credential differs.
    let thief = members.pop().unwrap().client.renamed("carol");
    let (_, mut join) = thief.join_externally(&info, Assisted);
    join.roster_change = RosterChange { added: devices(&["carol"]), removed: devices(&["bob"]) };
    assert_eq!(service.submit_commit(&join, NOW).unwrap(), rejected(RejectReason::ImpossibleRosterChange));
    assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice", "bob"]));
}

#[test]
fn a_group_info_with_a_bad_signature_creates_no_group() {
    let service = service();
    let alice = Client::new("alice").create_unregistered(&room(), Assisted);
    let mut info = alice.group_info();
    *info.last_mut().unwrap() ^= 1;
    let outcome = service.create_group(&room(), &id("alice"), Assisted, &info, NOW).unwrap();
    assert!(is_invalid(&outcome), "{outcome:?}");
}
