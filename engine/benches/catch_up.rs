//! Measures the cost per message when a device catches up, with single calls and with batches, in
//! memory and in a file. See `docs/benchmarks.md`. `cargo bench -p regrow-engine --bench catch_up`

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod workload;

use std::{path::Path, sync::Arc, time::Instant};

use regrow_engine::{Batch, Client, Policy, Snapshot, SqliteStore, Store, StoreKey, Timestamp, default_crypto};
use workload::{BenchmarkMember as _, EngineMember};

/// The number of waiting messages.
const MESSAGES: usize = 1000;
/// The numbers of messages in one call.
const BATCHES: [usize; 3] = [1, 100, 1000];
const TURNS: usize = 7;

fn main() {
    // `cargo test --all-targets` runs this program too, but not to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("| members | senders | batch | memory µs per message | disk µs per message | ratio |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    for (members, senders) in [(2, 1), (64, 1), (64, 63), (256, 255)] {
        let (snapshot, messages) = scene(members, senders);
        let mut times = BATCHES.map(|_| [Vec::new(), Vec::new()]);
        // The cases take turns, so that the load of the machine affects all of them equally.
        for _ in 0..TURNS {
            for ([memory, disk], batch) in times.iter_mut().zip(BATCHES) {
                memory.push(catch_up(Arc::new(snapshot.to_store()), &messages, batch));
                let folder = tempfile::tempdir().unwrap();
                disk.push(catch_up(in_file(&snapshot, &folder.path().join("reader")), &messages, batch));
            }
        }
        for (times, batch) in times.into_iter().zip(BATCHES) {
            let [memory, disk] = times.map(|mut times| {
                times.sort_by(f64::total_cmp);
                times[TURNS / 2]
            });
            println!("| {members} | {senders} | {batch} | {memory:.0} | {disk:.0} | {:.2} |", disk / memory);
        }
    }
}

/// Receives all messages in batches of this size. Returns the time per message, in µs.
fn catch_up(store: Arc<dyn Store>, messages: &[Vec<u8>], batch: usize) -> f64 {
    let mut reader = Client::open(store, default_crypto(), Policy::default()).unwrap();
    let start = Instant::now();
    for page in messages.chunks(batch) {
        assert!(reader.receive_all(page, Timestamp(0)).unwrap().iter().all(Result::is_ok));
    }
    start.elapsed().as_secs_f64() * 1e6 / MESSAGES as f64
}

/// Returns a store in a file with the same device.
fn in_file(snapshot: &Snapshot, path: &Path) -> Arc<dyn Store> {
    let (memory, mut all) = (snapshot.to_store(), Batch::default());
    for key in memory.keys(&[]).unwrap() {
        let value = memory.get(&key).unwrap().unwrap();
        all.put(key, value);
    }
    let store = SqliteStore::create(path, &StoreKey::from_bytes([7; 32]), default_crypto()).unwrap();
    store.apply(all).unwrap();
    Arc::new(store)
}

/// Creates a member that was offline while this number of other members sent messages in turn.
/// Returns its snapshot and the messages.
fn scene(members: usize, senders: usize) -> (Snapshot, Vec<Vec<u8>>) {
    let mut all: Vec<EngineMember> = (0..members).map(|number| EngineMember::new(&number.to_string())).collect();
    let key_packages: Vec<_> = all[1..].iter_mut().map(EngineMember::key_package).collect();
    all[0].create_group();
    let commit = all[0].add(&key_packages);
    let welcome = EngineMember::welcome(&commit).to_vec();
    all[0].confirm(commit);
    for member in &mut all[1..] {
        member.join(&welcome);
    }
    let messages = (0..MESSAGES).map(|number| all[number % senders].send(&[7; 100])).collect();
    (all[members - 1].client.snapshot().unwrap(), messages)
}
