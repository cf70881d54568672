//! Tests of the application's authentication service and roles: the questions that it gets, and
//! refusals, which must change nothing.

use std::sync::{Arc, Mutex};

use crate::common::{
    intruder::{Intruder, infiltrate},
    *,
};
use regrow_engine::{
    Authenticate, Change, Client, DeviceId, Error, GroupId, IdentityClaim, Ignored, Lost, MemoryStore, ReceivedEvent,
    Refusal, SignaturePublicKey,
};

/// An authentication service that refuses on demand and records every question.
#[derive(Default)]
struct RecordingAuthentication(Mutex<AuthenticationAnswers>);

#[derive(Default)]
struct AuthenticationAnswers {
    refused: Option<DeviceId>,
    forbidden: Option<(DeviceId, Change)>,
    claims: Vec<IdentityClaim>,
    changes: Vec<(GroupId, DeviceId, Change)>,
}

impl RecordingAuthentication {
    fn refuse(&self, device: DeviceId) {
        self.0.lock().unwrap().refused = Some(device);
    }

    fn forbid(&self, by: &str, change: Change) {
        self.0.lock().unwrap().forbidden = Some((device(by), change));
    }

    fn permit_all(&self) {
        let mut answers = self.0.lock().unwrap();
        (answers.refused, answers.forbidden) = (None, None);
    }

    /// Returns the identity claims that the service was asked about since the last call.
    fn claims(&self) -> Vec<IdentityClaim> {
        std::mem::take(&mut self.0.lock().unwrap().claims)
    }

    /// Returns the changes that the service was asked about since the last call, each with the
    /// device that makes it.
    fn changes(&self) -> Vec<(DeviceId, Change)> {
        let changes = std::mem::take(&mut self.0.lock().unwrap().changes);
        changes
            .into_iter()
            .map(|(id, by, change)| {
                assert_eq!(id, group());
                (by, change)
            })
            .collect()
    }
}

impl Authenticate for RecordingAuthentication {
    fn authenticate(&self, claim: &IdentityClaim) -> Result<(), String> {
        let mut answers = self.0.lock().unwrap();
        answers.claims.push(claim.clone());
        if answers.refused.as_ref() == Some(&claim.device) { Err("not in the directory".into()) } else { Ok(()) }
    }

    fn may(&self, group: &GroupId, by: &DeviceId, change: &Change) -> Result<(), String> {
        let mut answers = self.0.lock().unwrap();
        answers.changes.push((group.clone(), by.clone(), change.clone()));
        match &answers.forbidden {
            Some((who, what)) if who == by && what == change => Err("not an admin".into()),
            _ => Ok(()),
        }
    }
}

/// A group of Alice, Bob and an intruder. Only Bob has an authentication service.
struct GroupWithAuthentication {
    alice: Client,
    bob: Client,
    store: MemoryStore,
    service: Arc<RecordingAuthentication>,
    mallory: Intruder,
}

fn group_with_authentication() -> GroupWithAuthentication {
    let (store, service) = (MemoryStore::new(), Arc::new(RecordingAuthentication::default()));
    let mut bob = client_in(&store, "bob", policy()).with_authentication(service.clone());
    let (alice, mallory) = infiltrate(&mut bob);
    service.claims();
    GroupWithAuthentication { alice, bob, store, service, mallory }
}

impl GroupWithAuthentication {
    /// Checks that Bob's call is refused without a change of his state, and that he continues with
    /// Alice. Returns the reason.
    fn refusal<T: std::fmt::Debug>(&mut self, call: impl FnOnce(&mut Client) -> Result<T, Error>) -> Refusal {
        let before = store::records(&self.store);
        let error = call(&mut self.bob).unwrap_err();
        assert!(store::records(&self.store) == before, "the state has changed: {error}");
        self.service.permit_all();
        update(&mut self.alice, &mut [&mut self.bob]);
        assert_same_epoch(&mut [&mut self.alice, &mut self.bob]);
        match error {
            Error::Refused(refusal) => refusal,
            other => panic!("expected a refusal, got {other}"),
        }
    }
}

fn unauthenticated(user: &str) -> Refusal {
    Refusal::Unauthenticated { device: device(user), reason: "not in the directory".into() }
}

fn forbidden(by: &str, change: Change) -> Refusal {
    Refusal::Forbidden { by: device(by), change: Box::new(change), reason: "not an admin".into() }
}

