//! Reads the fields of an object. Each field has a decoder, and every problem is noted with its
//! place.
//!
//! A decoder returns `None` after it has noted a problem. Then the reading continues, so that the
//! author of a file sees all problems at once.

use std::time::Duration;

use super::{
    json::{Entry, Json, SourceText},
    problem::{FileProblem, MAX_PROBLEMS},
    step::{MAX_WAIT, duration},
    word::Word,
};
use crate::churn::{Decimal, Rate};

/// The state of the reader while it reads a file.
#[derive(Debug)]
pub(crate) struct FileReader<'a> {
    pub(crate) source: SourceText<'a>,
    pub(crate) problems: Vec<FileProblem>,
    /// True if names may contain `{i}` here.
    pub(crate) in_repeat: bool,
    /// True if the steps here belong to a race.
    pub(crate) in_race: bool,
    /// The number of names in all rows so far.
    pub(super) row_names: u64,
}

/// A value, and the path to it.
#[derive(Clone, Debug)]
pub(crate) struct At<'a> {
    pub(crate) json: Json<'a>,
    pub(crate) path: String,
}

/// An object whose fields are read one by one.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    at: At<'a>,
    entries: Vec<Entry<'a>>,
}

impl<'a> At<'a> {
    /// The elements, if the value is a list.
    pub(crate) fn elements(&self) -> Option<Vec<At<'a>>> {
        let elements = self.json.elements()?.into_iter().enumerate();
        Some(elements.map(|(index, json)| At { json, path: format!("{}[{index}]", self.path) }).collect())
    }

    fn field(&self, name: &str, json: Json<'a>) -> Self {
        let path = if self.path.is_empty() { shown(name) } else { format!("{}.{}", self.path, shown(name)) };
        At { json, path }
    }
}

impl<'a> FileReader<'a> {
    /// A reader at the start of a text, without problems.
    pub(crate) fn new(source: SourceText<'a>) -> Self {
        Self { source, problems: Vec::new(), in_repeat: false, in_race: false, row_names: 0 }
    }

