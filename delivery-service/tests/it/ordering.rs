//! The ordering rules: one commit per epoch, typed outcomes, and the same outcome for the same
//! bytes. Each submission succeeds or fails as a whole.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{Epoch, GroupId, HandshakeMode::Assisted, Limits, Outcome, RejectReason, Sequence};

#[test]
fn of_two_commits_in_one_epoch_the_first_wins() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let first = members[0].update();
    let second = members[1].update();

    assert_eq!(accept(&service, &first), (Sequence(2), Epoch(2)));
    let outcome = service.submit_commit(&second, NOW).unwrap();
    assert_eq!(outcome, Outcome::Stale { current_epoch: Epoch(2) });
    assert_eq!(service.epoch(&room()).unwrap(), Some(Epoch(2)));
}

#[test]
fn the_loser_catches_up_and_commits_in_the_next_epoch() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let first = members[0].update();
    members[1].update();
    accept(&service, &first);
    members[0].confirm();

    members[1].discard();
    members[1].receive(&first.commit);
    let again = members[1].update();
    assert_eq!(accept(&service, &again), (Sequence(3), Epoch(3)));
    members[1].confirm();
    members[0].receive(&again.commit);
    assert_eq!(members[0].authenticator(), members[1].authenticator());
}

#[test]
fn a_repeated_commit_gets_the_same_answer() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let first = members[0].update();
    let answer = accept(&service, &first);
    members[0].confirm();
    let before = visible(&service, &["alice", "bob"]);
    assert_eq!(accept(&service, &first), answer);
    assert_eq!(visible(&service, &["alice", "bob"]), before);

    let next = members[0].update();
    accept(&service, &next);
    assert_eq!(accept(&service, &first), answer, "another answer in a later epoch");
}

#[test]
fn a_repeated_message_of_a_removed_member_gets_its_answer() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let bytes = say(&service, &mut members[1], "hello");
    let removal = members[0].commit(&[], &[&device("bob")]);
    accept(&service, &removal);

    let again = service.submit_message(&room(), &device("bob"), &bytes, NOW).unwrap();
    assert_eq!(accepted(&again), Some((Sequence(2), Epoch(1))));
    assert_eq!(stream(&service, &device("alice")).len(), 3);
}

#[test]
fn bytes_that_another_device_submitted_are_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let bytes = say(&service, &mut members[0], "hello");
    let outcome = service.submit_message(&room(), &device("bob"), &bytes, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::SubmittedByAnother));
}

#[test]
fn a_stale_message_can_be_sent_again() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let late = members[1].send("late");
    let commit = members[0].update();
    accept(&service, &commit);

    let outcome = service.submit_message(&room(), &device("bob"), &late, NOW).unwrap();
    assert_eq!(outcome, Outcome::Stale { current_epoch: Epoch(2) });
    members[1].receive(&commit.commit);
    say(&service, &mut members[1], "late");
}

#[test]
fn a_message_of_a_future_epoch_is_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    members[0].update();
    members[0].confirm();
    let ahead = members[0].send("from a fork");
    let outcome = service.submit_message(&room(), &device("alice"), &ahead, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::EpochAhead { current_epoch: Epoch(1) }));
}

#[test]
fn only_members_submit() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let message = members[0].send("hello");
    let commit = members[0].update();
    let stranger = device("mallory");

    let outcome = service.submit_message(&room(), &stranger, &message, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::NotAMember));
    let mut stolen = commit;
    stolen.sender = stranger;
    assert_eq!(service.submit_commit(&stolen, NOW).unwrap(), rejected(RejectReason::NotAMember));
}

#[test]
fn a_stale_message_tells_a_stranger_no_epoch() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let late = members[0].send("late");
    let commit = members[0].update();
    accept(&service, &commit);
    let outcome = service.submit_message(&room(), &device("mallory"), &late, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::NotAMember));
}

