//! Tests of deletion: a thief who has all stored bytes of a device cannot compute deleted secrets.
//!
//! All cryptography goes through a tape that records the secrets from which each secret was
//! derived. A message is safe if its key does not follow from the snapshot by the tape.

use std::{num::NonZeroU64, sync::Arc};

use crate::common::{
    tape::{Tape, byte_strings},
    *,
};
use regrow_engine::{
    Client, GroupId, Ignored, Layered, MemoryStore, Outgoing, Policy, ReceivedEvent, Snapshot, Timestamp,
};

fn taped(tape: &Tape, user: &str, policy: Policy) -> Client {
    Client::create(Arc::new(MemoryStore::new()), Arc::new(Layered(tape.clone())), device(user), policy).unwrap()
}

fn trio_with(policy: &Policy) -> (Tape, Client, Client, Client) {
    let tape = Tape::new();
    let [mut alice, mut bob, mut carol] = ["alice", "bob", "carol"].map(|user| taped(&tape, user, policy.clone()));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    (tape, alice, bob, carol)
}

fn trio() -> (Tape, Client, Client, Client) {
    trio_with(&policy())
}

/// Sends a message. Returns it with its encryption key.
fn send_taped(tape: &Tape, sender: &mut Client) -> (Vec<u8>, Vec<u8>) {
    let message = send(sender, b"secret");
    (message, tape.message_key())
}

fn gives_away(tape: &Tape, client: &Client, key: &[u8]) -> bool {
    tape.gives_away(&client.snapshot().unwrap(), key)
}

/// Returns the byte strings in the records whose names contain `name`.
fn bytes_in(snapshot: &Snapshot, name: &str) -> Vec<Vec<u8>> {
    let records = snapshot.records().iter().filter(|record| record.name().contains(name));
    records.flat_map(|record| byte_strings(record.value())).collect()
}

fn names(client: &Client) -> Vec<String> {
    client.snapshot().unwrap().records().iter().map(|record| record.name()).collect()
}

fn count(client: &Client, name: &str) -> usize {
    names(client).iter().filter(|record| record.contains(name)).count()
}

/// The other tests prove nothing if the tape never reports a key as known.
#[test]
fn keys_of_unread_messages_follow_from_the_stored_state() {
    let (tape, mut alice, bob, carol) = trio();

    let (_, key) = send_taped(&tape, &mut alice);

    // The tape knows the key after a member has derived it.
    let mut reader = bob;
    let before = reader.snapshot().unwrap();
    let (message, second) = send_taped(&tape, &mut alice);
    read(&mut reader, &message);
    assert!(tape.gives_away(&before, &key) || tape.gives_away(&before, &second));
    assert!(gives_away(&tape, &carol, &second));
}

#[test]
fn a_message_key_is_erased_after_sending_and_after_reading() {
    let (tape, mut alice, mut bob, _) = trio();

    for _ in 0..3 {
        let (message, key) = send_taped(&tape, &mut alice);
        read(&mut bob, &message);

        assert!(!gives_away(&tape, &alice, &key));
        assert!(!gives_away(&tape, &bob, &key));
    }
}

#[test]
fn a_skipped_message_key_beyond_the_tolerance_is_erased() {
    let (tape, mut alice, mut bob, _) = trio_with(&Policy { out_of_order: 2, ..policy() });
    let sent: Vec<_> = (0..4).map(|_| send_taped(&tape, &mut alice)).collect();

    read(&mut bob, &sent[3].0);

    let kept: Vec<bool> = sent.iter().map(|(_, key)| gives_away(&tape, &bob, key)).collect();
    // The tolerance includes the newest message.
    assert_eq!(kept, [false, false, true, false]);
}

#[test]
fn keys_of_an_epoch_are_erased_after_its_end() {
    for kept in [0, 1] {
        let (tape, mut alice, mut bob, mut carol) = trio_with(&Policy { past_epochs: kept, ..policy() });
        let (message, key) = send_taped(&tape, &mut alice);
        read(&mut carol, &message);
        let mut exposed = Vec::new();
        for _ in 0..3 {
            exposed.push(gives_away(&tape, &bob, &key));
            update(&mut carol, &mut [&mut alice, &mut bob]);
        }

        assert_eq!(exposed, [true, kept == 1, false]);
        assert_eq!(count(&bob, "epoch encryption keys"), 1);
    }
}

