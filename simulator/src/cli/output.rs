//! Standard output and standard error of this program.

use std::{
    io::{self, ErrorKind, IsTerminal as _, Write},
    path::Path,
};

use anyhow::{Context as _, Result};
use regrow_simulator::{
    report::terminal,
    scenario::FileProblem,
    whole_file::{self, WholeFile},
};

use super::args::Colour;

/// Returns standard output. If the reader closes it, the program drops the rest of the output and
/// continues, because the user still wants its exit status and its files.
pub(super) fn stdout() -> impl Write {
    Patient { out: io::stdout(), closed: false }
}

/// True if standard output is a terminal on which a line can be overwritten.
pub(super) fn is_live() -> bool {
    io::stdout().is_terminal() && !is_dumb()
}

/// True if standard output gets colours.
pub(super) fn has_colours(asked: Colour) -> bool {
    match asked {
        Colour::Always => true,
        Colour::Never => false,
        // https://no-color.org: colours are off if the variable is set to a value that is not empty.
        Colour::Auto => is_live() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// A line on standard error that shows the progress of a long run. It appears only on a terminal.
pub(super) struct StatusLine {
    live: bool,
    shown: bool,
}

impl StatusLine {
    pub(super) fn new() -> Self {
        Self { live: io::stderr().is_terminal() && !is_dumb(), shown: false }
    }

    /// True if somebody sees the line.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Shows the text in place of the text before.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        if self.live {
            complain(&format!("{ERASE_LINE}{NO_WRAP}{}{WRAP}", text()));
            self.shown = true;
        }
    }

    /// Clears the line for other output.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            complain(ERASE_LINE);
        }
    }
}

/// Goes to the start of the line, and erases it.
const ERASE_LINE: &str = "\r\x1b[K";

/// Cuts a long line off at the edge of the terminal, so that the next text erases all of it.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Writes to standard error. An error is ignored: the program can run without standard error.
pub(super) fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes the problems of a file to standard error.
pub(super) fn complain_about(file: &Path, problems: &[FileProblem]) {
    problems.iter().for_each(|problem| complain(&terminal::problem(file, problem)));
}

/// Begins an output file before the work starts, so that an unusable path fails at once.
pub(super) fn create(path: &Path) -> Result<WholeFile> {
    WholeFile::create(path).with_context(|| unwritable(path))
}

/// Checks an output file before the work starts. [`write()`] writes it after the work.
pub(super) fn check(path: &Path) -> Result<()> {
    whole_file::check(path).with_context(|| unwritable(path))
}

/// Writes an output file. It is whole, or it has its old content.
pub(super) fn write(path: &Path, what: &str, content: impl FnOnce(&mut WholeFile) -> io::Result<()>) -> Result<()> {
    let mut file = create(path)?;
    let written = content(&mut file).and_then(|()| file.finish());
    written.with_context(|| format!("cannot write {what} to {}", path.display()))
}

fn unwritable(path: &Path) -> String {
    format!("cannot write {}: name a file in a folder that exists and is yours", path.display())
}

struct Patient<W> {
    out: W,
    closed: bool,
}

impl<W: Write> Patient<W> {
    fn unless_closed<T>(&mut self, otherwise: T, write: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if self.closed {
            return Ok(otherwise);
        }
        match write(&mut self.out) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(otherwise)
            }
            result => result,
        }
    }
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_closed(bytes.len(), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), W::flush)
    }
}
