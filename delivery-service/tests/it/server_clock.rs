//! A wall clock that jumps. The server loses nothing and refuses nobody because of it.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use crate::common::NOW;
use crate::http::{Device, World, room_path};
use axum::http::StatusCode;
use regrow_delivery_service::{HandshakeMode, SqliteStore, api::Code};

const HOUR: u64 = 3_600;
const DAY: i64 = 24 * 3_600;

/// Creates a group in which Bob has not yet read his welcome and a message.
async fn with_unread(world: &World) -> (Device, Device) {
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let hello = members[0].send("hello");
    world.message(&alice, &hello).await.is(StatusCode::OK);
    (alice, bob)
}

async fn unread(world: &World, device: &Device) -> usize {
    world.read(&world.token(&device.key).await, 0).await.len()
}

/// Lets enough time pass for the server to confirm the clock.
async fn confirm(world: &World) {
    world.server.state().upkeep().await;
    world.wait(HOUR);
    world.server.state().upkeep().await;
    assert!(world.metrics().contains("regrow_ds_clock_confirmed 1"), "{}", world.metrics());
}

#[tokio::test]
async fn a_clock_set_back_an_hour_refuses_nobody() {
    let world = World::with(|settings| {
        settings.limits.device_burst = 8;
        settings.limits.address_burst = 20;
    })
    .await;
    let alice = world.device("alice", "phone").await;
    world.call("GET", "/v1/key-packages", Some(&alice.token), None).await.is(StatusCode::OK);
    world.jump(-3_600);
    for _ in 0..2 {
        world.call("GET", "/v1/key-packages", Some(&alice.token), None).await.is(StatusCode::OK);
    }
    world.open_session(&alice.key).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_clock_ahead_for_seconds_deletes_nothing() {
    let world = World::new().await;
    let (alice, bob) = with_unread(&world).await;
    confirm(&world).await;
    assert_eq!(unread(&world, &bob).await, 2);
    world.jump(31 * DAY);
    for _ in 0..3 {
        world.wait(1);
        world.server.state().upkeep().await;
    }
    let token = world.token(&alice.key).await;
    world.jump(-31 * DAY);
    world.server.state().upkeep().await;
    assert_eq!(unread(&world, &bob).await, 2);
    world.call("GET", "/v1/key-packages", Some(&token), None).await.is(StatusCode::OK);
    assert!(world.metrics().contains("regrow_ds_clock_jumps_total 1"), "{}", world.metrics());
}

#[tokio::test]
async fn confirmed_time_deletes_old_entries() {
    let world = World::new().await;
    let (_, bob) = with_unread(&world).await;
    confirm(&world).await;
    world.jump(31 * DAY);
    confirm(&world).await;
    assert_eq!(unread(&world, &bob).await, 0);
}

#[tokio::test]
async fn unconfirmed_clock_jumps_delete_nothing() {
    let world = World::new().await;
    let (_, bob) = with_unread(&world).await;
    confirm(&world).await;
    // Each jump leads to a different time.
    for _ in 0..10 {
        world.jump(31 * DAY);
        world.server.state().upkeep().await;
        world.wait(HOUR - 1);
        world.server.state().upkeep().await;
    }
    assert_eq!(unread(&world, &bob).await, 2);
}

#[tokio::test]
async fn entries_written_while_the_clock_is_behind_are_kept() {
    let world = World::new().await;
    confirm(&world).await;
    world.jump(-40 * DAY);
    let (_, bob) = with_unread(&world).await;
    world.jump(40 * DAY);
    confirm(&world).await;
    assert_eq!(unread(&world, &bob).await, 2);
}

#[tokio::test]
async fn a_session_survives_a_clock_jump_and_ends_on_time() {
    let world = World::new().await;
    let alice = world.device("alice", "phone").await;
    for jump in [DAY, -30 * DAY] {
        world.jump(jump);
        world.server.state().upkeep().await;
        world.call("GET", "/v1/key-packages", Some(&alice.token), None).await.is(StatusCode::OK);
    }
    world.wait(HOUR);
    world.call("GET", "/v1/key-packages", Some(&alice.token), None).await.refused(Code::NoSession);
}

async fn start(path: &Path, wall: u64) -> World {
    World::started_at(wall, SqliteStore::open(path).expect("a store"), |_| {}).await
}

#[tokio::test]
async fn a_restart_with_another_clock_deletes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let world = start(&path, NOW.0).await;
    let (_, bob) = with_unread(&world).await;
    confirm(&world).await;
    world.server.stop().await;

    for wall in [NOW.0 + 31 * DAY as u64, 1_000, NOW.0 + HOUR] {
        let world = start(&path, wall).await;
        world.server.state().upkeep().await;
        world.wait(HOUR - 1);
        world.server.state().upkeep().await;
        assert_eq!(unread(&world, &bob).await, 2, "started at {wall}");
        world.server.stop().await;
    }
}

#[tokio::test]
async fn a_restart_with_the_clock_behind_uses_the_stored_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let world = start(&path, NOW.0).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    confirm(&world).await;
    world.server.stop().await;

    // A clock without a battery starts in 1970.
    let world = start(&path, 0).await;
    let tokens = [world.token(&alice.key).await, world.token(&bob.key).await];
    let [alice, bob] = [(alice, &tokens[0]), (bob, &tokens[1])]
        .map(|(device, token)| Device { key: device.key, token: token.clone() });
    world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let read = world.read(&bob.token, 0).await;
    assert!(read[0].time >= NOW.0, "{}", read[0].time);
}

#[tokio::test]
async fn sessions_continue_after_a_short_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let world = start(&path, NOW.0).await;
    let alice = world.device("alice", "phone").await;
    world.server.stop().await;
    let world = start(&path, NOW.0 + 60).await;
    world.call("GET", "/v1/key-packages", Some(&alice.token), None).await.is(StatusCode::OK);
    world.wait(HOUR - 60);
    world.call("GET", "/v1/key-packages", Some(&alice.token), None).await.refused(Code::NoSession);
}

#[tokio::test]
async fn clock_ahead_for_seconds_ends_no_invitation_and_no_claim() {
    let world = World::new().await;
    confirm(&world).await;
    let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
    let carol = world.device("carol", "phone").await;
    let mut members = world.group(HandshakeMode::Assisted, &[&alice, &bob]).await;
    let claimed = world.claimed(&alice, &carol, &carol.client()).await;
    world.jump(31 * DAY);
    world.server.state().upkeep().await;
    world.jump(-31 * DAY);
    world.server.state().upkeep().await;
    world.call("PUT", &room_path("/membership"), Some(&bob.token), None).await.is(StatusCode::NO_CONTENT);
    world.commit(&alice, &members[0].commit(&[claimed], &[])).await.is(StatusCode::OK);
}
