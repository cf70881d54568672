//! Additions claim key packages only of the missing devices, and each device counts by itself.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::world::*;
use regrow_delivery_service::api::ClaimRequest;
use regrow_engine::{Ciphersuite, HandshakeMode::Assisted, Policy};
use regrow_messenger::Event;

#[tokio::test]
async fn adding_a_member_again_claims_no_key_package() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    for _ in 0..5 {
        alice.add_user(&chat(), &user("bob")).await.unwrap();
        settle(&mut [&mut alice]).await;
    }
    assert_eq!(world.asked("/claims"), 1);
    assert!(alice.intents(&chat()).is_empty());
}

#[tokio::test]
async fn only_the_missing_device_costs_a_key_package() {
    let world = World::new().await;
    let (mut alice, mut phone) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    let mut tablet = world.unpolled_messenger("bob", "tablet", policy(Assisted), world.options()).await;
    link(&mut phone, &tablet).await;
    // The tablet has no key packages yet.
    make_group(&mut [&mut alice, &mut phone]).await;
    settle(&mut [&mut tablet]).await;

    alice.add_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut phone, &mut tablet]).await;

    assert_eq!(alice.members(), ["alice/phone", "bob/phone", "bob/tablet"]);
    let mut carol = world.hostile("carol", Assisted).await;
    let claim = ClaimRequest { user: user("bob"), device: Some("phone".into()) };
    let answer = carol.connection.claim_key_packages(&claim).await.unwrap();
    assert_eq!(answer.key_packages[0].left.left, 2, "carol's claim has left two of three");
}

#[tokio::test]
async fn one_bad_device_does_not_keep_others_out() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut phone = world.messenger("bob", "phone", Assisted).await;
    // The key packages of this device are for another ciphersuite.
    let ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
    let mut tablet = world.messenger_with("bob", "tablet", Policy { ciphersuite, ..policy(Assisted) }).await;
    let mut laptop = world.messenger("bob", "laptop", Assisted).await;
    link(&mut phone, &tablet).await;
    link(&mut phone, &laptop).await;
    alice.create_group(&chat()).await.unwrap();
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut phone, &mut tablet, &mut laptop]).await;

    assert_eq!(alice.members().len(), 3);
    assert_eq!(phone.members().len(), 3);
    assert_eq!(laptop.members().len(), 3);
    let is_tablet = |event: &Event| matches!(event, Event::NotAdded { device, .. } if device.device() == "tablet");
    assert_eq!(alice.count_events(is_tablet), 1);
    assert_eq!(world.asked("/commits"), 1, "one commit adds the good devices");
    assert!(alice.intents(&chat()).is_empty());
}
