//! The HTTP API: the life of a group, formats, errors, and the API document.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::common::{NOW, room};
use crate::http::{Device, World, commit_request, create_request, name, request, room_path};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use regrow_delivery_service::{
    Cursor, GroupId, HandshakeMode, SqliteStore,
    api::{self, Bytes, Code, DeliveryKind},
    server,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

async fn pair(world: &World) -> (Device, Device) {
    (world.device("alice", "phone").await, world.device("bob", "phone").await)
}

#[tokio::test]
async fn a_group_lives_over_http() {
    for mode in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let world = World::new().await;
        let (alice, bob) = pair(&world).await;
        let mut members = world.group(mode, &[&alice, &bob]).await;

        let hello = members[0].send("hello");
        let sent: api::Accepted = world.message(&alice, &hello).await.ok();
        let receipt = sent.receipt.of(&room()).expect("a receipt");
        receipt.verify(&world.key).expect("signed by the service");

        let read = world.read(&bob.token, 0).await;
        assert_eq!(read.iter().map(|one| one.kind).collect::<Vec<_>>(), [DeliveryKind::Welcome, DeliveryKind::Message]);
        assert_eq!((&read[1].sender, read[1].time), (&name("alice", "phone"), NOW.0));
        assert_eq!(read[1].receipt, sent.receipt);
        assert_eq!(members[1].receive(&read[1].bytes.0), Some("hello".into()));

        let update = members[1].update();
        world.commit(&bob, &update).await.is(StatusCode::OK);
        members[1].confirm();
        let read = world.read(&alice.token, read[1].cursor).await;
        members[0].receive(&read[0].bytes.0);
        assert_eq!(members[0].authenticator(), members[1].authenticator());

        let state: api::GroupState = world.call("GET", &room_path(""), Some(&alice.token), None).await.ok();
        assert_eq!(state, api::GroupState { epoch: 2, devices: vec![name("alice", "phone"), name("bob", "phone")] });

        let up_to = api::AcknowledgeRequest { up_to: read[0].cursor };
        for device in [&alice, &bob] {
            world.post("/v1/acknowledgements", Some(&device.token), &up_to).await.is(StatusCode::OK);
        }
        // Entries that everyone has acknowledged are deleted.
        for device in [&alice, &bob] {
            assert_eq!(world.read(&device.token, 0).await, []);
        }
    }
}

#[tokio::test]
async fn a_member_leaves_and_another_device_joins_externally() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;

    let leave = api::ProposalRequest { proposal: members[1].propose_to_leave().into() };
    world.post(&room_path("/proposals"), Some(&bob.token), &leave).await.is(StatusCode::OK);
    let read = world.read(&alice.token, 0).await;
    members[0].receive(&read.last().expect("the proposal").bytes.0);
    let commit = members[0].commit(&[], &[]);
    world.commit(&alice, &commit).await.is(StatusCode::OK);
    members[0].confirm();
    world.call("GET", &room_path(""), Some(&bob.token), None).await.refused(Code::NotFound);

    // Another device of a member's user joins by external commit.
    let laptop = world.device("alice", "laptop").await;
    let info: api::GroupInfo = world.call("GET", &room_path("/info"), Some(&laptop.token), None).await.ok();
    let (_, external) = laptop.client().join_externally(&info.group_info.0, HandshakeMode::Assisted);
    world.commit(&laptop, &external).await.is(StatusCode::OK);
    world.call("GET", &room_path(""), Some(&laptop.token), None).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_commit_that_members_cannot_process_is_taken_back() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let carol = world.device("carol", "phone").await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob, &carol]).await;
    let commit = members[0].update();
    let ordered: api::Accepted = world.commit(&alice, &commit).await.ok();
    let report = api::ReportRequest { sequence: ordered.receipt.sequence };

    let first: api::ReportAnswer = world.post(&room_path("/reports"), Some(&bob.token), &report).await.ok();
    assert_eq!(first, api::ReportAnswer { reports: 1, needed: 2, rolled_back: false });
    let second: api::ReportAnswer = world.post(&room_path("/reports"), Some(&carol.token), &report).await.ok();
    assert!(second.rolled_back);

    let last = world.read(&bob.token, 0).await.pop().expect("the rollback");
    assert_eq!((last.kind, last.voided), (DeliveryKind::Rollback, Some(ordered.receipt.sequence)));
    world.commit(&alice, &commit).await.refused(Code::Rejected);
}

