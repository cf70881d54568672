//! One failure stays where it is: a group, an intent or an upload that fails delays nothing else.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::world::*;
use regrow_delivery_service::api::{Code, Problem};
use regrow_engine::{GroupId, HandshakeMode::Assisted, Policy};
use regrow_messenger::{Event, FailureScope, Intent, Rejoin};

const DAY: u64 = 24 * 60 * 60;

fn busy(seconds: u64) -> Problem {
    Problem { retry_after: Some(seconds), ..Problem::new(Code::Unavailable) }
}

fn messages_of(group: &GroupId) -> String {
    format!("/{}/messages", group.to_base64url())
}

fn room(number: usize) -> GroupId {
    GroupId::new(format!("room {number}")).unwrap()
}

fn delayed(device: &TestDevice, scope: &FailureScope) -> usize {
    device.count_events(|event| matches!(event, Event::Delayed { scope: told, .. } if told == scope))
}

#[tokio::test]
async fn a_claim_limit_delays_only_the_intent_that_meets_it() {
    let world = World::over(memory(), 1, |settings| settings.limits.claims_per_device_and_hour = 10).await;
    let many = Policy { key_packages: 50, ..policy(Assisted) };
    let mut alice = world.messenger_with("alice", "phone", many.clone()).await;
    let mut bob = world.messenger_with("bob", "phone", many).await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    let mut dave = world.messenger("dave", "phone", Assisted).await;
    make_group(&mut [&mut alice, &mut carol]).await;
    for number in 0..12 {
        alice.create_group(&room(number)).await.unwrap();
        alice.add_user(&room(number), &user("bob")).await.unwrap();
    }
    carol.send(&chat(), b"are you there?").await.unwrap();
    alice.add_user(&room(11), &user("dave")).await.unwrap();
    settle(&mut [&mut alice, &mut bob, &mut carol, &mut dave]).await;
    settle(&mut [&mut bob]).await;

    assert_eq!(alice.texts(), ["carol: are you there?"]);
    assert_eq!(bob.engine().groups().unwrap().len(), 10);
    assert_eq!(dave.engine().groups().unwrap(), [room(11)], "the intent after the waiting one");
    let intent = Intent::AddUser(user("bob"));
    assert_eq!(delayed(&alice, &FailureScope::Intent { group: room(11), intent: intent.clone() }), 1);
    assert_eq!(alice.intents(&room(11)), [intent]);
    world.wait(60 * 60);
    settle(&mut [&mut alice, &mut bob, &mut dave]).await;
    assert_eq!(bob.engine().groups().unwrap().len(), 12);
}

#[tokio::test]
async fn a_waiting_intent_can_be_withdrawn_or_taken_back() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    make_group(&mut [&mut alice]).await;
    world.refuse("/claims", busy(60));
    for name in ["bob", "carol"] {
        alice.add_user(&chat(), &user(name)).await.unwrap();
    }
    settle(&mut [&mut alice]).await;

    assert!(alice.withdraw(&chat(), &Intent::AddUser(user("bob"))).unwrap());
    alice.remove_user(&chat(), &user("carol")).await.unwrap();
    world.repair_network();
    world.wait(60);
    settle(&mut [&mut alice, &mut bob, &mut carol]).await;

    assert_eq!(alice.members(), ["alice/phone"]);
    assert!(alice.intents(&chat()).is_empty());
    for device in [&bob, &carol] {
        assert_eq!(device.count_events(|event| matches!(event, Event::Joined { .. })), 0);
    }
}

#[tokio::test]
async fn a_damaged_group_record_affects_only_its_group() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.create_group(&room(1)).await.unwrap();
    alice.add_user(&room(1), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;

    bob.damage(&world, &format!("regrow-ds/group/{}", room(1).to_base64url()));
    alice.send(&chat(), b"hello").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    alice.send(&room(1), b"here as well").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(bob.texts(), ["alice: hello", "alice: here as well"]);
    let is_lost = |event: &Event| matches!(event, Event::Rejoining { group, why: Rejoin::Failed } if *group == room(1));
    assert_eq!(bob.count_events(is_lost), 1);
}

#[tokio::test]
async fn an_unserved_group_delays_no_other_group() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.create_group(&room(1)).await.unwrap();
    alice.add_user(&room(1), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    world.refuse(&messages_of(&chat()), busy(60));

    for _ in 0..2 {
        alice.send(&chat(), b"late").await.unwrap();
        alice.send(&room(1), b"in time").await.unwrap();
        alice.crash(&world);
        settle(&mut [&mut alice, &mut bob]).await;
    }
    assert_eq!(bob.texts(), ["alice: in time", "alice: in time"]);
    assert_eq!(delayed(&alice, &FailureScope::Group(chat())), 2, "each process reports it once");

    world.repair_network();
    world.wait(60);
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(bob.texts()[2..], ["alice: late", "alice: late"]);
}

#[tokio::test]
async fn a_lane_waits_exactly_as_requested() {
    let world = World::new().await;
    let ahead = Arc::new(AtomicU64::new(0));
    let mut alice = world.unpolled_messenger("alice", "phone", policy(Assisted), world.options_ahead(&ahead)).await;
    make_group(&mut [&mut alice]).await;
    world.refuse(&messages_of(&chat()), busy(60));
    // The wall clock is far ahead at the beginning of the wait, and right again before its end.
    ahead.store(100 * DAY, Ordering::SeqCst);
    alice.send(&chat(), b"late").await.unwrap();
    settle(&mut [&mut alice]).await;
    ahead.store(0, Ordering::SeqCst);
    let again = |event: &Event| matches!(event, Event::Delayed { again, .. } if *again == Duration::from_secs(60));
    assert_eq!(alice.count_events(again), 1);
    assert_eq!(world.asked("/messages"), 1);

    world.wait(59);
    settle(&mut [&mut alice]).await;
    assert_eq!(world.asked("/messages"), 1);
    world.wait(1);
    settle(&mut [&mut alice]).await;
    assert_eq!(world.asked("/messages"), 2);
}

#[tokio::test]
async fn a_welcome_without_a_tree_blocks_no_other_group() {
    let world = World::new().await;
    let small = Policy { send_ratchet_tree: false, ..policy(Assisted) };
    let mut alice = world.messenger_with("alice", "phone", small).await;
    let (mut bob, mut carol) =
        (world.messenger("bob", "phone", Assisted).await, world.messenger("carol", "phone", Assisted).await);
    make_group(&mut [&mut bob, &mut carol]).await;
    alice.create_group(&room(1)).await.unwrap();
    alice.add_user(&room(1), &user("bob")).await.unwrap();
    settle(&mut [&mut alice]).await;
    world.refuse("/trees/1", Problem::new(Code::Internal));
    carol.send(&chat(), b"hello").await.unwrap();

    for _ in 0..10 {
        let events = bob.poll().await.unwrap_or_default();
        bob.events.extend(events);
    }
    assert_eq!(bob.texts(), ["carol: hello"]);
    assert_eq!(delayed(&bob, &FailureScope::Group(room(1))), 1);
    world.repair_network();
    world.wait(60 * 60);
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(bob.count_events(|event| matches!(event, Event::Rejoined { .. })), 1);
}
