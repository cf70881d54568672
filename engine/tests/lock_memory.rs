//! Tests that a locked device has no secrets in memory, by a byte search of the memory of a living
//! process.
//!
//! A child process plays a member of a group, with its state in a file, and locks. Before and after
//! the lock, the parent reads the child's memory. It searches for the keys of the file and for
//! every secret that was stored.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "it/common/mod.rs"]
mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File},
    hint::black_box,
    io::{BufRead as _, BufReader, Write as _, stdin},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use common::{tape::byte_strings, *};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use regrow_engine::{Client, KeyPackageBytes, SqliteStore, StoreKey, default_crypto};
use rusqlite::Connection;
use zeroize::Zeroizing;

/// The environment variables with the child's folder and its kind of key. A process without them is
/// not a child.
const FOLDER: &str = "REGROW_LOCK_TEST_FOLDER";
const KIND: &str = "REGROW_LOCK_TEST_KIND";

/// Computes a secret when it is needed. A constant would be in the program, and so in memory.
fn secret(seed: u64) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    let mut state = seed;
    for byte in bytes.iter_mut() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 33) as u8;
    }
    bytes
}

fn passphrase() -> Zeroizing<String> {
    Zeroizing::new(hex::encode(*secret(2)))
}

fn store_key(kind: &str) -> StoreKey {
    match kind {
        "passphrase" => StoreKey::from_passphrase(&passphrase()),
        _ => StoreKey::Key(secret(1)),
    }
}

/// Overwrites the data that earlier calls have left on the stack.
#[inline(never)]
fn use_the_stack() {
    black_box(&mut [0_u8; 256 * 1024]);
}

/// Runs the child until just before the lock, so that it has secrets in memory.
#[inline(never)]
fn live(folder: &Path, kind: &str) -> Client {
    let store = SqliteStore::create(folder.join("alice"), &store_key(kind), default_crypto()).unwrap();
    let mut alice = Client::create(Arc::new(store), default_crypto(), device("alice"), policy()).unwrap();
    let key_package = KeyPackageBytes::new(fs::read(folder.join("key package")).unwrap());
    alice.key_packages(2, NOW).unwrap();
    let mut chat = alice.create_group(group(), NOW).unwrap();
    let pending = chat.add(&[key_package], NOW).unwrap();
    fs::write(folder.join("welcome"), pending.welcome().unwrap()).unwrap();
    alice.confirm(pending, NOW).unwrap();
    let _ = send(&mut alice, b"hello");
    let _pending = alice.group(&group()).unwrap().update().unwrap();
    alice
}

/// Runs the child process. Without the environment variables, this test does nothing.
#[test]
fn child() {
    let (Some(folder), Ok(kind)) = (env::var_os(FOLDER), env::var(KIND)) else { return };
    let mut alice = live(&PathBuf::from(folder), &kind);
    let snapshot = alice.snapshot().unwrap();
    for record in snapshot.records() {
        println!("\n>{} {}", record.name().replace(' ', "_"), hex::encode(record.value()));
    }
    drop(snapshot);
    println!("\n>unlocked");
    for line in stdin().lines() {
        match line.unwrap().as_str() {
            "lock" => alice.lock().unwrap(),
            _ => {
                alice.unlock(&store_key(&kind)).unwrap();
                // Load the group from the file.
                epoch(&mut alice);
            }
        }
        use_the_stack();
        println!("\n>done");
    }
}

/// The child process, whose memory the parent searches.
struct InspectedChild {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl InspectedChild {
    fn start(folder: &Path, kind: &str) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .envs([(FOLDER, folder.as_os_str()), (KIND, kind.as_ref())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, orders, answers }
    }

    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "the child has ended");
            if let Some(answer) = line.trim_end().strip_prefix('>') {
                return answer.to_owned();
            }
        }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
        assert_eq!(self.answer(), "done");
    }

    /// Returns the names of the secrets that are in the child's memory.
    fn holds(&self, secrets: &Secrets) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.look(|bytes| secrets.find(bytes, &mut found));
        found
    }

    /// Returns true if the child's memory contains the seed of a random generator whose first
    /// output is one of the secrets. The generator of openmls_rust_crypto keeps its seed in its
    /// state, and the seed gives all output again.
    fn holds_the_seed_of(&self, secrets: &[&[u8]]) -> bool {
        let mut found = false;
        self.look(|bytes| {
            for seed in bytes.windows(32).step_by(8).filter(|seed| seed[..8] != [0; 8]) {
                let mut first = [0; 32];
                ChaCha20Rng::from_seed(seed.try_into().unwrap()).fill_bytes(&mut first);
                found |= secrets.contains(&&first[..]);
            }
        });
        found
    }

    fn look(&self, mut at: impl FnMut(&[u8])) {
        let id = self.process.id();
        let memory = File::open(format!("/proc/{id}/mem")).unwrap();
        for line in fs::read_to_string(format!("/proc/{id}/maps")).unwrap().lines() {
            let (range, rest) = line.split_once(' ').unwrap();
            let (from, to) = range.split_once('-').unwrap();
            let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            // Read-only memory contains no secret. Some mappings of the kernel cannot be read.
            if rest.starts_with("rw") && memory.read_exact_at(&mut bytes, from).is_ok() {
                at(&bytes);
            }
        }
    }
}

