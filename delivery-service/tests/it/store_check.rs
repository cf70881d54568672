//! The findings of `check`. It finds nothing in a store that only the service has written, and it
//! finds each kind of damage.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{ops::ControlFlow, path::PathBuf};

use crate::common::*;
use ed25519_dalek::{Signer as _, SigningKey};
use regrow_delivery_service::{
    Appended, DeliveryService, DeviceKey, GroupId,
    HandshakeMode::{Assisted, Opaque},
    Limits, SqliteStore, Store as _, StoreError, TokenHash,
    check::Finding,
    store::Table,
};
use regrow_protocol::device_list::{DeviceList, ListChange, ListedKeys};

type Record = (Vec<u8>, Vec<u8>);

/// A store in which every table has a record.
pub(crate) struct FullStore {
    directory: tempfile::TempDir,
}

impl FullStore {
    pub(crate) fn new() -> Self {
        let store = Self { directory: tempfile::tempdir().unwrap() };
        let service = DeliveryService::open(store.open(), Limits::default(), service_key()).unwrap();
        // A group with unread welcomes (one of them without the tree), a proposal, messages, a
        // removed device, and a reported commit.
        let mut members = group_of(&service, Assisted, &["alice", "bob", "carol", "dave"]);
        let remove = members[0].commit(&[], &[&device("dave")]);
        accept(&service, &remove);
        members[0].confirm();
        members[1].receive(&remove.commit);
        members[0].client.sends_trees = false;
        let add = members[0].commit(&[Client::new("gus").claimed_by(&service, &device("alice"))], &[]);
        accept(&service, &add);
        members[0].confirm();
        members[1].receive(&add.commit);
        say(&service, &mut members[0], "hello");
        say(&service, &mut members[1], "hello yourself");
        let update = members[0].update();
        let (sequence, _) = accept(&service, &update);
        members[1].receive(&update.commit);
        service.report_commit(&room(), &device("carol"), sequence, NOW).unwrap();
        let leave = members[1].propose_to_leave();
        service.submit_proposal(&room(), &device("bob"), &leave, NOW).unwrap();
        // An opaque group.
        let other = Client::new("erin").create_unregistered(&GroupId::new("other").unwrap(), Opaque);
        service
            .create_group(&GroupId::new("other").unwrap(), &device("erin"), Opaque, &other.group_info(), NOW)
            .unwrap();
        // An ended group.
        let ended = Client::new("erin").create_unregistered(&group("ended"), Opaque);
        service.create_group(&group("ended"), &device("erin"), Opaque, &ended.group_info(), NOW).unwrap();
        service.end_group(&group("ended"), &device("erin"), NOW).unwrap();
        // Key packages. One of them is claimed.
        let frank = Client::new("frank");
        let [one, two, last] = [false, false, true].map(|last_resort| frank.upload(0, NOW.0 + 1_000, last_resort));
        service.upload_key_packages(&frank.id, &[one, two], Some(&last), NOW).unwrap();
        service.claim_key_package(&frank.id, &device("alice"), NOW).unwrap();
        service.block_user(frank.id.user(), device("mallory").user()).unwrap();
        // A device with a session, a removed device, a device list, a wake-up address, and an
        // invitation.
        for name in ["frank", "gone"] {
            let id = device(name);
            service.register_device(&id, DeviceKey([1; 32]), None, NOW).unwrap();
        }
        let signer = SigningKey::from_bytes(&[5; 32]);
        let key = DeviceKey(signer.verifying_key().to_bytes());
        let listed = device("hugo");
        service.register_device(&listed, key, None, NOW).unwrap();
        let begin = ListChange::Begin(ListedKeys { key, signature_key: vec![1; 32].into() });
        let list = DeviceList::new(listed.user().clone());
        let entry = list.entry(&service.public_key(), &listed, begin, |bytes| signer.sign(bytes).to_bytes());
        let appended = service.append_to_device_list(&listed, &entry).unwrap();
        assert_eq!(appended, Appended::Appended { number: 1, ended: Vec::new() });
        service.open_session(&frank.id, &TokenHash([2; 32]), later(60)).unwrap().unwrap();
        service.register_wake_up(&frank.id, "https://push.example.org/frank").unwrap();
        service.remove_device(&device("gone")).unwrap().unwrap();
        service.invite(&TokenHash([3; 32]), None, later(60)).unwrap();
        store
    }

