//! The problems of a scenario file, and their positions.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// The largest number of problems that are reported for one file. If a file has more, most of them
/// have the same cause.
pub const MAX_PROBLEMS: usize = 50;

/// A position in a file; both numbers start from 1. Columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// One problem of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileProblem {
    /// The position of the problem. Not set if the file could not be read at all.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// The field path, such as `steps[3].send.by`. Empty if the problem concerns the whole file.
    pub field: String,
    /// The problem and, if it is known, the remedy.
    pub problem: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)
    }
}

/// A file that cannot be run, with all of its problems in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be used: {}", file.display(), told(problems))]
pub struct Unusable {
    /// The file.
    pub file: PathBuf,
    /// At least one problem, and at most [`MAX_PROBLEMS`].
    pub problems: Vec<FileProblem>,
}

fn told(problems: &[FileProblem]) -> String {
    problems.iter().map(FileProblem::to_string).collect::<Vec<_>>().join("; ")
}
