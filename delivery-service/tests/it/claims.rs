//! Each addition uses up a key package that the committer or the proposer has claimed.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use openmls::prelude::{KeyPackage, MlsMessageBodyIn, MlsMessageOut, ProtocolVersion};
use openmls_rust_crypto::RustCrypto;
use regrow_delivery_service::{
    ClaimOutcome, DeviceId,
    HandshakeMode::{Assisted, Opaque},
    Limits, Outcome, RejectReason, Reply, ReportOutcome, Timestamp,
};

const DAY: u64 = 24 * 60 * 60;

fn unclaimed(name: &str) -> Outcome {
    rejected(RejectReason::UnclaimedKeyPackage { device: device(name) })
}

/// Uploads `count` key packages and one last-resort key package of a device.
fn stock(service: &TestService, client: &Client, count: usize) {
    register(service, &client.id);
    let key_packages: Vec<_> = (0..count).map(|_| client.upload(0, u64::MAX, false)).collect();
    let last_resort = client.upload(0, u64::MAX, true);
    service.upload_key_packages(&client.id, &key_packages, Some(&last_resort), NOW).unwrap();
}

fn claim(service: &TestService, target: &DeviceId, claimer: &DeviceId) -> ClaimOutcome {
    service.claim_key_package(target, claimer, NOW).unwrap()
}

/// True if the claimed key package is a last-resort key package.
fn is_last_resort(outcome: &ClaimOutcome) -> bool {
    match outcome {
        ClaimOutcome::Claimed(claimed) => claimed.last_resort,
        other => panic!("nothing is handed out: {other:?}"),
    }
}

#[test]
fn an_addition_without_a_claim_is_refused() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let carol = Client::new("carol");
        register(&service, &carol.id);
        let commit = members[0].commit(&[carol.key_package()], &[]);
        assert_eq!(service.submit_commit(&commit, NOW).unwrap(), unclaimed("carol"), "{mode:?}");
    }
}

#[test]
fn a_committer_cannot_use_a_strangers_claim() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let carol = Client::new("carol").claimed_by(&service, &device("mallory"));
        let commit = members[0].commit(&[carol], &[]);
        assert_eq!(service.submit_commit(&commit, NOW).unwrap(), unclaimed("carol"), "{mode:?}");
    }
}

#[test]
fn a_committer_may_use_the_proposers_claim() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let carol = Client::new("carol").claimed_by(&service, &device("bob"));
        let proposal = members[1].propose_to_add(&carol);
        service.submit_proposal(&room(), &device("bob"), &proposal, NOW).unwrap();
        members[0].receive(&proposal);
        let commit = members[0].update();
        assert_eq!(commit.roster_change.added, devices(&["carol"]));
        accept(&service, &commit);
    }
}

#[test]
fn in_an_assisted_group_only_the_proposers_claim_counts() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let commit = members[0].commit(&[Client::new("carol").claimed_by(&service, &device("bob"))], &[]);
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), unclaimed("carol"));
}

#[test]
fn a_claim_is_used_once() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let carol = Client::new("carol").claimed_by(&service, &device("alice"));
        let add = members[0].commit(std::slice::from_ref(&carol), &[]);
        let answer = accept(&service, &add);
        members[0].confirm();
        assert_eq!(accept(&service, &add), answer, "a repeated commit uses no other claim");
        accept(&service, &members[0].commit(&[], &[&device("carol")]));
        members[0].confirm();
        let again = members[0].commit(&[carol], &[]);
        assert_eq!(service.submit_commit(&again, NOW).unwrap(), unclaimed("carol"), "{mode:?}");
    }
}

#[test]
fn a_refused_commit_uses_no_claim() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let mut commit = members[0].commit(&[Client::new("carol").claimed_by(&service, &device("alice"))], &[]);
    let group_info = commit.group_info.replace(members[0].group_info());
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), rejected(RejectReason::GroupInfoMismatch));
    commit.group_info = group_info;
    accept(&service, &commit);
}

#[test]
fn a_rolled_back_commit_returns_its_claims() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let dave: KeyPackage = Client::new("dave").claimed_by(&service, &device("alice"));
    let (sequence, _) = accept(&service, &members[0].commit(std::slice::from_ref(&dave), &[]));
    members[0].discard();
    for by in ["bob", "carol"] {
        let outcome = service.report_commit(&room(), &device(by), sequence, NOW).unwrap();
        assert!(!matches!(outcome, ReportOutcome::Rejected(_)), "{outcome:?}");
    }
    accept(&service, &members[0].commit(&[dave], &[]));
}

#[test]
fn a_claim_expires() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let commit = members[0].commit(&[Client::new("carol").claimed_by(&service, &device("alice"))], &[]);
    assert_eq!(service.submit_commit(&commit, later(7 * DAY)).unwrap(), unclaimed("carol"));
    service.expire(later(7 * DAY)).unwrap();
    assert_eq!(service.submit_commit(&commit, NOW).unwrap(), unclaimed("carol"), "the claim is deleted");
}

#[test]
fn an_unregistered_device_is_not_added() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let unknown = rejected(RejectReason::UnknownDevice { device: device("carol") });
        let carol = Client::new("carol");
        let commit = members[0].commit(&[carol.key_package()], &[]);
        assert_eq!(service.submit_commit(&commit, NOW).unwrap(), unknown, "never registered");
        members[0].discard();
        let commit = members[0].commit(&[carol.claimed_by(&service, &device("alice"))], &[]);
        service.remove_device(&carol.id).unwrap().unwrap();
        assert_eq!(service.submit_commit(&commit, NOW).unwrap(), unknown, "no longer registered");
    }
}

