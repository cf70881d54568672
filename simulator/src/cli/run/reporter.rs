//! Reports results on standard output, and unusable files on standard error.

use std::{
    io::{self, Write},
    time::Duration,
};

use regrow_simulator::report::{FileOutcome, RunResult, json, terminal::Terminal, titles::Titles};

use crate::cli::{args::RunArgs, output};

/// A writer of results.
pub(super) enum Reporter<'w> {
    /// One JSON object for each file.
    Json(&'w mut dyn Write),
    /// Lines for a person.
    Terminal(Terminal<'w>),
}

impl<'w> Reporter<'w> {
    pub(super) fn begin(args: &RunArgs, out: &'w mut dyn Write, titles: &Titles) -> io::Result<Self> {
        if args.json {
            return Ok(Self::Json(out));
        }
        Terminal::begin(out, output::has_colours(args.color), titles.clone()).map(Self::Terminal)
    }

    pub(super) fn result(&mut self, result: &RunResult) -> io::Result<()> {
        match self {
            Self::Json(out) => json::write_result(*out, result)?,
            Self::Terminal(terminal) => terminal.result(result)?,
        }
        if let FileOutcome::Unusable(problems) = &result.outcome {
            output::complain_about(&result.file, problems);
        }
        Ok(())
    }

    /// Ends the report. `not_run` is the number of files without a result.
    pub(super) fn end(self, duration: Duration, not_run: usize) -> io::Result<()> {
        match self {
            Self::Json(out) => out.flush(),
            Self::Terminal(terminal) => terminal.end(duration, not_run),
        }
    }
}
