//! JSON values that know their position in the file.
//!
//! A value is a slice of the text, and its position in the file follows from the start of the slice. `serde_json` checks
//! the syntax of the whole text before the first value is used. Then it reads one level at a time.
//! Nothing here recurses, so that no nesting is too deep.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::{FileProblem, Position};

/// The text of which all values are slices, with their places in the file.
#[derive(Debug)]
pub(crate) struct SourceText<'a> {
    text: &'a str,
    places: Places<'a>,
}

/// The places of the values.
#[derive(Debug)]
enum Places<'a> {
    /// The file has each value at the same offset as the text.
    Written(Lines<'a>),
    /// The text was converted. The list has the offset of each value, and its position in the file.
    Converted(&'a [(usize, Position)]),
}

/// The text of a file, with the starts of its lines.
#[derive(Debug)]
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

/// One value of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<'a>(&'a str);

/// One field of an object.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: Cow<'a, str>,
    /// The name as it is in the file.
    pub(crate) key: Json<'a>,
    pub(crate) value: Json<'a>,
}

impl<'a> SourceText<'a> {
    /// Checks the syntax of the text, and returns it with its only value.
    pub(crate) fn open(text: &'a str) -> Result<(Self, Json<'a>), FileProblem> {
        Self::open_written(text, text)
    }

    /// Checks the syntax of a JSON text. The written text has each value at the same offset.
    pub(super) fn open_written(text: &'a str, written: &'a str) -> Result<(Self, Json<'a>), FileProblem> {
        let lines = Lines::of(written);
        let start = Some(Position { line: 1, column: 1 });
        let whole =
            |problem: &str| Err(FileProblem { position: start, field: String::new(), problem: problem.to_owned() });
        if text.starts_with('\u{feff}') {
            return whole("the file begins with a byte order mark; save it as UTF-8 without one");
        }
        if text.trim().is_empty() {
            return whole("the file is empty; a scenario is a JSON object");
        }
        match serde_json::from_str::<&RawValue>(text) {
            Ok(value) => Ok((Self { text, places: Places::Written(lines) }, Json(value.get()))),
            Err(error) => Err(lines.syntax_problem(&error)),
        }
    }

    /// Opens a JSON text that was converted from another syntax, with the position of each value.
    pub(super) fn open_converted(
        text: &'a str,
        positions: &'a [(usize, Position)],
    ) -> Result<(Self, Json<'a>), FileProblem> {
        let value = serde_json::from_str::<&RawValue>(text).map_err(|error| Lines::of(text).syntax_problem(&error))?;
        Ok((Self { text, places: Places::Converted(positions) }, Json(value.get())))
    }

    /// The position of a text's end.
    pub(crate) fn end_of(text: &'a str) -> Position {
        Lines::of(text).position(text.len())
    }

    /// The position at which a value of this text begins. The cost grows with the length of the
    /// line, so this is for problems only, and not for every value.
    pub(crate) fn position(&self, value: Json<'a>) -> Position {
        let offset = self.offset(value);
        match &self.places {
            Places::Written(lines) => lines.position(offset),
            Places::Converted(positions) => converted(positions, offset),
        }
    }

    /// The line in which a value of this text begins.
    pub(crate) fn line(&self, value: Json<'a>) -> u32 {
        let offset = self.offset(value);
        match &self.places {
            Places::Written(lines) => count(lines.line(offset)),
            Places::Converted(positions) => converted(positions, offset).line,
        }
    }

    fn offset(&self, value: Json<'a>) -> usize {
        value.0.as_ptr().addr().saturating_sub(self.text.as_ptr().addr())
    }
}

