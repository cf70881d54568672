//! Limits of one user: devices, stored bytes, and ended groups.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    CommitSubmission, Cursor, DeviceId, DeviceKey,
    HandshakeMode::{Assisted, Opaque},
    Limits, Registration, RejectReason, Reply,
};

fn bobs(device: &str) -> DeviceId {
    DeviceId::new("bob", device).unwrap()
}

#[test]
fn a_user_has_no_more_devices_than_the_limit() {
    let service = service_with(Limits { max_devices_per_user: 2, ..Limits::default() });
    let register = |device: &DeviceId| service.register_device(device, DeviceKey([1; 32]), None, NOW).unwrap();
    for device in ["phone", "tablet", "phone"] {
        assert_eq!(register(&bobs(device)), Registration::Registered, "a repeated registration");
    }
    assert_eq!(register(&bobs("laptop")), Registration::TooManyDevices);
    assert_eq!(register(&device("alice")), Registration::Registered, "the limit affects another user");
    service.remove_device(&bobs("tablet")).unwrap().unwrap();
    assert_eq!(register(&bobs("laptop")), Registration::Registered);
    assert_eq!(service.devices_of(bobs("phone").user()).unwrap(), [bobs("phone"), bobs("laptop")]);
}

#[test]
fn a_user_fills_the_logs_up_to_its_limit() {
    for mode in [Assisted, Opaque] {
        let service = service_with(Limits { max_stored_bytes_per_user: 20_000, ..Limits::default() });
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let full = rejected(RejectReason::TooManyBytes { limit: 20_000 });
        let large = "x".repeat(9_000);
        say(&service, &mut members[1], &large);
        say(&service, &mut members[1], &large);
        let third = members[1].send(&large);
        assert_eq!(service.submit_message(&room(), &device("bob"), &third, NOW).unwrap(), full);
        say(&service, &mut members[0], "others are not charged for it");
        for reader in ["alice", "bob"] {
            service.acknowledge(&device(reader), Cursor(u64::MAX)).unwrap();
        }
        assert!(accepted(&service.submit_message(&room(), &device("bob"), &third, NOW).unwrap()).is_some());
    }
}

#[test]
fn a_log_with_too_many_bytes_loses_its_oldest_entries() {
    let service = service_with(Limits { max_queue_bytes: 20_000, ..Limits::default() });
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let large = "x".repeat(9_000);
    let sent: Vec<_> = (0..5).map(|_| say(&service, &mut members[0], &large)).collect();
    let read = stream(&service, &device("bob"));
    assert_eq!(read.iter().map(|one| &one.bytes).collect::<Vec<_>>(), [&sent[3], &sent[4]]);
}

#[test]
fn devices_of_one_user_share_its_byte_limit() {
    let service = service_with(Limits { max_stored_bytes_per_user: 20_000, ..Limits::default() });
    let mut members = group_of(&service, Opaque, &["alice", "bob"]);
    let tablet = Client::of(bobs("tablet"));
    let add = members[1].commit(&[tablet.claimed_by(&service, &device("bob"))], &[]);
    accept(&service, &add);
    members[1].confirm();
    members[0].receive(&add.commit);
    let welcome = stream(&service, &tablet.id).remove(0);
    let mut tablet = tablet.join(&welcome.bytes, Opaque);
    let full = rejected(RejectReason::TooManyBytes { limit: 20_000 });
    say(&service, &mut members[1], &"x".repeat(9_000));
    say(&service, &mut tablet, &"x".repeat(6_000));
    let third = tablet.send(&"x".repeat(4_000));
    assert_eq!(service.submit_message(&room(), &tablet.id(), &third, NOW).unwrap(), full);
    // The removal of the device that used the bytes frees none of them.
    service.remove_device(&device("bob")).unwrap().unwrap();
    assert_eq!(service.submit_message(&room(), &tablet.id(), &third, NOW).unwrap(), full);
}

