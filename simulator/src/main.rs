//! The `regrow` command.

#![forbid(unsafe_code)]

mod cli;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::main(cli::Cli::parse(), regrow_simulator::world::run) {
        Ok(status) => status,
        Err(error) => {
            // One line, causes and all. That there is no standard error is no reason for anything.
            let _ = writeln!(io::stderr(), "regrow: {error:#}");
            ExitCode::from(2)
        }
    }
}
