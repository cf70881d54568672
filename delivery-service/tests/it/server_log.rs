//! The log contains no names, tokens, paths or bodies of clients.
//!
//! There is only one test, because a process has only one log.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(feature = "server")]

use std::{
    io,
    sync::{Arc, Mutex},
};

use crate::http::World;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request},
    middleware,
};
use data_encoding::BASE64URL_NOPAD;
use regrow_delivery_service::{
    HandshakeMode,
    api::{Admission, JSON},
    server::{
        log,
        settings::{LogFormat, LogSettings},
    },
};
use tower::ServiceExt as _;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn send(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> HeaderMap {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    response.headers().clone()
}

#[tokio::test]
async fn no_log_line_contains_client_data() {
    let captured = Captured::default();
    let writer = captured.clone();
    let settings = LogSettings { level: "trace".into(), format: LogFormat::Json };
    log::start(&settings, move || writer.clone()).unwrap();

    let mut world = World::new().await;
    let metrics = world.server.state().metrics().clone();
    let router = world.router.clone().layer(middleware::from_fn_with_state(metrics, log::follow));
    world.router = router.clone();

    // Valid requests with names, a group and messages.
    let alice = world.device("marker-user", "marker-device").await;
    let bob = world.device("marker-other", "marker-device").await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let message = members[0].send("hello");
    world.message(&alice, &message).await;
    world.claim(&alice.token, "marker-other").await;
    // Invalid requests.
    world.message(&alice, b"marker-message").await;
    let stale = members[1].update();
    world.commit(&bob, &stale).await;
    world.commit(&alice, &members[0].update()).await;
    let stranger = crate::http::Key::new("marker-stranger", "marker-device");
    world.register(&stranger, Some(Admission::Invitation("marker-invitation".into()))).await;
    for (method, path, headers, body) in [
        ("GET", "/marker-path?marker-query=marker-value", &[][..], ""),
        ("GET", "/v1/users/marker-user/devices", &[("authorization", "Bearer marker-token")], ""),
        ("GET", "/v1/groups/marker-group", &[("authorization", "marker-token")], "marker-body"),
        ("marker-method", "/v1/service", &[], ""),
        ("POST", "/v1/challenges", &[("content-type", JSON)], "{\"marker-field\": \"marker-value\"}"),
        ("POST", "/v1/challenges", &[("content-type", "marker/type"), ("accept", "marker/type")], "marker-body"),
        ("GET", "/v1/service", &[("x-request-id", "marker-request"), ("marker-header", "marker-value")], ""),
        ("GET", "/v1/stream?after=marker", &[("last-event-id", "marker-event")], ""),
    ] {
        send(&router, method, path, headers, body).await;
    }

    // The answer repeats a well-formed request identifier. The server replaces any other.
    let given = "0123abcd-0000-4000-8000-0123456789ab";
    let answered = send(&router, "GET", "/v1/service", &[("x-request-id", given)], "").await;
    assert_eq!(answered["x-request-id"], given);
    let answered = send(&router, "GET", "/v1/service", &[("x-request-id", "marker-request")], "").await;
    let fresh = answered["x-request-id"].to_str().unwrap().to_owned();
    assert!(fresh.len() == 32 && fresh.bytes().all(|byte| byte.is_ascii_hexdigit()), "{fresh}");

    // After the stop, the server's thread has written all its lines.
    world.server.stop().await;
    let text = captured.text();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered: Vec<_> = lines.iter().filter(|line| line["message"] == "answered").collect();
    assert!(answered.len() > 20, "{text}");
    for id in [given, &fresh] {
        assert!(answered.iter().any(|line| line["span"]["id"] == id), "{id} is not in {text}");
    }
    assert!(answered.iter().any(|line| line["route"] == "/v1/groups/{group}/commits"), "{text}");

    let encoded = BASE64URL_NOPAD.encode(crate::common::room().as_bytes());
    let secret = [alice.token.as_str(), bob.token.as_str(), encoded.as_str(), "marker", "127.0.0.1"];
    for line in text.lines() {
        for secret in secret {
            assert!(!line.contains(secret), "{secret} is in {line}");
        }
    }
}