    /// The path of the store file.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("ds.db")
    }

    /// Opens the store file.
    pub(crate) fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path()).unwrap()
    }

    fn records(&self, table: Table) -> Vec<Record> {
        let mut records = Vec::new();
        self.open()
            .transaction::<_, StoreError>(|tx| {
                tx.scan(table, &[]..&[u8::MAX; 64], &mut |key, value| {
                    records.push((key.to_vec(), value.to_vec()));
                    Ok(ControlFlow::Continue(()))
                })
            })
            .unwrap();
        records
    }

    pub(crate) fn put(&self, table: Table, key: &[u8], value: &[u8]) {
        self.open().transaction::<_, StoreError>(|tx| tx.put(table, key, value)).unwrap();
    }

    fn delete(&self, table: Table, key: &[u8]) {
        assert!(self.open().transaction::<_, StoreError>(|tx| tx.delete(table, key)).unwrap());
    }

    fn check(&self) -> Vec<Finding> {
        self.open().check().unwrap()
    }

    /// The findings after all records of the table are deleted.
    fn without(table: Table) -> Vec<Finding> {
        let store = Self::new();
        for (key, _) in store.records(table) {
            store.delete(table, &key);
        }
        store.check()
    }
}

/// True if the finding concerns a record of the table, or names the table as the other side.
fn is_about(finding: &Finding, table: Table) -> bool {
    match finding {
        Finding::Dangling { missing_in, .. } if *missing_in == table => true,
        Finding::Contradiction { with, .. } if *with == table => true,
        Finding::Miscounted { table: counted, .. } if *counted == table => true,
        finding => finding.location().is_some_and(|location| location.table == table),
    }
}

#[test]
fn there_is_a_record_in_every_table() {
    let store = FullStore::new();
    for table in Table::ALL {
        assert!(!store.records(table).is_empty(), "{}", table.name());
    }
}

#[test]
fn nothing_is_found_in_a_good_store() {
    assert_eq!(FullStore::new().check(), []);
}

#[test]
fn a_store_in_use_stays_good() {
    let store = FullStore::new();
    let service = DeliveryService::open(store.open(), Limits::default(), service_key()).unwrap();
    let end = stream(&service, &device("alice")).last().unwrap().cursor;
    for device in ["alice", "bob", "carol", "dave"] {
        service.acknowledge(&crate::common::device(device), end).unwrap();
        assert_eq!(check_beside(&store, &service), [], "after an acknowledgement by {device}");
    }
    service.remove_device(&device("frank")).unwrap().unwrap();
    assert_eq!(check_beside(&store, &service), [], "after the removal of a device");
    service.expire(later(Limits::default().retention_seconds + 1)).unwrap();
    assert_eq!(check_beside(&store, &service), [], "after the expiry of all entries");
}

/// Checks the store while the service uses it.
fn check_beside(store: &FullStore, _: &DeliveryService<SqliteStore>) -> Vec<Finding> {
    SqliteStore::open_beside(store.directory.path().join("ds.db")).unwrap().check().unwrap()
}

#[test]
fn a_rollback_leaves_a_good_store() {
    let store = FullStore::new();
    let service = DeliveryService::open(store.open(), Limits::default(), service_key()).unwrap();
    let last = stream(&service, &device("bob"));
    let commit = last.iter().rev().find(|one| one.kind == regrow_delivery_service::DeliveryKind::Commit).unwrap();
    service.report_commit(&room(), &device("bob"), commit.receipt.sequence, NOW).unwrap();
    assert_eq!(
        kinds(&stream(&service, &device("bob"))).last().map(|kind| format!("{kind:?}").starts_with("Rollback")),
        Some(true)
    );
    assert_eq!(check_beside(&store, &service), []);
}

#[test]
fn an_unreadable_key_is_found_in_every_table() {
    let store = FullStore::new();
    for table in Table::ALL {
        store.put(table, b"\x01", b"");
    }
    let findings = store.check();
    for table in Table::ALL {
        let found = |finding: &Finding| matches!(finding, Finding::Unreadable(location) if location.table == table);
        assert!(findings.iter().any(found), "{}: {findings:?}", table.name());
    }
}

#[test]
fn an_unreadable_value_is_found_in_every_table() {
    // Records of these tables have empty values, or values of OpenMLS.
    let without_values = [
        Table::Reports,
        Table::Removed,
        Table::Waiting,
        Table::KeyPackagesSeen,
        Table::ClaimTargets,
        Table::Blocks,
        Table::Users,
        Table::UserDevices,
    ];
    for table in Table::ALL.into_iter().filter(|table| !without_values.contains(table)) {
        let store = FullStore::new();
        for (key, _) in store.records(table) {
            store.put(table, &key, b"\xC1");
        }
        let findings = store.check();
        assert!(findings.iter().any(|finding| is_about(finding, table)), "{}: {findings:?}", table.name());
    }
}

#[test]
fn a_missing_record_is_found_if_another_needs_it() {
    // No other record depends on records of these tables.
    let may_be_missing = [
        Table::WelcomeTrees,
        Table::Reports,
        Table::KeyPackages,
        Table::LastResorts,
        Table::Sessions,
        Table::Invitations,
        Table::Blocks,
        Table::WakeUps,
    ];
    for table in Table::ALL {
        let findings = FullStore::without(table);
        if may_be_missing.contains(&table) {
            assert_eq!(findings, [], "{}", table.name());
        } else {
            // Only a tally depends on the records of ended groups.
            let missed_in = if table == Table::EndedGroups { Table::Tallies } else { table };
            assert!(findings.iter().any(|finding| is_about(finding, missed_in)), "{}: {findings:?}", table.name());
        }
    }
}

