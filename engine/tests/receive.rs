//! What the delivery service may bring, in whatever order and as often as it likes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use regrow_engine::{Client, Error, Event, GroupId, Handshake, Ignored, MemoryStore, Policy};

/// Receiving these bytes is an error or an event of no consequence; the device is as it was.
fn assert_unmoved(client: &mut Client, store: &MemoryStore, bytes: &[u8]) -> Result<Event, Error> {
    let before = (store::records(store), client.group(&group()).unwrap().epoch_authenticator().unwrap());
    let result = client.receive(bytes, NOW).map(|received| received.event);
    client.acknowledge().unwrap();
    let after = (store::records(store), client.group(&group()).unwrap().epoch_authenticator().unwrap());
    assert!(before == after, "the state has changed: {result:?}");
    result
}

fn pair(handshake: Handshake) -> (Client, Client, MemoryStore) {
    let store = MemoryStore::new();
    let policy = Policy { handshake, ..policy() };
    let mut alice = client_in(&MemoryStore::new(), "alice", policy.clone());
    let mut bob = client_in(&store, "bob", policy);
    make_group(&mut [&mut alice, &mut bob]);
    (alice, bob, store)
}

#[test]
fn an_own_message_that_comes_back_is_known() {
    let (_, mut bob, store) = pair(Handshake::Assisted);
    let message = send(&mut bob, b"mine");

    let event = assert_unmoved(&mut bob, &store, &message);

    assert!(matches!(event, Ok(Event::Own)), "{event:?}");
}

#[test]
fn a_message_is_read_once() {
    let (mut alice, mut bob, store) = pair(Handshake::Assisted);
    let messages = [send(&mut alice, b"one"), send(&mut alice, b"two")];
    for message in &messages {
        read(&mut bob, message);
    }

    for message in &messages {
        let event = assert_unmoved(&mut bob, &store, message);
        assert!(matches!(event, Ok(Event::Ignored(Ignored::AlreadyRead))), "{event:?}");
    }
}

#[test]
fn handshakes_that_are_repeated_mean_nothing() {
    for handshake in [Handshake::Assisted, Handshake::Opaque] {
        let (mut alice, mut bob, store) = pair(handshake);
        let pending = alice.group(&group()).unwrap().update().unwrap();
        let commit = pending.commit().to_vec();
        accept(&mut alice, pending, &mut [&mut bob]);

        let event = assert_unmoved(&mut bob, &store, &commit);

        assert!(matches!(event, Ok(Event::Ignored(Ignored::PastEpoch))), "{event:?}");
        assert!(matches!(alice.receive(&commit, NOW).unwrap().event, Event::Ignored(Ignored::PastEpoch)));
    }
}

#[test]
fn a_message_of_a_past_epoch_is_too_old() {
    let (mut alice, mut bob, store) = pair(Handshake::Assisted);
    let message = send(&mut alice, b"late");
    update(&mut alice, &mut [&mut bob]);

    let event = assert_unmoved(&mut bob, &store, &message);

    assert!(matches!(event, Ok(Event::Ignored(Ignored::TooOld))), "{event:?}");
}

#[test]
fn what_is_of_a_future_epoch_says_that_something_is_missing() {
    for handshake in [Handshake::Assisted, Handshake::Opaque] {
        let (mut alice, mut bob, store) = pair(handshake);
        let missing = alice.group(&group()).unwrap().update().unwrap();
        alice.confirm(missing.clone(), NOW).unwrap();
        let message = send(&mut alice, b"early");
        let next = alice.group(&group()).unwrap().update().unwrap();

        for bytes in [&message[..], next.commit()] {
            let error = assert_unmoved(&mut bob, &store, bytes);
            assert!(matches!(error, Err(Error::FutureEpoch { .. })), "{error:?}");
        }

        bob.receive(missing.commit(), NOW).unwrap();
        assert_eq!(read(&mut bob, &message), b"early");
    }
}

#[test]
fn messages_of_other_groups_are_none_of_this_devices() {
    let (mut alice, mut bob, store) = pair(Handshake::Assisted);
    let other = GroupId::new("other").unwrap();
    let message = alice.create_group(other.clone(), NOW).unwrap().send(b"elsewhere").unwrap();

    let error = assert_unmoved(&mut bob, &store, &message);

    assert!(matches!(error, Err(Error::UnknownGroup { group }) if group == other));
}

