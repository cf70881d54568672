//! The device replaces key packages that the service refuses, and nothing else waits for that.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::world::*;
use regrow_delivery_service::{
    RejectCode,
    api::{ClaimRequest, Code, Problem},
};
use regrow_engine::{HandshakeMode::Assisted, Policy, SignaturePublicKey};
use regrow_messenger::Event;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

fn is_refusal(event: &Event) -> bool {
    matches!(event, Event::KeyPackagesRefused { .. })
}

#[tokio::test]
async fn refused_key_packages_stop_nothing_and_are_replaced() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    world.refuse("/key-packages", Problem::new(Code::Rejected).with_reason(RejectCode::NotYetValid));
    let mut bob = world.unpolled_messenger("bob", "phone", policy(Assisted), world.options()).await;
    // The service also refuses the query for the number, so that the lane waits. All else goes on.
    for _ in 0..3 {
        bob.poll_once().await;
        bob.crash(&world);
    }
    bob.create_group(&chat()).await.unwrap();
    bob.add_user(&chat(), &user("alice")).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.members(), ["bob/phone", "alice/phone"]);

    world.repair_network();
    world.wait(HOUR);
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.engine().key_package_count().unwrap(), 4);
}

#[tokio::test]
async fn a_refused_upload_is_reported_and_made_anew() {
    let world = World::new().await;
    let refused = Problem::new(Code::Rejected).with_reason(RejectCode::NotYetValid);
    world.refuse_uploads("/key-packages", refused);
    let mut bob = world.unpolled_messenger("bob", "phone", policy(Assisted), world.options()).await;
    for _ in 0..3 {
        settle(&mut [&mut bob]).await;
        bob.crash(&world);
    }
    let reason = |event: &Event| {
        matches!(event, Event::KeyPackagesRefused { key_packages: 4, reason: Some(RejectCode::NotYetValid), .. })
    };
    assert_eq!(bob.count_events(reason), 6, "two refusals in each process before the lane waits");
    assert_eq!(bob.engine().key_package_count().unwrap(), 0, "the device has erased the private keys");

    world.repair_network();
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.engine().key_package_count().unwrap(), 4);
}

#[tokio::test]
async fn a_device_with_a_fast_clock_can_be_added() {
    let world = World::new().await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    let ahead = Arc::new(AtomicU64::new(3 * HOUR));
    let mut bob = world.unpolled_messenger("bob", "phone", policy(Assisted), world.options_ahead(&ahead)).await;
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.count_events(|event| matches!(event, Event::ClockSkew { .. })), 1);

    make_group(&mut [&mut carol, &mut bob]).await;
    ahead.store(0, Ordering::SeqCst);
    carol.send(&chat(), b"hello").await.unwrap();
    bob.crash(&world);
    settle(&mut [&mut carol, &mut bob]).await;
    assert_eq!(bob.texts(), ["carol: hello"]);
    assert_eq!(bob.count_events(is_refusal), 0);
}

#[tokio::test]
async fn key_packages_that_expire_under_way_are_replaced() {
    let world = World::new().await;
    let mut alice = world.messenger_with("alice", "phone", policy_with_lasting_key_packages()).await;
    let mut mallory = world.hostile("mallory", Assisted).await;
    let claim = ClaimRequest { user: user("alice"), device: None };
    for _ in 0..3 {
        mallory.connection.claim_key_packages(&claim).await.unwrap();
    }
    world.wait(2 * HOUR);
    world.lose_requests("/key-packages");
    alice.poll_once().await;
    world.wait(100 * DAY);
    world.repair_network();

    settle(&mut [&mut alice]).await;
    alice.crash(&world);
    settle(&mut [&mut alice]).await;

    assert_eq!(alice.count_events(is_refusal), 1);
    let answer = mallory.connection.claim_key_packages(&claim).await.unwrap();
    assert!(!answer.key_packages[0].last_resort, "the claim gets one of the new ones");
}

