//! Tests that each call is atomic, with a store that fails and a process that dies.

use crate::common::{store::FaultyStore, *};
use regrow_engine::{
    Client, EpochAuthenticator, Error, GroupId, KeyPackageBytes, MemoryStore, PendingCommit, ReceivedEvent,
    StorageError,
};

/// A device on a store that can fail, in a group with another device. Everything that its calls
/// need is prepared.
struct Setup {
    store: FaultyStore,
    alice: Client,
    bob: Client,
    bobs_message: Vec<u8>,
    bobs_commit: PendingCommit,
    bobs_proposal: Vec<u8>,
    welcome: Vec<u8>,
    group_info: Vec<u8>,
    key_package: KeyPackageBytes,
}

fn setup() -> Setup {
    let store = FaultyStore::new();
    let (mut alice, mut bob, mut dave) = (client_over(&store, "alice"), client("bob"), client("dave"));
    make_group(&mut [&mut alice, &mut bob]);
    let bobs_message = send(&mut bob, b"hello");
    let bobs_proposal = bob.group(&group()).unwrap().propose_update().unwrap().as_bytes().to_vec();
    let bobs_commit = bob.group(&group()).unwrap().update().unwrap();
    let (first, second) = (GroupId::new("invited").unwrap(), GroupId::new("open").unwrap());
    let mut invited = dave.create_group(first, NOW).unwrap();
    let welcome = invited.add(&[key_package(&mut alice)], NOW).unwrap().welcome().unwrap().to_vec();
    let group_info = dave.create_group(second, NOW).unwrap().group_info().unwrap();
    let key_package = key_package(&mut client("erin"));
    Setup { store, alice, bob, bobs_message, bobs_commit, bobs_proposal, welcome, group_info, key_package }
}

/// A call on the prepared device.
type SetupCall = fn(&mut Setup) -> Result<(), Error>;

/// Prepares nothing.
fn nothing(_: &mut Setup) -> Result<(), Error> {
    Ok(())
}

/// Returns Alice's handle of the group.
fn chat(setup: &mut Setup) -> Result<regrow_engine::Group<'_>, Error> {
    setup.alice.group(&group())
}

/// Makes a commit of Alice that waits for the service's answer.
fn wait(setup: &mut Setup) -> Result<(), Error> {
    chat(setup)?.rotate_signature_key().map(drop)
}

/// Makes an external commit of Alice that waits for the service's answer.
fn wait_outside(setup: &mut Setup) -> Result<(), Error> {
    setup.alice.join_external(&setup.group_info.clone()).map(drop)
}

/// Returns the commit that waits.
fn pending(setup: &mut Setup) -> Result<PendingCommit, Error> {
    Ok(setup.alice.pending()?.remove(0))
}

