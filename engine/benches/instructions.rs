//! Counts the instructions of ten operations under Valgrind, and compares the counts with
//! `instructions.json`:
//!
//! ```sh
//! cargo test --workspace --bench instructions -- --check
//! cargo test --workspace --bench instructions -- --write    # after a change that is meant
//! ```
//!
//! A count that is more than five percent higher fails. Times on a shared machine vary by more than
//! that, but counts hardly vary. They belong to the profile `dev` and to Valgrind's processor.
//! Valgrind emulates AVX2 if the machine has it, but neither SHA nor AVX-512 instructions.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod workload;

use std::{
    collections::BTreeMap,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use workload::{EngineMember, MeasuredGroup, Operation, TreeHistory};

const MEMBERS: usize = 32;
/// The count of an operation is the median of this many samples.
const SAMPLES: usize = 5;
/// The permitted growth of a count, in percent.
const TOLERANCE: u64 = 5;

const MEASURED: [(Operation, TreeHistory); 10] = [
    (Operation::Create, TreeHistory::Fresh),
    (Operation::Update, TreeHistory::Fresh),
    (Operation::Add, TreeHistory::Full),
    (Operation::Remove, TreeHistory::Full),
    (Operation::Update, TreeHistory::Full),
    (Operation::Confirm, TreeHistory::Full),
    (Operation::Process, TreeHistory::Full),
    (Operation::Join, TreeHistory::Full),
    (Operation::Send, TreeHistory::Full),
    (Operation::Receive, TreeHistory::Full),
];

type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    match std::env::args().skip(1).find(|argument| argument.starts_with("--")).as_deref() {
        Some("--sample") => take_samples(),
        Some("--write") => fs::write(committed_file(), to_json(&count())).unwrap(),
        Some("--check") => return check(),
        // `cargo test --all-targets` runs this program too, but not to count.
        _ => {}
    }
    ExitCode::SUCCESS
}

fn committed_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.json")
}

fn to_json(counts: &Counts) -> String {
    serde_json::to_string_pretty(counts).unwrap() + "\n"
}

fn check() -> ExitCode {
    let committed: Counts = serde_json::from_str(&fs::read_to_string(committed_file()).unwrap()).unwrap();
    let counted = count();
    let mut outcome = ExitCode::SUCCESS;
    println!("| operation | committed | counted | percent |");
    println!("| --- | ---: | ---: | ---: |");
    for (name, count) in &counted {
        let before = *committed.get(name).unwrap_or_else(|| panic!("instructions.json has no {name}"));
        println!("| {name} | {before} | {count} | {} |", count * 100 / before);
        if count * 100 > before * (100 + TOLERANCE) {
            eprintln!("{name} takes more than {TOLERANCE} percent more instructions than instructions.json permits");
            outcome = ExitCode::FAILURE;
        }
    }
    outcome
}

/// Runs this program under Valgrind. Returns the median count for each operation.
fn count() -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*workload::timed*"])
        .args(["--zero-before=*begin_sample*", "--dump-after=*end_sample*"])
        .arg(format!("--callgrind-out-file={}", folder.path().join("out").display()))
        .arg(std::env::current_exe().unwrap())
        .arg("--sample")
        .status()
        .unwrap_or_else(|error| panic!("valgrind does not start ({error}); install it"));
    assert!(status.success(), "valgrind failed: {status}");
    let mut counts = Counts::new();
    for (index, (operation, tree)) in MEASURED.into_iter().enumerate() {
        let mut samples: Vec<u64> = (1..=SAMPLES)
            .map(|sample| total(&folder.path().join(format!("out.{}", index * SAMPLES + sample))))
            .collect();
        samples.sort_unstable();
        counts.insert(format!("{}, {} tree", operation.name(), tree.name()), samples[SAMPLES / 2]);
    }
    counts
}

/// Reads the number of instructions of a dump.
fn total(dump: &Path) -> u64 {
    let text = fs::read_to_string(dump).unwrap_or_else(|error| panic!("{}: {error}", dump.display()));
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    let total = total.trim().parse().unwrap();
    assert!(total > 0, "{} has no instructions", dump.display());
    total
}

/// Makes all samples. OpenMLS uses the threads of a pool, and Valgrind counts only the thread of
/// the measured function. So the pool has one thread, and everything runs in it.
fn take_samples() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let mut groups: Vec<(TreeHistory, MeasuredGroup<EngineMember>)> =
            TreeHistory::ALL.map(|tree| (tree, MeasuredGroup::new(MEMBERS, tree))).into();
        for (operation, tree) in MEASURED {
            let (_, group) = groups.iter_mut().find(|(of, _)| *of == tree).unwrap();
            for _ in 0..SAMPLES {
                begin_sample();
                group.sample(operation);
                end_sample();
            }
        }
    });
}

/// Valgrind sets its counts to zero before this function.
#[inline(never)]
fn begin_sample() {
    black_box(());
}

/// Valgrind writes its counts after this function.
#[inline(never)]
fn end_sample() {
    black_box(());
}
