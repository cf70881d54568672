//! Hostile services and members: a bad commit is taken back or the device rejoins, and the audit
//! finds each lie.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use crate::world::*;
use regrow_delivery_service::{
    ServicePublicKey,
    api::{DeliveryKind, DeliveryPage},
};
use regrow_engine::{
    Client, DeviceId,
    HandshakeMode::{Assisted, Opaque},
    MemoryStore, UserId, default_crypto,
};
use regrow_messenger::{ConnectionError, Error, Event, Messenger, Rejoin};

fn is_bad(event: &Event) -> bool {
    matches!(event, Event::BadCommit { .. })
}

fn is_taken_back(event: &Event) -> bool {
    matches!(event, Event::RolledBack { .. })
}

/// Three messengers and a hostile member, in an opaque group.
async fn with_mallory(world: &World) -> (TestDevice, TestDevice, TestDevice, Hostile) {
    let mut alice = world.messenger("alice", "phone", Opaque).await;
    let mut bob = world.messenger("bob", "phone", Opaque).await;
    let mut carol = world.messenger("carol", "phone", Opaque).await;
    let mut mallory = world.hostile("mallory", Opaque).await;
    make_group(&mut [&mut alice, &mut bob, &mut carol]).await;
    alice.add_user(&chat(), &user("mallory")).await.unwrap();
    settle(&mut [&mut alice, &mut bob, &mut carol]).await;
    mallory.read().await;
    (alice, bob, carol, mallory)
}

#[tokio::test]
async fn a_commit_that_all_reject_is_taken_back() {
    let world = World::new().await;
    let (mut alice, mut bob, mut carol, mut mallory) = with_mallory(&world).await;
    let epoch = alice.epoch();

    mallory.submit_bad_commit().await;
    settle(&mut [&mut alice, &mut bob, &mut carol]).await;
    alice.send(&chat(), b"that was that").await.unwrap();
    alice.rotate(&chat(), false).await.unwrap();
    settle(&mut [&mut alice, &mut bob, &mut carol]).await;

    assert_eq!(carol.texts(), ["alice: that was that"]);
    assert_together(&mut [&mut alice, &mut bob, &mut carol]);
    assert_eq!(alice.epoch(), epoch + 1, "no device had to rejoin");
    for device in [&alice, &bob, &carol] {
        assert_eq!(device.count_events(is_taken_back), 1);
        assert_eq!(device.count_events(|event| matches!(event, Event::Rejoining { .. })), 0);
    }
    assert!(alice.count_events(is_bad) + bob.count_events(is_bad) + carol.count_events(is_bad) >= 2);
}

#[tokio::test]
async fn a_device_rejoins_if_the_rollback_does_not_come() {
    let world = World::new().await;
    let (mut alice, mut bob, mut carol, mut mallory) = with_mallory(&world).await;
    mallory.submit_bad_commit().await;

    // The others are absent, and one report is not enough.
    settle(&mut [&mut alice]).await;
    assert_eq!((alice.count_events(is_bad), alice.count_events(is_taken_back)), (1, 0));
    alice.crash(&world);
    world.wait(60);
    settle(&mut [&mut alice]).await;
    assert_eq!(alice.count_events(|event| matches!(event, Event::Rejoining { why: Rejoin::BadCommit, .. })), 1);
    assert_eq!(alice.count_events(|event| matches!(event, Event::Rejoined { .. })), 1);
    // The service cannot take the commit back any more: the others come after.
    settle(&mut [&mut bob, &mut carol, &mut alice]).await;

    bob.send(&chat(), b"after all").await.unwrap();
    settle(&mut [&mut alice, &mut bob, &mut carol]).await;
    assert_eq!(alice.texts(), ["bob: after all"]);
    assert_eq!(carol.texts(), ["bob: after all"]);
    assert_together(&mut [&mut alice, &mut bob, &mut carol]);
}

