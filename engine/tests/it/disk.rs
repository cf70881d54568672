//! Tests of a device in a file: the data that it stores, hides and erases, and its errors for a
//! changed file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
};

use crate::common::{
    store_folder::{StoreFolder, key},
    *,
};
use proptest::prelude::*;
use regrow_engine::{
    Batch, Client, DiskError, Error, GroupId, MemoryStore, ReceivedEvent, SqliteStore, StorageError, Store, StoreError,
    StoreKey, Value, default_crypto,
};
use rusqlite::{Connection, params};

fn client_on(store: &Arc<SqliteStore>, user: &str) -> Client {
    Client::create(store.clone(), default_crypto(), device(user), policy()).unwrap()
}

fn put(store: &dyn Store, key: &[u8], value: &[u8]) {
    let mut batch = Batch::default();
    batch.put(key.to_vec(), Value::new(value.to_vec()));
    store.apply(batch).unwrap();
}

fn delete(store: &dyn Store, key: &[u8]) {
    let mut batch = Batch::default();
    batch.delete(key.to_vec());
    store.apply(batch).unwrap();
}

/// Returns bytes that look random, like keys.
fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn contents(store: &dyn Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let keys = store.keys(&[]).unwrap();
    keys.into_iter().map(|key| (key.clone(), store.get(&key).unwrap().unwrap().to_vec())).collect()
}

#[test]
fn a_device_continues_from_its_file() {
    let folder = StoreFolder::new();
    let mut bob = client("bob");
    {
        let mut alice = client_on(&folder.create(), "alice");
        make_group(&mut [&mut alice, &mut bob]);
        let message = send(&mut alice, b"one");
        deliver(&message, &mut [&mut bob]);
    }

    let mut alice = Client::open(Arc::new(folder.open().unwrap()), default_crypto(), policy()).unwrap();

    assert_eq!(alice.device(), &device("alice"));
    let message = send(&mut alice, b"two");
    let ReceivedEvent::Message(two) = deliver(&message, &mut [&mut bob]).remove(0) else { panic!("no message") };
    assert_eq!(&**two.text, b"two");
    let update = bob.group(&group()).unwrap().update().unwrap();
    accept(&mut bob, update, &mut [&mut alice]);
    assert_eq!(alice.group(&group()).unwrap().epoch().unwrap(), bob.group(&group()).unwrap().epoch().unwrap());
}

#[test]
fn a_store_is_created_once_and_must_exist_to_open() {
    let folder = StoreFolder::new();
    assert!(matches!(folder.open(), Err(DiskError::Missing { .. })));
    drop(folder.create());

    let again = SqliteStore::create(folder.path(), &key(), default_crypto());

    assert!(matches!(again, Err(DiskError::Exists { .. })));
    assert!(folder.open().is_ok());
}

#[test]
fn an_interrupted_creation_can_be_repeated() {
    let folder = StoreFolder::new();
    fs::write(folder.path(), b"").unwrap();
    assert!(matches!(folder.open(), Err(DiskError::Missing { .. })));
    // SQLite has written only its header.
    Connection::open(folder.path()).unwrap().execute_batch("PRAGMA journal_mode = WAL; VACUUM;").unwrap();
    assert!(matches!(folder.open(), Err(DiskError::Missing { .. })));

    assert!(SqliteStore::create(folder.path(), &key(), default_crypto()).is_ok());
}

#[test]
fn a_file_that_is_not_a_store_stays_unchanged() {
    let text = StoreFolder::new();
    fs::write(text.path(), "a letter, and by no means a database".repeat(100)).unwrap();
    let other = StoreFolder::new();
    Connection::open(other.path()).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    for folder in [text, other] {
        let before = folder.bytes();
        assert!(matches!(folder.open(), Err(DiskError::NotAStore { .. })));
        let created = SqliteStore::create(folder.path(), &key(), default_crypto());
        assert!(matches!(created, Err(DiskError::NotAStore { .. })));
        assert_eq!(folder.bytes(), before);
    }
}

#[test]
fn a_file_of_format_1_is_migrated() {
    let folder = StoreFolder::new();
    let before = {
        let store = folder.create();
        client_on(&store, "alice");
        contents(&*store)
    };
    // The file of an older version, which did not count openings.
    let old = Connection::open(folder.path()).unwrap();
    old.execute_batch("ALTER TABLE seal DROP COLUMN openings; PRAGMA user_version = 1").unwrap();
    drop(old);

    let store = folder.open().unwrap();

    assert_eq!(contents(&store), before);
    assert_eq!(store.openings(), 1);
    drop(store);
    assert_eq!(folder.open().unwrap().openings(), 2);
}

