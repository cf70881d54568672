//! Challenges and their proofs.

use super::Scene;
use crate::http::{Key, World};
use axum::http::StatusCode;
use ed25519_dalek::Signer as _;
use regrow_delivery_service::{
    HandshakeMode, ServicePublicKey,
    api::{self, Code, proof},
};

#[tokio::test]
async fn a_challenge_is_not_used_twice() {
    let scene = Scene::new().await;
    let challenge = scene.world.challenge(&scene.alice.key.name).await;
    let overheard = scene.alice.key.session(&scene.world.key, &challenge);
    scene.world.post("/v1/sessions", None, &overheard).await.is(StatusCode::CREATED);
    scene.world.post("/v1/sessions", None, &overheard).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_challenge_expires() {
    let scene = Scene::new().await;
    let challenge = scene.world.challenge(&scene.alice.key.name).await;
    scene.world.wait(60);
    let late = scene.alice.key.session(&scene.world.key, &challenge);
    scene.world.post("/v1/sessions", None, &late).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_challenge_of_another_device_is_refused() {
    let scene = Scene::new().await;
    let challenge = scene.world.challenge(&scene.mallory.key.name).await;
    let relayed = scene.alice.key.session(&scene.world.key, &challenge);
    scene.world.post("/v1/sessions", None, &relayed).await.refused(Code::BadProof);
}

#[tokio::test]
async fn an_invented_challenge_is_refused() {
    let scene = Scene::new().await;
    for challenge in [[0; 32].as_slice(), b"", &[7; 1_000]] {
        let request = scene.alice.key.session(&scene.world.key, challenge);
        scene.world.post("/v1/sessions", None, &request).await.refused(Code::BadProof);
    }
}

#[tokio::test]
async fn challenges_in_another_devices_name_do_not_block_its_login() {
    let scene = Scene::new().await;
    for _ in 0..100 {
        scene.world.challenge(&scene.alice.key.name).await;
    }
    scene.world.open_session(&scene.alice.key).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_signature_by_another_key_opens_no_session() {
    let scene = Scene::new().await;
    scene.world.open_session(&Key::forged("alice", "phone")).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_signature_for_another_service_opens_no_session() {
    let scene = Scene::new().await;
    let challenge = scene.world.challenge(&scene.alice.key.name).await;
    let elsewhere = scene.alice.key.session(&ServicePublicKey([9; 32]), &challenge);
    scene.world.post("/v1/sessions", None, &elsewhere).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_registration_signature_opens_no_session() {
    let scene = Scene::new().await;
    let challenge = scene.world.challenge(&scene.alice.key.name).await;
    let registration = scene.alice.key.registration(&scene.world.key, &challenge, None);
    let session = api::SessionRequest {
        device: registration.device,
        challenge: registration.challenge,
        signature: registration.signature,
    };
    scene.world.post("/v1/sessions", None, &session).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_session_signature_registers_nothing() {
    let world = World::new().await;
    let key = Key::new("alice", "phone");
    let challenge = world.challenge(&key.name).await;
    let signature = key.session(&world.key, &challenge).signature;
    let request = api::RegisterRequest { signature, ..key.registration(&world.key, &challenge, None) };
    world.post("/v1/devices", None, &request).await.refused(Code::BadProof);
}

#[tokio::test]
async fn only_its_holder_registers_a_key() {
    let world = World::new().await;
    let (alice, mallory) = (Key::new("alice", "phone"), Key::new("mallory", "phone"));
    let challenge = world.challenge(&mallory.name).await;
    let anothers = alice.signing.verifying_key().to_bytes();
    let signed = proof::registration(&world.key, &challenge, &mallory.name, &anothers);
    let request = api::RegisterRequest {
        key: anothers.as_slice().into(),
        signature: mallory.signing.sign(&signed).to_vec().into(),
        ..mallory.registration(&world.key, &challenge, None)
    };
    world.post("/v1/devices", None, &request).await.refused(Code::BadProof);
}

#[tokio::test]
async fn a_key_that_accepts_any_signature_is_refused() {
    let world = World::new().await;
    let key = Key::new("mallory", "phone");
    let challenge = world.challenge(&key.name).await;
    // With the neutral element as key and in the signature, the equation holds for every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let signature = [neutral, [0; 32]].concat();
    let request = api::RegisterRequest {
        key: neutral.as_slice().into(),
        signature: signature.into(),
        ..key.registration(&world.key, &challenge, None)
    };
    world.post("/v1/devices", None, &request).await.refused(Code::BadProof);
}

#[tokio::test]
async fn keys_and_signatures_of_wrong_length_are_refused() {
    let world = World::new().await;
    let key = Key::new("alice", "phone");
    for length in [0, 31, 33, 64, 10_000] {
        let challenge = world.challenge(&key.name).await;
        let good = key.registration(&world.key, &challenge, None);
        let request = api::RegisterRequest { key: vec![1; length].into(), ..good.clone() };
        world.post("/v1/devices", None, &request).await.refused(Code::BadProof);
        let challenge = world.challenge(&key.name).await;
        let good = key.registration(&world.key, &challenge, None);
        let request = api::RegisterRequest { signature: vec![1; length].into(), ..good };
        world.post("/v1/devices", None, &request).await.refused(Code::BadProof);
    }
}

#[tokio::test]
async fn an_unknown_device_is_answered_like_a_wrong_key() {
    let scene = Scene::new().await;
    let unknown = scene.world.open_session(&Key::new("nobody", "phone")).await;
    let known = scene.world.open_session(&Key::forged("alice", "phone")).await;
    assert_eq!(unknown.refused(Code::BadProof), known.refused(Code::BadProof));
}

#[tokio::test]
async fn a_replayed_login_costs_its_device_nothing() {
    let scene = Scene::of(World::with(|settings| settings.limits.device_burst = 20).await, HandshakeMode::Opaque).await;
    let challenge = scene.world.challenge(&scene.bob.key.name).await;
    let overheard = scene.bob.key.session(&scene.world.key, &challenge);
    scene.world.post("/v1/sessions", None, &overheard).await.is(StatusCode::CREATED);
    for _ in 0..40 {
        scene.world.post("/v1/sessions", None, &overheard).await.refused(Code::BadProof);
    }
    scene.world.open_session(&scene.bob.key).await.is(StatusCode::CREATED);
}