/// A policy that keeps three past epochs, for ten minutes.
fn ten_minutes() -> Policy {
    Policy { past_epochs: 3, past_epoch_age: NonZeroU64::new(600), ..policy() }
}

fn later(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 + seconds)
}

fn update_at(now: Timestamp, committer: &mut Client, others: &mut [&mut Client]) {
    let pending = committer.group(&group()).unwrap().update().unwrap();
    let commit = pending.commit().to_vec();
    committer.confirm(pending, now).unwrap();
    for other in others {
        other.receive(&commit, now).unwrap();
    }
}

/// Sends a message in each epoch and ends the epoch this many seconds after [`NOW`]. Bob and Carol
/// do not read the messages.
fn late_messages<const N: usize>(
    ended: [u64; N],
    tape: &Tape,
    [alice, bob, carol, reader]: [&mut Client; 4],
) -> [TapedMessage; N] {
    ended.map(|seconds| {
        let sent = send_taped(tape, alice);
        // A member has to derive the key, otherwise the tape does not know its origin.
        read(reader, &sent.0);
        update_at(later(seconds), alice, &mut [bob, carol, reader]);
        sent
    })
}

/// A message and its encryption key.
type TapedMessage = (Vec<u8>, Vec<u8>);

/// Creates a group of four members. Alice has sent two messages that Bob and Carol have not read.
/// The epochs of the messages ended immediately and after five minutes.
fn two_late_messages(policy: &Policy) -> (Tape, [Client; 3], [TapedMessage; 2]) {
    let tape = Tape::new();
    let [mut alice, mut bob, mut carol, mut dave] =
        ["alice", "bob", "carol", "dave"].map(|user| taped(&tape, user, policy.clone()));
    make_group(&mut [&mut alice, &mut bob, &mut carol, &mut dave]);
    let late = late_messages([0, 300], &tape, [&mut alice, &mut bob, &mut carol, &mut dave]);
    (tape, [alice, bob, carol], late)
}

fn exposed(tape: &Tape, client: &Client, late: &[TapedMessage; 2]) -> [bool; 2] {
    [0, 1].map(|at| gives_away(tape, client, &late[at].1))
}