/// The position of the last value that begins at this offset or before it.
fn converted(positions: &[(usize, Position)], offset: usize) -> Position {
    let after = positions.partition_point(|(start, _)| *start <= offset);
    positions.get(after.saturating_sub(1)).map_or(Position { line: 1, column: 1 }, |(_, position)| *position)
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        Self { text, starts: starts.collect() }
    }

    fn syntax_problem(&self, error: &serde_json::Error) -> FileProblem {
        let line = error.line().max(1);
        // The library counts bytes. Its column 0 is the end of the line before.
        let start = self.starts.get(line - 1).copied().unwrap_or(self.text.len());
        let offset = (start + error.column().saturating_sub(1)).min(self.text.len());
        let told = error.to_string();
        let told = told.rsplit_once(" at line ").map_or(told.as_str(), |(what, _)| what);
        FileProblem {
            position: Some(self.position(offset)),
            field: String::new(),
            problem: format!("this is not JSON: {told}"),
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    fn position(&self, offset: usize) -> Position {
        let line = self.line(offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        // An error of the library can be inside of a character.
        let before = self.text.as_bytes().get(start..offset).unwrap_or_default();
        let characters = before.iter().filter(|byte| !matches!(byte, 0x80..=0xbf)).count();
        Position { line: count(line), column: count(characters + 1) }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl<'a> Json<'a> {
    /// The kind of the value, as a part of a sentence.
    pub(crate) fn kind(self) -> &'static str {
        match self.0.as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "a text",
            Some(b't' | b'f') => "true or false",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    /// The elements, if the value is a list.
    pub(crate) fn elements(self) -> Option<Vec<Self>> {
        let elements: Vec<&'a RawValue> = serde_json::from_str(self.0).ok()?;
        Some(elements.into_iter().map(|element| Json(element.get())).collect())
    }

    /// The fields, if the value is an object: in the order of the file, and each as often as it
    /// occurs.
    pub(crate) fn entries(self) -> Option<Vec<Entry<'a>>> {
        serde_json::from_str::<Entries<'a>>(self.0).ok().map(|entries| entries.0)
    }

    /// The text, if the value is one. An escape sequence may be half a character, which is an
    /// error.
    pub(crate) fn text(self) -> Option<Result<String, serde_json::Error>> {
        self.0.starts_with('"').then(|| serde_json::from_str(self.0))
    }

    /// The number, if the value is a whole number that is not negative and not too large.
    pub(crate) fn number(self) -> Option<u64> {
        serde_json::from_str(self.0).ok()
    }

    /// The number as it is written, if the value is a number.
    pub(super) fn digits(self) -> Option<&'a str> {
        (self.kind() == "a number").then_some(self.0)
    }

    /// The truth value, if the value is one.
    pub(crate) fn truth(self) -> Option<bool> {
        serde_json::from_str(self.0).ok()
    }

    /// The whole value. `None` if it has more levels or larger numbers than `serde_json` reads.
    pub(crate) fn value(self) -> Option<serde_json::Value> {
        serde_json::from_str(self.0).ok()
    }

    /// The value at a path such as `steps[3].send.by` below this value. If it does not exist,
    /// returns the nearest value above it.
    pub(crate) fn locate(self, path: &str) -> Self {
        let mut here = self;
        for segment in path.split(['.', '[']) {
            let next = match segment.strip_suffix(']').map(str::parse) {
                // One name may replace a list. Then `who[0]` is `who`.
                Some(Ok(index)) => here.elements().and_then(|list: Vec<Self>| list.get::<usize>(index).copied()),
                _ => here
                    .entries()
                    .and_then(|entries| entries.iter().find(|entry| entry.name == segment).map(|entry| entry.value)),
            };
            match next {
                Some(value) => here = value,
                None => break,
            }
        }
        here
    }
}

/// The fields of an object, without losses: a map would keep only one of two fields with one name.
struct Entries<'a>(Vec<Entry<'a>>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            // A name with half a character in an escape sequence cannot be decoded. It is unknown,
            // and is reported as it is in the file.
            let name = serde_json::from_str(key.get()).map_or(Cow::Borrowed(key.get()), Cow::Owned);
            entries.push(Entry { name, key: Json(key.get()), value: Json(value.get()) });
        }
        Ok(Entries(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_knows_its_line_and_column() {
        let text = "{\n  \"é\": [1,\n  {\"by\": \"bob\"}]\n}";
        let (source, root) = SourceText::open(text).unwrap();
        assert_eq!(source.position(root), Position { line: 1, column: 1 });
        assert_eq!(source.position(root.locate("é[0]")), Position { line: 2, column: 9 });
        assert_eq!(source.position(root.locate("é[1].by")), Position { line: 3, column: 10 });
    }

    #[test]
    fn missing_path_gives_the_nearest_existing_value() {
        let (source, root) = SourceText::open(r#"{"add": {"who": "bob"}}"#).unwrap();
        assert_eq!(source.position(root.locate("add.who[0]")), Position { line: 1, column: 17 });
    }

    #[test]
    fn repeated_fields_are_all_kept() {
        let (_, root) = SourceText::open(r#"{"a": 1, "a": 2}"#).unwrap();
        assert_eq!(root.entries().unwrap().len(), 2);
    }

    #[test]
    fn hundred_thousand_levels_can_be_read() {
        let text = "[".repeat(100_000) + &"]".repeat(100_000);
        let (_, root) = SourceText::open(&text).unwrap();
        assert_eq!(root.elements().unwrap().len(), 1);
    }
}
