//! YAML as JSON: the same values, with the place of each value in the file.
//!
//! The values have the types of the core schema of YAML 1.2. A field name is always a text. Aliases
//! stand for a copy of their anchor's value, within a limit. Tags, merge keys and several documents
//! are no part of a scenario.

use std::{collections::BTreeMap, fmt::Write as _};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::{
    json::SourceText,
    problem::{FileProblem, Position},
};

/// The size of the largest JSON text for one file, in bytes. Aliases of aliases can stand for much
/// more than the file itself.
const MAX_JSON: usize = 32 * 1024 * 1024;

/// A YAML file as JSON.
#[derive(Debug, Default)]
pub(super) struct YamlFile {
    /// The JSON text.
    pub(super) json: String,
    /// The offset of each value and field name in the JSON text, with its position in the file. In
    /// the order of the text.
    pub(super) positions: Vec<(usize, Position)>,
}

/// Converts the text of a file with one YAML document.
pub(super) fn read(text: &str) -> Result<YamlFile, FileProblem> {
    let document = Document::parse(text)?;
    let mut writer = Writer::default();
    writer.document(&document)?;
    Ok(writer.file)
}

/// The events of the only document, and the ranges of its anchors.
#[derive(Default)]
struct Document<'t> {
    events: Vec<(Event<'t>, Position)>,
    /// For each anchor, the first event of its value and the event after the value. An anchor
    /// inside of its own value has no end yet.
    anchors: BTreeMap<usize, (usize, Option<usize>)>,
}

impl<'t> Document<'t> {
    fn parse(text: &'t str) -> Result<Self, FileProblem> {
        let mut document = Self::default();
        let mut documents = 0;
        // The anchors of the open lists and objects; 0 is no anchor.
        let mut open = Vec::new();
        // The parser can find a mistake after the last line.
        let end = SourceText::end_of(text);
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                let start = *error.marker();
                let told: String = error.info().chars().filter(|c| !c.is_control()).collect();
                problem(position(Span::empty(start)).min(end), format!("this is not YAML: {told}"))
            })?;
            let at = position(span).min(end);
            let next = document.events.len();
            match &event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(problem(at, "a file has one YAML document, and here a second one begins"));
                    }
                    continue;
                }
                Event::Scalar(.., tag) | Event::SequenceStart(_, tag) | Event::MappingStart(_, tag)
                    if tag.is_some() =>
                {
                    return Err(problem(at, "a scenario has no YAML tags: write the value without `!`"));
                }
                Event::Scalar(_, _, anchor, _) => document.anchor(*anchor, next, Some(next + 1)),
                Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                    document.anchor(*anchor, next, None);
                    open.push(*anchor);
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let anchor = open.pop().unwrap_or_default();
                    if let Some((_, end)) = document.anchors.get_mut(&anchor) {
                        *end = Some(next + 1);
                    }
                }
                Event::Alias(_) => {}
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
            }
            document.events.push((event, at));
        }
        Ok(document)
    }

    fn anchor(&mut self, anchor: usize, start: usize, end: Option<usize>) {
        if anchor != 0 {
            self.anchors.insert(anchor, (start, end));
        }
    }
}

/// An open list or object of the JSON text.
struct Open {
    is_object: bool,
    /// The number of written values; a field name counts as one.
    count: usize,
}

#[derive(Default)]
struct Writer {
    file: YamlFile,
    open: Vec<Open>,
}

impl Writer {
    fn document(&mut self, document: &Document<'_>) -> Result<(), FileProblem> {
        // The ranges of events that are not written yet: the document, and an alias in each range.
        let mut ranges = vec![(0, document.events.len())];
        while let Some((next, end)) = ranges.last_mut() {
            let index = *next;
            if index == *end {
                ranges.pop();
                continue;
            }
            *next += 1;
            let Some((event, at)) = document.events.get(index) else { break };
            if self.file.json.len() > MAX_JSON {
                let limit = format!("the aliases of this file stand for more than {MAX_JSON} bytes");
                return Err(problem(*at, limit));
            }
            if let Event::Alias(anchor) = event {
                match document.anchors.get(anchor) {
                    Some((start, Some(end))) if *end <= index => ranges.push((*start, *end)),
                    _ => return Err(problem(*at, "an alias cannot stand for a value around it")),
                }
            } else {
                self.event(event, *at)?;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>, at: Position) -> Result<(), FileProblem> {
        match event {
            Event::Scalar(text, style, ..) => {
                let is_name = self.begin(at);
                if is_name || *style != ScalarStyle::Plain {
                    self.text(text);
                } else {
                    self.plain(text);
                }
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if self.begin(at) {
                    return Err(problem(at, "a field name is a text, found a list or an object"));
                }
                let is_object = matches!(event, Event::MappingStart(..));
                self.file.json.push(if is_object { '{' } else { '[' });
                self.open.push(Open { is_object, count: 0 });
            }
            _ => {
                let is_object = self.open.pop().is_some_and(|open| open.is_object);
                self.file.json.push(if is_object { '}' } else { ']' });
            }
        }
        Ok(())
    }

    /// Begins a value. Tells if it is the name of a field.
    fn begin(&mut self, at: Position) -> bool {
        let mut is_name = false;
        if let Some(open) = self.open.last_mut() {
            is_name = open.is_object && open.count.is_multiple_of(2);
            match open.count {
                0 => {}
                _ if open.is_object && !is_name => self.file.json.push(':'),
                _ => self.file.json.push(','),
            }
            open.count += 1;
        }
        self.file.positions.push((self.file.json.len(), at));
        is_name
    }

    fn text(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.file.json, "{}", serde_json::Value::from(text));
    }

    /// Writes a scalar without quotes, by the core schema of YAML 1.2.
    fn plain(&mut self, text: &str) {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => self.file.json.push_str("null"),
            "true" | "True" | "TRUE" => self.file.json.push_str("true"),
            "false" | "False" | "FALSE" => self.file.json.push_str("false"),
            _ => match number(text) {
                Some(number) => self.file.json.push_str(&number),
                None => self.text(text),
            },
        }
    }
}