fn is_readable(client: &mut Client, message: &[u8], now: Timestamp) -> bool {
    match client.receive(message, now).unwrap().event {
        ReceivedEvent::Message(_) => true,
        ReceivedEvent::Ignored(Ignored::TooOld) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn expire_erases_a_past_epoch_that_is_too_old() {
    let (tape, [_, mut bob, _], late) = two_late_messages(&ten_minutes());
    let epochs = |bob: &mut Client, seconds| bob.expire(later(seconds)).unwrap().epochs;

    assert_eq!(epochs(&mut bob, 599), 0);
    assert_eq!(exposed(&tape, &bob, &late), [true, true]);
    assert_eq!(epochs(&mut bob, 600), 1);
    assert_eq!(exposed(&tape, &bob, &late), [false, true]);
    assert_eq!(epochs(&mut bob, 600), 0);
    assert_eq!(epochs(&mut bob, 900), 1);
    assert_eq!(exposed(&tape, &bob, &late), [false, false]);
    assert!(late.iter().all(|(message, _)| !is_readable(&mut bob, message, later(900))));
}

#[test]
fn late_messages_are_read_until_their_epoch_is_too_old() {
    let (_, [_, mut bob, mut carol], late) = two_late_messages(&ten_minutes());

    assert!(is_readable(&mut bob, &late[0].0, later(599)));
    assert!(!is_readable(&mut carol, &late[0].0, later(600)));
    assert!(is_readable(&mut carol, &late[1].0, later(899)));
}

#[test]
fn receiving_and_confirming_erase_past_epochs_that_are_too_old() {
    type Happens = fn(&mut Client, &mut Client);
    let happenings: [(&str, Happens); 3] = [
        ("a message", |bob, alice| {
            let message = send(alice, b"hello");
            bob.receive(&message, later(600)).unwrap();
        }),
        ("another's commit", |bob, alice| update_at(later(600), alice, &mut [bob])),
        ("an own commit", |bob, _| update_at(later(600), bob, &mut [])),
    ];
    for (what, happens) in happenings {
        let (tape, [mut alice, mut bob, _], late) = two_late_messages(&ten_minutes());

        happens(&mut bob, &mut alice);

        assert_eq!(exposed(&tape, &bob, &late), [false, true], "{what}");
    }
}

#[test]
fn the_end_time_of_a_past_epoch_survives_a_restart() {
    let (tape, [_, bob, _], late) = two_late_messages(&ten_minutes());
    let store = bob.snapshot().unwrap().to_store();
    let mut bob = Client::open(Arc::new(store), Arc::new(Layered(tape.clone())), ten_minutes()).unwrap();

    assert_eq!(bob.expire(later(600)).unwrap().epochs, 1);
    assert_eq!(exposed(&tape, &bob, &late), [false, true]);
}

#[test]
fn an_age_does_not_increase_the_number_of_past_epochs() {
    for (number, kept) in [(0, [false, false]), (1, [false, true]), (2, [true, true])] {
        let (tape, [_, mut bob, _], late) = two_late_messages(&Policy { past_epochs: number, ..ten_minutes() });

        assert_eq!(exposed(&tape, &bob, &late), kept);
        assert_eq!(bob.expire(later(900)).unwrap().epochs, number);
        assert_eq!(exposed(&tape, &bob, &late), [false, false]);
    }
}

#[test]
fn past_epochs_stay_without_an_age_or_after_clock_changes() {
    let (tape, [_, mut bob, _], late) = two_late_messages(&Policy { past_epoch_age: None, ..ten_minutes() });
    assert_eq!(bob.expire(Timestamp::LATEST).unwrap().epochs, 0);
    assert_eq!(exposed(&tape, &bob, &late), [true, true]);

    let (tape, [_, mut bob, _], late) = two_late_messages(&ten_minutes());
    assert_eq!(bob.expire(Timestamp(0)).unwrap().epochs, 0);
    assert_eq!(exposed(&tape, &bob, &late), [true, true]);
}

/// The clock was ahead when the first epoch ended. The first epoch still counts as ended before the
/// second one.
#[test]
fn epochs_before_one_that_is_too_old_are_also_erased() {
    let tape = Tape::new();
    let [mut alice, mut bob, mut carol, mut dave] =
        ["alice", "bob", "carol", "dave"].map(|user| taped(&tape, user, ten_minutes()));
    make_group(&mut [&mut alice, &mut bob, &mut carol, &mut dave]);
    let late = late_messages([10_000, 0], &tape, [&mut alice, &mut bob, &mut carol, &mut dave]);

    assert_eq!(bob.expire(later(600)).unwrap().epochs, 2);
    assert_eq!(exposed(&tape, &bob, &late), [false, false]);
}

#[test]
fn an_update_replaces_all_keys_of_the_device() {
    let (_, mut alice, mut bob, mut carol) = trio();
    let before = bob.snapshot().unwrap();

    update(&mut bob, &mut [&mut alice, &mut carol]);

    let after = bob.snapshot().unwrap();
    for name in ["epoch encryption keys", "epoch secrets", "message secrets"] {
        let old = bytes_in(&before, name);
        assert!(!old.is_empty());
        let left: Vec<_> = bytes_in(&after, "").into_iter().filter(|bytes| old.contains(bytes)).collect();
        assert!(left.is_empty(), "{name}: {} byte strings of the previous epoch are left", left.len());
    }
}

#[test]
fn an_uncommitted_proposed_key_pair_is_erased_with_its_epoch() {
    let (_, mut alice, mut bob, mut carol) = trio();
    let _unheard = bob.group(&group()).unwrap().propose_update().unwrap();
    let proposed = bytes_in(&bob.snapshot().unwrap(), "chat: encryption key");
    assert!(!proposed.is_empty());

    update(&mut alice, &mut [&mut bob, &mut carol]);

    let after = bytes_in(&bob.snapshot().unwrap(), "");
    assert!(proposed.iter().all(|bytes| !after.contains(bytes)));
    assert_eq!(count(&bob, "own leaf node"), 0);
    assert_eq!(count(&bob, "proposal"), 0);
}

#[test]
fn a_proposed_key_pair_is_erased_by_an_own_commit() {
    let (_, mut alice, mut bob, mut carol) = trio();
    let _unheard = bob.group(&group()).unwrap().propose_update().unwrap();
    let proposed = bytes_in(&bob.snapshot().unwrap(), "chat: encryption key");

    update(&mut bob, &mut [&mut alice, &mut carol]);

    let after = bytes_in(&bob.snapshot().unwrap(), "");
    assert!(proposed.iter().all(|bytes| !after.contains(bytes)));
    assert_eq!(count(&bob, "own leaf node"), 0);
}

#[test]
fn a_committed_proposed_key_pair_is_erased_by_an_update() {
    let (_, mut alice, mut bob, mut carol) = trio();
    let proposal = bob.group(&group()).unwrap().propose_update().unwrap();
    deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob, &mut carol]);
    let proposed = bytes_in(&bob.snapshot().unwrap(), "chat: encryption key");
    let pending = alice.group(&group()).unwrap().commit().unwrap();
    accept(&mut alice, pending, &mut [&mut bob, &mut carol]);
    let committed = bytes_in(&bob.snapshot().unwrap(), "epoch encryption keys");
    assert!(proposed.iter().all(|bytes| committed.contains(bytes)));

    update(&mut bob, &mut [&mut alice, &mut carol]);

    let after = bytes_in(&bob.snapshot().unwrap(), "");
    assert!(proposed.iter().all(|bytes| !after.contains(bytes)));
}

