//! Invitations of devices that another user adds. A device accepts an invitation, declines it, or
//! lets it expire.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    ClaimOutcome, Cursor, DeliveryKind, DeviceId, HandshakeMode,
    HandshakeMode::{Assisted, Opaque},
    Limits, Outcome, RejectReason, Reply, UserId,
};

const DAY: u64 = 24 * 60 * 60;

/// A service that allows each device one group.
fn one_group_service() -> TestService {
    service_with(Limits { max_groups_per_device: 1, ..Limits::default() })
}

/// Creates a group on a user's phone and adds another device to it. Returns the outcome of the
/// addition.
fn add_in(service: &TestService, by: &str, name: &str, joiner: &Client, mode: HandshakeMode) -> Outcome {
    let mut creator = Client::new(by).create_unregistered(&group(name), mode);
    let outcome = service.create_group(&group(name), &creator.id(), mode, &creator.group_info(), NOW).unwrap();
    assert!(accepted(&outcome).is_some(), "{outcome:?}");
    let mut commit = creator.commit(&[joiner.claimed_by(service, &creator.id())], &[]);
    commit.group = group(name);
    service.submit_commit(&commit, NOW).unwrap()
}

fn is_added(service: &TestService, by: &str, name: &str, joiner: &Client) -> bool {
    accepted(&add_in(service, by, name, joiner, Opaque)).is_some()
}

fn creates(service: &TestService, client: Client, name: &str) -> Outcome {
    let alone = client.create_unregistered(&group(name), Assisted);
    service.create_group(&group(name), &alone.id(), Assisted, &alone.group_info(), NOW).unwrap()
}

fn user(name: &str) -> UserId {
    device(name).user().clone()
}

#[test]
fn invitations_do_not_fill_a_devices_limit() {
    let service = one_group_service();
    let bob = Client::new("bob");
    for by in ["mallory", "max", "moritz"] {
        assert!(is_added(&service, by, by, &bob));
    }
    assert!(accepted(&creates(&service, bob, "own")).is_some());
}

#[test]
fn an_accepted_group_counts_for_the_device_limit() {
    let service = one_group_service();
    let bob = Client::new("bob");
    for by in ["alice", "carol"] {
        assert!(is_added(&service, by, by, &bob));
    }
    for _ in 0..2 {
        assert_eq!(service.accept_invitation(&group("alice"), &bob.id, NOW).unwrap(), Reply::Done);
    }
    let full = RejectReason::TooManyGroups { limit: 1 };
    let second = service.accept_invitation(&group("carol"), &bob.id, NOW).unwrap();
    assert_eq!(second, Reply::Rejected(full.clone()));
    assert_eq!(creates(&service, bob, "own"), rejected(full));
}

#[test]
fn an_external_join_counts_for_the_device_limit() {
    let service = one_group_service();
    let alice = Client::new("alice").create(&service, Assisted);
    let eve = Client::new("eve");
    register(&service, &eve.id);
    let own = group("own");
    let alone = Client::new("eve").create_unregistered(&own, Assisted);
    assert!(accepted(&service.create_group(&own, &eve.id, Assisted, &alone.group_info(), NOW).unwrap()).is_some());
    let (_, join) = eve.join_externally(&alice.group_info(), Assisted);
    let full = rejected(RejectReason::TooManyGroups { limit: 1 });
    assert_eq!(service.submit_commit(&join, NOW).unwrap(), full);
}

#[test]
fn a_submission_accepts_the_invitation() {
    let service = one_group_service();
    let mut alice = Client::new("alice").create(&service, Assisted);
    let bob = Client::new("bob");
    accept(&service, &alice.commit(&[bob.claimed_by(&service, &alice.id())], &[]));
    let welcome = stream(&service, &bob.id).remove(0);
    let mut bob = bob.join(&welcome.bytes, Assisted);
    say(&service, &mut bob, "hello");
    let declined = service.decline_invitation(&room(), &bob.id(), NOW).unwrap();
    assert_eq!(declined, Reply::Rejected(RejectReason::NotInvited), "the submission has accepted the invitation");
    assert_eq!(creates(&service, bob.client, "own"), rejected(RejectReason::TooManyGroups { limit: 1 }));
}

#[test]
fn a_declined_group_is_not_read() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut alice = Client::new("alice").create(&service, mode);
        let bob = Client::new("bob");
        accept(&service, &alice.commit(&[bob.claimed_by(&service, &alice.id())], &[]));
        alice.confirm();
        for _ in 0..2 {
            assert_eq!(service.decline_invitation(&room(), &bob.id, NOW).unwrap(), Reply::Done);
        }
        say(&service, &mut alice, "hello");
        assert_eq!(stream(&service, &bob.id), []);
        assert_eq!(service.groups_of(&bob.id).unwrap(), []);
        assert_eq!(
            service.acknowledge(&alice.id(), Cursor(u64::MAX)).unwrap(),
            2,
            "the log waits for the device that declined"
        );
        assert!(
            service.is_member(&room(), &bob.id).unwrap(),
            "a declined device stays a member until members remove it"
        );
        let late = service.accept_invitation(&room(), &bob.id, NOW).unwrap();
        assert_eq!(late, Reply::Rejected(RejectReason::NotInvited));
        accept(&service, &alice.commit(&[], &[&bob.id]));
    }
}

