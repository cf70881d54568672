//! Code that the targets for the engine share: a member of a group, which is in the same state for
//! every input.
//!
//! All keys are derived from a seed. So the messages that `cargo run --example seeds` writes are
//! from the same group that the targets use, and a fuzzer's findings are reproducible.
//!
//! `cargo check --manifest-path fuzz/Cargo.toml` needs no cargo-fuzz. To fuzz, run
//! `cargo run --example seeds` in this folder and then
//! `cargo fuzz run --sanitizer none engine_receive`. The address sanitizer is slower. It needs a
//! nightly toolchain, or `RUSTC_BOOTSTRAP=1 cargo fuzz run engine_receive`.

pub mod file;
pub mod service;

use std::{cell::RefCell, sync::Arc};

use regrow_engine::{
    Client, DeviceId, Error, GroupId, HandshakeMode, KeyPackageBytes, Layered, MemoryStore, Policy, Snapshot, Timestamp,
};
use regrow_simulator::world::randomness::SeededCrypto;

/// The time of all calls.
pub const NOW: Timestamp = Timestamp(1_800_000_000);

/// The passphrase of all backups.
pub const PASSPHRASE: &str = "words";

/// Returns the identifier of the member's group.
pub fn group() -> GroupId {
    GroupId::new("chat").expect("a short name")
}

pub(crate) fn policy(handshake: HandshakeMode) -> Policy {
    let forever = 200 * 365 * 24 * 60 * 60;
    Policy { handshake, past_epochs: 1, clock_skew: NOW.0, reading_delay: forever, ..Policy::default() }
}

pub(crate) fn crypto(user: &str) -> Arc<Layered<SeededCrypto>> {
    Arc::new(Layered(SeededCrypto::new(0, user)))
}

/// Creates a device that is in no group. It always has the same keys.
pub fn device(user: &str, handshake: HandshakeMode) -> Client {
    let device = DeviceId::new(user, "phone").expect("a name");
    Client::create(Arc::new(MemoryStore::new()), crypto(user), device, policy(handshake)).expect("a device")
}

/// Creates Alice and her group.
pub fn creator(handshake: HandshakeMode) -> Client {
    let mut alice = device("alice", handshake);
    alice.create_group(group(), NOW).expect("a group");
    alice
}

/// Creates the members Alice and Bob. Returns them and an unused key package of Bob.
pub fn pair(handshake: HandshakeMode) -> (Client, Client, KeyPackageBytes) {
    let (mut alice, mut bob) = (creator(handshake), device("bob", handshake));
    let mut key_packages = bob.key_packages(2, NOW).expect("key packages");
    let added = alice.group(&group()).and_then(|mut chat| chat.add(&key_packages[..1], NOW)).expect("a commit");
    bob.join(added.welcome().expect("a welcome"), NOW).expect("a member");
    alice.confirm(added, NOW).expect("a new epoch");
    (alice, bob, key_packages.remove(1))
}

/// Creates a group info without the ratchet tree, and the tree.
pub fn tree_apart() -> (Vec<u8>, Vec<u8>) {
    let (device, store) = (DeviceId::new("alice", "phone").expect("a name"), Arc::new(MemoryStore::new()));
    let policy = Policy { send_ratchet_tree: false, ..policy(HandshakeMode::Assisted) };
    let mut alice = Client::create(store, crypto("alice"), device, policy).expect("a device");
    alice.create_group(group(), NOW).expect("a group");
    let key_packages = self::device("carol", HandshakeMode::Assisted).key_packages(1, NOW).expect("key packages");
    let added = alice.group(&group()).and_then(|mut chat| chat.add(&key_packages, NOW)).expect("a commit");
    let group_info = added.group_info().expect("a group info").to_vec();
    alice.confirm(added, NOW).expect("a new epoch");
    (group_info, alice.group(&group()).and_then(|mut chat| chat.ratchet_tree()).expect("a tree"))
}

/// The members, one in a group of each handshake mode, with their records and snapshots at the
/// beginning.
struct Members {
    clients: Vec<(HandshakeMode, Client, Vec<Vec<u8>>, Snapshot)>,
}

thread_local! {
    static MEMBERS: RefCell<Option<Members>> = const { RefCell::new(None) };
}

fn values(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    snapshot.records().iter().map(|record| record.value().to_vec()).collect()
}

/// Calls each member with the input. A failed call must change nothing. The changes of a successful
/// call are undone before the next input.
///
/// # Panics
/// If a failed call has changed something, or reports an internal error or a storage error.
pub fn with_members<T>(mut call: impl FnMut(&mut Client) -> Result<T, Error>) {
    MEMBERS.with_borrow_mut(|members| {
        let members = members.get_or_insert_with(|| Members {
            clients: [HandshakeMode::Assisted, HandshakeMode::Opaque]
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
                panic!("no input may cause this error: {error}");
            }
            let same = values(&client.snapshot().expect("a snapshot")) == *before;
            assert!(same || result.is_ok(), "a failed call has changed something");
            if !same {
                let store = Arc::new(snapshot.to_store());
                *client = Client::open(store, crypto("bob"), policy(*handshake)).expect("the device");
            }
        }
    });
}
