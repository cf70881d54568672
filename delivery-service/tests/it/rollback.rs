//! Rollback of a commit that members cannot process. The service rolls it back after enough
//! reports, and not before.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    CommitSubmission, Cursor, DeliveryKind, Epoch,
    HandshakeMode::{self, Assisted, Opaque},
    Limits, RejectReason, ReportOutcome, RosterChange, Sequence, SqliteStore,
};

const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

fn report(service: &TestService, by: &str, sequence: Sequence) -> ReportOutcome {
    service.report_commit(&room(), &device(by), sequence, NOW).unwrap()
}

fn noted(reports: u64, needed: u64) -> ReportOutcome {
    ReportOutcome::Noted { reports, needed }
}

fn refused(reason: RejectReason) -> ReportOutcome {
    ReportOutcome::Rejected(reason)
}

/// Reports the commit in the name of these members, which must roll it back. Returns the sequence
/// of the rollback entry.
fn roll_back(service: &TestService, by: &[&str], sequence: Sequence) -> Sequence {
    let outcomes: Vec<_> = by.iter().map(|name| report(service, name, sequence)).collect();
    match outcomes.last() {
        Some(ReportOutcome::RolledBack(receipt)) => receipt.sequence,
        other => panic!("not rolled back: {other:?}"),
    }
}

/// A group whose last commit is by Alice. It adds Frank and removes Erin.
fn commit_in_question(mode: HandshakeMode) -> (TestService, Vec<Member>, Client, CommitSubmission) {
    let service = service();
    let mut members = group_of(&service, mode, &NAMES);
    let frank = Client::new("frank");
    let commit = members[0].commit(&[frank.claimed_by(&service, &device("alice"))], &[&device("erin")]);
    accept(&service, &commit);
    (service, members, frank, commit)
}

#[test]
fn enough_reports_take_a_commit_back() {
    for mode in [Assisted, Opaque] {
        let (service, _, _, _) = commit_in_question(mode);
        // Bob, Carol and Dave may report. Alice made the commit, and it adds Frank and removes
        // Erin.
        assert_eq!(report(&service, "bob", Sequence(2)), noted(1, 2));
        assert_eq!(report(&service, "bob", Sequence(2)), noted(1, 2), "a repeated report counts twice");
        assert_eq!(service.epoch(&room()).unwrap(), Some(Epoch(2)));
        assert_eq!(roll_back(&service, &["carol"], Sequence(2)), Sequence(3));

        let roster = service.roster(&room()).unwrap().unwrap();
        assert_eq!((roster.epoch, roster.devices), (Epoch(1), devices(&NAMES)));
        let bobs = stream(&service, &device("bob"));
        assert_eq!(kinds(&bobs).last(), Some(&DeliveryKind::Rollback { voided: Sequence(2) }));
        assert_eq!(bobs.last().unwrap().receipt.epoch, Epoch(1));
    }
}

#[test]
fn committer_affected_devices_and_strangers_cannot_report() {
    let (service, ..) = commit_in_question(Assisted);
    for by in ["alice", "frank"] {
        assert_eq!(report(&service, by, Sequence(2)), refused(RejectReason::NotReportable), "{by}");
    }
    for by in ["erin", "mallory"] {
        assert_eq!(report(&service, by, Sequence(2)), refused(RejectReason::NotAMember), "{by}");
    }
}

#[test]
fn only_the_last_commit_can_be_reported() {
    let (service, mut members, ..) = commit_in_question(Assisted);
    assert_eq!(report(&service, "bob", Sequence(1)), refused(RejectReason::NotReportable));
    assert_eq!(report(&service, "bob", Sequence(3)), refused(RejectReason::NotReportable));
    assert_eq!(report(&service, "bob", Sequence(2)), noted(1, 2));
    members[0].confirm();
    accept(&service, &members[0].update());
    assert_eq!(report(&service, "carol", Sequence(2)), refused(RejectReason::NotReportable), "a later commit exists");
    assert_eq!(report(&service, "carol", Sequence(3)), noted(1, 2), "a report of the previous commit counts");
}

#[test]
fn a_rollback_returns_the_group_to_the_previous_epoch() {
    for mode in [Assisted, Opaque] {
        let (service, mut members, ..) = commit_in_question(mode);
        roll_back(&service, &["bob", "carol"], Sequence(2));
        let update = members[1].update();
        assert_eq!(accept(&service, &update), (Sequence(4), Epoch(2)));
        members[1].confirm();
        members[2].receive(&update.commit);
        assert_eq!(members[1].authenticator(), members[2].authenticator());
    }
}

