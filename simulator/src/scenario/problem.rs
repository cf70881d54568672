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
    /// The path of the field in the JSON document, such as `steps[3].send.by`. Its indices begin with
    /// 0. Empty if the problem concerns the whole file.
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
            write!(f, "{}: ", for_people(&self.field))?;
        }
        f.write_str(&self.problem)
    }
}

/// A field path for people, who count from 1: `steps[4].repeat.steps[1].create.with[2]` is
/// `step 5.2, create.with, item 3`.
fn for_people(path: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    // The fields after the last part, and true if that part is a step.
    let (mut fields, mut in_step) = (String::new(), false);
    for segment in path.split('.') {
        let index = segment.strip_suffix(']').and_then(|segment| segment.rsplit_once('['));
        let (name, index) = match index.and_then(|(name, index)| Some((name, index.parse::<u64>().ok()?))) {
            Some((name, index)) => (name, Some(index + 1)),
            None => (segment, None),
        };
        let is_step = ["steps", "race"].contains(&name) && index.is_some();
        if is_step && in_step && ["", "repeat"].contains(&fields.as_str()) {
            fields.clear();
            if let (Some(step), Some(index)) = (parts.last_mut(), index) {
                *step += &format!(".{index}");
            }
            continue;
        }
        if !is_step {
            fields += if fields.is_empty() { "" } else { "." };
            fields += name;
        }
        if let Some(index) = index {
            parts.extend(Some(std::mem::take(&mut fields)).filter(|fields| !fields.is_empty()));
            parts.push(format!("{} {index}", if is_step { "step" } else { "item" }));
            in_step = is_step;
        }
    }
    parts.extend(Some(fields).filter(|fields| !fields.is_empty()));
    parts.join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_count_from_one() {
        for (path, told) in [
            ("steps[2].compromise.who", "step 3, compromise.who"),
            ("steps[4].repeat.steps[1].create.with[2]", "step 5.2, create.with, item 3"),
            ("steps[1].repeat.steps[1].race[0].update.by", "step 2.2.1, update.by"),
            ("steps[4]", "step 5"),
            ("steps", "steps"),
            ("members[0]", "members, item 1"),
            ("group.padding", "group.padding"),
            ("base.steps[3].send.id", "base, step 4, send.id"),
            ("axes[0].paths[1]", "axes, item 1, paths, item 2"),
            ("", ""),
            ("steps[0].a[b]", "step 1, a[b]"),
        ] {
            assert_eq!(for_people(path), told);
        }
    }
}
