//! What one user can take up: devices, and bytes that wait for readers.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    Cursor, DeviceId, DeviceKey,
    HandshakeMode::{Assisted, Opaque},
    Limits, Registration, RejectReason,
};

fn bobs(device: &str) -> DeviceId {
    DeviceId::new("bob", device).unwrap()
}

#[test]
fn a_user_has_no_more_devices_than_the_limit() {
    let service = service_with(Limits { max_devices_per_user: 2, ..Limits::default() });
    let register = |device: &DeviceId| service.register_device(device, DeviceKey([1; 32]), None, NOW).unwrap();
    for device in ["phone", "tablet", "phone"] {
        assert_eq!(register(&bobs(device)), Registration::Registered, "again as well");
    }
    assert_eq!(register(&bobs("laptop")), Registration::TooManyDevices);
    assert_eq!(register(&device("alice")), Registration::Registered, "others are not charged for it");
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
fn a_log_that_has_too_many_bytes_loses_its_oldest_entries() {
    let service = service_with(Limits { max_queue_bytes: 20_000, ..Limits::default() });
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let large = "x".repeat(9_000);
    let sent: Vec<_> = (0..5).map(|_| say(&service, &mut members[0], &large)).collect();
    let read = stream(&service, &device("bob"));
    assert_eq!(read.iter().map(|one| &one.bytes).collect::<Vec<_>>(), [&sent[3], &sent[4]]);
}

#[test]
fn devices_of_one_user_share_its_limit_of_bytes_and_leave_it_full() {
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
    say(&service, &mut tablet, &"x".repeat(8_000));
    let third = tablet.send(&"x".repeat(4_000));
    assert_eq!(service.submit_message(&room(), &tablet.id(), &third, NOW).unwrap(), full);
    // Whoever removes the device that has filled it up makes no room.
    service.remove_device(&device("bob")).unwrap().unwrap();
    assert_eq!(service.submit_message(&room(), &tablet.id(), &third, NOW).unwrap(), full);
}

#[test]
fn a_device_that_was_removed_makes_room_for_one() {
    let service = service_with(Limits { max_devices_per_user: 1, ..Limits::default() });
    let register = |device: &DeviceId| service.register_device(device, DeviceKey([1; 32]), None, NOW).unwrap();
    assert_eq!(register(&bobs("one")), Registration::Registered);
    service.remove_device(&bobs("one")).unwrap().unwrap();
    assert!(service.remove_device(&bobs("one")).unwrap().is_none(), "once");
    assert_eq!(register(&bobs("one")), Registration::NameTaken);
    assert_eq!(register(&bobs("two")), Registration::Registered);
    assert_eq!(register(&bobs("three")), Registration::TooManyDevices);
}
