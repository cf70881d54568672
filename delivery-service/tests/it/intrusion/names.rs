//! Names of users, devices and groups, also in paths.

use super::Scene;
use crate::http::{Key, World, name};
use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;
use regrow_delivery_service::{
    DeviceId,
    api::{self, Code, Devices},
};
use serde_json::json;

#[tokio::test]
async fn invalid_names_are_refused() {
    let world = World::new().await;
    let long = "a".repeat(255);
    for user in
        ["", "a\u{0}", "a\nb", "\u{7f}", "a\u{200b}", "\u{202e}ecila", "\u{feff}alice", " alice", "alice ", &long]
    {
        for (user, device) in [(user, "phone"), ("alice", user)] {
            let request = json!({ "device": { "user": user, "device": device } });
            world.post("/v1/challenges", None, &request).await.refused(Code::BadRequest);
        }
    }
}

/// Each name has only one valid form. Other forms that look the same are refused.
#[tokio::test]
async fn another_form_of_a_name_is_refused() {
    let world = World::new().await;
    world.device("\u{e9}va", "phone").await;
    let forms = ["e\u{301}va", "\u{e9}v\u{ff41}", "\u{e9}va\u{fe0f}", "\u{e9}va\u{3164}", "\u{e9}va\u{115f}", ".."];
    for form in forms {
        for (user, device) in [(form, "phone"), ("alice", form)] {
            let request = json!({ "device": { "user": user, "device": device } });
            world.post("/v1/challenges", None, &request).await.refused(Code::BadRequest);
        }
    }
}

/// The group identifier is part of many keys in the store, so its length is limited.
#[tokio::test]
async fn an_empty_or_too_long_group_id_is_refused() {
    let mut scene = Scene::new().await;
    for group in [String::new(), BASE64URL_NOPAD.encode(&[7; 256])] {
        let info = BASE64URL_NOPAD.encode(&scene.members[0].group_info());
        let request = json!({ "group": group, "handshake": "assisted", "group_info": info });
        scene.world.post("/v1/groups", Some(&scene.alice.token), &request).await.refused(Code::BadRequest);
    }
    let path = format!("/v1/groups/{}/messages", BASE64URL_NOPAD.encode(&[7; 256]));
    let message = api::MessageRequest { message: scene.members[0].send("text").into() };
    scene.world.post(&path, Some(&scene.alice.token), &message).await.refused(Code::NotFound);
}

#[tokio::test]
async fn invalid_names_in_paths_are_refused() {
    let scene = Scene::new().await;
    for path in [
        "/v1/users/a%00/devices",
        "/v1/users/%0aalice/devices",
        "/v1/devices/mallory/%e2%80%8b",
        "/v1/users/%ff/devices",
    ] {
        let method = if path.contains("users") { "GET" } else { "DELETE" };
        scene.as_mallory(method, path, None).await.refused(Code::BadRequest);
    }
}

#[tokio::test]
async fn paths_are_not_normalized() {
    let scene = Scene::new().await;
    for path in [
        "/v1/devices/mallory/../alice/phone",
        "/v1/devices/mallory/..%2Falice%2Fphone",
        "/v1/devices/mallory/phone/../../alice/phone",
        "/v1/devices//alice/phone",
        "/v1//devices/alice/phone",
        "/v1/./devices/alice/phone",
        "/v1/devices/alice/phone/",
        "//v1/devices/alice/phone",
        "/V1/devices/alice/phone",
        "/v1/devices/alice%2Fphone",
        "/v1/devices/mallory%2F..%2Falice/phone",
    ] {
        let answer = scene.as_mallory("DELETE", path, None).await;
        assert!(matches!(answer.problem().code, Code::NotFound | Code::Forbidden), "{path}");
    }
    let devices: Devices = scene.as_mallory("GET", "/v1/users/alice/devices", None).await.ok();
    assert_eq!(devices.devices, std::slice::from_ref(&scene.alice.key.name));
}

#[tokio::test]
async fn paths_are_percent_decoded_once() {
    let scene = Scene::new().await;
    let of = async |path: &str| scene.as_mallory("GET", path, None).await.ok::<Devices>().devices;
    assert_eq!(of("/v1/users/%61lice/devices").await, std::slice::from_ref(&scene.alice.key.name));
    assert_eq!(of("/v1/users/%2561lice/devices").await, Vec::<DeviceId>::new());
    assert_eq!(of("/v1/users/alice%2Fphone/devices").await, Vec::<DeviceId>::new());
}

#[tokio::test]
async fn user_and_device_names_are_kept_apart() {
    let world = World::new().await;
    let mut ids = std::collections::BTreeSet::new();
    for (user, device) in [("a", "b/c"), ("a/b", "c"), ("ab", "c"), ("a", "bc")] {
        let device = world.device(user, device).await;
        assert!(ids.insert(device.id()));
    }
    let token = world.token(&Key::new("a", "bc")).await;
    world.call("DELETE", "/v1/devices/a/b%2Fc", Some(&token), None).await.is(StatusCode::NO_CONTENT);
    let left: Devices = world.call("GET", "/v1/users/a%2Fb/devices", Some(&token), None).await.ok();
    assert_eq!(left.devices, [name("a/b", "c")]);
}

/// A user has the composed form of a name. The decomposed form looks the same.
#[tokio::test]
async fn another_form_of_a_name_in_a_path_is_refused() {
    let scene = Scene::new().await;
    let composed = scene.world.device("\u{e9}va", "phone").await;
    scene.as_mallory("DELETE", "/v1/devices/%C3%A9va/phone", None).await.refused(Code::Forbidden);
    for form in ["e%CC%81va", "%C3%A9v%EF%BD%81", "%C3%A9va%EF%B8%8F"] {
        scene.as_mallory("GET", &format!("/v1/users/{form}/devices"), None).await.refused(Code::BadRequest);
        scene.as_mallory("DELETE", &format!("/v1/devices/{form}/phone"), None).await.refused(Code::BadRequest);
        scene.as_mallory("PUT", &format!("/v1/blocks/{form}"), None).await.refused(Code::BadRequest);
    }
    scene.world.call("GET", "/v1/deliveries", Some(&composed.token), None).await.is(StatusCode::OK);
}

/// The credential of a key package also contains the device's name.
#[tokio::test]
async fn a_credential_with_another_form_of_the_name_is_refused() {
    let world = World::new().await;
    let device = world.device("\u{e9}va", "phone").await;
    let identity = device.id().to_identity();
    let composed = "\u{e9}va".as_bytes();
    let at = identity.windows(composed.len()).position(|window| window == composed).expect("the name");
    for form in ["e\u{301}va", "\u{e9}v\u{ff41}", "\u{e9}va\u{200d}"] {
        let mut other = identity.clone();
        other.splice(at..at + composed.len(), form.bytes());
        let upload = device.client().with_identity(&other).upload(0, u64::MAX, false);
        let answer: api::UploadAnswer = world
            .call(
                "POST",
                "/v1/key-packages",
                Some(&device.token),
                Some(json!({ "key_packages": [api::Bytes(upload)] })),
            )
            .await
            .ok();
        assert_eq!((answer.key_packages.left, answer.refused[0].reason.as_str()), (0, "of-another-device"), "{form}");
    }
}
