//! Tests that the settings of the policy take effect.

use crate::common::*;
use openmls::prelude::{MlsMessageBodyIn, MlsMessageIn, tls_codec::DeserializeBytes as _};
use regrow_engine::{Client, Error, HandshakeMode, Ignored, MemoryStore, Policy, ReceivedEvent};

/// Creates two members with this policy. Returns them and the store of the second one.
fn pair(policy: &Policy) -> (Client, Client, MemoryStore) {
    let store = MemoryStore::new();
    let mut alice = client_in(&MemoryStore::new(), "alice", policy.clone());
    let mut bob = client_in(&store, "bob", policy.clone());
    make_group(&mut [&mut alice, &mut bob]);
    (alice, bob, store)
}

#[test]
fn messages_of_the_configured_past_epochs_can_be_read() {
    for kept in [0, 1, 3] {
        let (mut alice, mut bob, _) = pair(&Policy { past_epochs: kept, ..policy() });
        let mut late = Vec::new();
        for _ in 0..5 {
            late.push(send(&mut alice, b"late"));
            update(&mut alice, &mut [&mut bob]);
        }

        let readable = |bob: &mut Client, message: &[u8]| match bob.receive(message, NOW).unwrap().event {
            ReceivedEvent::Message(_) => true,
            ReceivedEvent::Ignored(Ignored::TooOld) => false,
            other => panic!("{other:?}"),
        };
        let read: Vec<bool> = late.iter().map(|message| readable(&mut bob, message)).collect();

        assert_eq!(read, [4, 3, 2, 1, 0].map(|age| age < kept));
        let again: Vec<bool> = late
            .iter()
            .map(|message| matches!(bob.receive(message, NOW).unwrap().event, ReceivedEvent::Ignored(_)))
            .collect();
        assert_eq!(again, [true; 5], "a late message was read twice");
    }
}

#[test]
fn messages_out_of_order_are_read_within_the_tolerance() {
    let (mut alice, mut bob, _) = pair(&Policy { out_of_order: 2, ..policy() });
    let messages: Vec<_> = (0..4).map(|_| send(&mut alice, b"text")).collect();
    read(&mut bob, &messages[3]);

    assert!(matches!(bob.receive(&messages[0], NOW).unwrap().event, ReceivedEvent::Ignored(Ignored::TooOld)));
    assert_eq!(read(&mut bob, &messages[2]), b"text");
    let again = bob.receive(&messages[2], NOW).unwrap().event;
    assert!(matches!(again, ReceivedEvent::Ignored(Ignored::AlreadyRead)), "{again:?}");
}

#[test]
fn a_message_after_a_too_large_gap_is_not_read() {
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
    // The creator, a member that joined by welcome, and a member that joined by external commit.
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
fn the_default_policy_pads_messages() {
    let policy = Policy { padding: Policy::default().padding, ..policy() };
    let (mut alice, _, _) = pair(&policy);

    assert_eq!(send(&mut alice, b"yes").len(), send(&mut alice, b"no").len());
}

#[test]
fn handshakes_are_sent_in_the_configured_mode() {
    for handshake in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let (mut alice, mut bob, _) = pair(&Policy { handshake, ..policy() });
        let proposal = bob.group(&group()).unwrap().propose_update().unwrap();
        let commit = alice.group(&group()).unwrap().update().unwrap();

        for bytes in [proposal.as_bytes(), commit.commit()] {
            let public = match MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap().extract() {
                MlsMessageBodyIn::PublicMessage(_) => true,
                MlsMessageBodyIn::PrivateMessage(_) => false,
                other => panic!("{other:?}"),
            };
            assert_eq!(public, handshake == HandshakeMode::Assisted);
        }
    }
}

#[test]
fn opaque_groups_refuse_public_handshakes() {
    let (mut alice, mut bob, _) = pair(&Policy { handshake: HandshakeMode::Opaque, ..policy() });
    let mut carol = client("carol");
    let add = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    carol.join(add.welcome().unwrap(), NOW).unwrap();
    accept(&mut alice, add, &mut [&mut bob]);

    let open = carol.group(&group()).unwrap().update().unwrap();

    assert!(matches!(bob.receive(open.commit(), NOW), Err(Error::HandshakeMode)));
}

#[test]
fn a_group_info_is_made_if_configured() {
    for wanted in [true, false] {
        let (mut alice, _, _) = pair(&Policy { publish_group_info: wanted, ..policy() });

        let pending = alice.group(&group()).unwrap().update().unwrap();

        assert_eq!(pending.group_info().is_some(), wanted);
    }
}

#[test]
fn members_export_equal_secrets_and_too_long_ones_fail() {
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
