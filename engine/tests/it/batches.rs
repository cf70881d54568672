//! Tests of many messages in one call. The results equal those of single calls, and the store is
//! written once.

use std::sync::Arc;

use crate::common::{
    store::{FaultyStore, records},
    *,
};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use regrow_engine::{
    Authenticate, Client, Error, GroupId, HandshakeMode, IdentityClaim, MemoryStore, PendingCommit, Policy,
    ReceivedEvent, StorageError,
};

/// Creates the sender Alice and the receiver Bob. Bob's store counts its batches.
fn pair() -> (Client, Client, FaultyStore) {
    let store = FaultyStore::new();
    let (mut alice, mut bob) = (client("alice"), client_over(&store, "bob"));
    make_group(&mut [&mut alice, &mut bob]);
    store.take_batches();
    (alice, bob, store)
}

/// Creates a commit of Alice that the service accepts.
fn commit(alice: &mut Client) -> Vec<u8> {
    let pending = alice.group(&group()).unwrap().update().unwrap();
    let bytes = pending.commit().to_vec();
    alice.confirm(pending, NOW).unwrap();
    bytes
}

#[test]
fn a_batch_is_written_once() {
    let (mut alice, mut bob, store) = pair();
    let mut messages = Vec::new();
    for epoch in 0..3 {
        messages.extend((0..50).map(|number| send(&mut alice, format!("{epoch} {number}").as_bytes())));
        messages.push(commit(&mut alice));
    }

    let results = bob.receive_all(&messages, NOW).unwrap();

    assert_eq!(store.take_batches().len(), 1);
    assert_eq!(results.len(), messages.len());
    let texts = results.iter().filter_map(|result| match &result.as_ref().unwrap().event {
        ReceivedEvent::Message(message) => Some(String::from_utf8(message.text.to_vec()).unwrap()),
        _ => None,
    });
    assert!(texts.eq((0..3).flat_map(|epoch| (0..50).map(move |number| format!("{epoch} {number}")))));
    assert_same_epoch(&mut [&mut alice, &mut bob]);
    assert_same_epoch(&mut [&mut alice, &mut reopen(&store)]);
}

#[test]
fn empty_and_useless_batches_write_nothing() {
    let (_, mut bob, store) = pair();

    assert!(bob.receive_all(&[b""; 0], NOW).unwrap().is_empty());
    assert!(bob.receive_all(&[b"rubbish"], NOW).unwrap()[0].is_err());

    assert!(store.take_batches().is_empty());
}

#[test]
fn a_failing_message_does_not_affect_its_batch() {
    let (mut alice, mut bob, store) = pair();
    let whole = [send(&mut alice, b"one"), commit(&mut alice), send(&mut alice, b"two")];
    let mut forged = send(&mut alice, b"forged");
    *forged.last_mut().unwrap() ^= 1;
    let untouched = copy(&store.records);
    let mut other = reopen(&untouched);

    let results = bob.receive_all(&[&whole[0], &forged, &whole[1], &forged, &whole[2], &whole[2]], NOW).unwrap();
    bob.acknowledge().unwrap();
    for bytes in &whole {
        hear(&mut other, bytes);
    }

    assert!(matches!(results[0], Ok(ref received) if matches!(received.event, ReceivedEvent::Message(_))));
    assert!(matches!(results[1], Err(Error::FutureEpoch { .. })));
    assert!(matches!(results[3], Err(Error::Invalid { .. })));
    assert!(matches!(results[4], Ok(ref received) if matches!(received.event, ReceivedEvent::Message(_))));
    assert!(matches!(results[5], Ok(ref received) if matches!(received.event, ReceivedEvent::Ignored(_))));
    drop(other);
    assert_eq!(state(&store.records), state(&untouched));
}

