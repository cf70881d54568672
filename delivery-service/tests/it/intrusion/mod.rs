//! Intrusion attempts. Each attempt fails because of one check in the service, and its test fails
//! without this check.
//!
//! Attempts to register are in `server_admission` and `server_jwt`. Attempts to open too many
//! streams are in `server_stream`.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod additions;
mod bodies;
mod challenges;
mod connections;
mod devices;
mod endings;
mod excess;
mod key_packages;
mod members;
mod names;
mod sessions;
mod stalls;
mod strangers;
mod votes;
mod wakes;

use crate::{
    common::Member,
    http::{Answer, Device, World},
};
use axum::http::StatusCode;
use regrow_delivery_service::{HandshakeMode, api::Bytes};
use serde_json::{Value, json};

/// Alice and Bob are in a group. Mallory is a registered device that attacks.
struct Scene {
    world: World,
    alice: Device,
    bob: Device,
    mallory: Device,
    members: Vec<Member>,
}

impl Scene {
    async fn new() -> Self {
        Self::of(World::new().await, HandshakeMode::Assisted).await
    }

    async fn of(world: World, mode: HandshakeMode) -> Self {
        let (alice, bob) = (world.device("alice", "phone").await, world.device("bob", "phone").await);
        let mallory = world.device("mallory", "phone").await;
        let members = world.group(mode, &[&alice, &bob]).await;
        Self { world, alice, bob, mallory, members }
    }

    async fn as_mallory(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.world.call(method, path, Some(&self.mallory.token), body).await
    }

    /// Alice removes Bob from the group.
    async fn remove_bob(&mut self) {
        let removal = self.members[0].commit(&[], &[&self.bob.id()]);
        self.world.commit(&self.alice, &removal).await.is(StatusCode::OK);
        self.members[0].confirm();
    }
}

fn json<T: serde::Serialize>(value: &T) -> Option<Value> {
    Some(serde_json::to_value(value).expect("JSON"))
}

async fn stock(scene: &Scene, device: &Device, count: usize) {
    let client = device.client();
    let key_packages: Vec<_> = (0..count).map(|_| Bytes(client.upload(0, u64::MAX, false))).collect();
    let upload = json!({ "key_packages": key_packages });
    scene.world.call("POST", "/v1/key-packages", Some(&device.token), Some(upload)).await.is(StatusCode::OK);
}
