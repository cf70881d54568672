//! Tests of backups: a device is lost, and a new device is made from its backup and takes its place
//! in its groups.

use std::{collections::BTreeSet, sync::Arc};

use crate::common::{store::FaultyStore, tape::byte_strings, *};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use regrow_engine::{
    Backup, BackupError, Client, DeviceId, Error, GroupId, MemoryStore, Outgoing, ReceivedEvent, Store, default_crypto,
};

const WORDS: &str = "correct horse battery staple";

fn name(user: &str, device: &str) -> DeviceId {
    DeviceId::new(user, device).unwrap()
}

fn restored_in(store: &(impl Store + Clone + 'static), device: &str, backup: &Backup) -> Result<Client, Error> {
    Client::restore(Arc::new(store.clone()), default_crypto(), name("alice", device), policy(), backup)
}

fn backup_of(client: &Client) -> Backup {
    Backup::open(&client.backup(b"", WORDS).unwrap(), WORDS).unwrap()
}

/// Returns the names of the devices in the group.
fn devices(client: &mut Client, id: &GroupId) -> BTreeSet<String> {
    client.group(id).unwrap().roster().unwrap().iter().map(|member| member.device.to_string()).collect()
}

fn group_info_of(client: &mut Client, id: &GroupId) -> Vec<u8> {
    client.group(id).unwrap().group_info().unwrap()
}

/// Joins the group by external commit. Returns true if the device then has intents to resume.
fn rejoin(client: &mut Client, id: &GroupId, member: &mut Client) -> bool {
    let pending = client.join_external(&group_info_of(member, id)).unwrap();
    member.receive(pending.commit(), NOW).unwrap();
    client.confirm(pending, NOW).unwrap().resume
}

/// Carries out the remaining intents. Returns false if there were none.
fn resume(client: &mut Client, id: &GroupId, member: &mut Client) -> bool {
    let Some(Outgoing::Commit(commit)) = client.group(id).unwrap().resume().unwrap() else { return false };
    member.receive(commit.commit(), NOW).unwrap();
    client.confirm(commit, NOW).unwrap();
    true
}

fn another_group(creator: &mut Client, other: &mut Client, id: &str) -> GroupId {
    let id = GroupId::new(id).unwrap();
    let key_package = key_package(other);
    let pending = creator.create_group(id.clone(), NOW).unwrap().add(&[key_package], NOW).unwrap();
    other.join(pending.welcome().unwrap(), NOW).unwrap();
    creator.confirm(pending, NOW).unwrap();
    id
}

#[test]
fn a_lost_device_is_replaced_in_all_groups() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut bob, &mut alice, &mut carol]);
    let work = another_group(&mut alice, &mut bob, "work");
    let number = alice.group(&group()).unwrap().safety_number(&user_id("bob")).unwrap();
    alice.group(&group()).unwrap().verify_user(&user_id("bob"), &number).unwrap();
    let archive = b"Bob: hello\nAlice: hello yourself".repeat(1000);
    let bytes = alice.backup(&archive, WORDS).unwrap();
    // Alice's phone is lost, and the groups continue without it.
    update(&mut bob, &mut [&mut carol]);
    let mut lost = alice;

    let backup = Backup::open(&bytes, WORDS).unwrap();
    assert_eq!(backup.device(), &device("alice"));
    assert_eq!(backup.groups().collect::<Vec<_>>(), [&group(), &work]);
    assert_eq!(backup.archive(), archive);
    // The process of the new device ends after every step.
    let store = MemoryStore::new();
    restored_in(&store, "new", &backup).unwrap();
    drop(backup);
    assert_eq!(reopen(&store).groups_to_rejoin().unwrap(), [group(), work.clone()]);
    assert!(reopen(&store).groups().unwrap().is_empty());

    let pending = reopen(&store).join_external(&group_info(&mut bob)).unwrap();
    assert_eq!(reopen(&store).groups_to_rejoin().unwrap().len(), 2);
    deliver(pending.commit(), &mut [&mut bob, &mut carol]);
    assert!(reopen(&store).confirm(pending, NOW).unwrap().resume);
    assert_eq!(reopen(&store).groups_to_rejoin().unwrap(), std::slice::from_ref(&work));
    assert!(devices(&mut bob, &group()).contains("alice/phone"));

    let Some(Outgoing::Commit(removal)) = reopen(&store).group(&group()).unwrap().resume().unwrap() else { panic!() };
    assert_eq!(removal.removed().collect::<Vec<_>>(), [&device("alice")]);
    deliver(removal.commit(), &mut [&mut bob, &mut carol]);
    reopen(&store).confirm(removal, NOW).unwrap();
    let mut alice = reopen(&store);
    assert!(rejoin(&mut alice, &work, &mut bob));
    assert!(resume(&mut alice, &work, &mut bob));

    assert!(reopen(&store).groups_to_rejoin().unwrap().is_empty());
    for (id, members) in [(&group(), 3), (&work, 2)] {
        let devices = devices(&mut bob, id);
        assert!(devices.len() == members && devices.contains("alice/new"), "{id}: {devices:?}");
        assert!(!resume(&mut reopen(&store), id, &mut bob));
    }
    assert_same_epoch(&mut [&mut bob, &mut carol, &mut reopen(&store)]);
    assert_eq!(reopen(&store).group(&group()).unwrap().verified_users().unwrap(), ["bob"]);
    let message = send(&mut reopen(&store), b"I am back");
    assert_eq!(read(&mut carol, &message), b"I am back");
    assert!(lost.receive(&message, NOW).is_err());
}