#[tokio::test]
async fn key_packages_are_handed_out_once() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let client = bob.client();
    let upload = api::UploadRequest {
        key_packages: vec![client.upload(0, u64::MAX, false).into()],
        last_resort: Some(client.upload(0, u64::MAX, true).into()),
    };
    for _ in 0..2 {
        let answer: api::UploadAnswer = world.post("/v1/key-packages", Some(&bob.token), &upload).await.ok();
        let left = api::KeyPackagesLeft { left: 1, last_resort: true, last_resort_used: false };
        assert_eq!(answer, api::UploadAnswer { key_packages: left, refused: Vec::new() });
    }
    let claimed: api::ClaimAnswer = world.claim(&alice.token, "bob").await.ok();
    assert_eq!(claimed.key_packages[0].key_package, upload.key_packages[0]);
    let claimed: api::ClaimAnswer = world.claim(&alice.token, "bob").await.ok();
    assert!(claimed.key_packages[0].last_resort);
    let none: api::ClaimAnswer = world.claim(&bob.token, "alice").await.ok();
    assert_eq!(none.without, [name("alice", "phone")]);
    world.claim(&bob.token, "nobody").await.refused(Code::NotFound);
}

#[tokio::test]
async fn repeated_writes_get_the_same_answer() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let create = create_request(
        &alice.client().create_unregistered(&GroupId::new("other").unwrap(), HandshakeMode::Opaque),
        HandshakeMode::Opaque,
    );
    let create = api::CreateGroupRequest { group: GroupId::new("other").unwrap(), ..create };
    let message = members[0].send("once");
    let commit = members[0].update();
    for (path, body) in [
        ("/v1/groups".to_owned(), serde_json::to_value(&create).expect("JSON")),
        (room_path("/messages"), json!({ "message": Bytes(message) })),
        (room_path("/commits"), serde_json::to_value(commit_request(&commit)).expect("JSON")),
    ] {
        let first: api::Accepted = world.call("POST", &path, Some(&alice.token), Some(body.clone())).await.ok();
        let again: api::Accepted = world.call("POST", &path, Some(&alice.token), Some(body)).await.ok();
        assert_eq!(first, again, "{path}");
    }
    assert_eq!(world.read(&bob.token, 0).await.len(), 3);
    world.register(&alice.key, None).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_stale_message_is_answered_with_the_epoch() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let late = members[1].send("late");
    world.commit(&alice, &members[0].update()).await.is(StatusCode::OK);
    let problem = world.message(&bob, &late).await.refused(Code::Stale);
    assert_eq!(problem.current_epoch, Some(2));
}

#[tokio::test]
async fn acknowledged_writes_survive_a_restart() {
    let file = tempfile::tempdir().expect("a directory");
    let path = file.path().join("ds.db");
    let world = World::over(SqliteStore::open(&path).expect("a store"), |_| {}).await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    world.message(&alice, &members[0].send("kept")).await.is(StatusCode::OK);
    let before = world.read(&bob.token, 0).await;
    world.server.stop().await;

    let world = World::over(SqliteStore::open(&path).expect("the store"), |_| {}).await;
    // The session is still valid.
    assert_eq!(world.read(&bob.token, 0).await, before);
}

#[tokio::test]
async fn a_stopped_server_answers_unavailable() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let World { server, router, .. } = world;
    server.stop().await;
    let body = json!({ "message": Bytes(members[0].send("too late")) });
    let answer =
        tower::ServiceExt::oneshot(router, request("POST", &room_path("/messages"), Some(&alice.token), Some(body)));
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
}

fn cbor<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("CBOR");
    bytes
}

fn from_cbor<T: DeserializeOwned>(bytes: &[u8]) -> T {
    ciborium::from_reader(bytes).expect("CBOR")
}

