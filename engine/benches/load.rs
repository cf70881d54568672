//! Measures a long life and many groups in one file: `cargo bench -p regrow-engine --bench load`.
//!
//! It prints the size of the file and of the process during the run, and fails if one of them
//! exceeds its limit.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Instant, SystemTime},
};

use regrow_engine::{
    Client, DeviceId, GroupId, MemoryStore, Policy, ReceivedEvent, SqliteStore, Store, StoreKey, Timestamp,
    default_crypto,
};

const EPOCHS: usize = 1000;
const MESSAGES_PER_EPOCH: usize = 100;
/// The number of these messages that this device sends, each in its own call. It receives the
/// others in one batch.
const SENT_PER_EPOCH: usize = 10;
const GROUPS: usize = 1000;

/// The largest growth of the file of one group after the first hundred epochs, in bytes. A commit
/// writes this much before it frees the data that it replaces.
const GROWTH: u64 = 16 * 1024;
/// The largest size of a group of two in the file, in bytes: ten small records.
const BYTES_PER_GROUP: u64 = 5 * 1024;
/// The largest memory that a thousand groups add to the process, in bytes. It contains the names of
/// the records, SQLite's cache, and the few groups that stay in memory.
const MEMORY_OF_GROUPS: u64 = 6 * 1024 * 1024;

fn main() {
    // `cargo test --all-targets` runs this program too, but not to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    one_group(&folder.path().join("one"));
    many_groups(&folder.path().join("many"));
}

fn client(store: Arc<dyn Store>, user: &str) -> Client {
    Client::create(store, default_crypto(), DeviceId::new(user, "phone").unwrap(), Policy::default()).unwrap()
}

fn file(path: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::create(path, &StoreKey::from_bytes([1; 32]), default_crypto()).unwrap())
}

fn now() -> Timestamp {
    Timestamp(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs())
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Returns the process's resident memory, or `None` if the system does not report it.
fn resident() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn kilobytes(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".into(), |bytes| (bytes / 1000).to_string())
}

/// Exchanges a hundred thousand messages in a thousand epochs.
fn one_group(path: &Path) {
    let store = file(path);
    let (mut alice, mut bob) = (client(store.clone(), "alice"), client(Arc::new(MemoryStore::new()), "bob"));
    let (id, now) = (GroupId::new("chat").unwrap(), now());
    let added = bob.key_packages(1, now).unwrap();
    let pending = alice.create_group(id.clone(), now).unwrap().add(&added, now).unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    alice.confirm(pending, now).unwrap();
    bob.join(&welcome, now).unwrap();

    println!("| epochs | messages | messages/s | records | file kB | process kB |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    let (mut started, mut warm) = (Instant::now(), None);
    for epoch in 1..=EPOCHS {
        let incoming = MESSAGES_PER_EPOCH - SENT_PER_EPOCH;
        let page: Vec<Vec<u8>> = (0..incoming).map(|_| bob.group(&id).unwrap().send(&[7; 100]).unwrap()).collect();
        let received = alice.receive_all(&page, now).unwrap();
        assert!(received.iter().all(|one| matches!(one.as_ref().unwrap().event, ReceivedEvent::Message(_))));
        for _ in 0..SENT_PER_EPOCH {
            let message = alice.group(&id).unwrap().send(&[7; 100]).unwrap();
            bob.receive(&message, now).unwrap();
        }
        let (committer, other) = if epoch % 2 == 0 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        let pending = committer.group(&id).unwrap().update().unwrap();
        other.receive(pending.commit(), now).unwrap();
        committer.confirm(pending, now).unwrap();
        if epoch % (EPOCHS / 10) == 0 {
            let rate = (EPOCHS / 10 * MESSAGES_PER_EPOCH) as f64 / started.elapsed().as_secs_f64();
            let (records, bytes) = (store.keys(&[]).unwrap().len(), size(path));
            let messages = epoch * MESSAGES_PER_EPOCH;
            println!("| {epoch} | {messages} | {rate:.0} | {records} | {} | {} |", bytes / 1000, kilobytes(resident()));
            let (first_records, first_bytes) = *warm.get_or_insert((records, bytes));
            assert!(bytes <= first_bytes + GROWTH, "the file has grown from {first_bytes} to {bytes} bytes");
            assert!(records <= first_records, "the number of records has grown");
            started = Instant::now();
        }
    }
}

/// Creates a thousand groups of two, uses all of them, and leaves them again.
fn many_groups(path: &Path) {
    let (key, now) = (StoreKey::from_bytes([1; 32]), now());
    let mut alice = client(file(path), "alice");
    let mut bob = client(Arc::new(MemoryStore::new()), "bob");
    let added: Vec<_> = (0..GROUPS).map(|_| bob.key_packages(1, now).unwrap().remove(0)).collect();
    drop(bob);
    let (empty, before) = (size(path), resident());
    let ids: Vec<GroupId> = (0..GROUPS).map(|number| GroupId::new(format!("group {number}")).unwrap()).collect();

    println!("\n| groups | | file kB | process kB |");
    println!("| ---: | --- | ---: | ---: |");
    let print = |groups: usize, what: &str| {
        println!("| {groups} | {what} | {} | {} |", size(path) / 1000, kilobytes(resident()));
    };
    print(0, "a new device");
    for (number, (id, added)) in ids.iter().zip(added).enumerate() {
        let pending = alice.create_group(id.clone(), now).unwrap().add(&[added], now).unwrap();
        alice.confirm(pending, now).unwrap();
        if (number + 1) % (GROUPS / 5) == 0 {
            print(number + 1, "created");
        }
    }
    for id in &ids {
        alice.group(id).unwrap().send(&[7; 100]).unwrap();
    }
    print(GROUPS, "a message sent in each");
    let (full, used) = (size(path), resident());
    assert!(full - empty <= BYTES_PER_GROUP * GROUPS as u64, "the file has {full} bytes");
    if let (Some(before), Some(used)) = (before, used) {
        assert!(used.saturating_sub(before) <= MEMORY_OF_GROUPS, "the process has gone from {before} to {used} bytes");
    }
    drop(alice);
    let started = Instant::now();
    let store = Arc::new(SqliteStore::open(path, &key, default_crypto()).unwrap());
    let mut alice = Client::open(store, default_crypto(), Policy::default()).unwrap();
    print(GROUPS, &format!("opened again, in {} ms", started.elapsed().as_millis()));
    for id in &ids {
        alice.forget(id).unwrap();
    }
    print(0, "all forgotten");
    for id in &ids {
        alice.create_group(id.clone(), now).unwrap();
    }
    print(GROUPS, "created again, alone");
    assert!(size(path) <= full, "freed space in the file is not used again");
}