#[test]
fn a_lost_device_that_comes_back_learns_of_its_removal() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut bob, &mut alice]);
    let mut new = restored_in(&MemoryStore::new(), "new", &backup_of(&alice)).unwrap();
    let join = new.join_external(&group_info(&mut bob)).unwrap();
    deliver(join.commit(), &mut [&mut bob, &mut alice]);
    new.confirm(join, NOW).unwrap();

    let Some(Outgoing::Commit(removal)) = new.group(&group()).unwrap().resume().unwrap() else { panic!() };
    let event = alice.receive(removal.commit(), NOW).unwrap().event;

    assert!(matches!(event, ReceivedEvent::Removed { by, .. } if by == name("alice", "new")));
}

#[test]
fn the_faults_of_a_backup_give_different_errors() {
    let alice = client("alice");
    let backup = alice.backup(b"archive", WORDS).unwrap();
    let changed = |at: usize| {
        let mut changed = backup.clone();
        changed[at] ^= 1;
        Backup::open(&changed, WORDS).unwrap_err()
    };

    assert_eq!(Backup::open(&backup, "correct horse").unwrap_err(), BackupError::WrongPassphrase);
    assert_eq!(Backup::open(b"", WORDS).unwrap_err(), BackupError::NotABackup);
    assert_eq!(Backup::open(b"PK a zip file, and no backup at all", WORDS).unwrap_err(), BackupError::NotABackup);
    let short = &backup[..backup.len() - 1];
    assert_eq!(Backup::open(short, WORDS).unwrap_err(), BackupError::Truncated { bytes: short.len() });
    let mut newer = backup.clone();
    newer[4] = 2;
    assert_eq!(Backup::open(&newer, WORDS).unwrap_err(), BackupError::NewerFormat { found: 2, supported: 1 });
    // Bytes in the salt, in the sealed key, and at the beginning and the end of the content.
    assert_eq!(changed(30), BackupError::WrongPassphrase);
    assert_eq!(changed(60), BackupError::WrongPassphrase);
    assert_eq!(changed(120), BackupError::Damaged { what: "its content" });
    assert_eq!(changed(backup.len() - 1), BackupError::Damaged { what: "its content" });
}

#[test]
fn an_excessive_passphrase_cost_in_a_backup_is_refused() {
    let backup = client("alice").backup(b"", WORDS).unwrap();
    for (at, cost) in [(14, 2_u32 << 20), (14, u32::MAX), (18, 17), (18, u32::MAX), (22, u32::MAX), (14, 0)] {
        let mut dear = backup.clone();
        dear[at..at + 4].copy_from_slice(&cost.to_be_bytes());
        let error = Backup::open(&dear, WORDS).unwrap_err();
        assert_eq!(error, BackupError::Damaged { what: "the cost of its passphrase" }, "{at}: {cost}");
    }
}

/// Opens a backup as `docs/storage.md` describes, without the engine, and returns its content.
fn content(backup: &[u8]) -> Vec<u8> {
    let cost = |at: usize| u32::from_be_bytes(backup[at..at + 4].try_into().unwrap());
    let params = Params::new(cost(14), cost(18), cost(22), Some(32)).unwrap();
    assert_eq!((params.m_cost(), params.t_cost()), (64 * 1024, 3));
    let mut wrapping = [0; 32];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(WORDS.as_bytes(), &backup[26..42], &mut wrapping).unwrap();
    let open = |key: &[u8], sealed: &[u8], aad: &[u8]| {
        let cipher = XChaCha20Poly1305::new_from_slice(key).unwrap();
        cipher.decrypt(XNonce::from_slice(&sealed[..24]), Payload { msg: &sealed[24..], aad }).unwrap()
    };
    let data_key = open(&wrapping, &backup[42..114], &backup[13..42]);
    open(&data_key, &backup[114..], &backup[..114])
}

