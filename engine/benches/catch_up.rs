//! What a device pays per message that it catches up on, one by one and in batches: see `docs/benchmarks.md`.
//! `cargo bench -p regrow-engine --bench catch_up`.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod workload;

use std::{sync::Arc, time::Instant};

use regrow_engine::{Client, Policy, Snapshot, Timestamp, default_crypto};
use workload::{EngineMember, Member as _};

/// How many messages wait.
const MESSAGES: usize = 1000;
/// How many are received in one call.
const BATCHES: [usize; 3] = [1, 100, 1000];

fn main() {
    println!("| members | senders | batch | µs per message |\n| ---: | ---: | ---: | ---: |");
    for (members, senders) in [(2, 1), (64, 1), (64, 63), (256, 255)] {
        let (snapshot, messages) = scene(members, senders);
        let mut times = BATCHES.map(|_| Vec::new());
        // They take turns, so that all meet the same machine.
        for _ in 0..7 {
            for (times, batch) in times.iter_mut().zip(BATCHES) {
                let store = Arc::new(snapshot.to_store());
                let mut reader = Client::open(store, default_crypto(), Policy::default()).unwrap();
                let start = Instant::now();
                for page in messages.chunks(batch) {
                    assert!(reader.receive_all(page, Timestamp(0)).unwrap().iter().all(Result::is_ok));
                }
                times.push(start.elapsed().as_secs_f64() * 1e6 / MESSAGES as f64);
            }
        }
        for (mut times, batch) in times.into_iter().zip(BATCHES) {
            times.sort_by(f64::total_cmp);
            println!("| {members} | {senders} | {batch} | {:.0} |", times[times.len() / 2]);
        }
    }
}

/// A member that was away while that many others sent, in turns; and what they sent.
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
