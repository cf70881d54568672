//! The beginning and the end of a membership: invitations, and groups without members.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use crate::world::*;
use regrow_engine::{GroupId, HandshakeMode::Assisted};
use regrow_messenger::{Error, Event, Options};

#[tokio::test]
async fn a_device_accepts_the_group_of_another_user() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    world.lose_requests("/membership");
    make_group(&mut [&mut alice, &mut bob]).await;
    assert!(world.asked("/membership") > 0);
    bob.crash(&world);
    world.repair_network();
    world.wait(60 * 60);
    settle(&mut [&mut bob]).await;
    let asked = world.asked("/membership");
    bob.crash(&world);
    settle(&mut [&mut bob]).await;
    assert_eq!(world.asked("/membership"), asked, "the device accepts once");
}

#[tokio::test]
async fn the_departure_of_the_only_member_ends_the_group() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    alice.create_group(&chat()).await.unwrap();
    settle(&mut [&mut alice]).await;

    world.lose_reply(&format!("/groups/{}", chat().to_base64url()));
    // The response is lost, and the next process gets it.
    let _unreachable = alice.leave(&chat()).await;
    alice.crash(&world);
    world.repair_network();
    world.wait(60 * 60);
    settle(&mut [&mut alice]).await;
    assert_eq!(alice.count_events(|event| matches!(event, Event::Removed { .. })), 1);
    assert!(alice.engine().groups().unwrap().is_empty());

    // The name cannot belong to another group.
    let again = bob.create_group(&chat()).await;
    assert!(matches!(again, Err(Error::GroupEnded { .. })), "{again:?}");
}

/// A device of bob that asks him about each group.
async fn bob_who_is_asked(world: &World) -> TestDevice {
    let options = Options { may_add: Arc::new(|by, _| *by.user() == "friend"), ..world.options() };
    let mut bob = world.unpolled_messenger("bob", "phone", policy(Assisted), options).await;
    settle(&mut [&mut bob]).await;
    bob
}

fn is_invited(event: &Event) -> bool {
    matches!(event, Event::Invited { by, .. } if *by.user() == "alice")
}

#[tokio::test]
async fn a_person_accepts_a_group_of_a_stranger() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut friend = world.messenger("friend", "phone", Assisted).await;
    let mut bob = bob_who_is_asked(&world).await;
    make_group(&mut [&mut alice, &mut bob]).await;
    assert_eq!((bob.count_events(is_invited), world.asked("/membership")), (1, 0));
    bob.crash(&world);
    assert_eq!(bob.invitations(), [(chat(), alice.device().clone())]);
    alice.send(&chat(), b"it is me").await.unwrap();
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.texts(), ["alice: it is me"], "a person can read the group before the answer");

    bob.accept_group(&chat()).await.unwrap();
    assert_eq!((bob.invitations().len(), world.asked("/membership")), (0, 1));
    bob.send(&chat(), b"hello").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.texts(), ["bob: hello"]);

    // A permitted user adds the device without a question.
    let other = GroupId::new("friends").unwrap();
    friend.create_group(&other).await.unwrap();
    friend.add_user(&other, &user("bob")).await.unwrap();
    settle(&mut [&mut friend, &mut bob]).await;
    assert_eq!((bob.invitations().len(), world.asked("/membership")), (0, 2));
}

#[tokio::test]
async fn sending_accepts_the_invitation() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = bob_who_is_asked(&world).await;
    make_group(&mut [&mut alice, &mut bob]).await;
    bob.send(&chat(), b"hello").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!((bob.invitations().len(), alice.texts()), (0, vec!["bob: hello".to_owned()]));
}

#[tokio::test]
async fn declined_groups_are_forgotten_and_blocked_users_add_nobody() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = bob_who_is_asked(&world).await;
    make_group(&mut [&mut alice, &mut bob]).await;
    // The response is lost, and the next process gets it.
    world.lose_reply("/membership");
    bob.decline_group(&chat()).await.unwrap();
    bob.crash(&world);
    settle(&mut [&mut bob]).await;
    assert!(bob.engine().groups().unwrap().is_empty());
    alice.send(&chat(), b"are you there?").await.unwrap();
    settle(&mut [&mut bob]).await;
    assert!(bob.texts().is_empty());

    bob.block_user(&user("alice")).await.unwrap();
    let other = GroupId::new("other").unwrap();
    alice.create_group(&other).await.unwrap();
    alice.add_user(&other, &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.roster(&other).unwrap().len(), 1);
    assert_eq!(bob.count_events(is_invited), 1);
    bob.unblock_user(&user("alice")).await.unwrap();
    alice.add_user(&other, &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(bob.count_events(is_invited), 2);
}
