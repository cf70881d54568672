//! Requests of strangers: the caller is not a member of the group.

use super::{Scene, json};
use crate::{
    common::room,
    http::{commit_request, name, room_path},
};
use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;
use regrow_delivery_service::{
    GroupId, HandshakeMode,
    api::{Bytes, Code},
};

#[tokio::test]
async fn a_stranger_cannot_tell_whether_a_group_exists() {
    let mut scene = Scene::new().await;
    let of_the_group = scene.members[0].send("hello");
    let commit = commit_request(&scene.members[1].update());
    let of_another = {
        let client = scene.mallory.client();
        client.create_unregistered(&GroupId::new("mine").unwrap(), HandshakeMode::Assisted).send("hello")
    };
    let there = room_path("");
    let nowhere = format!("/v1/groups/{}", BASE64URL_NOPAD.encode(b"moor"));
    let mut attempts = vec![("GET", "", None), ("GET", "/info", None)];
    for bytes in [&of_the_group, &of_another, &b"garbage".to_vec(), &Vec::new()] {
        attempts.push(("POST", "/messages", Some(json!({ "message": Bytes(bytes.clone()) }))));
        attempts.push(("POST", "/proposals", Some(json!({ "proposal": Bytes(bytes.clone()) }))));
        attempts.push(("POST", "/commits", Some(json!({ "commit": Bytes(bytes.clone()) }))));
        attempts.push(("POST", "/commits", Some(json!({ "commit": Bytes(bytes.clone()), "added": [name("x", "y")] }))));
    }
    attempts.push(("POST", "/commits", json(&commit)));
    attempts.push(("POST", "/reports", Some(json!({ "sequence": 1 }))));
    attempts.push(("POST", "/reports", Some(json!({ "sequence": 99 }))));
    for (method, rest, body) in attempts {
        let one = scene.as_mallory(method, &format!("{there}{rest}"), body.clone()).await;
        let other = scene.as_mallory(method, &format!("{nowhere}{rest}"), body).await;
        assert_eq!(one.refused(Code::NotFound), other.refused(Code::NotFound), "{method} {rest}");
    }
}

#[tokio::test]
async fn an_external_commit_of_another_group_reveals_nothing() {
    let scene = Scene::new().await;
    let own = scene.mallory.client().create_unregistered(&GroupId::new("mine").unwrap(), HandshakeMode::Assisted);
    let (_, external) = scene
        .world
        .device("mallory", "laptop")
        .await
        .client()
        .join_externally(&own.group_info(), HandshakeMode::Assisted);
    let mut request = commit_request(&external);
    request.added = vec![scene.mallory.key.name.clone()];
    scene.as_mallory("POST", &room_path("/commits"), json(&request)).await.refused(Code::NotFound);
}

#[tokio::test]
async fn a_stranger_does_not_send_to_a_group() {
    let mut scene = Scene::new().await;
    let stolen = scene.members[0].send("not sent yet");
    scene.world.message(&scene.mallory, &stolen).await.refused(Code::NotFound);
    assert_eq!(scene.world.read(&scene.bob.token, 0).await.len(), 1);
}

#[tokio::test]
async fn a_stranger_reads_neither_state_nor_group_info() {
    let scene = Scene::new().await;
    scene.as_mallory("GET", &room_path(""), None).await.refused(Code::NotFound);
    scene.as_mallory("GET", &room_path("/info"), None).await.refused(Code::NotFound);
    // Another device of a member's user gets only the group info, which it needs to join.
    let laptop = scene.world.device("bob", "laptop").await;
    scene.world.call("GET", &room_path("/info"), Some(&laptop.token), None).await.is(StatusCode::OK);
    scene.world.call("GET", &room_path(""), Some(&laptop.token), None).await.refused(Code::NotFound);
}

#[tokio::test]
async fn a_user_with_a_similar_name_is_a_stranger() {
    let scene = Scene::new().await;
    for user in ["alic", "alicee", "Alice", "alice/phone"] {
        let other = scene.world.device(user, "phone").await;
        scene.world.call("GET", &room_path("/info"), Some(&other.token), None).await.refused(Code::NotFound);
    }
}

#[tokio::test]
async fn an_existing_group_is_not_created_again() {
    let scene = Scene::new().await;
    let own = scene.mallory.client().create_unregistered(&room(), HandshakeMode::Assisted);
    let request = crate::http::create_request(&own, HandshakeMode::Assisted);
    scene.as_mallory("POST", "/v1/groups", json(&request)).await.refused(Code::GroupExists);
    scene.as_mallory("GET", &room_path(""), None).await.refused(Code::NotFound);
}

#[tokio::test]
async fn nobody_creates_a_group_in_anothers_name() {
    let scene = Scene::new().await;
    let alices = scene.alice.client().create_unregistered(&GroupId::new("new").unwrap(), HandshakeMode::Assisted);
    let mut request = crate::http::create_request(&alices, HandshakeMode::Assisted);
    request.group = GroupId::new("new").unwrap();
    scene.as_mallory("POST", "/v1/groups", json(&request)).await.refused(Code::Rejected);
}

#[tokio::test]
async fn a_malformed_group_id_is_not_found() {
    let scene = Scene::new().await;
    let long = BASE64URL_NOPAD.encode(&[7; 256]);
    // The last one decodes to the group's identifier if a decoder ignores its last bits.
    for group in ["*", "cm9vbQ==", "cm9v%2FbQ", &long, "cm9vbR"] {
        let path = format!("/v1/groups/{group}");
        scene.world.call("GET", &path, Some(&scene.alice.token), None).await.refused(Code::NotFound);
    }
}
