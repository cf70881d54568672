//! The storage file is sealed, complete and current, and is deleted at the end.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use regrow_engine::Store;

use super::*;
use crate::{
    adversary::StolenState,
    report::{RunOptions, Transcript},
    scenario,
    world::{fault_injection::NoFaults, service_under_test::Endpoint, state::World},
};

/// A thief steals bob's storage. Before, bob joined, read, sent, committed, lost a race, and
/// crashed.
const SCENARIO: &str = r#"{ "regrow": 1, "name": "n", "members": ["alice", "bob", "carol"], "steps": [
    { "create": { "by": "alice", "with": ["bob", "carol"] } },
    { "send": { "by": "alice", "id": "m1" } },
    { "crash": { "who": "bob", "at": "during_write" } },
    { "send": { "by": "bob", "id": "m2" } },
    { "race": [ { "update": { "by": "alice" } }, { "update": { "by": "bob" } }, { "update": { "by": "carol" } } ] },
    { "hold": { "id": "m3", "for": "bob" } },
    { "send": { "by": "carol", "id": "m3" } },
    { "compromise": { "who": "bob", "id": "stolen", "scope": "disk" } } ] }"#;
const BOB: usize = 1;

/// The length of a byte string that does not occur by chance.
const TELLING: usize = 16;

#[track_caller]
fn after_the_scenario(test: impl FnOnce(&mut World<'_>)) {
    let scenario = scenario::read(SCENARIO).unwrap();
    let mut transcript = Transcript::new("n", false);
    let endpoint = Endpoint::local(&NoFaults, None).unwrap();
    let options = RunOptions { seed: Some(1), ..RunOptions::default() };
    let mut world = World::new(&scenario, &options, &mut transcript, &NoFaults, endpoint, None).unwrap();
    assert_eq!(world.play(&scenario), [], "it runs well");
    test(&mut world);
}

fn steal_files(world: &World<'_>) -> Vec<StolenFile> {
    let StolenState::Disk(files) = world.devices[BOB].steal_files().unwrap() else {
        panic!("a whole device was stolen")
    };
    files
}

fn contents(store: &dyn Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let keys = store.keys(&[]).unwrap();
    keys.into_iter().map(|key| (key.clone(), store.get(&key).unwrap().unwrap().to_vec())).collect()
}

/// The records that the device has in memory now.
fn stored(world: &World<'_>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    contents(&world.devices[BOB].client.snapshot().unwrap().to_store())
}

/// The records in a copy of the files, for a reader with the key.
fn unsealed(world: &World<'_>, files: &[StolenFile]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        fs::write(folder.path().join(&file.name), &*file.bytes).unwrap();
    }
    let key = key(&SeededCrypto::new(world.seed, "bob")).unwrap();
    let crypto = Arc::new(Layered(SeededCrypto::new(world.seed, "somebody with the key")));
    contents(&SqliteStore::open(folder.path().join(NAME), &key, crypto).unwrap())
}

/// True if the bytes look like a key, a name or a ciphertext, and not like padding or a count.
fn telling(bytes: &[u8]) -> bool {
    bytes.iter().collect::<HashSet<_>>().len() > TELLING / 2
}

/// The records of which a part stands in the files in plain form.
fn in_clear(records: &BTreeMap<Vec<u8>, Vec<u8>>, files: &[StolenFile]) -> usize {
    let raw: HashSet<&[u8]> = files.iter().flat_map(|file| file.bytes.windows(TELLING)).collect();
    let shows = |bytes: &[u8]| bytes.windows(TELLING).any(|window| telling(window) && raw.contains(window));
    records.iter().filter(|(key, value)| shows(key) || shows(value)).count()
}

#[test]
fn with_its_key_the_stolen_file_is_the_device() {
    after_the_scenario(|world| {
        let records = unsealed(world, &steal_files(world));
        assert!(records.len() > 10, "only {} records", records.len());
        assert!(records == stored(world), "the file holds something else than the device");
    });
}

#[test]
fn what_is_taken_back_is_taken_back_in_the_file() {
    after_the_scenario(|world| {
        let before = stored(world);
        let checkpoint = world.devices[BOB].checkpoint();
        let group = regrow_engine::GroupId::new("group").unwrap();
        let _ = world.devices[BOB].client.group(&group).unwrap().update().unwrap();
        let pending = unsealed(world, &steal_files(world));
        assert!(pending != before && pending == stored(world), "the pending commit is in the file");

        world.devices[BOB].go_back(&checkpoint).unwrap();

        assert!(unsealed(world, &steal_files(world)) == before, "and gone again");
    });
}

#[test]
fn the_raw_bytes_show_no_record_and_those_of_a_store_in_clear_would() {
    after_the_scenario(|world| {
        let (records, files) = (stored(world), steal_files(world));
        assert!(files.iter().map(|file| file.bytes.len()).sum::<usize>() > records.values().map(Vec::len).sum());
        assert_eq!(in_clear(&records, &files), 0);

        let bytes = records.iter().flat_map(|(key, value)| [key.as_slice(), value].concat()).collect();
        let careless = [StolenFile { name: NAME.into(), bytes: Zeroizing::new(bytes) }];
        assert!(in_clear(&records, &careless) > records.len() / 2, "a store in clear is noticed");
    });
}

#[test]
fn nobody_else_has_a_file() {
    after_the_scenario(|world| {
        let stolen = world.devices.iter().map(|device| device.steal_files().is_ok());
        assert_eq!(stolen.collect::<Vec<_>>(), [false, true, false]);
    });
}

#[test]
fn the_folder_is_gone_with_the_device() {
    let file = StorageFile::create(1, "bob", &SeededCrypto::new(1, "bob")).unwrap();
    let folder = file.folder.path().to_owned();
    assert!(folder.join(NAME).is_file());
    drop(file);
    assert!(!Path::new(&folder).exists());
}
