//! Key packages. The service hands each one out once, the oldest first, and the last-resort one
//! last. It never hands out an expired one.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    ClaimOutcome, ClaimedKeyPackage, DeviceId,
    HandshakeMode::{Assisted, Opaque},
    KeyPackageCount, KeyPackageFault, Limits, RefusedKeyPackage, RejectReason, Timestamp,
};
use regrow_protocol::profile::UsePeriod;

const FOREVER: u64 = u64::MAX;

fn claim(service: &TestService, device: &DeviceId) -> Option<Vec<u8>> {
    claim_at(service, device, NOW).map(|claimed| claimed.bytes)
}

/// Claims a key package for a device that has no other claim.
fn claim_at(service: &TestService, target: &DeviceId, now: Timestamp) -> Option<ClaimedKeyPackage> {
    match service.claim_key_package(target, &device("alice"), now).unwrap() {
        ClaimOutcome::Claimed(claimed) => Some(claimed),
        ClaimOutcome::NoneLeft => None,
        ClaimOutcome::Rejected(reason) => panic!("{reason}"),
    }
}

#[test]
fn each_key_package_is_handed_out_once_oldest_first() {
    let service = service();
    let bob = Client::new("bob");
    let key_packages = [bob.upload(0, FOREVER, false), bob.upload(0, FOREVER, false)];
    let count = service.upload_key_packages(&bob.id, &key_packages, None, NOW).unwrap().left;
    assert_eq!(count, KeyPackageCount { left: 2, last_resort: false, last_resort_used: false });

    let claimed = claim_at(&service, &bob.id, NOW).unwrap();
    assert_eq!(claimed.bytes, key_packages[0]);
    assert_eq!(claimed.left, KeyPackageCount { left: 1, last_resort: false, last_resort_used: false });
    assert_eq!(claim(&service, &bob.id).as_ref(), Some(&key_packages[1]));
    assert_eq!(claim(&service, &bob.id), None);
}

#[test]
fn the_last_resort_key_package_is_claimed_last_and_repeatedly() {
    let service = service();
    let bob = Client::new("bob");
    let (usual, last) = (bob.upload(0, FOREVER, false), bob.upload(0, FOREVER, true));
    let count = service.upload_key_packages(&bob.id, std::slice::from_ref(&usual), Some(&last), NOW).unwrap().left;
    assert_eq!(count, KeyPackageCount { left: 1, last_resort: true, last_resort_used: false });

    assert_eq!(claim(&service, &bob.id), Some(usual));
    let claimed = claim_at(&service, &bob.id, NOW).unwrap();
    assert!(claimed.last_resort);
    assert_eq!(claimed.bytes, last);
    assert_eq!(claim(&service, &bob.id), Some(last));
}

#[test]
fn a_new_last_resort_replaces_the_old_one() {
    let service = service();
    let bob = Client::new("bob");
    let (old, new) = (bob.upload(0, FOREVER, true), bob.upload(0, FOREVER, true));
    service.upload_key_packages(&bob.id, &[], Some(&old), NOW).unwrap();
    service.upload_key_packages(&bob.id, &[], Some(&old), NOW).unwrap();
    assert_eq!(claim(&service, &bob.id), Some(old), "a repeated upload replaces the key package");
    service.upload_key_packages(&bob.id, &[], Some(&new), NOW).unwrap();
    assert_eq!(claim(&service, &bob.id), Some(new));
}

#[test]
fn expired_key_packages_are_never_handed_out() {
    let service = service();
    let bob = Client::new("bob");
    let soon = [bob.upload(0, NOW.0 + 10, false), bob.upload(0, NOW.0 + 20, false)];
    let last = bob.upload(0, NOW.0 + 30, true);
    service.upload_key_packages(&bob.id, &soon, Some(&last), NOW).unwrap();

    assert_eq!(service.key_packages_left(&bob.id, later(10)).unwrap().left, 1);
    let claimed = claim_at(&service, &bob.id, later(10)).unwrap();
    assert_eq!(claimed.bytes, soon[1]);
    assert!(claim_at(&service, &bob.id, later(29)).unwrap().last_resort);
    assert_eq!(claim_at(&service, &bob.id, later(30)), None);
    assert_eq!(service.expire(later(9)).unwrap().key_packages, 0);
    assert_eq!(service.expire(later(30)).unwrap().key_packages, 2, "one of the three was handed out");
}

