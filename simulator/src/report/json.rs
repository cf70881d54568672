//! Results for programs: one JSON object for each file, on one line.
//!
//! The same files and seeds give the same bytes, because the output does not contain run times.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;

use super::result::{Cause, Failure, Figures, FileOutcome, RunResult, Status, Warning, WarningKind};
use crate::scenario::{FailCode, FileProblem, Place, Scenario};

/// The method that finds the messages that a thief can read. It says how reliable the figures are.
const METHOD: &str = "closure";

#[derive(Serialize)]
struct JsonLine<'a> {
    file: String,
    status: Status,
    #[serde(flatten)]
    ran: Option<Ran<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<&'a [FileProblem]>,
}

#[derive(Serialize)]
struct Ran<'a> {
    name: &'a str,
    seed: u64,
    /// The method of all values in `figures` that concern a thief.
    exposure: &'static str,
    figures: &'a Figures,
    failures: Vec<Told<'a>>,
    warnings: Vec<ToldWarning<'a>>,
    /// The hash of the transcript. Not set if the run did not come to an end.
    transcript: Option<&'a str>,
}

/// The parts of a place. All of them are empty at the end of a scenario.
#[derive(Serialize)]
struct ToldPlace<'a> {
    step: Option<&'a str>,
    line: Option<u32>,
    turn: Option<u32>,
    /// The path to the step in the JSON document, whose indices begin with 0.
    field: Option<&'a str>,
}

/// A failure, with the parts of its place as fields.
#[derive(Serialize)]
struct Told<'a> {
    cause: Cause,
    #[serde(flatten)]
    place: ToldPlace<'a>,
    expected: &'a str,
    seen: &'a str,
    /// The code of a step that failed.
    code: Option<FailCode>,
    events: &'a [String],
}

#[derive(Serialize)]
struct ToldWarning<'a> {
    kind: WarningKind,
    #[serde(flatten)]
    place: ToldPlace<'a>,
    seen: &'a str,
    remedy: &'a str,
}

#[derive(Serialize)]
struct Listed<'a> {
    file: String,
    /// Not set if the file is unusable.
    name: Option<&'a str>,
    tags: &'a [String],
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
    problems: &'a [FileProblem],
}

/// Writes the line of one result.
///
/// # Errors
///
/// Errors of the writer.
pub fn write_result(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    let (ran, problems) = match &result.outcome {
        FileOutcome::Ran { name, seed, outcome, transcript } => {
            let failures = outcome.failures.iter().map(told).collect();
            let warnings = outcome.warnings.iter().map(told_warning).collect();
            let transcript = Some(transcript.as_str()).filter(|hash| !hash.is_empty());
            let (seed, figures) = (*seed, &outcome.figures);
            (Some(Ran { name, seed, exposure: METHOD, figures, failures, warnings, transcript }), None)
        }
        FileOutcome::Unusable(problems) => (None, Some(problems.as_slice())),
    };
    write_line(out, &JsonLine { file: shown(&result.file), status: result.status(), ran, problems })
}

/// Writes the line of one checked file. The file is usable if there are no problems.
///
/// # Errors
///
/// Errors of the writer.
pub fn write_check(out: &mut dyn Write, file: &Path, name: Option<&str>, problems: &[FileProblem]) -> io::Result<()> {
    write_line(out, &Checked { file: shown(file), usable: problems.is_empty(), name, problems })
}

/// Writes the line of a file that would run. An unusable file has no scenario.
///
/// # Errors
///
/// Errors of the writer.
pub fn write_listed(out: &mut dyn Write, file: &Path, scenario: Option<&Scenario>) -> io::Result<()> {
    let tags = scenario.map_or([].as_slice(), |scenario| &scenario.run.tags);
    write_line(out, &Listed { file: shown(file), name: scenario.map(|scenario| scenario.name.as_str()), tags })
}

/// A scenario that a search has found and shrunk.
pub struct FoundScenario<'a> {
    /// The number of the scenario in the search, from 1.
    pub number: u64,
    /// The file with the shrunk scenario.
    pub file: &'a Path,
    /// The smallest scenario that still fails.
    pub scenario: &'a Scenario,
    /// The number of runs that shrinking took.
    pub runs: u32,
    /// The failures of the shrunk scenario.
    pub failures: &'a [Failure],
}

/// Writes the line of a search.
///
/// # Errors
///
/// Errors of the writer.
pub fn write_search(
    out: &mut dyn Write,
    seed: u64,
    scenarios: u64,
    found: Option<&FoundScenario<'_>>,
) -> io::Result<()> {
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
    let Failure { cause, place, expected, seen, code, events, .. } = failure;
    Told { cause: *cause, place: told_place(place.as_ref()), expected, seen, code: *code, events }
}

fn told_warning(warning: &Warning) -> ToldWarning<'_> {
    let Warning { kind, place, seen, remedy } = warning;
    ToldWarning { kind: *kind, place: told_place(place.as_ref()), seen, remedy }
}

fn told_place(place: Option<&Place>) -> ToldPlace<'_> {
    ToldPlace {
        step: place.map(|place| &*place.number),
        line: place.map(|place| place.line),
        turn: place.and_then(|place| place.turn),
        field: place.map(|place| &*place.path),
    }
}

/// A path need not be UTF-8, but JSON has to be.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn write_line(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    writeln!(out)
}
