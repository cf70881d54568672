//! Removed devices. A device that others have removed cannot join by external commit (RFC 9420,
//! 12.4.3.2). A member has to add it again.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    CommitSubmission,
    HandshakeMode::{self, Assisted, Opaque},
    Limits, Outcome, RejectReason, SqliteStore,
};

const MODES: [HandshakeMode; 2] = [Assisted, Opaque];

/// Submits a commit that adds and removes devices. The service must accept it.
fn commit(service: &TestService, by: &mut Member, add: &[&Client], remove: &[&str]) {
    let added: Vec<_> = add.iter().map(|client| client.claimed_by(service, &by.id())).collect();
    let removed: Vec<_> = remove.iter().map(|name| device(name)).collect();
    let submission = by.commit(&added, &removed.iter().collect::<Vec<_>>());
    accept(service, &submission);
    by.confirm();
}

/// An external commit of a device without a leaf.
fn external(service: &TestService, name: &str, mode: HandshakeMode) -> (Member, CommitSubmission) {
    Client::new(name).join_externally(&service.group_info(&room()).unwrap().unwrap(), mode)
}

fn join_outcome(service: &TestService, name: &str, mode: HandshakeMode) -> Outcome {
    service.submit_commit(&external(service, name, mode).1, NOW).unwrap()
}

#[test]
fn a_removed_device_cannot_join_by_itself() {
    for mode in MODES {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob", "carol"]);
        commit(&service, &mut members[0], &[], &["bob"]);

        assert_eq!(join_outcome(&service, "bob", mode), rejected(RejectReason::Removed), "{mode:?}");

        assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice", "carol"]));
        assert!(
            matches!(join_outcome(&service, "dave", mode), Outcome::Accepted(_)),
            "another device cannot join: {mode:?}"
        );
        assert_eq!(
            join_outcome(&service, "bob", mode),
            rejected(RejectReason::Removed),
            "the removed device joins later: {mode:?}"
        );
    }
}

#[test]
fn a_removed_device_does_not_learn_the_epoch() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let (_, stale) = external(&service, "dave", Assisted);
    let (_, mut of_bob) = external(&service, "dave", Assisted);
    commit(&service, &mut members[0], &[], &["bob"]);

    of_bob.sender = device("bob");
    assert_eq!(service.submit_commit(&of_bob, NOW).unwrap(), rejected(RejectReason::Removed));
    assert!(matches!(service.submit_commit(&stale, NOW).unwrap(), Outcome::Stale { .. }));
}

#[test]
fn a_device_added_again_can_rejoin_by_itself() {
    for mode in MODES {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        commit(&service, &mut members[0], &[], &["bob"]);
        let bob = Client::new("bob");
        commit(&service, &mut members[0], &[&bob], &[]);

        let (_, rejoin) = bob.join_externally(&service.group_info(&room()).unwrap().unwrap(), mode);

        assert_eq!(rejoin.roster_change.removed, devices(&["bob"]));
        accept(&service, &rejoin);
    }
}

#[test]
fn a_removed_external_joiner_cannot_join_again() {
    for mode in MODES {
        let service = service();
        let mut members = group_of(&service, mode, &["alice"]);
        let (_, join) = external(&service, "bob", mode);
        accept(&service, &join);
        members[0].receive(&join.commit);
        commit(&service, &mut members[0], &[], &["bob"]);

        assert_eq!(join_outcome(&service, "bob", mode), rejected(RejectReason::Removed), "{mode:?}");
    }
}

/// In an opaque group, the service cannot see that a device asked for its own removal. Therefore no
/// removed device can rejoin there by itself.
#[test]
fn a_device_that_left_can_rejoin_an_assisted_group() {
    for mode in MODES {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let leave = members[1].propose_to_leave();
        service.submit_proposal(&room(), &device("bob"), &leave, NOW).unwrap();
        members[0].receive(&leave);
        commit(&service, &mut members[0], &[], &[]);
        assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice"]));

        let outcome = join_outcome(&service, "bob", mode);

        match mode {
            Assisted => assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}"),
            Opaque => assert_eq!(outcome, rejected(RejectReason::Removed)),
        }
    }
}

/// A device cannot avoid the rule by proposing its own removal.
#[test]
fn a_leave_proposal_does_not_undo_a_removal_by_others() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let leave = members[1].propose_to_leave();
    service.submit_proposal(&room(), &device("bob"), &leave, NOW).unwrap();
    // Alice has not received the proposal. She removes Bob herself.
    commit(&service, &mut members[0], &[], &["bob"]);

    assert_eq!(join_outcome(&service, "bob", Assisted), rejected(RejectReason::Removed));
}

#[test]
fn a_group_with_too_many_removals_allows_no_external_join() {
    for mode in MODES {
        let service = service_with(Limits { max_removed_devices_per_group: 1, ..Limits::default() });
        let mut members = group_of(&service, mode, &["alice", "bob", "carol"]);
        commit(&service, &mut members[0], &[], &["bob"]);
        accept(&service, &external(&service, "dave", mode).1);
        // The service remembers one removal. After Bob is added again, it can remember another one.
        let service = service_with(Limits { max_removed_devices_per_group: 1, ..Limits::default() });
        let mut members = group_of(&service, mode, &["alice", "bob", "carol"]);
        commit(&service, &mut members[0], &[], &["bob"]);
        commit(&service, &mut members[0], &[&Client::new("bob")], &[]);
        commit(&service, &mut members[0], &[], &["carol"]);
        assert_eq!(join_outcome(&service, "carol", mode), rejected(RejectReason::Removed), "{mode:?}");

        commit(&service, &mut members[0], &[], &["bob"]);

        for name in ["bob", "carol", "dave"] {
            assert_eq!(join_outcome(&service, name, mode), rejected(RejectReason::Removed), "{name}, {mode:?}");
        }
        let dave = Client::new("dave");
        commit(&service, &mut members[0], &[&dave], &[]);
        let (_, rejoin) = dave.join_externally(&service.group_info(&room()).unwrap().unwrap(), mode);
        accept(&service, &rejoin);
    }
}

#[test]
fn removals_are_remembered_in_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let open = || service_over(SqliteStore::open(directory.path().join("ds.sqlite")).unwrap());
    let service = open();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    commit(&service, &mut members[0], &[], &["bob"]);
    drop(service);

    assert_eq!(join_outcome(&open(), "bob", Assisted), rejected(RejectReason::Removed));
}
