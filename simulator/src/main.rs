//! The `regrow` command.

#![forbid(unsafe_code)]

mod cli;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

/// A quarter of a simulation's time is OpenMLS asking for memory and giving it back, on all cores at once. This
/// allocator is a tenth to a fifth faster at that than the system's, and wastes less.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
