//! The reports that count for a rollback. The service counts users, not devices. It excludes users
//! that the commit concerns, and users that they have recently added.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    DeliveryKind, DeviceId,
    HandshakeMode::{Assisted, Opaque},
    RejectReason, ReportOutcome, Sequence, Timestamp,
};

const DAY: u64 = 24 * 60 * 60;

fn report(service: &TestService, by: &DeviceId, sequence: Sequence) -> ReportOutcome {
    service.report_commit(&room(), by, sequence, NOW).unwrap()
}

fn refused() -> ReportOutcome {
    ReportOutcome::Rejected(RejectReason::NotReportable)
}

/// Commits the addition of these devices. The service must accept the commit, and all members
/// process it.
fn commit(service: &TestService, members: &mut [Member], by: usize, add: &[&Client], now: Timestamp) -> Sequence {
    let claimer = members[by].id();
    let key_packages: Vec<_> = add.iter().map(|client| client.claimed_by(service, &claimer)).collect();
    let submission = members[by].commit(&key_packages, &[]);
    let outcome = service.submit_commit(&submission, now).unwrap();
    for (number, member) in members.iter_mut().enumerate() {
        if number == by { member.confirm() } else { drop(member.receive(&submission.commit)) }
    }
    for client in add {
        service.accept_invitation(&room(), &client.id, now).unwrap();
    }
    accepted(&outcome).unwrap().0
}

fn phone(user: &str, number: usize) -> Client {
    Client::of(DeviceId::new(user, format!("phone{number}")).unwrap())
}

#[test]
fn devices_of_one_user_are_one_vote() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob", "mallory"]);
        let own: Vec<_> = (0..5).map(|number| phone("mallory", number)).collect();
        commit(&service, &mut members, 2, &own.iter().collect::<Vec<_>>(), NOW);
        let update = commit(&service, &mut members, 0, &[], NOW);
        for client in &own {
            assert_eq!(report(&service, &client.id, update), ReportOutcome::Noted { reports: 1, needed: 2 });
        }
    }
}

#[test]
fn devices_of_a_removed_user_cannot_undo_the_removal() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "mallory"]);
    let own: Vec<_> = (0..5).map(|number| phone("mallory", number)).collect();
    commit(&service, &mut members, 2, &own.iter().collect::<Vec<_>>(), NOW);
    let (removal, _) = accept(&service, &members[0].commit(&[], &[&device("mallory")]));
    for client in &own {
        assert_eq!(report(&service, &client.id, removal), refused());
    }
}

#[test]
fn users_just_added_by_a_removed_user_cannot_report() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "mallory"]);
    let friends = ["m1", "m2", "m3"].map(Client::new);
    commit(&service, &mut members, 2, &friends.each_ref(), NOW);
    let (removal, _) = accept(&service, &members[0].commit(&[], &[&device("mallory")]));
    for friend in &friends {
        assert_eq!(report(&service, &friend.id, removal), refused());
    }
    let alone = ReportOutcome::Noted { reports: 1, needed: 2 };
    assert_eq!(report(&service, &device("bob"), removal), alone, "one user alone takes back the commit");
}

#[test]
fn users_added_by_the_commit_are_not_asked() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let friends = ["f1", "f2", "f3", "f4"].map(Client::new);
    let addition = commit(&service, &mut members, 0, &friends.each_ref(), NOW);
    let of_two = ReportOutcome::Noted { reports: 1, needed: 2 };
    assert_eq!(report(&service, &device("bob"), addition), of_two, "bob and carol count as voters");
}

#[test]
fn a_device_added_by_the_commit_cannot_report_it() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let tablet = phone("bob", 2);
    let addition = commit(&service, &mut members, 0, &[&tablet], NOW);
    assert_eq!(report(&service, &tablet.id, addition), refused());
}

#[test]
fn a_user_that_just_joined_externally_is_not_asked() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let info = service.group_info(&room()).unwrap().unwrap();
    let (_, join) = Client::new("eve").join_externally(&info, Assisted);
    accept(&service, &join);
    for member in &mut members {
        member.receive(&join.commit);
    }
    let (update, _) = accept(&service, &members[0].update());
    assert_eq!(report(&service, &device("eve"), update), refused());
}

#[test]
fn users_added_a_week_before_are_asked() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "mallory"]);
    let friend = Client::new("friend");
    commit(&service, &mut members, 2, &[&friend], NOW);
    let removal = members[0].commit(&[], &[&device("mallory")]);
    let outcome = service.submit_commit(&removal, later(7 * DAY)).unwrap();
    let (removal, _) = accepted(&outcome).unwrap();
    assert!(matches!(report(&service, &friend.id, removal), ReportOutcome::Noted { .. }));
}

#[test]
fn one_user_alone_cannot_take_back_a_commit() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let (update, _) = accept(&service, &members[0].update());
    assert_eq!(report(&service, &device("bob"), update), ReportOutcome::Noted { reports: 1, needed: 2 });
}

#[test]
fn other_devices_of_the_committer_are_not_asked() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let tablet = phone("alice", 2);
    commit(&service, &mut members, 0, &[&tablet], NOW);
    let (update, _) = accept(&service, &members[0].update());
    assert_eq!(report(&service, &tablet.id, update), refused());
}

#[test]
fn invited_users_do_not_prevent_a_rollback() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let silent: Vec<_> = (0..10).map(|number| Client::new(&format!("silent{number}"))).collect();
    let key_packages: Vec<_> = silent.iter().map(|client| client.claimed_by(&service, &device("alice"))).collect();
    let add = members[0].commit(&key_packages, &[]);
    accept(&service, &add);
    members[0].confirm();
    for member in &mut members[1..] {
        member.receive(&add.commit);
    }
    let (update, _) = accept(&service, &members[0].update());
    assert_eq!(report(&service, &device("bob"), update), ReportOutcome::Noted { reports: 1, needed: 2 });
    assert!(matches!(report(&service, &device("carol"), update), ReportOutcome::RolledBack(_)));
}

#[test]
fn a_rollback_deletes_no_acknowledged_message() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob", "carol"]);
        let update = commit(&service, &mut members, 0, &[], NOW);
        let sent = say(&service, &mut members[1], "acknowledged");
        for by in ["bob", "carol"] {
            report(&service, &device(by), update);
        }
        let read = stream(&service, &device("carol"));
        let void = DeliveryKind::Rollback { voided: update };
        assert_eq!(kinds(&read)[1..], [DeliveryKind::Message, void]);
        assert_eq!(read[1].bytes, sent);
    }
}
