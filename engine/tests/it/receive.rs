//! Tests of deliveries in any order and any number.

use crate::common::*;
use regrow_engine::{Client, Error, GroupId, HandshakeMode, Ignored, MemoryStore, Policy, ReceivedEvent};

/// Receives the bytes and checks that the device's state does not change. Returns the result.
fn assert_unmoved(client: &mut Client, store: &MemoryStore, bytes: &[u8]) -> Result<ReceivedEvent, Error> {
    let before = (store::records(store), client.group(&group()).unwrap().epoch_authenticator().unwrap());
    let result = client.receive(bytes, NOW).map(|received| received.event);
    client.acknowledge().unwrap();
    let after = (store::records(store), client.group(&group()).unwrap().epoch_authenticator().unwrap());
    assert!(before == after, "the state has changed: {result:?}");
    result
}

fn pair(handshake: HandshakeMode) -> (Client, Client, MemoryStore) {
    let store = MemoryStore::new();
    let policy = Policy { handshake, ..policy() };
    let mut alice = client_in(&MemoryStore::new(), "alice", policy.clone());
    let mut bob = client_in(&store, "bob", policy);
    make_group(&mut [&mut alice, &mut bob]);
    (alice, bob, store)
}

#[test]
fn an_own_message_that_is_delivered_is_recognized() {
    let (_, mut bob, store) = pair(HandshakeMode::Assisted);
    let message = send(&mut bob, b"mine");

    let event = assert_unmoved(&mut bob, &store, &message);

    assert!(matches!(event, Ok(ReceivedEvent::Own)), "{event:?}");
}

#[test]
fn a_message_is_read_once() {
    let (mut alice, mut bob, store) = pair(HandshakeMode::Assisted);
    let messages = [send(&mut alice, b"one"), send(&mut alice, b"two")];
    for message in &messages {
        read(&mut bob, message);
    }

    for message in &messages {
        let event = assert_unmoved(&mut bob, &store, message);
        assert!(matches!(event, Ok(ReceivedEvent::Ignored(Ignored::AlreadyRead))), "{event:?}");
    }
}

#[test]
fn repeated_handshakes_have_no_effect() {
    for handshake in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let (mut alice, mut bob, store) = pair(handshake);
        let pending = alice.group(&group()).unwrap().update().unwrap();
        let commit = pending.commit().to_vec();
        accept(&mut alice, pending, &mut [&mut bob]);

        let event = assert_unmoved(&mut bob, &store, &commit);

        assert!(matches!(event, Ok(ReceivedEvent::Ignored(Ignored::PastEpoch))), "{event:?}");
        assert!(matches!(alice.receive(&commit, NOW).unwrap().event, ReceivedEvent::Ignored(Ignored::PastEpoch)));
    }
}

#[test]
fn a_message_of_a_past_epoch_is_too_old() {
    let (mut alice, mut bob, store) = pair(HandshakeMode::Assisted);
    let message = send(&mut alice, b"late");
    update(&mut alice, &mut [&mut bob]);

    let event = assert_unmoved(&mut bob, &store, &message);

    assert!(matches!(event, Ok(ReceivedEvent::Ignored(Ignored::TooOld))), "{event:?}");
}

#[test]
fn a_message_of_a_future_epoch_reports_a_gap() {
    for handshake in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
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
fn messages_of_unknown_groups_are_refused() {
    let (mut alice, mut bob, store) = pair(HandshakeMode::Assisted);
    let other = GroupId::new("other").unwrap();
    let message = alice.create_group(other.clone(), NOW).unwrap().send(b"elsewhere").unwrap();

    let error = assert_unmoved(&mut bob, &store, &message);

    assert!(matches!(error, Err(Error::UnknownGroup { group }) if group == other));
}

#[test]
fn messages_of_another_group_with_the_same_name_are_invalid() {
    let (_, mut bob, store) = pair(HandshakeMode::Assisted);
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
fn messages_of_a_removed_member_are_not_read() {
    let (mut alice, mut bob, _) = pair(HandshakeMode::Assisted);
    let pending = bob.group(&group()).unwrap().remove(&[device("alice")]).unwrap();
    let ordered = pending.commit().to_vec();
    bob.confirm(pending, NOW).unwrap();
    hear(&mut bob, &ordered);

    let late = alice.group(&group()).unwrap().update().unwrap();
    assert!(matches!(bob.receive(late.commit(), NOW).unwrap().event, ReceivedEvent::Ignored(Ignored::PastEpoch)));
    alice.confirm(late, NOW).unwrap();

    // Alice is now in a different epoch with the same number.
    let forged = send(&mut alice, b"still here");
    assert!(matches!(bob.receive(&forged, NOW), Err(Error::Invalid { .. })));
}

#[test]
fn truncated_bytes_are_malformed() {
    let (mut alice, mut bob, store) = pair(HandshakeMode::Assisted);
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
fn each_call_refuses_other_kinds_of_messages() {
    let (mut alice, mut bob, store) = pair(HandshakeMode::Assisted);
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
fn only_the_added_device_can_use_a_welcome() {
    let (mut alice, mut bob, _) = pair(HandshakeMode::Assisted);
    let mut carol = client("carol");
    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    let welcome = pending.welcome().unwrap();

    assert!(matches!(client("dave").join(welcome, NOW), Err(Error::NotInvited)));
    assert!(matches!(bob.join(welcome, NOW), Err(Error::NotInvited)));
    carol.join(welcome, NOW).unwrap();
    assert!(matches!(carol.join(welcome, NOW), Err(Error::NotInvited)));
}
