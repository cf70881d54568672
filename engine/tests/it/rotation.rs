//! Tests of the policy's periodic changes: new keys, new signature keys, and the removal of members
//! without new keys.

use std::{
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
};

use crate::common::{store::FaultyStore, *};
use regrow_engine::{
    Client, DeviceId, Due, Error, Outgoing, PendingCommit, Policy, Rotation, Timestamp, default_crypto,
};

const DAY: u64 = 24 * 60 * 60;

fn day(number: u64) -> Timestamp {
    Timestamp(NOW.0 + number * DAY)
}

/// A policy with which nothing is ever due.
fn never() -> Policy {
    Policy {
        rotate_after_messages: None,
        rotate_after: None,
        rotate_signature_key_every: None,
        remove_inactive_after: None,
        ..policy()
    }
}

fn weekly() -> Policy {
    Policy { rotate_after: NonZeroU64::new(7 * DAY), ..never() }
}

/// A policy that reports members without new keys for thirty days.
fn tidy() -> Policy {
    Policy { remove_inactive_after: NonZeroU64::new(30 * DAY), ..never() }
}

fn device_with(policy: &Policy) -> (FaultyStore, Client) {
    let store = FaultyStore::new();
    let client = Client::create(Arc::new(store.clone()), default_crypto(), device("alice"), policy.clone());
    (store, client.unwrap())
}

/// Restarts the device.
fn restart(store: &FaultyStore, policy: &Policy) -> Client {
    let mut client = Client::open(Arc::new(store.clone()), default_crypto(), policy.clone()).unwrap();
    client.acknowledge().unwrap();
    client
}

fn due(client: &mut Client, now: Timestamp) -> Due {
    client.group(&group()).unwrap().due(now).unwrap()
}

fn rotation(client: &mut Client, now: Timestamp) -> Option<Rotation> {
    due(client, now).rotation
}

fn inactive(client: &mut Client, now: Timestamp) -> Vec<DeviceId> {
    due(client, now).inactive
}

/// Makes the commit that is due. The service accepts it at this time.
fn rotate(client: &mut Client, now: Timestamp, others: &mut [&mut Client]) {
    let mut chat = client.group(&group()).unwrap();
    let pending = match chat.due(now).unwrap().rotation.unwrap() {
        Rotation::Keys => chat.update(),
        Rotation::SignatureKey => chat.rotate_signature_key(),
    };
    accept_at(now, client, pending.unwrap(), others);
}

fn update_at(now: Timestamp, client: &mut Client, others: &mut [&mut Client]) {
    let pending = client.group(&group()).unwrap().update().unwrap();
    accept_at(now, client, pending, others);
}

fn accept_at(now: Timestamp, client: &mut Client, pending: PendingCommit, others: &mut [&mut Client]) {
    let commit = pending.commit().to_vec();
    client.confirm(pending, now).unwrap();
    for other in others {
        other.receive(&commit, now).unwrap();
    }
}

#[test]
fn keys_are_due_when_they_are_old() {
    let (_, mut alice) = device_with(&weekly());
    make_group(&mut [&mut alice, &mut client("bob")]);

    assert_eq!(rotation(&mut alice, Timestamp(day(7).0 - 1)), None);
    assert_eq!(rotation(&mut alice, day(7)), Some(Rotation::Keys));

    rotate(&mut alice, day(8), &mut []);
    assert_eq!(rotation(&mut alice, day(14)), None);
    assert_eq!(rotation(&mut alice, day(15)), Some(Rotation::Keys));
}

#[test]
fn the_message_count_for_rotation_survives_restarts() {
    let policy = Policy { rotate_after_messages: NonZeroU32::new(3), ..never() };
    let (store, mut alice) = device_with(&policy);
    let mut bob = client("bob");
    make_group(&mut [&mut alice, &mut bob]);

    for sent in 0..3 {
        assert_eq!(rotation(&mut alice, NOW), None, "after {sent}");
        send(&mut alice, b"one more");
        alice = restart(&store, &policy);
    }
    assert_eq!(rotation(&mut alice, NOW), Some(Rotation::Keys));

    // Another member's commit gives this device no new keys.
    update_at(NOW, &mut bob, &mut [&mut alice]);
    assert_eq!(rotation(&mut alice, NOW), Some(Rotation::Keys));

    rotate(&mut alice, NOW, &mut [&mut bob]);
    alice = restart(&store, &policy);
    assert_eq!(rotation(&mut alice, NOW), None);
    send(&mut alice, b"one of three");
    assert_eq!(rotation(&mut alice, NOW), None);
}

#[test]
fn own_commits_and_committed_own_updates_count_as_rotations() {
    let (_, mut alice) = device_with(&weekly());
    let (mut bob, mut carol) = (client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob]);

    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    accept_at(day(5), &mut alice, pending, &mut [&mut bob]);
    assert_eq!(rotation(&mut alice, day(11)), None);

    let proposal = alice.group(&group()).unwrap().propose_update().unwrap().as_bytes().to_vec();
    for client in [&mut alice, &mut bob] {
        client.receive(&proposal, day(6)).unwrap();
    }
    let pending = bob.group(&group()).unwrap().commit().unwrap();
    accept_at(day(10), &mut bob, pending, &mut [&mut alice]);
    assert_eq!(rotation(&mut alice, day(16)), None);
    assert_eq!(rotation(&mut alice, day(17)), Some(Rotation::Keys));
}