#[test]
fn a_discarded_commits_epoch_cannot_be_read() {
    let (tape, mut alice, mut bob, mut carol) = trio();
    let pending = alice.group(&group()).unwrap().rotate_signature_key().unwrap();
    let staged = alice.snapshot().unwrap();
    // The service has accepted the commit, but told Alice that it has not.
    deliver(pending.commit(), &mut [&mut bob, &mut carol]);
    let (message, key) = send_taped(&tape, &mut bob);
    read(&mut carol, &message);
    assert!(tape.gives_away(&staged, &key));

    alice.discard(pending).unwrap();

    assert!(!gives_away(&tape, &alice, &key));
    assert_eq!(count(&alice, "signature key"), 1);
}

#[test]
fn the_secrets_of_a_commit_that_lost_are_erased() {
    let (tape, mut alice, mut bob, mut carol) = trio();
    let mut dave = taped(&tape, "dave", policy());
    let add = alice.group(&group()).unwrap().add(&[key_package(&mut dave)], NOW).unwrap();
    // Dave has joined before the commit was ordered.
    dave.join(add.welcome().unwrap(), NOW).unwrap();
    let (_, key) = send_taped(&tape, &mut dave);
    let before = names(&bob);

    update(&mut bob, &mut [&mut alice, &mut carol]);

    assert!(!gives_away(&tape, &alice, &key));
    assert_eq!(names(&bob), before);
    assert_eq!(count(&alice, "signature key"), 1);
}

#[test]
fn a_lost_rotation_leaves_no_signature_key() {
    let (_, mut alice, mut bob, mut carol) = trio();
    let _lost = alice.group(&group()).unwrap().rotate_signature_key().unwrap();
    assert_eq!(count(&alice, "signature key"), 2);

    update(&mut bob, &mut [&mut alice, &mut carol]);

    assert_eq!(count(&alice, "signature key"), 1);
}

#[test]
fn rotated_signature_keys_stay_while_key_packages_need_them() {
    let (_, mut alice, mut bob, mut carol) = trio();
    alice.key_packages(1, NOW).unwrap();
    let pending = alice.group(&group()).unwrap().rotate_signature_key().unwrap();
    accept(&mut alice, pending, &mut [&mut bob, &mut carol]);
    assert_eq!(count(&alice, "signature key"), 2);

    assert_eq!(alice.expire(Timestamp::LATEST).unwrap().key_packages, 1);

    assert_eq!(count(&alice, "signature key"), 1);
    assert_eq!(read(&mut bob, &send(&mut alice, b"new key")), b"new key");
}

