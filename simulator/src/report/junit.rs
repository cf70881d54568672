//! Results for a CI system, as JUnit XML: a test case for each file. A failure or an error has the
//! same text as on the terminal.
//!
//! JUnit has no single schema. The document is valid for both schemas in use: that of Ant, and
//! `junit-10.xsd` of the Jenkins plugin xUnit. Therefore a test case has no attribute `file`, its class
//! name is the path of the file, and each suite has all elements that Ant requires.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use super::{
    result::{Cause, FileOutcome, RunResult},
    terminal,
    xml::{attribute, escaped},
};
use crate::sweep;

/// Writes the document. `started` is the time at which the first file began.
///
/// # Errors
///
/// Errors of the writer.
pub fn write(out: &mut dyn Write, results: &[RunResult], started: SystemTime) -> io::Result<()> {
    let cases: Vec<_> = results.iter().map(Case::of).collect();
    let count = |element| {
        let is_of = |case: &&Case| case.problem.as_ref().is_some_and(|problem| problem.element == element);
        cases.iter().filter(is_of).count()
    };
    // Ant's schema allows no time zone. The time is in UTC.
    let timestamp = sweep::utc(started).replace('Z', "");
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(out, "<testsuites>")?;
    writeln!(
        out,
        r#"  <testsuite name="scenarios" package="regrow" id="0" hostname="localhost" timestamp="{timestamp}" tests="{}" failures="{}" errors="{}" time="{}">"#,
        cases.len(),
        count("failure"),
        count("error"),
        seconds(results.iter().map(|result| result.duration).sum()),
    )?;
    writeln!(out, "    <properties/>")?;
    cases.iter().try_for_each(|case| case.write(out))?;
    let warnings = results.iter().filter_map(|result| match &result.outcome {
        FileOutcome::Ran { outcome, .. } => Some(terminal::warnings(&result.file, &outcome.warnings)),
        FileOutcome::Unusable(_) => None,
    });
    writeln!(out, "    <system-out>{}</system-out>", escaped(&warnings.collect::<String>()))?;
    writeln!(out, "    <system-err></system-err>")?;
    writeln!(out, "  </testsuite>")?;
    writeln!(out, "</testsuites>")
}

/// A test case.
struct Case {
    file: String,
    name: String,
    time: Duration,
    problem: Option<Problem>,
}

/// The reason why a test case did not pass.
struct Problem {
    /// `failure` for an expectation that did not hold, `error` for everything else.
    element: &'static str,
    kind: &'static str,
    message: String,
    detail: String,
}

impl Case {
    fn of(result: &RunResult) -> Self {
        let file = result.file.display().to_string();
        let name = match &result.outcome {
            FileOutcome::Ran { name, .. } => name.clone(),
            FileOutcome::Unusable(_) => file.clone(),
        };
        Self { file, name, time: result.duration, problem: Problem::of(result) }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (file, name, time) = (attribute(&self.file), attribute(&self.name), seconds(self.time));
        write!(out, r#"    <testcase classname="{file}" name="{name}" time="{time}""#)?;
        let Some(Problem { element, kind, message, detail }) = &self.problem else { return writeln!(out, "/>") };
        let (message, detail) = (attribute(message), escaped(detail));
        writeln!(out, ">")?;
        writeln!(out, r#"      <{element} type="{kind}" message="{message}">{detail}</{element}>"#)?;
        writeln!(out, "    </testcase>")
    }
}

impl Problem {
    fn of(result: &RunResult) -> Option<Self> {
        Some(match &result.outcome {
            FileOutcome::Ran { outcome, .. } => {
                let first = outcome.failures.first()?;
                Self {
                    element: if first.cause == Cause::Bug { "error" } else { "failure" },
                    kind: first.cause.as_str(),
                    message: format!("expected {}; seen {}", first.expected, first.seen),
                    detail: terminal::failures(&result.file, &outcome.failures),
                }
            }
            FileOutcome::Unusable(problems) => Self {
                element: "error",
                kind: "unusable",
                message: problems.first().map(ToString::to_string).unwrap_or_default(),
                detail: problems.iter().map(|problem| terminal::problem(&result.file, problem)).collect(),
            },
        })
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64())
}
