//! Sessions and their tokens.

use super::Scene;
use crate::http::{World, request, room_path};
use axum::http::{StatusCode, header};
use data_encoding::BASE64URL_NOPAD;
use regrow_delivery_service::{SqliteStore, api::Code};
use serde_json::json;
use sha2::{Digest as _, Sha256};

#[tokio::test]
async fn requests_without_a_session_are_refused() {
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
async fn an_invented_token_is_refused() {
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
async fn a_revoked_token_stays_refused_after_a_restart() {
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
async fn the_store_contains_no_token() {
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
async fn the_hash_of_a_token_is_refused() {
    let scene = Scene::new().await;
    let token = BASE64URL_NOPAD.decode(scene.alice.token.as_bytes()).expect("base64url");
    let hash = BASE64URL_NOPAD.encode(&Sha256::digest(token));
    scene.world.call("GET", "/v1/deliveries", Some(&hash), None).await.refused(Code::NoSession);
}

#[tokio::test]
async fn a_token_counts_only_in_the_authorization_header() {
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
async fn two_tokens_are_refused() {
    let scene = Scene::new().await;
    for tokens in [[&scene.mallory.token, &scene.alice.token], [&scene.alice.token, &scene.alice.token]] {
        let mut request = request("GET", "/v1/deliveries", Some(tokens[0]), None);
        let second = format!("Bearer {}", tokens[1]).parse().expect("a header");
        request.headers_mut().append(header::AUTHORIZATION, second);
        scene.world.send(request).await.refused(Code::NoSession);
    }
}

#[tokio::test]
async fn a_device_has_a_limited_number_of_sessions() {
    let scene = Scene::new().await;
    for _ in 0..16 {
        scene.world.wait(1);
        scene.world.token(&scene.alice.key).await;
    }
    // The newest sessions replace the first one.
    scene.world.call("GET", "/v1/deliveries", Some(&scene.alice.token), None).await.refused(Code::NoSession);
}
