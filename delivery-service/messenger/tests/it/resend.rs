//! Repeated texts, after a rollback or a lost response: each member reads each text once.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use crate::world::*;
use regrow_delivery_service::api::DeliveryKind;
use regrow_engine::{HandshakeMode::Assisted, MessageId};
use regrow_messenger::Event;

/// A group of messengers, with two members that have good commits taken back.
async fn group_with_liars(world: &World, devices: &mut [&mut TestDevice]) -> [Hostile; 2] {
    let mut liars = [world.hostile("mallory", Assisted).await, world.hostile("trudy", Assisted).await];
    make_group(devices).await;
    for liar in ["mallory", "trudy"] {
        devices[0].add_user(&chat(), &user(liar)).await.unwrap();
        settle(devices).await;
    }
    for liar in &mut liars {
        liar.read().await;
    }
    liars
}

/// A group of alice, bob and the two, in an epoch of alice's commit, which the two can have taken
/// back.
async fn after_a_commit(world: &World) -> (TestDevice, TestDevice, [Hostile; 2]) {
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    let liars = group_with_liars(world, &mut [&mut alice, &mut bob]).await;
    alice.rotate(&chat(), false).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    (alice, bob, liars)
}

/// A service whose rules let the two take back a commit that three users have followed.
async fn lenient() -> World {
    World::over(memory(), 1, |settings| settings.limits.ordering.rollback_percent = 25).await
}

/// Takes the last commit back.
async fn take_back([mallory, trudy]: &mut [Hostile; 2]) {
    let commit = mallory.read().await.into_iter().rev().find(|it| it.kind == DeliveryKind::Commit).unwrap();
    mallory.report(commit.receipt.sequence).await;
    assert!(trudy.report(commit.receipt.sequence).await.rolled_back);
}

/// The number of the user's messages that the service has ordered.
async fn ordered(liar: &mut Hostile, user: &str) -> usize {
    let entries = liar.read().await.into_iter();
    entries.filter(|it| it.kind == DeliveryKind::Message && *it.sender.user() == *user).count()
}

fn rejoins(device: &TestDevice) -> usize {
    device.count_events(|event| matches!(event, Event::Rejoining { .. }))
}

#[tokio::test]
async fn a_repeated_text_is_read_once() {
    let world = World::new().await;
    let (mut alice, mut bob, mut liars) = after_a_commit(&world).await;
    bob.send(&chat(), b"once").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.texts(), ["bob: once"]);

    take_back(&mut liars).await;
    settle(&mut [&mut alice, &mut bob]).await;
    bob.send(&chat(), b"more").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(ordered(&mut liars[0], "bob").await, 3, "bob has sent the text again");
    assert_eq!(alice.texts(), ["bob: once", "bob: more"]);
    // Alice was able to read the second message.
    assert_together(&mut [&mut alice, &mut bob]);
    assert_eq!(alice.count_events(|event| matches!(event, Event::Unreadable { .. })), 0);
}

#[tokio::test]
async fn a_text_is_read_once_after_two_rollbacks() {
    let world = World::new().await;
    let (mut alice, mut bob, mut liars) = after_a_commit(&world).await;
    bob.send(&chat(), b"once").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    for _ in 0..2 {
        take_back(&mut liars).await;
        settle(&mut [&mut alice, &mut bob]).await;
        // The next void commit is a rejoin that both have followed.
        assert_together(&mut [&mut alice, &mut bob]);
    }
    assert_eq!(ordered(&mut liars[0], "bob").await, 3);
    assert_eq!(alice.texts(), ["bob: once"]);
    assert_eq!(alice.count_events(|event| matches!(event, Event::Unreadable { .. })), 0);
}

#[tokio::test]
async fn a_crash_neither_loses_nor_doubles_a_text() {
    // One crash, or a second one of the next process as well.
    for second in [None, Some(1), Some(2)] {
        let mut first = 0;
        while dies(first, second).await {
            first += 1;
        }
        assert!(first > 10, "the process dies at each of its writes");
    }
}

#[tokio::test]
async fn an_unstored_text_is_reported_again() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    make_group(&mut [&mut alice, &mut bob]).await;
    bob.send(&chat(), b"once").await.unwrap();
    for _ in 0..2 {
        // The process dies before the application has stored the events.
        let events = alice.poll().await.unwrap();
        assert!(events.iter().any(|event| matches!(event, Event::Message { .. })));
        alice.crash(&world);
    }
    settle(&mut [&mut alice]).await;
    assert_eq!(alice.texts(), ["bob: once"]);
}

