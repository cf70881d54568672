//! Verification of commits and proposals beside the store. A verdict counts only for the exact
//! state of the group in which it was made. The service makes no verdict itself.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    Attempt, CheckedHandshake, CommitSubmission, Epoch,
    HandshakeMode::{Assisted, Opaque},
    Outcome, RejectReason, Sequence, SqliteStore,
};

fn has_good_verdict(service: &TestService, commit: &CommitSubmission) -> bool {
    service.checker().check_commit(commit.clone()).has_good_verdict()
}

/// Orders a handshake. Returns the outcome and the number of verifications that were necessary.
fn order(service: &TestService, mut handshake: CheckedHandshake) -> (Outcome, usize) {
    for verifications in 0..3 {
        match service.order_checked(handshake, NOW).unwrap() {
            Attempt::Settled(outcome) => return (outcome, verifications),
            Attempt::Unverified(unverified) => {
                let present = service.present_group(unverified.group()).unwrap().unwrap();
                handshake = service.checker().verify(unverified, present);
            }
        }
    }
    panic!("the service accepts no verdict");
}

/// Checks a commit, runs `meanwhile`, and orders the commit. Returns the outcome and the number of
/// further verifications.
fn submit_after(service: &TestService, commit: &CommitSubmission, meanwhile: impl FnOnce()) -> (Outcome, usize) {
    let checked = service.checker().check_commit(commit.clone());
    assert!(checked.has_good_verdict());
    meanwhile();
    order(service, checked)
}

#[test]
fn a_verified_commit_is_ordered_without_another_verification() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let carol = Client::new("carol");
    let add = members[0].commit(&[carol.claimed_by(&service, &device("alice"))], &[]);
    let (outcome, verifications) = submit_after(&service, &add, || ());
    assert_eq!((accepted(&outcome), verifications), (Some((Sequence(2), Epoch(2))), 0));
    members[0].confirm();
    members[1].receive(&add.commit);
    let welcome = stream(&service, &device("carol")).remove(0).bytes;
    assert_eq!(carol.join(&welcome, Assisted).authenticator(), members[1].authenticator());
    // The next commit is checked in the state after this one.
    let update = members[1].update();
    let (outcome, verifications) = submit_after(&service, &update, || ());
    assert_eq!((accepted(&outcome), verifications), (Some((Sequence(3), Epoch(3))), 0));
}

#[test]
fn one_of_two_verified_commits_is_ordered() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let (first, second) = (members[0].update(), members[1].update());
    let outcome = submit_after(&service, &second, || {
        accept(&service, &first);
    });
    assert_eq!(outcome, (Outcome::Stale { current_epoch: Epoch(2) }, 0));
}

#[test]
fn a_proposal_in_between_requires_another_verification() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let (update, leave) = (members[0].update(), members[1].propose_to_leave());
    let (outcome, verifications) = submit_after(&service, &update, || {
        let proposed = service.submit_proposal(&room(), &device("bob"), &leave, NOW).unwrap();
        assert!(accepted(&proposed).is_some());
    });
    // The commit refers to no proposal and is still valid, so a second verification accepts it.
    assert_eq!((accepted(&outcome), verifications), (Some((Sequence(3), Epoch(2))), 1));
}

#[test]
fn a_commit_verdict_does_not_count_after_a_rollback() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let replacement = members[1].update();
    accept(&service, &members[0].update());
    members[0].confirm();
    let void = members[0].update();
    let (outcome, _) = submit_after(&service, &void, || {
        for name in ["bob", "carol"] {
            service.report_commit(&room(), &device(name), Sequence(2), NOW).unwrap();
        }
        assert_eq!(service.epoch(&room()).unwrap(), Some(Epoch(1)));
        accept(&service, &replacement);
    });
    assert_eq!(service.epoch(&room()).unwrap(), Some(Epoch(2)), "the number of the epoch is the same as before");
    assert!(matches!(outcome, Outcome::Rejected(RejectReason::Invalid(_))), "{outcome:?}");
}

#[test]
fn a_wrong_commit_is_not_found_right() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let update = members[0].update();
    assert!(has_good_verdict(&service, &update));
    let carol = Client::new("carol");
    let (_, from_outside) = carol.join_externally(&service.group_info(&room()).unwrap().unwrap(), Assisted);
    members[0].discard();
    let other = members[0].update();
    type Change = fn(&mut CommitSubmission, &CommitSubmission);
    let wrong: [(&str, Change); 6] = [
        ("another sender", |commit, _| commit.sender = device("bob")),
        ("a stranger", |commit, _| commit.sender = device("mallory")),
        ("another group", |commit, _| commit.group = group("another")),
        ("a damaged signature", |commit, _| {
            // Two tags of 33 bytes follow the signature.
            let at = commit.commit.len() - 80;
            commit.commit[at] ^= 1;
        }),
        ("another's group info", |commit, other| commit.group_info.clone_from(&other.group_info)),
        ("another roster", |commit, _| commit.roster_change.added = devices(&["dave"])),
    ];
    for (what, change) in wrong {
        let mut commit = update.clone();
        change(&mut commit, &other);
        assert!(!has_good_verdict(&service, &commit), "{what}");
        let (outcome, _) = order(&service, service.checker().check_commit(commit));
        assert!(matches!(outcome, Outcome::Rejected(_)), "{what}: {outcome:?}");
    }
    // The permission of an external joiner is not checked yet, and a PrivateMessage shows nothing.
    assert!(!has_good_verdict(&service, &from_outside));
    let opaque = self::service();
    let mut alice = Client::new("alice").create(&opaque, Opaque);
    assert!(!has_good_verdict(&opaque, &alice.update()));
}