#[test]
fn a_device_may_decline_and_propose_to_leave() {
    let service = service();
    let mut alice = Client::new("alice").create(&service, Assisted);
    let bob = Client::new("bob");
    accept(&service, &alice.commit(&[bob.claimed_by(&service, &alice.id())], &[]));
    alice.confirm();
    let welcome = stream(&service, &bob.id).remove(0);
    let mut bob = bob.join(&welcome.bytes, Assisted);
    assert_eq!(service.decline_invitation(&room(), &bob.id(), NOW).unwrap(), Reply::Done);
    let leave = bob.propose_to_leave();
    let outcome = service.submit_proposal(&room(), &bob.id(), &leave, NOW).unwrap();
    assert!(accepted(&outcome).is_some(), "{outcome:?}");
    assert_eq!(stream(&service, &bob.id()), [], "the leave proposal has accepted the invitation");
    alice.receive(&leave);
    accept(&service, &alice.update());
    assert!(!service.is_member(&room(), &bob.id()).unwrap());
}

#[test]
fn an_invitation_expires_after_thirty_days() {
    let service = service();
    let bob = Client::new("bob");
    assert!(is_added(&service, "alice", "one", &bob));
    service.expire(later(30 * DAY - 1)).unwrap();
    assert_eq!(kinds(&stream(&service, &bob.id)), [DeliveryKind::Welcome]);
    service.expire(later(30 * DAY)).unwrap();
    assert_eq!(stream(&service, &bob.id), []);
    let late = service.accept_invitation(&group("one"), &bob.id, later(30 * DAY)).unwrap();
    assert_eq!(late, Reply::Rejected(RejectReason::NotInvited));
}

#[test]
fn an_accepted_group_does_not_expire() {
    let service = service_with(Limits { retention_seconds: 100 * DAY, ..Limits::default() });
    let bob = Client::new("bob");
    assert!(is_added(&service, "alice", "one", &bob));
    service.accept_invitation(&group("one"), &bob.id, NOW).unwrap();
    service.expire(later(31 * DAY)).unwrap();
    assert_eq!(kinds(&stream(&service, &bob.id)), [DeliveryKind::Welcome]);
}

#[test]
fn a_user_has_no_more_open_invitations_than_the_limit() {
    let service = service_with(Limits { max_open_invitations_per_user: 2, ..Limits::default() });
    let bob = Client::new("bob");
    assert!(is_added(&service, "mallory", "one", &bob) && is_added(&service, "mallory", "two", &bob));
    let outcome = add_in(&service, "mallory", "three", &bob, Opaque);
    assert_eq!(outcome, rejected(RejectReason::TooManyInvitations { limit: 2 }));
    assert!(is_added(&service, "alice", "four", &bob), "the limit affects another user");
    service.accept_invitation(&group("one"), &bob.id, NOW).unwrap();
    service.decline_invitation(&group("two"), &bob.id, NOW).unwrap();
    assert!(is_added(&service, "mallory", "five", &bob), "an answered invitation counts");
}

#[test]
fn a_device_that_its_own_user_adds_is_not_invited() {
    let service = one_group_service();
    let tablet = Client::of(DeviceId::new("alice", "tablet").unwrap());
    assert!(is_added(&service, "alice", "one", &tablet));
    let declined = service.decline_invitation(&group("one"), &tablet.id, NOW).unwrap();
    assert_eq!(declined, Reply::Rejected(RejectReason::NotInvited));
    assert_eq!(creates(&service, tablet, "own"), rejected(RejectReason::TooManyGroups { limit: 1 }));
}

#[test]
fn a_blocked_user_claims_and_adds_nothing() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let bob = Client::new("bob");
        let blocked = RejectReason::Blocked { device: bob.id.clone() };
        let mut mallory = Client::new("mallory").create(&service, mode);
        let add = mallory.commit(&[bob.claimed_by(&service, &mallory.id())], &[]);
        assert_eq!(service.block_user(&user("bob"), &user("mallory")).unwrap(), Reply::Done);
        assert_eq!(service.submit_commit(&add, NOW).unwrap(), rejected(blocked.clone()));
        let claim = service.claim_key_package(&bob.id, &mallory.id(), NOW).unwrap();
        assert_eq!(claim, ClaimOutcome::Rejected(blocked));
        assert!(service.unblock_user(&user("bob"), &user("mallory")).unwrap());
        accept(&service, &add);
    }
}

#[test]
fn a_blocked_user_cannot_add_with_anothers_claim() {
    let service = service();
    let mut members = group_of(&service, Opaque, &["alice", "mallory"]);
    let bob = Client::new("bob").claimed_by(&service, &device("alice"));
    service.block_user(&user("bob"), &user("mallory")).unwrap();
    let add = members[1].commit(&[bob], &[]);
    let blocked = rejected(RejectReason::Blocked { device: device("bob") });
    assert_eq!(service.submit_commit(&add, NOW).unwrap(), blocked);
}

#[test]
fn a_user_blocks_no_more_users_than_the_limit() {
    let service = service();
    for number in 0..1_000 {
        let blocked = user(&format!("user{number}"));
        assert_eq!(service.block_user(&user("bob"), &blocked).unwrap(), Reply::Done);
    }
    let full = Reply::Rejected(RejectReason::TooManyBlocks { limit: 1_000 });
    assert_eq!(service.block_user(&user("bob"), &user("mallory")).unwrap(), full);
    assert_eq!(
        service.block_user(&user("bob"), &user("user7")).unwrap(),
        Reply::Done,
        "a user that is blocked already"
    );
    assert_eq!(service.blocked_users(&user("bob")).unwrap().len(), 1_000);
}
