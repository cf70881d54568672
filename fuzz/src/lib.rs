//! What the targets for the engine share: a member of a group, prepared once, that every input finds the same.
//!
//! All keys follow from a seed. So the messages that `cargo run --example seeds` writes are from the very group that the
//! targets are in, and what a fuzzer finds is found again.
//!
//! `cargo check --manifest-path fuzz/Cargo.toml` needs no cargo-fuzz. To fuzz, in this folder: `cargo run --example seeds`,
//! then `cargo fuzz run --sanitizer none engine_receive`. With the address sanitizer, which is slower, a nightly toolchain
//! is needed, or `RUSTC_BOOTSTRAP=1 cargo fuzz run engine_receive`.

pub mod file;
pub mod service;

use std::{cell::RefCell, sync::Arc};

use regrow_engine::{
    Client, DeviceId, Error, GroupId, Handshake, KeyPackageBytes, Layered, MemoryStore, Policy, Snapshot, Timestamp,
};
use regrow_simulator::world::randomness::SeededCrypto;

/// The time of all calls.
pub const NOW: Timestamp = Timestamp(1_800_000_000);

/// What backups are sealed under.
pub const PASSPHRASE: &str = "words";

/// The group that the member is in.
pub fn group() -> GroupId {
    GroupId::new("chat").expect("a short name")
}

pub(crate) fn policy(handshake: Handshake) -> Policy {
    let forever = 200 * 365 * 24 * 60 * 60;
    Policy { handshake, past_epochs: 1, clock_skew: NOW.0, reading_delay: forever, ..Policy::default() }
}

pub(crate) fn crypto(user: &str) -> Arc<Layered<SeededCrypto>> {
    Arc::new(Layered(SeededCrypto::new(0, user)))
}

/// A device in no group, always with the same keys.
pub fn device(user: &str, handshake: Handshake) -> Client {
    let device = DeviceId::new(user, "phone").expect("a name");
    Client::create(Arc::new(MemoryStore::new()), crypto(user), device, policy(handshake)).expect("a device")
}

/// Alice, who has just made the group.
pub fn creator(handshake: Handshake) -> Client {
    let mut alice = device("alice", handshake);
    alice.create_group(group(), NOW).expect("a group");
    alice
}

/// Alice, Bob whom she has just added, and a key package of Bob's that nobody has used.
pub fn pair(handshake: Handshake) -> (Client, Client, KeyPackageBytes) {
    let (mut alice, mut bob) = (creator(handshake), device("bob", handshake));
    let mut key_packages = bob.key_packages(2, NOW).expect("key packages");
    let added = alice.group(&group()).and_then(|mut chat| chat.add(&key_packages[..1], NOW)).expect("a commit");
    bob.join(added.welcome().expect("a welcome"), NOW).expect("a member");
    alice.confirm(added, NOW).expect("a new epoch");
    (alice, bob, key_packages.remove(1))
}

/// A group info without the ratchet tree, and that tree.
pub fn tree_apart() -> (Vec<u8>, Vec<u8>) {
    let (device, store) = (DeviceId::new("alice", "phone").expect("a name"), Arc::new(MemoryStore::new()));
    let policy = Policy { send_ratchet_tree: false, ..policy(Handshake::Assisted) };
    let mut alice = Client::create(store, crypto("alice"), device, policy).expect("a device");
    alice.create_group(group(), NOW).expect("a group");
    let key_packages = self::device("carol", Handshake::Assisted).key_packages(1, NOW).expect("key packages");
    let added = alice.group(&group()).and_then(|mut chat| chat.add(&key_packages, NOW)).expect("a commit");
    let group_info = added.group_info().expect("a group info").to_vec();
    alice.confirm(added, NOW).expect("a new epoch");
    (group_info, alice.group(&group()).and_then(|mut chat| chat.ratchet_tree()).expect("a tree"))
}

/// The members, one in a group of each handshake mode, and what they held at the beginning.
struct Members {
    clients: Vec<(Handshake, Client, Vec<Vec<u8>>, Snapshot)>,
}

thread_local! {
    static MEMBERS: RefCell<Option<Members>> = const { RefCell::new(None) };
}

fn values(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    snapshot.records().iter().map(|record| record.value().to_vec()).collect()
}

/// Calls each member with the input. A call that fails must have changed nothing; what one did that succeeded is
/// forgotten before the next input.
///
/// # Panics
/// If a failed call has changed something, or says that the engine itself is at fault.
pub fn with_members<T>(mut call: impl FnMut(&mut Client) -> Result<T, Error>) {
    MEMBERS.with_borrow_mut(|members| {
        let members = members.get_or_insert_with(|| Members {
            clients: [Handshake::Assisted, Handshake::Opaque]
                .into_iter()
                .map(|handshake| {
                    let (_, client, _) = pair(handshake);
                    let snapshot = client.snapshot().expect("a snapshot");
                    (handshake, client, values(&snapshot), snapshot)
                })
                .collect(),
        });
        for (handshake, client, before, snapshot) in &mut members.clients {
            let result = call(client);
            if let Err(error @ (Error::Internal { .. } | Error::Storage(_))) = &result {
                panic!("no input explains this: {error}");
            }
            let same = values(&client.snapshot().expect("a snapshot")) == *before;
            assert!(same || result.is_ok(), "a call that failed has changed something");
            if !same {
                let store = Arc::new(snapshot.to_store());
                *client = Client::open(store, crypto("bob"), policy(*handshake)).expect("the device");
            }
        }
    });
}
