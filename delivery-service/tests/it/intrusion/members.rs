//! Actions that a member may not take.

use super::{Scene, json};
use crate::{
    common::parse,
    http::{World, commit_request, room_path},
};
use axum::http::StatusCode;
use openmls::prelude::MlsMessageBodyIn;
use regrow_delivery_service::{
    HandshakeMode,
    api::{self, Bytes, Code, DeliveryKind},
};

#[tokio::test]
async fn the_body_cannot_name_another_sender() {
    let mut scene = Scene::new().await;
    let message = Bytes(scene.members[1].send("I am Alice"));
    let forged = json!({ "message": message, "sender": scene.alice.key.name });
    let path = room_path("/messages");
    scene.world.call("POST", &path, Some(&scene.bob.token), Some(forged)).await.refused(Code::BadRequest);
    scene.world.message(&scene.bob, &message.0).await.is(StatusCode::OK);
    let read = scene.world.read(&scene.alice.token, 0).await;
    assert_eq!(read.last().expect("the message").sender, scene.bob.key.name);
}

#[tokio::test]
async fn another_members_message_is_not_ordered_again() {
    let mut scene = Scene::new().await;
    let message = scene.members[0].send("once");
    scene.world.message(&scene.alice, &message).await.is(StatusCode::OK);
    let problem = scene.world.message(&scene.bob, &message).await.refused(Code::Rejected);
    assert_eq!(problem.reason.as_deref(), Some("submitted-by-another"));
}

#[tokio::test]
async fn a_commit_that_another_member_has_signed_is_refused() {
    let mut scene = Scene::new().await;
    let commit = scene.members[0].update();
    let problem = scene.world.commit(&scene.bob, &commit).await.refused(Code::Rejected);
    assert_eq!(problem.reason.as_deref(), Some("not-signed-by-sender"));
}

#[tokio::test]
async fn a_roster_change_must_match_the_commit() {
    let mut scene = Scene::new().await;
    let mut request = commit_request(&scene.members[1].update());
    request.added.push(scene.mallory.key.name.clone());
    let path = room_path("/commits");
    let problem = scene.world.post(&path, Some(&scene.bob.token), &request).await.refused(Code::Rejected);
    assert_eq!(problem.reason.as_deref(), Some("roster-mismatch"));
}

#[tokio::test]
async fn a_removed_member_neither_sends_nor_commits_nor_proposes() {
    let mut scene = Scene::new().await;
    let message = scene.members[1].send("still here");
    let commit = scene.members[1].update();
    scene.members[1].discard();
    let proposal = api::ProposalRequest { proposal: scene.members[1].propose_to_leave().into() };
    scene.remove_bob().await;
    scene.world.message(&scene.bob, &message).await.refused(Code::NotFound);
    scene.world.commit(&scene.bob, &commit).await.refused(Code::NotFound);
    scene.world.post(&room_path("/proposals"), Some(&scene.bob.token), &proposal).await.refused(Code::NotFound);
    scene.world.call("GET", &room_path(""), Some(&scene.bob.token), None).await.refused(Code::NotFound);
}

#[tokio::test]
async fn a_removed_member_cannot_rejoin_by_itself() {
    let mut scene = Scene::new().await;
    scene.remove_bob().await;
    let kept = scene.members[0].group_info();
    let (_, external) = scene.bob.client().join_externally(&kept, HandshakeMode::Assisted);
    scene.world.commit(&scene.bob, &external).await.refused(Code::NotFound);
    scene.world.call("GET", &room_path("/info"), Some(&scene.bob.token), None).await.refused(Code::NotFound);
}

#[tokio::test]
async fn a_removed_member_reads_up_to_its_removal() {
    let mut scene = Scene::new().await;
    scene.remove_bob().await;
    scene.world.message(&scene.alice, &scene.members[0].send("without Bob")).await.is(StatusCode::OK);
    let kinds: Vec<_> = scene.world.read(&scene.bob.token, 0).await.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [DeliveryKind::Welcome, DeliveryKind::Commit]);
}

