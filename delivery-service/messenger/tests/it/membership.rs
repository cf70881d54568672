//! The beginning and the end of a membership at the service: a group is accepted, and one without members ends.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use crate::world::*;
use regrow_engine::{GroupId, HandshakeMode::Assisted};
use regrow_messenger::{Error, Event, Options};

#[tokio::test]
async fn a_device_accepts_a_group_that_another_user_adds_it_to() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    world.lose_requests("/membership");
    make_group(&mut [&mut alice, &mut bob]).await;
    assert!(world.asked("/membership") > 0);
    bob.crash(&world);
    world.put_it_back();
    world.wait(60 * 60);
    settle(&mut [&mut bob]).await;
    let asked = world.asked("/membership");
    bob.crash(&world);
    settle(&mut [&mut bob]).await;
    assert_eq!(world.asked("/membership"), asked, "it is accepted once");
}

#[tokio::test]
async fn a_group_that_its_only_member_leaves_ends() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    alice.create_group(&chat()).await.unwrap();
    settle(&mut [&mut alice]).await;

    world.lose_reply(&format!("/groups/{}", chat().to_base64url()));
    // The answer is lost, and another process hears it.
    let _unreachable = alice.leave(&chat()).await;
    alice.crash(&world);
    world.put_it_back();
    world.wait(60 * 60);
    settle(&mut [&mut alice]).await;
    assert_eq!(alice.was_told(|event| matches!(event, Event::Removed { .. })), 1);
    assert!(alice.engine().groups().unwrap().is_empty());

    // Nobody can be taken for the former group.
    let again = bob.create_group(&chat()).await;
    assert!(matches!(again, Err(Error::GroupEnded { .. })), "{again:?}");
}

/// A device of bob's that is asked about each group.
async fn bob_who_is_asked(world: &World) -> Device {
    let options = Options { may_add: Arc::new(|by, _| *by.user() == "friend"), ..world.options() };
    let mut bob = world.bare("bob", "phone", policy(Assisted), options).await;
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
    assert_eq!((bob.was_told(is_invited), world.asked("/membership")), (1, 0));
    bob.crash(&world);
    assert_eq!(bob.invitations(), [(chat(), alice.device().clone())]);
    alice.send(&chat(), b"it is me").await.unwrap();
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.texts(), ["alice: it is me"], "a person sees what it is about");

    bob.accept_group(&chat()).await.unwrap();
    assert_eq!((bob.invitations().len(), world.asked("/membership")), (0, 1));
    bob.send(&chat(), b"hello").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.texts(), ["bob: hello"]);

    // A friend does not have to wait.
    let other = GroupId::new("friends").unwrap();
    friend.create_group(&other).await.unwrap();
    friend.add_user(&other, &user("bob")).await.unwrap();
    settle(&mut [&mut friend, &mut bob]).await;
    assert_eq!((bob.invitations().len(), world.asked("/membership")), (0, 2));
}

#[tokio::test]
async fn to_send_is_to_accept() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = bob_who_is_asked(&world).await;
    make_group(&mut [&mut alice, &mut bob]).await;
    bob.send(&chat(), b"hello").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!((bob.invitations().len(), alice.texts()), (0, vec!["bob: hello".to_owned()]));
}

#[tokio::test]
async fn a_declined_group_is_forgotten_and_a_blocked_user_adds_nobody() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = bob_who_is_asked(&world).await;
    make_group(&mut [&mut alice, &mut bob]).await;
    // The answer is lost, and another process hears it.
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
    assert_eq!(bob.was_told(is_invited), 1);
    bob.unblock_user(&user("alice")).await.unwrap();
    alice.add_user(&other, &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(bob.was_told(is_invited), 2);
}
