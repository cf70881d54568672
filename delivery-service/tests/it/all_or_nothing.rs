//! Failures of the store in the middle of a call. They change nothing, in the store or in memory.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    cell::RefCell,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::common::*;
use regrow_delivery_service::{
    DeliveryService, Epoch,
    HandshakeMode::Assisted,
    Limits, Outcome, SqliteStore, Store, StoreError,
    store::{Table, Transaction, Visitor},
};

/// A store that fails at a chosen write, or when the transaction is committed.
struct FailingStore {
    inner: RefCell<SqliteStore>,
    writes_left: AtomicUsize,
}

const NEVER: usize = usize::MAX;

impl FailingStore {
    fn spend(&self) -> Result<(), StoreError> {
        let left = self.writes_left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(StoreError::Backend("disk full".into()));
        }
        if left != NEVER {
            self.writes_left.store(left - 1, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Store for &FailingStore {
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.inner.borrow_mut().transaction(|tx| {
            let result = work(&mut FailingTransaction { store: self, tx })?;
            // The commit of the transaction can fail as well.
            self.spend()?;
            Ok(result)
        })
    }
}

struct FailingTransaction<'a> {
    store: &'a FailingStore,
    tx: &'a mut dyn Transaction,
}

impl Transaction for FailingTransaction<'_> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.tx.get(table, key)
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.store.spend()?;
        self.tx.put(table, key, value)
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        self.store.spend()?;
        self.tx.delete(table, key)
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.tx.scan(table, range, visit)
    }
}

fn failing_store() -> FailingStore {
    FailingStore { inner: RefCell::new(SqliteStore::in_memory().unwrap()), writes_left: AtomicUsize::new(NEVER) }
}

fn open(store: &FailingStore) -> DeliveryService<&FailingStore> {
    DeliveryService::open(store, Limits::default(), service_key()).unwrap()
}

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Makes the store fail at the first write, then at the second, and so on, until `act` succeeds.
/// Returns the number of failures.
fn fail_everywhere(
    store: &FailingStore,
    service: &DeliveryService<&FailingStore>,
    act: impl Fn() -> Result<Outcome, StoreError>,
) -> usize {
    for writes in 0.. {
        let before = visible(service, &NAMES);
        store.writes_left.store(writes, Ordering::Relaxed);
        let result = act();
        store.writes_left.store(NEVER, Ordering::Relaxed);
        match result {
            Ok(outcome) => {
                assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
                return writes;
            }
            Err(_) => assert_eq!(visible(service, &NAMES), before, "after a failure at write {writes}"),
        }
    }
    unreachable!()
}

#[test]
fn a_commit_fails_as_a_whole_and_succeeds_later() {
    let store = failing_store();
    let service = open(&store);
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let dave = Client::new("dave");
    let commit = members[0].commit(&[dave.claimed_by(&service, &device("alice"))], &[&device("carol")]);

    let failures = fail_everywhere(&store, &service, || service.submit_commit(&commit, NOW));
    assert!(failures > 10, "a commit needs more than {failures} writes");
    assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice", "bob", "dave"]));
    members[0].confirm();
    members[1].receive(&commit.commit);
    let next = members[1].update();
    accept(&service, &next);
}

#[test]
fn a_message_fails_as_a_whole_and_succeeds_later() {
    let store = failing_store();
    let service = open(&store);
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let message = members[0].send("hello");
    let failures =
        fail_everywhere(&store, &service, || service.submit_message(&room(), &device("alice"), &message, NOW));
    assert!(failures > 4);
    assert_eq!(stream(&service, &device("bob")).len(), 2);
}

#[test]
fn creating_a_group_fails_as_a_whole() {
    let store = failing_store();
    let service = open(&store);
    let alice = Client::new("alice").create_unregistered(&room(), Assisted);
    let info = alice.group_info();
    fail_everywhere(&store, &service, || service.create_group(&room(), &device("alice"), Assisted, &info, NOW));
}

#[test]
fn a_proposal_that_was_not_stored_cannot_be_committed() {
    let store = failing_store();
    let service = open(&store);
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let proposal = members[0].propose_to_remove(&device("bob"));
    let propose = |service: &DeliveryService<&FailingStore>, proposal: &[u8]| {
        // A failure drops the group from memory. This call loads it again. Otherwise the service
        // writes twice: before and after it asks for a verdict.
        service.ratchet_tree(&room(), Epoch(1))?;
        service.submit_proposal(&room(), &device("alice"), proposal, NOW)
    };

    // At the last write, the proposal is already in memory.
    let writes = {
        let other = failing_store();
        let service = open(&other);
        let mut members = group_of(&service, Assisted, &["alice", "bob"]);
        let proposal = members[0].propose_to_remove(&device("bob"));
        fail_everywhere(&other, &service, || propose(&service, &proposal))
    };
    store.writes_left.store(writes - 1, Ordering::Relaxed);
    propose(&service, &proposal).unwrap_err();
    store.writes_left.store(NEVER, Ordering::Relaxed);

    let commit = members[0].update();
    assert_eq!(commit.roster_change.removed, devices(&["bob"]), "the commit refers to the proposal");
    let outcome = service.submit_commit(&commit, NOW).unwrap();
    assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
}