#[test]
fn the_age_of_the_keys_starts_when_the_device_joins() {
    let (store, mut alice) = device_with(&weekly());
    let mut bob = client("bob");
    make_group(&mut [&mut bob]);
    let pending = bob.group(&group()).unwrap().add(&[key_package(&mut alice)], NOW).unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    accept_at(NOW, &mut bob, pending, &mut []);

    alice.join(&welcome, day(3)).unwrap();
    assert_eq!(rotation(&mut alice, day(9)), None);
    assert_eq!(rotation(&mut alice, day(10)), Some(Rotation::Keys));

    let pending = alice.join_external(&group_info(&mut bob)).unwrap();
    alice.receive(pending.commit(), day(20)).unwrap();
    alice = restart(&store, &weekly());
    assert_eq!(rotation(&mut alice, day(26)), None);
    assert_eq!(rotation(&mut alice, day(27)), Some(Rotation::Keys));
}

#[test]
fn every_third_rotation_changes_the_signature_key() {
    let policy = Policy { rotate_signature_key_every: NonZeroU32::new(3), ..weekly() };
    let (store, mut alice) = device_with(&policy);
    make_group(&mut [&mut alice, &mut client("bob")]);
    let mut rotations = Vec::new();
    // The commit that added Bob was the first rotation.
    for week in 1..=6 {
        rotations.push(rotation(&mut alice, day(7 * week)).unwrap());
        rotate(&mut alice, day(7 * week), &mut []);
        alice = restart(&store, &policy);
    }
    use Rotation::{Keys, SignatureKey};
    assert_eq!(rotations, [Keys, SignatureKey, Keys, Keys, SignatureKey, Keys]);
}

#[test]
fn frequent_commits_also_make_a_signature_key_rotation_due() {
    let policy = Policy { rotate_signature_key_every: NonZeroU32::new(3), ..weekly() };
    let (_, mut alice) = device_with(&policy);
    make_group(&mut [&mut alice]);
    for _ in 0..3 {
        assert_eq!(rotation(&mut alice, NOW), None);
        update_at(NOW, &mut alice, &mut []);
    }

    assert_eq!(rotation(&mut alice, NOW), Some(Rotation::SignatureKey));
    rotate(&mut alice, NOW, &mut []);
    assert_eq!(rotation(&mut alice, NOW), None);
}

#[test]
fn nothing_is_due_while_a_commit_is_pending() {
    let (_, mut alice) = device_with(&Policy { rotate_after: NonZeroU64::new(7 * DAY), ..tidy() });
    make_group(&mut [&mut alice, &mut client("bob")]);
    let expected = Due { rotation: Some(Rotation::Keys), inactive: vec![device("bob")] };
    assert_eq!(due(&mut alice, day(30)), expected);

    let pending = alice.group(&group()).unwrap().update().unwrap();
    assert_eq!(due(&mut alice, day(30)), Due::default());

    alice.discard(pending).unwrap();
    assert_eq!(due(&mut alice, day(30)), expected);
    let Some(Outgoing::Commit(pending)) = alice.group(&group()).unwrap().resume().unwrap() else { panic!() };
    accept_at(day(30), &mut alice, pending, &mut []);
    assert_eq!(rotation(&mut alice, day(30)), None);
}

#[test]
fn members_with_old_keys_are_inactive() {
    let (store, mut alice) = device_with(&tidy());
    let (mut bob, mut carol, mut dave) = (client("bob"), client("carol"), client("dave"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);

    assert_eq!(inactive(&mut alice, Timestamp(day(30).0 - 1)), []);
    assert_eq!(inactive(&mut alice, day(30)), [device("bob"), device("carol")]);

    // A commit and a committed proposal make a member active. A message does not.
    update_at(day(10), &mut bob, &mut [&mut alice, &mut carol]);
    let proposal = carol.group(&group()).unwrap().propose_update().unwrap().as_bytes().to_vec();
    for client in [&mut alice, &mut bob, &mut carol] {
        client.receive(&proposal, day(11)).unwrap();
    }
    let pending = alice.group(&group()).unwrap().commit().unwrap();
    accept_at(day(12), &mut alice, pending, &mut [&mut bob, &mut carol]);
    let message = send(&mut bob, b"hello");
    alice.receive(&message, day(39)).unwrap();
    alice = restart(&store, &tidy());
    assert_eq!(inactive(&mut alice, day(39)), []);
    assert_eq!(inactive(&mut alice, day(40)), [device("bob")]);
    assert_eq!(inactive(&mut alice, day(42)), [device("bob"), device("carol")]);

    // One commit removes Bob and adds Dave. Dave gets Bob's leaf.
    let mut chat = carol.group(&group()).unwrap();
    let proposals = [
        chat.propose_remove(&device("bob")).unwrap().as_bytes().to_vec(),
        chat.propose_add(&key_package(&mut dave), NOW).unwrap().as_bytes().to_vec(),
    ];
    for proposal in &proposals {
        alice.receive(proposal, day(40)).unwrap();
    }
    let pending = alice.group(&group()).unwrap().commit().unwrap();
    accept_at(day(40), &mut alice, pending, &mut []);
    assert_eq!(members(&mut alice), ["alice", "dave", "carol"]);
    assert_eq!(inactive(&mut alice, day(42)), [device("carol")]);
    assert_eq!(inactive(&mut alice, day(70)), [device("dave"), device("carol")]);
}

#[test]
fn a_device_that_joins_by_external_commit_is_active() {
    let (_, mut alice) = device_with(&tidy());
    let (mut bob, mut carol) = (client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob]);
    for joiner in [&mut bob, &mut carol] {
        let pending = joiner.join_external(&group_info(&mut alice)).unwrap();
        alice.receive(pending.commit(), day(20)).unwrap();
    }

    assert_eq!(inactive(&mut alice, day(49)), []);
    assert_eq!(inactive(&mut alice, day(50)), [device("bob"), device("carol")]);
}

