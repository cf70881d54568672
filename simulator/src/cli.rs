//! The command line: its commands, options and exit statuses.

mod check;
mod explore;
mod files;
mod matrix;
mod output;
mod run;

use std::{io::Write as _, num::NonZero, path::PathBuf, process::ExitCode, thread, time::Duration};

use anyhow::Result;
use clap::{Parser, Subcommand};
use regrow_simulator::{
    report::{RunOptions, RunOutcome, Transcript},
    scenario::{self, Scenario, schema::SCHEMA},
};

/// A function that runs one scenario.
pub(crate) type Runner = fn(&Scenario, &RunOptions, &mut Transcript) -> RunOutcome;

/// Replays scripted membership changes on real MLS clients, and measures forward secrecy and
/// post-compromise security.
///
/// Exit status: 0 all passed, 1 a scenario failed, 2 unusable input.
#[derive(Parser, Debug)]
#[command(name = "regrow", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run scenario files
    Run(RunArgs),
    /// Generate scenarios until one fails, and write the smallest version that still fails
    Explore(ExploreArgs),
    /// Check scenario files without running them
    Check(CheckArgs),
    /// Steal each member's device after each step, and show which messages each thief can read
    Matrix(MatrixArgs),
    /// Print the JSON Schema of scenario files
    Schema,
}

#[derive(clap::Args, Debug)]
struct RunArgs {
    /// Scenario files, or folders to search for *.json files; the search skips subfolders with the
    /// names `failing` and `sweeps`
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print one JSON object per scenario, each on its own line, and nothing else
    #[arg(long)]
    json: bool,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Use this seed for every scenario
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run against the delivery service at this address. It must let every device register. A
    /// `wait` moves only the clocks of the members, and each run uses new names
    #[arg(long, value_name = "URL")]
    service: Option<String>,
    /// The number of files that run in parallel [default: one for each core]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Write the transcripts as JSON Lines, in the order of the files
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct ExploreArgs {
    /// The seed of the search: the same seed gives the same scenarios and the same result
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The number of scenarios to run [default: 1000; with --time: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Start no further scenario after this time, such as 90s, 15m or 3h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,
    /// The largest number of members in a scenario
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=1000))]
    members: u32,
    /// The largest number of steps in a scenario, without the steps that end it
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    steps: u32,
    /// The frequency of each kind of step: a JSON object; --print-weights prints all names
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Print the weights that the search would use, and stop
    #[arg(long)]
    print_weights: bool,
    /// The output: a file that does not exist yet, or a folder [default: the current folder]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// The number of scenarios that run in parallel [default: one for each core]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    scenario::duration(text).ok_or_else(|| "expected a duration such as 90s, 15m or 3h".to_owned())
}

/// The number of threads to use: one for each core, if the user asked for no number.
fn jobs(asked: Option<u16>) -> usize {
    let cores = || thread::available_parallelism().map_or(1, NonZero::get);
    asked.map_or_else(cores, usize::from)
}

#[derive(clap::Args, Debug)]
struct CheckArgs {
    /// Scenario files, or folders to search for *.json files; the search skips subfolders with the
    /// names `failing` and `sweeps`
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print one JSON object per file, each on its own line, and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct MatrixArgs {
    /// The scenario file
    #[arg(value_name = "SCENARIO")]
    file: PathBuf,
    /// Write the matrix as CSV, with one line for each snapshot and message
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the matrix as an SVG picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Use this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// The result of the command, from the mildest to the most serious. The most serious one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    #[default]
    Passed,
    Failed,
    Unusable,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Passed => 0,
            Ending::Failed => 1,
            Ending::Unusable => 2,
        })
    }
}

/// Runs the command that the arguments name.
pub(crate) fn main(cli: Cli, runner: Runner) -> Result<ExitCode> {
    let ending = match cli.command {
        Command::Run(args) => run::run(&args, runner)?,
        Command::Explore(args) => explore::explore(&args, runner)?,
        Command::Check(args) => check::check(&args)?,
        Command::Matrix(args) => matrix::matrix(&args)?,
        Command::Schema => {
            output::stdout().write_all(SCHEMA.as_bytes())?;
            Ending::Passed
        }
    };
    Ok(ending.into())
}
