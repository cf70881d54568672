//! The syntaxes of scenario files. Each becomes JSON whose values know their places in the file.

use std::{borrow::Cow, ffi::OsStr, path::Path};

use super::{
    json::{Json, SourceText},
    jsonc,
    problem::{FileProblem, Position},
    yaml,
};

/// The endings of the names of scenario files.
pub const FILE_ENDINGS: [&str; 4] = ["json", "jsonc", "yaml", "yml"];

/// The syntax of a scenario file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// JSON with comments and trailing commas.
    Json,
    /// YAML 1.2.
    Yaml,
}

/// The text of a file as JSON.
#[derive(Debug)]
pub(crate) struct PlainText<'a> {
    written: &'a str,
    json: Cow<'a, str>,
    /// The places of the values, if the JSON is not the text of the file.
    positions: Option<Vec<(usize, Position)>>,
}

impl Syntax {
    /// The syntax of a file, by the ending of its name.
    pub(crate) fn of(file: &Path) -> Self {
        let ending = file.extension().and_then(OsStr::to_str).unwrap_or_default();
        if ["yaml", "yml"].contains(&ending) { Self::Yaml } else { Self::Json }
    }
}

impl<'a> PlainText<'a> {
    /// Turns the text of a file into JSON, or tells the first mistake in its syntax.
    pub(crate) fn of(written: &'a str, syntax: Syntax) -> Result<Self, FileProblem> {
        let whole = |problem: &str| {
            let position = Some(Position { line: 1, column: 1 });
            Err(FileProblem { position, field: String::new(), problem: problem.to_owned() })
        };
        match syntax {
            Syntax::Json => {
                let json = jsonc::without_comments(written).map_err(|open| FileProblem {
                    position: Some(SourceText::end_of(written.get(..open.offset).unwrap_or_default())),
                    field: String::new(),
                    problem: "this comment has no end; add `*/`".to_owned(),
                })?;
                Ok(Self { written, json, positions: None })
            }
            Syntax::Yaml if written.starts_with('\u{feff}') => {
                whole("the file begins with a byte order mark; save it as UTF-8 without one")
            }
            Syntax::Yaml => {
                let file = yaml::read(written)?;
                if file.json.is_empty() {
                    return whole("the file is empty; a scenario is an object");
                }
                Ok(Self { written, json: Cow::Owned(file.json), positions: Some(file.positions) })
            }
        }
    }

    /// Checks the syntax of the JSON, and returns it with its only value.
    pub(crate) fn open(&self) -> Result<(SourceText<'_>, Json<'_>), FileProblem> {
        match &self.positions {
            None => SourceText::open_written(&self.json, self.written),
            Some(positions) => SourceText::open_converted(&self.json, positions),
        }
    }

    /// The JSON itself.
    pub(crate) fn json(&self) -> &str {
        &self.json
    }
}
