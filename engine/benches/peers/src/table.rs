//! The times of single operations on all sides, as two tables: medians, and ratios of Regrow to
//! mls-rs on aws-lc. The sides take turns, so that other load of the machine affects all equally.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    mls_rs_member::{AwsLc, MlsRsMember, RustCrypto},
    workload::{BenchmarkMember, EngineMember, MeasuredGroup, Operation, RawMember, TreeHistory},
};

/// The rows: members and tree. A full tree of two is a fresh one.
const ROWS: [(usize, TreeHistory); 5] = [
    (2, TreeHistory::Fresh),
    (10, TreeHistory::Full),
    (100, TreeHistory::Full),
    (1000, TreeHistory::Full),
    (1000, TreeHistory::Fresh),
];

/// The columns, with their headings.
const COLUMNS: [(Operation, &str); 6] = [
    (Operation::Update, "create an update"),
    (Operation::Confirm, "confirm"),
    (Operation::Process, "process and merge"),
    (Operation::Send, "send 100 B"),
    (Operation::Receive, "receive"),
    (Operation::Join, "join"),
];

/// The approximate time for one cell. Then the smallest and largest number of turns.
const TIME: Duration = Duration::from_secs(3);
const TURNS: (usize, usize) = (15, 401);

const SIDES: usize = 4;
/// The position of mls-rs on aws-lc among the sides.
const AWS_LC: usize = 2;

/// Returns the largest ratio of Regrow to mls-rs on aws-lc that the project aims at, if it has one.
fn aim(size: usize, operation: Operation) -> Option<f64> {
    match operation {
        Operation::Join => None,
        Operation::Process if size >= 1000 => Some(1.0),
        _ if size >= 1000 => Some(0.8),
        Operation::Confirm => None,
        _ => Some(0.9),
    }
}

trait Side: Send {
    fn sample(&mut self, operation: Operation) -> f64;
}

impl<M: BenchmarkMember> Side for MeasuredGroup<M> {
    fn sample(&mut self, operation: Operation) -> f64 {
        MeasuredGroup::sample(self, operation).as_secs_f64() * 1e6
    }
}

/// Prints both tables for the chosen sizes. All sizes are chosen if the list is empty.
pub fn print(chosen: &[usize]) {
    println!("Medians in µs: Regrow / mls-rs on RustCrypto / mls-rs on aws-lc / OpenMLS alone.\n");
    header();
    let mut ratios = Vec::new();
    for (size, tree) in ROWS.into_iter().filter(|(size, _)| chosen.is_empty() || chosen.contains(size)) {
        let mut sides = sides(size, tree);
        let cells: Vec<_> = COLUMNS.iter().map(|(operation, _)| cell(&mut sides, *operation)).collect();
        print_row(size, tree, cells.iter().map(|cell| cell.medians.map(|median| format!("{median:.0}")).join(" / ")));
        ratios.push((size, tree, cells));
    }
    println!("\nRegrow divided by mls-rs on aws-lc: the median of the ratios of all turns, then the aim.\n");
    header();
    for (size, tree, cells) in ratios {
        let texts = COLUMNS.iter().zip(&cells).map(|((operation, _), cell)| match aim(size, *operation) {
            Some(aim) => format!("{:.2}, aim {aim:.1}", cell.ratio),
            None => format!("{:.2}", cell.ratio),
        });
        print_row(size, tree, texts);
    }
}

fn header() {
    println!("| members, tree | {} |", COLUMNS.map(|(_, heading)| heading).join(" | "));
    println!("| --- |{}", " ---: |".repeat(COLUMNS.len()));
}

fn print_row(size: usize, tree: TreeHistory, cells: impl Iterator<Item = String>) {
    println!("| {size} {} | {} |", tree.name(), cells.collect::<Vec<_>>().join(" | "));
}

/// Builds the same group on all sides, in parallel.
fn sides(size: usize, tree: TreeHistory) -> [Box<dyn Side>; SIDES] {
    fn build<M: BenchmarkMember + 'static>(size: usize, tree: TreeHistory) -> Box<dyn Side> {
        Box::new(MeasuredGroup::<M>::new(size, tree))
    }
    let builders: [fn(usize, TreeHistory) -> Box<dyn Side>; SIDES] =
        [build::<EngineMember>, build::<MlsRsMember<RustCrypto>>, build::<MlsRsMember<AwsLc>>, build::<RawMember>];
    thread::scope(|scope| builders.map(|build| scope.spawn(move || build(size, tree))).map(|side| side.join().unwrap()))
}

struct Cell {
    medians: [f64; SIDES],
    /// Computed for each turn, in which all sides had the same machine load.
    ratio: f64,
}

fn cell(sides: &mut [Box<dyn Side>; SIDES], operation: Operation) -> Cell {
    let started = Instant::now();
    for side in sides.iter_mut() {
        side.sample(operation);
    }
    let turns = TIME.as_nanos() / started.elapsed().as_nanos().max(1);
    let turns = (turns as usize).clamp(TURNS.0, TURNS.1);
    let samples: Vec<[f64; SIDES]> = (0..turns as u64).map(|turn| take_turns(sides, operation, turn)).collect();
    Cell {
        medians: std::array::from_fn(|side| median(samples.iter().map(|turn| turn[side]))),
        ratio: median(samples.iter().map(|turn| turn[0] / turn[AWS_LC])),
    }
}

/// Runs the operation once on each side. The order of the sides changes irregularly, so that no
/// periodic load of the machine favours one side.
fn take_turns(sides: &mut [Box<dyn Side>; SIDES], operation: Operation, turn: u64) -> [f64; SIDES] {
    let mut order: [usize; SIDES] = std::array::from_fn(|side| side);
    let mut number = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    for end in (1..SIDES).rev() {
        order.swap(end, (number % (end as u64 + 1)) as usize);
        number /= end as u64 + 1;
    }
    let mut times = [0.0; SIDES];
    for side in order {
        times[side] = sides[side].sample(operation);
    }
    times
}

/// Returns the median. There must be a value.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
