//! Results for a person: a line of figures for each file, all failures in full, and a summary.
//!
//! The command decides if there are colours.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use super::{
    result::{CompromiseFigures, Failure, Figures, FileOutcome, RunResult, Status, Warning},
    titles::Titles,
};
use crate::scenario::{FileProblem, Place};

/// The length of the longest name with which the others are aligned. A longer name moves its own
/// figures to the right.
const WIDEST_NAME: usize = 60;

/// A note that is printed once, below the figures of thieves.
const METHOD: &str = "exposed, healed after: computed from the stolen bytes and the traffic. A scenario fails if RFC \
                      9420 predicts other values.";

/// Writes the results of a run as they arrive.
pub struct Terminal<'w> {
    out: &'w mut dyn Write,
    colours: bool,
    titles: Titles,
    name_width: usize,
    counts: FileCounts,
    /// The number of scenarios with warnings.
    doubtful: usize,
    stolen: bool,
}

/// The number of files with each result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// The number of files in which all expectations held.
    pub passed: usize,
    /// The number of files in which an expectation did not hold.
    pub failed: usize,
    /// The number of files that could not be run.
    pub unusable: usize,
}

impl FileCounts {
    /// Counts one more file.
    pub fn add(&mut self, status: Status) {
        match status {
            Status::Passed => self.passed += 1,
            Status::Failed => self.failed += 1,
            Status::Unusable => self.unusable += 1,
        }
    }
}

impl<'w> Terminal<'w> {
    /// Begins a report on scenarios with these titles. An unusable file has its path instead of a
    /// title.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn begin(out: &'w mut dyn Write, colours: bool, titles: Titles) -> io::Result<Self> {
        let name_width = titles.widest().min(WIDEST_NAME);
        writeln!(
            out,
            "{:8}  {:name_width$}  {}",
            "",
            "",
            columns("members", "epochs", "messages", "exposed", "healed after")
        )?;
        let counts = FileCounts::default();
        Ok(Self { out, colours, titles, name_width, counts, doubtful: 0, stolen: false })
    }

    /// Writes one result with its failures. The problems of an unusable file are reported
    /// elsewhere.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn result(&mut self, result: &RunResult) -> io::Result<()> {
        let status = result.status();
        self.counts.add(status);
        let verdict = self.coloured(status);
        match &result.outcome {
            FileOutcome::Unusable(_) => writeln!(self.out, "{verdict}  {}", result.file.display())?,
            FileOutcome::Ran { name, outcome, .. } => {
                let (width, title) = (self.name_width, self.titles.title(name, &result.file));
                self.stolen |= !outcome.figures.compromises.is_empty();
                self.doubtful += usize::from(!outcome.warnings.is_empty());
                writeln!(self.out, "{verdict}  {:width$}  {}", plain(&title), figures(&outcome.figures))?;
                write!(self.out, "{}", failures(&result.file, &outcome.failures))?;
                write!(self.out, "{}", warnings(&result.file, &outcome.warnings))?;
                write!(self.out, "{}", stolen_key_packages(&result.file, &outcome.figures.compromises))?;
            }
        }
        self.out.flush()
    }

    /// Writes the summary. `not_run` is the number of files that did not run to their end.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn end(self, duration: Duration, not_run: usize) -> io::Result<()> {
        let FileCounts { passed, failed, unusable } = self.counts;
        let seconds = duration.as_secs_f64();
        writeln!(self.out)?;
        if self.stolen {
            writeln!(self.out, "{METHOD}")?;
        }
        match self.doubtful {
            0 => {}
            1 => writeln!(self.out, "1 scenario has warnings; with --strict it fails")?,
            count => writeln!(self.out, "{count} scenarios have warnings; with --strict they fail")?,
        }
        let not_run = if not_run > 0 { format!(", {not_run} not run") } else { String::new() };
        writeln!(self.out, "{passed} passed, {failed} failed, {unusable} unusable{not_run} in {seconds:.1} s")?;
        self.out.flush()
    }

    fn coloured(&self, status: Status) -> String {
        let (word, colour) = match status {
            Status::Passed => ("passed", 32),
            Status::Failed => ("FAILED", 31),
            Status::Unusable => ("UNUSABLE", 31),
        };
        let padded = format!("{word:8}");
        if self.colours { format!("\x1b[{colour}m{padded}\x1b[0m") } else { padded }
    }
}