#[tokio::test]
async fn a_device_that_followed_a_void_commit_rejoins() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    let (mut mallory, mut trudy) = (world.hostile("mallory", Assisted).await, world.hostile("trudy", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    for user in ["mallory", "trudy"] {
        alice.add_user(&chat(), &UserId::new(user).unwrap()).await.unwrap();
        settle(&mut [&mut alice, &mut bob]).await;
    }
    mallory.read().await;
    trudy.read().await;

    alice.rotate(&chat(), false).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    bob.send(&chat(), b"sent in the epoch that is void").await.unwrap();
    let commit = mallory.read().await.into_iter().rev().find(|it| it.kind == DeliveryKind::Commit).unwrap();
    // The commit is good, but two members report it, and two are enough.
    mallory.report(commit.receipt.sequence).await;
    assert!(trudy.report(commit.receipt.sequence).await.rolled_back);
    settle(&mut [&mut alice, &mut bob]).await;

    for device in [&alice, &bob] {
        assert_eq!(device.count_events(|event| matches!(event, Event::RolledBack { followed: true, .. })), 1);
        assert_eq!(device.count_events(|event| matches!(event, Event::Rejoined { .. })), 1);
    }
    assert_together(&mut [&mut alice, &mut bob]);
    assert_eq!(alice.texts(), ["bob: sent in the epoch that is void"]);
    assert!(world.asked("/messages") >= 2);
}

#[tokio::test]
async fn a_void_commit_adds_no_device() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut eve = world.messenger("eve", "phone", Assisted).await;
    let (mut mallory, mut trudy) = (world.hostile("mallory", Assisted).await, world.hostile("trudy", Assisted).await);
    make_group(&mut [&mut alice]).await;
    for user in ["mallory", "trudy", "eve"] {
        alice.add_user(&chat(), &UserId::new(user).unwrap()).await.unwrap();
        settle(&mut [&mut alice, &mut eve]).await;
    }
    assert_eq!(eve.members().len(), 4);
    mallory.read().await;
    trudy.read().await;
    let commit = mallory.read().await.into_iter().rev().find(|it| it.kind == DeliveryKind::Commit).unwrap();
    mallory.report(commit.receipt.sequence).await;
    assert!(trudy.report(commit.receipt.sequence).await.rolled_back);

    settle(&mut [&mut alice, &mut eve]).await;
    assert!(eve.engine().groups().unwrap().is_empty());
    assert_eq!(eve.count_events(|event| matches!(event, Event::Removed { by: None, .. })), 1);
    // The device can be added again.
    alice.add_user(&chat(), &user("eve")).await.unwrap();
    settle(&mut [&mut alice, &mut eve]).await;
    assert_together(&mut [&mut alice, &mut eve]);
}

#[tokio::test]
async fn a_device_that_missed_a_commit_rejoins() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;

    // The service withholds a commit from bob.
    let hidden = std::sync::atomic::AtomicU64::new(0);
    alice.rotate(&chat(), false).await.unwrap();
    settle(&mut [&mut alice]).await;
    alice.send(&chat(), b"unreadable").await.unwrap();
    world.tamper(move |page| {
        page.deliveries.retain(|delivery| {
            let commit = delivery.kind == DeliveryKind::Commit && *delivery.sender.user() == *"alice";
            !(commit && hidden.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0)
        });
    });
    bob.poll_once().await;
    world.stop_tampering();
    settle(&mut [&mut bob, &mut alice]).await;
    assert_eq!(bob.count_events(|event| matches!(event, Event::Gap { .. })), 1);
    assert_eq!(bob.count_events(|event| matches!(event, Event::Rejoining { why: Rejoin::Missed, .. })), 1);

    alice.send(&chat(), b"readable").await.unwrap();
    settle(&mut [&mut bob, &mut alice]).await;
    assert_eq!(bob.texts(), ["alice: readable"]);
    assert_together(&mut [&mut alice, &mut bob]);
}

#[tokio::test]
async fn a_long_absent_device_rejoins_when_it_sends() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.rotate(&chat(), false).await.unwrap();
    settle(&mut [&mut alice]).await;

    // The service has deleted the entries that the device has missed.
    world.tamper(|page| page.deliveries.clear());
    bob.send(&chat(), b"hello?").await.unwrap();
    for _ in 0..4 {
        bob.poll_once().await;
    }
    world.stop_tampering();
    settle(&mut [&mut bob, &mut alice]).await;

    assert_eq!(bob.count_events(|event| matches!(event, Event::Rejoining { why: Rejoin::Missed, .. })), 1);
    assert_eq!(alice.texts(), ["bob: hello?"]);
}

