//! A wrong clock removes nobody, and timed work goes on when the clock is right again.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::world::*;
use regrow_messenger::Event;

const DAY: u64 = 24 * 60 * 60;

#[tokio::test]
async fn a_device_with_a_fast_clock_removes_nobody() {
    let world = World::new().await;
    let ahead = Arc::new(AtomicU64::new(0));
    let mut alice = world
        .unpolled_messenger("alice", "phone", policy_with_lasting_key_packages(), world.options_ahead(&ahead))
        .await;
    let mut bob = world.messenger_with("bob", "phone", policy_with_lasting_key_packages()).await;
    make_group(&mut [&mut alice, &mut bob]).await;

    ahead.store(100 * DAY, Ordering::SeqCst);
    alice.crash(&world);
    for _ in 0..3 {
        settle(&mut [&mut alice, &mut bob]).await;
        world.wait(15 * 60);
    }
    ahead.store(0, Ordering::SeqCst);
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(alice.members(), ["alice/phone", "bob/phone"]);
    assert_eq!(alice.count_events(|event| matches!(event, Event::ClockSkew { .. })), 1);
    bob.send(&chat(), b"still here").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.texts(), ["bob: still here"]);
}

#[tokio::test]
async fn agreeing_clocks_remove_an_inactive_member() {
    let world = World::new().await;
    let (mut alice, mut bob) = (
        world.messenger_with("alice", "phone", policy_with_lasting_key_packages()).await,
        world.messenger_with("bob", "phone", policy_with_lasting_key_packages()).await,
    );
    make_group(&mut [&mut alice, &mut bob]).await;
    // Alice rotates her own keys first, and then removes the inactive member.
    for _ in 0..3 {
        world.wait(100 * DAY);
        settle(&mut [&mut alice]).await;
        world.wait(DAY);
        settle(&mut [&mut alice]).await;
    }
    assert_eq!(alice.members(), ["alice/phone"]);
}
