//! A thief that has the files of a device's storage without their key reads nothing, although it
//! tries.

use std::{fs, sync::Arc};

use crate::common::{Run, run, run_on_threads, scenario};
use regrow_engine::{
    Client, CryptoProvider, DeviceId, GroupId, MemoryStore, Policy, SqliteStore, Store, StoreKey, Timestamp,
    default_crypto,
};
use regrow_simulator::{
    adversary::{BreakInError, StolenFile, StolenState, Traffic, TrafficKind, run_stolen},
    scenario::TheftScope,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn send(by: &str, id: &str) -> Value {
    json!({ "send": { "by": by, "id": id } })
}

/// Bob's device is stolen after some steps, and before Bob has fetched all messages.
fn theft(scopes: &[&str]) -> Vec<Value> {
    let mut steps = vec![
        json!({ "create": { "by": "alice", "with": ["bob", "carol"] } }),
        send("alice", "m1"),
        json!({ "race": [{ "update": { "by": "bob" } }, { "update": { "by": "carol" } }] }),
        json!({ "crash": { "who": "bob", "at": "during_write" } }),
        send("bob", "m2"),
        json!({ "offline": { "who": "bob" } }),
        send("carol", "m3"),
    ];
    steps.extend(scopes.iter().map(|scope| json!({ "compromise": { "who": "bob", "id": scope, "scope": scope } })));
    steps.extend([json!({ "update": { "by": "alice" } }), send("alice", "m4"), json!({ "online": { "who": "bob" } })]);
    steps
}

#[track_caller]
fn passes(steps: &[Value]) -> Run {
    let run = run(&scenario(&["alice", "bob", "carol"], steps));
    run.assert_passed("the scenario");
    run
}

#[test]
fn stolen_storage_exposes_nothing_and_stolen_device_does() {
    let mut steps = theft(&["disk", "device"]);
    steps.push(json!({ "expect": {
        "compromise": "disk", "cannot_read": ["m1", "m2", "m3", "m4"], "heals_within": 0
    } }));
    steps.push(json!({ "expect": { "compromise": "device", "reads": ["m3", "m4"] } }));

    let run = passes(&steps);

    let figures = run.outcome.figures.compromises.iter();
    let figures: Vec<_> =
        figures.map(|thief| (thief.scope, thief.exposed_before, thief.exposed_after, thief.healed_after)).collect();
    assert_eq!(figures, [(TheftScope::Disk, 0, 0, Some(0)), (TheftScope::Device, 1, 1, None)]);
    assert_eq!(run.outcome.figures.exposed, 2);
}

#[test]
fn expectation_to_read_a_stolen_storage_fails() {
    let mut steps = theft(&["disk"]);
    steps.push(json!({ "expect": { "compromise": "disk", "reads": "m4" } }));
    let run = run(&scenario(&["alice", "bob", "carol"], &steps));
    let [failure] = run.outcome.failures.as_slice() else { panic!("{:?}", run.outcome.failures) };
    assert_eq!(failure.expected, "the thief of disk can read m4");
}

#[test]
fn storage_theft_does_not_change_the_run() {
    let rest = |scope: &str| {
        let run = passes(&theft(&[scope]));
        let of_the_thief = |event: &Value| event["event"] == "compromised" || event["event"] == "exposed";
        run.events.into_iter().filter(|event| !of_the_thief(event)).collect::<Vec<_>>()
    };
    assert_eq!(rest("disk"), rest("device"));

    let scenario = scenario(&["alice", "bob", "carol"], &theft(&["disk"]));
    assert_eq!(run_on_threads(1, &scenario).hash, run_on_threads(4, &scenario).hash);
}

#[test]
fn transcript_contains_the_stolen_scope() {
    let run = passes(&theft(&["disk", "device"]));
    let told: Vec<_> = run.events("compromised").map(|event| (&event["scope"], event["records"].is_u64())).collect();
    assert_eq!(told, [(&json!("disk"), false), (&json!("device"), true)]);
}

fn policy() -> Policy {
    Policy { clock_skew: NOW.0, reading_delay: 200 * 365 * 24 * 60 * 60, ..Policy::default() }
}

fn client(store: Arc<dyn Store>, user: &str) -> Client {
    Client::create(store, default_crypto(), DeviceId::new(user, "phone").unwrap(), policy()).unwrap()
}

/// Runs a thief with the storage of bob, sealed under this key. True if the thief reads alice's
/// next message.
fn reads_what_is_sealed_under(key: &StoreKey, spoil: impl Fn(&mut Vec<u8>)) -> Result<bool, BreakInError> {
    let (folder, group) = (tempfile::tempdir().unwrap(), GroupId::new("chat").unwrap());
    let store = Arc::new(SqliteStore::create(folder.path().join("bob"), key, default_crypto()).unwrap());
    let mut bob = client(store, "bob");
    let mut alice = client(Arc::new(MemoryStore::new()), "alice");
    let key_packages = bob.key_packages(1, NOW).unwrap();
    let pending = alice.create_group(group.clone(), NOW).unwrap().add(&key_packages, NOW).unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    alice.confirm(pending, NOW).unwrap();
    bob.join(&welcome, NOW).unwrap();

    let files = fs::read_dir(folder.path()).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        spoil(&mut bytes);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        StolenFile { name, bytes: Zeroizing::new(bytes) }
    });
    let crypto: Arc<dyn CryptoProvider> = default_crypto();
    let mut thief = run_stolen(&StolenState::Disk(files.collect()), crypto, policy())?;
    let message = alice.group(&group).unwrap().send(b"hello").unwrap();
    thief.observe(&[Traffic::new(&group, TrafficKind::Message, 1, Some(0), &message)]);
    Ok(thief.readable().contains(&0))
}

#[test]
fn thief_opens_a_storage_with_a_guessable_key() {
    let reads = |key: &StoreKey| reads_what_is_sealed_under(key, |_| ()).unwrap();
    assert!(!reads(&StoreKey::from_bytes([7; 32])));
    assert!(!reads(&StoreKey::from_passphrase("correct horse")));
    assert!(reads(&StoreKey::from_bytes([0; 32])));
    assert!(reads(&StoreKey::from_passphrase("")));
}

#[test]
fn files_that_cannot_be_tried_are_an_error() {
    let spoilt = |spoil: fn(&mut Vec<u8>)| reads_what_is_sealed_under(&StoreKey::from_bytes([7; 32]), spoil);
    assert!(matches!(spoilt(|bytes| bytes.fill(0x55)), Err(BreakInError::NoStore(_))));
    assert!(matches!(spoilt(Vec::clear), Err(BreakInError::NoStore(_))));
    let nothing = run_stolen(&StolenState::Disk(Vec::new()), default_crypto(), policy());
    assert!(matches!(nothing, Err(BreakInError::NoStore(_))));
}
