//! Logins while strangers try to prevent them.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;

use crate::http::{Answer, Key, World, request};
use axum::{extract::ConnectInfo, http::StatusCode};
use regrow_delivery_service::api::{self, Code};
use serde_json::json;

/// Sends a request as if its connection came from this address.
async fn from(world: &World, address: &str, path: &str, token: Option<&str>, body: serde_json::Value) -> Answer {
    let mut request = request("POST", path, token, Some(body));
    let address: SocketAddr = address.parse().expect("an address");
    request.extensions_mut().insert(ConnectInfo(address));
    world.send(request).await
}

async fn challenge_from(world: &World, address: &str, key: &Key) -> Answer {
    from(world, address, "/v1/challenges", None, json!({ "device": key.name })).await
}

#[tokio::test]
async fn strangers_with_many_addresses_block_no_login() {
    let world = World::with(|settings| settings.limits.address_burst = 6).await;
    let alice = world.device("alice", "phone").await;
    let challenge = challenge_from(&world, "198.51.100.7:1", &alice.key).await.ok::<api::Challenge>().challenge.0;
    // This is more than any table of the server holds, for one device or in total.
    for number in 0..2_000_u32 {
        let address = format!("10.{}.{}.{}:1", number >> 16, (number >> 8) & 0xFF, number & 0xFF);
        challenge_from(&world, &address, &alice.key).await.is(StatusCode::OK);
        let forged = Key::forged("alice", "phone").session(&world.key, &challenge);
        let forged = serde_json::to_value(forged).expect("JSON");
        from(&world, &address, "/v1/sessions", None, forged).await.refused(Code::BadProof);
    }
    // Alice's first challenge is still valid.
    let session = serde_json::to_value(alice.key.session(&world.key, &challenge)).expect("JSON");
    from(&world, "198.51.100.7:1", "/v1/sessions", None, session).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_known_device_logs_in_despite_strangers_at_its_address() {
    let world = World::with(|settings| {
        settings.limits.address_burst = 5;
        settings.limits.session_seconds = 100;
    })
    .await;
    let alice = world.device("alice", "phone").await;
    world.wait(100);
    world.call("GET", "/v1/key-packages", Some(&alice.token), None).await.refused(Code::NoSession);
    let shared = "192.0.2.1:1";
    while challenge_from(&world, shared, &alice.key).await.status == StatusCode::OK {}

    // The token of the expired session shows that this device has logged in before.
    let body = json!({ "device": alice.key.name });
    let challenge: api::Challenge = from(&world, shared, "/v1/challenges", Some(&alice.token), body).await.ok();
    let session = serde_json::to_value(alice.key.session(&world.key, &challenge.challenge.0)).expect("JSON");
    from(&world, shared, "/v1/sessions", Some(&alice.token), session).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_forged_past_token_has_no_rate_of_its_own() {
    let world = World::with(|settings| settings.limits.address_burst = 5).await;
    let alice = world.device("alice", "phone").await;
    let shared = "192.0.2.1:1";
    while challenge_from(&world, shared, &alice.key).await.status == StatusCode::OK {}
    let mut forged = alice.token.clone().into_bytes();
    forged[0] = if forged[0] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("text");
    let body = json!({ "device": alice.key.name });
    from(&world, shared, "/v1/challenges", Some(&forged), body).await.refused(Code::TooManyRequests);
}

#[tokio::test]
async fn past_sessions_of_one_device_share_a_rate() {
    let world = World::with(|settings| settings.limits.address_burst = 20).await;
    let alice = world.device("alice", "phone").await;
    let tokens = [alice.token.clone(), world.token(&alice.key).await];
    world.wait(3_600);
    let shared = "192.0.2.1:1";
    while challenge_from(&world, shared, &alice.key).await.status == StatusCode::OK {}
    let mut admitted = 0;
    for token in tokens.iter().cycle().take(40) {
        let body = json!({ "device": alice.key.name });
        let answer = from(&world, shared, "/v1/challenges", Some(token), body).await;
        admitted += usize::from(answer.status == StatusCode::OK);
    }
    assert_eq!(admitted, 10);
}

#[tokio::test]
async fn a_wrong_signature_does_not_use_up_the_challenge() {
    let world = World::new().await;
    let alice = world.device("alice", "phone").await;
    let challenge = world.challenge(&alice.key.name).await;
    let guess = Key::forged("alice", "phone").session(&world.key, &challenge);
    world.post("/v1/sessions", None, &guess).await.refused(Code::BadProof);
    let right = alice.key.session(&world.key, &challenge);
    world.post("/v1/sessions", None, &right).await.is(StatusCode::CREATED);
    world.post("/v1/sessions", None, &right).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_challenge_registers_only_once() {
    let world = World::new().await;
    let key = Key::new("alice", "phone");
    let challenge = world.challenge(&key.name).await;
    let registration = key.registration(&world.key, &challenge, None);
    world.post("/v1/devices", None, &registration).await.is(StatusCode::CREATED);
    world.post("/v1/devices", None, &registration).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_device_with_too_many_logins_delays_only_itself() {
    let world = World::new().await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    for _ in 0..30 {
        world.open_session(&alice.key).await.is(StatusCode::CREATED);
    }
    let refused = world.open_session(&alice.key).await.refused(Code::TooManyRequests);
    world.open_session(&bob.key).await.is(StatusCode::CREATED);
    world.wait(refused.retry_after.expect("a time to wait"));
    world.open_session(&alice.key).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_clock_jump_does_not_revive_a_challenge() {
    let world = World::new().await;
    let alice = world.device("alice", "phone").await;
    let challenge = world.challenge(&alice.key.name).await;
    world.wait(60);
    world.jump(-3_600);
    let late = alice.key.session(&world.key, &challenge);
    world.post("/v1/sessions", None, &late).await.refused(Code::BadProof);
}
