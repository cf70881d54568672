//! Results for programs: one JSON object per file, on one line.
//!
//! The same files and seeds give the same bytes: how long a run took is not in it.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;

use super::result::{Failure, Figures, RunResult, Status, Verdict};
use crate::scenario::Problem;

/// How it was found out what a thief can read. Says how far the figures can be relied on.
const METHOD: &str = "replay";

#[derive(Serialize)]
struct Line<'a> {
    file: String,
    status: Status,
    #[serde(flatten)]
    ran: Option<Ran<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<&'a [Problem]>,
}

#[derive(Serialize)]
struct Ran<'a> {
    name: &'a str,
    seed: u64,
    /// The method of everything in `figures` that concerns a thief.
    exposure: &'static str,
    figures: &'a Figures,
    failures: Vec<Told<'a>>,
    transcript: &'a str,
}

/// A failure, with its place taken apart.
#[derive(Serialize)]
struct Told<'a> {
    step: Option<&'a str>,
    line: Option<u32>,
    turn: Option<u32>,
    expected: &'a str,
    seen: &'a str,
    events: &'a [String],
}

#[derive(Serialize)]
struct Checked<'a> {
    file: String,
    usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    problems: &'a [Problem],
}

/// Writes the line of one result.
///
/// # Errors
///
/// Those of the writer.
pub fn write_result(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    let (ran, problems) = match &result.verdict {
        Verdict::Ran { name, seed, outcome, transcript } => {
            let failures = outcome.failures.iter().map(told).collect();
            let figures = &outcome.figures;
            (Some(Ran { name, seed: *seed, exposure: METHOD, figures, failures, transcript }), None)
        }
        Verdict::Unusable(problems) => (None, Some(problems.as_slice())),
    };
    write_line(out, &Line { file: shown(&result.file), status: result.status(), ran, problems })
}

/// Writes the line of one file that was checked, and is usable if there are no problems.
///
/// # Errors
///
/// Those of the writer.
pub fn write_check(out: &mut dyn Write, file: &Path, name: Option<&str>, problems: &[Problem]) -> io::Result<()> {
    write_line(out, &Checked { file: shown(file), usable: problems.is_empty(), name, problems })
}

fn told(failure: &Failure) -> Told<'_> {
    let place = failure.place.as_ref();
    Told {
        step: place.map(|place| &*place.number),
        line: place.map(|place| place.line),
        turn: place.and_then(|place| place.turn),
        expected: &failure.expected,
        seen: &failure.seen,
        events: &failure.events,
    }
}

/// A path need not be UTF-8, and JSON is.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn write_line(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    writeln!(out)
}