#[tokio::test]
async fn a_new_member_reads_nothing_from_before() {
    let mut scene = Scene::new().await;
    scene.world.message(&scene.alice, &scene.members[0].send("before")).await.is(StatusCode::OK);
    let key_package = scene.world.claimed(&scene.alice, &scene.mallory, &scene.mallory.client()).await;
    let add = scene.members[0].commit(&[key_package], &[]);
    scene.world.commit(&scene.alice, &add).await.is(StatusCode::OK);
    let read = scene.world.read(&scene.mallory.token, 0).await;
    assert_eq!(read.iter().map(|one| one.kind).collect::<Vec<_>>(), [DeliveryKind::Welcome]);
}

#[tokio::test]
async fn a_cursor_of_another_device_reads_nothing() {
    let mut scene = Scene::new().await;
    scene.world.message(&scene.alice, &scene.members[0].send("hello")).await.is(StatusCode::OK);
    for delivery in scene.world.read(&scene.alice.token, 0).await {
        for after in [delivery.cursor - 1, delivery.cursor, 0, u64::MAX] {
            assert_eq!(scene.world.read(&scene.mallory.token, after).await, []);
        }
    }
}

#[tokio::test]
async fn a_joiner_reads_only_its_own_welcome_secrets() {
    for mode in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let mut scene = Scene::of(World::new().await, mode).await;
        let (carol, dave) = (scene.world.device("carol", "phone").await, scene.world.device("dave", "phone").await);
        // Upload and claim, as a client does.
        let mut key_packages = Vec::new();
        for device in [&carol, &dave] {
            let upload = json!({ "key_packages": [Bytes(device.client().upload(0, u64::MAX, false))] });
            scene.world.call("POST", "/v1/key-packages", Some(&device.token), Some(upload)).await.is(StatusCode::OK);
            let claimed: api::ClaimAnswer =
                scene.world.claim(&scene.alice.token, device.key.name.user().as_str()).await.ok();
            let MlsMessageBodyIn::KeyPackage(key_package) = parse(&claimed.key_packages[0].key_package.0) else {
                panic!("not a key package")
            };
            let crypto = openmls_rust_crypto::RustCrypto::default();
            let version = openmls::versions::ProtocolVersion::Mls10;
            key_packages.push(key_package.validate(&crypto, version).expect("a valid key package"));
        }
        let add = scene.members[0].commit(&key_packages, &[]);
        scene.world.commit(&scene.alice, &add).await.is(StatusCode::OK);
        let mut welcomes = Vec::new();
        for device in [&carol, &dave] {
            let bytes = scene.world.read(&device.token, 0).await.remove(0).bytes.0;
            let MlsMessageBodyIn::Welcome(welcome) = parse(&bytes) else { panic!("not a welcome") };
            assert_eq!(welcome.secrets().len(), 1);
            welcomes.push(bytes);
        }
        assert_ne!(welcomes[0], welcomes[1]);
    }
}

#[tokio::test]
async fn a_joiner_without_secrets_is_not_added() {
    let mut scene = Scene::of(World::new().await, HandshakeMode::Opaque).await;
    let (carol, dave) = (scene.world.device("carol", "phone").await, scene.world.device("dave", "phone").await);
    let clients = [carol.client(), carol.client()];
    let uploads = clients.each_ref().map(|client| client.upload(0, u64::MAX, false));
    let both = uploads.each_ref().map(|bytes| Bytes(bytes.clone()));
    let upload = json!({ "key_packages": both });
    scene.world.call("POST", "/v1/key-packages", Some(&carol.token), Some(upload)).await.is(StatusCode::OK);
    let own = uploads.map(|bytes| {
        let MlsMessageBodyIn::KeyPackage(key_package) = parse(&bytes) else { panic!("not a key package") };
        let crypto = openmls_rust_crypto::RustCrypto::default();
        key_package.validate(&crypto, openmls::versions::ProtocolVersion::Mls10).expect("a valid key package")
    });
    // The member declares the addition of Carol and Dave, but its welcome has two secrets for
    // Carol.
    let add = scene.members[0].commit(&own, &[]);
    let mut request = commit_request(&add);
    request.added = vec![carol.key.name.clone(), dave.key.name.clone()];
    let answer = scene.world.post(&room_path("/commits"), Some(&scene.alice.token), &request).await;
    assert_eq!(answer.refused(Code::Rejected).reason.as_deref(), Some("unclaimed-key-package"));
}