#[test]
fn messages_of_the_voided_epoch_stay_in_the_log() {
    let (service, mut members, ..) = commit_in_question(Assisted);
    members[0].confirm();
    say(&service, &mut members[0], "nobody else can read it");
    roll_back(&service, &["bob", "carol"], Sequence(2));
    let bobs = stream(&service, &device("bob"));
    let void = DeliveryKind::Rollback { voided: Sequence(2) };
    assert_eq!(kinds(&bobs)[1..], [DeliveryKind::Message, void]);
}

#[test]
fn a_rolled_back_commit_cannot_be_submitted_again() {
    let (service, _, _, commit) = commit_in_question(Assisted);
    roll_back(&service, &["bob", "carol"], Sequence(2));
    let again = service.submit_commit(&commit, NOW).unwrap();
    assert_eq!(again, rejected(RejectReason::RolledBack));
}

#[test]
fn added_and_removed_devices_read_the_rollback() {
    let (service, mut members, frank, _) = commit_in_question(Assisted);
    service.acknowledge(&device("erin"), Cursor(u64::MAX)).unwrap();
    roll_back(&service, &["bob", "carol"], Sequence(2));
    say(&service, &mut members[1], "after it");
    let void = DeliveryKind::Rollback { voided: Sequence(2) };
    assert_eq!(kinds(&stream(&service, &frank.id)), [void]);
    assert_eq!(kinds(&stream(&service, &device("erin"))), [void, DeliveryKind::Message]);
}

#[test]
fn an_external_join_works_after_a_rollback() {
    let (service, ..) = commit_in_question(Assisted);
    roll_back(&service, &["bob", "carol"], Sequence(2));
    let info = service.group_info(&room()).unwrap().unwrap();
    let (_, joins) = Client::new("grace").join_externally(&info, Assisted);
    accept(&service, &joins);
}

#[test]
fn a_rollback_restores_the_removal_of_an_added_device() {
    let service = service();
    let mut members = group_of(&service, Assisted, &NAMES);
    let (commit, erin) = (members[0].commit(&[], &[&device("erin")]), Client::new("erin"));
    accept(&service, &commit);
    for member in &mut members[1..4] {
        member.receive(&commit.commit);
    }
    members[0].confirm();
    accept(&service, &members[0].commit(&[erin.claimed_by(&service, &device("alice"))], &[]));
    roll_back(&service, &["bob", "carol"], Sequence(3));
    let info = service.group_info(&room()).unwrap().unwrap();
    let (_, joins) = erin.join_externally(&info, Assisted);
    assert_eq!(service.submit_commit(&joins, NOW).unwrap(), rejected(RejectReason::Removed));
}

#[test]
fn proposals_of_the_previous_epoch_can_still_be_committed() {
    let service = service();
    let mut members = group_of(&service, Assisted, &NAMES);
    let leave = members[4].propose_to_leave();
    service.submit_proposal(&room(), &device("erin"), &leave, NOW).unwrap();
    for member in &mut members[..4] {
        member.receive(&leave);
    }
    accept(&service, &members[0].update());
    roll_back(&service, &["bob", "carol"], Sequence(3));
    let commit = members[1].update();
    let commit = CommitSubmission {
        roster_change: RosterChange { removed: devices(&["erin"]), ..RosterChange::default() },
        ..commit
    };
    accept(&service, &commit);
}

#[test]
fn a_rollback_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let store = SqliteStore::open(directory.path().join("ds.sqlite")).unwrap();
        service_over(store)
    };
    let mut members = group_of(&open(), Assisted, &NAMES);
    accept(&open(), &members[0].update());
    report(&open(), "bob", Sequence(2));
    report(&open(), "carol", Sequence(2));
    roll_back(&open(), &["dave"], Sequence(2));
    accept(&open(), &members[1].update());
    assert_eq!(open().epoch(&room()).unwrap(), Some(Epoch(2)));
}

#[test]
fn the_operator_sets_the_share_of_reports() {
    let service = service_with(Limits { rollback_percent: 100, ..Limits::default() });
    let mut members = group_of(&service, Assisted, &NAMES);
    accept(&service, &members[0].update());
    for by in ["bob", "carol", "dave", "erin"] {
        assert!(
            matches!(report(&service, by, Sequence(2)), ReportOutcome::Noted { needed: 5, .. }),
            "the commit is rolled back"
        );
    }
}