#[test]
fn messages_of_another_group_of_the_same_name_are_not_authentic() {
    let (_, mut bob, store) = pair(Handshake::Assisted);
    let mut mallory = client("mallory");
    make_group(&mut [&mut mallory]);
    update(&mut mallory, &mut []);
    let commit = mallory.group(&group()).unwrap().update().unwrap();
    let message = send(&mut mallory, b"forged");

    for bytes in [&message[..], commit.commit()] {
        let error = assert_unmoved(&mut bob, &store, bytes);
        assert!(matches!(error, Err(Error::Invalid { .. })), "{error:?}");
    }
}

#[test]
fn a_removed_member_is_not_heard() {
    let (mut alice, mut bob, _) = pair(Handshake::Assisted);
    let pending = bob.group(&group()).unwrap().remove(&[device("alice")]).unwrap();
    let ordered = pending.commit().to_vec();
    bob.confirm(pending, NOW).unwrap();
    hear(&mut bob, &ordered);

    let late = alice.group(&group()).unwrap().update().unwrap();
    assert!(matches!(bob.receive(late.commit(), NOW).unwrap().event, Event::Ignored(Ignored::PastEpoch)));
    alice.confirm(late, NOW).unwrap();

    // Alice is now in another epoch of the same number.
    let forged = send(&mut alice, b"still here");
    assert!(matches!(bob.receive(&forged, NOW), Err(Error::Invalid { .. })));
}

#[test]
fn truncated_bytes_are_malformed() {
    let (mut alice, mut bob, store) = pair(Handshake::Assisted);
    let message = send(&mut alice, b"hello");
    let pending = alice.group(&group()).unwrap().update().unwrap();

    for whole in [&message[..], pending.commit()] {
        for length in 0..whole.len() {
            let error = assert_unmoved(&mut bob, &store, &whole[..length]);
            assert!(matches!(error, Err(Error::Malformed { .. })), "{length}: {error:?}");
        }
        let error = assert_unmoved(&mut bob, &store, &[whole, b"more"].concat());
        assert!(matches!(error, Err(Error::Malformed { .. })), "{error:?}");
    }
}

#[test]
fn each_call_takes_its_own_kind_of_message() {
    let (mut alice, mut bob, store) = pair(Handshake::Assisted);
    let message = send(&mut alice, b"hello");
    let key_package = key_package(&mut client("carol"));
    let pending = alice.group(&group()).unwrap().add(std::slice::from_ref(&key_package), NOW).unwrap();
    let (welcome, info) = (pending.welcome().unwrap(), pending.group_info().unwrap());
    let before = store::records(&store);

    for bytes in [welcome, info, key_package.as_bytes()] {
        assert!(matches!(bob.receive(bytes, NOW), Err(Error::Malformed { .. })));
    }
    for bytes in [&message, pending.commit(), info, key_package.as_bytes()] {
        assert!(matches!(bob.join(bytes, NOW), Err(Error::Malformed { .. })));
    }
    for bytes in [&message, pending.commit(), welcome, key_package.as_bytes()] {
        assert!(matches!(bob.join_external(bytes), Err(Error::Malformed { .. })));
    }
    for bytes in [&message, pending.commit(), welcome, info] {
        let published = regrow_engine::KeyPackageBytes::new(bytes);
        let mut chat = bob.group(&group()).unwrap();
        assert!(matches!(chat.propose_add(&published, NOW), Err(Error::Malformed { .. })));
        assert!(matches!(chat.add(&[published], NOW), Err(Error::Malformed { .. })));
    }

    assert!(store::records(&store) == before);
}

#[test]
fn a_welcome_is_for_whom_it_was_made() {
    let (mut alice, mut bob, _) = pair(Handshake::Assisted);
    let mut carol = client("carol");
    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    let welcome = pending.welcome().unwrap();

    assert!(matches!(client("dave").join(welcome, NOW), Err(Error::NotInvited)));
    assert!(matches!(bob.join(welcome, NOW), Err(Error::NotInvited)));
    carol.join(welcome, NOW).unwrap();
    assert!(matches!(carol.join(welcome, NOW), Err(Error::NotInvited)));
}
