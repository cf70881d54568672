//! Devices of other users, and removed devices.

use std::sync::{Arc, Mutex, mpsc};

use super::{Scene, json, stock};
use crate::http::{Events, Key, World, commit_request, request, room_path};
use axum::{http::StatusCode, response::Response};
use regrow_delivery_service::{
    GroupId, HandshakeMode, SqliteStore, Store, StoreError,
    api::{self, Bytes, Code},
    store::Transaction,
};
use tokio::task::JoinHandle;

#[tokio::test]
async fn a_taken_name_is_not_given_to_another_key() {
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
async fn a_removed_device_can_do_nothing() {
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

/// A store whose next transaction waits until the sender of the gate is dropped.
struct GatedStore {
    inner: SqliteStore,
    gate: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
}

impl Store for GatedStore {
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
async fn queued_requests_of_a_removed_device_are_not_carried_out() {
    let gate = Arc::new(Mutex::new(None));
    let store = GatedStore { inner: SqliteStore::in_memory().expect("a store"), gate: Arc::clone(&gate) };
    let mut scene = Scene::of(World::over(store, |_| {}).await, HandshakeMode::Assisted).await;
    let laptop = scene.world.device("bob", "laptop").await;
    stock(&scene, &scene.alice, 1).await;
    let update = scene.world.commit(&scene.alice, &scene.members[0].update()).await.ok::<api::Accepted>();
    scene.members[0].confirm();
    let new = scene.members[0].update();
    let before = scene.world.read(&scene.alice.token, 0).await;

    // Bob's phone may send all these requests while it is registered.
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
        // A device may have two large reads in the queue: this one and the read of the group info.
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
        asked.await.expect("the request ends").unwrap_or_else(|never: std::convert::Infallible| match never {}).status()
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
async fn key_packages_of_a_removed_device_are_not_handed_out() {
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
async fn an_unregistered_name_is_not_added_to_a_group() {
    let mut scene = Scene::of(World::new().await, HandshakeMode::Opaque).await;
    let later = Key::new("carol", "phone");
    let client = crate::common::Client::of(later.name.clone());
    let add = scene.members[0].commit(&[client.key_package()], &[]);
    let problem = scene.world.commit(&scene.alice, &add).await.refused(Code::Rejected);
    assert_eq!(problem.reason.as_deref(), Some("unknown-device"));
}

#[tokio::test]
async fn a_log_does_not_wait_for_a_removed_device() {
    let mut scene = Scene::new().await;
    let sent: api::Accepted = scene.world.message(&scene.alice, &scene.members[0].send("one")).await.ok();
    assert_eq!(sent.receipt.sequence, 2);
    let up_to = scene.world.read(&scene.alice.token, 0).await.last().expect("the message").cursor;
    let acknowledgement = api::AcknowledgeRequest { up_to };
    scene.world.post("/v1/acknowledgements", Some(&scene.alice.token), &acknowledgement).await.is(StatusCode::OK);
    scene.world.call("DELETE", &scene.bob.path(), Some(&scene.bob.token), None).await.is(StatusCode::NO_CONTENT);
    // The next message is deleted as soon as Alice has acknowledged it.
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
    // Entries that all others have acknowledged are deleted. The service keeps nothing for Bob.
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
