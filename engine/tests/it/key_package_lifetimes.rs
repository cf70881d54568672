//! Tests of the lifetimes of key packages: a reader's clock does not undo an addition.

use std::sync::Arc;

use crate::common::{
    intruder::{Intruder, infiltrate, unpublish},
    *,
};
use regrow_engine::{
    Batch, Client, Error, Ignored, Lost, MemoryStore, Policy, ReceivedEvent, Store as _, Timestamp, default_crypto,
};
use regrow_protocol::profile::{MAX_USE_SECONDS, USE_PERIOD_EXTENSION, UsePeriod};

const DAY: u64 = 24 * 60 * 60;
/// A time after every system clock. Its bytes are in no record by chance.
const EXPIRY: u32 = 0xF1F2_F3F4;

fn system_time() -> Timestamp {
    Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs())
}

#[test]
fn the_lifetime_extends_beyond_the_use_period_on_both_sides() {
    let now = system_time();
    let mut bob = client_in(&MemoryStore::new(), "bob", Policy::default());

    for published in [bob.key_packages(1, now).unwrap().remove(0), bob.last_resort_key_package(now).unwrap()] {
        let key_package = unpublish(&published);
        let extension = key_package.extensions().unknown(USE_PERIOD_EXTENSION).unwrap();
        let until = Timestamp(now.0 + 90 * DAY);
        assert_eq!(UsePeriod::read(&extension.0), Some(UsePeriod { made: now, until }));
        let lifetime = key_package.life_time();
        assert_eq!((lifetime.not_before(), lifetime.not_after()), (now.0 - 30 * DAY, until.0 + 365 * DAY));
    }
}

#[test]
fn commits_are_processed_after_their_key_packages_use_period() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob]);
    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    let (commit, a_year_later) = (pending.commit().to_vec(), Timestamp(NOW.0 + 365 * DAY));
    alice.confirm(pending, NOW).unwrap();

    let event = bob.receive(&commit, a_year_later).unwrap().event;

    assert!(matches!(event, ReceivedEvent::Commit(_)), "{event:?}");
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn members_of_different_policies_accept_each_others_key_packages() {
    let lasting = |days: u64| Policy { key_package_lifetime: days * DAY, ..policy() };
    let mut alice = client_in(&MemoryStore::new(), "alice", lasting(30));
    let mut bob = client_in(&MemoryStore::new(), "bob", lasting(365));
    let mut carol = client_in(&MemoryStore::new(), "carol", lasting(400));
    make_group(&mut [&mut alice, &mut bob]);

    let pending = bob.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    accept(&mut bob, pending, &mut [&mut alice]);

    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn a_policy_with_a_too_long_use_period_is_refused() {
    let policy = Policy { key_package_lifetime: MAX_USE_SECONDS + 1, ..policy() };

    let created = Client::create(Arc::new(MemoryStore::new()), default_crypto(), device("bob"), policy);

    assert!(matches!(created, Err(Error::KeyPackageLifetime)));
}

/// Changes the end of lifetimes from [`EXPIRY`] to a past time, as if the system's clock had
/// advanced.
fn age(store: &MemoryStore) {
    let [before, after] = [EXPIRY, 1].map(|moment| [&[0xce][..], &moment.to_be_bytes()].concat());
    let mut batch = Batch::default();
    for (key, value) in store::records(store) {
        if let Some(at) = value.windows(before.len()).position(|window| window == before) {
            batch.put(key, [&value[..at], &after, &value[at + before.len()..]].concat().into());
        }
    }
    assert!(!batch.is_empty());
    store.apply(batch).unwrap();
}

#[test]
fn a_commit_that_fails_by_the_clock_is_not_reportable() {
    let store = MemoryStore::new();
    let mut bob = client_in(&store, "bob", policy());
    let (mut alice, mut mallory) = infiltrate(&mut bob);
    let eve = Intruder::new(&device("eve").to_identity()).key_package_until(EXPIRY.into());
    deliver(&mallory.propose_add(&eve), &mut [&mut alice, &mut bob]);
    let pending = alice.group(&group()).unwrap().commit().unwrap();
    drop(bob);
    age(&store);
    let mut bob = reopen(&store);
    bob.acknowledge().unwrap();

    let event = bob.receive(pending.commit(), NOW).unwrap().event;

    let ReceivedEvent::Lost(lost) = event else { panic!("{event:?}") };
    assert!(matches!(lost, Lost::Clock { .. }), "{lost:?}");
    assert!(!lost.is_reportable());
}

#[test]
fn commits_with_proposals_ignored_by_clock_are_not_reportable() {
    let (mut bob, mut carol) = (client("bob"), client("carol"));
    let (mut alice, mut mallory) = infiltrate(&mut bob);
    let expired = Intruder::new(&device("eve").to_identity()).key_package_until(1);
    let passed_over = hear(&mut bob, &mallory.propose_add(&expired));
    assert!(matches!(passed_over, ReceivedEvent::Ignored(Ignored::Clock)), "{passed_over:?}");
    // This proposal represents one that a member with another clock has accepted.
    let other = alice.group(&group()).unwrap().propose_add(&key_package(&mut carol), NOW).unwrap();
    hear(&mut alice, other.as_bytes());
    let pending = alice.group(&group()).unwrap().commit().unwrap();

    let event = hear(&mut bob, pending.commit());

    assert!(matches!(event, ReceivedEvent::Lost(Lost::Clock { .. })), "{event:?}");
}

#[test]
fn a_missing_proposal_is_reportable_if_no_clock_is_involved() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob]);
    let unheard = alice.group(&group()).unwrap().propose_add(&key_package(&mut carol), NOW).unwrap();
    hear(&mut alice, unheard.as_bytes());
    let pending = alice.group(&group()).unwrap().commit().unwrap();

    let event = hear(&mut bob, pending.commit());

    assert!(matches!(event, ReceivedEvent::Lost(lost @ Lost::Commit { .. }) if lost.is_reportable()));
}