fn key(client: &Client) -> SignaturePublicKey {
    client.signature_key().unwrap()
}

#[test]
fn a_refused_identity_is_not_added() {
    let mut devices = group_with_authentication();
    let carols = key_package(&mut client("carol"));

    devices.service.refuse(device("carol"));
    let refusal = devices.refusal(|bob| bob.group(&group())?.add(std::slice::from_ref(&carols), NOW));
    assert_eq!(refusal, unauthenticated("carol"));
    devices.service.refuse(device("carol"));
    let refusal = devices.refusal(|bob| bob.group(&group())?.propose_add(&carols, NOW));
    assert_eq!(refusal, unauthenticated("carol"));

    assert_eq!(devices.bob.group(&group()).unwrap().resume().unwrap(), None, "the intent was not dropped");
}

#[test]
fn proposals_and_commits_that_add_a_refused_identity_are_refused() {
    let mut devices = group_with_authentication();
    let carols = key_package(&mut client("carol"));

    devices.service.refuse(device("carol"));
    let proposal = devices.alice.group(&group()).unwrap().propose_add(&carols, NOW).unwrap().as_bytes().to_vec();
    let error = devices.bob.receive(&proposal, NOW).unwrap_err();
    assert!(matches!(error, Error::Refused(refusal) if refusal == unauthenticated("carol")));
    assert!(devices.bob.group(&group()).unwrap().send(b"nothing waits").is_ok());

    let (commit, _) = devices.mallory.commit(vec![Intruder::new(&device("carol").to_identity()).key_package()], None);
    let error = devices.bob.receive(&commit, NOW).unwrap_err();
    assert!(matches!(error, Error::Refused(refusal) if refusal == unauthenticated("carol")));
    assert_eq!(epoch(&mut devices.bob), 1);
}

#[test]
fn the_service_is_asked_about_new_devices() {
    let mut devices = group_with_authentication();
    let mut carol = client("carol");
    let pending = devices.alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();

    accept(&mut devices.alice, pending, &mut [&mut devices.bob]);

    let claim = IdentityClaim { device: device("carol"), signature_key: key(&carol), previous: None };
    assert_eq!(devices.service.claims(), [claim]);
}

#[test]
fn a_committers_new_key_is_claimed_with_its_previous_key() {
    let mut devices = group_with_authentication();
    let previous = Some(key(&devices.alice));
    let rotation = devices.alice.group(&group()).unwrap().rotate_signature_key().unwrap();
    let commit = rotation.commit().to_vec();

    devices.service.refuse(device("alice"));
    let before = store::records(&devices.store);
    let error = devices.bob.receive(&commit, NOW).unwrap_err();
    assert!(matches!(error, Error::Refused(refusal) if refusal == unauthenticated("alice")));
    assert!(store::records(&devices.store) == before);

    devices.service.permit_all();
    devices.service.claims();
    accept(&mut devices.alice, rotation, &mut [&mut devices.bob]);
    let claim = IdentityClaim { device: device("alice"), signature_key: key(&devices.alice), previous };
    assert_eq!(devices.service.claims(), [claim]);
}

#[test]
fn a_proposed_new_key_is_claimed_with_the_previous_key() {
    let mut devices = group_with_authentication();
    let other = Intruder::new(&device("mallory").to_identity());
    let proposal = devices.mallory.propose_update_with_key_of(&other);

    devices.service.refuse(device("mallory"));
    let refusal = devices.refusal(|bob| bob.receive(&proposal, NOW));

    assert_eq!(refusal, unauthenticated("mallory"));
    let claims = devices.service.claims();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].signature_key.as_bytes(), other.signer.public());
    assert_eq!(claims[0].previous.as_ref().unwrap().as_bytes(), devices.mallory.signer.public());
}

#[test]
fn the_service_is_not_asked_about_unchanged_keys() {
    let mut devices = group_with_authentication();

    update(&mut devices.alice, &mut [&mut devices.bob]);
    let proposal = devices.alice.group(&group()).unwrap().propose_update().unwrap();
    deliver(proposal.as_bytes(), &mut [&mut devices.bob]);

    assert_eq!(devices.service.claims(), []);
}