#[test]
fn a_removed_device_keeps_only_its_own_records() {
    let (_, mut alice, mut bob, mut carol) = trio();
    let _unheard = bob.group(&group()).unwrap().propose_update().unwrap();
    let _lost = bob.group(&group()).unwrap().rotate_signature_key().unwrap();
    let removal = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();

    let events = accept(&mut alice, removal, &mut [&mut bob, &mut carol]);

    assert!(matches!(events[0], ReceivedEvent::Removed { .. }));
    assert_eq!(names(&bob), ["device: device", "device: signature key", "group chat: group"]);
}

#[test]
fn a_forgotten_group_leaves_no_records() {
    let tape = Tape::new();
    let (mut alice, mut bob) = (taped(&tape, "alice", policy()), taped(&tape, "bob", policy()));
    let fresh = names(&bob);
    make_group(&mut [&mut alice, &mut bob]);
    let _unheard = bob.group(&group()).unwrap().propose_update().unwrap();
    let _pending = bob.group(&group()).unwrap().rotate_signature_key().unwrap();
    let _joining = bob.join_external(&group_info(&mut alice)).unwrap();

    bob.forget(&group()).unwrap();

    assert_eq!(names(&bob), fresh);
    assert!(bob.groups().unwrap().is_empty());
}

#[test]
fn a_used_key_package_is_erased() {
    let tape = Tape::new();
    let (mut alice, mut bob) = (taped(&tape, "alice", policy()), taped(&tape, "bob", policy()));
    make_group(&mut [&mut alice]);
    let published = key_package(&mut bob);
    let kept = bytes_in(&bob.snapshot().unwrap(), "key package");
    let add = alice.group(&group()).unwrap().add(&[published], NOW).unwrap();
    bob.join(add.welcome().unwrap(), NOW).unwrap();
    alice.confirm(add, NOW).unwrap();
    // The leaf uses the key of the key package until the first update.
    update(&mut bob, &mut [&mut alice]);

    let snapshot = bob.snapshot().unwrap();
    let public: Vec<_> = ["signature key", "device: device", "ratchet tree", "group: group"]
        .iter()
        .flat_map(|name| bytes_in(&snapshot, name))
        .collect();
    let left: Vec<_> =
        bytes_in(&snapshot, "").into_iter().filter(|bytes| kept.contains(bytes) && !public.contains(bytes)).collect();
    assert!(left.is_empty(), "{} byte strings are left", left.len());
    assert_eq!(count(&bob, "key package"), 0);
}

#[test]
fn only_expired_key_packages_are_erased() {
    let tape = Tape::new();
    let short = Policy { key_package_lifetime: 100, ..policy() };
    let mut bob = taped(&tape, "bob", short);
    bob.key_packages(2, NOW).unwrap();
    bob.last_resort_key_package(NOW).unwrap();
    bob.key_packages(1, Timestamp(NOW.0 + 1)).unwrap();

    assert_eq!(bob.expire(Timestamp(NOW.0 + 99)).unwrap().key_packages, 0);
    assert_eq!(bob.expire(Timestamp(NOW.0 + 100)).unwrap().key_packages, 3);

    assert_eq!(count(&bob, "key package"), 1);
    assert_eq!(bob.key_package_count().unwrap(), 1);
}

#[test]
fn a_rejoin_erases_the_group_that_it_replaces() {
    let (tape, mut alice, mut bob, mut carol) = trio_with(&Policy { past_epochs: 3, ..policy() });
    let (message, past) = send_taped(&tape, &mut alice);
    read(&mut carol, &message);
    update(&mut alice, &mut [&mut bob, &mut carol]);
    let _unheard = bob.group(&group()).unwrap().propose_update().unwrap();
    let (message, present) = send_taped(&tape, &mut alice);
    read(&mut carol, &message);
    assert!([&past, &present].iter().all(|key| gives_away(&tape, &bob, key)));
    let before = bob.snapshot().unwrap();

    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut bob, pending, &mut [&mut alice, &mut carol]);

    assert!([&past, &present].iter().all(|key| !gives_away(&tape, &bob, key)));
    let after = bytes_in(&bob.snapshot().unwrap(), "");
    let public = bytes_in(&before, "ratchet tree");
    for name in ["epoch encryption keys", "chat: encryption key", "epoch secrets", "own leaf node"] {
        let old = bytes_in(&before, name).into_iter().filter(|bytes| !public.contains(bytes));
        let left = old.filter(|bytes| after.contains(bytes)).count();
        assert_eq!(left, 0, "{name}: byte strings of the replaced group are left");
    }
    assert_eq!(count(&bob, "proposal"), 0);
    assert!(!names(&bob).iter().any(|name| name.contains("being joined")));
}

