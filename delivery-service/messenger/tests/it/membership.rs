//! The beginning and the end of a membership at the service: a group is accepted, and one without members ends.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::world::*;
use regrow_engine::Handshake::Assisted;
use regrow_messenger::{Error, Event};

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
    assert!(matches!(again, Err(Error::GroupTaken { .. })), "{again:?}");
}
