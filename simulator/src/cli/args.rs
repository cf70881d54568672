//! The commands and their options.

use std::{num::NonZero, path::PathBuf, thread, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use regrow_simulator::{calibration, scenario};

/// Replays scripted membership changes on real MLS clients, and measures forward secrecy and
/// post-compromise security.
///
/// Exit status: 0 all passed, 1 a scenario failed, 2 unusable input or output, 130 interrupted.
#[derive(Parser, Debug)]
#[command(name = "regrow", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Run scenario files
    Run(RunArgs),
    /// Explain the failures of a scenario, or how a thief reads a message
    Explain(ExplainArgs),
    /// List commented scenario files for common questions, or write one of them
    New(NewArgs),
    /// Generate scenarios until one fails, and write the smallest version that still fails
    Explore(ExploreArgs),
    /// Check scenario files without running them
    Check(CheckArgs),
    /// Steal each member's device after each step, and show which messages each thief can read
    Matrix(MatrixArgs),
    /// Price a scenario under each protocol of the cost model, and show the totals side by side
    Compare(CompareArgs),
    /// Run a scenario with many values and seeds, and write tables and plots
    Sweep(SweepArgs),
    /// Write the results of a sweep as a page for a browser
    Report(ReportArgs),
    /// Measure the time of each crypto operation on this machine
    Calibrate(CalibrateArgs),
    /// Work with membership traces
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Print the JSON Schema of scenario files
    Schema(SchemaArgs),
}

#[derive(clap::Args, Debug)]
pub(super) struct RunArgs {
    /// Scenario files, or folders to search for *.json, *.jsonc, *.yaml and *.yml files; the search
    /// skips subfolders with the names `failing` and `sweeps`
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Print one JSON object per scenario, each on its own line, and nothing else
    #[arg(long)]
    pub(super) json: bool,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Use this seed for every scenario
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Run against the delivery service at this address, in a build with the feature `remote`. The
    /// service must let every device register. A `wait` moves only the clocks of the members, and
    /// each run uses new names
    #[arg(long, value_name = "URL")]
    pub(super) service: Option<String>,
    /// The number of files that run in parallel [default: one for each core]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: Option<u16>,
    /// Write the transcripts as JSON Lines, in the order of the files
    #[arg(long, value_name = "FILE")]
    pub(super) transcript: Option<PathBuf>,
    /// Write the costs of each handshake and welcome as CSV, in the order of the files
    #[arg(long, value_name = "FILE")]
    pub(super) costs: Option<PathBuf>,
    /// Write a page for a browser: the failures, steps, ratchet trees, exposed messages and costs of
    /// each scenario
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Run only the scenarios whose name or path contains this text; upper and lower case are the
    /// same. Several --filter choose the scenarios that match one of them
    #[arg(long, value_name = "TEXT")]
    pub(super) filter: Vec<String>,
    /// Run only the scenarios with this tag. Several --tag choose the scenarios with one of them
    #[arg(long, value_name = "TAG")]
    pub(super) tag: Vec<String>,
    /// Print the files, names and tags of the scenarios that would run, and run none of them
    #[arg(long)]
    pub(super) list: bool,
    /// A scenario fails if it has a warning; the field `strict` of a file does the same for this file
    #[arg(long)]
    pub(super) strict: bool,
    /// A scenario fails if it runs longer than this time, such as 90s, 15m or 3h. If the file has a
    /// `timeout.real` too, the shorter time counts
    #[arg(long, value_name = "DURATION", value_parser = time_limit)]
    pub(super) timeout: Option<Duration>,
    /// Stop after the first scenario that does not pass
    #[arg(long)]
    pub(super) fail_fast: bool,
    /// Run again whenever a file changes, until Ctrl-C
    #[arg(long, conflicts_with = "list")]
    pub(super) watch: bool,
    /// Colours on standard output
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Colour,
}

/// The condition for colours on standard output.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Colour {
    /// On a terminal, unless the environment variable `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(clap::Args, Debug)]