#[test]
fn a_repeated_upload_hands_nothing_out_twice() {
    let service = service();
    let bob = Client::new("bob");
    let key_packages = [bob.upload(0, FOREVER, false)];
    service.upload_key_packages(&bob.id, &key_packages, None, NOW).unwrap();
    let count = service.upload_key_packages(&bob.id, &key_packages, None, NOW).unwrap().left;
    assert_eq!(count.left, 1);
    assert!(claim(&service, &bob.id).is_some());
    let count = service.upload_key_packages(&bob.id, &key_packages, None, NOW).unwrap().left;
    assert_eq!(count.left, 0, "a key package that was handed out is stored again");
}

#[test]
fn a_bad_key_package_is_reported_and_others_are_stored() {
    let service = service();
    let (bob, mallory) = (Client::new("bob"), Client::new("mallory"));
    let mut tampered = bob.upload(0, FOREVER, false);
    *tampered.last_mut().unwrap() ^= 1;
    let mut stored = 0;
    let mut fault = |bytes: &[u8]| {
        let batch = [bob.upload(0, FOREVER, false), bytes.to_vec(), bob.upload(0, FOREVER, false)];
        let mut upload = service.upload_key_packages(&bob.id, &batch, None, NOW).unwrap();
        stored += 2;
        assert_eq!((upload.left.left, upload.refused.len(), upload.refused[0].index), (stored, 1, 1));
        upload.refused.remove(0).reason
    };
    assert!(matches!(fault(&tampered), KeyPackageFault::Invalid(_)));
    assert_eq!(fault(&mallory.upload(0, FOREVER, false)), KeyPackageFault::OfAnotherDevice);
    assert_eq!(fault(&bob.upload(0, NOW.0, false)), KeyPackageFault::Expired);
    assert_eq!(fault(&bob.upload(NOW.0 - 3_000_000_000, NOW.0 - 1, false)), KeyPackageFault::Expired);
    assert_eq!(fault(&bob.upload(0, FOREVER, true)), KeyPackageFault::WrongLastResort);
    assert_eq!(fault(b"not a key package"), KeyPackageFault::Malformed);
    assert_eq!(fault(&[]), KeyPackageFault::Malformed);
}

#[test]
fn a_bad_last_resort_key_package_has_the_last_index() {
    let service = service();
    let bob = Client::new("bob");
    let (good, bad) = (bob.upload(0, FOREVER, false), bob.upload(0, FOREVER, false));
    let upload = service.upload_key_packages(&bob.id, &[good], Some(&bad), NOW).unwrap();
    assert_eq!(upload.refused, [RefusedKeyPackage { index: 1, reason: KeyPackageFault::WrongLastResort }]);
    assert_eq!((upload.left.left, upload.left.last_resort), (1, false));
}

#[test]
fn replacing_withdraws_all_key_packages_in_one_step() {
    let service = service();
    let bob = Client::new("bob");
    let old = [bob.upload(0, FOREVER, false), bob.upload(0, FOREVER, false)];
    service.upload_key_packages(&bob.id, &old, Some(&bob.upload(0, FOREVER, true)), NOW).unwrap();
    let new = [bob.upload(0, FOREVER, false)];
    for _ in 0..2 {
        let upload = service.replace_key_packages(&bob.id, &new, None, NOW).unwrap();
        assert_eq!(upload.left, KeyPackageCount { left: 1, last_resort: false, last_resort_used: false });
    }
    assert_eq!(claim(&service, &bob.id).as_ref(), Some(&new[0]));
    assert_eq!(claim(&service, &bob.id), None);
    let upload = service.replace_key_packages(&bob.id, &new, None, NOW).unwrap();
    assert_eq!(upload.left.left, 0, "a key package that was handed out is stored again");
}