#[tokio::test]
async fn nobody_acknowledges_for_others() {
    let mut scene = Scene::new().await;
    scene.world.message(&scene.alice, &scene.members[0].send("hello")).await.is(StatusCode::OK);
    let before = scene.world.read(&scene.bob.token, 0).await;
    for up_to in [1, 2, 99, u64::MAX] {
        for token in [&scene.mallory.token, &scene.alice.token] {
            let request = api::AcknowledgeRequest { up_to };
            scene.world.post("/v1/acknowledgements", Some(token), &request).await.is(StatusCode::OK);
        }
    }
    assert_eq!(scene.world.read(&scene.bob.token, 0).await, before);
}

#[tokio::test]
async fn an_acknowledgement_does_not_count_for_later_messages() {
    let mut scene = Scene::new().await;
    let request = api::AcknowledgeRequest { up_to: u64::MAX };
    scene.world.post("/v1/acknowledgements", Some(&scene.bob.token), &request).await.is(StatusCode::OK);
    scene.world.message(&scene.alice, &scene.members[0].send("later")).await.is(StatusCode::OK);
    // Alice acknowledges the message as well. If Bob's early acknowledgement counted, it would be
    // deleted.
    scene.world.post("/v1/acknowledgements", Some(&scene.alice.token), &request).await.is(StatusCode::OK);
    let kinds: Vec<_> = scene.world.read(&scene.bob.token, 0).await.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [DeliveryKind::Message]);
}

#[tokio::test]
async fn a_stranger_reports_nothing() {
    let mut scene = Scene::new().await;
    let ordered: api::Accepted = scene.world.commit(&scene.alice, &scene.members[0].update()).await.ok();
    let report = api::ReportRequest { sequence: ordered.receipt.sequence };
    scene.as_mallory("POST", &room_path("/reports"), json(&report)).await.refused(Code::NotFound);
    // Another device of a member's user cannot report either.
    let laptop = scene.world.device("bob", "laptop").await;
    scene.world.post(&room_path("/reports"), Some(&laptop.token), &report).await.refused(Code::NotFound);
}

#[tokio::test]
async fn a_committer_does_not_report_its_own_commit() {
    let mut scene = Scene::new().await;
    let ordered: api::Accepted = scene.world.commit(&scene.alice, &scene.members[0].update()).await.ok();
    let report = api::ReportRequest { sequence: ordered.receipt.sequence };
    let path = room_path("/reports");
    let problem = scene.world.post(&path, Some(&scene.alice.token), &report).await.refused(Code::Rejected);
    assert_eq!(problem.reason.as_deref(), Some("not-reportable"));
}

#[tokio::test]
async fn repeated_reports_of_one_member_count_once() {
    let mut scene = Scene::new().await;
    let carol = scene.world.device("carol", "phone").await;
    let key_package = scene.world.claimed(&scene.alice, &carol, &carol.client()).await;
    let add = scene.members[0].commit(&[key_package], &[]);
    scene.world.commit(&scene.alice, &add).await.is(StatusCode::OK);
    scene.members[0].confirm();
    let ordered: api::Accepted = scene.world.commit(&scene.alice, &scene.members[0].update()).await.ok();
    let report = api::ReportRequest { sequence: ordered.receipt.sequence };
    for _ in 0..3 {
        let answer: api::ReportAnswer =
            scene.world.post(&room_path("/reports"), Some(&scene.bob.token), &report).await.ok();
        assert_eq!(answer, api::ReportAnswer { reports: 1, needed: 2, rolled_back: false });
    }
}