#[test]
fn swapped_entries_break_the_chain() {
    let store = FullStore::new();
    let records = store.records(Table::Log);
    let [(first, first_value), (second, second_value)] = records.first_chunk::<2>().unwrap();
    store.put(Table::Log, first, second_value);
    store.put(Table::Log, second, first_value);
    let findings = store.check();
    assert!(findings.iter().any(|finding| matches!(finding, Finding::BrokenChain(_))), "{findings:?}");
}

#[test]
fn one_changed_byte_of_an_entry_breaks_the_chain() {
    let store = FullStore::new();
    let records = store.records(Table::Log);
    let (key, mut value) = records[1].clone();
    // The last bytes belong to the message.
    *value.last_mut().unwrap() ^= 1;
    store.put(Table::Log, &key, &value);
    let findings = store.check();
    assert!(
        matches!(&findings[..], [Finding::BrokenChain(location)] if (location.table, &location.key) == (Table::Log, &key)),
        "{findings:?}"
    );
}

#[test]
fn a_group_record_set_back_contradicts_the_log() {
    let store = FullStore::new();
    let before = store.records(Table::Groups);
    let service = DeliveryService::open(store.open(), Limits::default(), service_key()).unwrap();
    let outcome = service.report_commit(&room(), &device("bob"), reported(&service), NOW).unwrap();
    assert!(format!("{outcome:?}").starts_with("RolledBack"), "{outcome:?}");
    drop(service);
    for (key, value) in before {
        store.put(Table::Groups, &key, &value);
    }
    let findings = store.check();
    assert!(
        findings
            .iter()
            .any(|finding| matches!(finding, Finding::BrokenChain(location) if location.table == Table::Groups)),
        "{findings:?}"
    );
}

fn reported(service: &DeliveryService<SqliteStore>) -> regrow_delivery_service::Sequence {
    let entries = stream(service, &device("bob"));
    let is_commit =
        |one: &&regrow_delivery_service::Delivery| one.kind == regrow_delivery_service::DeliveryKind::Commit;
    entries.iter().rev().find(is_commit).unwrap().receipt.sequence
}

#[test]
fn receipts_of_another_service_are_found() {
    let store = FullStore::new();
    let (key, _) = store.records(Table::ServiceState).remove(0);
    store.put(Table::ServiceState, &key, &[9; 32]);
    let findings = store.check();
    let forged = |table| {
        findings.iter().any(|finding| matches!(finding, Finding::ForgedReceipt(location) if location.table == table))
    };
    assert!(forged(Table::Log) && forged(Table::RememberedOutcomes), "{findings:?}");
}

#[test]
fn a_membership_that_contradicts_the_roster_is_found() {
    let store = FullStore::new();
    let records = store.records(Table::Members);
    let (key, record) = records.first().unwrap();
    let (_, other) = records.iter().find(|(_, other)| other != record).unwrap();
    store.put(Table::Members, key, other);
    let findings = store.check();
    assert!(
        findings.iter().any(|finding| matches!(finding, Finding::Contradiction { with: Table::Members, .. })),
        "{findings:?}"
    );
}

#[test]
fn a_member_missing_in_the_public_group_is_found() {
    let store = FullStore::new();
    let mallory = device("mallory").to_identity();
    let name = |name: &[u8]| [&(name.len() as u64).to_be_bytes(), name].concat();
    let stranger = [name(b"room"), name(b"mallory"), name(&mallory)].concat();
    let (_, record) = store.records(Table::Members).remove(0);
    store.put(Table::Members, &stranger, &record);
    let findings = store.check();
    let of_group = |finding: &Finding| matches!(finding, Finding::Contradiction { location, with: Table::Members } if location.table == Table::Groups);
    assert!(findings.iter().any(of_group), "{findings:?}");
}

#[test]
fn a_damaged_file_is_a_finding() {
    let store = FullStore::new();
    drop(store.open());
    let path = store.directory.path().join("ds.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8_192].fill(0xFF);
    std::fs::write(&path, bytes).unwrap();
    let findings = SqliteStore::open_beside(&path).unwrap().check().unwrap();
    assert!(findings.iter().any(|finding| matches!(finding, Finding::File(_))), "{findings:?}");
}

#[test]
fn a_finding_is_printed_as_text() {
    let store = FullStore::new();
    store.put(Table::Members, b"\x01", b"");
    assert_eq!(store.check()[0].to_string(), "members 01: cannot be understood");
}
