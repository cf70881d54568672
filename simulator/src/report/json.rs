//! Results for programs: one JSON object per file, on one line.
//!
//! The same files and seeds give the same bytes: how long a run took is not in it.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;

use super::result::{Failure, Figures, RunResult, Status, Verdict};
use crate::scenario::{Problem, Scenario};

/// How it was found out what a thief can read. Says how far the figures can be relied on.
const METHOD: &str = "closure";

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
struct Search<'a> {
    seed: u64,
    scenarios: u64,
    finding: Option<Smallest<'a>>,
}

#[derive(Serialize)]
struct Smallest<'a> {
    number: u64,
    file: String,
    steps: u64,
    members: usize,
    runs: u32,
    failures: Vec<Told<'a>>,
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

/// A scenario that a search has found and made small.
pub struct Found<'a> {
    /// Which of the search's scenarios it comes from, from 1.
    pub number: u64,
    /// Where it was written.
    pub file: &'a Path,
    /// The smallest that still fails.
    pub scenario: &'a Scenario,
    /// How many runs it took to make it small.
    pub runs: u32,
    /// What does not hold in it.
    pub failures: &'a [Failure],
}

/// Writes the line of a search.
///
/// # Errors
///
/// Those of the writer.
pub fn write_search(out: &mut dyn Write, seed: u64, scenarios: u64, found: Option<&Found<'_>>) -> io::Result<()> {
    let finding = found.map(|found| Smallest {
        number: found.number,
        file: shown(found.file),
        steps: found.scenario.expanded_len(),
        members: found.scenario.members.len(),
        runs: found.runs,
        failures: found.failures.iter().map(told).collect(),
    });
    write_line(out, &Search { seed, scenarios, finding })
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
