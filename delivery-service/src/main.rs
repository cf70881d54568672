//! `regrow-ds`: the delivery service as a server, and its commands.

#![forbid(unsafe_code)]

mod cli;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

/// The system's allocator keeps large free blocks in the arenas of all threads, so that the process
/// would grow beyond the memory budgets. This allocator gives them back, at once if the environment
/// has `MIMALLOC_PURGE_DELAY=0`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::main(cli::Cli::parse()) {
        Ok(ending) => ending.into(),
        Err(stopped) => {
            // A missing standard error is not an error of the command.
            let _ = writeln!(io::stderr(), "regrow-ds: {:#}", stopped.error);
            stopped.ending.into()
        }
    }
}
