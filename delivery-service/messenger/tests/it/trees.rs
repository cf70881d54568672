//! Messengers that do not send the ratchet tree: a joining device fetches it from the service.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::world::*;
use regrow_engine::{HandshakeMode, Policy};
use regrow_messenger::{Event, Rejoin};

fn apart() -> Policy {
    Policy { send_ratchet_tree: false, ..policy(HandshakeMode::Assisted) }
}

async fn pair(world: &World) -> (TestDevice, TestDevice) {
    (world.messenger_with("alice", "phone", apart()).await, world.messenger_with("bob", "phone", apart()).await)
}

/// Alice and Bob, after Alice has added Bob to her group.
async fn bob_is_invited(world: &World) -> (TestDevice, TestDevice) {
    let (mut alice, bob) = pair(world).await;
    alice.create_group(&chat()).await.unwrap();
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    (alice, bob)
}

fn has_joined(device: &TestDevice) -> bool {
    let joined = device.count_events(|event| matches!(event, Event::Joined { .. }));
    let came_otherwise = device.count_events(|event| matches!(event, Event::Rejoining { .. }));
    (joined, came_otherwise) == (1, 0)
}

#[tokio::test]
async fn a_welcomed_device_fetches_the_tree_once() {
    let world = World::new().await;
    let (mut alice, mut bob) = pair(&world).await;
    make_group(&mut [&mut alice, &mut bob]).await;
    assert!(has_joined(&bob));
    assert_eq!(world.asked("/trees/1"), 1);

    bob.send(&chat(), b"I am in").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.texts(), ["bob: I am in"]);
    assert_together(&mut [&mut alice, &mut bob]);
}

#[tokio::test]
async fn the_tree_of_an_old_welcome_is_available() {
    let world = World::new().await;
    let (mut alice, mut bob) = bob_is_invited(&world).await;
    for _ in 0..3 {
        settle(&mut [&mut alice]).await;
        alice.rotate(&chat(), false).await.unwrap();
    }
    settle(&mut [&mut alice, &mut bob]).await;
    assert!(has_joined(&bob));
    assert_together(&mut [&mut alice, &mut bob]);
}

#[tokio::test]
async fn a_device_fetches_the_tree_after_network_failures() {
    let world = World::new().await;
    let (mut alice, mut bob) = bob_is_invited(&world).await;
    settle(&mut [&mut alice]).await;
    for _ in 0..3 {
        // All attempts of one call fail.
        world.lose_reply("/trees/1");
        world.lose_reply("/trees/1");
        assert!(bob.poll().await.unwrap_err().is_temporary());
    }
    bob.crash(&world);
    settle(&mut [&mut alice, &mut bob]).await;
    assert!(has_joined(&bob));
    assert_together(&mut [&mut alice, &mut bob]);
}

#[tokio::test]
async fn the_fetch_of_a_tree_can_be_dropped() {
    let world = World::new().await;
    let (mut alice, mut bob) = bob_is_invited(&world).await;
    settle(&mut [&mut alice]).await;
    let mut patience = 0;
    let event = loop {
        patience += 1;
        let later = async {
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            event = bob.next_event() => break event.unwrap(),
            () = later => {}
        }
    };
    assert!(matches!(event, Event::Joined { .. }), "{event:?}");
}

#[tokio::test]
async fn a_rejoining_device_fetches_the_tree() {
    let world = World::new().await;
    let (mut alice, mut bob) = pair(&world).await;
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.rotate(&chat(), false).await.unwrap();
    // Bob never reads this commit.
    settle(&mut [&mut alice]).await;
    world.tamper(|page| page.deliveries.retain(|delivery| delivery.receipt.epoch != 2));
    alice.rotate(&chat(), false).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    world.stop_tampering();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(bob.count_events(|event| matches!(event, Event::Rejoining { why: Rejoin::Missed, .. })), 1);
    assert_eq!(bob.count_events(|event| matches!(event, Event::Rejoined { .. })), 1);
    assert_eq!(world.asked("/trees/3"), 1);
    assert_together(&mut [&mut alice, &mut bob]);
}