/// Returns the contents of the store, for comparison. OpenMLS stores a system time with an epoch's
/// message secrets. So only the secrets of that record are returned. (The generations of the
/// ratchets follow from the secrets.)
fn state(store: &MemoryStore) -> Vec<(String, Vec<Vec<u8>>)> {
    let snapshot = reopen(store).snapshot().unwrap();
    let records = snapshot.records().iter().map(|record| {
        let secrets = record.name().ends_with("message secrets");
        (record.name(), if secrets { tape::byte_strings(record.value()) } else { vec![record.value().to_vec()] })
    });
    records.collect()
}

/// Returns a second store with the same records.
fn copy(store: &MemoryStore) -> MemoryStore {
    use regrow_engine::{Batch, Store as _, Value};
    let (copy, mut batch) = (MemoryStore::new(), Batch::default());
    for (key, value) in records(store) {
        batch.put(key, Value::new(value));
    }
    copy.apply(batch).unwrap();
    copy
}

/// Accepts every identity except Carol's.
struct WithoutCarol;

impl Authenticate for WithoutCarol {
    fn authenticate(&self, claim: &IdentityClaim) -> Result<(), String> {
        if claim.device == device("carol") { Err("not in the directory".into()) } else { Ok(()) }
    }
}

/// The commit's key is used up and its ratchet is advanced before the engine checks the commit.
#[test]
fn a_refused_commit_in_a_batch_can_be_refused_again() {
    let policy = Policy { handshake: HandshakeMode::Opaque, ..policy() };
    let mut alice = client_in(&MemoryStore::new(), "alice", policy.clone());
    let (store, mut carol) = (MemoryStore::new(), client_in(&MemoryStore::new(), "carol", policy.clone()));
    let mut bob = client_in(&store, "bob", policy).with_authentication(Arc::new(WithoutCarol));
    make_group(&mut [&mut alice, &mut bob]);
    let message = send(&mut alice, b"one");
    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    let untouched = copy(&store);

    let results = bob.receive_all(&[&message[..], pending.commit(), pending.commit()], NOW).unwrap();

    for result in &results[1..] {
        assert!(matches!(result, Err(Error::Refused(_))), "{result:?}");
    }
    reopen(&untouched).receive(&message, NOW).unwrap();
    assert_eq!(state(&store), state(&untouched));
}

