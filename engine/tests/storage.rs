//! Tests that each call is atomic, with a store that fails and a process that dies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{store::FaultyStore, *};
use regrow_engine::{
    Client, EpochAuthenticator, Error, GroupId, KeyPackageBytes, MemoryStore, PendingCommit, ReceivedEvent,
    StorageError,
};

/// A device on a store that can fail, in a group with another device. Everything that its calls
/// need is prepared.
struct World {
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

fn world() -> World {
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
    World { store, alice, bob, bobs_message, bobs_commit, bobs_proposal, welcome, group_info, key_package }
}

type Act = fn(&mut World) -> Result<(), Error>;

/// Returns every call of the API that writes: its name, its preparation, and the call.
fn calls() -> Vec<(&'static str, Act, Act)> {
    fn nothing(_: &mut World) -> Result<(), Error> {
        Ok(())
    }
    fn chat(world: &mut World) -> Result<regrow_engine::Group<'_>, Error> {
        world.alice.group(&group())
    }
    fn wait(world: &mut World) -> Result<(), Error> {
        chat(world)?.rotate_signature_key().map(drop)
    }
    fn wait_outside(world: &mut World) -> Result<(), Error> {
        world.alice.join_external(&world.group_info.clone()).map(drop)
    }
    fn pending(world: &mut World) -> Result<PendingCommit, Error> {
        Ok(world.alice.pending()?.remove(0))
    }
    vec![
        ("key packages", nothing, |w| w.alice.key_packages(2, NOW).map(drop)),
        ("last resort", nothing, |w| w.alice.last_resort_key_package(NOW).map(drop)),
        (
            "expire",
            |w| w.alice.key_packages(1, NOW).map(drop),
            |w| w.alice.expire(regrow_engine::Timestamp::LATEST).map(drop),
        ),
        ("create", nothing, |w| w.alice.create_group(group_named("new"), NOW).map(drop)),
        ("join", nothing, |w| w.alice.join(&w.welcome, NOW).map(drop)),
        ("join from outside", nothing, |w| w.alice.join_external(&w.group_info).map(drop)),
        ("confirm from outside", wait_outside, |w| {
            let pending = pending(w)?;
            w.alice.confirm(pending, NOW).map(drop)
        }),
        ("discard from outside", wait_outside, |w| {
            let pending = pending(w)?;
            w.alice.discard(pending)
        }),
        ("own external commit comes back", wait_outside, |w| {
            let pending = pending(w)?;
            w.alice.receive(pending.commit(), NOW).map(drop)
        }),
        ("add", nothing, |w| {
            let key_package = w.key_package.clone();
            chat(w)?.add(&[key_package], NOW).map(drop)
        }),
        ("remove", nothing, |w| chat(w)?.remove(&[device("bob")]).map(drop)),
        ("update", nothing, |w| chat(w)?.update().map(drop)),
        ("rotate", nothing, |w| chat(w)?.rotate_signature_key().map(drop)),
        ("commit", |w| w.alice.receive(&w.bobs_proposal, NOW).map(drop), |w| chat(w)?.commit().map(drop)),
        ("confirm", wait, |w| {
            let pending = pending(w)?;
            w.alice.confirm(pending, NOW).map(drop)
        }),
        ("discard", wait, |w| {
            let pending = pending(w)?;
            w.alice.discard(pending)
        }),
        ("own commit comes back", wait, |w| {
            let pending = pending(w)?;
            w.alice.receive(pending.commit(), NOW).map(drop)
        }),
        ("abandon", wait, |w| chat(w)?.abandon()),
        (
            "resume",
            |w| {
                wait(w)?;
                let pending = pending(w)?;
                w.alice.discard(pending)
            },
            |w| chat(w)?.resume().map(drop),
        ),
        ("propose to add", nothing, |w| {
            let key_package = w.key_package.clone();
            chat(w)?.propose_add(&key_package, NOW).map(drop)
        }),
        ("propose to remove", nothing, |w| chat(w)?.propose_remove(&device("bob")).map(drop)),
        ("propose an update", nothing, |w| chat(w)?.propose_update().map(drop)),
        ("leave", nothing, |w| chat(w)?.leave().map(drop)),
        ("verify a user", nothing, |w| {
            let number = chat(w)?.safety_number(&user_id("bob"))?;
            chat(w)?.verify_user(&user_id("bob"), &number)
        }),
        ("send", nothing, |w| chat(w)?.send(b"hello").map(drop)),
        ("receive a message", nothing, |w| w.alice.receive(&w.bobs_message, NOW).map(drop)),
        ("receive a proposal", nothing, |w| w.alice.receive(&w.bobs_proposal, NOW).map(drop)),
        ("receive a commit", nothing, |w| w.alice.receive(w.bobs_commit.commit(), NOW).map(drop)),
        ("lose a race", wait, |w| w.alice.receive(w.bobs_commit.commit(), NOW).map(drop)),
        (
            "be removed",
            |w| {
                w.bob.discard(w.bobs_commit.clone())?;
                w.bobs_commit = w.bob.group(&group())?.remove(&[device("alice")])?;
                Ok(())
            },
            |w| w.alice.receive(w.bobs_commit.commit(), NOW).map(drop),
        ),
        ("acknowledge", |w| w.alice.receive(&w.bobs_message, NOW).map(drop), |w| w.alice.acknowledge()),
        ("report a restored older state", nothing, |w| w.alice.rolled_back()),
        ("forget", nothing, |w| w.alice.forget(&group())),
    ]
}

