//! The command line: its commands, options and exit statuses.

mod args;
mod check;
mod compare;
mod ending;
mod explore;
mod files;
mod matrix;
mod output;
mod run;
mod runner;
mod trace;

use std::{io::Write as _, process::ExitCode};

use anyhow::Result;
use regrow_simulator::scenario::schema::SCHEMA;

pub(crate) use self::args::Cli;
use self::{
    args::{Command, TraceCommand},
    ending::Ending,
    runner::Runner,
};

/// Runs the command that the arguments name.
pub(crate) fn main(cli: Cli, runner: Runner) -> Result<ExitCode> {
    let ending = match cli.command {
        Command::Run(args) => run::run(&args, runner)?,
        Command::Explore(args) => explore::explore(&args, runner)?,
        Command::Check(args) => check::check(&args)?,
        Command::Compare(args) => compare::compare(&args)?,
        Command::Matrix(args) => matrix::matrix(&args)?,
        Command::Trace(TraceCommand::Stats(args)) => trace::stats(&args)?,
        Command::Schema => {
            output::stdout().write_all(SCHEMA.as_bytes())?;
            Ending::Passed
        }
    };
    Ok(ending.into())
}
