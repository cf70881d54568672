//! What a device chooses, and that it gets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use openmls::prelude::{MlsMessageBodyIn, MlsMessageIn, tls_codec::DeserializeBytes as _};
use regrow_engine::{Client, Error, Event, Handshake, Ignored, MemoryStore, Policy};

/// Two members, of which the second goes by this policy, and its store.
fn pair(policy: &Policy) -> (Client, Client, MemoryStore) {
    let store = MemoryStore::new();
    let mut alice = client_in(&MemoryStore::new(), "alice", policy.clone());
    let mut bob = client_in(&store, "bob", policy.clone());
    make_group(&mut [&mut alice, &mut bob]);
    (alice, bob, store)
}

#[test]
fn messages_of_as_many_past_epochs_as_chosen_can_be_read() {
    for kept in [0, 1, 3] {
        let (mut alice, mut bob, _) = pair(&Policy { past_epochs: kept, ..policy() });
        let mut late = Vec::new();
        for _ in 0..5 {
            late.push(send(&mut alice, b"late"));
            update(&mut alice, &mut [&mut bob]);
        }

        let readable = |bob: &mut Client, message: &[u8]| match bob.receive(message, NOW).unwrap().event {
            Event::Message(_) => true,
            Event::Ignored(Ignored::TooOld) => false,
            other => panic!("{other:?}"),
        };
        let read: Vec<bool> = late.iter().map(|message| readable(&mut bob, message)).collect();

        assert_eq!(read, [4, 3, 2, 1, 0].map(|age| age < kept));
        let again: Vec<bool> =
            late.iter().map(|message| matches!(bob.receive(message, NOW).unwrap().event, Event::Ignored(_))).collect();
        assert_eq!(again, [true; 5], "a late message was read twice");
    }
}

#[test]
fn messages_out_of_order_are_read_within_the_tolerance() {
    let (mut alice, mut bob, _) = pair(&Policy { out_of_order: 2, ..policy() });
    let messages: Vec<_> = (0..4).map(|_| send(&mut alice, b"text")).collect();
    read(&mut bob, &messages[3]);

    assert!(matches!(bob.receive(&messages[0], NOW).unwrap().event, Event::Ignored(Ignored::TooOld)));
    assert_eq!(read(&mut bob, &messages[2]), b"text");
    let again = bob.receive(&messages[2], NOW).unwrap().event;
    assert!(matches!(again, Event::Ignored(Ignored::AlreadyRead)), "{again:?}");
}

#[test]
fn a_sender_of_whom_too_much_is_missing_is_not_read() {
    let (mut alice, mut bob, store) = pair(&Policy { max_forward: 3, ..policy() });
    let messages: Vec<_> = (0..5).map(|_| send(&mut alice, b"text")).collect();
    let before = store::records(&store);

    assert!(matches!(bob.receive(&messages[4], NOW), Err(Error::Gap)));

    assert!(store::records(&store) == before);
    assert_eq!(read(&mut bob, &messages[3]), b"text");
    assert_eq!(read(&mut bob, &messages[4]), b"text");
}

#[test]
fn a_messages_length_is_hidden_up_to_the_padding() {
    // Who created the group, who joined by welcome, and who joined from outside.
    let policy = Policy { padding: 128, ..policy() };
    let (mut alice, mut bob, _) = pair(&policy);
    let mut carol = client_in(&MemoryStore::new(), "carol", policy);
    let pending = carol.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut carol, pending, &mut [&mut alice, &mut bob]);

    for sender in [&mut alice, &mut bob, &mut carol] {
        let short = send(sender, b"y").len();
        assert_eq!(send(sender, b"no, certainly not").len(), short);
        assert_eq!(send(sender, b"").len(), short);
        assert_eq!(send(sender, &[b'x'; 128]).len(), short + 128);
    }
}

#[test]
fn the_default_pads() {
    let policy = Policy { padding: Policy::default().padding, ..policy() };
    let (mut alice, _, _) = pair(&policy);

    assert_eq!(send(&mut alice, b"yes").len(), send(&mut alice, b"no").len());
}

#[test]
fn handshakes_travel_as_chosen() {
    for handshake in [Handshake::Assisted, Handshake::Opaque] {
        let (mut alice, mut bob, _) = pair(&Policy { handshake, ..policy() });
        let proposal = bob.group(&group()).unwrap().propose_update().unwrap();
        let commit = alice.group(&group()).unwrap().update().unwrap();

        for bytes in [proposal.as_bytes(), commit.commit()] {
            let public = match MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap().extract() {
                MlsMessageBodyIn::PublicMessage(_) => true,
                MlsMessageBodyIn::PrivateMessage(_) => false,
                other => panic!("{other:?}"),
            };
            assert_eq!(public, handshake == Handshake::Assisted);
        }
    }
}

#[test]
fn opaque_groups_refuse_handshakes_in_the_open() {
    let (mut alice, mut bob, _) = pair(&Policy { handshake: Handshake::Opaque, ..policy() });
    let mut carol = client("carol");
    let add = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    carol.join(add.welcome().unwrap(), NOW).unwrap();
    accept(&mut alice, add, &mut [&mut bob]);

    let open = carol.group(&group()).unwrap().update().unwrap();

    assert!(matches!(bob.receive(open.commit(), NOW), Err(Error::HandshakeMode)));
}

#[test]
fn a_group_info_is_made_where_it_is_wanted() {
    for wanted in [true, false] {
        let (mut alice, _, _) = pair(&Policy { publish_group_info: wanted, ..policy() });

        let pending = alice.group(&group()).unwrap().update().unwrap();

        assert_eq!(pending.group_info().is_some(), wanted);
    }
}

#[test]
fn all_members_export_the_same_secret_and_no_length_is_too_much_to_ask() {
    let (mut alice, mut bob, _) = pair(&policy());
    let export = |client: &mut Client, length| client.group(&group()).unwrap().export_secret("files", b"7", length);

    assert_eq!(*export(&mut alice, 32).unwrap(), *export(&mut bob, 32).unwrap());
    assert_ne!(
        *export(&mut alice, 32).unwrap(),
        *alice.group(&group()).unwrap().export_secret("files", b"8", 32).unwrap()
    );
    for length in [8161, 65_535, 65_536, usize::MAX] {
        assert!(matches!(export(&mut alice, length), Err(Error::Invalid { .. })), "{length}");
    }
    assert!(alice.group(&group()).unwrap().export_secret(&"x".repeat(300), b"", 32).is_ok());
}
