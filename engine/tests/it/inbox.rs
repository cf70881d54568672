//! Tests of the inbox: a received event is stored until the application acknowledges it.

use crate::common::{store::FaultyStore, *};
use regrow_engine::{Client, Error, MemoryStore, MessageId, Received, ReceivedEvent};

fn pair(store: &MemoryStore) -> (Client, Client) {
    let (mut alice, mut bob) = (client("alice"), client_in(store, "bob", policy()));
    make_group(&mut [&mut alice, &mut bob]);
    (alice, bob)
}

/// Returns the texts of the received messages, with their identifiers.
fn texts(received: &[Received]) -> Vec<(MessageId, Vec<u8>)> {
    let text = |received: &Received| match &received.event {
        ReceivedEvent::Message(message) => Some((received.id, message.text.to_vec())),
        _ => None,
    };
    received.iter().filter_map(text).collect()
}

/// Returns true if any record of the device contains these bytes.
fn holds(store: &MemoryStore, bytes: &[u8]) -> bool {
    store::records(store).iter().any(|(_, value)| value.windows(bytes.len()).any(|window| window == bytes))
}

#[test]
fn unacknowledged_events_survive_a_crash() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = pair(&store);
    let page = [send(&mut alice, b"one"), send(&mut alice, b"two")];
    bob.receive_all(&page, NOW).unwrap();
    drop(bob);

    let mut bob = reopen(&store);

    let expected = [(MessageId::of(&page[0]), b"one".to_vec()), (MessageId::of(&page[1]), b"two".to_vec())];
    assert_eq!(texts(&bob.unacknowledged().unwrap()), expected);
    assert_eq!(texts(&bob.unacknowledged().unwrap()), expected, "events stay until they are acknowledged");
    bob.acknowledge().unwrap();
    assert!(bob.unacknowledged().unwrap().is_empty());
    assert!(reopen(&store).unacknowledged().unwrap().is_empty());
}

#[test]
fn unacknowledged_events_of_an_earlier_process_block_receiving() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = pair(&store);
    bob.receive(&send(&mut alice, b"one"), NOW).unwrap();
    let next = send(&mut alice, b"two");
    let mut bob = reopen(&store);
    let before = store::records(&store);

    assert!(matches!(bob.receive(&next, NOW), Err(Error::Unacknowledged)));
    assert!(matches!(bob.receive_all(&[&next], NOW), Err(Error::Unacknowledged)));

    assert!(store::records(&store) == before);
    send(&mut bob, b"all else can be done");
    bob.acknowledge().unwrap();
    assert_eq!(read(&mut bob, &next), b"two");
}

#[test]
fn the_next_receive_call_acknowledges_the_previous_one() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = pair(&store);
    bob.receive(&send(&mut alice, b"the first text"), NOW).unwrap();
    assert!(holds(&store, b"the first text"));

    let second = send(&mut alice, b"the second text");
    bob.receive(&second, NOW).unwrap();

    assert!(!holds(&store, b"the first text"));
    assert!(holds(&store, b"the second text"));
    // The repeated message has no effect, but the call acknowledges the previous one.
    bob.receive(&second, NOW).unwrap();
    assert!(!holds(&store, b"the second text"));
    assert!(bob.unacknowledged().unwrap().is_empty());
}

#[test]
fn acknowledged_events_are_erased() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = pair(&store);
    let before: Vec<_> = store::records(&store).into_iter().map(|(key, _)| key).collect();
    bob.receive(&send(&mut alice, b"a text to be kept elsewhere"), NOW).unwrap();

    bob.acknowledge().unwrap();

    assert!(!holds(&store, b"a text to be kept elsewhere"));
    assert_eq!(store::records(&store).into_iter().map(|(key, _)| key).collect::<Vec<_>>(), before);
}

#[test]
fn acknowledging_nothing_writes_nothing() {
    let store = FaultyStore::new();
    let mut bob = client_over(&store, "bob");
    store.take_batches();

    bob.acknowledge().unwrap();

    assert!(store.take_batches().is_empty());
}

#[test]
fn group_changes_wait_too_and_messages_without_effect_do_not() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = pair(&store);
    let proposal = alice.group(&group()).unwrap().propose_update().unwrap();
    let own = send(&mut bob, b"own");
    let page = [own, proposal.as_bytes().to_vec()];
    bob.receive_all(&page, NOW).unwrap();
    let mut bob = reopen(&store);
    let waiting = bob.unacknowledged().unwrap();
    assert!(matches!(&waiting[..], [Received { event: ReceivedEvent::Proposal { .. }, .. }]), "{waiting:?}");

    bob.acknowledge().unwrap();
    alice.receive(proposal.as_bytes(), NOW).unwrap();
    let removal = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();
    bob.receive(removal.commit(), NOW).unwrap();

    let waiting = reopen(&store).unacknowledged().unwrap();
    assert!(matches!(&waiting[..], [Received { event: ReceivedEvent::Removed { .. }, .. }]), "{waiting:?}");
}

#[test]
fn a_message_that_could_not_be_stored_was_not_received() {
    let store = FaultyStore::new();
    let (mut alice, mut bob) = (client("alice"), client_over(&store, "bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let first = send(&mut alice, b"first");
    bob.receive(&first, NOW).unwrap();
    let second = send(&mut alice, b"second");

    store.fail_writes();
    assert!(bob.receive(&second, NOW).is_err());
    store.heal();

    // The failed call still acknowledged the events of the call before it.
    assert_eq!(read(&mut bob, &second), b"second");
    assert!(matches!(bob.receive(&first, NOW).unwrap().event, ReceivedEvent::Ignored(_)));
}

#[test]
fn a_message_identifier_is_the_same_for_all_members() {
    let (mut alice, mut bob) = pair(&MemoryStore::new());
    let message = send(&mut alice, b"hello");

    let ids = [&mut alice, &mut bob].map(|client| client.receive(&message, NOW).unwrap().id);

    assert_eq!(ids, [MessageId::of(&message); 2]);
    assert_ne!(MessageId::of(b"another"), ids[0]);
}