#[test]
fn no_key_of_the_device_is_in_its_backup() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = (client_in(&store, "alice", policy()), client("bob"));
    make_group(&mut [&mut bob, &mut alice]);
    let number = alice.group(&group()).unwrap().safety_number(&user_id("bob")).unwrap();
    alice.group(&group()).unwrap().verify_user(&user_id("bob"), &number).unwrap();
    alice.key_packages(2, NOW).unwrap();
    alice.group(&group()).unwrap().propose_update().map(drop).unwrap();
    let _pending = alice.group(&group()).unwrap().rotate_signature_key().unwrap();
    let bobs_key = bob.signature_key().unwrap();

    let content = content(&alice.backup(b"archive", WORDS).unwrap());

    let holds = |bytes: &[u8]| content.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(b"archive") && holds(b"chat") && holds(bobs_key.as_bytes()));
    let snapshot = alice.snapshot().unwrap();
    let stored: Vec<(String, Vec<u8>)> = snapshot
        .records()
        .iter()
        .flat_map(|record| byte_strings(record.value()).into_iter().map(|bytes| (record.name(), bytes)))
        .collect();
    assert!(stored.len() > 30);
    for (record, bytes) in stored {
        assert!(!holds(&bytes) || bytes == bobs_key.as_bytes(), "{record}: {} bytes are in the backup", bytes.len());
    }
}

#[test]
fn a_restored_device_has_a_new_name_of_its_user() {
    let mut alice = client("alice");
    alice.create_group(group(), NOW).unwrap();
    let backup = backup_of(&alice);
    let store = MemoryStore::new();
    for device in [name("alice", "phone"), name("mallory", "new")] {
        let made = Client::restore(Arc::new(store.clone()), default_crypto(), device.clone(), policy(), &backup);
        assert!(
            matches!(made, Err(Error::NotASuccessor { device: refused, of }) if refused == device && of == *backup.device())
        );
    }
    assert!(store::records(&store).is_empty());

    let new = restored_in(&store, "new", &backup).unwrap();
    assert_ne!(new.signature_key().unwrap(), alice.signature_key().unwrap());
    assert!(matches!(restored_in(&store, "newer", &backup), Err(Error::DeviceExists { .. })));
}

#[test]
fn a_second_restore_replaces_both_earlier_devices() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut bob, &mut alice]);
    let work = another_group(&mut bob, &mut alice, "work");
    let other = another_group(&mut bob, &mut alice, "other");
    let mut second = restored_in(&MemoryStore::new(), "second", &backup_of(&alice)).unwrap();
    // The second device has rejoined one group but not removed the first device. It was about to
    // join another group, and has not begun with the third.
    rejoin(&mut second, &group(), &mut bob);
    let ordered = second.join_external(&group_info_of(&mut bob, &work)).unwrap();
    bob.receive(ordered.commit(), NOW).unwrap();

    let backup = backup_of(&second);
    assert!(matches!(restored_in(&MemoryStore::new(), "phone", &backup), Err(Error::NotASuccessor { .. })));
    let mut third = restored_in(&MemoryStore::new(), "third", &backup).unwrap();

    assert_eq!(third.groups_to_rejoin().unwrap(), [group(), other.clone(), work.clone()]);
    for id in [group(), work, other] {
        assert!(rejoin(&mut third, &id, &mut bob));
        assert!(resume(&mut third, &id, &mut bob));
        assert_eq!(devices(&mut bob, &id), BTreeSet::from(["alice/third".into(), "bob/phone".into()]), "{id}");
    }
}

#[test]
fn a_group_that_the_lost_device_was_joining_is_rejoined() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    bob.create_group(group(), NOW).unwrap();
    // The service has accepted the commit. The answer was lost with Alice's phone.
    let ordered = alice.join_external(&group_info(&mut bob)).unwrap();
    deliver(ordered.commit(), &mut [&mut bob]);
    let mut new = restored_in(&MemoryStore::new(), "new", &backup_of(&alice)).unwrap();

    assert_eq!(new.groups_to_rejoin().unwrap(), [group()]);
    assert!(rejoin(&mut new, &group(), &mut bob));
    assert!(resume(&mut new, &group(), &mut bob));
    assert_eq!(devices(&mut bob, &group()), BTreeSet::from(["alice/new".into(), "bob/phone".into()]));
}

