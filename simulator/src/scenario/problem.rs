//! What is wrong with a scenario file, and where.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// How many problems of one file are told: whoever has more than these has one cause for most of them.
pub const MAX_PROBLEMS: usize = 50;

/// A place in a file, both from 1. Columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it is. Not set if the file could not be read at all.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// The field path, such as `steps[3].send.by`. Empty if it concerns the whole file.
    pub field: String,
    /// What is wrong and, where it is known, what would be right.
    pub problem: String,
}

impl fmt::Display for Problem {
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

/// A file that cannot be run, with everything that is wrong with it, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be used: {}", file.display(), told(problems))]
pub struct Unusable {
    /// The file.
    pub file: PathBuf,
    /// At least one problem, and at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}
