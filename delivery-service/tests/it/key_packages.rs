//! Key packages: each handed out once, the oldest first, the last resort last, expired ones never.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    DeliveryService, DeviceId, KeyPackageCount, KeyPackageFault, Limits, SqliteStore, Timestamp, UploadError,
};
use regrow_protocol::profile::UsePeriod;

const FOREVER: u64 = u64::MAX;

fn claim(service: &DeliveryService<SqliteStore>, device: &DeviceId) -> Option<Vec<u8>> {
    service.claim_key_package(device, NOW).unwrap().map(|claimed| claimed.bytes)
}

#[test]
fn each_is_handed_out_once_and_the_oldest_first() {
    let service = service();
    let bob = Client::new("bob");
    let key_packages = [bob.upload(0, FOREVER, false), bob.upload(0, FOREVER, false)];
    let count = service.upload_key_packages(&bob.id, &key_packages, None, NOW).unwrap();
    assert_eq!(count, KeyPackageCount { left: 2, last_resort: false });

    let claimed = service.claim_key_package(&bob.id, NOW).unwrap().unwrap();
    assert_eq!(claimed.bytes, key_packages[0]);
    assert_eq!(claimed.left, KeyPackageCount { left: 1, last_resort: false });
    assert_eq!(claim(&service, &bob.id).as_ref(), Some(&key_packages[1]));
    assert_eq!(claim(&service, &bob.id), None);
}

#[test]
fn the_last_resort_is_handed_out_when_no_other_is_left_and_again() {
    let service = service();
    let bob = Client::new("bob");
    let (usual, last) = (bob.upload(0, FOREVER, false), bob.upload(0, FOREVER, true));
    let count = service.upload_key_packages(&bob.id, std::slice::from_ref(&usual), Some(&last), NOW).unwrap();
    assert_eq!(count, KeyPackageCount { left: 1, last_resort: true });

    assert_eq!(claim(&service, &bob.id), Some(usual));
    let claimed = service.claim_key_package(&bob.id, NOW).unwrap().unwrap();
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
    assert_eq!(claim(&service, &bob.id), Some(old), "the same one again stays");
    service.upload_key_packages(&bob.id, &[], Some(&new), NOW).unwrap();
    assert_eq!(claim(&service, &bob.id), Some(new));
}

#[test]
fn expired_ones_are_never_handed_out() {
    let service = service();
    let bob = Client::new("bob");
    let soon = [bob.upload(0, NOW.0 + 10, false), bob.upload(0, NOW.0 + 20, false)];
    let last = bob.upload(0, NOW.0 + 30, true);
    service.upload_key_packages(&bob.id, &soon, Some(&last), NOW).unwrap();

    assert_eq!(service.key_packages_left(&bob.id, later(10)).unwrap().left, 1);
    let claimed = service.claim_key_package(&bob.id, later(10)).unwrap().unwrap();
    assert_eq!(claimed.bytes, soon[1]);
    assert!(service.claim_key_package(&bob.id, later(29)).unwrap().unwrap().last_resort);
    assert_eq!(service.claim_key_package(&bob.id, later(30)).unwrap(), None);
    assert_eq!(service.expire(later(9)).unwrap().key_packages, 0);
    assert_eq!(service.expire(later(30)).unwrap().key_packages, 2, "one was handed out");
}

#[test]
fn uploading_again_hands_nothing_out_twice() {
    let service = service();
    let bob = Client::new("bob");
    let key_packages = [bob.upload(0, FOREVER, false)];
    service.upload_key_packages(&bob.id, &key_packages, None, NOW).unwrap();
    let count = service.upload_key_packages(&bob.id, &key_packages, None, NOW).unwrap();
    assert_eq!(count.left, 1);
    assert!(claim(&service, &bob.id).is_some());
    let count = service.upload_key_packages(&bob.id, &key_packages, None, NOW).unwrap();
    assert_eq!(count.left, 0, "it has been handed out");
}

#[test]
fn what_does_not_verify_is_refused_and_nothing_of_its_batch_is_stored() {
    let service = service();
    let (bob, mallory) = (Client::new("bob"), Client::new("mallory"));
    let good = bob.upload(0, FOREVER, false);
    let mut tampered = good.clone();
    *tampered.last_mut().unwrap() ^= 1;
    let fault = |bytes: &[u8]| {
        let batch = [good.clone(), bytes.to_vec()];
        match service.upload_key_packages(&bob.id, &batch, None, NOW) {
            Err(UploadError::Refused { index: 1, reason }) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(fault(&tampered), KeyPackageFault::Invalid(_)));
    assert_eq!(fault(&mallory.upload(0, FOREVER, false)), KeyPackageFault::OfAnotherDevice);
    assert_eq!(fault(&bob.upload(0, NOW.0, false)), KeyPackageFault::Expired);
    assert_eq!(fault(&bob.upload(NOW.0 - 3_000_000_000, NOW.0 - 1, false)), KeyPackageFault::Expired);
    assert_eq!(fault(&bob.upload(0, FOREVER, true)), KeyPackageFault::WrongLastResort);
    assert_eq!(fault(b"not a key package"), KeyPackageFault::Malformed);
    assert_eq!(fault(&[]), KeyPackageFault::Malformed);
    assert_eq!(service.key_packages_left(&bob.id, NOW).unwrap().left, 0);

    let result = service.upload_key_packages(&bob.id, &[], Some(&good), NOW);
    assert!(matches!(result, Err(UploadError::Refused { index: 0, reason: KeyPackageFault::WrongLastResort })));
}

#[test]
fn a_lifetime_is_compared_with_the_callers_clock() {
    let service = service();
    let bob = Client::new("bob");
    let since_2020 = bob.upload(1_577_836_800, FOREVER, false);
    let long_ago = Timestamp(1_500_000_000);
    let result = service.upload_key_packages(&bob.id, &[since_2020], None, long_ago);
    assert!(matches!(result, Err(UploadError::Refused { reason: KeyPackageFault::NotYetValid, .. })));
}

#[test]
fn a_device_stores_no_more_than_the_limit() {
    let service = service_with(Limits { max_key_packages_per_device: 2, ..Limits::default() });
    let bob = Client::new("bob");
    let fresh = || bob.upload(0, FOREVER, false);
    service.upload_key_packages(&bob.id, &[fresh(), fresh()], None, NOW).unwrap();
    let result = service.upload_key_packages(&bob.id, &[fresh()], None, NOW);
    assert!(matches!(result, Err(UploadError::TooMany { limit: 2 })));
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
fn key_package_is_handed_out_until_its_use_ends() {
    let service = service();
    let bob = Client::new("bob");
    let period = UsePeriod { made: NOW, until: later(100) };
    service.upload_key_packages(&bob.id, &[bob.upload_for(period)], None, NOW).unwrap();

    assert_eq!(service.key_packages_left(&bob.id, later(99)).unwrap().left, 1);
    assert_eq!(service.key_packages_left(&bob.id, later(100)).unwrap().left, 0);
    assert!(service.claim_key_package(&bob.id, later(100)).unwrap().is_none());
    let ended = bob.upload_for(UsePeriod { until: NOW, ..period });
    let result = service.upload_key_packages(&bob.id, &[ended], None, NOW);
    assert!(matches!(result, Err(UploadError::Refused { reason: KeyPackageFault::Expired, .. })));
}
