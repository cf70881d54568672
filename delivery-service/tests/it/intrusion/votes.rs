//! Reports that try to roll back the decisions of others.

use crate::common::*;
use regrow_delivery_service::{DeviceId, HandshakeMode::Assisted, RejectReason, ReportOutcome, Sequence};

fn report(service: &TestService, by: &DeviceId, sequence: Sequence) -> ReportOutcome {
    service.report_commit(&room(), by, sequence, NOW).unwrap()
}

fn refused() -> ReportOutcome {
    ReportOutcome::Rejected(RejectReason::NotReportable)
}

/// Every device with a group info can join externally.
#[test]
fn users_that_just_joined_externally_cannot_report() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "mallory"]);
    let puppets = ["m1", "m2", "m3"];
    for puppet in puppets {
        let group_info = service.group_info(&room()).unwrap();
        let group_info = group_info.unwrap_or_else(|| members[0].group_info());
        let client = Client::new(puppet);
        register(&service, &client.id);
        let (_, external) = client.join_externally(&group_info, Assisted);
        accept(&service, &external);
        for member in &mut members {
            member.receive(&external.commit);
        }
    }
    let (removal, _) = accept(&service, &members[0].commit(&[], &[&device("mallory")]));
    for puppet in puppets {
        assert_eq!(report(&service, &device(puppet), removal), refused(), "{puppet}");
    }
}

#[test]
fn users_added_by_a_removed_users_friends_cannot_report() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "mallory"]);
    // Mallory adds the first user, who adds the second.
    for puppet in ["m1", "m2"] {
        let client = Client::new(puppet);
        let by = members.len() - 1;
        let key_package = client.claimed_by(&service, &members[by].id());
        let add = members[by].commit(&[key_package], &[]);
        accept(&service, &add);
        for (number, member) in members.iter_mut().enumerate() {
            if number == by { member.confirm() } else { drop(member.receive(&add.commit)) }
        }
        service.accept_invitation(&room(), &client.id, NOW).unwrap();
        let welcome = stream(&service, &client.id).remove(0);
        members.push(client.join(&welcome.bytes, Assisted));
    }
    let (removal, _) = accept(&service, &members[0].commit(&[], &[&device("mallory")]));
    for puppet in ["m1", "m2"] {
        assert_eq!(report(&service, &device(puppet), removal), refused(), "{puppet}");
    }
}

#[test]
fn a_report_of_a_rolled_back_commit_is_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol", "dave"]);
    let (update, _) = accept(&service, &members[0].update());
    for by in ["bob", "carol"] {
        report(&service, &device(by), update);
    }
    for by in ["bob", "dave"] {
        assert_eq!(report(&service, &device(by), update), refused(), "{by}");
    }
    // The refused report does not count for the next commit either.
    members[0].discard();
    let (second, _) = accept(&service, &members[0].update());
    assert_eq!(report(&service, &device("dave"), second), ReportOutcome::Noted { reports: 1, needed: 2 });
}
