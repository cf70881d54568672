//! Standard output and error as this program uses them.

use std::{
    fs::File,
    io::{self, BufWriter, ErrorKind, IsTerminal as _, Write},
    path::Path,
};

use anyhow::{Context as _, Result};
use regrow_simulator::report::terminal::Abilities;

/// Standard output. When nobody reads it any more the rest is dropped without a word, and the work goes on: its exit
/// status and its files are still wanted.
pub(super) fn stdout() -> impl Write {
    Patient { out: io::stdout(), closed: false }
}

/// What standard output can show, and the user wants to see.
pub(super) fn abilities() -> Abilities {
    let live = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    // https://no-color.org: set to anything but nothing.
    let colours = live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Abilities { colours, live }
}

/// Writes to standard error. That there is none is no reason to stop.
pub(super) fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Makes a file that was asked for, before the work: a path that cannot be written is told at once, and not after it.
pub(super) fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| {
        format!("cannot write {}: name a file in a folder that exists and is yours", path.display())
    })?;
    Ok(BufWriter::new(file))
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