/// A call of the API that writes: its name, its preparation, and the call.
type WritingCall = (&'static str, SetupCall, SetupCall);

/// Returns every call of the API that writes.
fn calls() -> Vec<WritingCall> {
    [calls_on_the_device(), calls_with_commits(), calls_with_messages()].concat()
}

/// Returns the calls that concern the device and no message.
fn calls_on_the_device() -> Vec<WritingCall> {
    vec![
        ("key packages", nothing, |setup| setup.alice.key_packages(2, NOW).map(drop)),
        ("last resort", nothing, |setup| setup.alice.last_resort_key_package(NOW).map(drop)),
        (
            "expire",
            |setup| setup.alice.key_packages(1, NOW).map(drop),
            |setup| setup.alice.expire(regrow_engine::Timestamp::LATEST).map(drop),
        ),
        ("verify a user", nothing, |setup| {
            let number = chat(setup)?.safety_number(&user_id("bob"))?;
            chat(setup)?.verify_user(&user_id("bob"), &number)
        }),
        ("report a restored older state", nothing, |setup| setup.alice.storage_restored()),
        ("forget", nothing, |setup| setup.alice.forget(&group())),
    ]
}

/// Returns the calls that make commits, join groups, or settle commits.
fn calls_with_commits() -> Vec<WritingCall> {
    vec![
        ("create", nothing, |setup| setup.alice.create_group(group_named("new"), NOW).map(drop)),
        ("join", nothing, |setup| setup.alice.join(&setup.welcome, NOW).map(drop)),
        ("join from outside", nothing, |setup| setup.alice.join_external(&setup.group_info).map(drop)),
        ("confirm from outside", wait_outside, |setup| {
            let pending = pending(setup)?;
            setup.alice.confirm(pending, NOW).map(drop)
        }),
        ("discard from outside", wait_outside, |setup| {
            let pending = pending(setup)?;
            setup.alice.discard(pending)
        }),
        ("own external commit comes back", wait_outside, |setup| {
            let pending = pending(setup)?;
            setup.alice.receive(pending.commit(), NOW).map(drop)
        }),
        ("add", nothing, |setup| {
            let key_package = setup.key_package.clone();
            chat(setup)?.add(&[key_package], NOW).map(drop)
        }),
        ("remove", nothing, |setup| chat(setup)?.remove(&[device("bob")]).map(drop)),
        ("update", nothing, |setup| chat(setup)?.update().map(drop)),
        ("rotate", nothing, |setup| chat(setup)?.rotate_signature_key().map(drop)),
        (
            "commit",
            |setup| setup.alice.receive(&setup.bobs_proposal, NOW).map(drop),
            |setup| chat(setup)?.commit().map(drop),
        ),
        ("confirm", wait, |setup| {
            let pending = pending(setup)?;
            setup.alice.confirm(pending, NOW).map(drop)
        }),
        ("discard", wait, |setup| {
            let pending = pending(setup)?;
            setup.alice.discard(pending)
        }),
        ("own commit comes back", wait, |setup| {
            let pending = pending(setup)?;
            setup.alice.receive(pending.commit(), NOW).map(drop)
        }),
        ("abandon", wait, |setup| chat(setup)?.abandon()),
        (
            "resume",
            |setup| {
                wait(setup)?;
                let pending = pending(setup)?;
                setup.alice.discard(pending)
            },
            |setup| chat(setup)?.resume().map(drop),
        ),
    ]
}

/// Returns the calls that make or process proposals and messages, and that process commits.
fn calls_with_messages() -> Vec<WritingCall> {
    vec![
        ("propose to add", nothing, |setup| {
            let key_package = setup.key_package.clone();
            chat(setup)?.propose_add(&key_package, NOW).map(drop)
        }),
        ("propose to remove", nothing, |setup| chat(setup)?.propose_remove(&device("bob")).map(drop)),
        ("propose an update", nothing, |setup| chat(setup)?.propose_update().map(drop)),
        ("leave", nothing, |setup| chat(setup)?.leave().map(drop)),
        ("send", nothing, |setup| chat(setup)?.send(b"hello").map(drop)),
        ("receive a message", nothing, |setup| setup.alice.receive(&setup.bobs_message, NOW).map(drop)),
        ("receive a proposal", nothing, |setup| setup.alice.receive(&setup.bobs_proposal, NOW).map(drop)),
        ("receive a commit", nothing, |setup| setup.alice.receive(setup.bobs_commit.commit(), NOW).map(drop)),
        ("lose a race", wait, |setup| setup.alice.receive(setup.bobs_commit.commit(), NOW).map(drop)),
        (
            "be removed",
            |setup| {
                setup.bob.discard(setup.bobs_commit.clone())?;
                setup.bobs_commit = setup.bob.group(&group())?.remove(&[device("alice")])?;
                Ok(())
            },
            |setup| setup.alice.receive(setup.bobs_commit.commit(), NOW).map(drop),
        ),
        (
            "acknowledge",
            |setup| setup.alice.receive(&setup.bobs_message, NOW).map(drop),
            |setup| setup.alice.acknowledge(),
        ),
    ]
}

/// Returns the state of the device.
fn state(setup: &mut Setup) -> (store::Records, Vec<PendingCommit>, EpochAuthenticator) {
    let authenticator = setup.alice.group(&group()).unwrap().epoch_authenticator().unwrap();
    (store::records(&setup.store.records), setup.alice.pending().unwrap(), authenticator)
}

/// Each call has only one write. After it succeeds, nothing can fail. So a process that dies has
/// done all of a call or nothing.
#[test]
fn a_failed_write_changes_nothing_and_the_call_can_repeat() {
    for (name, prepare, call) in calls() {
        let mut setup = setup();
        prepare(&mut setup).unwrap();
        let before = state(&mut setup);
        for writes in 0.. {
            setup.store.fail_writes_after(writes);
            let result = call(&mut setup);
            if !setup.store.heal() {
                result.unwrap_or_else(|error| panic!("{name}: {error}"));
                break;
            }

            let error = result.expect_err("the call must fail if a write fails");
            assert!(matches!(error, Error::Storage(StorageError::Store(_))), "{name}: {error}");
            assert!(state(&mut setup) == before, "{name}: part of the call has happened");
            setup.alice = reopen(&setup.store);
            assert!(state(&mut setup) == before, "{name}: part of the call was stored");
        }
    }
}

#[test]
fn a_failed_read_changes_nothing() {
    for (name, prepare, call) in calls() {
        let mut setup = setup();
        prepare(&mut setup).unwrap();
        let before = state(&mut setup);
        for reads in 0.. {
            // A new client has nothing in memory, so that it has to read everything.
            setup.alice = reopen(&setup.store);

            setup.store.fail_reads_after(reads);
            let result = call(&mut setup);
            if !setup.store.heal() {
                result.unwrap_or_else(|error| panic!("{name}: {error}"));
                break;
            }

            let Err(error) = result else { panic!("{name}, {reads}: the call must fail if a read fails") };
            assert!(matches!(error, Error::Storage(StorageError::Store(_))), "{name}, {reads}: {error}");
            assert!(state(&mut setup) == before, "{name}, {reads}: part of the call has happened");
        }
    }
}

#[test]
fn a_commit_is_processed_again_after_a_failed_merge() {
    let mut setup = setup();
    setup.store.fail_writes();
    assert!(setup.alice.receive(setup.bobs_commit.commit(), NOW).is_err());
    setup.store.heal();
    setup.alice = reopen(&setup.store);

    let event = setup.alice.receive(setup.bobs_commit.commit(), NOW).unwrap().event;

    assert!(matches!(event, ReceivedEvent::Commit(_)));
    accept(&mut setup.bob, setup.bobs_commit, &mut []);
    assert_same_epoch(&mut [&mut setup.alice, &mut setup.bob]);
}

#[test]
fn an_opaque_commit_is_processed_again_after_a_failed_merge() {
    let policy = regrow_engine::Policy { handshake: regrow_engine::HandshakeMode::Opaque, ..policy() };
    let store = FaultyStore::new();
    let mut alice = client_in(&MemoryStore::new(), "alice", policy.clone());
    let open = |policy| Client::open(std::sync::Arc::new(store.clone()), regrow_engine::default_crypto(), policy);
    let mut bob = Client::create(
        std::sync::Arc::new(store.clone()),
        regrow_engine::default_crypto(),
        device("bob"),
        policy.clone(),
    )
    .unwrap();
    make_group(&mut [&mut alice, &mut bob]);
    let pending = alice.group(&group()).unwrap().update().unwrap();

    store.fail_writes();
    assert!(bob.receive(pending.commit(), NOW).is_err());
    store.heal();
    let mut restarted = open(policy).unwrap();

    assert!(matches!(bob.receive(pending.commit(), NOW).unwrap().event, ReceivedEvent::Commit(_)));
    alice.confirm(pending, NOW).unwrap();
    assert_same_epoch(&mut [&mut alice, &mut restarted]);
}

#[test]
fn a_message_is_read_again_after_a_failed_write() {
    let mut setup = setup();
    setup.store.fail_writes();
    assert!(setup.alice.receive(&setup.bobs_message, NOW).is_err());
    setup.store.heal();

    assert_eq!(read(&mut setup.alice, &setup.bobs_message), b"hello");
}

#[test]
fn an_unusable_welcome_does_not_use_up_its_key_package() {
    let mut setup = setup();
    let mut spoiled = setup.welcome.clone();
    *spoiled.last_mut().unwrap() ^= 1;
    let before = store::records(&setup.store.records);

    assert!(matches!(setup.alice.join(&spoiled, NOW), Err(Error::Invalid { .. })));

    assert!(store::records(&setup.store.records) == before);
    setup.alice.join(&setup.welcome, NOW).unwrap();
}

#[test]
fn a_store_belongs_to_one_device() {
    let store = MemoryStore::new();
    assert!(matches!(
        Client::open(std::sync::Arc::new(store.clone()), regrow_engine::default_crypto(), policy()),
        Err(Error::NoDevice)
    ));
    client_in(&store, "alice", policy());

    let second = Client::create(std::sync::Arc::new(store), regrow_engine::default_crypto(), device("bob"), policy());

    assert!(matches!(second, Err(Error::DeviceExists { device: owner }) if owner == device("alice")));
}

#[test]
fn a_damaged_record_causes_an_error_and_no_panic() {
    use regrow_engine::Store as _;
    let Setup { store, bobs_message, bobs_commit, .. } = setup();
    let whole = store::records(&store.records);
    for (key, value) in &whole {
        for spoiled in [&b""[..], &value[..value.len() / 2], &[0xc1], &[0x93, 1, 2, 3]] {
            let mut batch = regrow_engine::Batch::default();
            batch.put(key.clone(), spoiled.to_vec().into());
            store.records.apply(batch).unwrap();

            let opened = Client::open(std::sync::Arc::new(store.clone()), regrow_engine::default_crypto(), policy());
            if let Ok(mut alice) = opened {
                let _ = alice.receive(&bobs_message, NOW);
                let _ = alice.receive(bobs_commit.commit(), NOW);
                let _ = alice.key_packages(1, NOW);
                let _ = alice.pending();
            }

            let mut batch = regrow_engine::Batch::default();
            for (key, _) in store::records(&store.records) {
                batch.delete(key);
            }
            store.records.apply(batch).unwrap();
            let mut batch = regrow_engine::Batch::default();
            for (key, value) in &whole {
                batch.put(key.clone(), value.clone().into());
            }
            store.records.apply(batch).unwrap();
        }
    }
}
