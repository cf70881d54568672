//! Large bodies. The server reads one only for a device that may submit it and can pay for it.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{convert::Infallible, pin::pin};

use crate::http::{Answer, Device, World, request, room_path};
use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode, Version, header},
};
use futures_util::{FutureExt as _, stream};
use regrow_delivery_service::{
    HandshakeMode::Assisted,
    api::{Code, JSON},
};
use serde_json::json;

/// A body size that counts as large.
const LARGE: usize = 100_000;

/// A request with an invalid body. The server answers `bad-request` if it reads the body.
fn with_invalid_body(device: &Device, path: &str) -> Request<Body> {
    with_body(device, path, Body::from(" ".repeat(LARGE)))
}

/// A request with a body that never arrives.
fn with_missing_body(device: &Device, path: &str) -> Request<Body> {
    with_body(device, path, Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()))
}

fn with_body(device: &Device, path: &str, body: Body) -> Request<Body> {
    let mut request = request("POST", path, Some(&device.token), None).map(|_| body);
    request.headers_mut().insert(header::CONTENT_TYPE, JSON.parse().unwrap());
    request.headers_mut().insert(header::CONTENT_LENGTH, LARGE.into());
    request
}

/// Checks that the device may not submit anything: the server reads none of its bodies.
async fn assert_reads_no_body(world: &World, device: &Device) {
    for path in ["/commits", "/proposals", "/messages", "/reports"] {
        let answer: Answer = world.send(with_missing_body(device, &room_path(path))).await;
        answer.refused(Code::NotFound);
    }
}

#[tokio::test]
async fn a_large_body_to_an_unknown_group_is_not_read() {
    let world = World::with(|settings| settings.limits.request_seconds = 1).await;
    let alice = world.device("alice", "phone").await;
    assert_reads_no_body(&world, &alice).await;
}

#[tokio::test]
async fn large_bodies_are_read_for_members_and_possible_joiners() {
    let world = World::with(|settings| settings.limits.request_seconds = 1).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let stranger = world.device("carol", "phone").await;
    let mut members = world.group(Assisted, &[&alice, &bob]).await;
    for device in [&alice, &bob, &stranger] {
        world.send(with_invalid_body(device, &room_path("/commits"))).await.refused(Code::BadRequest);
    }
    let removal = members[0].commit(&[], &[&bob.id()]);
    world.commit(&alice, &removal).await.is(StatusCode::OK);
    assert_reads_no_body(&world, &bob).await;
    let tablet = world.device("bob", "tablet").await;
    world.send(with_invalid_body(&tablet, &room_path("/commits"))).await.refused(Code::BadRequest);
}

#[tokio::test]
async fn a_small_body_is_read_before_the_group_check() {
    let world = World::new().await;
    let alice = world.device("alice", "phone").await;
    let answer = world.call("POST", &room_path("/commits"), Some(&alice.token), Some(json!({}))).await;
    answer.refused(Code::BadRequest);
}

#[tokio::test]
async fn a_body_is_paid_once_and_before_it_is_read() {
    // A request with a body of `LARGE` bytes costs two units. The login has cost one.
    let world = World::with(|settings| {
        settings.limits.device_burst = 6;
        settings.limits.device_requests_per_second = 1;
    })
    .await;
    let alice = world.device("alice", "phone").await;
    for _ in 0..2 {
        world.send(with_invalid_body(&alice, "/v1/key-packages")).await.refused(Code::BadRequest);
    }
    let problem = world.send(with_missing_body(&alice, "/v1/key-packages")).await.refused(Code::TooManyRequests);
    // One unit is missing, and the refused request has cost another one.
    assert_eq!(problem.retry_after, Some(2));
    world.call("GET", "/v1/key-packages", Some(&alice.token), None).await.refused(Code::TooManyRequests);
    world.wait(1);
    world.call("GET", "/v1/key-packages", Some(&alice.token), None).await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_body_of_unknown_size_needs_the_right_to_submit() {
    let world = World::new().await;
    let alice = world.device("alice", "phone").await;
    let mut asked = with_missing_body(&alice, &room_path("/messages"));
    asked.headers_mut().remove(header::CONTENT_LENGTH);
    world.send(asked).await.refused(Code::NotFound);
    world.group(Assisted, &[&alice]).await;
    let mut asked = with_missing_body(&alice, &room_path("/messages"));
    asked.headers_mut().remove(header::CONTENT_LENGTH);
    let reading = pin!(world.send(asked));
    assert!(reading.now_or_never().is_none(), "the server does not wait for the body");
}

#[tokio::test]
async fn an_unread_large_body_ends_the_connection() {
    let world = World::new().await;
    let alice = world.device("alice", "phone").await;
    let ends = |answer: &Answer| answer.headers.get(header::CONNECTION).map(|value| value == "close");
    let unread = world.send(with_missing_body(&alice, &room_path("/commits"))).await;
    assert_eq!((unread.status, ends(&unread)), (StatusCode::NOT_FOUND, Some(true)));
    let read = world.send(with_invalid_body(&alice, "/v1/key-packages")).await;
    assert_eq!((read.status, ends(&read)), (StatusCode::BAD_REQUEST, None));
    let small = world.call("POST", &room_path("/commits"), None, Some(json!({}))).await;
    assert_eq!((small.status, ends(&small)), (StatusCode::UNAUTHORIZED, None));
    // In HTTP/2, only the stream of the request ends, not the connection.
    let mut over_http2 = with_missing_body(&alice, &room_path("/commits"));
    *over_http2.version_mut() = Version::HTTP_2;
    let unread = world.send(over_http2).await;
    assert_eq!((unread.status, ends(&unread)), (StatusCode::NOT_FOUND, None));
}