    pub(crate) fn note(&mut self, at: &At<'a>, problem: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            let position = Some(self.source.position(at.json));
            self.problems.push(FileProblem { position, field: at.path.clone(), problem: problem.into() });
        }
    }

    pub(super) fn wrong_type(&mut self, at: &At<'a>, expected: &str) {
        self.note(at, format!("expected {expected}, found {}", at.json.kind()));
    }

    /// Reads an object that has only known fields, each at most once.
    pub(crate) fn object(&mut self, at: At<'a>, known: &[&str]) -> Option<Fields<'a>> {
        let fields = self.any_object(at)?;
        self.refuse_others(&fields, known);
        Some(fields)
    }

    /// Notes every field that is not known.
    pub(crate) fn refuse_others(&mut self, fields: &Fields<'a>, known: &[&str]) {
        for entry in &fields.entries {
            if !known.contains(&&*entry.name) {
                let told = unknown("field", &entry.name, known);
                self.note(&fields.at.field(&entry.name, entry.key), told);
            }
        }
    }

    /// Reads an object with any fields, each at most once.
    pub(crate) fn any_object(&mut self, at: At<'a>) -> Option<Fields<'a>> {
        let Some(entries) = at.json.entries() else {
            self.wrong_type(&at, "an object");
            return None;
        };
        // An object of a scenario has at most a dozen fields, but an object of an attacker may have
        // more.
        let mut seen = std::collections::BTreeMap::new();
        for entry in &entries {
            let line = self.source.line(entry.key);
            if let Some(first) = seen.insert(entry.name.as_ref(), line) {
                self.note(
                    &at.field(&entry.name, entry.key),
                    format!("field `{}` occurs twice in one object; the first is in line {first}", shown(&entry.name)),
                );
            }
        }
        Some(Fields { at, entries })
    }

    /// Reads a text of one line: not empty, and without control characters.
    pub(crate) fn line(&mut self, at: &At<'a>) -> Option<String> {
        let text = self.text(at)?;
        if text.is_empty() {
            self.note(at, "expected a text, found an empty one");
            return None;
        }
        if text.contains(char::is_control) {
            self.note(at, "expected a text of one line, without control characters");
            return None;
        }
        Some(text)
    }

    /// Reads any text.
    pub(crate) fn text(&mut self, at: &At<'a>) -> Option<String> {
        match at.json.text() {
            Some(Ok(text)) => Some(text),
            Some(Err(error)) => {
                self.note(at, format!("this text cannot be decoded: {error}"));
                None
            }
            None => {
                self.wrong_type(at, "a text");
                None
            }
        }
    }

    /// Reads a whole number within limits, both included.
    pub(crate) fn number(&mut self, at: &At<'a>, least: u64, most: u64) -> Option<u64> {
        match at.json.number() {
            Some(number) if (least..=most).contains(&number) => Some(number),
            Some(number) => {
                self.note(at, format!("expected a number from {least} to {most}, found {number}"));
                None
            }
            None if at.json.kind() == "a number" => {
                self.note(at, format!("expected a whole number from {least} to {most}, without fraction or exponent"));
                None
            }
            None => {
                self.wrong_type(at, "a number");
                None
            }
        }
    }

    /// Reads a whole number within limits that fits into 32 bits.
    pub(crate) fn small_number(&mut self, at: &At<'a>, least: u32, most: u32) -> Option<u32> {
        self.number(at, least.into(), most.into()).and_then(|number| u32::try_from(number).ok())
    }

    /// Reads a decimal number: at most six decimal places, and no exponent.
    pub(super) fn decimal(&mut self, at: &At<'a>, least: Decimal, most: Decimal) -> Option<Decimal> {
        let Some(digits) = at.json.digits() else {
            self.wrong_type(at, "a number");
            return None;
        };
        let number = Decimal::parse(digits).filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let limits = format!("from {least} to {most}, with at most six decimal places");
            self.note(at, format!("expected a number {limits}, found {}", shown(digits)));
        }
        number
    }

    /// Reads a rate such as `30/d`.
    pub(super) fn rate(&mut self, at: &At<'a>) -> Option<Rate> {
        let text = self.text(at)?;
        let rate = Rate::parse(&text);
        if rate.is_none() {
            let expected = r#"expected a rate such as "30/d", "0.5/h", "2/m" or "1/s""#;
            self.note(at, format!("{expected}, found `{}`", shown(&text)));
        }
        rate
    }

    /// Reads a duration within limits.
    pub(super) fn duration(&mut self, at: &At<'a>, least: Duration) -> Option<Duration> {
        let text = self.text(at)?;
        let Some(duration) = duration(&text) else {
            self.note(at, r#"expected a duration such as "90s", "15m", "3h" or "7d""#);
            return None;
        };
        if duration < least || duration > MAX_WAIT {
            let days = MAX_WAIT.as_secs() / (24 * 60 * 60);
            let least = if least.is_zero() { "0 seconds" } else { "one second" };
            self.note(at, format!("this duration is at least {least} and at most {days} days"));
            return None;
        }
        Some(duration)
    }

    /// Reads true or false.
    pub(crate) fn truth(&mut self, at: &At<'a>) -> Option<bool> {
        let truth = at.json.truth();
        if truth.is_none() {
            self.wrong_type(at, "true or false");
        }
        truth
    }

    /// Reads a field that may only be true.
    pub(crate) fn just_true(&mut self, at: &At<'a>) -> Option<()> {
        match self.truth(at)? {
            true => Some(()),
            false => {
                self.note(at, "only true is allowed here; otherwise leave the field out");
                None
            }
        }
    }

    /// Reads one of the words of a type.
    pub(crate) fn word<T: Word>(&mut self, at: &At<'a>) -> Option<T> {
        let text = self.text(at)?;
        let found = T::WORDS.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
            self.note(at, unknown("value", &text, &known));
        }
        found
    }
}

impl<'a> Fields<'a> {
    /// The object itself.
    pub(crate) fn at(&self) -> &At<'a> {
        &self.at
    }

    /// The fields in the order of the file, each with its name as it is in the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, At<'a>, At<'a>)> {
        self.entries
            .iter()
            .map(|entry| (&*entry.name, self.at.field(&entry.name, entry.key), self.at.field(&entry.name, entry.value)))
    }

    /// Leaves a field out.
    pub(crate) fn leave_out(&mut self, name: &str) {
        self.entries.retain(|entry| entry.name != name);
    }

    /// Returns an optional field.
    pub(crate) fn get(&self, name: &str) -> Option<At<'a>> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        Some(self.at.field(name, entry.value))
    }

    /// Returns a required field, or notes that it is missing.
    pub(crate) fn required(&self, reader: &mut FileReader<'a>, name: &str) -> Option<At<'a>> {
        let field = self.get(name);
        if field.is_none() {
            reader.note(&self.at.field(name, self.at.json), format!("field `{name}` is missing"));
        }
        field
    }
}

/// The problem with an unknown name. It suggests the nearest known name, or lists all known names
/// if none is near.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{}`; did you mean `{near}`?", shown(name)),
        None => format!("unknown {what} `{}`; known are {}", shown(name), known.join(", ")),
    }
}

/// Makes a name from a file safe for a message: a terminal must not obey it, and it is not too
/// long.
pub(crate) fn shown(name: &str) -> String {
    /// Enough characters to recognise the name.
    const MOST: usize = 80;
    let mut shown: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// The known name that the author most likely meant, if one is near enough.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let length = name.chars().count();
    // Accepts one error in a short name, and one error for every three letters of a longer name.
    let tolerance = (length / 3).max(1);
    known
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= tolerance)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
