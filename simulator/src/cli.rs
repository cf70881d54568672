//! The command line: what can be asked, and the exit status that answers.

mod check;
mod files;
mod output;
mod run;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use regrow_simulator::{
    report::{Outcome, RunOptions, Transcript},
    scenario::{Scenario, schema::SCHEMA},
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
    /// Check scenario files without running them
    Check(CheckArgs),
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
    /// Run so many files side by side [default: one for each core]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Write what happened, as JSON Lines, in the order of the files
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,
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
        Command::Check(args) => check::check(&args)?,
        Command::Schema => {
            output::stdout().write_all(SCHEMA.as_bytes())?;
            Ending::Passed
        }
    };
    Ok(ending.into())
}
