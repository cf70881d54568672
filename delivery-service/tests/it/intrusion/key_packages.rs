//! Key packages and claims of other devices.

use super::{Scene, stock};
use crate::http::World;
use axum::http::StatusCode;
use regrow_delivery_service::{
    HandshakeMode,
    api::{self, Bytes, Code},
};
use serde_json::json;

#[tokio::test]
async fn a_key_package_of_another_device_is_not_stored() {
    let scene = Scene::new().await;
    let upload = json!({ "key_packages": [Bytes(scene.alice.client().upload(0, u64::MAX, false))] });
    let answer: api::UploadAnswer = scene.as_mallory("POST", "/v1/key-packages", Some(upload)).await.ok();
    assert_eq!((answer.key_packages.left, answer.refused[0].reason.as_str()), (0, "of-another-device"));
}

#[tokio::test]
async fn nobody_drains_the_key_packages_of_another() {
    let world = World::with(|settings| settings.limits.claims_per_device_and_hour = 2).await;
    let scene = Scene::of(world, HandshakeMode::Assisted).await;
    stock(&scene, &scene.alice, 5).await;
    for _ in 0..2 {
        scene.world.claim(&scene.mallory.token, "alice").await.is(StatusCode::OK);
    }
    let by_name = json!({ "user": "alice", "device": "phone" });
    for _ in 0..3 {
        scene.world.claim(&scene.mallory.token, "alice").await.refused(Code::TooManyRequests);
        scene.as_mallory("POST", "/v1/key-packages/claims", Some(by_name.clone())).await.refused(Code::TooManyRequests);
    }
    let left: api::KeyPackagesLeft =
        scene.world.call("GET", "/v1/key-packages", Some(&scene.alice.token), None).await.ok();
    assert_eq!(left.left, 3);
    // Others still may, and so does Mallory, later.
    scene.world.claim(&scene.bob.token, "alice").await.is(StatusCode::OK);
    scene.world.wait(1_800);
    scene.world.claim(&scene.mallory.token, "alice").await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_claim_that_is_refused_takes_nothing_of_any_device() {
    let world = World::with(|settings| settings.limits.claims_per_device_and_hour = 1).await;
    let scene = Scene::of(world, HandshakeMode::Assisted).await;
    let laptop = scene.world.device("alice", "laptop").await;
    stock(&scene, &scene.alice, 1).await;
    stock(&scene, &laptop, 1).await;
    let by_name = json!({ "user": "alice", "device": "phone" });
    scene.as_mallory("POST", "/v1/key-packages/claims", Some(by_name)).await.is(StatusCode::OK);
    scene.world.claim(&scene.mallory.token, "alice").await.refused(Code::TooManyRequests);
    let left: api::KeyPackagesLeft = scene.world.call("GET", "/v1/key-packages", Some(&laptop.token), None).await.ok();
    assert_eq!(left.left, 1);
}
