//! Attacks on key packages and claims of other devices.

use super::{Scene, stock};
use crate::{common::later, http::World};
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
async fn nobody_uses_up_another_devices_key_packages() {
    let world = World::with(|settings| settings.limits.claims_per_device_and_hour = 2).await;
    let scene = Scene::of(world, HandshakeMode::Assisted).await;
    stock(&scene, &scene.alice, 5).await;
    for _ in 0..2 {
        scene.world.claim(&scene.mallory.token, "alice").await.is(StatusCode::OK);
    }
    let by_name = json!({ "user": "alice", "device": "phone" });
    for _ in 0..3 {
        scene.world.claim(&scene.mallory.token, "alice").await.refused(Code::ClaimedTooOften);
        scene.as_mallory("POST", "/v1/key-packages/claims", Some(by_name.clone())).await.refused(Code::ClaimedTooOften);
    }
    let left: api::KeyPackagesLeft =
        scene.world.call("GET", "/v1/key-packages", Some(&scene.alice.token), None).await.ok();
    assert_eq!(left.left, 3);
    // Others may still claim, and Mallory may claim again later.
    scene.world.claim(&scene.bob.token, "alice").await.is(StatusCode::OK);
    scene.world.wait(1_800);
    scene.world.claim(&scene.mallory.token, "alice").await.is(StatusCode::OK);
}

#[tokio::test]
async fn a_refused_claim_takes_no_key_package() {
    let world = World::with(|settings| settings.limits.claims_per_device_and_hour = 1).await;
    let scene = Scene::of(world, HandshakeMode::Assisted).await;
    let laptop = scene.world.device("alice", "laptop").await;
    stock(&scene, &scene.alice, 1).await;
    stock(&scene, &laptop, 1).await;
    let by_name = json!({ "user": "alice", "device": "phone" });
    scene.as_mallory("POST", "/v1/key-packages/claims", Some(by_name)).await.is(StatusCode::OK);
    scene.world.claim(&scene.mallory.token, "alice").await.refused(Code::ClaimedTooOften);
    let left: api::KeyPackagesLeft = scene.world.call("GET", "/v1/key-packages", Some(&laptop.token), None).await.ok();
    assert_eq!(left.left, 1);
}

#[tokio::test]
async fn a_key_package_of_the_users_other_device_is_refused() {
    let scene = Scene::new().await;
    let laptop = scene.world.device("alice", "laptop").await;
    let client = scene.alice.client();
    let upload = api::UploadRequest {
        key_packages: vec![client.upload(0, u64::MAX, false).into()],
        last_resort: Some(client.upload(0, u64::MAX, true).into()),
    };
    let answer: api::UploadAnswer = scene.world.post("/v1/key-packages", Some(&laptop.token), &upload).await.ok();
    let reasons: Vec<_> = answer.refused.iter().map(|refused| refused.reason.as_str()).collect();
    assert_eq!(reasons, ["of-another-device"; 2]);
    let claim = json!({ "user": "alice", "device": "laptop" });
    let claimed: api::ClaimAnswer = scene.as_mallory("POST", "/v1/key-packages/claims", Some(claim)).await.ok();
    assert!(claimed.key_packages.is_empty());
}

#[tokio::test]
async fn a_key_package_uploaded_twice_is_handed_out_once() {
    let scene = Scene::new().await;
    let once = Bytes(scene.bob.client().upload(0, u64::MAX, false));
    let twice = json!({ "key_packages": [once.clone(), once.clone()] });
    for _ in 0..2 {
        let token = Some(scene.bob.token.as_str());
        let stored: api::UploadAnswer =
            scene.world.call("POST", "/v1/key-packages", token, Some(twice.clone())).await.ok();
        assert_eq!((stored.key_packages.left, stored.refused.len()), (1, 0));
    }
    let claimed: api::ClaimAnswer = scene.world.claim(&scene.mallory.token, "bob").await.ok();
    assert_eq!(claimed.key_packages[0].key_package, once);
    // Neither an upload nor a replacement stores the key package again.
    for method in ["POST", "PUT"] {
        let stored: api::UploadAnswer =
            scene.world.call(method, "/v1/key-packages", Some(&scene.bob.token), Some(twice.clone())).await.ok();
        assert_eq!(stored.key_packages.left, 0, "{method}");
    }
}

#[tokio::test]
async fn expired_key_packages_are_not_handed_out() {
    let scene = Scene::new().await;
    let upload = json!({ "key_packages": [Bytes(scene.bob.client().upload(0, later(60).0, false))] });
    let token = Some(scene.bob.token.as_str());
    scene.world.call("POST", "/v1/key-packages", token, Some(upload.clone())).await.is(StatusCode::OK);
    scene.world.wait(60);
    let claimed: api::ClaimAnswer = scene.world.claim(&scene.mallory.token, "bob").await.ok();
    assert!(claimed.key_packages.is_empty());
    let again: api::UploadAnswer = scene.world.call("PUT", "/v1/key-packages", token, Some(upload)).await.ok();
    assert_eq!(again.refused[0].reason, "expired");
}
