//! The command line: what can be asked, and the exit status that answers.

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
    report::{Outcome, RunOptions, Transcript},
    scenario::{self, Scenario, schema::SCHEMA},
};

/// Something that runs one scenario.
pub(crate) type Runner = fn(&Scenario, &RunOptions, &mut Transcript) -> Outcome;

/// Replays scripted membership changes on real MLS clients, and measures forward secrecy and post-compromise security.
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
    /// Generate scenarios until one fails, and write the smallest that still does
    Explore(ExploreArgs),
    /// Check scenario files without running them
    Check(CheckArgs),
    /// Steal every member's device after every step, and show who could read what
    Matrix(MatrixArgs),
    /// Print the JSON Schema of scenario files
    Schema,
}

#[derive(clap::Args, Debug)]
struct RunArgs {
    /// Scenario files, or folders to search for *.json; subfolders `failing` and `sweeps` only if named here
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print one JSON object per scenario and line, and nothing else
    #[arg(long)]
    json: bool,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Use this seed for every scenario
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run against the delivery service at this address, which lets everybody register; what a scenario waits passes for
    /// its members alone, and names are new in every run
    #[arg(long, value_name = "URL")]
    service: Option<String>,
    /// Run so many files side by side [default: one for each core]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Write what happened, as JSON Lines, in the order of the files
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct ExploreArgs {
    /// The same seed gives the same scenarios, and the same finding
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Look at so many scenarios [default: 1000; without end if there is a --time]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Begin no further scenario after this time, such as 90s, 15m or 3h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,
    /// The most members of a scenario
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=1000))]
    members: u32,
    /// The most steps of a scenario, but for those that bring it to its end
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    steps: u32,
    /// How often each kind of step comes up: a JSON object, of which --print-weights prints all names
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Print the weights that are used, and search nothing
    #[arg(long)]
    print_weights: bool,
    /// Where the scenario is written: a file that is not there yet, or a folder [default: the current one]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Run so many scenarios side by side [default: one for each core]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    scenario::duration(text).ok_or_else(|| "expected a duration such as 90s, 15m or 3h".to_owned())
}

/// How many threads there are to be.
fn jobs(asked: Option<u16>) -> usize {
    let cores = || thread::available_parallelism().map_or(1, NonZero::get);
    asked.map_or_else(cores, usize::from)
}

#[derive(clap::Args, Debug)]
struct CheckArgs {
    /// Scenario files, or folders to search for *.json; subfolders `failing` and `sweeps` only if named here
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print one JSON object per file and line, and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct MatrixArgs {
    /// The scenario's file
    #[arg(value_name = "SCENARIO")]
    file: PathBuf,
    /// Write the matrix as CSV, a line for each snapshot and message
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the matrix as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Use this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// How the command ended, in the order in which one outweighs the other.
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

/// Does what was asked.
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
