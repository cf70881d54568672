//! Reads names: one name, lists of names, and rows of numbered names.

use super::{
    describe::{Field, Kind, Object},
    fields::{At, FileReader, shown},
    name::{EVERYBODY, MAX_NAME_LENGTH, OTHERS, TURN},
    name_row::NameRow,
    parse::MAX_MEMBERS,
    turn::{has_turn, wrong_turn},
};

/// The largest number of names in the rows of one file: four rows of all members.
const MAX_ROW_NAMES: u64 = 4 * MAX_MEMBERS as u64;

/// The length of the longest text of a row, in bytes. Each of its names is a name.
const MAX_ROW_LENGTH: usize = MAX_NAME_LENGTH;

/// One name, a list of names, or a row of numbered names.
pub(super) const NAMES: &[Kind] = &[Kind::Name, Kind::NameList(1, MAX_MEMBERS), Kind::Object(&ROW)];

/// The same, and the empty list.
pub(super) const ANY_NAMES: &[Kind] = &[Kind::Name, Kind::NameList(0, MAX_MEMBERS), Kind::Object(&ROW)];

const ROW: Object = Object::new(&[
    Field::required("prefix", Kind::Name, "The start of each name: `m` gives m2, m3 and so on."),
    Field::required("from", Kind::Number(1, MAX_MEMBERS as u64), "The first number."),
    Field::required("to", Kind::Number(1, MAX_MEMBERS as u64), "The last number."),
])
.about("A row of numbered names.");

impl<'a> FileReader<'a> {
    /// Reads a name: a text without white space, not too long, and without `{i}` outside of
    /// `repeat`.
    pub(crate) fn name(&mut self, at: &At<'a>) -> Option<String> {
        let name = self.text(at)?;
        let problem = if name.is_empty() {
            "expected a name, found an empty text".to_owned()
        } else if name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}') {
            format!("a name has no spaces and no control characters: `{}`", shown(&name))
        } else if name.chars().count() > MAX_NAME_LENGTH {
            format!("a name has at most {MAX_NAME_LENGTH} characters")
        } else if has_turn(&name) && !self.in_repeat {
            format!("`{TURN}` is the number of a turn, which only the steps inside `repeat` have")
        } else if let Some(wrong) = wrong_turn(&name).filter(|_| self.in_repeat) {
            let known = "`{i}`, `{i+10}`, `{i-1}`, `{i*2}` and `{i*2+1}`, with at most seven digits";
            format!("`{}` is no number of a turn; known are {known}", shown(wrong))
        } else if let Some(Ok(row)) = NameRow::read(&name) {
            format!("expected one name, found a row of {}", row.len())
        } else {
            return Some(name);
        };
        self.note(at, problem);
        None
    }

    /// Reads one name, a list of names, or a row of numbered names: each name at most once.
    pub(crate) fn names(&mut self, at: &At<'a>, may_be_empty: bool) -> Option<Vec<String>> {
        match at.elements() {
            None if at.json.text().is_some() => Some(self.distinct(std::slice::from_ref(at))?.1),
            None if at.json.kind() == "an object" => self.numbered(at),
            None => {
                self.wrong_type(at, "a name or a list of names");
                None
            }
            Some(elements) if elements.is_empty() && !may_be_empty => {
                self.note(at, "expected at least one name, found an empty list");
                None
            }
            Some(elements) => Some(self.distinct(&elements)?.1),
        }
    }

    /// Reads a row of numbered names, such as m2 to m100.
    fn numbered(&mut self, at: &At<'a>) -> Option<Vec<String>> {
        let fields = self.described(at.clone(), &ROW)?;
        let prefix = fields.get("prefix").and_then(|at| self.name(&at));
        let (from, to) = (fields.number(self, "from"), fields.number(self, "to"));
        let (prefix, from, to) = (prefix?, from?, to?);
        if from > to {
            self.note(at, format!("expected `from` not above `to`, found {from} and {to}"));
            return None;
        }
        self.counts(at, to - from + 1)?;
        Some((from..=to).map(|number| format!("{prefix}{number}")).collect())
    }

    /// Notes a row with which the rows of the file have too many names. A small file with many large
    /// rows could fill the memory.
    fn counts(&mut self, at: &At<'a>, names: u64) -> Option<()> {
        self.row_names += names;
        if self.row_names > MAX_ROW_NAMES {
            self.note(
                at,
                format!("the rows of a file have at most {MAX_ROW_NAMES} names; use `{EVERYBODY}` or `{OTHERS}`"),
            );
            return None;
        }
        Some(())
    }

    /// Reads names and rows, each name at most once. Reads all of them, even after a wrong one. The
    /// first list has the index of the element from which each name comes.
    pub(crate) fn distinct(&mut self, elements: &[At<'a>]) -> Option<(Vec<usize>, Vec<String>)> {
        let mut seen = std::collections::BTreeSet::new();
        let mut indexes = Vec::with_capacity(elements.len());
        let mut names = Vec::with_capacity(elements.len());
        let mut is_right = true;
        for (index, element) in elements.iter().enumerate() {
            let Some(row) = self.name_or_row(element) else {
                is_right = false;
                continue;
            };
            for name in row {
                // A row by itself has each name once.
                if elements.len() > 1 && !seen.insert(name.clone()) {
                    self.note(element, format!("`{name}` occurs twice in one list"));
                    is_right = false;
                    break;
                }
                indexes.push(index);
                names.push(name);
            }
        }
        is_right.then_some((indexes, names))
    }

    /// Reads a name, or the names of a row such as `m2..m10`. Inside of a `repeat`, the numbers of a
    /// row can depend on the turn.
    fn name_or_row(&mut self, at: &At<'a>) -> Option<Vec<String>> {
        let text = at.json.text().and_then(Result::ok).unwrap_or_default();
        match NameRow::read(&text) {
            None => self.name(at).map(|name| vec![name]),
            Some(Ok(row))
                if text.chars().any(|c| c.is_whitespace() || c.is_control()) || text.len() > MAX_ROW_LENGTH =>
            {
                self.note(
                    at,
                    format!("a row of {} names has no spaces, and at most {MAX_ROW_LENGTH} bytes", row.len()),
                );
                None
            }
            Some(Ok(row)) => {
                self.counts(at, row.len())?;
                Some(row.names().collect())
            }
            Some(Err(problem)) => {
                self.note(at, problem);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::json::SourceText;

    #[test]
    fn rows_of_a_file_are_limited_together() {
        let (source, json) = SourceText::open(r#"["m1..m9", "n1..n9"]"#).unwrap();
        let mut reader = FileReader::new(source);
        reader.row_names = MAX_ROW_NAMES - 10;
        assert_eq!(reader.names(&At { json, path: String::new() }, false), None);
        let told = "the rows of a file have at most 4000000 names; use `everybody` or `others`";
        assert_eq!((&*reader.problems[0].field, &*reader.problems[0].problem), ("[1]", told));
    }
}