impl Drop for InspectedChild {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The pieces of secrets to search for: any eight bytes of a secret. (The allocator overwrites the
/// first 16 bytes of memory that was freed without being erased.)
#[derive(Default)]
struct Secrets {
    names: BTreeMap<[u8; PIECE], String>,
}

const PIECE: usize = 8;

impl Secrets {
    fn add(&mut self, name: &str, secret: &[u8]) {
        for piece in secret.chunks_exact(PIECE) {
            self.names.insert(piece.try_into().unwrap(), name.to_owned());
        }
    }

    fn find(&self, bytes: &[u8], found: &mut BTreeSet<String>) {
        let mut begins = vec![false; 1 << 16];
        self.names.keys().for_each(|piece| begins[usize::from(piece[0]) << 8 | usize::from(piece[1])] = true);
        for window in bytes.windows(PIECE) {
            if begins[usize::from(window[0]) << 8 | usize::from(window[1])] {
                found.extend(self.names.get(&<[u8; PIECE]>::try_from(window).unwrap()).cloned());
            }
        }
    }
}

/// Returns the secret byte strings of a record.
fn secrets_of<'r>(record: &str, strings: &'r [Vec<u8>]) -> Box<dyn Iterator<Item = &'r Vec<u8>> + 'r> {
    match record.split_once(":_").unwrap().1 {
        // The private key comes before the public one.
        "signature_key" => Box::new(strings.iter().take(1)),
        // The keys of the leaf and of the init key come last.
        "key_package" => Box::new(strings.iter().skip(strings.len() - 2)),
        // Pairs of a public key and its private key.
        "epoch_encryption_keys" => Box::new(strings.iter().skip(1).step_by(2)),
        // They contain the group context, which is public.
        "message_secrets" | "epoch_secrets" => {
            Box::new(strings.iter().filter(|bytes| !bytes.windows(4).any(|name| name == b"chat")))
        }
        _ => Box::new([].iter()),
    }
}

/// Returns the key that seals the data key, and the data key.
fn keys_of_the_file(folder: &Path, kind: &str) -> [Vec<u8>; 2] {
    // The file itself is locked, so read a copy.
    fs::copy(folder.join("alice"), folder.join("copy")).unwrap();
    let seal = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (protection, sealed): (Vec<u8>, Vec<u8>) = Connection::open(folder.join("copy"))
        .unwrap()
        .query_row("SELECT protection, data_key FROM seal", [], seal)
        .unwrap();
    let mut wrapping = secret(1).to_vec();
    if kind == "passphrase" {
        let params = Params::new(64 * 1024, 3, 1, Some(32)).unwrap();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password_into(passphrase().as_bytes(), &protection[13..], &mut wrapping).unwrap();
    }
    let cipher = XChaCha20Poly1305::new_from_slice(&wrapping).unwrap();
    let payload = Payload { msg: &sealed[24..], aad: &protection };
    let data_key = cipher.decrypt(XNonce::from_slice(&sealed[..24]), payload).unwrap();
    [wrapping, data_key]
}

fn what_is_left_after_locking(kind: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut bob = client("bob");
    fs::write(folder.join("key package"), key_package(&mut bob).as_bytes()).unwrap();
    let mut child = InspectedChild::start(folder, kind);
    let mut secrets = Secrets::default();
    loop {
        let answer = child.answer();
        let Some((record, value)) = answer.split_once(' ') else { break };
        for (index, bytes) in secrets_of(record, &byte_strings(&hex::decode(value).unwrap())).enumerate() {
            secrets.add(&format!("{record} {index}"), bytes);
        }
    }
    let [wrapping, data_key] = keys_of_the_file(folder, kind);
    secrets.add("wrapping key", &wrapping);
    secrets.add("data key", &data_key);
    secrets.add("passphrase", passphrase().as_bytes());

    let before = child.holds(&secrets);
    child.order("lock");
    let locked = child.holds(&secrets);
    let seed = child.holds_the_seed_of(&[&data_key, &wrapping]);
    child.order("unlock");
    let unlocked = child.holds(&secrets);
    for (when, found) in [("before", before), ("unlocked again", unlocked)] {
        for known in ["data key", "group_chat:_epoch_secrets 0"] {
            assert!(found.contains(known), "{when}: {known} is not found");
        }
    }
    child.order("lock");
    assert_eq!(child.holds(&secrets), locked, "{kind}: locked again");
    assert!(!seed, "{kind}: the memory contains the seed of the keys");
    locked
}

#[test]
fn a_locked_device_has_no_secret_in_memory() {
    for kind in ["key", "passphrase"] {
        assert_eq!(what_is_left_after_locking(kind), BTreeSet::new(), "{kind}");
    }
}