#[test]
fn each_content_type_has_its_own_call() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let message = members[0].send("hello");
    let mut commit = members[0].update();
    let alice = device("alice");

    let wrong = rejected(RejectReason::WrongContentType);
    assert_eq!(service.submit_message(&room(), &alice, &commit.commit, NOW).unwrap(), wrong);
    assert_eq!(service.submit_proposal(&room(), &alice, &commit.commit, NOW).unwrap(), wrong);
    assert_eq!(service.submit_proposal(&room(), &alice, &message, NOW).unwrap(), wrong);
    commit.commit = message;
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), wrong);
}

#[test]
fn a_message_to_a_wrong_or_unknown_group_is_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let mut elsewhere = Client::new("alice").create_unregistered(&GroupId::new("elsewhere").unwrap(), Assisted);
    let foreign = elsewhere.send("hello");
    let alice = device("alice");

    let outcome = service.submit_message(&room(), &alice, &foreign, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::WrongGroup));
    let message = members[0].send("hello");
    let outcome = service.submit_message(&group("nowhere"), &alice, &message, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::UnknownGroup));
}

#[test]
fn a_group_name_is_used_once() {
    let service = service();
    let alice = Client::new("alice").create_unregistered(&room(), Assisted);
    let info = alice.group_info();
    let create =
        |creator: &str, info: &[u8]| service.create_group(&room(), &device(creator), Assisted, info, NOW).unwrap();
    let created = Some((Sequence(0), Epoch(0)));
    assert_eq!(accepted(&create("alice", &info)), created);
    assert_eq!(accepted(&create("alice", &info)), created);
    assert_eq!(create("mallory", &info), rejected(RejectReason::GroupExists));
    let another = Client::new("alice").create_unregistered(&room(), Assisted);
    assert_eq!(create("alice", &another.group_info()), rejected(RejectReason::GroupExists));
}

#[test]
fn only_the_sole_member_creates_a_group_in_epoch_0() {
    let service = service();
    let mut alice = Client::new("alice").create_unregistered(&room(), Assisted);
    let info = alice.group_info();
    let create = |group: &GroupId, creator: &str, info: &[u8]| {
        service.create_group(group, &device(creator), Assisted, info, NOW).unwrap()
    };
    assert_eq!(create(&room(), "mallory", &info), rejected(RejectReason::NotSignedBySender));
    assert_eq!(create(&crate::common::group("other"), "alice", &info), rejected(RejectReason::GroupInfoMismatch));
    alice.update();
    alice.confirm();
    assert_eq!(create(&room(), "alice", &alice.group_info()), rejected(RejectReason::GroupInfoMismatch));
    assert_eq!(service.epoch(&room()).unwrap(), None);
}

#[test]
fn limits_are_enforced() {
    let limits =
        Limits { max_body_bytes: 4096, max_devices_per_group: 2, max_proposals_per_epoch: 1, ..Limits::default() };
    let service = service_with(limits);
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let alice = device("alice");

    let large = members[0].send(&"x".repeat(5000));
    let outcome = service.submit_message(&room(), &alice, &large, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::TooLarge { limit: 4096 }));

    let third = members[0].commit(&[Client::new("carol").claimed_by(&service, &device("alice"))], &[]);
    assert_eq!(service.submit_commit(&third, NOW).unwrap(), rejected(RejectReason::GroupFull { limit: 2 }));
    members[0].discard();

    let proposals = [members[1].propose_to_update(None), members[1].propose_to_leave()];
    let outcome = service.submit_proposal(&room(), &device("bob"), &proposals[0], NOW).unwrap();
    assert!(matches!(outcome, Outcome::Accepted(_)));
    let outcome = service.submit_proposal(&room(), &device("bob"), &proposals[1], NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::TooManyProposals { limit: 1 }));

    let commit = members[0].update();
    accept(&service, &commit);
    members[0].confirm();
    let proposal = members[0].propose_to_update(None);
    let outcome = service.submit_proposal(&room(), &alice, &proposal, NOW).unwrap();
    assert!(matches!(outcome, Outcome::Accepted(_)), "the limit counts proposals of an earlier epoch: {outcome:?}");
}