fn cbor_request(method: &str, path: &str, token: &str, body: Vec<u8>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, api::CBOR)
        .header(header::ACCEPT, api::CBOR)
        .body(Body::from(body))
        .expect("a request")
}

#[tokio::test]
async fn requests_and_answers_can_be_cbor() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let body = cbor(&api::MessageRequest { message: members[0].send("hello").into() });
    let answer = world.send(cbor_request("POST", &room_path("/messages"), &alice.token, body.clone())).await;
    assert_eq!(answer.headers[header::CONTENT_TYPE], api::CBOR);
    let accepted: api::Accepted = from_cbor(&answer.is(StatusCode::OK).body);

    let answer = world.send(cbor_request("GET", "/v1/deliveries", &bob.token, Vec::new())).await;
    let page: api::DeliveryPage = from_cbor(&answer.is(StatusCode::OK).body);
    assert_eq!(page.deliveries[1].receipt, accepted.receipt);

    let answer = world.send(cbor_request("POST", "/v1/groups/bm9uZQ/messages", &alice.token, body)).await;
    assert_eq!(answer.headers[header::CONTENT_TYPE], api::CBOR);
    let problem: api::Problem = from_cbor(&answer.is(StatusCode::NOT_FOUND).body);
    assert_eq!(problem.code, Code::NotFound);
}

#[tokio::test]
async fn every_failure_is_a_problem() {
    let world = World::new().await;
    let alice = world.device("alice", "phone").await;
    let with = |name: header::HeaderName, value: &'static str| {
        let mut request = request("POST", "/v1/challenges", None, Some(json!({})));
        request.headers_mut().insert(name, value.parse().expect("a header"));
        request
    };
    world.call("GET", "/", None, None).await.refused(Code::NotFound);
    world.call("GET", "/v1/nothing", None, None).await.refused(Code::NotFound);
    world.call("PUT", "/v1/service", None, None).await.refused(Code::MethodNotAllowed);
    world.call("GET", "/v1/deliveries", None, None).await.refused(Code::NoSession);
    world.call("GET", "/v1/deliveries?after=x", Some(&alice.token), None).await.refused(Code::BadRequest);
    world.call("GET", "/v1/deliveries?before=1", Some(&alice.token), None).await.refused(Code::BadRequest);
    world.call("GET", "/v1/users/%ff/devices", Some(&alice.token), None).await.refused(Code::BadRequest);
    world.call("POST", "/v1/challenges", None, Some(json!({}))).await.refused(Code::BadRequest);
    world.call("POST", "/v1/challenges", None, None).await.refused(Code::UnsupportedMediaType);
    world.send(with(header::CONTENT_TYPE, "text/plain")).await.refused(Code::UnsupportedMediaType);
    world.send(with(header::ACCEPT, "image/png")).await.refused(Code::NotAcceptable);
    world.send(with(header::ACCEPT, "application/cbor;q=0")).await.refused(Code::NotAcceptable);
    let answer = world.call("GET", "/v1/deliveries", None, None).await;
    assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
}