#[test]
fn a_refused_external_commits_epoch_cannot_be_read() {
    let (tape, mut alice, mut bob, mut carol) = trio();
    let mut dave = taped(&tape, "dave", policy());
    let fresh = names(&dave);
    let pending = dave.join_external(&group_info(&mut alice)).unwrap();
    deliver(pending.commit(), &mut [&mut alice, &mut bob, &mut carol]);
    let (message, key) = send_taped(&tape, &mut alice);
    read(&mut bob, &message);
    assert!(gives_away(&tape, &dave, &key));

    dave.discard(pending).unwrap();

    assert!(!gives_away(&tape, &dave, &key));
    assert_eq!(names(&dave), fresh);
}

/// The signature key of the replaced group's leaf may differ from the device's current key.
#[test]
fn a_rejoin_erases_unused_signature_keys() {
    let (_, mut alice, mut bob, mut carol) = trio();
    let other = GroupId::new("other").unwrap();
    let rotation = bob.create_group(other, NOW).unwrap().rotate_signature_key().unwrap();
    bob.confirm(rotation, NOW).unwrap();
    assert_eq!(count(&bob, "signature key"), 2);
    // Bob does not receive this removal.
    let removal = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();
    accept(&mut alice, removal, &mut [&mut carol]);

    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut bob, pending, &mut [&mut alice, &mut carol]);

    assert_eq!(count(&bob, "signature key"), 1);
    assert_eq!(read(&mut carol, &send(&mut bob, b"back")), b"back");
}

#[test]
fn no_member_stores_resumption_psks() {
    let (tape, mut alice, mut bob, mut carol) = trio();
    let mut dave = taped(&tape, "dave", policy());
    let pending = dave.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut dave, pending, &mut [&mut alice, &mut bob, &mut carol]);
    for _ in 0..2 {
        update(&mut dave, &mut [&mut alice, &mut bob, &mut carol]);
    }
    update(&mut alice, &mut [&mut bob, &mut carol, &mut dave]);

    // The creator, a member that joined by welcome, and a member that joined by external commit.
    for client in [&alice, &bob, &dave] {
        assert_eq!(count(client, "resumption PSKs"), 1);
        assert_eq!(bytes_in(&client.snapshot().unwrap(), "resumption PSKs"), Vec::<Vec<u8>>::new());
    }
}

#[test]
fn records_do_not_accumulate_over_many_epochs() {
    let (_, mut alice, mut bob, mut carol) = trio();
    update(&mut alice, &mut [&mut bob, &mut carol]);
    let settled = [names(&alice), names(&bob), names(&carol)];

    for _ in 0..4 {
        let proposal = carol.group(&group()).unwrap().propose_update().unwrap();
        deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob, &mut carol]);
        let lost = alice.group(&group()).unwrap().rotate_signature_key().unwrap();
        let won = bob.group(&group()).unwrap().commit().unwrap();
        accept(&mut bob, won, &mut [&mut alice, &mut carol]);
        assert!(alice.confirm(lost, NOW).is_err());
        let Some(Outgoing::Commit(again)) = alice.group(&group()).unwrap().resume().unwrap() else { panic!() };
        accept(&mut alice, again, &mut [&mut bob, &mut carol]);
        let message = send(&mut bob, b"hello");
        read(&mut alice, &message);
        read(&mut carol, &message);
    }
    // The record of the number of messages that Bob has sent exists until he has new keys.
    update(&mut bob, &mut [&mut alice, &mut carol]);

    assert_eq!([names(&alice), names(&bob), names(&carol)], settled);
}
