//! Key packages that the service refuses: they are replaced, and nothing else waits.
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
    let mut bob = world.bare("bob", "phone", policy(Assisted), world.options()).await;
    // The question for the number that is left is refused as well, so that the lane waits. All else goes on.
    for _ in 0..3 {
        bob.poll_once().await;
        bob.crash(&world);
    }
    bob.create_group(&chat()).await.unwrap();
    bob.add_user(&chat(), &user("alice")).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.members(), ["bob/phone", "alice/phone"]);

    world.put_it_back();
    world.wait(HOUR);
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.engine().key_package_count().unwrap(), 4);
}

#[tokio::test]
async fn an_upload_that_is_refused_is_erased_told_and_made_anew() {
    let world = World::new().await;
    let refused = Problem::new(Code::Rejected).with_reason(RejectCode::NotYetValid);
    world.refuse_uploads("/key-packages", refused);
    let mut bob = world.bare("bob", "phone", policy(Assisted), world.options()).await;
    for _ in 0..3 {
        settle(&mut [&mut bob]).await;
        bob.crash(&world);
    }
    let reason = |event: &Event| {
        matches!(event, Event::KeyPackagesRefused { key_packages: 4, reason: Some(RejectCode::NotYetValid), .. })
    };
    assert_eq!(bob.was_told(reason), 6, "twice in each process, and then it waits");
    assert_eq!(bob.engine().key_package_count().unwrap(), 0, "no private key stays");

    world.put_it_back();
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.engine().key_package_count().unwrap(), 4);
}

#[tokio::test]
async fn a_device_whose_clock_is_ahead_can_be_added() {
    let world = World::new().await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    let ahead = Arc::new(AtomicU64::new(3 * HOUR));
    let mut bob = world.bare("bob", "phone", policy(Assisted), world.options_ahead(&ahead)).await;
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.was_told(|event| matches!(event, Event::ClockSkew { .. })), 1);

    make_group(&mut [&mut carol, &mut bob]).await;
    ahead.store(0, Ordering::SeqCst);
    carol.send(&chat(), b"hello").await.unwrap();
    bob.crash(&world);
    settle(&mut [&mut carol, &mut bob]).await;
    assert_eq!(bob.texts(), ["carol: hello"]);
    assert_eq!(bob.was_told(is_refusal), 0);
}

#[tokio::test]
async fn key_packages_that_expire_on_the_way_are_replaced() {
    let world = World::new().await;
    let mut alice = world.messenger_with("alice", "phone", timeless()).await;
    let mut mallory = world.hostile("mallory", Assisted).await;
    let claim = ClaimRequest { user: user("alice"), device: None };
    for _ in 0..3 {
        mallory.connection.claim_key_packages(&claim).await.unwrap();
    }
    world.wait(2 * HOUR);
    world.lose_requests("/key-packages");
    alice.poll_once().await;
    world.wait(100 * DAY);
    world.put_it_back();

    settle(&mut [&mut alice]).await;
    alice.crash(&world);
    settle(&mut [&mut alice]).await;

    assert_eq!(alice.was_told(is_refusal), 1);
    let answer = mallory.connection.claim_key_packages(&claim).await.unwrap();
    assert!(!answer.key_packages[0].last_resort, "there are new ones");
}

#[tokio::test]
async fn a_service_that_keeps_few_gets_few() {
    let world = World::over(memory(), 1, |settings| settings.limits.ordering.max_key_packages_per_device = 10).await;
    let policy = Policy { key_packages: 20, ..timeless() };
    let mut bob = world.bare("bob", "phone", policy, world.options()).await;
    settle(&mut [&mut bob]).await;
    let mut alice = world.hostile("alice", Assisted).await;
    let claim = ClaimRequest { user: user("bob"), device: None };
    let answer = alice.connection.claim_key_packages(&claim).await.unwrap();
    assert_eq!(answer.key_packages[0].left.left, 9);
    assert_eq!(bob.was_told(is_refusal), 1);

    world.wait(2 * HOUR);
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.was_told(is_refusal), 1, "the limit is known by now");
}

/// Whether a key package of bob's that the claimer gets has this signature key in its leaf.
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
    let mut bob = world.messenger_with("bob", "phone", timeless()).await;
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
    let mut bob = world.messenger_with("bob", "phone", timeless()).await;
    settle(&mut [&mut bob]).await;
    let before = bob.engine().key_package_count().unwrap();
    bob.renew_key_packages().await.unwrap();
    bob.crash(&world);
    settle(&mut [&mut bob]).await;
    assert_eq!(
        bob.engine().key_package_count().unwrap(),
        2 * before,
        "the former ones open welcomes that are on their way"
    );
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.engine().key_package_count().unwrap(), 2 * before, "they are renewed once");
}

#[tokio::test]
async fn a_last_resort_key_package_that_was_handed_out_is_replaced() {
    let world = World::new().await;
    let mut carol = world.hostile("carol", Assisted).await;
    let mut bob = world.messenger_with("bob", "phone", timeless()).await;
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
    let mut bob = world.messenger_with("bob", "phone", timeless()).await;
    assert_eq!(bob.engine().key_package_count().unwrap(), 4);
    world.wait(44 * DAY);
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.engine().key_package_count().unwrap(), 4, "the first ones are good for 90 days");
    world.wait(2 * DAY);
    bob.crash(&world);
    settle(&mut [&mut bob]).await;
    // The private keys stay, for welcomes that are on their way.
    assert_eq!(bob.engine().key_package_count().unwrap(), 8);
    let mut carol = world.hostile("carol", Assisted).await;
    let claim = ClaimRequest { user: user("bob"), device: None };
    let answer = carol.connection.claim_key_packages(&claim).await.unwrap();
    assert_eq!(answer.key_packages[0].left.left, 2, "the former ones are withdrawn");
}
