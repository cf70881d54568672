//! Messengers that do not send the ratchet tree: whoever joins gets it from the service.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::world::*;
use regrow_engine::{HandshakeMode, Policy};
use regrow_messenger::{Event, Rejoin};

fn apart() -> Policy {
    Policy { send_ratchet_tree: false, ..policy(HandshakeMode::Assisted) }
}

async fn pair(world: &World) -> (Device, Device) {
    (world.messenger_with("alice", "phone", apart()).await, world.messenger_with("bob", "phone", apart()).await)
}

/// The two of them, and Alice has added Bob to a group of hers.
async fn bob_is_invited(world: &World) -> (Device, Device) {
    let (mut alice, bob) = pair(world).await;
    alice.create_group(&chat()).await.unwrap();
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    (alice, bob)
}

fn has_joined(device: &Device) -> bool {
    let joined = device.was_told(|event| matches!(event, Event::Joined { .. }));
    let came_otherwise = device.was_told(|event| matches!(event, Event::Rejoining { .. }));
    (joined, came_otherwise) == (1, 0)
}

#[tokio::test]
async fn who_is_welcomed_asks_the_service_for_the_tree_once() {
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
async fn the_tree_of_a_welcome_is_there_when_the_group_has_gone_on() {
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
async fn the_network_fails_while_the_tree_is_asked_for() {
    let world = World::new().await;
    let (mut alice, mut bob) = bob_is_invited(&world).await;
    settle(&mut [&mut alice]).await;
    for _ in 0..3 {
        // As often as it tries.
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
async fn to_ask_for_the_tree_can_be_dropped_at_any_time() {
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
async fn who_rejoins_asks_the_service_for_the_tree() {
    let world = World::new().await;
    let (mut alice, mut bob) = pair(&world).await;
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.rotate(&chat(), false).await.unwrap();
    // Bob never sees this.
    settle(&mut [&mut alice]).await;
    world.tamper(|page| page.deliveries.retain(|delivery| delivery.receipt.epoch != 2));
    alice.rotate(&chat(), false).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    world.stop_tampering();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(bob.was_told(|event| matches!(event, Event::Rejoining { why: Rejoin::Missed, .. })), 1);
    assert_eq!(bob.was_told(|event| matches!(event, Event::Rejoined { .. })), 1);
    assert_eq!(world.asked("/trees/3"), 1);
    assert_together(&mut [&mut alice, &mut bob]);
}
