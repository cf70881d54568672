//! Standard output and error as this program uses them.

use std::io::{self, ErrorKind, IsTerminal as _, Write};

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
