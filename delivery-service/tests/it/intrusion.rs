//! A tester's list of attempts to get in where one does not belong. Each fails because of a guard, and this fails
//! without it. (The attempts at registering are in `server_admission`, those at holding more streams than one may in
//! `server_stream`.)
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex, mpsc};

use crate::common::{Member, later, parse, room};
use crate::http::{Answer, Device, Events, Key, World, commit_request, name, request, room_path};
use axum::{
    body::{Body, Bytes as Chunk},
    http::{Request, StatusCode, header},
    response::Response,
};
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::Signer as _;
use openmls::prelude::MlsMessageBodyIn;
use regrow_delivery_service::{
    DeviceId, GroupId, HandshakeMode, ServicePublicKey, SqliteStore, Store, StoreError,
    api::{self, Bytes, Code, DeliveryKind, Devices, proof},
    store::Transaction,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

/// Alice and Bob in a group, and Mallory, who is registered like anybody else.
struct Scene {
    world: World,
    alice: Device,
    bob: Device,
    mallory: Device,
    members: Vec<Member>,
}

impl Scene {
    async fn new() -> Self {
        Self::of(World::new().await, HandshakeMode::Assisted).await
    }

    async fn of(world: World, mode: HandshakeMode) -> Self {
        let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
        let mallory = world.device("mallory", "phone").await;
        let members = world.group(mode, &[&alice, &bob]).await;
        Self { world, alice, bob, mallory, members }
    }

    async fn as_mallory(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.world.call(method, path, Some(&self.mallory.token), body).await
    }

    /// Alice removes Bob from the group.
    async fn remove_bob(&mut self) {
        let removal = self.members[0].commit(&[], &[&self.bob.id()]);
        self.world.commit(&self.alice, &removal).await.is(StatusCode::OK);
        self.members[0].confirm();
    }
}

fn json<T: serde::Serialize>(value: &T) -> Option<Value> {
    Some(serde_json::to_value(value).expect("JSON"))
}

// Sessions and tokens.

#[tokio::test]
async fn without_a_session_nothing_is_done() {
    let scene = Scene::new().await;
    let message = json!({ "message": "" });
    for (method, path, body) in [
        ("GET", "/v1/deliveries".to_owned(), None),
        ("GET", "/v1/stream".to_owned(), None),
        ("GET", "/v1/key-packages".to_owned(), None),
        ("GET", "/v1/users/alice/devices".to_owned(), None),
        ("GET", room_path(""), None),
        ("GET", room_path("/info"), None),
        ("POST", "/v1/groups".to_owned(), Some(json!({ "group": "", "handshake": "opaque", "group_info": "" }))),
        ("POST", room_path("/commits"), Some(json!({ "commit": "" }))),
        ("POST", room_path("/proposals"), Some(json!({ "proposal": "" }))),
        ("POST", room_path("/messages"), Some(message)),
        ("POST", room_path("/reports"), Some(json!({ "sequence": 1 }))),
        ("POST", "/v1/key-packages".to_owned(), Some(json!({}))),
        ("POST", "/v1/key-packages/claims".to_owned(), Some(json!({ "user": "alice" }))),
        ("POST", "/v1/acknowledgements".to_owned(), Some(json!({ "up_to": 9 }))),
        ("DELETE", "/v1/sessions/current".to_owned(), None),
        ("DELETE", scene.alice.path(), None),
    ] {
        scene.world.call(method, &path, None, body).await.refused(Code::NoSession);
    }
}

#[tokio::test]
async fn a_token_that_is_made_up_opens_nothing() {
    let scene = Scene::new().await;
    let mut almost = scene.alice.token.clone();
    almost.replace_range(..1, if almost.starts_with('A') { "B" } else { "A" });
    for token in ["", "x", &"A".repeat(43), &"A".repeat(100_000), &almost, &format!("{}=", scene.alice.token)] {
        scene.world.call("GET", "/v1/deliveries", Some(token), None).await.refused(Code::NoSession);
    }
}

#[tokio::test]
async fn a_token_expires() {
    let scene = Scene::new().await;
    scene.world.wait(3_599);
    scene.world.call("GET", "/v1/deliveries", Some(&scene.alice.token), None).await.is(StatusCode::OK);
    scene.world.wait(1);
    scene.world.call("GET", "/v1/deliveries", Some(&scene.alice.token), None).await.refused(Code::NoSession);
}

#[tokio::test]
async fn a_token_that_was_revoked_opens_nothing_ever_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ds.db");
    let world = World::over(SqliteStore::open(&path).expect("a store"), |_| {}).await;
    let alice = world.device("alice", "phone").await;
    world.call("DELETE", "/v1/sessions/current", Some(&alice.token), None).await.is(StatusCode::NO_CONTENT);
    world.call("GET", "/v1/deliveries", Some(&alice.token), None).await.refused(Code::NoSession);
    world.server.stop().await;
    let world = World::over(SqliteStore::open(&path).expect("the store"), |_| {}).await;
    world.call("GET", "/v1/deliveries", Some(&alice.token), None).await.refused(Code::NoSession);
}

#[tokio::test]
async fn whoever_reads_the_store_finds_no_token() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ds.db");
    let world = World::over(SqliteStore::open(&path).expect("a store"), |_| {}).await;
    let alice = world.device("alice", "phone").await;
    world.server.stop().await;
    let token = BASE64URL_NOPAD.decode(alice.token.as_bytes()).expect("base64url");
    for file in std::fs::read_dir(directory.path()).expect("files") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("bytes");
        for secret in [token.as_slice(), alice.token.as_bytes()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}

#[tokio::test]
async fn the_hash_of_a_token_is_no_token() {
    let scene = Scene::new().await;
    let token = BASE64URL_NOPAD.decode(scene.alice.token.as_bytes()).expect("base64url");
    let hash = BASE64URL_NOPAD.encode(&Sha256::digest(token));
    scene.world.call("GET", "/v1/deliveries", Some(&hash), None).await.refused(Code::NoSession);
}

#[tokio::test]
async fn a_token_is_not_taken_from_anywhere_else() {
    let scene = Scene::new().await;
    let token = &scene.alice.token;
    for (name, value) in [
        ("authorization", format!("Basic {token}")),
        ("authorization", token.clone()),
        ("proxy-authorization", format!("Bearer {token}")),
        ("cookie", format!("token={token}")),
    ] {
        let mut request = request("GET", "/v1/deliveries", None, None);
        request.headers_mut().insert(name, value.parse().expect("a header"));
        scene.world.send(request).await.refused(Code::NoSession);
    }
    let path = format!("/v1/deliveries?access_token={token}");
    scene.world.call("GET", &path, None, None).await.refused(Code::NoSession);
}