/// A number of the core schema as JSON writes it.
fn number(text: &str) -> Option<String> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let is_number = digits.chars().all(|digit| digit.is_digit(radix));
            return is_number.then(|| u64::from_str_radix(digits, radix).ok())?.map(|number| number.to_string());
        }
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (rest, exponent) = match rest.split_once(['e', 'E']) {
        Some((rest, exponent)) => (rest, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_exponent = |text: &str| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        !digits.is_empty() && is_digits(digits)
    };
    let is_number = !(whole.is_empty() && fraction.is_empty())
        && is_digits(whole)
        && is_digits(fraction)
        && exponent.is_none_or(is_exponent);
    if !is_number {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let mut number = format!("{sign}{}", if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        number.push('.');
        number.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        number.push('e');
        number.push_str(exponent);
    }
    Some(number)
}

fn position(span: Span) -> Position {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: count(span.start.line().max(1)), column: count(span.start.col() + 1) }
}

fn problem(at: Position, problem: impl Into<String>) -> FileProblem {
    FileProblem { position: Some(at), field: String::new(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn value(text: &str) -> Value {
        let file = read(text).unwrap();
        serde_json::from_str(&file.json).unwrap_or_else(|error| panic!("{error}: {}", file.json))
    }

    #[track_caller]
    fn assert_refused(text: &str, line: u32, column: u32, told: &str) {
        let problem = read(text).unwrap_err();
        assert_eq!(problem.position, Some(Position { line, column }), "{problem}");
        assert!(problem.problem.contains(told), "{problem}");
    }

    #[test]
    fn values_have_the_types_of_the_core_schema() {
        let text = "a: [1, +2, 007, 0x10, 0o17, -1, .5, 1., 1e3, 1.5]\n\
                    b: [true, no, null, ~, '1', \"true\", 30d, m2..m9, 1_000, 12:30, .inf, 0xg]\nc:\n";
        let expected = json!({
            "a": [1, 2, 7, 16, 15, -1, 0.5, 1, 1e3, 1.5],
            "b": [true, "no", null, null, "1", "true", "30d", "m2..m9", "1_000", "12:30", ".inf", "0xg"],
            "c": null
        });
        assert_eq!(value(text), expected);
    }

    #[test]
    fn blocks_flows_and_comments_are_read() {
        let text = "# a comment\nsteps:\n- send: { by: alice, id: m1, text: 'a: b' }\n- wait: 90s  # later\n\
                    - text: |\n    two\n    lines\n";
        let expected = json!({ "steps": [
            { "send": { "by": "alice", "id": "m1", "text": "a: b" } }, { "wait": "90s" }, { "text": "two\nlines\n" }
        ] });
        assert_eq!(value(text), expected);
    }

    #[test]
    fn names_of_fields_are_texts_and_all_are_kept() {
        assert_eq!(read("1: a\ntrue: b\n1: c\n").unwrap().json, r#"{"1":"a","true":"b","1":"c"}"#);
    }

    #[test]
    fn every_value_knows_its_position() {
        let file = read("a:\n  - é: [x,\n      y]\n").unwrap();
        let at = |text: &str| {
            let offset = file.json.find(text).unwrap();
            let (_, position) = file.positions.iter().find(|(at, _)| *at == offset).unwrap();
            (position.line, position.column)
        };
        assert_eq!(at("\"a\""), (1, 1));
        assert_eq!(at("\"é\""), (2, 5));
        assert_eq!(at("\"x\""), (2, 9));
        assert_eq!(at("\"y\""), (3, 7));
    }

    #[test]
    fn alias_stands_for_the_value_of_its_anchor() {
        assert_eq!(value("a: &team [x, y]\nb: *team\n"), json!({ "a": ["x", "y"], "b": ["x", "y"] }));
        assert_eq!(value("a: &one x\nb: [*one, &one z, *one]\n"), json!({ "a": "x", "b": ["x", "z", "z"] }));
    }

    #[test]
    fn aliases_of_aliases_are_limited() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let inner = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
        }
        let problem = read(&bomb).unwrap_err();
        assert!(problem.problem.contains("stand for more than 33554432 bytes"), "{problem}");
        assert_refused("a: &a [*a]\n", 1, 8, "cannot stand for a value around it");
    }

    #[test]
    fn other_parts_of_yaml_are_refused_at_their_place() {
        assert_refused("a: 1\n---\nb: 2\n", 2, 1, "a second one begins");
        assert_refused("a: !!str 1\n", 1, 4, "no YAML tags");
        assert_refused("? [a]\n: 1\n", 1, 3, "a field name is a text");
        assert_refused("a: *b\n", 1, 4, "this is not YAML");
        assert_refused("a: [1,\n", 2, 1, "this is not YAML");
        assert_refused("a: 1\n  b: 2\n", 2, 4, "this is not YAML");
        assert_refused("a:\n\t- 1\n", 2, 2, "this is not YAML");
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
            "[-+.0-9exo~:#&*!]{1,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z1]{1,3}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// JSON is YAML.
        #[test]
        fn json_is_read_as_itself(document in json()) {
            prop_assert_eq!(value(&document.to_string()), document);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[-a1:,&*!|>%@`'\"\\[\\]{}#? \n\t]{0,30}") {
            if let Ok(file) = read(&text) {
                prop_assert!(file.json.is_empty() || serde_json::from_str::<Value>(&file.json).is_ok(), "{}", file.json);
            }
        }
    }
}
