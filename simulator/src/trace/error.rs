//! The mistakes of a trace file.

use std::{fmt, io, path::PathBuf};

use super::reader::{HEADER, MAX_TRACE_LINE, MAX_TRACE_NAMES, MAX_TRACE_ROWS, MAX_TRACE_SIZE, MAX_TRACE_TIME};
use crate::scenario::MAX_NAME_LENGTH;

/// The first mistake of a trace file, with its place.
#[derive(Debug, thiserror::Error)]
pub struct TraceError {
    /// The file.
    pub file: PathBuf,
    /// The line of the mistake, from 1. Not set if the mistake concerns the whole file.
    pub line: Option<u32>,
    /// The mistake.
    pub mistake: TraceMistake,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.mistake)
    }
}

/// A mistake of a trace file, and its remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceMistake {
    /// The file cannot be opened or read.
    #[error("the file cannot be read: {0}")]
    Unreadable(io::Error),
    /// The path is a folder, a pipe or a device.
    #[error("the path is not a file")]
    NotAFile,
    /// The file is larger than [`MAX_TRACE_SIZE`].
    #[error("the file is too large: a trace has at most {MAX_TRACE_SIZE} bytes; cut it into parts")]
    TooLarge,
    /// The file has more rows than [`MAX_TRACE_ROWS`].
    #[error("the file has too many rows: a trace has at most {MAX_TRACE_ROWS}; cut it into parts")]
    TooManyRows,
    /// The file has more names than [`MAX_TRACE_NAMES`].
    #[error("the file has too many names: a trace has at most {MAX_TRACE_NAMES}")]
    TooManyNames,
    /// A line is longer than [`MAX_TRACE_LINE`].
    #[error("the line is too long: a line has at most {MAX_TRACE_LINE} bytes")]
    LineTooLong,
    /// A line is not UTF-8.
    #[error("the line is not UTF-8 text")]
    NotUtf8,
    /// The first line is not the header.
    #[error("the first line has to be `{HEADER}`, found `{found}`")]
    NoHeader {
        /// The first line.
        found: String,
    },
    /// A row does not have four columns.
    #[error("a row has the four columns `{HEADER}`, found {found}")]
    Columns {
        /// The number of columns.
        found: usize,
    },
    /// The time is not a whole number within its limit.
    #[error("the time is a whole number of seconds from 0 to {MAX_TRACE_TIME}, found `{found}`")]
    Time {
        /// The text in the column.
        found: String,
    },
    /// The time is before the time of the row before.
    #[error("the time goes back from {before} to {time}; sort the rows by time")]
    TimeGoesBack {
        /// The time of this row.
        time: u64,
        /// The time of the row before.
        before: u64,
    },
    /// The event is unknown.
    #[error("unknown event `{found}`; the events are join, leave and message")]
    UnknownEvent {
        /// The text in the column.
        found: String,
    },
    /// A name is empty, too long, or has characters that a name cannot have.
    #[error(
        "`{found}` in the column `{column}` is not a name: a name has 1 to {MAX_NAME_LENGTH} characters, without \
         spaces, quotes and control characters"
    )]
    Name {
        /// The column.
        column: &'static str,
        /// The text in the column.
        found: String,
    },
    /// A member joins that is in the group already.
    #[error("`{member}` joins, but is a member already; add its leave before this row")]
    JoinOfMember {
        /// The member.
        member: String,
    },
    /// Somebody leaves who is not in the group.
    #[error("`{member}` leaves, but is not a member; add its join before this row")]
    LeaveOfNonMember {
        /// The name that leaves.
        member: String,
    },
    /// Somebody sends a message who is not in the group.
    #[error("`{member}` sends a message, but is not a member; add its join before this row")]
    MessageOfNonMember {
        /// The name that sends.
        member: String,
    },
    /// A trace without rows cannot be replayed.
    #[error("the trace has no rows, so there is no group")]
    Empty,
    /// A change removes all members, so nobody can commit it.
    #[error("the change that begins here removes all members; one member has to stay and commit it")]
    EmptiesTheGroup,
    /// A member cannot be a device of the engine.
    #[error("{problem}")]
    NotADevice {
        /// The name.
        name: String,
        /// The rule that the name breaks, in a sentence with the name.
        problem: String,
    },
    /// A message has another author than its member.
    #[error("a message of `{member}` has `{by}` in the column `by`; leave the column empty, or name the sender")]
    MessageByAnother {
        /// The sender.
        member: String,
        /// The name in the column `by`.
        by: String,
    },
}