#[tokio::test]
async fn two_tokens_are_none() {
    let scene = Scene::new().await;
    for tokens in [[&scene.mallory.token, &scene.alice.token], [&scene.alice.token, &scene.alice.token]] {
        let mut request = request("GET", "/v1/deliveries", Some(tokens[0]), None);
        let second = format!("Bearer {}", tokens[1]).parse().expect("a header");
        request.headers_mut().append(header::AUTHORIZATION, second);
        scene.world.send(request).await.refused(Code::NoSession);
    }
}

#[tokio::test]
async fn sessions_without_end_do_not_pile_up() {
    let scene = Scene::new().await;
    for _ in 0..16 {
        scene.world.wait(1);
        scene.world.token(&scene.alice.key).await;
    }
    // The first one has gone for the others.
    scene.world.call("GET", "/v1/deliveries", Some(&scene.alice.token), None).await.refused(Code::NoSession);
}

// Challenges and proofs.

#[tokio::test]
async fn a_challenge_is_not_used_twice() {
    let scene = Scene::new().await;
    let challenge = scene.world.challenge(&scene.alice.key.name).await;
    let overheard = scene.alice.key.session(&scene.world.key, &challenge);
    scene.world.post("/v1/sessions", None, &overheard).await.is(StatusCode::CREATED);
    scene.world.post("/v1/sessions", None, &overheard).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_challenge_expires() {
    let scene = Scene::new().await;
    let challenge = scene.world.challenge(&scene.alice.key.name).await;
    scene.world.wait(60);
    let late = scene.alice.key.session(&scene.world.key, &challenge);
    scene.world.post("/v1/sessions", None, &late).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_challenge_of_another_device_is_none() {
    let scene = Scene::new().await;
    let challenge = scene.world.challenge(&scene.mallory.key.name).await;
    let relayed = scene.alice.key.session(&scene.world.key, &challenge);
    scene.world.post("/v1/sessions", None, &relayed).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_challenge_of_ones_own_making_is_none() {
    let scene = Scene::new().await;
    for challenge in [[0; 32].as_slice(), b"", &[7; 1_000]] {
        let request = scene.alice.key.session(&scene.world.key, challenge);
        scene.world.post("/v1/sessions", None, &request).await.refused(Code::BadProof);
    }
}

#[tokio::test]
async fn challenges_in_anothers_name_do_not_keep_it_out() {
    let scene = Scene::new().await;
    for _ in 0..100 {
        scene.world.challenge(&scene.alice.key.name).await;
    }
    scene.world.open_session(&scene.alice.key).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_signature_by_another_key_opens_no_session() {
    let scene = Scene::new().await;
    scene.world.open_session(&Key::forged("alice", "phone")).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_signature_for_another_service_opens_no_session() {
    let scene = Scene::new().await;
    let challenge = scene.world.challenge(&scene.alice.key.name).await;
    let elsewhere = scene.alice.key.session(&ServicePublicKey([9; 32]), &challenge);
    scene.world.post("/v1/sessions", None, &elsewhere).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_signature_that_registers_opens_no_session() {
    let scene = Scene::new().await;
    let challenge = scene.world.challenge(&scene.alice.key.name).await;
    let registration = scene.alice.key.registration(&scene.world.key, &challenge, None);
    let session = api::SessionRequest {
        device: registration.device,
        challenge: registration.challenge,
        signature: registration.signature,
    };
    scene.world.post("/v1/sessions", None, &session).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_signature_that_opens_a_session_registers_nothing() {
    let world = World::new().await;
    let key = Key::new("alice", "phone");
    let challenge = world.challenge(&key.name).await;
    let signature = key.session(&world.key, &challenge).signature;
    let request = api::RegisterRequest { signature, ..key.registration(&world.key, &challenge, None) };
    world.post("/v1/devices", None, &request).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_key_is_registered_by_its_holder_alone() {
    let world = World::new().await;
    let (alice, mallory) = (Key::new("alice", "phone"), Key::new("mallory", "phone"));
    let challenge = world.challenge(&mallory.name).await;
    let anothers = alice.signing.verifying_key().to_bytes();
    let signed = proof::registration(&world.key, &challenge, &mallory.name, &anothers);
    let request = api::RegisterRequest {
        key: anothers.as_slice().into(),
        signature: mallory.signing.sign(&signed).to_vec().into(),
        ..mallory.registration(&world.key, &challenge, None)
    };
    world.post("/v1/devices", None, &request).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_key_for_which_everything_is_signed_is_none() {
    let world = World::new().await;
    let key = Key::new("mallory", "phone");
    let challenge = world.challenge(&key.name).await;
    // The neutral element: with it as the key and in the signature, the equation holds for every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let signature = [neutral, [0; 32]].concat();
    let request = api::RegisterRequest {
        key: neutral.as_slice().into(),
        signature: signature.into(),
        ..key.registration(&world.key, &challenge, None)
    };
    world.post("/v1/devices", None, &request).await.refused(Code::BadProof);
}

#[tokio::test]
async fn keys_and_signatures_of_other_lengths_are_none() {
    let world = World::new().await;
    let key = Key::new("alice", "phone");
    for length in [0, 31, 33, 64, 10_000] {
        let challenge = world.challenge(&key.name).await;
        let good = key.registration(&world.key, &challenge, None);
        let request = api::RegisterRequest { key: vec![1; length].into(), ..good.clone() };
        world.post("/v1/devices", None, &request).await.refused(Code::BadProof);
        let challenge = world.challenge(&key.name).await;
        let good = key.registration(&world.key, &challenge, None);
        let request = api::RegisterRequest { signature: vec![1; length].into(), ..good };
        world.post("/v1/devices", None, &request).await.refused(Code::BadProof);
    }
}

#[tokio::test]
async fn a_device_that_is_not_there_is_answered_like_one_with_another_key() {
    let scene = Scene::new().await;
    let unknown = scene.world.open_session(&Key::new("nobody", "phone")).await;
    let known = scene.world.open_session(&Key::forged("alice", "phone")).await;
    assert_eq!(unknown.refused(Code::BadProof), known.refused(Code::BadProof));
}

// Devices.

#[tokio::test]
async fn a_name_that_is_taken_is_not_given_to_another_key() {
    let scene = Scene::new().await;
    scene.world.register(&Key::forged("alice", "phone"), None).await.refused(Code::DeviceExists);
    scene.world.open_session(&scene.alice.key).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn the_name_of_a_removed_device_is_never_given_again() {
    let scene = Scene::new().await;
    scene.world.call("DELETE", &scene.bob.path(), Some(&scene.bob.token), None).await.is(StatusCode::NO_CONTENT);
    scene.world.register(&Key::forged("bob", "phone"), None).await.refused(Code::DeviceExists);
    scene.world.register(&scene.bob.key, None).await.refused(Code::DeviceExists);
}

#[tokio::test]
async fn nobody_removes_a_device_of_another_user() {
    let scene = Scene::new().await;
    scene.as_mallory("DELETE", &scene.alice.path(), None).await.refused(Code::Forbidden);
    scene.as_mallory("DELETE", "/v1/devices/alice/none", None).await.refused(Code::Forbidden);
    scene.world.call("GET", "/v1/deliveries", Some(&scene.alice.token), None).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_removed_device_does_nothing_any_more() {
    let mut scene = Scene::new().await;
    let mut events = Events::open(&scene.world, "/v1/stream", &scene.bob.token, None).await;
    events.next().await.expect("the welcome");
    let second = scene.world.token(&scene.bob.key).await;
    scene.world.call("DELETE", &scene.bob.path(), Some(&scene.bob.token), None).await.is(StatusCode::NO_CONTENT);
    assert!(events.next().await.is_none());
    for token in [&scene.bob.token, &second] {
        scene.world.call("GET", "/v1/deliveries", Some(token), None).await.refused(Code::NoSession);
    }
    scene.world.open_session(&scene.bob.key).await.refused(Code::BadProof);
    let message = scene.members[1].send("still here");
    scene.world.message(&scene.bob, &message).await.refused(Code::NoSession);
}

/// A store whose next transaction waits for as long as the other end of the gate is there.
struct Gated {
    inner: SqliteStore,
    gate: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
}

impl Store for Gated {
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(gate) = self.gate.lock().expect("the gate").take() {
            let _ = gate.recv();
        }
        self.inner.transaction(work)
    }
}

#[tokio::test]
async fn what_waits_for_the_store_while_its_device_is_removed_is_not_carried_out() {
    let gate = Arc::new(Mutex::new(None));
    let store = Gated { inner: SqliteStore::in_memory().expect("a store"), gate: Arc::clone(&gate) };
    let mut scene = Scene::of(World::over(store, |_| {}).await, HandshakeMode::Assisted).await;
    let laptop = scene.world.device("bob", "laptop").await;
    stock(&scene, &scene.alice, 1).await;
    let update = scene.world.commit(&scene.alice, &scene.members[0].update()).await.ok::<api::Accepted>();
    scene.members[0].confirm();
    let new = scene.members[0].update();
    let before = scene.world.read(&scene.alice.token, 0).await;

    // All of it is what Bob's phone may do, as long as it is there.
    let other = scene.bob.client().create_unregistered(&GroupId::new("other").unwrap(), HandshakeMode::Opaque);
    let mut creation = crate::http::create_request(&other, HandshakeMode::Opaque);
    creation.group = GroupId::new("other").unwrap();
    let upload = json!({ "key_packages": [Bytes(scene.bob.client().upload(0, u64::MAX, false))] });
    let message = api::MessageRequest { message: scene.members[1].send("still here").into() };
    let requests = [
        ("POST", room_path("/messages"), json(&message)),
        ("POST", room_path("/commits"), json(&commit_request(&new))),
        ("POST", room_path("/proposals"), Some(json!({ "proposal": "" }))),
        ("POST", room_path("/reports"), json(&api::ReportRequest { sequence: update.receipt.sequence })),
        ("GET", room_path(""), None),
        ("GET", room_path("/info"), None),
        ("POST", "/v1/groups".into(), json(&creation)),
        ("POST", "/v1/key-packages".into(), Some(upload)),
        ("GET", "/v1/key-packages".into(), None),
        ("POST", "/v1/key-packages/claims".into(), Some(json!({ "user": "alice" }))),
        ("GET", "/v1/users/alice/devices".into(), None),
        ("GET", "/v1/deliveries".into(), None),
        ("GET", "/v1/deliveries?wait=60".into(), None),
        ("POST", "/v1/acknowledgements".into(), json(&api::AcknowledgeRequest { up_to: u64::MAX })),
        ("DELETE", laptop.path(), None),
    ];
    let state = scene.world.server.state();
    let waiting = async |count| {
        while state.queue_depth() < count {
            tokio::task::yield_now().await;
        }
    };
    let ask = |request| tokio::spawn(tower::ServiceExt::oneshot(scene.world.router.clone(), request));
    let (release, closed) = mpsc::channel();
    *gate.lock().expect("the gate") = Some(closed);
    let removal = ask(request("DELETE", &scene.bob.path(), Some(&laptop.token), None));
    waiting(1).await;
    let mut asked = Vec::new();
    for (method, path, body) in requests {
        asked.push((path.clone(), ask(request(method, &path, Some(&scene.bob.token), body))));
        waiting(1 + asked.len()).await;
    }
    drop(release);

    let status = async |asked: JoinHandle<Result<Response, _>>| {
        asked.await.expect("it ends").unwrap_or_else(|never: std::convert::Infallible| match never {}).status()
    };
    assert_eq!(status(removal).await, StatusCode::NO_CONTENT);
    for (path, asked) in asked {
        assert_eq!(status(asked).await, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(scene.world.read(&scene.alice.token, 0).await, before);
    scene.world.call("GET", "/v1/deliveries", Some(&laptop.token), None).await.is(StatusCode::OK);
    scene.world.claim(&scene.mallory.token, "alice").await.is(StatusCode::OK);
}

#[tokio::test]
async fn the_key_packages_of_a_removed_device_are_not_handed_out() {
    let scene = Scene::new().await;
    let client = scene.bob.client();
    let upload = api::UploadRequest {
        key_packages: vec![client.upload(0, u64::MAX, false).into()],
        last_resort: Some(client.upload(0, u64::MAX, true).into()),
    };
    scene.world.post("/v1/key-packages", Some(&scene.bob.token), &upload).await.is(StatusCode::OK);
    scene.world.call("DELETE", &scene.bob.path(), Some(&scene.bob.token), None).await.is(StatusCode::NO_CONTENT);
    scene
        .as_mallory("POST", "/v1/key-packages/claims", Some(json!({ "user": "bob", "device": "phone" })))
        .await
        .refused(Code::NotFound);
    scene.world.claim(&scene.mallory.token, "bob").await.refused(Code::NotFound);
}

#[tokio::test]
async fn a_removed_device_is_not_added_to_a_group() {
    for mode in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let mut scene = Scene::of(World::new().await, mode).await;
        let carol = scene.world.device("carol", "phone").await;
        let key_package = carol.client().key_package();
        scene.world.call("DELETE", &carol.path(), Some(&carol.token), None).await.is(StatusCode::NO_CONTENT);
        let add = scene.members[0].commit(&[key_package], &[]);
        let problem = scene.world.commit(&scene.alice, &add).await.refused(Code::Rejected);
        assert_eq!(problem.reason.as_deref(), Some("unknown-device"));
    }
}

#[tokio::test]
async fn nobody_is_added_under_a_name_that_somebody_may_register_later() {
    let mut scene = Scene::of(World::new().await, HandshakeMode::Opaque).await;
    let later = Key::new("carol", "phone");
    let client = crate::common::Client::of(later.name.clone());
    let add = scene.members[0].commit(&[client.key_package()], &[]);
    let problem = scene.world.commit(&scene.alice, &add).await.refused(Code::Rejected);
    assert_eq!(problem.reason.as_deref(), Some("unknown-device"));
}

#[tokio::test]
async fn no_log_waits_for_a_removed_device() {
    let mut scene = Scene::new().await;
    let sent: api::Accepted = scene.world.message(&scene.alice, &scene.members[0].send("one")).await.ok();
    assert_eq!(sent.receipt.sequence, 2);
    let up_to = scene.world.read(&scene.alice.token, 0).await.last().expect("the message").cursor;
    let acknowledgement = api::AcknowledgeRequest { up_to };
    scene.world.post("/v1/acknowledgements", Some(&scene.alice.token), &acknowledgement).await.is(StatusCode::OK);
    scene.world.call("DELETE", &scene.bob.path(), Some(&scene.bob.token), None).await.is(StatusCode::NO_CONTENT);
    // The next one is gone as soon as Alice has read it.
    scene.world.message(&scene.alice, &scene.members[0].send("two")).await.is(StatusCode::OK);
    let acknowledgement = api::AcknowledgeRequest { up_to: up_to + 1 };
    let gone: api::Acknowledged =
        scene.world.post("/v1/acknowledgements", Some(&scene.alice.token), &acknowledgement).await.ok();
    assert_eq!(gone.deleted, 1);
}

#[tokio::test]
async fn a_removed_device_that_a_rollback_brings_back_reads_nothing() {
    let mut scene = Scene::new().await;
    let (carol, dave) = (scene.world.device("carol", "phone").await, scene.world.device("dave", "phone").await);
    let clients = [carol.client(), dave.client()];
    let mut key_packages = Vec::new();
    for (device, client) in [&carol, &dave].into_iter().zip(&clients) {
        key_packages.push(scene.world.claimed(&scene.alice, device, client).await);
    }
    let add = scene.members[0].commit(&key_packages, &[]);
    scene.world.commit(&scene.alice, &add).await.is(StatusCode::OK);
    scene.members[0].confirm();
    let removal = scene.members[0].commit(&[], &[&scene.bob.id()]);
    let ordered: api::Accepted = scene.world.commit(&scene.alice, &removal).await.ok();
    scene.world.call("DELETE", &scene.bob.path(), Some(&scene.bob.token), None).await.is(StatusCode::NO_CONTENT);
    let report = api::ReportRequest { sequence: ordered.receipt.sequence };
    for device in [&carol, &dave] {
        scene.world.post(&room_path("/reports"), Some(&device.token), &report).await.is(StatusCode::OK);
    }
    // What all others have read is gone: nothing is kept for Bob.
    let up_to = scene.world.read(&carol.token, 0).await.last().expect("the rollback").cursor;
    let mut deleted = 0;
    for device in [&scene.alice, &carol, &dave] {
        let acknowledgement = api::AcknowledgeRequest { up_to };
        let gone: api::Acknowledged =
            scene.world.post("/v1/acknowledgements", Some(&device.token), &acknowledgement).await.ok();
        deleted += gone.deleted;
    }
    assert!(deleted > 0);
    assert_eq!(scene.world.read(&scene.alice.token, 0).await, []);
}

// Groups that are not one's own.

#[tokio::test]
async fn a_stranger_cannot_tell_a_group_from_none() {
    let mut scene = Scene::new().await;
    let of_the_group = scene.members[0].send("hello");
    let commit = commit_request(&scene.members[1].update());
    let of_another = {
        let client = scene.mallory.client();
        client.create_unregistered(&GroupId::new("mine").unwrap(), HandshakeMode::Assisted).send("hello")
    };
    let there = room_path("");
    let nowhere = format!("/v1/groups/{}", BASE64URL_NOPAD.encode(b"moor"));
    let mut attempts = vec![("GET", "", None), ("GET", "/info", None)];
    for bytes in [&of_the_group, &of_another, &b"garbage".to_vec(), &Vec::new()] {
        attempts.push(("POST", "/messages", Some(json!({ "message": Bytes(bytes.clone()) }))));
        attempts.push(("POST", "/proposals", Some(json!({ "proposal": Bytes(bytes.clone()) }))));
        attempts.push(("POST", "/commits", Some(json!({ "commit": Bytes(bytes.clone()) }))));
        attempts.push(("POST", "/commits", Some(json!({ "commit": Bytes(bytes.clone()), "added": [name("x", "y")] }))));
    }
    attempts.push(("POST", "/commits", json(&commit)));
    attempts.push(("POST", "/reports", Some(json!({ "sequence": 1 }))));
    attempts.push(("POST", "/reports", Some(json!({ "sequence": 99 }))));
    for (method, rest, body) in attempts {
        let one = scene.as_mallory(method, &format!("{there}{rest}"), body.clone()).await;
        let other = scene.as_mallory(method, &format!("{nowhere}{rest}"), body).await;
        assert_eq!(one.refused(Code::NotFound), other.refused(Code::NotFound), "{method} {rest}");
    }
}

#[tokio::test]
async fn a_stranger_with_an_external_commit_of_another_group_learns_nothing() {
    let scene = Scene::new().await;
    let own = scene.mallory.client().create_unregistered(&GroupId::new("mine").unwrap(), HandshakeMode::Assisted);
    let (_, external) = scene
        .world
        .device("mallory", "laptop")
        .await
        .client()
        .join_externally(&own.group_info(), HandshakeMode::Assisted);
    let mut request = commit_request(&external);
    request.added = vec![scene.mallory.key.name.clone()];
    scene.as_mallory("POST", &room_path("/commits"), json(&request)).await.refused(Code::NotFound);
}

#[tokio::test]
async fn a_stranger_does_not_send_to_a_group() {
    let mut scene = Scene::new().await;
    let stolen = scene.members[0].send("not sent yet");
    scene.world.message(&scene.mallory, &stolen).await.refused(Code::NotFound);
    assert_eq!(scene.world.read(&scene.bob.token, 0).await.len(), 1);
}

#[tokio::test]
async fn a_stranger_reads_neither_state_nor_group_info() {
    let scene = Scene::new().await;
    scene.as_mallory("GET", &room_path(""), None).await.refused(Code::NotFound);
    scene.as_mallory("GET", &room_path("/info"), None).await.refused(Code::NotFound);
    // Another device of a member's user gets what it takes to join, and no more.
    let laptop = scene.world.device("bob", "laptop").await;
    scene.world.call("GET", &room_path("/info"), Some(&laptop.token), None).await.is(StatusCode::OK);
    scene.world.call("GET", &room_path(""), Some(&laptop.token), None).await.refused(Code::NotFound);
}

#[tokio::test]
async fn a_user_whose_name_begins_like_a_members_is_a_stranger() {
    let scene = Scene::new().await;
    for user in ["alic", "alicee", "Alice", "alice/phone"] {
        let other = scene.world.device(user, "phone").await;
        scene.world.call("GET", &room_path("/info"), Some(&other.token), None).await.refused(Code::NotFound);
    }
}

#[tokio::test]
async fn a_group_that_exists_is_not_made_again() {
    let scene = Scene::new().await;
    let own = scene.mallory.client().create_unregistered(&room(), HandshakeMode::Assisted);
    let request = crate::http::create_request(&own, HandshakeMode::Assisted);
    scene.as_mallory("POST", "/v1/groups", json(&request)).await.refused(Code::GroupExists);
    scene.as_mallory("GET", &room_path(""), None).await.refused(Code::NotFound);
}

#[tokio::test]
async fn nobody_makes_a_group_in_anothers_name() {
    let scene = Scene::new().await;
    let alices = scene.alice.client().create_unregistered(&GroupId::new("new").unwrap(), HandshakeMode::Assisted);
    let mut request = crate::http::create_request(&alices, HandshakeMode::Assisted);
    request.group = GroupId::new("new").unwrap();
    scene.as_mallory("POST", "/v1/groups", json(&request)).await.refused(Code::Rejected);
}

#[tokio::test]
async fn a_group_id_that_is_none_is_not_found() {
    let scene = Scene::new().await;
    let long = BASE64URL_NOPAD.encode(&[7; 256]);
    // The last one would decode to the group's, were the bits at its end ignored.
    for group in ["*", "cm9vbQ==", "cm9v%2FbQ", &long, "cm9vbR"] {
        let path = format!("/v1/groups/{group}");
        scene.world.call("GET", &path, Some(&scene.alice.token), None).await.refused(Code::NotFound);
    }
}

// Members and their rights.

#[tokio::test]
async fn the_sender_is_the_sessions_device_whatever_the_body_says() {
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
async fn a_message_of_another_is_not_ordered_again() {
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
async fn a_roster_that_is_not_the_commits_is_refused() {
    let mut scene = Scene::new().await;
    let mut request = commit_request(&scene.members[1].update());
    request.added.push(scene.mallory.key.name.clone());
    let path = room_path("/commits");
    let problem = scene.world.post(&path, Some(&scene.bob.token), &request).await.refused(Code::Rejected);
    assert_eq!(problem.reason.as_deref(), Some("roster-mismatch"));
}

#[tokio::test]
async fn whoever_was_removed_neither_sends_nor_commits_nor_proposes() {
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
async fn whoever_was_removed_does_not_come_back_by_itself() {
    let mut scene = Scene::new().await;
    scene.remove_bob().await;
    let kept = scene.members[0].group_info();
    let (_, external) = scene.bob.client().join_externally(&kept, HandshakeMode::Assisted);
    scene.world.commit(&scene.bob, &external).await.refused(Code::NotFound);
    scene.world.call("GET", &room_path("/info"), Some(&scene.bob.token), None).await.refused(Code::NotFound);
}

#[tokio::test]
async fn whoever_was_removed_reads_up_to_its_removal() {
    let mut scene = Scene::new().await;
    scene.remove_bob().await;
    scene.world.message(&scene.alice, &scene.members[0].send("without Bob")).await.is(StatusCode::OK);
    let kinds: Vec<_> = scene.world.read(&scene.bob.token, 0).await.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [DeliveryKind::Welcome, DeliveryKind::Commit]);
}

#[tokio::test]
async fn whoever_joins_reads_nothing_from_before() {
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
async fn a_joiner_gets_its_own_secrets_of_a_welcome_alone() {
    for mode in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let mut scene = Scene::of(World::new().await, mode).await;
        let (carol, dave) = (scene.world.device("carol", "phone").await, scene.world.device("dave", "phone").await);
        // As a client does it: uploaded, and claimed.
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
    // A member declares that it adds Carol and Dave, and its welcome has secrets for Carol alone, twice.
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
async fn what_has_not_been_sent_is_not_acknowledged() {
    let mut scene = Scene::new().await;
    let request = api::AcknowledgeRequest { up_to: u64::MAX };
    scene.world.post("/v1/acknowledgements", Some(&scene.bob.token), &request).await.is(StatusCode::OK);
    scene.world.message(&scene.alice, &scene.members[0].send("later")).await.is(StatusCode::OK);
    // Alice has read it as well: were it Bob's already, it would be gone.
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
    // Nor does another device of a member's user.
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
async fn one_member_that_reports_twice_counts_once() {
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

// Key packages.

#[tokio::test]
async fn a_key_package_of_another_device_is_not_stored() {
    let scene = Scene::new().await;
    let upload = json!({ "key_packages": [Bytes(scene.alice.client().upload(0, u64::MAX, false))] });
    let answer: api::UploadAnswer = scene.as_mallory("POST", "/v1/key-packages", Some(upload)).await.ok();
    assert_eq!((answer.key_packages.left, answer.refused[0].reason.as_str()), (0, "of-another-device"));
}

async fn stock(scene: &Scene, device: &Device, count: usize) {
    let client = device.client();
    let key_packages: Vec<_> = (0..count).map(|_| Bytes(client.upload(0, u64::MAX, false))).collect();
    let upload = json!({ "key_packages": key_packages });
    scene.world.call("POST", "/v1/key-packages", Some(&device.token), Some(upload)).await.is(StatusCode::OK);
}

#[tokio::test]
async fn nobody_drains_the_key_packages_of_another() {
    let world = World::with(|settings| settings.limits.claims_per_device_and_hour = 2).await;
    let scene = Scene::of(world, HandshakeMode::Assisted).await;
    stock(&scene, &scene.alice, 5).await;
    for _ in 0..2 {
        scene.world.claim(&scene.mallory.token, "alice").await.is(StatusCode::OK);
    }
    let by_name = json!({ "user": "alice", "device": "phone" });
    for _ in 0..3 {
        scene.world.claim(&scene.mallory.token, "alice").await.refused(Code::TooManyRequests);
        scene.as_mallory("POST", "/v1/key-packages/claims", Some(by_name.clone())).await.refused(Code::TooManyRequests);
    }
    let left: api::KeyPackagesLeft =
        scene.world.call("GET", "/v1/key-packages", Some(&scene.alice.token), None).await.ok();
    assert_eq!(left.left, 3);
    // Others still may, and so does Mallory, later.
    scene.world.claim(&scene.bob.token, "alice").await.is(StatusCode::OK);
    scene.world.wait(1_800);
    scene.world.claim(&scene.mallory.token, "alice").await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_claim_that_is_refused_takes_nothing_of_any_device() {
    let world = World::with(|settings| settings.limits.claims_per_device_and_hour = 1).await;
    let scene = Scene::of(world, HandshakeMode::Assisted).await;
    let laptop = scene.world.device("alice", "laptop").await;
    stock(&scene, &scene.alice, 1).await;
    stock(&scene, &laptop, 1).await;
    let by_name = json!({ "user": "alice", "device": "phone" });
    scene.as_mallory("POST", "/v1/key-packages/claims", Some(by_name)).await.is(StatusCode::OK);
    scene.world.claim(&scene.mallory.token, "alice").await.refused(Code::TooManyRequests);
    let left: api::KeyPackagesLeft = scene.world.call("GET", "/v1/key-packages", Some(&laptop.token), None).await.ok();
    assert_eq!(left.left, 1);
}

// Names and paths.

#[tokio::test]
async fn names_that_cannot_be_seen_are_refused() {
    let world = World::new().await;
    let long = "a".repeat(255);
    for user in
        ["", "a\u{0}", "a\nb", "\u{7f}", "a\u{200b}", "\u{202e}ecila", "\u{feff}alice", " alice", "alice ", &long]
    {
        for (user, device) in [(user, "phone"), ("alice", user)] {
            let request = json!({ "device": { "user": user, "device": device } });
            world.post("/v1/challenges", None, &request).await.refused(Code::BadRequest);
        }
    }
}

/// Two names that look alike are one name, which has one form.
#[tokio::test]
async fn another_form_of_a_name_is_refused() {
    let world = World::new().await;
    world.device("\u{e9}va", "phone").await;
    let forms = ["e\u{301}va", "\u{e9}v\u{ff41}", "\u{e9}va\u{fe0f}", "\u{e9}va\u{3164}", "\u{e9}va\u{115f}", ".."];
    for form in forms {
        for (user, device) in [(form, "phone"), ("alice", form)] {
            let request = json!({ "device": { "user": user, "device": device } });
            world.post("/v1/challenges", None, &request).await.refused(Code::BadRequest);
        }
    }
}

/// A group's identifier is part of many keys of the store.
#[tokio::test]
async fn group_without_a_name_or_with_a_long_one_is_refused() {
    let mut scene = Scene::new().await;
    for group in [String::new(), BASE64URL_NOPAD.encode(&[7; 256])] {
        let info = BASE64URL_NOPAD.encode(&scene.members[0].group_info());
        let request = json!({ "group": group, "handshake": "assisted", "group_info": info });
        scene.world.post("/v1/groups", Some(&scene.alice.token), &request).await.refused(Code::BadRequest);
    }
    let path = format!("/v1/groups/{}/messages", BASE64URL_NOPAD.encode(&[7; 256]));
    let message = api::MessageRequest { message: scene.members[0].send("text").into() };
    scene.world.post(&path, Some(&scene.alice.token), &message).await.refused(Code::NotFound);
}

#[tokio::test]
async fn a_name_in_a_path_is_held_to_the_same() {
    let scene = Scene::new().await;
    for path in [
        "/v1/users/a%00/devices",
        "/v1/users/%0aalice/devices",
        "/v1/devices/mallory/%e2%80%8b",
        "/v1/users/%ff/devices",
    ] {
        let method = if path.contains("users") { "GET" } else { "DELETE" };
        scene.as_mallory(method, path, None).await.refused(Code::BadRequest);
    }
}

#[tokio::test]
async fn paths_are_not_walked() {
    let scene = Scene::new().await;
    for path in [
        "/v1/devices/mallory/../alice/phone",
        "/v1/devices/mallory/..%2Falice%2Fphone",
        "/v1/devices/mallory/phone/../../alice/phone",
        "/v1/devices//alice/phone",
        "/v1//devices/alice/phone",
        "/v1/./devices/alice/phone",
        "/v1/devices/alice/phone/",
        "//v1/devices/alice/phone",
        "/V1/devices/alice/phone",
        "/v1/devices/alice%2Fphone",
        "/v1/devices/mallory%2F..%2Falice/phone",
    ] {
        let answer = scene.as_mallory("DELETE", path, None).await;
        assert!(matches!(answer.problem().code, Code::NotFound | Code::Forbidden), "{path}");
    }
    let devices: Devices = scene.as_mallory("GET", "/v1/users/alice/devices", None).await.ok();
    assert_eq!(devices.devices, std::slice::from_ref(&scene.alice.key.name));
}

#[tokio::test]
async fn percent_signs_are_undone_once() {
    let scene = Scene::new().await;
    let of = async |path: &str| scene.as_mallory("GET", path, None).await.ok::<Devices>().devices;
    assert_eq!(of("/v1/users/%61lice/devices").await, std::slice::from_ref(&scene.alice.key.name));
    assert_eq!(of("/v1/users/%2561lice/devices").await, Vec::<DeviceId>::new());
    assert_eq!(of("/v1/users/alice%2Fphone/devices").await, Vec::<DeviceId>::new());
}

#[tokio::test]
async fn a_name_does_not_run_into_the_next() {
    let world = World::new().await;
    let mut ids = std::collections::BTreeSet::new();
    for (user, device) in [("a", "b/c"), ("a/b", "c"), ("ab", "c"), ("a", "bc")] {
        let device = world.device(user, device).await;
        assert!(ids.insert(device.id()));
    }
    let token = world.token(&Key::new("a", "bc")).await;
    world.call("DELETE", "/v1/devices/a/b%2Fc", Some(&token), None).await.is(StatusCode::NO_CONTENT);
    let left: Devices = world.call("GET", "/v1/users/a%2Fb/devices", Some(&token), None).await.ok();
    assert_eq!(left.devices, [name("a/b", "c")]);
}

// Bodies.

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let world = World::with(|settings| settings.limits.ordering.max_body_bytes = 100_000).await;
    let alice = world.device("alice", "phone").await;
    let info: api::ServiceInfo = world.call("GET", "/v1/service", None, None).await.ok();
    let body = |bytes| Some(json!({ "message": "A".repeat(bytes) }));
    let path = room_path("/messages");
    world.call("POST", &path, Some(&alice.token), body(info.max_body_bytes + 1)).await.refused(Code::TooLarge);
    world.call("POST", &path, Some(&alice.token), body(150_000)).await.refused(Code::NotFound);
}

#[tokio::test]
async fn who_has_no_session_sends_less() {
    let world = World::new().await;
    let challenge = json!({ "device": { "user": "A".repeat(70_000), "device": "phone" } });
    world.call("POST", "/v1/challenges", None, Some(challenge)).await.refused(Code::TooLarge);
}

#[tokio::test]
async fn a_part_that_is_too_large_is_refused() {
    let world = World::with(|settings| settings.limits.ordering.max_body_bytes = 10_000).await;
    let scene = Scene::of(world, HandshakeMode::Assisted).await;
    let large = json!({ "message": Bytes(vec![0; 10_001]) });
    let path = room_path("/messages");
    scene.world.call("POST", &path, Some(&scene.alice.token), Some(large)).await.refused(Code::TooLarge);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = World::with(|settings| settings.limits.request_seconds = 0).await;
    let never = futures_util::stream::pending::<Result<Chunk, std::io::Error>>();
    let request = Request::post("/v1/challenges")
        .header(header::CONTENT_TYPE, api::JSON)
        .body(Body::from_stream(never))
        .expect("a request");
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), world.send(request)).await;
    answer.expect("it is waited for").refused(Code::Timeout);
}

#[tokio::test]
async fn bodies_that_are_nested_without_end_are_refused() {
    let world = World::new().await;
    let json = ["[".repeat(60_000), "{\"device\":".repeat(6_000)];
    for body in json.map(String::into_bytes) {
        send_raw(&world, api::JSON, body).await.refused(Code::BadRequest);
    }
    // Arrays of one element, maps of one entry, tags, and strings and arrays without end.
    for head in [[0x81], [0xA1], [0xC1], [0x9F], [0xBF], [0x7F], [0x5F]] {
        send_raw(&world, api::CBOR, head.repeat(60_000)).await.refused(Code::BadRequest);
    }
}

async fn send_raw(world: &World, media_type: &str, body: Vec<u8>) -> Answer {
    let request = Request::post("/v1/challenges").header(header::CONTENT_TYPE, media_type);
    world.send(request.body(Body::from(body)).expect("a request")).await
}

#[tokio::test]
async fn a_list_of_nothing_does_not_fill_the_memory() {
    let world = World::new().await;
    let alice = world.device("alice", "phone").await;
    let json = format!("{{\"key_packages\":[{}\"\"]}}", "\"\",".repeat(20_000));
    let cbor = [b"\xA1\x6Ckey_packages\x99\xFF\xFF".as_slice(), &[0x40; 65_535]].concat();
    for (media_type, body) in [(api::JSON, json.into_bytes()), (api::CBOR, cbor)] {
        let mut request = request("POST", "/v1/key-packages", Some(&alice.token), None);
        request.headers_mut().insert(header::CONTENT_TYPE, media_type.parse().expect("a media type"));
        *request.body_mut() = Body::from(body);
        world.send(request).await.refused(Code::BadRequest);
    }
}

#[tokio::test]
async fn lengths_that_are_not_there_are_not_believed() {
    let world = World::new().await;
    // A byte string, a text, an array and a map, each of 2^63 and of 2^32 elements.
    for kind in [0x5B_u8, 0x7B, 0x9B, 0xBB] {
        for length in [1_u64 << 63, 1 << 32, u64::MAX] {
            let body = [[kind].as_slice(), &length.to_be_bytes(), b"rest"].concat();
            send_raw(&world, api::CBOR, body).await.refused(Code::BadRequest);
        }
    }
}

#[tokio::test]
async fn what_comes_after_the_body_is_not_ignored() {
    let world = World::new().await;
    let request = api::ChallengeRequest { device: name("alice", "phone") };
    let mut cbor = Vec::new();
    ciborium::into_writer(&request, &mut cbor).expect("CBOR");
    send_raw(&world, api::CBOR, cbor.clone()).await.is(StatusCode::OK);
    cbor.push(0xF6);
    send_raw(&world, api::CBOR, cbor).await.refused(Code::BadRequest);
    let json = serde_json::to_string(&request).expect("JSON");
    send_raw(&world, api::JSON, format!("{json}{json}").into()).await.refused(Code::BadRequest);
}

#[tokio::test]
async fn a_field_is_not_given_twice() {
    let world = World::new().await;
    let twice = r#"{"device":{"user":"alice","device":"phone"},"device":{"user":"mallory","device":"phone"}}"#;
    send_raw(&world, api::JSON, twice.into()).await.refused(Code::BadRequest);
}

#[tokio::test]
async fn two_media_types_are_none() {
    let world = World::new().await;
    let body = json!({ "device": name("alice", "phone") });
    let mut request = request("POST", "/v1/challenges", None, Some(body));
    request.headers_mut().append(header::CONTENT_TYPE, api::CBOR.parse().expect("a header"));
    world.send(request).await.refused(Code::UnsupportedMediaType);
}

#[tokio::test]
async fn a_cursor_that_is_none_resumes_nothing() {
    let scene = Scene::new().await;
    let with = |values: &[&str]| {
        let mut request = request("GET", "/v1/stream", Some(&scene.bob.token), None);
        for value in values {
            request.headers_mut().append("last-event-id", value.parse().expect("a header"));
        }
        request
    };
    for values in [&["x"][..], &["-1"], &["18446744073709551616"], &["1", "2"], &[""]] {
        scene.world.send(with(values)).await.refused(Code::BadRequest);
    }
}

// Too much of everything.

#[tokio::test]
async fn tokens_are_not_guessed_without_end() {
    let world = World::with(|settings| {
        settings.limits.address_burst = 5;
        settings.limits.address_requests_per_second = 1;
    })
    .await;
    // One request has asked what the service is.
    for _ in 0..4 {
        world.call("GET", "/v1/deliveries", Some(&"A".repeat(43)), None).await.refused(Code::NoSession);
    }
    world.call("GET", "/v1/deliveries", Some(&"A".repeat(43)), None).await.refused(Code::TooManyRequests);
    world.call("GET", "/nowhere", None, None).await.refused(Code::TooManyRequests);
    world.wait(1);
    world.call("GET", "/v1/deliveries", None, None).await.refused(Code::NoSession);
}

/// A request without a session, by a connection from there and with these headers.
async fn from(world: &World, address: &str, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = request("GET", "/v1/service", None, None);
    let address: std::net::SocketAddr = address.parse().expect("an address");
    request.extensions_mut().insert(axum::extract::ConnectInfo(address));
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().expect("a header"));
    }
    world.send(request).await
}

#[tokio::test]
async fn nobody_says_of_itself_where_it_comes_from() {
    let elsewhere = "192.0.2.9".parse().expect("an address");
    for trusted_proxies in [Vec::new(), vec![elsewhere]] {
        let world = World::with(|settings| {
            settings.limits.address_burst = 2;
            settings.trusted_proxies = trusted_proxies;
        })
        .await;
        for number in 0..3 {
            let (custom, standard) = (format!("198.51.100.{number}"), format!("for=198.51.100.{number}"));
            let by_custom = from(&world, "192.0.2.1:1000", &[("x-forwarded-for", &custom)]).await;
            let by_standard = from(&world, "192.0.2.2:1000", &[("forwarded", &standard)]).await;
            for answer in [by_custom, by_standard] {
                if number < 2 {
                    answer.is(StatusCode::OK);
                } else {
                    answer.refused(Code::TooManyRequests);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_where_its_clients_come_from() {
    let world = World::with(|settings| {
        settings.limits.address_burst = 2;
        settings.trusted_proxies = ["192.0.2.0/24", "2001:db8::1"].map(|text| text.parse().expect("a network")).into();
    })
    .await;
    let proxy = "192.0.2.1:1000";
    for _ in 0..2 {
        from(&world, proxy, &[("x-forwarded-for", "198.51.100.7")]).await.is(StatusCode::OK);
    }
    // The same client, whatever it makes up itself, and whichever way it takes.
    for (proxy, header) in [
        (proxy, ("x-forwarded-for", "203.0.113.1, 198.51.100.7")),
        (proxy, ("x-forwarded-for", "198.51.100.7, 192.0.2.8, 2001:db8::1")),
        (proxy, ("forwarded", "for=203.0.113.1, for=198.51.100.7;proto=https")),
        ("192.0.2.8:1000", ("x-forwarded-for", "198.51.100.7")),
        ("[2001:db8::1]:1000", ("forwarded", "for=\"198.51.100.7:4711\"")),
        ("198.51.100.7:1000", ("x-forwarded-for", "203.0.113.2")),
    ] {
        from(&world, proxy, &[header]).await.refused(Code::TooManyRequests);
    }
    // Another client, and the proxy itself.
    from(&world, proxy, &[("x-forwarded-for", "198.51.100.8")]).await.is(StatusCode::OK);
    for _ in 0..2 {
        from(&world, proxy, &[]).await.is(StatusCode::OK);
    }
    // Who adds the other header is not somebody else for it.
    let both = [("x-forwarded-for", "198.51.100.9"), ("forwarded", "for=203.0.113.3")];
    from(&world, proxy, &both).await.refused(Code::TooManyRequests);
}

#[tokio::test]
async fn one_address_does_not_use_up_the_rate_of_another() {
    let world = World::with(|settings| settings.limits.address_burst = 2).await;
    let from = async |address: &str| from(&world, address, &[]).await;
    for _ in 0..2 {
        from("192.0.2.1:1000").await.is(StatusCode::OK);
        from("[2001:db8::1]:1000").await.is(StatusCode::OK);
    }
    // Another port is the same address, and so is another address of the same network of IPv6.
    from("192.0.2.1:2000").await.refused(Code::TooManyRequests);
    from("[::ffff:192.0.2.1]:3000").await.refused(Code::TooManyRequests);
    from("[2001:db8::2]:1000").await.refused(Code::TooManyRequests);
    from("192.0.2.2:1000").await.is(StatusCode::OK);
    from("[2001:db8:0:1::1]:1000").await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_device_is_not_in_more_groups_than_it_may() {
    let world = World::with(|settings| settings.limits.ordering.max_groups_per_device = 1).await;
    let scene = Scene::of(world, HandshakeMode::Opaque).await;
    let second = scene.alice.client().create_unregistered(&GroupId::new("second").unwrap(), HandshakeMode::Opaque);
    let mut request = crate::http::create_request(&second, HandshakeMode::Opaque);
    request.group = GroupId::new("second").unwrap();
    let answer = scene.world.post("/v1/groups", Some(&scene.alice.token), &request).await;
    assert_eq!(answer.refused(Code::LimitReached).reason.as_deref(), Some("too-many-groups"));
}

#[tokio::test]
async fn key_packages_beyond_the_limit_are_refused() {
    let world = World::with(|settings| settings.limits.ordering.max_key_packages_per_device = 1).await;
    let alice = world.device("alice", "phone").await;
    let client = alice.client();
    let two = [0, 1].map(|_| Bytes(client.upload(0, later(9).0, false)));
    let upload = json!({ "key_packages": two });
    world.call("POST", "/v1/key-packages", Some(&alice.token), Some(upload)).await.refused(Code::LimitReached);
}
