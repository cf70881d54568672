//! Malformed and oversized bodies and headers.

use super::Scene;
use crate::http::{Answer, World, name, request, room_path};
use axum::{
    body::{Body, Bytes as Chunk},
    http::{Request, StatusCode, header},
};
use regrow_delivery_service::{
    HandshakeMode,
    api::{self, Bytes, Code},
};
use serde_json::json;

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
async fn the_body_limit_is_lower_without_a_session() {
    let world = World::new().await;
    let challenge = json!({ "device": { "user": "A".repeat(70_000), "device": "phone" } });
    world.call("POST", "/v1/challenges", None, Some(challenge)).await.refused(Code::TooLarge);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let world = World::with(|settings| settings.limits.ordering.max_body_bytes = 10_000).await;
    let scene = Scene::of(world, HandshakeMode::Assisted).await;
    let large = json!({ "message": Bytes(vec![0; 10_001]) });
    let path = room_path("/messages");
    scene.world.call("POST", &path, Some(&scene.alice.token), Some(large)).await.refused(Code::TooLarge);
}

#[tokio::test]
async fn a_body_that_never_arrives_times_out() {
    let world = World::with(|settings| settings.limits.request_seconds = 0).await;
    let never = futures_util::stream::pending::<Result<Chunk, std::io::Error>>();
    let request = Request::post("/v1/challenges")
        .header(header::CONTENT_TYPE, api::JSON)
        .body(Body::from_stream(never))
        .expect("a request");
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), world.send(request)).await;
    answer.expect("the server still waits for the body").refused(Code::Timeout);
}

#[tokio::test]
async fn deeply_nested_bodies_are_refused() {
    let world = World::new().await;
    let json = ["[".repeat(60_000), "{\"device\":".repeat(6_000)];
    for body in json.map(String::into_bytes) {
        send_raw(&world, api::JSON, body).await.refused(Code::BadRequest);
    }
    // Arrays of one element, maps of one entry, tags, and arrays, maps and strings of indefinite
    // length.
    for head in [[0x81], [0xA1], [0xC1], [0x9F], [0xBF], [0x7F], [0x5F]] {
        send_raw(&world, api::CBOR, head.repeat(60_000)).await.refused(Code::BadRequest);
    }
}

async fn send_raw(world: &World, media_type: &str, body: Vec<u8>) -> Answer {
    let request = Request::post("/v1/challenges").header(header::CONTENT_TYPE, media_type);
    world.send(request.body(Body::from(body)).expect("a request")).await
}

#[tokio::test]
async fn a_long_list_of_empty_items_is_refused() {
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
async fn declared_lengths_beyond_the_body_are_refused() {
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
async fn bytes_after_the_body_are_refused() {
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
async fn a_duplicate_field_is_refused() {
    let world = World::new().await;
    let twice = r#"{"device":{"user":"alice","device":"phone"},"device":{"user":"mallory","device":"phone"}}"#;
    send_raw(&world, api::JSON, twice.into()).await.refused(Code::BadRequest);
}

#[tokio::test]
async fn two_media_types_are_refused() {
    let world = World::new().await;
    let body = json!({ "device": name("alice", "phone") });
    let mut request = request("POST", "/v1/challenges", None, Some(body));
    request.headers_mut().append(header::CONTENT_TYPE, api::CBOR.parse().expect("a header"));
    world.send(request).await.refused(Code::UnsupportedMediaType);
}

#[tokio::test]
async fn a_malformed_cursor_resumes_nothing() {
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