fn columns(members: &str, epochs: &str, messages: &str, exposed: &str, healed: &str) -> String {
    format!("{members:>7}  {epochs:>6}  {messages:>8}  {exposed:>7}  {healed:>12}")
}

fn figures(figures: &Figures) -> String {
    let stolen = !figures.compromises.is_empty();
    let exposed = if stolen { figures.exposed.to_string() } else { "-".to_owned() };
    let healed = if stolen { healed_after(&figures.compromises) } else { "-".to_owned() };
    columns(&figures.members.to_string(), &figures.epochs.to_string(), &figures.messages.to_string(), &exposed, &healed)
}

/// The longest healing time. A group has not healed while one thief has secrets of the present
/// epoch.
fn healed_after(compromises: &[CompromiseFigures]) -> String {
    let slowest = compromises.iter().try_fold(0, |slowest: u64, figures| Some(slowest.max(figures.healed_after?)));
    match slowest {
        Some(1) => "1 epoch".to_owned(),
        Some(epochs) => format!("{epochs} epochs"),
        None => "not healed".to_owned(),
    }
}

/// Returns all failures in full. Events that several failures share come once, after the last of
/// them.
#[must_use]
pub fn failures(file: &Path, failures: &[Failure]) -> String {
    let mut told = String::new();
    for (index, one) in failures.iter().enumerate() {
        let last = failures.get(index + 1).is_none_or(|next| next.events != one.events);
        told += &failure(file, one, last);
    }
    told
}

/// Returns a failure in full: its place, the expected and the seen fact, and the events before it.
fn failure(file: &Path, failure: &Failure, events: bool) -> String {
    let mut told = place(file, failure.place.as_ref());
    // Writing to a String cannot fail.
    let _ = writeln!(told, "      expected  {}", plain(&failure.expected));
    let _ = writeln!(told, "      seen      {}", plain(&failure.seen));
    for (index, event) in failure.events.iter().filter(|_| events).enumerate() {
        let label = if index == 0 { "events" } else { "" };
        let _ = writeln!(told, "      {label:8}  {}", plain(event));
    }
    told
}

/// Returns all warnings in full.
#[must_use]
pub fn warnings(file: &Path, warnings: &[Warning]) -> String {
    let mut told = String::new();
    for warning in warnings {
        told += &place(file, warning.place.as_ref());
        // Writing to a String cannot fail.
        let _ = writeln!(told, "      warning   {}", plain(&warning.seen));
        let _ = writeln!(told, "      remedy    {}", plain(&warning.remedy));
    }
    told
}

/// The stolen key packages of all thieves that open welcomes.
fn stolen_key_packages(file: &Path, thieves: &[CompromiseFigures]) -> String {
    let mut told = String::new();
    for thief in thieves {
        for stolen in &thief.key_packages {
            // Writing to a String cannot fail.
            let _ = writeln!(told, "    {}: the thief of {}", file.display(), plain(thief.id.as_str()));
            let _ = writeln!(told, "      note      {}", plain(&stolen.seen()));
            let _ = writeln!(told, "      remedy    {}", plain(&stolen.remedy()));
        }
    }
    told
}

/// The line with the place of a failure or a warning.
fn place(file: &Path, place: Option<&Place>) -> String {
    let file = file.display();
    match place {
        Some(Place { number, line, turn: Some(turn), .. }) => {
            format!("    {file}:{line}: step {number}, turn {turn}\n")
        }
        Some(Place { number, line, turn: None, .. }) => format!("    {file}:{line}: step {number}\n"),
        None => format!("    {file}: at the end\n"),
    }
}

/// A text as one line, without characters that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Returns a problem of an unusable file, in the format of compilers.
#[must_use]
pub fn problem(file: &Path, problem: &FileProblem) -> String {
    // There is no space after a position, so that editors jump to it.
    let space = if problem.position.is_some() { "" } else { " " };
    format!("{}:{space}{problem}\n", file.display())
}
