//! Reading the fields of an object: each with a decoder, every problem noted with its place.
//!
//! A decoder answers `None` after it has noted what is wrong, and the reading goes on, so that a file's author sees all
//! problems at once.

use super::{
    json::{Entry, Json, Source},
    name::{MAX_NAME_LENGTH, TURN},
    problem::{MAX_PROBLEMS, Problem},
    word::Word,
};

/// What is known while a file is read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) source: Source<'a>,
    pub(super) problems: Vec<Problem>,
    /// Whether names may hold `{i}` here.
    pub(super) in_repeat: bool,
    /// Whether the steps here are those of a race.
    pub(super) in_race: bool,
}

/// Where a value stands: the value, and the path to it.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    pub(super) json: Json<'a>,
    pub(super) path: String,
}

/// An object whose fields are taken one by one.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    at: At<'a>,
    entries: Vec<Entry<'a>>,
}

impl<'a> At<'a> {
    /// The elements, if it is a list.
    pub(super) fn elements(&self) -> Option<Vec<At<'a>>> {
        let elements = self.json.elements()?.into_iter().enumerate();
        Some(elements.map(|(index, json)| At { json, path: format!("{}[{index}]", self.path) }).collect())
    }

    fn field(&self, name: &str, json: Json<'a>) -> Self {
        let path = if self.path.is_empty() { shown(name) } else { format!("{}.{}", self.path, shown(name)) };
        At { json, path }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn note(&mut self, at: &At<'a>, problem: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            let position = Some(self.source.position(at.json));
            self.problems.push(Problem { position, field: at.path.clone(), problem: problem.into() });
        }
    }

    fn wrong_type(&mut self, at: &At<'a>, expected: &str) {
        self.note(at, format!("expected {expected}, found {}", at.json.kind()));
    }

    /// An object with no fields but these, none of them twice.
    pub(super) fn object(&mut self, at: At<'a>, known: &[&str]) -> Option<Fields<'a>> {
        let fields = self.any_object(at)?;
        self.refuse_others(&fields, known);
        Some(fields)
    }

    /// Notes every field but these.
    pub(super) fn refuse_others(&mut self, fields: &Fields<'a>, known: &[&str]) {
        for entry in &fields.entries {
            if !known.contains(&&*entry.name) {
                let told = unknown("field", &entry.name, known);
                self.note(&fields.at.field(&entry.name, entry.key), told);
            }
        }
    }

    /// An object with any fields, none of them twice.
    pub(super) fn any_object(&mut self, at: At<'a>) -> Option<Fields<'a>> {
        let Some(entries) = at.json.entries() else {
            self.wrong_type(&at, "an object");
            return None;
        };
        // An object of a scenario has a dozen fields at most, but a hostile one may have any number of them.
        let mut seen = std::collections::BTreeMap::new();
        for entry in &entries {
            let line = self.source.line(entry.key);
            if let Some(first) = seen.insert(entry.name.as_ref(), line) {
                self.note(
                    &at.field(&entry.name, entry.key),
                    format!("field `{}` stands twice in one object; the first is in line {first}", shown(&entry.name)),
                );
            }
        }
        Some(Fields { at, entries })
    }

    /// A text without control characters, and not empty.
    pub(super) fn line(&mut self, at: &At<'a>) -> Option<String> {
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

    /// Any text.
    pub(super) fn text(&mut self, at: &At<'a>) -> Option<String> {
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

    /// A name: a text without white space, not too long, and without `{i}` outside of `repeat`.
    pub(super) fn name(&mut self, at: &At<'a>) -> Option<String> {
        let name = self.text(at)?;
        let problem = if name.is_empty() {
            "expected a name, found an empty text".to_owned()
        } else if name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}') {
            format!("a name has no spaces and no control characters: `{}`", shown(&name))
        } else if name.chars().count() > MAX_NAME_LENGTH {
            format!("a name has at most {MAX_NAME_LENGTH} characters")
        } else if name.contains(TURN) && !self.in_repeat {
            format!("`{TURN}` is the number of a turn, which only the steps inside `repeat` have")
        } else {
            return Some(name);
        };
        self.note(at, problem);
        None
    }

    /// One name or a list of them: at least one, each once.
    pub(super) fn names(&mut self, at: &At<'a>) -> Option<Vec<String>> {
        match at.elements() {
            None if at.json.text().is_some() => self.name(at).map(|name| vec![name]),
            None => {
                self.wrong_type(at, "a name or a list of names");
                None
            }
            Some(elements) if elements.is_empty() => {
                self.note(at, "expected at least one name, found an empty list");
                None
            }
            Some(elements) => self.distinct(&elements),
        }
    }

    /// Names, each once. Every one is looked at, even after one was wrong.
    pub(super) fn distinct(&mut self, elements: &[At<'a>]) -> Option<Vec<String>> {
        let mut seen = std::collections::BTreeSet::new();
        let mut names = Some(Vec::with_capacity(elements.len()));
        for element in elements {
            let Some(name) = self.name(element) else {
                names = None;
                continue;
            };
            if !seen.insert(name.clone()) {
                self.note(element, format!("`{name}` stands twice in one list"));
                names = None;
            } else if let Some(names) = &mut names {
                names.push(name);
            }
        }
        names
    }

    /// A whole number within limits, both included.
    pub(super) fn number(&mut self, at: &At<'a>, least: u64, most: u64) -> Option<u64> {
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

    /// A whole number within limits that fits 32 bits.
    pub(super) fn small_number(&mut self, at: &At<'a>, least: u32, most: u32) -> Option<u32> {
        self.number(at, least.into(), most.into()).and_then(|number| u32::try_from(number).ok())
    }

    /// True or false.
    pub(super) fn truth(&mut self, at: &At<'a>) -> Option<bool> {
        let truth = at.json.truth();
        if truth.is_none() {
            self.wrong_type(at, "true or false");
        }
        truth
    }

    /// True, which is all that can be said here.
    pub(super) fn just_true(&mut self, at: &At<'a>) -> Option<()> {
        match self.truth(at)? {
            true => Some(()),
            false => {
                self.note(at, "only true can be said here; leave the field out otherwise");
                None
            }
        }
    }

    /// One of the words of a type.
    pub(super) fn word<T: Word>(&mut self, at: &At<'a>) -> Option<T> {
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
    pub(super) fn at(&self) -> &At<'a> {
        &self.at
    }

    /// The fields in the order of the file, each with the name as it stands there.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, At<'a>, At<'a>)> {
        self.entries
            .iter()
            .map(|entry| (&*entry.name, self.at.field(&entry.name, entry.key), self.at.field(&entry.name, entry.value)))
    }

    /// A field that may be left out.
    pub(super) fn get(&self, name: &str) -> Option<At<'a>> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        Some(self.at.field(name, entry.value))
    }

    /// A field that has to be there.
    pub(super) fn required(&self, reader: &mut Reader<'a>, name: &str) -> Option<At<'a>> {
        let field = self.get(name);
        if field.is_none() {
            reader.note(&self.at.field(name, self.at.json), format!("field `{name}` is missing"));
        }
        field
    }
}

/// What is told of a name that is not known: the nearest known one, or all of them if none is near.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{}`; did you mean `{near}`?", shown(name)),
        None => format!("unknown {what} `{}`; known are {}", shown(name), known.join(", ")),
    }
}

/// A name out of a file, made fit for a message: without anything that a terminal would obey, and not too long.
pub(super) fn shown(name: &str) -> String {
    /// Enough to recognise it by.
    const MOST: usize = 80;
    let mut shown: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// The known name that was most likely meant, if any is near enough to be worth a guess.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let length = name.chars().count();
    // One slip in a short name, one in three letters of a longer one.
    let tolerance = (length / 3).max(1);
    known
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= tolerance)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
