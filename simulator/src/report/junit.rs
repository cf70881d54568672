//! Results for a CI system, as JUnit XML: a test case for each file. A failure or an error has the
//! same text as on the terminal.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{
    result::{FileOutcome, RunResult, Status},
    terminal,
    xml::{attribute, escaped},
};

/// Writes the document.
///
/// # Errors
///
/// Errors of the writer.
pub fn write(out: &mut dyn Write, results: &[RunResult]) -> io::Result<()> {
    let count = |status| results.iter().filter(|result| result.status() == status).count();
    let totals = format!(
        r#"tests="{}" failures="{}" errors="{}" time="{}""#,
        results.len(),
        count(Status::Failed),
        count(Status::Unusable),
        seconds(results.iter().map(|result| result.duration).sum()),
    );
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(out, r#"<testsuites name="regrow" {totals}>"#)?;
    writeln!(out, r#"  <testsuite name="scenarios" {totals}>"#)?;
    for result in results {
        write_case(out, result)?;
    }
    writeln!(out, "  </testsuite>")?;
    writeln!(out, "</testsuites>")
}

fn write_case(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    let file = result.file.display().to_string();
    let name = match &result.outcome {
        FileOutcome::Ran { name, .. } => name,
        FileOutcome::Unusable(_) => &file,
    };
    write!(
        out,
        r#"    <testcase classname="{file}" name="{}" file="{file}" time="{}""#,
        attribute(name),
        seconds(result.duration),
        file = attribute(&file),
    )?;
    let (element, message, detail) = match &result.outcome {
        FileOutcome::Ran { outcome, .. } => match outcome.failures.first() {
            None => return writeln!(out, "/>"),
            Some(first) => {
                let message = format!("expected {}; seen {}", first.expected, first.seen);
                ("failure", message, terminal::failures(&result.file, &outcome.failures))
            }
        },
        FileOutcome::Unusable(problems) => {
            let message = problems.first().map(ToString::to_string).unwrap_or_default();
            let told = problems.iter().map(|problem| terminal::problem(&result.file, problem));
            ("error", message, told.collect::<String>())
        }
    };
    writeln!(out, ">")?;
    writeln!(out, r#"      <{element} message="{}">{}</{element}>"#, attribute(&message), escaped(&detail))?;
    writeln!(out, "    </testcase>")
}

fn seconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64())
}