/// Alice reads bob's text, the service takes it back, and bob sends it again. Alice's processes die
/// after these numbers of writes. Returns true if the first process has died.
async fn dies(first: u64, second: Option<u64>) -> bool {
    let world = World::new().await;
    let (mut alice, mut bob, mut liars) = after_a_commit(&world).await;
    bob.send(&chat(), b"once").await.unwrap();

    // The application stores each message under the message's identifier.
    let mut archive: BTreeMap<MessageId, String> = BTreeMap::new();
    let mut crashes = 0;
    alice.crash_and_write(&world, first);
    for round in 0..14 {
        if round == 4 {
            take_back(&mut liars).await;
        }
        match alice.poll().await {
            Ok(events) => archive.extend(events.into_iter().filter_map(|event| match event {
                Event::Message { id, text, .. } => Some((id, text.to_string())),
                _ => None,
            })),
            Err(_) => {
                crashes += 1;
                match second.filter(|_| crashes == 1) {
                    Some(writes) => alice.crash_and_write(&world, writes),
                    None => alice.crash(&world),
                }
            }
        }
        bob.poll_once().await;
    }

    assert_eq!(ordered(&mut liars[0], "bob").await, 2, "bob has sent the text again");
    assert_eq!(archive.values().collect::<Vec<_>>(), ["once"], "after {first} writes, and {second:?}");
    assert_together(&mut [&mut alice, &mut bob]);
    crashes > 0
}

#[tokio::test]
async fn a_copied_identifier_suppresses_no_text() {
    let world = World::new().await;
    let (mut alice, mut bob, mut liars) = after_a_commit(&world).await;
    bob.send(&chat(), b"mine").await.unwrap();
    // Nonce and text are those of bob, so that the identifier is as well.
    let envelope = liars[0].read_plaintexts().await.pop().unwrap();

    // Alice reads mallory's message, and bob's message only after its repetition.
    world.tamper(|page| page.deliveries.retain(|delivery| *delivery.sender.user() != *"bob"));
    liars[0].send(&envelope).await;
    alice.poll_once().await;
    world.stop_tampering();
    assert_eq!(alice.texts(), ["mallory: mine"]);
    take_back(&mut liars).await;
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(alice.texts(), ["mallory: mine", "bob: mine"]);
}

#[tokio::test]
async fn a_reused_nonce_hides_no_text() {
    let world = World::new().await;
    let (mut alice, mut bob, mut liars) = after_a_commit(&world).await;
    bob.send(&chat(), b"mine").await.unwrap();
    let mut envelope = liars[0].read_plaintexts().await.pop().unwrap();
    for text in [b"once", b"more"] {
        let start = envelope.len() - text.len();
        envelope[start..].copy_from_slice(text);
        liars[0].send(&envelope).await;
        settle(&mut [&mut alice, &mut bob]).await;
    }
    assert_eq!(alice.texts(), ["bob: mine", "mallory: once", "mallory: more"]);
}

#[tokio::test]
async fn a_late_reader_follows_after_missing_only_void_entries() {
    let world = lenient().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    let mut liars = group_with_liars(&world, &mut [&mut alice, &mut bob, &mut carol]).await;
    // Carol is absent. The service deletes the commit of the void epoch, and not bob's message in
    // it.
    alice.rotate(&chat(), false).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    bob.send(&chat(), b"once").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    take_back(&mut liars).await;

    settle(&mut [&mut carol]).await;
    assert_eq!(rejoins(&carol), 0, "{:?}", carol.events);
    assert_eq!(carol.count_events(|event| matches!(event, Event::Gap { .. } | Event::Unreadable { .. })), 0);
    assert_eq!(carol.count_events(|event| matches!(event, Event::RolledBack { followed: false, .. })), 1);

    settle(&mut [&mut alice, &mut bob, &mut carol]).await;
    assert_eq!(carol.texts(), ["bob: once"]);
    assert_eq!(rejoins(&carol), 0);
    assert_together(&mut [&mut alice, &mut bob, &mut carol]);
}

#[tokio::test]
async fn a_void_message_is_not_sent_in_an_equal_epoch() {
    let world = lenient().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    let mut liars = group_with_liars(&world, &mut [&mut alice, &mut bob, &mut carol]).await;
    alice.rotate(&chat(), false).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    let void = bob.epoch();
    // The engine encrypts the text, and it does not reach the service.
    world.lose_requests("/messages");
    bob.send(&chat(), b"late").await.unwrap();
    take_back(&mut liars).await;
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.epoch(), void, "bob has rejoined, in an epoch of the same number");
    world.repair_network();

    settle(&mut [&mut bob, &mut carol]).await;
    assert_eq!(carol.texts(), ["bob: late"]);
}

#[tokio::test]
async fn an_ordered_text_with_a_lost_response_is_not_repeated() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    let mut liars = group_with_liars(&world, &mut [&mut alice, &mut bob]).await;
    world.lose_reply("/messages");
    bob.send(&chat(), b"once").await.unwrap();
    world.lose_requests("/messages");
    settle(&mut [&mut alice]).await;
    alice.rotate(&chat(), false).await.unwrap();
    // Bob reads his own message and the next commit before he can repeat the request.
    bob.poll_once().await;
    bob.poll_once().await;
    world.repair_network();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_together(&mut [&mut alice, &mut bob]);
    assert_eq!(ordered(&mut liars[0], "bob").await, 1);
    assert_eq!(alice.texts(), ["bob: once"]);
}