#[test]
fn a_batch_with_a_failed_write_receives_no_message() {
    let (mut alice, mut bob, store) = pair();
    let messages = [send(&mut alice, b"one"), commit(&mut alice), send(&mut alice, b"two")];
    let before = (records(&store.records), epoch(&mut bob));

    store.fail_writes();
    assert!(matches!(bob.receive_all(&messages, NOW), Err(Error::Storage(StorageError::Store(_)))));
    assert!(store.heal());

    assert!(before == (records(&store.records), epoch(&mut bob)));
    assert!(bob.receive_all(&messages, NOW).unwrap().iter().all(Result::is_ok));
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_batch_with_a_failed_read_receives_no_message() {
    let (mut alice, mut bob, store) = pair();
    let messages = [send(&mut alice, b"one"), commit(&mut alice), send(&mut alice, b"two")];
    let before = records(&store.records);

    for reads in 0.. {
        store.fail_reads_after(reads);
        let result = bob.receive_all(&messages, NOW);
        if !store.heal() {
            assert!(reads > 3 && result.unwrap().iter().all(Result::is_ok));
            break;
        }
        assert!(matches!(result, Err(Error::Storage(StorageError::Store(_)))), "{reads}: {result:?}");
        assert!(before == records(&store.records), "{reads}");
    }
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn messages_after_the_own_removal_in_a_batch_fail() {
    let (mut alice, mut bob, store) = pair();
    let first = send(&mut alice, b"one");
    let pending = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();
    let removal = pending.commit().to_vec();
    alice.confirm(pending, NOW).unwrap();
    let second = send(&mut alice, b"two");

    let results = bob.receive_all(&[first, removal, second], NOW).unwrap();

    assert!(matches!(&results[1].as_ref().unwrap().event, ReceivedEvent::Removed { .. }));
    assert!(matches!(&results[2], Err(Error::Removed { .. })));
    assert!(matches!(bob.group(&group()), Err(Error::Removed { .. })));
    bob.acknowledge().unwrap();
    // The device's own record, its signature key, and the record of the removal.
    assert_eq!(records(&store.records).len(), 3);
}

#[test]
fn a_batch_confirms_the_own_external_commit() {
    let (mut alice, mut bob, store) = pair();
    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    alice.receive(pending.commit(), NOW).unwrap();
    let messages = [pending.commit().to_vec(), send(&mut alice, b"again"), commit(&mut alice)];
    store.take_batches();

    let results = bob.receive_all(&messages, NOW).unwrap();

    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(store.take_batches().len(), 1);
    assert!(bob.pending().unwrap().is_empty());
    assert_same_epoch(&mut [&mut alice, &mut bob]);
    assert_same_epoch(&mut [&mut alice, &mut reopen(&store)]);
}

/// A message for Bob.
#[derive(Clone, Debug)]
enum MessageForBob {
    Say(bool),
    Update(bool),
    ProposeUpdate(bool),
    Commit(bool),
    /// Bob's own commit returns. The service has accepted it, and Bob has not been told.
    Own,
    /// Bob's external commit to the first group returns.
    Rejoin,
    Remove,
    Repeat(Index),
    Damage(Index, Index),
}

fn step() -> impl Strategy<Value = MessageForBob> {
    let index = any::<Index>;
    prop_oneof![
        6 => any::<bool>().prop_map(MessageForBob::Say),
        3 => any::<bool>().prop_map(MessageForBob::Update),
        2 => any::<bool>().prop_map(MessageForBob::ProposeUpdate),
        2 => any::<bool>().prop_map(MessageForBob::Commit),
        1 => Just(MessageForBob::Own),
        1 => Just(MessageForBob::Rejoin),
        1 => Just(MessageForBob::Remove),
        2 => index().prop_map(MessageForBob::Repeat),
        2 => (index(), index()).prop_map(|(which, at)| MessageForBob::Damage(which, at)),
    ]
}

/// Alice and Bob in two groups, and the messages for Bob.
struct BatchTest {
    groups: [GroupId; 2],
    alice: Client,
    messages: Vec<Vec<u8>>,
    is_removed: bool,
}

/// Returns the messages for Bob in these steps, and Bob's store before he receives them.
fn play(steps: &[MessageForBob], policy: &Policy) -> (MemoryStore, Vec<Vec<u8>>) {
    let store = MemoryStore::new();
    let alice = client_in(&MemoryStore::new(), "alice", policy.clone());
    let mut bob = client_in(&store, "bob", policy.clone());
    let groups = [group(), GroupId::new("other").unwrap()];
    let mut test = BatchTest { groups, alice, messages: Vec::new(), is_removed: false };
    test.make_groups(&mut bob);
    test.let_bob_commit(&mut bob, steps);
    for step in steps {
        let message = test.message(step);
        test.messages.extend(message);
    }
    (store, test.messages)
}

impl BatchTest {
    fn make_groups(&mut self, bob: &mut Client) {
        for id in &self.groups {
            let key_packages = [key_package(bob)];
            let pending = self.alice.create_group(id.clone(), NOW).unwrap().add(&key_packages, NOW).unwrap();
            let welcome = pending.welcome().unwrap().to_vec();
            self.alice.confirm(pending, NOW).unwrap();
            bob.join(&welcome, NOW).unwrap();
        }
    }

    /// Bob makes his own commits now, in his first epochs. The service orders them first, or not at
    /// all.
    fn let_bob_commit(&mut self, bob: &mut Client, steps: &[MessageForBob]) {
        let first = |wanted: fn(&MessageForBob) -> bool| steps.iter().any(wanted);
        if first(|step| matches!(step, MessageForBob::Rejoin)) {
            let info = self.alice.group(&self.groups[0]).unwrap().group_info().unwrap();
            let pending = bob.join_external(&info).unwrap();
            self.alice.receive(pending.commit(), NOW).unwrap();
            self.messages.push(pending.commit().to_vec());
        }
        if first(|step| matches!(step, MessageForBob::Own)) {
            let pending = bob.group(&self.groups[1]).unwrap().rotate_signature_key().unwrap();
            self.alice.receive(pending.commit(), NOW).unwrap();
            self.messages.push(pending.commit().to_vec());
        }
    }

    /// Makes the message of the step, if there is one.
    fn message(&mut self, step: &MessageForBob) -> Option<Vec<u8>> {
        let id = |first: &bool| &self.groups[usize::from(!first)];
        let bytes = match step {
            MessageForBob::Say(which) => match self.alice.group(id(which)).unwrap().send(b"something to say") {
                Ok(bytes) => bytes,
                Err(Error::ProposalsWait) => return None,
                Err(error) => panic!("{error}"),
            },
            MessageForBob::Update(which) => {
                let pending = self.alice.group(id(which)).unwrap().update().unwrap();
                self.confirm(pending)
            }
            MessageForBob::ProposeUpdate(which) => {
                self.alice.group(id(which)).unwrap().propose_update().unwrap().as_bytes().to_vec()
            }
            // Alice cannot commit her own proposals. She makes another commit, which ends them with
            // their epoch.
            MessageForBob::Commit(which) => {
                let pending = self.alice.group(id(which)).unwrap().rotate_signature_key().unwrap();
                self.confirm(pending)
            }
            MessageForBob::Remove if !self.is_removed => {
                self.is_removed = true;
                let pending = self.alice.group(&self.groups[0]).unwrap().remove(&[device("bob")]).unwrap();
                self.confirm(pending)
            }
            MessageForBob::Repeat(which) if !self.messages.is_empty() => which.get(&self.messages).clone(),
            MessageForBob::Damage(which, at) if !self.messages.is_empty() => {
                let mut bytes = which.get(&self.messages).clone();
                let at = at.index(bytes.len());
                bytes[at] ^= 1;
                bytes
            }
            _ => return None,
        };
        Some(bytes)
    }

    /// Confirms Alice's commit, and returns its bytes.
    fn confirm(&mut self, pending: PendingCommit) -> Vec<u8> {
        let bytes = pending.commit().to_vec();
        self.alice.confirm(pending, NOW).unwrap();
        bytes
    }
}

#[test]
fn batches_of_any_size_give_the_results_of_single_messages() {
    let strategy =
        (prop::collection::vec(step(), 1..40), prop::collection::vec(1..12_usize, 40), any::<bool>(), 0..3_usize);
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let outcome = runner.run(&strategy, |(steps, sizes, opaque, past_epochs)| {
        let handshake = if opaque { HandshakeMode::Opaque } else { HandshakeMode::Assisted };
        let policy = Policy { handshake, past_epochs, ..policy() };
        let (store, heard) = play(&steps, &policy);
        let (one_by_one, batches) = (copy(&store), copy(&store));
        let open = |store: &MemoryStore| {
            Client::open(Arc::new(store.clone()), regrow_engine::default_crypto(), policy.clone()).unwrap()
        };

        let mut bob = open(&one_by_one);
        let expected: Vec<_> = heard.iter().map(|bytes| format!("{:?}", bob.receive(bytes, NOW))).collect();
        let mut bob = open(&batches);
        let (mut rest, mut results) = (&heard[..], Vec::new());
        for size in sizes.iter().cycle() {
            let (page, left) = rest.split_at((*size).min(rest.len()));
            results.extend(bob.receive_all(page, NOW).unwrap().iter().map(|result| format!("{result:?}")));
            rest = left;
            if rest.is_empty() {
                break;
            }
        }

        bob.acknowledge().unwrap();
        open(&one_by_one).acknowledge().unwrap();
        prop_assert_eq!(results, expected);
        prop_assert_eq!(state(&one_by_one), state(&batches));
        Ok(())
    });
    outcome.unwrap();
}
