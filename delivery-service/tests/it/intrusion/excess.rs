//! Requests beyond the limits: rates, sizes and numbers.

use std::convert::Infallible;

use super::Scene;
use crate::{
    common::later,
    http::{Answer, World, name, request, room_path},
};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
};
use regrow_delivery_service::{
    GroupId, HandshakeMode,
    api::{self, Bytes, Code},
};
use serde_json::json;

#[tokio::test]
async fn guesses_of_tokens_are_limited() {
    let world = World::with(|settings| {
        settings.limits.address_burst = 5;
        settings.limits.address_requests_per_second = 1;
    })
    .await;
    // The test's setup has already sent one request.
    for _ in 0..4 {
        world.call("GET", "/v1/deliveries", Some(&"A".repeat(43)), None).await.refused(Code::NoSession);
    }
    world.call("GET", "/v1/deliveries", Some(&"A".repeat(43)), None).await.refused(Code::TooManyRequests);
    world.call("GET", "/nowhere", None, None).await.refused(Code::TooManyRequests);
    world.wait(1);
    world.call("GET", "/v1/deliveries", None, None).await.refused(Code::NoSession);
}

/// Sends a request without a session, from this address and with these headers.
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
async fn clients_cannot_choose_their_own_address() {
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
async fn a_trusted_proxy_names_its_clients_addresses() {
    let world = World::with(|settings| {
        settings.limits.address_burst = 2;
        settings.trusted_proxies = ["192.0.2.0/24", "2001:db8::1"].map(|text| text.parse().expect("a network")).into();
    })
    .await;
    let proxy = "192.0.2.1:1000";
    for _ in 0..2 {
        from(&world, proxy, &[("x-forwarded-for", "198.51.100.7")]).await.is(StatusCode::OK);
    }
    // The server recognizes the client through every proxy and despite its invented headers.
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
    // Another client and the proxy itself have their own rates.
    from(&world, proxy, &[("x-forwarded-for", "198.51.100.8")]).await.is(StatusCode::OK);
    for _ in 0..2 {
        from(&world, proxy, &[]).await.is(StatusCode::OK);
    }
    // A client that adds the other header is refused.
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
    // Another port counts as the same address, and so does another address in the same IPv6
    // network.
    from("192.0.2.1:2000").await.refused(Code::TooManyRequests);
    from("[::ffff:192.0.2.1]:3000").await.refused(Code::TooManyRequests);
    from("[2001:db8::2]:1000").await.refused(Code::TooManyRequests);
    from("192.0.2.2:1000").await.is(StatusCode::OK);
    from("[2001:db8:0:1::1]:1000").await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_device_cannot_be_in_too_many_groups() {
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
    let answer: api::UploadAnswer = world.call("POST", "/v1/key-packages", Some(&alice.token), Some(upload)).await.ok();
    assert_eq!((answer.key_packages.left, answer.refused.len()), (1, 1));
    assert_eq!((answer.refused[0].index, answer.refused[0].reason.as_str()), (1, "too-many-key-packages"));
}

/// A device that waits as told succeeds after at most two refusals.
#[tokio::test]
async fn a_device_that_waits_as_told_sends_large_bodies() {
    for announced in [true, false] {
        let world = World::with(|settings| {
            settings.limits.device_burst = 20;
            settings.limits.device_requests_per_second = 1;
        })
        .await;
        let alice = world.device("alice", "phone").await;
        let body = json!({ "message": "A".repeat(900_000) }).to_string();
        let large = || {
            let mut request = request("POST", &room_path("/messages"), Some(&alice.token), None);
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(api::JSON));
            if announced {
                request.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
            }
            // The body arrives in pieces, as from a connection.
            let pieces: Vec<_> =
                body.as_bytes().chunks(16_384).map(|piece| Ok::<_, Infallible>(piece.to_vec())).collect();
            *request.body_mut() = Body::from_stream(futures_util::stream::iter(pieces));
            world.send(request)
        };
        for round in 0..5 {
            let mut answer = large().await;
            // The first refusal may concern the request alone, while its body's length is unknown.
            for _ in 0..2 {
                if answer.status == StatusCode::TOO_MANY_REQUESTS {
                    world.wait(answer.problem().retry_after.expect("a time to wait"));
                    answer = large().await;
                }
            }
            // The group does not exist, but the device has paid for the request.
            assert_eq!(answer.problem().code, Code::NotFound, "round {round}, announced: {announced}");
        }
    }
}

#[tokio::test]
async fn a_commit_may_cost_more_than_a_full_burst() {
    let world = World::with(|settings| settings.limits.device_burst = 30).await;
    let alice = world.device("alice", "phone").await;
    world.wait(1);
    let added: Vec<_> = (0..1_000).map(|number| name("friend", &number.to_string())).collect();
    let commit =
        api::CommitRequest { commit: Vec::new().into(), welcome: None, group_info: None, added, removed: vec![] };
    world.post(&room_path("/commits"), Some(&alice.token), &commit).await.refused(Code::NotFound);
    let refused = world.post(&room_path("/commits"), Some(&alice.token), &commit).await.refused(Code::TooManyRequests);
    world.wait(refused.retry_after.expect("a time to wait"));
    world.post(&room_path("/commits"), Some(&alice.token), &commit).await.refused(Code::NotFound);
}
