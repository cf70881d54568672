//! Requests that try to wake the readers of a group without a new entry.

use crate::common::*;
use regrow_delivery_service::{
    HandshakeMode::{Assisted, Opaque},
    RejectReason, Reply, ReportOutcome, Sequence,
};

#[test]
fn refused_requests_of_a_member_wake_nobody() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "mallory"]);
        let mallory = device("mallory");
        let (stale_message, stale_commit) = (members[1].send("late"), members[1].update());
        members[1].discard();
        let stale_proposal = members[1].propose_to_leave();
        let (update, _) = accept(&service, &members[0].update());
        let effects = service.batch(|batch| {
            batch.submit_message(&room(), &mallory, &stale_message, NOW).unwrap();
            batch.submit_commit(&stale_commit, NOW).unwrap();
            batch.submit_proposal(&room(), &mallory, &stale_proposal, NOW).unwrap();
            batch.submit_proposal(&room(), &mallory, &stale_message, NOW).unwrap();
            batch.submit_message(&group("other"), &mallory, &stale_message, NOW).unwrap();
            let older = batch.report_commit(&room(), &mallory, Sequence(update.0 - 1), NOW).unwrap();
            assert_eq!(older, ReportOutcome::Rejected(RejectReason::NotReportable));
            assert_ne!(batch.end_group(&room(), &mallory, NOW).unwrap(), Reply::Done);
            assert_ne!(batch.decline_invitation(&room(), &mallory, NOW).unwrap(), Reply::Done);
            batch.take_effects()
        });
        assert_eq!(effects.unwrap(), [], "{mode:?}");
    }
}

#[test]
fn a_report_that_takes_nothing_back_wakes_nobody() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "mallory"]);
    let (update, _) = accept(&service, &members[0].update());
    let effects = service.batch(|batch| {
        for _ in 0..3 {
            let noted = batch.report_commit(&room(), &device("mallory"), update, NOW).unwrap();
            assert_eq!(noted, ReportOutcome::Noted { reports: 1, needed: 2 });
        }
        batch.take_effects()
    });
    assert_eq!(effects.unwrap(), []);
}