#[tokio::test]
async fn two_histories_are_found_and_proved() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one.db"), folder.path().join("other.db"));
    let mut world = World::in_file(&one, 1).await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;

    // The service forks: alice and bob see different histories.
    world.server.take().unwrap().stop().await;
    std::fs::copy(&one, &other).unwrap();
    world.restart_over(&one).await;
    let fork = World::in_file(&other, 2).await;
    alice.send(&chat(), b"what alice is told").await.unwrap();
    settle(&mut [&mut alice]).await;
    bob.crash(&fork);
    bob.send(&chat(), b"what bob is told").await.unwrap();
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.count_events(|event| matches!(event, Event::Equivocation { .. })), 0);

    // Then both see the same history again.
    bob.crash(&world);
    bob.send(&chat(), b"do you read me?").await.unwrap();
    settle(&mut [&mut alice]).await;

    let proofs = alice.equivocations(&chat());
    assert_eq!(alice.count_events(|event| matches!(event, Event::Equivocation { .. })), 1);
    assert!(proofs[0].convicts(&alice.service()), "the proof convinces everybody with the service's key");
    assert!(alice.texts().contains(&"bob: do you read me?".to_owned()));
    // No device sends before a person has looked into it. This holds for later processes as well.
    alice.crash(&world);
    assert!(matches!(alice.send(&chat(), b"?").await, Err(Error::Suspended { .. })));
    assert_eq!(alice.equivocations(&chat()), proofs);
    alice.trust_again(&chat()).unwrap();
    alice.send(&chat(), b"all the same").await.unwrap();
}

#[tokio::test]
async fn a_changed_entry_breaks_the_chain() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.send(&chat(), b"hello").await.unwrap();
    world.tamper(|page| page.deliveries.iter_mut().for_each(|delivery| delivery.time += 1));
    bob.poll_once().await;
    assert_eq!(bob.count_events(|event| matches!(event, Event::BrokenChain { .. })), 1);
    assert!(bob.is_suspended(&chat()));
}

#[tokio::test]
async fn an_unsigned_entry_is_not_processed() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.send(&chat(), b"hello").await.unwrap();
    world.tamper(|page| page.deliveries.iter_mut().for_each(|delivery| delivery.receipt.signature.0[0] ^= 1));
    assert!(matches!(bob.poll().await, Err(Error::ForgedReceipt { .. })));

    world.stop_tampering();
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.texts(), ["alice: hello"]);
    assert!(!bob.is_suspended(&chat()));
}

#[tokio::test]
async fn an_unsigned_response_is_not_believed() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    let is_forged = |result| matches!(result, Err(Error::ForgedReceipt { .. }));
    world.forge_receipt("/groups");
    assert!(is_forged(alice.create_group(&chat()).await));
    settle(&mut [&mut alice]).await;
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    let epoch = alice.epoch();

    world.forge_receipt("/messages");
    assert!(is_forged(bob.send(&chat(), b"once").await));
    settle(&mut [&mut alice, &mut bob]).await;
    world.forge_receipt("/commits");
    assert!(is_forged(alice.rotate(&chat(), false).await));
    settle(&mut [&mut alice, &mut bob]).await;
    // The repeated request gets the same response, this time with the service's signature.
    assert_eq!((alice.epoch(), alice.texts()), (epoch + 1, vec!["bob: once".to_owned()]));
    assert_together(&mut [&mut alice, &mut bob]);
    world.forge_receipt("/proposals");
    assert!(is_forged(bob.leave(&chat()).await));
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.members().len(), 1);
    assert!(!alice.is_suspended(&chat()));
}