pub(super) struct ExplainArgs {
    /// The scenario file
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Explain who can read this message, instead of the failures
    #[arg(long, value_name = "ID")]
    pub(super) message: Option<String>,
    /// Explain what the thief of this compromise can read, instead of the failures
    #[arg(long, value_name = "ID")]
    pub(super) compromise: Option<String>,
    /// Use this seed
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(clap::Args, Debug)]
pub(super) struct NewArgs {
    /// The name of the starter; without it, the command lists all starters
    #[arg(value_name = "STARTER")]
    pub(super) name: Option<String>,
    /// The new file, or the folder for it [default: the starter's name, in the current folder]
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
pub(super) struct ExploreArgs {
    /// The seed of the search: the same seed gives the same scenarios and the same result
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// The number of scenarios to run [default: 1000; with --time: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// Start no further scenario after this time, such as 90s, 15m or 3h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) time: Option<Duration>,
    /// The largest number of members in a scenario
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(super) members: u32,
    /// The largest number of steps in a scenario, without the steps that end it
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) steps: u32,
    /// The frequency of each kind of step: a JSON object; --print-weights prints all names
    #[arg(long, value_name = "FILE")]
    pub(super) weights: Option<PathBuf>,
    /// Print the weights that the search would use, and stop
    #[arg(long)]
    pub(super) print_weights: bool,
    /// The output: a file that does not exist yet, or a folder [default: the current folder]
    #[arg(long, value_name = "PATH")]
    pub(super) out: Option<PathBuf>,
    /// The number of scenarios that run in parallel [default: one for each core]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: Option<u16>,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    scenario::duration(text).ok_or_else(|| "expected a duration such as 90s, 15m or 3h".to_owned())
}

fn time_limit(text: &str) -> Result<Duration, String> {
    let limit = duration(text)?;
    if limit.is_zero() { Err("expected at least one second".to_owned()) } else { Ok(limit) }
}

/// The number of threads to use: one for each core, if the user asked for no number.
pub(super) fn jobs(asked: Option<u16>) -> usize {
    let cores = || thread::available_parallelism().map_or(1, NonZero::get);
    asked.map_or_else(cores, usize::from)
}

#[derive(clap::Args, Debug)]
pub(super) struct CheckArgs {
    /// Scenario files, or folders to search for *.json, *.jsonc, *.yaml and *.yml files; the search
    /// skips subfolders with the names `failing` and `sweeps`
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Print one JSON object per file, each on its own line, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(clap::Args, Debug)]
pub(super) struct MatrixArgs {
    /// The scenario file
    #[arg(value_name = "SCENARIO")]
    pub(super) file: PathBuf,
    /// Write the matrix as CSV, with one line for each snapshot and message
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
    /// Write the matrix as an SVG picture
    #[arg(long, value_name = "FILE")]
    pub(super) svg: Option<PathBuf>,
    /// Use this seed
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Colours on standard output
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Colour,
}

#[derive(clap::Args, Debug)]
pub(super) struct CompareArgs {
    /// The scenario file; its own fidelity and protocol do not matter
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Write the comparison as CSV, with one row for each protocol
    #[arg(long, value_name = "OUT")]
    pub(super) csv: Option<PathBuf>,
    /// Use this seed
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
}

#[derive(clap::Args, Debug)]
pub(super) struct SweepArgs {
    /// The sweep file
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The folder of the results; a second start with the same folder does only the missing runs
    /// [default: the name of the file with `-results`, in the current folder]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Start even if the estimated time is longer than an hour
    #[arg(long)]
    pub(super) yes: bool,
    /// The number of runs in parallel [default: one for each core]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: Option<u16>,
    /// The times of this machine, from `regrow calibrate`, for predicted times in times.csv
    /// [default: regrow-calibration.json in the current folder, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(super) calibration: Option<PathBuf>,
    /// Do this number of random runs with real devices and with the cost model, and compare all
    /// columns of the entries. The sweep itself does not start
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) check: Option<u32>,
}

#[derive(clap::Args, Debug)]
pub(super) struct ReportArgs {
    /// The output folder of a finished sweep
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// The page
    #[arg(long, value_name = "FILE")]
    pub(super) html: PathBuf,
}

#[derive(clap::Args, Debug)]
pub(super) struct CalibrateArgs {
    /// The output
    #[arg(long, value_name = "FILE", default_value = calibration::DEFAULT_FILE)]
    pub(super) out: PathBuf,
}

#[derive(clap::Args, Debug)]
pub(super) struct SchemaArgs {
    /// Print the JSON Schema of sweep files instead
    #[arg(long, conflicts_with = "results")]
    pub(super) sweep: bool,
    /// Print the JSON Schema of a line of `regrow run --json` instead
    #[arg(long)]
    pub(super) results: bool,
}

#[derive(Subcommand, Debug)]
pub(super) enum TraceCommand {
    /// Print the figures of a trace: members, changes, stays and messages
    Stats(TraceStatsArgs),
}

#[derive(clap::Args, Debug)]
pub(super) struct TraceStatsArgs {
    /// The trace: a CSV file with the columns time, event, member and by
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}
