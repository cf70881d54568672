//! Tests of a long life and many groups. The size of a device's data depends on its groups, not on
//! their history.

use std::{fs, path::PathBuf, sync::Arc};

use crate::common::{store::FaultyStore, *};
use regrow_engine::{Client, GroupId, MemoryStore, ReceivedEvent, SqliteStore, Store, StoreKey, default_crypto};
use tempfile::TempDir;

/// The tolerance for a file's size, in bytes. Keys are random, and so are the page boundaries of
/// values. So a file may have a few pages more than another. A leak in these tests would add many
/// times as much.
const SLACK: u64 = 16 * 1024;

struct DeviceFile {
    folder: TempDir,
    store: Arc<SqliteStore>,
}

impl DeviceFile {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = StoreKey::from_bytes([7; 32]);
        let store = Arc::new(SqliteStore::create(folder.path().join("device"), &key, default_crypto()).unwrap());
        Self { folder, store }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("device")
    }

    /// Returns the size of the file in bytes, and the number of records in it.
    fn size(&self) -> (u64, usize) {
        (fs::metadata(self.path()).unwrap().len(), self.store.keys(&[]).unwrap().len())
    }
}

#[test]
fn messages_and_epochs_do_not_make_a_device_larger() {
    let disk = DeviceFile::new();
    let mut alice = Client::create(disk.store.clone(), default_crypto(), device("alice"), policy()).unwrap();
    let (mut bob, mut carol) = (client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let mut sizes = Vec::new();
    for epoch in 0..60 {
        let page: Vec<Vec<u8>> = (0..34).map(|number| send(&mut bob, &[number; 100])).collect();
        let received = alice.receive_all(&page, NOW).unwrap();
        assert!(received.iter().all(|one| matches!(one.as_ref().unwrap().event, ReceivedEvent::Message(_))));
        let sent = send(&mut alice, b"one");
        deliver(&sent, &mut [&mut bob, &mut carol]);
        match epoch % 3 {
            0 => update(&mut alice, &mut [&mut bob, &mut carol]),
            1 => update(&mut bob, &mut [&mut alice, &mut carol]),
            _ => {
                let proposal = alice.group(&group()).unwrap().propose_update().unwrap();
                deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob, &mut carol]);
                let pending = carol.group(&group()).unwrap().rotate_signature_key().unwrap();
                accept(&mut carol, pending, &mut [&mut alice, &mut bob]);
            }
        }
        sizes.push(disk.size());
    }
    let (warm, last) = sizes.split_at(12);
    let (bytes, records) = (warm.iter().map(|size| size.0).max(), warm.iter().map(|size| size.1).max());
    for size in last {
        let bytes = bytes.map(|bytes| bytes + SLACK);
        assert!(Some(size.0) <= bytes && Some(size.1) <= records, "{size:?}, after {bytes:?} and {records:?}");
    }
}

#[test]
fn new_groups_reuse_the_space_of_forgotten_groups() {
    let disk = DeviceFile::new();
    let mut alice = Client::create(disk.store.clone(), default_crypto(), device("alice"), policy()).unwrap();
    let before = disk.size().1;
    let round = |alice: &mut Client| {
        for number in 0..30_u8 {
            alice.create_group(GroupId::new([number]).unwrap(), NOW).unwrap();
        }
        let full = disk.size();
        for number in 0..30_u8 {
            alice.forget(&GroupId::new([number]).unwrap()).unwrap();
        }
        assert_eq!(disk.size().1, before);
        full
    };
    let first = round(&mut alice);
    let second = round(&mut alice);
    assert!(second.0 <= first.0 + SLACK, "{first:?}, then {second:?}");
}

#[test]
fn more_groups_than_the_memory_limit_all_work() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = (client_in(&store, "alice", policy()), client("bob"));
    let ids: Vec<GroupId> = (0..60).map(|number| GroupId::new(format!("group {number}")).unwrap()).collect();
    for id in &ids {
        let added = key_package(&mut bob);
        let pending = alice.create_group(id.clone(), NOW).unwrap().add(&[added], NOW).unwrap();
        let welcome = pending.welcome().unwrap().to_vec();
        alice.confirm(pending, NOW).unwrap();
        bob.join(&welcome, NOW).unwrap();
    }
    for turn in 0..2 {
        // First, one call has messages of all groups, which are more than the limit. Then each
        // group is used alone, the last group first.
        let page: Vec<Vec<u8>> = ids.iter().map(|id| bob.group(id).unwrap().send(&[turn]).unwrap()).collect();
        for (received, id) in alice.receive_all(&page, NOW).unwrap().into_iter().zip(&ids) {
            let received = received.unwrap();
            assert!(received.group == *id && matches!(received.event, ReceivedEvent::Message(_)));
        }
        for id in ids.iter().rev() {
            let pending = alice.group(id).unwrap().update().unwrap();
            bob.receive(pending.commit(), NOW).unwrap();
            alice.confirm(pending, NOW).unwrap();
        }
    }
    for id in &ids {
        let ours = alice.group(id).unwrap().epoch_authenticator().unwrap();
        assert_eq!(ours, bob.group(id).unwrap().epoch_authenticator().unwrap());
    }
}

/// The documented number of groups, those that were used last.
#[test]
fn only_the_last_used_groups_are_in_memory() {
    let store = FaultyStore::new();
    let mut alice = client_over(&store, "alice");
    let name = |number: usize| GroupId::new(format!("group {number}")).unwrap();
    for number in 0..33 {
        alice.create_group(name(number), NOW).unwrap();
    }

    store.fail_reads_after(0);
    for number in 1..33 {
        assert!(alice.group(&name(number)).unwrap().epoch().is_ok(), "group {number} is not in memory");
    }
    assert!(alice.group(&name(0)).is_err(), "the least recently used group is still in memory");
    store.heal();

    alice.group(&name(0)).unwrap().epoch().unwrap();
    store.fail_reads_after(0);
    assert!(alice.group(&name(1)).is_err(), "group 1 is still in memory after another group was loaded");
}

#[test]
fn unloaded_groups_are_in_the_store_and_continue_where_they_were() {
    let store = FaultyStore::new();
    let (mut alice, mut bob) = (client_over(&store, "alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let pending = alice.group(&group()).unwrap().update().unwrap();
    let message = send(&mut bob, b"hello");
    assert_eq!(alice.loaded_groups(), 1);

    alice.unload_groups();

    assert_eq!(alice.loaded_groups(), 0);
    store.fail_reads_after(0);
    assert!(alice.group(&group()).is_err(), "the group is still in memory");
    store.heal();
    assert!(matches!(alice.receive(&message, NOW).unwrap().event, ReceivedEvent::Message(_)));
    alice.unload_groups();
    bob.receive(pending.commit(), NOW).unwrap();
    alice.confirm(pending, NOW).unwrap();
    alice.unload_groups();
    assert!(matches!(bob.receive(&send(&mut alice, b"hi"), NOW).unwrap().event, ReceivedEvent::Message(_)));
}