#[tokio::test]
async fn an_invented_receipt_accuses_nobody() {
    let world = World::new().await;
    let (mut alice, mut bob, mut carol, mut mallory) = with_mallory(&world).await;
    let mut made_up = alice.receipt(&chat()).unwrap();
    made_up.head.0[0] ^= 1;
    assert!(matches!(alice.compare(&made_up), Err(Error::ForgedReceipt { .. })));

    // The envelope of a message: the version, a receipt follows, the nonce, the receipt, and the
    // text.
    let numbers = [made_up.sequence.0.to_be_bytes(), made_up.epoch.0.to_be_bytes()].concat();
    let envelope =
        [&[2, 1], &[7; 16][..], &numbers[..], &made_up.head.0, &made_up.signature, b"see what I was told"].concat();
    mallory.send(&envelope).await;
    settle(&mut [&mut alice, &mut bob, &mut carol]).await;

    for device in [&alice, &bob, &carol] {
        assert_eq!(device.texts(), ["mallory: see what I was told"]);
        assert_eq!(device.count_events(|event| matches!(event, Event::Equivocation { .. })), 0);
        assert!(!device.is_suspended(&chat()) && device.equivocations(&chat()).is_empty());
    }
}

#[tokio::test]
async fn a_page_with_falling_cursors_is_not_processed() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    for text in [b"one", b"two"] {
        alice.send(&chat(), text).await.unwrap();
    }
    let changes: [fn(&mut DeliveryPage); 2] = [
        |page| page.deliveries.iter_mut().for_each(|delivery| delivery.cursor = 1),
        |page| {
            let twice = page.deliveries.last().cloned();
            page.deliveries.extend(twice);
        },
    ];
    for change in changes {
        world.tamper(change);
        let error = bob.poll().await.unwrap_err();
        assert!(matches!(error, Error::Connection(ConnectionError::Protocol { .. })), "{error}");
    }
    world.stop_tampering();
    settle(&mut [&mut bob]).await;
    assert_eq!(bob.texts(), ["alice: one", "alice: two"]);
}

#[tokio::test]
async fn another_service_is_refused() {
    let (world, another) = (World::new().await, World::over(memory(), 2, |_| {}).await);
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let known = alice.service();
    alice.crash(&another);
    let error = alice.next_event().await.unwrap_err();
    assert!(matches!(
        error,
        Error::Connection(ConnectionError::WrongService { expected, found }) if expected == known && found != known
    ));
    assert_eq!(another.asked("/challenges"), 0, "the device has sent it no name");

    let pinned = ServicePublicKey([7; 32]);
    let device = DeviceId::new("bob", "phone").unwrap();
    let client = Client::create(Arc::new(MemoryStore::new()), default_crypto(), device, policy(Assisted)).unwrap();
    let refused = Messenger::register(client, &world.address, Some(pinned), None, world.options()).await;
    assert!(matches!(refused, Err(Error::Connection(ConnectionError::WrongService { .. }))));
}

#[tokio::test]
async fn a_falsely_declared_roster_is_reported() {
    let world = World::new().await;
    let (mut alice, mut bob, mut carol, mut mallory) = with_mallory(&world).await;
    for device in [&alice, &bob, &carol] {
        assert_eq!(device.count_events(|event| matches!(event, Event::RosterLie { .. })), 0);
    }
    // The commit removes carol from the roster, and no member from the group.
    mallory.lie_about(&["carol"]).await;
    settle(&mut [&mut alice, &mut bob, &mut carol]).await;
    let told = |device: &TestDevice| {
        device.count_events(|event| {
            matches!(event, Event::RosterLie { intruders, left_out, .. }
                if intruders.is_empty() && left_out.len() == 1 && left_out[0].user() == "carol")
        })
    };
    assert_eq!((told(&alice), told(&bob)), (1, 1));
}

#[tokio::test]
async fn a_restored_device_rejoins_and_carries_out_its_intent() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    let epoch = alice.epoch();

    // The application has found that its storage was put back.
    bob.storage_restored().unwrap();
    bob.rotate(&chat(), true).await.unwrap();
    bob.send(&chat(), b"here I am").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(bob.count_events(|event| matches!(event, Event::Rejoining { why: Rejoin::Restored, .. })), 1);
    assert_eq!(alice.epoch(), epoch + 2, "the device has rejoined, and then rotated");
    assert_eq!(alice.texts(), ["bob: here I am"]);
    assert_together(&mut [&mut alice, &mut bob]);
}