#[test]
fn a_newer_format_is_refused_and_the_file_stays_unchanged() {
    let folder = StoreFolder::new();
    drop(folder.create());
    folder.tamper("PRAGMA user_version = 3");
    let before = folder.bytes();

    assert!(matches!(folder.open(), Err(DiskError::NewerFormat { found: 3, supported: 2 })));

    assert_eq!(folder.bytes(), before);
}

#[test]
fn a_file_is_opened_by_only_one_store() {
    let folder = StoreFolder::new();
    let store = folder.create();

    assert!(matches!(folder.open(), Err(DiskError::InUse { path }) if path == folder.path()));

    put(&*store, b"still", b"there");
    drop(store);
    assert_eq!(**folder.open().unwrap().get(b"still").unwrap().unwrap(), *b"there");
}

#[test]
fn a_wrong_key_does_not_open_or_change_the_file() {
    let folder = StoreFolder::new();
    put(&*folder.create(), b"a", b"b");
    let before = folder.bytes();

    let wrong = SqliteStore::open(folder.path(), &StoreKey::from_bytes([8; 32]), default_crypto());
    let other = SqliteStore::open(folder.path(), &StoreKey::from_passphrase("seven"), default_crypto());

    assert!(matches!(wrong, Err(DiskError::WrongKey)));
    assert!(matches!(other, Err(DiskError::OtherProtection { protection: "a key" })));
    assert_eq!(folder.bytes(), before);
}

#[test]
fn only_the_new_key_opens_the_file_after_a_change() {
    let folder = StoreFolder::new();
    let store = folder.create();
    put(&*store, b"a", &noise(1, 10_000));
    let mut erasure = ErasureCheck::default();
    erasure.check(&folder, "nothing yet");

    store.change_key(&StoreKey::from_passphrase("correct horse")).unwrap();

    assert_eq!(erasure.check(&folder, "the data key under the old key"), 1);
    drop(store);
    assert!(matches!(folder.open(), Err(DiskError::OtherProtection { protection: "a passphrase" })));
    let open = |words| SqliteStore::open(folder.path(), &StoreKey::from_passphrase(words), default_crypto());
    assert!(matches!(open("wrong horse"), Err(DiskError::WrongKey)));
    let store = open("correct horse").unwrap();
    assert_eq!(**store.get(b"a").unwrap().unwrap(), noise(1, 10_000));
    store.change_key(&key()).unwrap();
    drop(store);
    assert!(folder.open().is_ok());
}

#[test]
fn an_excessive_passphrase_cost_in_the_file_is_refused() {
    let folder = StoreFolder::new();
    drop(SqliteStore::create(folder.path(), &StoreKey::from_passphrase("words"), default_crypto()).unwrap());
    // The memory is the first cost after the kind: two gibibytes.
    folder.tamper("UPDATE seal SET protection = CAST(x'0100200000' || substr(protection, 6) AS BLOB)");

    let opened = SqliteStore::open(folder.path(), &StoreKey::from_passphrase("words"), default_crypto());

    assert!(matches!(opened, Err(DiskError::Damaged { .. })));
}

#[test]
#[cfg(unix)]
fn only_the_owner_can_access_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = StoreFolder::new();
    let _store = folder.create();
    for file in fs::read_dir(folder.0.path()).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o077, 0);
    }
}

#[test]
fn names_and_values_are_not_readable_in_the_file() {
    let folder = StoreFolder::new();
    let store = folder.create();
    let (name, value) = (b"the name of a record".to_vec(), noise(3, 9_000));
    put(&*store, &name, &value);
    let mut alice = client_on(&store, "alice-in-the-file");
    alice.create_group(GroupId::new("a-group-in-the-file").unwrap(), NOW).unwrap();

    let bytes = folder.bytes();

    let readable = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(!readable(&name));
    assert!(!value.chunks(16).any(readable));
    for text in ["alice-in-the-file", "a-group-in-the-file"] {
        assert!(!readable(text.as_bytes()), "{text}");
        let known = alice.snapshot().unwrap();
        let in_records =
            |record: &regrow_engine::Record| record.value().windows(text.len()).any(|w| w == text.as_bytes());
        assert!(known.records().iter().any(in_records), "{text} is in no record, so that the test proves nothing");
    }
}

