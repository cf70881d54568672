//! `regrow-ds`: the delivery service as a server, and the commands that go with it.

#![forbid(unsafe_code)]

mod cli;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

/// The system's allocator keeps large blocks that are free again, scattered over the arenas of all
/// threads: the process would grow beyond the budgets of memory. This one gives them back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::main(cli::Cli::parse()) {
        Ok(ending) => ending.into(),
        Err(stopped) => {
            // That there is no standard error is no reason for anything.
            let _ = writeln!(io::stderr(), "regrow-ds: {:#}", stopped.error);
            stopped.ending.into()
        }
    }
}
