//! Attempts to end groups of others, and requests to ended groups.

use super::Scene;
use crate::{
    common::room,
    http::{World, commit_request, create_request, room_path},
};
use axum::http::StatusCode;
use regrow_delivery_service::{
    HandshakeMode,
    api::{self, Code},
};
use serde_json::json;

#[tokio::test]
async fn nobody_ends_a_group_with_other_members() {
    let mut scene = Scene::new().await;
    scene.as_mallory("DELETE", &room_path(""), None).await.refused(Code::NotFound);
    let laptop = scene.world.device("bob", "laptop").await;
    scene.world.call("DELETE", &room_path(""), Some(&laptop.token), None).await.refused(Code::NotFound);
    for token in [&scene.alice.token, &scene.bob.token] {
        let problem = scene.world.call("DELETE", &room_path(""), Some(token), None).await.refused(Code::Rejected);
        assert_eq!(problem.reason.as_deref(), Some("not-alone"));
    }
    scene.remove_bob().await;
    scene.world.call("DELETE", &room_path(""), Some(&scene.bob.token), None).await.refused(Code::NotFound);
    scene.world.message(&scene.alice, &scene.members[0].send("still here")).await.is(StatusCode::OK);
}

#[tokio::test]
async fn an_ended_group_refuses_every_request() {
    for mode in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let world = World::new().await;
        let alice = world.device("alice", "phone").await;
        let laptop = world.device("alice", "laptop").await;
        let mallory = world.device("mallory", "phone").await;
        let mut member = world.group(mode, &[&alice]).await.remove(0);
        let message = api::MessageRequest { message: member.send("late").into() };
        let update = commit_request(&member.update());
        let external = commit_request(&laptop.client().join_externally(&member.group_info(), mode).1);
        let again = create_request(&member, mode);
        world.call("DELETE", &room_path(""), Some(&alice.token), None).await.is(StatusCode::NO_CONTENT);
        for device in [&alice, &laptop, &mallory] {
            let token = Some(device.token.as_str());
            world.post(&room_path("/messages"), token, &message).await.refused(Code::NotFound);
            world.post(&room_path("/commits"), token, &update).await.refused(Code::NotFound);
            world.post(&room_path("/commits"), token, &external).await.refused(Code::NotFound);
            world.post(&room_path("/reports"), token, &json!({ "sequence": 0 })).await.refused(Code::NotFound);
            for (method, rest) in [("GET", ""), ("GET", "/info"), ("GET", "/trees/0"), ("PUT", "/membership")] {
                world.call(method, &room_path(rest), token, None).await.refused(Code::NotFound);
            }
        }
        for device in [&laptop, &mallory] {
            world.call("DELETE", &room_path(""), Some(&device.token), None).await.refused(Code::NotFound);
        }
        world.post("/v1/groups", Some(&alice.token), &again).await.refused(Code::Rejected);
        let stranger = mallory.client().create_unregistered(&room(), mode);
        let taken = create_request(&stranger, mode);
        world.post("/v1/groups", Some(&mallory.token), &taken).await.refused(Code::Rejected);
    }
}

#[tokio::test]
async fn a_stranger_cannot_tell_a_group_by_its_answers() {
    let scene = Scene::new().await;
    for (method, rest) in [("PUT", "/membership"), ("DELETE", "/membership"), ("DELETE", ""), ("GET", "/trees/1")] {
        let there = scene.as_mallory(method, &room_path(rest), None).await;
        let nowhere = scene.as_mallory(method, &format!("/v1/groups/bm93aGVyZQ{rest}"), None).await;
        assert_eq!(there.refused(Code::NotFound), nowhere.refused(Code::NotFound), "{method} {rest}");
    }
}