/// Returns all sealed values in the file. It reads a copy, because the file itself is locked.
fn blobs(folder: &StoreFolder) -> BTreeSet<Vec<u8>> {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(folder.0.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let connection = Connection::open(copy.path().join("device")).unwrap();
    let mut all = BTreeSet::new();
    for column in ["name FROM record", "body FROM record", "page FROM page", "data_key FROM seal"] {
        let mut statement = connection.prepare(&format!("SELECT {column}")).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        all.extend(rows.map(Result::unwrap));
    }
    all
}

/// Checks that no file contains a sealed value that was deleted.
#[derive(Default)]
struct ErasureCheck {
    ever: BTreeSet<Vec<u8>>,
}

impl ErasureCheck {
    /// Checks that no deleted value has left a trace. Returns the number of deleted sealed values.
    fn check(&mut self, folder: &StoreFolder, what: &str) -> usize {
        let live = blobs(folder);
        let dead: Vec<_> = self.ever.difference(&live).cloned().collect();
        // Half of a sealed value would reveal half of a key. So the check looks for pieces, at any
        // position.
        let pieces: BTreeSet<[u8; 16]> =
            dead.iter().flat_map(|blob| blob.chunks_exact(16).map(|piece| piece.try_into().unwrap())).collect();
        let beginnings: BTreeSet<u16> = pieces.iter().map(|piece| u16::from_be_bytes([piece[0], piece[1]])).collect();
        let mut begins = vec![false; 1 << 16];
        beginnings.into_iter().for_each(|beginning| begins[usize::from(beginning)] = true);
        for (at, window) in folder.bytes().windows(16).enumerate() {
            if begins[usize::from(u16::from_be_bytes([window[0], window[1]]))] {
                assert!(!pieces.contains(window), "{what}: an erased value is still in the file, at byte {at}");
            }
        }
        self.ever.extend(live);
        dead.len()
    }
}

#[test]
fn deleted_values_are_in_no_file_after_the_call() {
    let folder = StoreFolder::new();
    let store = folder.create();
    let mut erasure = ErasureCheck::default();
    let mut alice = client_on(&store, "alice");
    let (mut bob, mut carol) = (client("bob"), client("carol"));
    let mut erased = 0;
    let mut check = |what: &str, at_least: usize| {
        let now = erasure.check(&folder, what);
        assert!(now >= erased + at_least, "{what}: erased {now} after {erased}");
        erased = now;
    };
    check("a device", 0);
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    check("a group", 0);
    let message = send(&mut alice, b"hello");
    check("a message key that was used to send", 1);
    deliver(&message, &mut [&mut bob, &mut carol]);
    let message = send(&mut bob, b"hello");
    deliver(&message, &mut [&mut alice]);
    check("a message key that was used to receive", 1);
    let update = bob.group(&group()).unwrap().update().unwrap();
    accept(&mut bob, update, &mut [&mut alice, &mut carol]);
    check("an epoch that another member ended", 5);
    let update = alice.group(&group()).unwrap().rotate_signature_key().unwrap();
    check("nothing yet", 0);
    accept(&mut alice, update, &mut [&mut bob, &mut carol]);
    check("an epoch and a signature key", 6);
    let update = alice.group(&group()).unwrap().update().unwrap();
    alice.discard(update).unwrap();
    check("a commit that was discarded", 1);
    alice.key_packages(3, NOW).unwrap();
    check("new key packages", 0);
    alice.expire(regrow_engine::Timestamp::LATEST).unwrap();
    check("key packages", 3);
    let _ = alice.group(&group()).unwrap().propose_update().unwrap();
    let update = bob.group(&group()).unwrap().update().unwrap();
    accept(&mut bob, update, &mut [&mut alice, &mut carol]);
    check("the key of a proposal", 1);
    let removal = bob.group(&group()).unwrap().remove(&[device("alice")]).unwrap();
    accept(&mut bob, removal, &mut [&mut alice, &mut carol]);
    check("a group that the device was removed from", 8);
    assert_eq!(contents(&*store).len(), 3, "only the device, its key and the record of its removal are left");
}

/// A sequence of changes. Each change sets a record to a number of bytes or deletes it.
fn changes() -> impl Strategy<Value = Vec<(u8, Option<usize>)>> {
    prop::collection::vec((0_u8..6, prop::option::weighted(0.8, prop_oneof![0..300_usize, 0..30_000_usize])), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_file_contains_written_values_and_no_deleted_ones(changes in changes()) {
        let folder = StoreFolder::new();
        let mut store = folder.create();
        let mut model = BTreeMap::new();
        let mut erasure = ErasureCheck::default();
        for (turn, (name, value)) in changes.into_iter().enumerate() {
            match value {
                Some(len) => {
                    let value = noise(turn as u8, len);
                    put(&*store, &[name], &value);
                    model.insert(vec![name], value);
                }
                None => {
                    delete(&*store, &[name]);
                    model.remove(&vec![name]);
                }
            }
            erasure.check(&folder, "a change");
            prop_assert_eq!(&contents(&*store), &model);
        }
        drop(std::mem::replace(&mut store, StoreFolder::new().create()));
        prop_assert_eq!(&contents(&folder.open().unwrap()), &model);
    }

    #[test]
    fn a_file_with_one_changed_bit_never_returns_false_values(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let folder = StoreFolder::new();
        let store = folder.create();
        for name in 0..4 {
            put(&*store, &[name], &noise(name, 400 * usize::from(name) * usize::from(name)));
        }
        let truth = contents(&*store);
        drop(store);
        let mut bytes = fs::read(folder.path()).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        fs::write(folder.path(), bytes).unwrap();
        if let Ok(store) = folder.open() {
            for key in store.keys(&[]).unwrap() {
                if let Ok(Some(value)) = store.get(&key) {
                    prop_assert_eq!(Some(&*value), truth.get(&key));
                }
            }
        }
    }

    #[test]
    fn a_truncated_file_is_refused(length in any::<prop::sample::Index>()) {
        let folder = StoreFolder::new();
        put(&*folder.create(), b"a", &noise(1, 30_000));
        let bytes = fs::read(folder.path()).unwrap();
        fs::write(folder.path(), &bytes[..length.index(bytes.len())]).unwrap();
        let read = folder.open().map_err(|e| e.to_string()).and_then(|store| {
            store.get(b"a").map_err(|e| e.to_string())
        });
        prop_assert!(read.is_err(), "read {} bytes", read.unwrap().map_or(0, |value| value.len()));
    }
}

/// Runs the statement on a file with four records, two of which have several pages. Returns an
/// error for each record that can no longer be read.
fn after_tampering(sql: &str) -> Vec<String> {
    let folder = StoreFolder::new();
    let store = folder.create();
    put(&*store, b"one", &noise(1, 9_000));
    put(&*store, b"two", &noise(2, 9_000));
    put(&*store, b"six", &noise(6, 100));
    put(&*store, b"ten", &noise(9, 100));
    drop(store);
    assert!(folder.tamper(sql) > 0, "{sql}");
    match folder.open() {
        Err(DiskError::Damaged { what }) => vec![what],
        Err(other) => panic!("{sql}: {other}"),
        Ok(store) => {
            let unread = store.keys(&[]).unwrap().into_iter().filter_map(|key| store.get(&key).err());
            unread.map(|error| error.to_string()).collect()
        }
    }
}

#[test]
fn tampering_is_reported_as_damage() {
    for sql in [
        // A changed value.
        "UPDATE record SET body = x'00' WHERE id = 3",
        "UPDATE record SET name = zeroblob(60) WHERE id = 1",
        "UPDATE page SET page = zeroblob(1000) WHERE id = 2",
        // A value of the same store, moved to another place.
        "UPDATE record SET body = (SELECT body FROM record WHERE id = 4) WHERE id = 3",
        "UPDATE record SET name = (SELECT name FROM record WHERE id = 4) WHERE id = 3",
        "UPDATE page SET page = (SELECT page FROM page WHERE id = 1) WHERE id = 2",
        // A record under another number.
        "UPDATE record SET id = 40 WHERE id = 4",
        // A deleted row.
        "DELETE FROM page WHERE id = 2",
        "DELETE FROM seal",
    ] {
        let damaged = after_tampering(sql);
        assert_eq!(damaged.len(), 1, "{sql}: {damaged:?}");
    }
}

/// Returns the identifier of the table's last row and the row's content in this column.
fn last(folder: &StoreFolder, table: &str, column: &str) -> (i64, Vec<u8>) {
    let sql = format!("SELECT id, {column} FROM {table} ORDER BY id DESC LIMIT 1");
    let connection = Connection::open(folder.path()).unwrap();
    connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[test]
fn a_former_value_of_the_same_number_is_damage() {
    for (table, column, len) in [("page", "page", 9_000), ("record", "body", 90)] {
        let folder = StoreFolder::new();
        put(&*folder.create(), b"one", &noise(1, len));
        let (id, old) = last(&folder, table, column);
        {
            let store = folder.open().unwrap();
            delete(&store, b"one");
            put(&store, b"two", &noise(2, len));
        }
        assert_eq!(last(&folder, table, column).0, id, "the number is not used again");
        let sql = format!("UPDATE {table} SET {column} = ?2 WHERE id = ?1");
        Connection::open(folder.path()).unwrap().execute(&sql, params![id, old]).unwrap();

        assert!(folder.open().unwrap().get(b"two").is_err(), "{table}");
    }
}

#[test]
fn a_damaged_record_fails_the_call_that_needs_it() {
    let folder = StoreFolder::new();
    drop(client_on(&folder.create(), "alice"));
    folder.tamper("UPDATE record SET body = zeroblob(80)");

    let opened = Client::open(Arc::new(folder.open().unwrap()), default_crypto(), policy());

    let Err(Error::Storage(StorageError::Store(StoreError::Failed { source, .. }))) = opened else {
        panic!("the damaged file was opened")
    };
    assert!(matches!(source.downcast_ref(), Some(DiskError::Damaged { .. })), "{source}");
}

/// Creates a group with this number of members. The creator is on disk, and the other returned
/// client is in memory.
fn large_group(folder: &StoreFolder, members: usize) -> (Arc<SqliteStore>, Client, Client) {
    let store = folder.create();
    let mut alice = client_on(&store, "alice");
    let mut bob = client("bob");
    let mut others = vec![key_package(&mut bob)];
    others.extend((2..members).map(|number| key_package(&mut client(&format!("m{number}")))));
    alice.create_group(group(), NOW).unwrap();
    let pending = alice.group(&group()).unwrap().add(&others, NOW).unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    alice.confirm(pending, NOW).unwrap();
    bob.join(&welcome, NOW).unwrap();
    (store, alice, bob)
}

#[test]
fn bytes_written_per_message_do_not_grow_with_the_group() {
    let mut costs = Vec::new();
    for members in [10, 100, 1000] {
        let folder = StoreFolder::new();
        let (store, mut alice, mut bob) = large_group(&folder, members);
        let mut written = store.bytes_written().unwrap();
        let mut cost = || {
            let now = store.bytes_written().unwrap();
            now - std::mem::replace(&mut written, now)
        };
        // The first messages derive the ratchets from the secret tree.
        for _ in 0..3 {
            deliver(&send(&mut alice, b"hello"), &mut [&mut bob]);
            deliver(&send(&mut bob, b"hello"), &mut [&mut alice]);
        }
        cost();
        let sent = (0..8).map(|_| (send(&mut alice, b"hello"), cost()).1).max().unwrap();
        let received = (0..8)
            .map(|_| {
                deliver(&send(&mut bob, b"hello"), &mut [&mut alice]);
                cost()
            })
            .max()
            .unwrap();
        costs.push((members, sent, received));
    }
    let most = costs.iter().map(|(_, sent, received)| *sent.max(received)).max().unwrap();
    assert!(most < 24_000, "bytes to send and to receive: {costs:?}");
}

#[test]
fn memory_and_disk_stores_hold_the_same_values() {
    let folder = StoreFolder::new();
    let (disk, memory) = (folder.create(), MemoryStore::new());
    for store in [&*disk as &dyn Store, &memory] {
        for name in 0..20_u8 {
            put(store, &[name / 4, name], &noise(name, 500 * usize::from(name)));
        }
        for name in [3, 7, 8] {
            delete(store, &[name / 4, name]);
        }
    }
    assert_eq!(contents(&*disk), contents(&memory));
    for prefix in [&[][..], &[1], &[1, 5], &[9]] {
        assert_eq!(disk.keys(prefix).unwrap(), memory.keys(prefix).unwrap());
    }
}