#[test]
fn the_service_is_not_asked_about_the_own_leaf() {
    let mut devices = group_with_authentication();
    devices.service.refuse(device("bob"));

    let rotation = devices.bob.group(&group()).unwrap().rotate_signature_key().unwrap();
    accept(&mut devices.bob, rotation, &mut [&mut devices.alice]);
    let proposal = devices.bob.group(&group()).unwrap().propose_update().unwrap();
    deliver(proposal.as_bytes(), &mut [&mut devices.alice, &mut devices.bob]);
    let commit = devices.alice.group(&group()).unwrap().commit().unwrap();
    accept(&mut devices.alice, commit, &mut [&mut devices.bob]);

    assert_eq!(devices.service.claims(), []);
    assert_same_epoch(&mut [&mut devices.alice, &mut devices.bob]);
}

#[test]
fn the_service_is_asked_about_an_external_joiner() {
    let mut devices = group_with_authentication();
    let mut carol = client("carol");
    let pending = carol.join_external(&group_info(&mut devices.alice)).unwrap();

    devices.service.refuse(device("carol"));
    let refusal = devices.refusal(|bob| bob.receive(pending.commit(), NOW));

    assert_eq!(refusal, unauthenticated("carol"));
    let claim = IdentityClaim { device: device("carol"), signature_key: key(&carol), previous: None };
    assert_eq!(devices.service.claims(), [claim]);
}

#[test]
fn a_rejoining_device_is_claimed_with_its_previous_key() {
    let (store, service) = (MemoryStore::new(), Arc::new(RecordingAuthentication::default()));
    let (mut alice, mut bob) =
        (client("alice").with_authentication(service.clone()), client_in(&store, "bob", policy()));
    make_group(&mut [&mut alice, &mut bob]);
    service.claims();

    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut bob, pending, &mut [&mut alice]);

    let claim = IdentityClaim { device: device("bob"), signature_key: key(&bob), previous: Some(key(&bob)) };
    assert_eq!(service.claims(), [claim]);
}

#[test]
fn a_group_with_a_refused_member_is_not_joined() {
    let (store, service) = (MemoryStore::new(), Arc::new(RecordingAuthentication::default()));
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let mut carol = client_in(&store, "carol", policy()).with_authentication(service.clone());
    let published = key_package(&mut carol);
    let before = store::records(&store);
    let info = group_info(&mut alice);
    let pending = alice.group(&group()).unwrap().add(&[published], NOW).unwrap();

    service.refuse(device("bob"));
    for error in [carol.join(pending.welcome().unwrap(), NOW).unwrap_err(), carol.join_external(&info).unwrap_err()] {
        assert!(matches!(error, Error::Refused(refusal) if refusal == unauthenticated("bob")));
    }
    assert!(store::records(&store) == before);

    service.permit_all();
    service.claims();
    carol.join(pending.welcome().unwrap(), NOW).unwrap();
    let asked: Vec<_> = service.claims().into_iter().map(|claim| (claim.device, claim.signature_key)).collect();
    assert_eq!(asked, [(device("alice"), key(&alice)), (device("bob"), key(&bob))]);
}

#[test]
fn forbidden_changes_are_not_committed() {
    let mut devices = group_with_authentication();
    let carols = key_package(&mut client("carol"));

    devices.service.forbid("bob", Change::Added(device("carol")));
    let refusal = devices.refusal(|bob| bob.group(&group())?.add(&[carols], NOW));
    assert_eq!(refusal, forbidden("bob", Change::Added(device("carol"))));
    devices.service.forbid("bob", Change::Removed(device("alice")));
    let refusal = devices.refusal(|bob| bob.group(&group())?.remove(&[device("alice")]));
    assert_eq!(refusal, forbidden("bob", Change::Removed(device("alice"))));
}

#[test]
fn forbidden_changes_are_not_proposed() {
    let mut devices = group_with_authentication();

    devices.service.forbid("bob", Change::Removed(device("alice")));
    let refusal = devices.refusal(|bob| bob.group(&group())?.propose_remove(&device("alice")));
    assert_eq!(refusal, forbidden("bob", Change::Removed(device("alice"))));
    devices.service.forbid("bob", Change::Updated(device("bob")));
    let refusal = devices.refusal(|bob| bob.group(&group())?.propose_update());
    assert_eq!(refusal, forbidden("bob", Change::Updated(device("bob"))));
    devices.service.forbid("bob", Change::Removed(device("bob")));
    let refusal = devices.refusal(|bob| bob.group(&group())?.leave());
    assert_eq!(refusal, forbidden("bob", Change::Removed(device("bob"))));
}

