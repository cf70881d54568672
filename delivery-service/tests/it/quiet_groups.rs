//! Groups without activity. They add no cost when a device reads and acknowledges.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{cell::Cell, ops::Range};

use crate::common::*;
use regrow_delivery_service::{
    Cursor, DeliveryService,
    HandshakeMode::{Assisted, Opaque},
    Limits, Sequence, SqliteStore, Store, StoreError,
    store::{Table, Transaction, Visitor},
};

/// A store that counts the records that it reads and writes.
struct CountingStore<'c> {
    inner: SqliteStore,
    count: &'c Cell<usize>,
}

struct CountingTransaction<'c, 't> {
    tx: &'t mut dyn Transaction,
    count: &'c Cell<usize>,
}

impl Store for CountingStore<'_> {
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let count = self.count;
        self.inner.transaction(|tx| work(&mut CountingTransaction { tx, count }))
    }
}

impl CountingTransaction<'_, '_> {
    fn count(&self) {
        self.count.set(self.count.get() + 1);
    }
}

impl Transaction for CountingTransaction<'_, '_> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.count();
        self.tx.get(table, key)
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.count();
        self.tx.put(table, key, value)
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        self.count();
        self.tx.delete(table, key)
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.count();
        let count = self.count;
        self.tx.scan(table, range, &mut |key, value| {
            count.set(count.get() + 1);
            visit(key, value)
        })
    }
}

/// The records that four operations of a device in `quiet` quiet groups touch: a read without news,
/// a message in one more group, a read of that message, and its acknowledgement.
fn count_touched_records(quiet: usize) -> [usize; 4] {
    let count = Cell::new(0);
    let store = CountingStore { inner: SqliteStore::in_memory().unwrap(), count: &count };
    let service = DeliveryService::open(store, Limits::default(), service_key()).unwrap();
    for number in 0..quiet {
        let id = group(&format!("quiet {number}"));
        let member = Client::new("alice").create_unregistered(&id, Opaque);
        service.create_group(&id, &device("alice"), Opaque, &member.group_info(), NOW).unwrap();
    }
    let mut alice = Client::new("alice").create(&service, Opaque);
    let counted = |work: &mut dyn FnMut()| {
        count.set(0);
        work();
        count.get()
    };
    let read = |expected| assert_eq!(service.read(&device("alice"), Cursor::START, 100).unwrap().len(), expected);
    let nothing = counted(&mut || read(0));
    let said = counted(&mut || drop(say(&service, &mut alice, "hello")));
    let one = counted(&mut || read(1));
    let end = stream(&service, &device("alice"))[0].cursor;
    let acknowledged = counted(&mut || assert_eq!(service.acknowledge(&device("alice"), end).unwrap(), 1));
    [nothing, said, one, acknowledged]
}

#[test]
fn quiet_groups_cost_a_device_nothing() {
    assert_eq!(count_touched_records(1), count_touched_records(40));
}

#[test]
fn a_group_that_becomes_active_is_read_again() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let bob = device("bob");
    for round in 0..3 {
        let end = stream(&service, &bob).last().unwrap().cursor;
        service.acknowledge(&bob, end).unwrap();
        assert_eq!(stream(&service, &bob), []);
        say(&service, &mut members[0], "hello");
        let news = stream(&service, &bob);
        assert_eq!((news.len(), news[0].receipt.sequence), (1, Sequence(2 + round)));
    }
}

#[test]
fn a_group_is_read_after_the_last_acknowledged_entry() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    for text in ["one", "two", "three"] {
        say(&service, &mut members[0], text);
    }
    let bob = device("bob");
    let all = stream(&service, &bob);
    service.acknowledge(&bob, all[1].cursor).unwrap();
    assert_eq!(stream(&service, &bob), all[2..]);
    assert_eq!(service.read(&bob, all[2].cursor, 10).unwrap(), all[3..]);
}

#[test]
fn records_of_quiet_and_active_groups_agree() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ds.db");
    let service = DeliveryService::open(SqliteStore::open(&path).unwrap(), Limits::default(), service_key()).unwrap();
    let mut members = group_of(&service, Assisted, &["alice", "bob", "carol"]);
    let everything = |name: &str| {
        let end = stream(&service, &device(name)).last().unwrap().cursor;
        service.acknowledge(&device(name), end).unwrap();
    };
    let is_whole = || assert_eq!(SqliteStore::open_beside(&path).unwrap().check().unwrap(), []);
    is_whole();
    everything("bob");
    is_whole();
    say(&service, &mut members[0], "hello");
    everything("bob");
    let remove = members[0].commit(&[], &[&device("bob")]);
    accept(&service, &remove);
    is_whole();
    everything("bob");
    everything("alice");
    is_whole();
    service.remove_device(&device("carol")).unwrap().unwrap();
    is_whole();
}
