//! Tests with hostile input: damaged messages and random bytes. No call panics, and no state
//! changes.

use std::sync::OnceLock;

use crate::common::*;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use regrow_engine::{
    Client, DeviceId, Error, HandshakeMode, JoinMessage, KeyPackageBytes, Lost, MemoryStore, Policy, ReceivedEvent,
};

/// The number of inputs with which each property is tested.
const CASES: u32 = 4000;

/// Creates a runner with fixed inputs, so that a failure is reproducible.
fn runner() -> TestRunner {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// One change to a message.
#[derive(Clone, Debug)]
enum MessageDamage {
    Flip(prop::sample::Index, u8),
    Truncate(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    /// Replaces the rest of the message by the rest of another message.
    Splice(prop::sample::Index, usize, prop::sample::Index),
    Noise(Vec<u8>),
}

fn damage() -> impl Strategy<Value = (usize, Vec<MessageDamage>)> {
    let index = any::<prop::sample::Index>;
    let one = prop_oneof![
        6 => (index(), 1..=u8::MAX).prop_map(|(at, bits)| MessageDamage::Flip(at, bits)),
        1 => index().prop_map(MessageDamage::Truncate),
        1 => (index(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| MessageDamage::Insert(at, bytes)),
        2 => (index(), any::<usize>(), index()).prop_map(|(at, other, from)| MessageDamage::Splice(at, other, from)),
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(MessageDamage::Noise),
    ];
    (any::<usize>(), prop::collection::vec(one, 1..4))
}

fn damaged(messages: &[Vec<u8>], (which, damages): &(usize, Vec<MessageDamage>)) -> Vec<u8> {
    let mut bytes = messages[which % messages.len()].clone();
    for damage in damages {
        let at = |index: &prop::sample::Index| if bytes.is_empty() { 0 } else { index.index(bytes.len()) };
        match damage {
            MessageDamage::Flip(index, bits) => {
                let at = at(index);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                }
            }
            MessageDamage::Truncate(index) => bytes.truncate(at(index)),
            MessageDamage::Insert(index, more) => {
                let at = at(index);
                bytes.splice(at..at, more.iter().copied());
            }
            MessageDamage::Splice(index, other, from) => {
                let other = &messages[other % messages.len()];
                bytes.truncate(at(index));
                bytes.extend_from_slice(&other[from.index(other.len())..]);
            }
            MessageDamage::Noise(noise) => bytes.clone_from(noise),
        }
    }
    bytes
}

/// Bob's store, and messages that he could receive.
struct TargetDevice {
    store: MemoryStore,
    messages: Vec<Vec<u8>>,
    welcomes: Vec<Vec<u8>>,
    group_infos: Vec<Vec<u8>>,
    key_packages: Vec<Vec<u8>>,
    policy: Policy,
}

fn target(handshake: HandshakeMode) -> TargetDevice {
    let policy = Policy { handshake, past_epochs: 1, ..policy() };
    let store = MemoryStore::new();
    let new = |user| client_in(&MemoryStore::new(), user, policy.clone());
    let (mut alice, mut bob, mut carol) = (new("alice"), client_in(&store, "bob", policy.clone()), new("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let late = send(&mut alice, b"late");
    let past = alice.group(&group()).unwrap().update().unwrap();
    let past_bytes = past.commit().to_vec();
    accept(&mut alice, past, &mut [&mut bob, &mut carol]);
    let message = send(&mut alice, b"a message");
    let update = carol.group(&group()).unwrap().propose_update().unwrap().as_bytes().to_vec();
    let removal = carol.group(&group()).unwrap().propose_remove(&device("bob")).unwrap().as_bytes().to_vec();
    let mut dave = new("dave");
    let daves = key_package(&mut dave);
    let add = carol.group(&group()).unwrap().propose_add(&daves, NOW).unwrap().as_bytes().to_vec();
    let bobs = key_package(&mut bob);
    let commit = alice.group(&group()).unwrap().add(std::slice::from_ref(&daves), NOW).unwrap();
    let other = alice.create_group(group_named("other"), NOW).unwrap().add(std::slice::from_ref(&bobs), NOW).unwrap();
    alice.confirm(other.clone(), NOW).unwrap();
    let elsewhere = alice.group(other.group()).unwrap().send(b"elsewhere").unwrap();
    let open = dave.create_group(group_named("open"), NOW).unwrap().group_info().unwrap();
    let external = new("erin").join_external(&group_info(&mut bob)).unwrap();
    alice.confirm(commit.clone(), NOW).unwrap();
    let early = send(&mut alice, b"early");
    TargetDevice {
        store,
        messages: vec![
            message,
            commit.commit().to_vec(),
            update,
            removal,
            add,
            external.commit().to_vec(),
            late,
            past_bytes,
            elsewhere,
            early,
        ],
        welcomes: vec![other.welcome().unwrap().to_vec(), commit.welcome().unwrap().to_vec()],
        group_infos: vec![open, commit.group_info().unwrap().to_vec()],
        key_packages: vec![daves.into_bytes(), bobs.into_bytes()],
        policy,
    }
}

impl TargetDevice {
    fn all(&self) -> Vec<Vec<u8>> {
        [&self.messages, &self.welcomes, &self.group_infos, &self.key_packages].into_iter().flatten().cloned().collect()
    }

    /// Returns a copy of Bob's device and its store. Each test has its own copy, because tests run
    /// in parallel.
    fn bob(&self) -> (MemoryStore, Client) {
        let open = |store: &MemoryStore| {
            Client::open(std::sync::Arc::new(store.clone()), regrow_engine::default_crypto(), self.policy.clone())
                .unwrap()
        };
        let store = open(&self.store).snapshot().unwrap().to_store();
        let bob = open(&store);
        (store, bob)
    }

    /// Passes damaged inputs to a call, which must not change the device's state.
    fn assault(&self, seeds: &[Vec<u8>], mut call: impl FnMut(&mut Client, &[u8]) -> Result<(), Error>) {
        let (store, mut bob) = self.bob();
        let before = store::records(&store);
        let authenticator = bob.group(&group()).unwrap().epoch_authenticator().unwrap();
        let bob = std::cell::RefCell::new((bob, &mut call));
        let result = runner().run(&damage(), |damage| {
            let bytes = damaged(seeds, &damage);
            if seeds.contains(&bytes) {
                return Ok(());
            }
            let (bob, call) = &mut *bob.borrow_mut();
            let result = call(bob, &bytes);
            prop_assert!(!matches!(result, Err(Error::Internal { .. } | Error::Storage(_))), "{result:?}");
            prop_assert!(store::records(&store) == before, "the store has changed: {result:?}");
            let now = bob.group(&group()).unwrap().epoch_authenticator().unwrap();
            prop_assert!(now == authenticator, "the epoch has changed: {result:?}");
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{error}"));
    }
}

fn assisted() -> &'static TargetDevice {
    static TARGET: OnceLock<TargetDevice> = OnceLock::new();
    TARGET.get_or_init(|| target(HandshakeMode::Assisted))
}

fn opaque() -> &'static TargetDevice {
    static TARGET: OnceLock<TargetDevice> = OnceLock::new();
    TARGET.get_or_init(|| target(HandshakeMode::Opaque))
}

/// Receives damaged bytes. The call must fail, or the bytes must have no effect, or be a lost
/// commit. (The confirmation tag of an external commit is not signed. A commit with a changed tag
/// counts as its sender's, and cannot be processed.)
fn receive(bob: &mut Client, bytes: &[u8]) -> Result<(), Error> {
    let received = bob.receive(bytes, NOW)?;
    bob.acknowledge()?;
    match received.event {
        ReceivedEvent::Own | ReceivedEvent::Ignored(_) | ReceivedEvent::Lost(Lost::Commit { .. }) => Ok(()),
        taken => panic!("a damaged message was accepted: {taken:?}"),
    }
}

#[test]
fn damaged_messages_change_nothing() {
    assisted().assault(&assisted().messages, receive);
}

#[test]
fn damaged_opaque_messages_change_nothing() {
    opaque().assault(&opaque().messages, receive);
}

#[test]
fn damaged_messages_of_other_kinds_change_nothing() {
    assisted().assault(&assisted().all(), receive);
}

#[test]
fn damaged_welcomes_change_nothing() {
    assisted().assault(&assisted().welcomes, |bob, bytes| bob.join(bytes, NOW).map(drop));
}

#[test]
fn damaged_group_infos_change_nothing() {
    assisted().assault(&assisted().group_infos, |bob, bytes| bob.join_external(bytes).map(drop));
}

#[test]
fn damaged_ratchet_trees_change_nothing() {
    let policy = Policy { send_ratchet_tree: false, ..policy() };
    let (mut alice, mut carol) = (client_in(&MemoryStore::new(), "alice", policy), client("carol"));
    make_group(&mut [&mut alice]);
    let add = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    let group_info = add.group_info().unwrap().to_vec();
    alice.confirm(add, NOW).unwrap();
    let tree = alice.group(&group()).unwrap().ratchet_tree().unwrap();
    assisted().assault(&[tree], |bob, bytes| bob.join_external(JoinMessage::with_tree(&group_info, bytes)).map(drop));
}

#[test]
fn damaged_key_packages_change_nothing() {
    assisted().assault(&assisted().key_packages, |bob, bytes| {
        let bytes = KeyPackageBytes::new(bytes);
        let mut chat = bob.group(&group())?;
        chat.propose_add(&bytes, NOW).map(drop)?;
        chat.add(&[bytes], NOW).map(drop)
    });
}

#[test]
fn a_changed_key_package_is_not_added() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice]);
    let honest = key_package(&mut bob).into_bytes();

    for place in 0..honest.len() {
        let mut changed = honest.clone();
        changed[place] ^= 1;
        let added = alice.group(&group()).unwrap().add(&[KeyPackageBytes::new(changed)], NOW);
        assert!(added.is_err(), "byte {place}");
    }
    let added = alice.group(&group()).unwrap().add(&[KeyPackageBytes::new(honest)], NOW).unwrap();
    assert_eq!(added.added().count(), 1);
}

#[test]
fn one_key_package_with_a_wrong_signature_among_many_is_noticed() {
    const MANY: usize = 20;
    let mut alice = client("alice");
    make_group(&mut [&mut alice]);
    let honest: Vec<_> = (0..MANY).map(|number| key_package(&mut client(&format!("user{number}")))).collect();

    for place in [0, MANY / 2, MANY - 1] {
        let mut key_packages = honest.clone();
        // A key package ends with its signature.
        let mut bytes = key_packages[place].clone().into_bytes();
        *bytes.last_mut().unwrap() ^= 1;
        key_packages[place] = KeyPackageBytes::new(bytes);
        let added = alice.group(&group()).unwrap().add(&key_packages, NOW);
        assert!(matches!(added, Err(Error::Invalid { .. })), "{place}: {added:?}");
    }
    let added = alice.group(&group()).unwrap().add(&honest, NOW).unwrap();
    assert_eq!(added.added().count(), MANY);
}

#[test]
fn an_identity_is_invalid_or_names_exactly_one_device() {
    let names = prop::collection::vec(any::<u8>(), 0..300);
    runner()
        .run(&(names, damage()), |(noise, damage)| {
            let identity = DeviceId::new("alice", "x".repeat(80)).unwrap().to_identity();
            for bytes in [noise, damaged(&[identity], &damage)] {
                if let Ok(device) = DeviceId::from_identity(&bytes) {
                    prop_assert_eq!(device.to_identity(), bytes);
                }
            }
            Ok(())
        })
        .unwrap();
}
