//! Nodes over one PostgreSQL database: the owner of the store, and requests at any node.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(all(feature = "server", unix))]

mod nodes;

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use regrow_delivery_service::{
    Limits, StoreError,
    api::{self, Code},
    server::{cluster::JoinError, settings::Settings},
    store::postgres::PostgresStore,
};
use serde_json::json;
use tokio::time::sleep;

use self::nodes::{Http, RunningNode, Secrets, settings};
use crate::{
    common::postgres::{Cluster, StoreAddress},
    http::Key,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// The lease of all nodes.
const LEASE: Duration = Duration::from_secs(2);

/// Waits until the condition holds.
async fn until(condition: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the condition does not hold");
        sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

/// Starts nodes over a new store. The first one owns it.
async fn nodes(count: usize) -> Option<(StoreAddress, Settings, Vec<RunningNode>, Secrets)> {
    let (store, secrets) = (Cluster::shared()?.schema(), Secrets::new(SECRET));
    let settings = settings(&store, &secrets);
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(RunningNode::start(&settings).await);
    }
    assert!(nodes[0].owns() && nodes[1..].iter().all(|node| !node.owns()));
    Some((store, settings, nodes, secrets))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_takes_every_request() {
    let Some((_, _, nodes, _secrets)) = nodes(3).await else { return };
    let [owner, second, third] = [nodes[0].http(), nodes[1].http(), nodes[2].http()];
    assert_eq!(owner.key().await, second.key().await);
    let key = Key::new("alice", "phone");
    let token = second.device(&key).await;
    let mut member = third.group(&key, &token).await;
    let mut stream = second.stream(&token, None).await;
    for (cursor, node) in [(1, &owner), (2, &second), (3, &third)] {
        node.send(&token, &member.send("hello")).await.is(StatusCode::OK);
        assert_eq!(stream.next().await, Some(cursor));
    }
    // A stream goes on at another node.
    drop(stream);
    let mut stream = third.stream(&token, Some(1)).await;
    assert_eq!([stream.next().await, stream.next().await], [Some(2), Some(3)]);
    // The end of the session at one node ends the stream at another one.
    second.call("DELETE", "/v1/sessions/current", Some(&token), None).await.is(StatusCode::NO_CONTENT);
    assert_eq!(stream.next().await, None);
    third.call("GET", "/v1/deliveries", Some(&token), None).await.refused(Code::NoSession);
    let text = nodes[1].node.metrics().text();
    assert!(text.contains(r#"regrow_ds_cluster_forwarded_total{outcome="answered"}"#), "{text}");
    assert!(
        text.contains(r#"regrow_ds_requests_total{method="POST",route="/v1/challenges",status="2xx"} 2"#),
        "{text}"
    );
    assert!(nodes[0].node.metrics().text().contains(r#"regrow_ds_database_seconds_count{kind="commit"}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_bodies_of_all_sizes_pass_a_node() {
    let Some((_, settings, nodes, _secrets)) = nodes(2).await else { return };
    let http = nodes[1].http();
    let key = Key::new("alice", "phone");
    let token = http.device(&key).await;
    let mut member = http.group(&key, &token).await;
    let large = "x".repeat(300_000);
    http.send(&token, &member.send(&large)).await.is(StatusCode::OK);
    let page: api::DeliveryPage = http.call("GET", "/v1/deliveries", Some(&token), None).await.ok();
    assert!(page.deliveries[0].bytes.0.len() > 300_000);
    assert_eq!(http.call("GET", "/v1/nothing", None, None).await.refused(Code::NotFound).status, 404);
    http.call("GET", "/v1/deliveries", None, None).await.refused(Code::NoSession);
    http.call("PUT", "/v1/groups", Some(&token), None).await.refused(Code::MethodNotAllowed);
    let max = settings.limits.ordering.max_body_bytes * 4;
    let refused = http.try_call("POST", "/v1/groups", Some(&token), Some(&json!({ "group": "x".repeat(max) }))).await;
    // The client may notice the closed connection before the answer.
    if let Ok(refused) = refused {
        refused.refused(Code::TooLarge);
    }
    let cbor = http.client.get(format!("{}/v1/nothing", http.base)).header("accept", api::CBOR);
    assert_eq!(cbor.send().await.unwrap().headers()["content-type"], api::CBOR);
    let foreign = http.client.get(format!("{}/v1/service", http.base)).header("host", "evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_has_one_owner_while_its_owner_works() {
    let Some(cluster) = Cluster::shared() else { return };
    let (store, secrets) = (cluster.schema(), Secrets::new(SECRET));
    let settings = settings(&store, &secrets);
    let starts = (0..3).map(|_| {
        let settings = settings.clone();
        tokio::spawn(async move { RunningNode::start(&settings).await })
    });
    let mut nodes = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        nodes.push(start.await.unwrap());
    }
    let owners = |nodes: &[RunningNode]| nodes.iter().map(RunningNode::owns).collect::<Vec<_>>();
    let before = owners(&nodes);
    assert_eq!(before.iter().filter(|owns| **owns).count(), 1);
    sleep(LEASE * 2).await;
    assert_eq!(owners(&nodes), before);
    assert!(nodes.iter().all(|node| node.metric("cluster_term") == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_leaves_hands_the_store_over() {
    let Some((store, _, mut nodes, _secrets)) = nodes(2).await else { return };
    let (owner, http) = (nodes.remove(0), nodes[0].http());
    let key = Key::new("alice", "phone");
    let token = http.device(&key).await;
    let mut member = http.group(&key, &token).await;
    let mut stream = http.stream(&token, None).await;
    http.send(&token, &member.send("hello")).await.is(StatusCode::OK);
    assert_eq!(stream.next().await, Some(1));
    let stopping = tokio::spawn(owner.stop());
    // No request fails meanwhile: the node holds it until it owns the store.
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    while begun.elapsed() < LEASE {
        let sent = Instant::now();
        http.send(&token, &member.send("hello")).await.is(StatusCode::OK);
        longest = longest.max(sent.elapsed());
    }
    assert!(nodes[0].owns());
    assert!(longest < LEASE, "the store was away for {longest:?}");
    stopping.await.unwrap();
    assert_eq!(store.open_beside().check().unwrap(), []);
    // The stream of the former owner has ended. Another one goes on after its last event.
    let mut last = 1;
    while let Some(cursor) = stream.next().await {
        assert_eq!(cursor, last + 1);
        last = cursor;
    }
    let mut stream = http.stream(&token, Some(last)).await;
    assert_eq!(stream.next().await, Some(last + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_other_settings_is_refused_by_name() {
    let Some((_, own, nodes, _secrets)) = nodes(1).await else { return };
    let refused = |change: fn(&mut Settings)| {
        let mut other = own.clone();
        change(&mut other);
        async move { RunningNode::join(&other, 0).await.map(drop).map_err(|error| error.to_string()) }
    };
    let seconds = Limits::default().retention_seconds;
    let error = refused(|settings| settings.limits.ordering.retention_seconds = 60).await.unwrap_err();
    let expected = format!("`limits.ordering.retention_seconds` is 60 here and {seconds} there");
    assert!(error.contains(&expected), "{error}");
    assert!(error.contains(&nodes[0].addresses.nodes.unwrap().to_string()), "{error}");
    let error = refused(|settings| settings.cluster.as_mut().unwrap().lease_seconds = 9).await.unwrap_err();
    assert!(error.contains("`cluster.lease_seconds` is 9 here and 2 there"), "{error}");
    // Sizes of a machine may differ.
    refused(|settings| settings.limits.memory_bytes *= 2).await.unwrap();
    refused(|settings| {
        settings.limits.ordering.retention_seconds = 60;
        settings.cluster.as_mut().unwrap().replace_settings = true;
    })
    .await
    .unwrap();

    let other = Secrets::new("fedcba9876543210fedcba9876543210");
    let mut changed = own.clone();
    changed.cluster.as_mut().unwrap().secret_file = other.path.clone();
    let error = RunningNode::join(&changed, 0).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("the secret in cluster.secret_file is another one"), "{error}");

    let mut same = own.clone();
    same.cluster.as_mut().unwrap().advertise = Some(nodes[0].addresses.nodes.unwrap().to_string());
    let error = RunningNode::join(&same, 0).await.map(drop).unwrap_err();
    assert!(matches!(error, JoinError::SameAddress { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_cluster_leaves_the_store_to_the_nodes() {
    let Some((store, _, mut nodes, _secrets)) = nodes(1).await else { return };
    let (address, owned) = (store.address(), nodes[0].addresses.nodes.unwrap().to_string());
    let refused = tokio::task::spawn_blocking(move || PostgresStore::open(address).map(drop)).await.unwrap();
    assert!(matches!(refused, Err(StoreError::OwnedByNode { node }) if node == owned));
    assert!(nodes[0].owns());
    nodes.remove(0).stop().await;
    let store = tokio::task::spawn_blocking(move || store.open()).await.unwrap();
    assert_eq!(store.term(), Some(2));
}

/// Without the address that nodes tell each other, all clients of a node would share one limit.
/// With a header that clients may set, each could choose another address.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_an_address_holds_over_all_nodes() {
    let Some(cluster) = Cluster::shared() else { return };
    let (store, secrets) = (cluster.schema(), Secrets::new(SECRET));
    let mut settings = settings(&store, &secrets);
    settings.limits.address_burst = 20;
    settings.limits.address_requests_per_second = 1;
    settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let nodes = [RunningNode::start(&settings).await, RunningNode::start(&settings).await];
    let ask = async |http: &Http, client: &str, number: usize| {
        let request = http.client.get(format!("{}/v1/service", http.base)).header("x-forwarded-for", client);
        request.header("x-regrow-client", format!("198.51.100.{number}")).send().await.unwrap().status()
    };
    let mut answered = 0;
    for number in 0..60 {
        let status = ask(&nodes[number % 2].http(), "203.0.113.1", number).await;
        assert!(status == StatusCode::OK || status == StatusCode::TOO_MANY_REQUESTS, "{status}");
        answered += usize::from(status == StatusCode::OK);
    }
    assert!((20..30).contains(&answered), "{answered}");
    assert_eq!(ask(&nodes[1].http(), "203.0.113.2", 0).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_reach_the_address_for_nodes() {
    let Some((_, _, nodes, _secrets)) = nodes(1).await else { return };
    let http = nodes[0].http();
    let inside = nodes[0].addresses.nodes.unwrap();
    for scheme in ["http", "https"] {
        let request = http.client.get(format!("{scheme}://{inside}/v1/service"));
        assert!(request.header("x-regrow-client", "203.0.113.1").send().await.is_err(), "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_off_takes_nothing_and_deletes_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let (store, secrets) = (cluster.schema(), Secrets::new(SECRET));
    let mut settings = settings(&store, &secrets);
    settings.limits.ordering.retention_seconds = 600;
    let fast_settings = settings.clone();
    settings.clock_confirm_seconds = 1;
    let first = RunningNode::start(&settings).await;
    let fast = RunningNode::join(&fast_settings, 3_600).await.unwrap();
    let http = fast.http();
    let key = Key::new("alice", "phone");
    let token = http.device(&key).await;
    let mut member = http.group(&key, &token).await;
    http.send(&token, &member.send("hello")).await.is(StatusCode::OK);
    sleep(LEASE * 2).await;
    assert!(first.owns() && !fast.owns());
    first.stop().await;
    until(|| fast.owns()).await;
    // By that clock, the session is over. The device logs in again.
    let token = http.session(&key).await;
    http.send(&token, &member.send("hello")).await.is(StatusCode::OK);
    // The upkeep of the new owner has run, and has not deleted the entries as too old.
    sleep(Duration::from_secs(2)).await;
    let page: api::DeliveryPage = http.call("GET", "/v1/deliveries", Some(&token), None).await.ok();
    assert_eq!(page.deliveries.len(), 2);
    assert_eq!(fast.metric("clock_confirmed"), 0);
}