#[test]
fn a_group_that_is_not_in_memory_is_loaded_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ds.sqlite");
    let open = || {
        let store = SqliteStore::open(&path).unwrap();
        service_over(store)
    };
    let service = open();
    let mut alice = Client::new("alice").create(&service, Assisted);
    drop(service);
    let service = open();
    let update = alice.update();
    let checked = service.checker().check_commit(update);
    assert!(!checked.has_good_verdict());
    let (outcome, verifications) = order(&service, checked);
    assert_eq!((accepted(&outcome), verifications), (Some((Sequence(1), Epoch(1))), 1));
    alice.confirm();
    assert!(has_good_verdict(&service, &alice.update()));
}

#[test]
fn verifications_run_while_commits_are_ordered() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let checker = service.checker();
    std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel::<CommitSubmission>();
        scope.spawn(move || {
            for commit in receiver {
                for _ in 0..20 {
                    checker.check_commit(commit.clone());
                }
            }
        });
        for turn in 0..30 {
            let commit = members[turn % 2].update();
            sender.send(commit.clone()).unwrap();
            let checked = service.checker().check_commit(commit.clone());
            assert!(accepted(&order(&service, checked).0).is_some(), "{turn}");
            members[turn % 2].confirm();
            members[(turn + 1) % 2].receive(&commit.commit);
        }
    });
    assert_eq!(members[0].authenticator(), members[1].authenticator());
}

/// Checks a proposal, runs `meanwhile`, and orders the proposal. Returns the outcome and the number
/// of further verifications.
fn propose_after(service: &TestService, sender: &str, proposal: &[u8], meanwhile: impl FnOnce()) -> (Outcome, usize) {
    let checked = service.checker().check_proposal(room(), device(sender), proposal.to_vec());
    assert!(checked.has_good_verdict());
    meanwhile();
    order(service, checked)
}

#[test]
fn a_verified_proposal_is_ordered_and_committed() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let leave = members[1].propose_to_leave();
    let (outcome, verifications) = propose_after(&service, "bob", &leave, || ());
    assert_eq!((accepted(&outcome), verifications), (Some((Sequence(2), Epoch(1))), 0));
    members[0].receive(&leave);
    accept(&service, &members[0].update());
    assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice"]));
}

#[test]
fn a_proposal_after_another_needs_no_new_verdict() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let (first, second) = (members[1].propose_to_leave(), members[2].propose_to_leave());
    let (outcome, verifications) = propose_after(&service, "carol", &second, || {
        assert!(accepted(&service.submit_proposal(&room(), &device("bob"), &first, NOW).unwrap()).is_some());
    });
    assert_eq!((accepted(&outcome), verifications), (Some((Sequence(3), Epoch(1))), 0));
}

#[test]
fn a_proposal_verdict_does_not_count_after_a_rollback() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let replacement = members[1].update();
    accept(&service, &members[0].update());
    members[0].confirm();
    let void = members[0].propose_to_update(None);
    let (outcome, _) = propose_after(&service, "alice", &void, || {
        for name in ["bob", "carol"] {
            service.report_commit(&room(), &device(name), Sequence(2), NOW).unwrap();
        }
        accept(&service, &replacement);
    });
    assert_eq!(service.epoch(&room()).unwrap(), Some(Epoch(2)), "the number of the epoch is the same as before");
    assert!(matches!(outcome, Outcome::Rejected(RejectReason::Invalid(_))), "{outcome:?}");
}

#[test]
fn a_wrong_proposal_is_not_found_right() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let leave = members[1].propose_to_leave();
    let mut damaged = leave.clone();
    // A tag of 33 bytes follows the signature.
    let at = damaged.len() - 40;
    damaged[at] ^= 1;
    for (what, group, sender, proposal) in [
        ("another sender", room(), "alice", &leave),
        ("a stranger", room(), "mallory", &leave),
        ("another group", group("another"), "bob", &leave),
        ("a damaged signature", room(), "bob", &damaged),
        ("no message", room(), "bob", &vec![0]),
    ] {
        let checked = service.checker().check_proposal(group, device(sender), proposal.clone());
        assert!(!checked.has_good_verdict(), "{what}");
        let (outcome, _) = order(&service, checked);
        assert!(matches!(outcome, Outcome::Rejected(_)), "{what}: {outcome:?}");
    }
}

