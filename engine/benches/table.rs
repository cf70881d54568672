//! Compares the engine with OpenMLS alone, as a table:
//! `cargo bench -p regrow-engine --bench table`.
//!
//! The two take turns, so that other load of the machine affects both equally.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod workload;

use std::time::Duration;

use workload::{BenchmarkMember, EngineMember, MeasuredGroup, Operation, RawMember, TreeHistory};

const SIZES: [usize; 4] = [2, 10, 100, 1000];
/// The approximate time for one operation on one side. Then the smallest and largest number of
/// samples.
const TIME: Duration = Duration::from_millis(500);
const SAMPLES: (usize, usize) = (15, 401);

fn main() {
    // `cargo test --all-targets` runs this program too, but not to measure.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    // The sizes to measure: all sizes if none is named.
    let chosen: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    println!("| operation | members | tree | engine µs | OpenMLS µs | ratio | difference µs |");
    println!("| --- | ---: | --- | ---: | ---: | ---: | ---: |");
    for size in SIZES.into_iter().filter(|size| chosen.is_empty() || chosen.contains(size)) {
        for tree in TreeHistory::ALL {
            let (mut engine, mut raw) = scenes(size, tree);
            for operation in Operation::ALL.into_iter().filter(|operation| tree.concerns(*operation)) {
                row(operation.name(), size, tree, &mut engine, &mut raw, operation);
            }
            engine.publish_group_info();
            raw.publish_group_info();
            row("update, with group info", size, tree, &mut engine, &mut raw, Operation::Update);
        }
    }
}

/// Builds the same group on both sides, in parallel: a full tree of a thousand members takes half a
/// minute.
fn scenes(size: usize, tree: TreeHistory) -> (MeasuredGroup<EngineMember>, MeasuredGroup<RawMember>) {
    std::thread::scope(|scope| {
        let raw = scope.spawn(|| MeasuredGroup::new(size, tree));
        (MeasuredGroup::new(size, tree), raw.join().unwrap())
    })
}

fn row<A: BenchmarkMember, B: BenchmarkMember>(
    name: &str,
    size: usize,
    tree: TreeHistory,
    engine: &mut MeasuredGroup<A>,
    raw: &mut MeasuredGroup<B>,
    operation: Operation,
) {
    let estimate = engine.sample(operation).max(raw.sample(operation)).max(Duration::from_micros(1));
    let samples = ((TIME.as_nanos() / estimate.as_nanos()) as usize).clamp(SAMPLES.0, SAMPLES.1);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..samples as u64 {
        // The side that runs first changes irregularly, so that no periodic load of the machine
        // favours one side.
        if turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 0 {
            ours.push(microseconds(engine.sample(operation)));
            theirs.push(microseconds(raw.sample(operation)));
        } else {
            theirs.push(microseconds(raw.sample(operation)));
            ours.push(microseconds(engine.sample(operation)));
        }
    }
    // The ratio and the difference are computed for each turn, in which both sides had the same
    // machine load.
    let pairs = || ours.iter().zip(&theirs);
    println!(
        "| {name} | {size} | {} | {:.0} | {:.0} | {:.2} | {:+.0} |",
        tree.name(),
        median(ours.iter().copied()),
        median(theirs.iter().copied()),
        median(pairs().map(|(ours, theirs)| ours / theirs)),
        median(pairs().map(|(ours, theirs)| ours - theirs)),
    );
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