/// Returns the state of the device.
fn state(world: &mut World) -> (store::Records, Vec<PendingCommit>, EpochAuthenticator) {
    let authenticator = world.alice.group(&group()).unwrap().epoch_authenticator().unwrap();
    (store::records(&world.store.records), world.alice.pending().unwrap(), authenticator)
}

/// Each call has only one write. After it succeeds, nothing can fail. So a process that dies has
/// done all of a call or nothing.
#[test]
fn a_failed_write_changes_nothing_and_the_call_can_repeat() {
    for (name, prepare, call) in calls() {
        let mut world = world();
        prepare(&mut world).unwrap();
        let before = state(&mut world);
        for writes in 0.. {
            world.store.fail_writes_after(writes);
            let result = call(&mut world);
            if !world.store.heal() {
                result.unwrap_or_else(|error| panic!("{name}: {error}"));
                break;
            }

            let error = result.expect_err("the call must fail if a write fails");
            assert!(matches!(error, Error::Storage(StorageError::Store(_))), "{name}: {error}");
            assert!(state(&mut world) == before, "{name}: part of the call has happened");
            world.alice = reopen(&world.store);
            assert!(state(&mut world) == before, "{name}: part of the call was stored");
        }
    }
}

#[test]
fn a_failed_read_changes_nothing() {
    for (name, prepare, call) in calls() {
        let mut world = world();
        prepare(&mut world).unwrap();
        let before = state(&mut world);
        for reads in 0.. {
            // A new client has nothing in memory, so that it has to read everything.
            world.alice = reopen(&world.store);

            world.store.fail_reads_after(reads);
            let result = call(&mut world);
            if !world.store.heal() {
                result.unwrap_or_else(|error| panic!("{name}: {error}"));
                break;
            }

            let Err(error) = result else { panic!("{name}, {reads}: the call must fail if a read fails") };
            assert!(matches!(error, Error::Storage(StorageError::Store(_))), "{name}, {reads}: {error}");
            assert!(state(&mut world) == before, "{name}, {reads}: part of the call has happened");
        }
    }
}

#[test]
fn a_commit_is_processed_again_after_a_failed_merge() {
    let mut world = world();
    world.store.fail_writes();
    assert!(world.alice.receive(world.bobs_commit.commit(), NOW).is_err());
    world.store.heal();
    world.alice = reopen(&world.store);

    let event = world.alice.receive(world.bobs_commit.commit(), NOW).unwrap().event;

    assert!(matches!(event, ReceivedEvent::Commit(_)));
    accept(&mut world.bob, world.bobs_commit, &mut []);
    assert_same_epoch(&mut [&mut world.alice, &mut world.bob]);
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
    let mut world = world();
    world.store.fail_writes();
    assert!(world.alice.receive(&world.bobs_message, NOW).is_err());
    world.store.heal();

    assert_eq!(read(&mut world.alice, &world.bobs_message), b"hello");
}

#[test]
fn an_unusable_welcome_does_not_use_up_its_key_package() {
    let mut world = world();
    let mut spoiled = world.welcome.clone();
    *spoiled.last_mut().unwrap() ^= 1;
    let before = store::records(&world.store.records);

    assert!(matches!(world.alice.join(&spoiled, NOW), Err(Error::Invalid { .. })));

    assert!(store::records(&world.store.records) == before);
    world.alice.join(&world.welcome, NOW).unwrap();
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
    let World { store, bobs_message, bobs_commit, .. } = world();
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
