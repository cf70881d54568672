//! The end of a group by its only member. Only the group's name remains, and it is never used
//! again.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    Cursor,
    HandshakeMode::{Assisted, Opaque},
    Limits, RejectReason, Reply,
};

fn refused(reason: RejectReason) -> Reply {
    Reply::Rejected(reason)
}

#[test]
fn the_only_member_ends_a_group() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut alice = Client::new("alice").create(&service, mode);
        say(&service, &mut alice, "hello");
        for _ in 0..2 {
            assert_eq!(service.end_group(&room(), &alice.id(), NOW).unwrap(), Reply::Done, "a repeated call");
        }
        assert_eq!(service.roster(&room()).unwrap(), None);
        assert_eq!(service.group_info(&room()).unwrap(), None);
        assert_eq!(stream(&service, &alice.id()), []);
        assert_eq!(service.groups_of(&alice.id()).unwrap(), []);
        let late = service.submit_message(&room(), &alice.id(), &alice.send("late"), NOW).unwrap();
        assert_eq!(late, rejected(RejectReason::UnknownGroup));
    }
}

#[test]
fn a_group_with_other_members_is_not_ended() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    assert_eq!(service.end_group(&room(), &device("alice"), NOW).unwrap(), refused(RejectReason::NotAlone));
    let stranger = service.end_group(&room(), &device("mallory"), NOW).unwrap();
    assert_eq!(stranger, refused(RejectReason::NotAMember));
    accept(&service, &members[0].commit(&[], &[&device("bob")]));
    assert_eq!(service.end_group(&room(), &device("alice"), NOW).unwrap(), Reply::Done);
    let former = service.end_group(&room(), &device("bob"), NOW).unwrap();
    assert_eq!(former, refused(RejectReason::UnknownGroup));
    assert_eq!(stream(&service, &device("bob")), [], "unread entries remain");
}

#[test]
fn the_name_of_an_ended_group_is_not_given_again() {
    let service = service();
    let alice = Client::new("alice").create(&service, Assisted);
    let group_info = alice.group_info();
    service.end_group(&room(), &alice.id(), NOW).unwrap();
    for (device, mode) in [("alice", Assisted), ("mallory", Opaque)] {
        let outcome = service.create_group(&room(), &crate::common::device(device), mode, &group_info, NOW).unwrap();
        assert_eq!(outcome, rejected(RejectReason::GroupEnded));
    }
}

#[test]
fn an_ended_group_does_not_count_for_the_device_limit() {
    let service = service_with(Limits { max_groups_per_device: 1, ..Limits::default() });
    let alice = Client::new("alice").create(&service, Assisted);
    service.end_group(&room(), &alice.id(), NOW).unwrap();
    let other = Client::new("alice").create_unregistered(&group("other"), Assisted);
    let outcome = service.create_group(&group("other"), &alice.id(), Assisted, &other.group_info(), NOW).unwrap();
    assert!(accepted(&outcome).is_some(), "{outcome:?}");
}

#[test]
fn an_ended_group_leaves_nothing_to_expire() {
    let service = service();
    let mut alice = Client::new("alice").create(&service, Assisted);
    say(&service, &mut alice, "hello");
    service.end_group(&room(), &alice.id(), NOW).unwrap();
    assert_eq!(service.acknowledge(&alice.id(), Cursor(u64::MAX)).unwrap(), 0);
    let expired = service.expire(later(Limits::default().retention_seconds)).unwrap();
    assert_eq!((expired.entries, expired.remembered_outcomes), (0, 0));
}