#[tokio::test]
async fn the_api_document_matches_the_routes() {
    let world = World::new().await;
    let served: serde_json::Value = world.call("GET", "/v1/openapi.json", None, None).await.ok();
    assert_eq!(served, serde_json::to_value(server::openapi()).expect("JSON"));
    assert_eq!(served["openapi"], "3.1.0");
    let mut documented = Vec::new();
    for (path, operations) in served["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            documented.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    documented.sort();
    let mut promised = [
        "GET /v1/service",
        "GET /v1/openapi.json",
        "POST /v1/challenges",
        "POST /v1/devices",
        "DELETE /v1/devices/{user}/{device}",
        "GET /v1/users/{user}/devices",
        "POST /v1/sessions",
        "DELETE /v1/sessions/current",
        "POST /v1/key-packages",
        "PUT /v1/key-packages",
        "GET /v1/users/{user}/device-list",
        "POST /v1/device-list",
        "GET /v1/key-packages",
        "POST /v1/key-packages/claims",
        "POST /v1/groups",
        "GET /v1/groups/{group}",
        "GET /v1/groups/{group}/info",
        "GET /v1/groups/{group}/trees/{epoch}",
        "POST /v1/groups/{group}/commits",
        "POST /v1/groups/{group}/proposals",
        "POST /v1/groups/{group}/messages",
        "POST /v1/groups/{group}/reports",
        "DELETE /v1/groups/{group}",
        "PUT /v1/groups/{group}/membership",
        "DELETE /v1/groups/{group}/membership",
        "GET /v1/blocks",
        "PUT /v1/blocks/{user}",
        "DELETE /v1/blocks/{user}",
        "GET /v1/deliveries",
        "GET /v1/stream",
        "POST /v1/acknowledgements",
        "PUT /v1/wake-up",
        "DELETE /v1/wake-up",
    ];
    promised.sort();
    assert_eq!(documented, promised);
    for operation in documented {
        let (method, path) = operation.split_once(' ').expect("method and path");
        // The request has neither a session nor a body. Any answer is fine that shows that the
        // route exists.
        let answer = world.call(method, path, None, None).await;
        let missing = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::INTERNAL_SERVER_ERROR];
        assert!(!missing.contains(&answer.status), "{operation}: {}", answer.status);
    }
    // The document contains every schema that it refers to.
    let text = served.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let schema = reference.split('"').next().expect("a name");
        assert!(served["components"]["schemas"][schema].is_object(), "{schema}");
    }
}

#[tokio::test]
async fn a_device_over_its_rate_is_told_when_to_retry() {
    let world = World::with(|settings| {
        settings.limits.device_burst = 3;
        settings.limits.device_requests_per_second = 1;
    })
    .await;
    let alice = world.device("alice", "phone").await;
    // The login has cost one request.
    for _ in 0..2 {
        world.call("GET", "/v1/key-packages", Some(&alice.token), None).await.is(StatusCode::OK);
    }
    let answer = world.call("GET", "/v1/key-packages", Some(&alice.token), None).await;
    let problem = answer.refused(Code::TooManyRequests);
    assert_eq!((problem.retry_after, answer.headers[header::RETRY_AFTER].as_bytes()), (Some(1), b"1".as_slice()));
    world.wait(1);
    world.call("GET", "/v1/key-packages", Some(&alice.token), None).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_page_has_the_requested_length() {
    let world = World::new().await;
    let (alice, bob) = pair(&world).await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    for text in ["one", "two", "three"] {
        world.message(&alice, &members[0].send(text)).await.is(StatusCode::OK);
    }
    let page: api::DeliveryPage = world.call("GET", "/v1/deliveries?limit=2", Some(&bob.token), None).await.ok();
    assert_eq!(page.deliveries.len(), 2);
    let rest = world.read(&bob.token, page.deliveries[1].cursor).await;
    assert_eq!(rest.len(), 2);
    assert_eq!(world.read(&bob.token, Cursor(u64::MAX).0).await, []);
}

#[tokio::test]
async fn no_answer_may_be_cached() {
    let world = World::new().await;
    let alice = world.device("alice", "phone").await;
    let token = Some(alice.token.as_str());
    let challenge = api::ChallengeRequest { device: alice.key.name.clone() };
    let answers = [
        (200, world.call("GET", "/v1/service", None, None).await),
        (200, world.call("GET", "/v1/openapi.json", None, None).await),
        (200, world.post("/v1/challenges", None, &challenge).await),
        (201, world.register(&alice.key, None).await),
        (201, world.open_session(&alice.key).await),
        (200, world.call("GET", "/v1/deliveries", token, None).await),
        (200, world.call("GET", "/v1/stream", token, None).await),
        (401, world.call("GET", "/v1/deliveries", None, None).await),
        (404, world.call("GET", "/nowhere", token, None).await),
        (405, world.call("PUT", "/v1/groups", token, None).await),
        (204, world.call("DELETE", "/v1/sessions/current", token, None).await),
    ];
    for (number, (status, answer)) in answers.iter().enumerate() {
        assert_eq!(answer.status.as_u16(), *status, "{number}");
        let said: Vec<_> = answer.headers.get_all(header::CACHE_CONTROL).iter().collect();
        assert_eq!(said, ["no-store"], "{number}");
    }
}
