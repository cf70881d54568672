//! Measures the possible speed of a simulation: all members of a group process each commit, in
//! parallel on all cores. It also measures the memory of a member.
//! `cargo bench -p regrow-engine --bench simulation`
//!
//! A user sees the elapsed time. The processor time is the same on a busy machine and on an idle
//! one.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod workload;

use std::time::{Duration, Instant};

use rayon::prelude::*;
use workload::{BenchmarkMember, EngineMember};

/// The number of members, and the number of them that commit, one after the other, spread over the
/// tree.
const RUNS: [(usize, usize); 2] = [(100, 100), (1000, 64)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let chosen: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    println!("| members | commits before | member-epochs/s | the same per processor second | MB per member |");
    println!("| ---: | ---: | ---: | ---: | ---: |");
    for (size, commits) in RUNS.into_iter().filter(|(size, _)| chosen.is_empty() || chosen.contains(size)) {
        run(size, commits);
    }
}

fn run(size: usize, commits: usize) {
    let empty = resident();
    let mut members: Vec<_> = (0..size).map(|leaf| EngineMember::new(&format!("member{leaf}"))).collect();
    let (first, others) = members.split_first_mut().unwrap();
    first.create_group();
    let key_packages: Vec<_> = others.par_iter_mut().map(EngineMember::key_package).collect();
    let commit = first.add(&key_packages);
    others.par_iter_mut().for_each(|other| other.join(EngineMember::welcome(&commit)));
    first.confirm(commit);

    // The bits of the turn's number in reverse order: each commit fills the largest blank part of
    // the tree.
    let width = size.next_power_of_two();
    let order = (0..width).map(|turn| turn.reverse_bits() >> (usize::BITS - width.trailing_zeros()));
    let committers: Vec<_> = order.filter(|leaf| *leaf < size).take(commits).collect();
    let mut done = 0;
    for stretch in [1, 1, 2, 4, 8, 16, 32, 64, 128] {
        let stretch = &committers[done.min(commits)..(done + stretch).min(commits)];
        if stretch.is_empty() {
            break;
        }
        let (mut elapsed, mut busy) = (Duration::ZERO, Duration::ZERO);
        for &leaf in stretch {
            let commit = members[leaf].update();
            let bytes = EngineMember::bytes(&commit).to_vec();
            let start = (Instant::now(), processor_time());
            members.par_iter_mut().enumerate().filter(|(other, _)| *other != leaf).for_each(|(_, member)| {
                member.receive(&bytes);
            });
            elapsed += start.0.elapsed();
            busy += processor_time() - start.1;
            members[leaf].confirm(commit);
        }
        let processed = (stretch.len() * (size - 1)) as f64;
        println!(
            "| {size} | {done} | {:.0} | {:.0} | {:.2} |",
            processed / elapsed.as_secs_f64(),
            processed / busy.as_secs_f64(),
            (resident() - empty) as f64 / 1e6 / size as f64,
        );
        done += stretch.len();
    }
    let stored: usize = members.iter().map(|member| member.store.bytes().unwrap()).sum();
    println!("\n{size} members: {:.3} MB stored by each\n", stored as f64 / 1e6 / size as f64);
}

/// Returns the processor time of the process, with a precision of 10 ms (proc_pid_stat(5), fields
/// 14 and 15).
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks = stat.split(' ').skip(13).take(2).map(|field| field.parse::<u64>().unwrap());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// Returns the process's resident memory, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
