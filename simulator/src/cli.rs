//! The command line: its commands, options and exit statuses.

mod args;
mod calibrate;
mod check;
mod compare;
mod ending;
mod explain;
mod explore;
mod files;
mod interrupt;
mod matrix;
mod new;
mod output;
mod report;
mod run;
mod runner;
mod sweep;
mod trace;

use std::{io::Write as _, process::ExitCode};

use anyhow::Result;
use regrow_simulator::{report::schema as results_schema, scenario::schema, sweep::schema as sweep_schema};

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
        Command::Explain(args) => explain::explain(&args, runner)?,
        Command::Explore(args) => explore::explore(&args, runner)?,
        Command::New(args) => new::new(&args)?,
        Command::Check(args) => check::check(&args)?,
        Command::Compare(args) => compare::compare(&args)?,
        Command::Matrix(args) => matrix::matrix(&args)?,
        Command::Trace(TraceCommand::Stats(args)) => trace::stats(&args)?,
        Command::Report(args) => report::report(&args)?,
        Command::Calibrate(args) => calibrate::calibrate(&args)?,
        Command::Sweep(args) => sweep::sweep(&args, runner)?,
        Command::Schema(args) => {
            let schema = match (args.sweep, args.results) {
                (true, _) => sweep_schema::SCHEMA.to_owned(),
                (_, true) => results_schema::SCHEMA.to_owned(),
                _ => schema(),
            };
            output::stdout().write_all(schema.as_bytes())?;
            Ending::Passed
        }
    };
    Ok(ending.into())
}