#[test]
fn a_second_rejoin_still_removes_the_former_device() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut bob, &mut alice]);
    let store = MemoryStore::new();
    let mut new = restored_in(&store, "new", &backup_of(&alice)).unwrap();
    rejoin(&mut new, &group(), &mut bob);
    let _lost = new.group(&group()).unwrap().resume().unwrap();

    assert!(rejoin(&mut new, &group(), &mut bob));
    assert!(new.groups_to_rejoin().unwrap().is_empty());
    assert!(resume(&mut reopen(&store), &group(), &mut bob));
    assert_eq!(devices(&mut bob, &group()), BTreeSet::from(["alice/new".into(), "bob/phone".into()]));
    assert!(!rejoin(&mut reopen(&store), &group(), &mut bob));
}

#[test]
fn an_added_new_device_still_removes_the_former_device() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut bob, &mut alice]);
    let mut new = restored_in(&MemoryStore::new(), "new", &backup_of(&alice)).unwrap();
    let added = bob.group(&group()).unwrap().add(&[key_package(&mut new)], NOW).unwrap();
    let welcome = added.welcome().unwrap().to_vec();
    bob.confirm(added, NOW).unwrap();

    new.join(&welcome, NOW).unwrap();

    assert!(new.groups_to_rejoin().unwrap().is_empty());
    assert!(resume(&mut new, &group(), &mut bob));
    assert_eq!(devices(&mut bob, &group()), BTreeSet::from(["alice/new".into(), "bob/phone".into()]));
}

#[test]
fn a_former_device_that_was_removed_is_not_removed_again() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut bob, &mut alice]);
    let backup = backup_of(&alice);
    let removal = bob.group(&group()).unwrap().remove(&[device("alice")]).unwrap();
    accept(&mut bob, removal, &mut []);
    let mut new = restored_in(&MemoryStore::new(), "new", &backup).unwrap();

    assert!(!rejoin(&mut new, &group(), &mut bob));
    assert!(new.groups_to_rejoin().unwrap().is_empty());
    assert!(!resume(&mut new, &group(), &mut bob));
}

#[test]
fn left_or_forgotten_groups_are_not_rejoined() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut bob, &mut alice]);
    let work = another_group(&mut bob, &mut alice, "work");
    let removal = bob.group(&group()).unwrap().remove(&[device("alice")]).unwrap();
    accept(&mut bob, removal, &mut [&mut alice]);

    let mut new = restored_in(&MemoryStore::new(), "new", &backup_of(&alice)).unwrap();

    assert_eq!(new.groups_to_rejoin().unwrap(), std::slice::from_ref(&work));
    new.forget(&work).unwrap();
    assert!(new.groups_to_rejoin().unwrap().is_empty());
}

#[test]
fn restoring_and_rejoining_are_atomic() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut bob, &mut alice]);
    let backup = backup_of(&alice);
    let store = FaultyStore::new();
    store.fail_writes();
    assert!(restored_in(&store, "new", &backup).is_err());
    assert!(store::records(&store.records).is_empty());
    store.heal();
    let mut new = restored_in(&store, "new", &backup).unwrap();
    let pending = new.join_external(&group_info(&mut bob)).unwrap();
    deliver(pending.commit(), &mut [&mut bob]);

    store.fail_writes();
    assert!(new.confirm(pending.clone(), NOW).is_err());
    store.heal();

    assert_eq!(reopen(&store).groups_to_rejoin().unwrap(), [group()]);
    assert!(reopen(&store).confirm(pending, NOW).unwrap().resume);
    assert!(reopen(&store).groups_to_rejoin().unwrap().is_empty());
    assert!(resume(&mut reopen(&store), &group(), &mut bob));
}

#[test]
fn debug_output_hides_a_backup_and_each_backup_is_different() {
    let alice = client("alice");
    let (one, other) = (alice.backup(b"archive", WORDS).unwrap(), alice.backup(b"archive", WORDS).unwrap());

    assert!(one[26..] != other[26..]);
    let shown = format!("{:?}", Backup::open(&one, WORDS).unwrap());
    assert_eq!(shown, "Backup { device: alice/phone, groups: 0, archive: 7 bytes }");
}