#[test]
fn a_message_decoded_earlier_is_ordered_in_its_turn() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let (first, second) = (members[0].send("first"), members[0].send("second"));
    let [first, second, again] = [&first, &second, &first]
        .map(|message| service.checker().check_message(room(), device("alice"), message.clone()));
    assert_eq!(accepted(&service.send_checked(first, NOW).unwrap()), Some((Sequence(2), Epoch(1))));
    accept(&service, &members[1].update());
    assert_eq!(service.send_checked(second, NOW).unwrap(), Outcome::Stale { current_epoch: Epoch(2) });
    assert_eq!(accepted(&service.send_checked(again, NOW).unwrap()), Some((Sequence(2), Epoch(1))));
    let none = service.checker().check_message(room(), device("alice"), vec![0]);
    assert_eq!(service.send_checked(none, NOW).unwrap(), Outcome::Rejected(RejectReason::Malformed));
}

#[test]
fn a_checked_group_is_created_unless_its_name_is_taken() {
    let service = service();
    for mode in [Assisted, Opaque] {
        let id = group(&format!("{mode:?}"));
        let [alice, bob] = ["alice", "bob"].map(|name| Client::new(name).create_unregistered(&id, mode));
        let check = |name: &str, member: &Member| {
            service.checker().check_group(id.clone(), device(name), mode, member.group_info())
        };
        let (first, second) = (check("alice", &alice), check("bob", &bob));
        assert_eq!(accepted(&service.create_checked(first, NOW).unwrap()), Some((Sequence(0), Epoch(0))));
        assert_eq!(service.create_checked(second, NOW).unwrap(), Outcome::Rejected(RejectReason::GroupExists));
    }
}

#[test]
fn a_new_group_with_two_members_is_refused_before_verification() {
    let service = service();
    let members = group_of(&service, Assisted, &["alice", "bob"]);
    let mut of_two = members[0].group_info();
    // Set the epoch to 0. It follows version, wire format, version, ciphersuite and the group's
    // identifier.
    let epoch = 8 + 1 + room().as_bytes().len();
    of_two[epoch..epoch + 8].fill(0);
    let new = crate::common::service();
    let outcome = new.create_group(&room(), &device("alice"), Assisted, &of_two, NOW).unwrap();
    assert_eq!(
        outcome,
        Outcome::Rejected(RejectReason::NotSignedBySender),
        "the changed epoch also makes the signature wrong"
    );
}

#[test]
fn an_external_commit_is_verified_after_the_permission_check() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let carol = Client::new("carol");
        register(&service, &carol.id);
        let (joined, commit) = carol.join_externally(&service.group_info(&room()).unwrap().unwrap(), mode);
        let checked = service.checker().check_commit(commit.clone());
        assert!(!checked.has_good_verdict(), "{mode:?}");
        let (outcome, verifications) = order(&service, checked);
        assert_eq!((accepted(&outcome), verifications), (Some((Sequence(2), Epoch(2))), 1), "{mode:?}");
        members[0].receive(&commit.commit);
        assert_eq!(joined.authenticator(), members[0].authenticator(), "{mode:?}");
    }
}

#[test]
fn an_external_commit_of_a_removed_device_is_not_verified() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let group_info = service.group_info(&room()).unwrap().unwrap();
        accept(&service, &members[0].commit(&[], &[&device("bob")]));
        let (_, commit) = Client::new("bob").join_externally(&group_info, mode);
        let outcome = order(&service, service.checker().check_commit(commit));
        assert_eq!(outcome, (Outcome::Rejected(RejectReason::Removed), 0), "{mode:?}");
    }
}

#[test]
fn verdict_on_an_external_commit_counts_for_one_group_info() {
    let service = service();
    let mut members = group_of(&service, Opaque, &["alice", "bob", "carol"]);
    let replacement = members[1].update();
    accept(&service, &members[0].update());
    let dave = Client::new("dave");
    register(&service, &dave.id);
    let (_, commit) = dave.join_externally(&service.group_info(&room()).unwrap().unwrap(), Opaque);
    let checked = service.checker().check_commit(commit);
    let Attempt::Unverified(unverified) = service.order_checked(checked, NOW).unwrap() else {
        panic!("ordered without a verdict")
    };
    let present = service.present_group(&room()).unwrap().unwrap();
    let verified = service.checker().verify(unverified, present);
    assert!(verified.has_good_verdict());
    // The previous commit is rolled back, and another commit begins an epoch with the same number.
    for name in ["bob", "carol"] {
        service.report_commit(&room(), &device(name), Sequence(2), NOW).unwrap();
    }
    accept(&service, &replacement);
    let (outcome, verifications) = order(&service, verified);
    assert!(matches!(outcome, Outcome::Rejected(RejectReason::Invalid(_))), "{outcome:?}");
    assert_eq!(verifications, 1);
}

#[test]
fn a_handshake_in_another_members_name_is_verified_and_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let update = CommitSubmission { sender: device("bob"), ..members[0].update() };
    let (outcome, verifications) = order(&service, service.checker().check_commit(update));
    assert_eq!((outcome, verifications), (Outcome::Rejected(RejectReason::NotSignedBySender), 1));
    let leave = members[1].propose_to_leave();
    let (outcome, verifications) = order(&service, service.checker().check_proposal(room(), device("alice"), leave));
    assert_eq!((outcome, verifications), (Outcome::Rejected(RejectReason::NotSignedBySender), 1));
}