#[test]
fn a_member_proposed_for_removal_is_not_reported_again() {
    let (_, mut alice) = device_with(&tidy());
    make_group(&mut [&mut alice, &mut client("bob"), &mut client("carol")]);

    let _ = alice.group(&group()).unwrap().propose_remove(&device("bob")).unwrap();

    assert_eq!(inactive(&mut alice, day(30)), [device("carol")]);
}

#[test]
fn nothing_is_due_with_a_policy_without_limits() {
    let (_, mut alice) = device_with(&never());
    make_group(&mut [&mut alice, &mut client("bob")]);
    send(&mut alice, b"hello");

    assert_eq!(due(&mut alice, Timestamp::LATEST), Due::default());
}

#[test]
fn nothing_is_due_after_the_clock_was_set_back() {
    let (_, mut alice) = device_with(&Policy { rotate_after: NonZeroU64::new(7 * DAY), ..tidy() });
    make_group(&mut [&mut alice, &mut client("bob")]);

    assert_eq!(due(&mut alice, Timestamp(0)), Due::default());
}

#[test]
fn messages_write_only_small_activity_records() {
    let (store, mut alice) = device_with(&policy());
    let mut bob = client("bob");
    make_group(&mut [&mut alice, &mut bob]);
    let names: Vec<_> = alice.snapshot().unwrap().records().iter().map(|record| record.name()).collect();
    let keys: Vec<_> = store::records(&store.records).into_iter().map(|(key, _)| key).collect();
    let written = |store: &FaultyStore| {
        let batch = store.take_batches().pop().unwrap();
        let name = |key: &Vec<u8>| keys.iter().position(|known| known == key).map(|at| names[at].clone());
        batch.into_iter().map(|(key, bytes)| (name(&key), bytes)).collect::<Vec<_>>()
    };

    send(&mut alice, b"the first makes the record");
    store.take_batches();
    send(&mut alice, b"hello");
    let sent = written(&store);
    let message = send(&mut bob, b"hello");
    alice.receive(&message, NOW).unwrap();
    let received = written(&store);

    assert!(
        matches!(&sent[..], [(_, activity), (None, sent), (Some(secrets), _)]
        if *activity < 8 && *sent < 8 && secrets == "group chat: message secrets"),
        "{sent:?}"
    );
    assert!(
        matches!(&received[..], [(None, inbox), (Some(secrets), _)]
        if *inbox < 128 && secrets == "group chat: message secrets"),
        "{received:?}"
    );
}

#[test]
fn the_missing_key_packages_are_due() {
    let (_, alice) = device_with(&Policy { key_packages: 5, ..policy() });

    assert_eq!([0, 3, 5, 9].map(|left| alice.key_packages_due(left)), [5, 2, 0, 0]);
}

#[test]
fn rotation_is_due_on_time_after_a_clock_was_ahead() {
    let week = 7 * 24 * 60 * 60;
    let ten_years_ahead = Timestamp(NOW.0 + 520 * week);
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let pending = alice.group(&group()).unwrap().update().unwrap();
    alice.confirm(pending, ten_years_ahead).unwrap();

    // The clock is correct again.
    assert_eq!(due(&mut alice, NOW).rotation, None);
    assert_eq!(due(&mut alice, Timestamp(NOW.0 + week - 1)).rotation, None);
    assert_eq!(due(&mut alice, Timestamp(NOW.0 + week)).rotation, Some(Rotation::Keys));
}

#[test]
fn a_time_in_milliseconds_is_refused() {
    let mut alice = client("alice");
    make_group(&mut [&mut alice]);
    alice.key_packages(3, NOW).unwrap();
    let now = Timestamp(NOW.0 * 1000);

    assert!(matches!(alice.expire(now), Err(Error::Time { .. })));
    assert!(matches!(alice.group(&group()).unwrap().due(now), Err(Error::Time { .. })));
    assert!(matches!(alice.key_packages(1, now), Err(Error::Time { .. })));
    assert_eq!(alice.key_package_count().unwrap(), 3);
}
