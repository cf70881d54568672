//! The host name of a request.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::http::World;
use axum::{
    body::Body,
    http::{HeaderValue, Request, StatusCode, header},
};
use regrow_delivery_service::{api::Code, server::operators};
use tower::ServiceExt as _;

fn request(uri: &str, hosts: &[&str]) -> Request<Body> {
    let mut request = Request::get(uri).body(Body::empty()).expect("a request");
    for host in hosts {
        request.headers_mut().append(header::HOST, HeaderValue::from_str(host).expect("a header"));
    }
    request
}

async fn status(world: &World, uri: &str, hosts: &[&str]) -> StatusCode {
    let response = world.router.clone().oneshot(request(uri, hosts)).await.expect("an answer");
    response.status()
}

#[tokio::test]
async fn a_loopback_server_accepts_only_loopback_hosts() {
    let world = World::new().await;
    for host in ["localhost", "localhost:8765", "127.0.0.1:8765", "[::1]:8765", "LOCALHOST"] {
        assert_eq!(status(&world, "/v1/service", &[host]).await, StatusCode::OK, "{host}");
    }
    for host in ["evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1"] {
        assert_eq!(status(&world, "/v1/service", &[host]).await, StatusCode::BAD_REQUEST, "{host}");
    }
}

#[tokio::test]
async fn a_request_without_exactly_one_host_is_refused() {
    let world = World::new().await;
    for hosts in [&[][..], &[""], &["localhost", "localhost"], &["localhost", "evil.example"]] {
        assert_eq!(status(&world, "/v1/service", hosts).await, StatusCode::BAD_REQUEST, "{hosts:?}");
    }
    // In HTTP/2, the target contains the host.
    assert_eq!(status(&world, "http://localhost/v1/service", &[]).await, StatusCode::OK);
    assert_eq!(status(&world, "http://evil.example/v1/service", &[]).await, StatusCode::BAD_REQUEST);
    let mut foreign = request("/v1/service", &["evil.example"]);
    foreign.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    world.send(foreign).await.refused(Code::BadRequest);
}

#[tokio::test]
async fn allowed_hosts_are_served_as_well() {
    let world = World::with(|settings| settings.allowed_hosts = vec!["Chat.example.org".into()]).await;
    for host in ["chat.example.org", "chat.example.org:443", "localhost"] {
        assert_eq!(status(&world, "/v1/service", &[host]).await, StatusCode::OK, "{host}");
    }
    assert_eq!(status(&world, "/v1/service", &["example.org"]).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_public_server_accepts_any_host() {
    let world = World::with(|settings| {
        settings.listen = "0.0.0.0:8765".parse().expect("an address");
        settings.plain_http_anywhere = true;
    })
    .await;
    assert_eq!(status(&world, "/v1/service", &["chat.example.org"]).await, StatusCode::OK);
    assert_eq!(status(&world, "/v1/service", &[]).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_operators_address_checks_the_host() {
    let world = World::new().await;
    let router = operators::router(world.server.state());
    for (host, expected) in [("localhost:8766", StatusCode::OK), ("evil.example", StatusCode::BAD_REQUEST)] {
        let response = router.clone().oneshot(request("/metrics", &[host])).await.expect("an answer");
        assert_eq!(response.status(), expected, "{host}");
    }
}

/// These names contain an allowed name, or mean loopback in other programs.
#[tokio::test]
async fn a_host_that_only_looks_allowed_is_refused() {
    let world = World::new().await;
    for host in [
        "localhost@evil.example",
        "evil.example@localhost",
        "evil.example:8765@localhost",
        "localhost.",
        "localhost, evil.example",
        "0.0.0.0",
        "127.0.0.1.",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::1%25lo]",
        "localhost/",
        "localhost\\evil.example",
    ] {
        assert_eq!(status(&world, "/v1/service", &[host]).await, StatusCode::BAD_REQUEST, "{host}");
    }
}

/// The server ignores the host in headers of a proxy.
#[tokio::test]
async fn other_headers_do_not_name_the_host() {
    let world = World::new().await;
    for (name, value) in [("x-forwarded-host", "localhost"), ("forwarded", "host=localhost"), ("x-host", "localhost")] {
        let mut foreign = request("/v1/service", &["evil.example"]);
        foreign.headers_mut().insert(name, HeaderValue::from_static(value));
        world.send(foreign).await.refused(Code::BadRequest);
    }
}