#[test]
fn a_removed_device_makes_room_for_one_device() {
    let service = service_with(Limits { max_devices_per_user: 1, ..Limits::default() });
    let register = |device: &DeviceId| service.register_device(device, DeviceKey([1; 32]), None, NOW).unwrap();
    assert_eq!(register(&bobs("one")), Registration::Registered);
    service.remove_device(&bobs("one")).unwrap().unwrap();
    assert!(service.remove_device(&bobs("one")).unwrap().is_none(), "a device is removed twice");
    assert_eq!(register(&bobs("one")), Registration::NameTaken);
    assert_eq!(register(&bobs("two")), Registration::Registered);
    assert_eq!(register(&bobs("three")), Registration::TooManyDevices);
}

#[test]
fn group_infos_count_for_their_sender_until_the_group_ends() {
    let create = |service: &TestService, name: &str| {
        let group_info = Client::new("bob").create_unregistered(&group(name), Opaque).group_info();
        (group_info.len() as u64, service.create_group(&group(name), &device("bob"), Opaque, &group_info, NOW).unwrap())
    };
    let (size, _) = create(&service(), "0");
    let limit = 3 * size;
    let service = service_with(Limits { max_stored_bytes_per_user: limit, ..Limits::default() });
    for name in ["0", "1", "2"] {
        assert!(accepted(&create(&service, name).1).is_some(), "{name}");
    }
    assert_eq!(create(&service, "3").1, rejected(RejectReason::TooManyBytes { limit }));
    assert_eq!(service.end_group(&group("1"), &device("bob"), NOW).unwrap(), Reply::Done);
    assert!(accepted(&create(&service, "3").1).is_some());
}

#[test]
fn a_replaced_group_info_counts_for_nobody() {
    for mode in [Assisted, Opaque] {
        let limit = 20_000;
        let service = service_with(Limits { max_stored_bytes_per_user: limit, ..Limits::default() });
        let mut alice = Client::new("alice").create(&service, mode);
        let mut sent = 0;
        while sent <= 2 * limit {
            let update = alice.update();
            sent += update.group_info.as_ref().unwrap().len() as u64;
            accept(&service, &update);
            alice.confirm();
            service.acknowledge(&alice.id(), Cursor(u64::MAX)).unwrap();
        }
    }
}

#[test]
fn a_commit_counts_with_its_group_info() {
    let service = service();
    let mut alice = Client::new("alice").create(&service, Opaque);
    let update = alice.update();
    let limit = (alice.group_info().len() + update.commit.len()) as u64;
    let service = service_with(Limits { max_stored_bytes_per_user: limit, ..Limits::default() });
    service.create_group(&room(), &alice.id(), Opaque, &alice.group_info(), NOW).unwrap();
    let full = rejected(RejectReason::TooManyBytes { limit });
    assert_eq!(service.submit_commit(&update, NOW).unwrap(), full);
    let without = CommitSubmission { group_info: None, ..update };
    assert!(accepted(&service.submit_commit(&without, NOW).unwrap()).is_some());
}

#[test]
fn a_user_ends_no_more_groups_than_the_limit() {
    let service = service_with(Limits { max_ended_groups_per_user: 1, ..Limits::default() });
    let create_and_end = |user: &str, name: &str| {
        let group_info = Client::new(user).create_unregistered(&group(name), Opaque).group_info();
        service.create_group(&group(name), &device(user), Opaque, &group_info, NOW).unwrap();
        service.end_group(&group(name), &device(user), NOW).unwrap()
    };
    assert_eq!(create_and_end("bob", "first"), Reply::Done);
    let full = Reply::Rejected(RejectReason::TooManyEndedGroups { limit: 1 });
    assert_eq!(create_and_end("bob", "second"), full);
    assert_eq!(service.end_group(&group("first"), &device("bob"), NOW).unwrap(), Reply::Done, "a repeated call");
    assert_eq!(create_and_end("alice", "third"), Reply::Done, "the limit affects another user");
}
