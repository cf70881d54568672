//! Unwanted additions of devices.

use crate::common::*;
use regrow_delivery_service::{
    DeviceId,
    HandshakeMode::{Assisted, Opaque},
    Outcome, RejectReason,
};

fn unclaimed(user: &str) -> Outcome {
    rejected(RejectReason::UnclaimedKeyPackage { device: device(user) })
}

#[test]
fn a_used_claim_adds_to_no_other_group() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["mallory", "bob"]);
        let carol = Client::new("carol").claimed_by(&service, &device("mallory"));
        accept(&service, &members[0].commit(std::slice::from_ref(&carol), &[]));
        let other = group("other");
        let mut second = Client::new("mallory").create_unregistered(&other, mode);
        let created = service.create_group(&other, &second.id(), mode, &second.group_info(), NOW).unwrap();
        assert!(accepted(&created).is_some(), "{created:?}");
        let mut again = second.commit(&[carol], &[]);
        again.group = other;
        assert_eq!(service.submit_commit(&again, NOW).unwrap(), unclaimed("carol"), "{mode:?}");
    }
}

#[test]
fn a_claim_does_not_serve_the_users_other_devices() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["mallory", "bob"]);
        let laptop = DeviceId::new("mallory", "laptop").unwrap();
        let carol = Client::new("carol").claimed_by(&service, &laptop);
        let add = members[0].commit(&[carol], &[]);
        assert_eq!(service.submit_commit(&add, NOW).unwrap(), unclaimed("carol"), "{mode:?}");
    }
}

#[test]
fn an_external_commit_adds_only_its_sender() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "mallory"]);
        accept(&service, &members[0].update());
        let group_info = service.group_info(&room()).unwrap().unwrap();
        let laptop = Client::of(DeviceId::new("mallory", "laptop").unwrap());
        register(&service, &laptop.id);
        Client::new("carol").claimed_by(&service, &laptop.id);
        let (_, mut external) = laptop.join_externally(&group_info, mode);
        external.roster_change.added.insert(device("carol"));
        let outcome = service.submit_commit(&external, NOW).unwrap();
        assert_eq!(outcome, rejected(RejectReason::RosterMismatch), "{mode:?}");
        external.roster_change.added.remove(&device("carol"));
        accept(&service, &external);
    }
}

#[test]
fn a_proposal_cannot_add_with_a_used_claim() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "mallory"]);
    let carol = Client::new("carol").claimed_by(&service, &device("mallory"));
    let proposal = members[1].propose_to_add(&carol);
    let ordered = service.submit_proposal(&room(), &device("mallory"), &proposal, NOW).unwrap();
    assert!(accepted(&ordered).is_some(), "{ordered:?}");
    let other = group("other");
    let mut second = Client::new("mallory").create_unregistered(&other, Assisted);
    service.create_group(&other, &second.id(), Assisted, &second.group_info(), NOW).unwrap();
    let mut add = second.commit(&[carol], &[]);
    add.group = other;
    accept(&service, &add);
    members[0].receive(&proposal);
    let carried_out = members[0].update();
    assert_eq!(service.submit_commit(&carried_out, NOW).unwrap(), unclaimed("carol"));
}