#[test]
fn a_withdrawn_key_package_adds_nobody() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut alice = Client::new("alice").create(&service, mode);
        let bob = Client::new("bob");
        let add = alice.commit(&[bob.claimed_by(&service, &alice.id())], &[]);
        service.replace_key_packages(&bob.id, &[bob.upload(0, FOREVER, false)], None, NOW).unwrap();
        let unclaimed = rejected(RejectReason::UnclaimedKeyPackage { device: bob.id.clone() });
        assert_eq!(service.submit_commit(&add, NOW).unwrap(), unclaimed);
    }
}

#[test]
fn a_used_last_resort_key_package_is_reported_as_used() {
    let service = service();
    let bob = Client::new("bob");
    let used = |last: &[u8]| {
        let upload = service.upload_key_packages(&bob.id, &[], Some(last), NOW).unwrap();
        assert!(upload.left.last_resort);
        upload.left.last_resort_used
    };
    let (first, second) = (bob.upload(0, FOREVER, true), bob.upload(0, FOREVER, true));
    assert!(!used(&first));
    claim(&service, &bob.id);
    assert!(used(&first));
    assert!(!used(&second), "a new last-resort key package is reported as used");
}

#[test]
fn a_lifetime_is_compared_with_the_callers_clock() {
    let service = service();
    let bob = Client::new("bob");
    let since_2020 = bob.upload(1_577_836_800, FOREVER, false);
    let long_ago = Timestamp(1_500_000_000);
    let upload = service.upload_key_packages(&bob.id, &[since_2020], None, long_ago).unwrap();
    assert_eq!(upload.refused[0].reason, KeyPackageFault::NotYetValid);
}

#[test]
fn a_device_stores_no_more_than_the_limit() {
    let service = service_with(Limits { max_key_packages_per_device: 2, ..Limits::default() });
    let bob = Client::new("bob");
    let fresh = || bob.upload(0, FOREVER, false);
    service.upload_key_packages(&bob.id, &[fresh(), fresh()], None, NOW).unwrap();
    let upload = service.upload_key_packages(&bob.id, &[fresh()], None, NOW).unwrap();
    let too_many = RefusedKeyPackage { index: 0, reason: KeyPackageFault::TooMany { limit: 2 } };
    assert_eq!(upload.refused, [too_many]);
    assert_eq!(service.key_packages_left(&bob.id, NOW).unwrap().left, 2);
}

#[test]
fn key_packages_of_one_device_are_not_those_of_another() {
    let service = service();
    let bob = Client::new("bob");
    service.upload_key_packages(&bob.id, &[bob.upload(0, FOREVER, false)], None, NOW).unwrap();
    assert_eq!(claim(&service, &device("bo")), None);
    assert_eq!(claim(&service, &device("bobby")), None);
}

#[test]
fn a_key_package_is_handed_out_until_its_use_ends() {
    let service = service();
    let bob = Client::new("bob");
    let period = UsePeriod { made: NOW, until: later(100) };
    service.upload_key_packages(&bob.id, &[bob.upload_for(period)], None, NOW).unwrap();

    assert_eq!(service.key_packages_left(&bob.id, later(99)).unwrap().left, 1);
    assert_eq!(service.key_packages_left(&bob.id, later(100)).unwrap().left, 0);
    assert!(claim_at(&service, &bob.id, later(100)).is_none());
    let ended = bob.upload_for(UsePeriod { until: NOW, ..period });
    let upload = service.upload_key_packages(&bob.id, &[ended], None, NOW).unwrap();
    assert_eq!(upload.refused, [RefusedKeyPackage { index: 0, reason: KeyPackageFault::Expired }]);
}