#[test]
fn received_proposals_and_commits_with_forbidden_changes_are_refused() {
    let mut devices = group_with_authentication();
    let change = Change::Added(device("carol"));
    let carols = Intruder::new(&device("carol").to_identity()).key_package();

    devices.service.forbid("mallory", change.clone());
    let proposal = devices.mallory.propose_add(&carols);
    let error = devices.bob.receive(&proposal, NOW).unwrap_err();
    assert!(matches!(error, Error::Refused(refusal) if refusal == forbidden("mallory", change.clone())));
    let (commit, _) = devices.mallory.commit(vec![], None);
    assert!(matches!(hear(&mut devices.bob, &commit), ReceivedEvent::Lost(Lost::Commit { .. })));

    let mut devices = group_with_authentication();
    devices.service.forbid("mallory", change.clone());
    let (commit, _) = devices.mallory.commit(vec![carols], None);
    let refusal = devices.refusal(|bob| bob.receive(&commit, NOW));
    assert_eq!(refusal, forbidden("mallory", change));
}

#[test]
fn a_proposed_change_counts_as_the_proposers_change() {
    let mut devices = group_with_authentication();
    let proposal = devices.alice.group(&group()).unwrap().propose_remove(&device("mallory")).unwrap();
    deliver(proposal.as_bytes(), &mut [&mut devices.alice, &mut devices.bob]);
    let removal = (device("alice"), Change::Removed(device("mallory")));
    assert_eq!(devices.service.changes(), std::slice::from_ref(&removal));

    let pending = devices.bob.group(&group()).unwrap().commit().unwrap();
    let asked = devices.service.changes();
    assert!(!asked.is_empty() && asked.iter().all(|asked| *asked == removal), "{asked:?}");
    accept(&mut devices.bob, pending, &mut [&mut devices.alice]);
    assert_same_epoch(&mut [&mut devices.alice, &mut devices.bob]);
}

#[test]
fn a_proposal_that_became_forbidden_does_not_block_commits() {
    let mut devices = group_with_authentication();
    let proposal = devices.alice.group(&group()).unwrap().propose_remove(&device("mallory")).unwrap();
    deliver(proposal.as_bytes(), &mut [&mut devices.alice, &mut devices.bob]);

    devices.service.forbid("alice", Change::Removed(device("mallory")));
    let pending = devices.bob.group(&group()).unwrap().update().unwrap();

    assert_eq!(pending.removed().count(), 0);
    accept(&mut devices.bob, pending, &mut [&mut devices.alice]);
    assert_same_epoch(&mut [&mut devices.alice, &mut devices.bob]);
}

#[test]
fn a_forbidden_external_join_is_refused() {
    let (store, service) = (MemoryStore::new(), Arc::new(RecordingAuthentication::default()));
    let mut devices = group_with_authentication();
    let mut carol = client_in(&store, "carol", policy()).with_authentication(service.clone());
    let info = group_info(&mut devices.alice);
    let change = Change::Added(device("carol"));

    service.forbid("carol", change.clone());
    let before = store::records(&store);
    let error = carol.join_external(&info).unwrap_err();
    assert!(matches!(error, Error::Refused(refusal) if refusal == forbidden("carol", change.clone())));
    assert!(store::records(&store) == before);

    service.permit_all();
    let pending = carol.join_external(&info).unwrap();
    devices.service.forbid("carol", change.clone());
    let refusal = devices.refusal(|bob| bob.receive(pending.commit(), NOW));
    assert_eq!(refusal, forbidden("carol", change));
}

/// Without an authentication service, every identity is accepted and every change is allowed, as
/// documented.
#[test]
fn every_identity_is_accepted_without_an_authentication_service() {
    let mut devices = group_with_authentication();
    let carols = Intruder::new(&device("carol").to_identity()).key_package();
    let proposal = devices.mallory.propose_add(&carols);

    assert!(matches!(devices.alice.receive(&proposal, NOW).unwrap().event, ReceivedEvent::Proposal { .. }));
    assert!(matches!(
        devices.alice.receive(&proposal, NOW).unwrap().event,
        ReceivedEvent::Ignored(Ignored::AlreadyRead)
    ));
}