#[test]
fn strangers_do_not_use_up_a_devices_key_packages() {
    let service = service();
    let bob = Client::new("bob");
    stock(&service, &bob, 20);
    for stranger in ["mallory", "max", "moritz"] {
        for number in 0..20 {
            let phone = DeviceId::new(stranger, format!("phone{number}")).unwrap();
            assert_eq!(is_last_resort(&claim(&service, &bob.id, &phone)), number >= 5, "{stranger} {number}");
        }
    }
    assert_eq!(service.key_packages_left(&bob.id, NOW).unwrap().left, 5);
    assert!(!is_last_resort(&claim(&service, &bob.id, &device("alice"))), "a friend gets no usual key package");
}

/// Claims a key package of the device and adds the device with it. Removes the device again if
/// `removes` is true. Returns true if the key package was a last-resort one.
fn add(service: &TestService, by: &mut Member, device: &DeviceId, removes: bool) -> bool {
    let ClaimOutcome::Claimed(claimed) = claim(service, device, &by.id()) else { panic!("nothing is handed out") };
    let MlsMessageBodyIn::KeyPackage(key_package) = parse(&claimed.bytes) else { panic!("not a key package") };
    let key_package = key_package.validate(&RustCrypto::default(), ProtocolVersion::Mls10).unwrap();
    accept(service, &by.commit(&[key_package], &[]));
    by.confirm();
    if removes {
        accept(service, &by.commit(&[], &[device]));
        by.confirm();
    }
    claimed.last_resort
}

#[test]
fn repeated_additions_do_not_use_up_a_devices_key_packages() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let bob = Client::new("bob");
        stock(&service, &bob, 20);
        let mut mallory = Client::new("mallory").create(&service, mode);
        for number in 0..8 {
            assert_eq!(add(&service, &mut mallory, &bob.id, true), number >= 5, "{mode:?}, {number}");
        }
        assert_eq!(service.key_packages_left(&bob.id, NOW).unwrap().left, 15);
        assert!(!is_last_resort(&claim(&service, &bob.id, &device("alice"))), "a friend gets no usual key package");
        // The claims expire after a week.
        service.expire(later(7 * DAY + 1)).unwrap();
        assert!(!is_last_resort(&claim(&service, &bob.id, &mallory.id())));
    }
}

#[test]
fn an_accepted_group_gives_its_inviter_another_key_package() {
    let service = service();
    let bob = Client::new("bob");
    stock(&service, &bob, 20);
    let mut alice = Client::new("alice").create(&service, Assisted);
    for _ in 0..4 {
        assert!(!add(&service, &mut alice, &bob.id, true));
    }
    assert!(!add(&service, &mut alice, &bob.id, false));
    assert!(is_last_resort(&claim(&service, &bob.id, &alice.id())));
    // The open claim counts as well, so two acceptances are necessary.
    assert_eq!(service.accept_invitation(&room(), &bob.id, NOW).unwrap(), Reply::Done);
    accept(&service, &alice.commit(&[], &[&bob.id]));
    alice.confirm();
    assert!(add(&service, &mut alice, &bob.id, false));
    assert_eq!(service.accept_invitation(&room(), &bob.id, NOW).unwrap(), Reply::Done);
    assert!(!is_last_resort(&claim(&service, &bob.id, &alice.id())));
}

#[test]
fn devices_of_the_same_user_claim_without_limit() {
    let service = service();
    let bob = Client::new("bob");
    stock(&service, &bob, 20);
    let tablet = DeviceId::new("bob", "tablet").unwrap();
    for _ in 0..20 {
        assert!(!is_last_resort(&claim(&service, &bob.id, &tablet)));
    }
}

#[test]
fn a_user_has_no_more_open_claims_than_the_limit() {
    let service = service_with(Limits { max_open_claims_per_user: 3, ..Limits::default() });
    let bob = Client::new("bob");
    stock(&service, &bob, 20);
    let refused = ClaimOutcome::Rejected(RejectReason::TooManyClaims { limit: 3 });
    for _ in 0..3 {
        claim(&service, &bob.id, &device("mallory"));
    }
    assert_eq!(claim(&service, &bob.id, &DeviceId::new("mallory", "tablet").unwrap()), refused);
    assert!(!is_last_resort(&claim(&service, &bob.id, &device("alice"))), "the limit affects another user");
    let expired: Timestamp = later(7 * DAY);
    service.expire(expired).unwrap();
    assert_ne!(service.claim_key_package(&bob.id, &device("mallory"), expired).unwrap(), refused);
}

#[test]
fn a_last_resort_key_package_serves_each_of_its_claimers() {
    let service = service();
    let mut members = group_of(&service, Opaque, &["alice", "bob"]);
    let carol = Client::new("carol");
    register(&service, &carol.id);
    let key_package = carol.last_resort_key_package();
    let bytes = MlsMessageOut::from(key_package.clone()).to_bytes().unwrap();
    service.upload_key_packages(&carol.id, &[], Some(&bytes), NOW).unwrap();
    for claimer in ["mallory", "bob", "alice"] {
        assert!(is_last_resort(&claim(&service, &carol.id, &device(claimer))));
    }
    accept(&service, &members[0].commit(&[key_package], &[]));
}
