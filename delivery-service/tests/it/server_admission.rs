//! Registration of devices in the modes open and by invitation.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::http::{Key, World};
use axum::http::StatusCode;
use regrow_delivery_service::{
    UserId,
    api::{Admission, Code, Devices},
    server::settings::RegistrationMode,
};

async fn by_token() -> World {
    World::with(|settings| settings.registration = RegistrationMode::Token).await
}

async fn invite(world: &World, user: Option<&str>) -> Admission {
    let invitation = world.server.state().invite(user.map(|user| UserId::new(user).unwrap()), 3_600).await;
    Admission::Invitation(invitation.expect("an invitation"))
}

#[tokio::test]
async fn in_an_open_service_everybody_registers() {
    let world = World::new().await;
    let name: regrow_delivery_service::DeviceId = world.register(&Key::new("alice", "phone"), None).await.created();
    assert_eq!(name, crate::http::name("alice", "phone"));
}

#[tokio::test]
async fn the_devices_of_a_user_are_listed() {
    let world = World::new().await;
    let phone = world.device("alice", "phone").await;
    world.device("alice", "laptop").await;
    world.device("alicia", "phone").await;
    let devices: Devices = world.call("GET", "/v1/users/alice/devices", Some(&phone.token), None).await.ok();
    assert_eq!(devices.devices, [crate::http::name("alice", "laptop"), crate::http::name("alice", "phone")]);
}

#[tokio::test]
async fn a_device_removes_itself_and_others_of_its_user() {
    let world = World::new().await;
    let (phone, laptop) = (world.device("alice", "phone").await, world.device("alice", "laptop").await);
    world.call("DELETE", &laptop.path(), Some(&phone.token), None).await.is(StatusCode::NO_CONTENT);
    world.call("DELETE", &laptop.path(), Some(&phone.token), None).await.refused(Code::NotFound);
    let devices: Devices = world.call("GET", "/v1/users/alice/devices", Some(&phone.token), None).await.ok();
    assert_eq!(devices.devices, [crate::http::name("alice", "phone")]);
    world.call("DELETE", &phone.path(), Some(&phone.token), None).await.is(StatusCode::NO_CONTENT);
    world.call("GET", "/v1/key-packages", Some(&phone.token), None).await.refused(Code::NoSession);
}

#[tokio::test]
async fn an_invitation_admits_one_device() {
    let world = by_token().await;
    let invitation = invite(&world, Some("alice")).await;
    world.register(&Key::new("alice", "phone"), Some(invitation.clone())).await.is(StatusCode::CREATED);
    world.register(&Key::new("alice", "laptop"), Some(invitation)).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn a_registration_can_be_repeated() {
    let world = by_token().await;
    let invitation = invite(&world, Some("alice")).await;
    for _ in 0..2 {
        world.register(&Key::new("alice", "phone"), Some(invitation.clone())).await.is(StatusCode::CREATED);
    }
}

#[tokio::test]
async fn without_an_invitation_nobody_registers() {
    let world = by_token().await;
    let key = Key::new("alice", "phone");
    world.register(&key, None).await.refused(Code::NotAdmitted);
    world.register(&key, Some(Admission::Jwt("a.b.c".into()))).await.refused(Code::NotAdmitted);
    for garbage in ["", "guess", &"A".repeat(43), &"A".repeat(10_000)] {
        world.register(&key, Some(Admission::Invitation(garbage.into()))).await.refused(Code::NotAdmitted);
    }
}

#[tokio::test]
async fn an_invitation_for_another_user_admits_nobody_else() {
    let world = by_token().await;
    let invitation = invite(&world, Some("alice")).await;
    world.register(&Key::new("mallory", "phone"), Some(invitation.clone())).await.refused(Code::NotAdmitted);
    // The failed attempt does not use up the invitation.
    world.register(&Key::new("alice", "phone"), Some(invitation)).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn an_invitation_without_a_user_adds_no_second_device() {
    let world = by_token().await;
    let first = invite(&world, None).await;
    world.register(&Key::new("alice", "phone"), Some(first)).await.is(StatusCode::CREATED);
    let second = invite(&world, None).await;
    world.register(&Key::new("alice", "forge"), Some(second.clone())).await.refused(Code::NotAdmitted);
    world.register(&Key::new("bob", "phone"), Some(second)).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn an_invitation_expires() {
    let world = by_token().await;
    let invitation = invite(&world, None).await;
    world.wait(3_600);
    world.register(&Key::new("alice", "phone"), Some(invitation)).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn a_taken_name_does_not_use_up_an_invitation() {
    let world = by_token().await;
    let first = invite(&world, Some("alice")).await;
    world.register(&Key::new("alice", "phone"), Some(first)).await.is(StatusCode::CREATED);
    let second = invite(&world, Some("alice")).await;
    world.register(&Key::forged("alice", "phone"), Some(second.clone())).await.refused(Code::DeviceExists);
    world.register(&Key::new("alice", "laptop"), Some(second)).await.is(StatusCode::CREATED);
}