#[tokio::test]
async fn a_service_with_a_small_limit_gets_few() {
    let world = World::over(memory(), 1, |settings| settings.limits.ordering.max_key_packages_per_device = 10).await;
    let policy = Policy { key_packages: 20, ..policy_with_lasting_key_packages() };
    let mut bob = world.unpolled_messenger("bob", "phone", policy, world.options()).await;
    settle(&mut [&mut bob]).await;
    let mut alice = world.hostile("alice", Assisted).await;
    let claim = ClaimRequest { user: user("bob"), device: None };
    let answer = alice.connection.claim_key_packages(&claim).await.unwrap();
    assert_eq!(answer.key_packages[0].left.left, 9);
    assert_eq!(bob.count_events(is_refusal), 1);

    world.wait(2 * HOUR);
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.count_events(is_refusal), 1, "the device knows the limit now");
}

/// True if the claimed key package of bob has this signature key in its leaf.
async fn is_of_key(claimer: &mut Hostile, key: &SignaturePublicKey) -> bool {
    let claim = ClaimRequest { user: user("bob"), device: None };
    let claimed = claimer.connection.claim_key_packages(&claim).await.unwrap();
    let bytes = &claimed.key_packages[0].key_package.0;
    bytes.windows(key.as_bytes().len()).any(|window| window == key.as_bytes())
}

#[tokio::test]
async fn key_packages_with_a_former_signature_key_are_withdrawn() {
    let world = World::new().await;
    let mut carol = world.hostile("carol", Assisted).await;
    let mut bob = world.messenger_with("bob", "phone", policy_with_lasting_key_packages()).await;
    bob.create_group(&chat()).await.unwrap();
    settle(&mut [&mut bob]).await;
    let former = bob.engine().signature_key().unwrap();
    assert!(is_of_key(&mut carol, &former).await);

    bob.rotate(&chat(), true).await.unwrap();
    settle(&mut [&mut bob]).await;
    let current = bob.engine().signature_key().unwrap();
    assert_ne!(current, former);
    for _ in 0..4 {
        assert!(is_of_key(&mut carol, &current).await);
    }
}

#[tokio::test]
async fn a_person_can_have_all_key_packages_renewed() {
    let world = World::new().await;
    let mut bob = world.messenger_with("bob", "phone", policy_with_lasting_key_packages()).await;
    settle(&mut [&mut bob]).await;
    let before = bob.engine().key_package_count().unwrap();
    bob.renew_key_packages().await.unwrap();
    bob.crash(&world);
    settle(&mut [&mut bob]).await;
    assert_eq!(
        bob.engine().key_package_count().unwrap(),
        2 * before,
        "the former key packages open welcomes under way"
    );
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.engine().key_package_count().unwrap(), 2 * before, "the device renews them once");
}

#[tokio::test]
async fn a_claimed_last_resort_key_package_is_replaced() {
    let world = World::new().await;
    let mut carol = world.hostile("carol", Assisted).await;
    let mut bob = world.messenger_with("bob", "phone", policy_with_lasting_key_packages()).await;
    settle(&mut [&mut bob]).await;
    let claim = ClaimRequest { user: user("bob"), device: None };
    let mut last_resorts = Vec::new();
    for _ in 0..2 {
        let claimed = loop {
            let answer = carol.connection.claim_key_packages(&claim).await.unwrap();
            if answer.key_packages[0].last_resort {
                break answer.key_packages[0].key_package.0.clone();
            }
        };
        last_resorts.push(claimed);
        world.wait(2 * HOUR);
        settle(&mut [&mut bob]).await;
    }
    assert_ne!(last_resorts[0], last_resorts[1]);
}

#[tokio::test]
async fn all_key_packages_are_replaced_at_half_of_their_life() {
    let world = World::new().await;
    let mut bob = world.messenger_with("bob", "phone", policy_with_lasting_key_packages()).await;
    assert_eq!(bob.engine().key_package_count().unwrap(), 4);
    world.wait(44 * DAY);
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.engine().key_package_count().unwrap(), 4, "the first key packages are valid for 90 days");
    world.wait(2 * DAY);
    bob.crash(&world);
    settle(&mut [&mut bob]).await;
    // The private keys stay, for welcomes under way.
    assert_eq!(bob.engine().key_package_count().unwrap(), 8);
    let mut carol = world.hostile("carol", Assisted).await;
    let claim = ClaimRequest { user: user("bob"), device: None };
    let answer = carol.connection.claim_key_packages(&claim).await.unwrap();
    assert_eq!(answer.key_packages[0].left.left, 2, "the former key packages are withdrawn");
}
