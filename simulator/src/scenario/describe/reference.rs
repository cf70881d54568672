//! The tables of `docs/scenario-format.md`, from the descriptions. The page has a pair of marks
//! around each table. One test compares the tables, and another writes them.

use std::{fs, path::PathBuf};

use super::{
    super::{format::EventKind, group::GROUP, parse::TOP, policy::MEMBER_POLICY, step, trace::TRACE, word::Word},
    Field, Kind, Object, Presence,
};

const START: &str = "<!-- reference: ";
const START_ENDS: &str = " -->\n";
const END: &str = "<!-- end of reference -->";

/// The objects with a table of their own.
const OBJECTS: &[(&str, &Object)] =
    &[("scenario", &TOP), ("group", &GROUP), ("policies", &MEMBER_POLICY), ("trace", &TRACE)];

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/scenario-format.md")
}

/// The table between two marks, by the name in the first one.
fn table(name: &str) -> String {
    if name == "events" {
        return events();
    }
    if let Some(area) = name.strip_prefix("steps ") {
        let area = step::AREAS.iter().find(|known| known.name == area);
        return steps(area.unwrap_or_else(|| panic!("no area of steps is called {name}")));
    }
    let object = OBJECTS.iter().find(|(known, _)| *known == name);
    let (_, object) = object.unwrap_or_else(|| panic!("no object is called {name}"));
    let mut rows = vec!["| field | value | meaning |".to_owned(), "| --- | --- | --- |".to_owned()];
    for field in object.fields {
        rows.push(format!("| `{}` | {} | {} |", field.name, value(field), cell(field.about)));
        // An object inside of this one has its own table, or its fields come here.
        let has_table = |field: &Field| OBJECTS.iter().any(|(known, _)| *known == field.name);
        for (path, inner) in inner_fields(field, has_table) {
            rows.push(format!("| `{path}` | {} | {} |", value(inner), cell(inner.about)));
        }
    }
    rows.join("\n") + "\n"
}

/// The events of the expectation `events`.
fn events() -> String {
    let mut rows = vec!["| event | meaning | `about` |".to_owned(), "| --- | --- | --- |".to_owned()];
    for (word, event) in EventKind::WORDS {
        rows.push(format!("| `{word}` | {} | {} |", event.meaning(), event.subject().unwrap_or("nobody")));
    }
    rows.join("\n") + "\n"
}

fn steps(area: &step::Area) -> String {
    let mut rows = vec!["| step | field | value | meaning |".to_owned(), "| --- | --- | --- | --- |".to_owned()];
    for step in area.steps {
        let (about, fields, kind) = match step.value {
            Kind::Object(object) => (object.meaning(step.about), object.fields, String::new()),
            value => (step.about.to_owned(), &[][..], phrase(value)),
        };
        rows.push(format!("| `{}` | | {kind} | {} |", step.name, cell(&about)));
        for field in fields {
            rows.push(format!("| | `{}` | {} | {} |", field.name, value(field), cell(field.about)));
            for (path, inner) in inner_fields(field, |_| false) {
                rows.push(format!("| | `{path}` | {} | {} |", value(inner), cell(inner.about)));
            }
        }
    }
    rows.join("\n").replace("|  |", "| |") + "\n"
}

/// The fields of the objects in a field, with their paths.
fn inner_fields(field: &Field, has_table: impl Fn(&Field) -> bool + Copy) -> Vec<(String, &'static Field)> {
    fn objects(kind: Kind) -> Vec<&'static Object> {
        match kind {
            Kind::Object(object) => vec![object],
            Kind::List(kind) => objects(*kind),
            Kind::Either(kinds) => kinds.iter().flat_map(|kind| objects(*kind)).collect(),
            _ => Vec::new(),
        }
    }
    let mut all = Vec::new();
    for object in if has_table(field) { Vec::new() } else { objects(field.kind) } {
        for inner in object.fields {
            let path = format!("{}.{}", field.name, inner.name);
            all.push((path, inner));
            let deeper = inner_fields(inner, has_table).into_iter();
            all.extend(deeper.map(|(path, inner)| (format!("{}.{path}", field.name), inner)));
        }
    }
    all
}

/// The value of a field: its kind, and if it may be left out.
fn value(field: &Field) -> String {
    let kind = phrase(field.kind);
    match field.presence {
        Presence::Required => kind,
        Presence::Unless(other) => format!("{kind}; required without `{other}`"),
        Presence::Optional => format!("{kind}, optional"),
        Presence::Default(value) => format!("{kind}; default `{value}`"),
    }
}

fn phrase(kind: Kind) -> String {
    match kind {
        Kind::Format => "`1`".to_owned(),
        Kind::Name => "name".to_owned(),
        Kind::Names => "names".to_owned(),
        Kind::AnyNames => "names, or `[]`".to_owned(),
        Kind::NameList(least, most) => format!("list of {least} to {} names", number(most as u64)),
        Kind::Line => "text of one line".to_owned(),
        Kind::Text(most) => format!("text of at most {} bytes", number(most.into())),
        Kind::Number(least, u64::MAX) => format!("number from {} to 2⁶⁴ - 1", number(least)),
        Kind::Number(least, most) => format!("number from {} to {}", number(least), number(most)),
        Kind::Decimal(least, most) => format!("decimal number from {least} to {most}"),
        Kind::Truth => "true or false".to_owned(),
        Kind::True => "true".to_owned(),
        Kind::Word(words) => super::object::listed(&words(), "or"),
        Kind::Only(word) => format!("`{word}`"),
        Kind::Duration => "duration".to_owned(),
        Kind::Instant => "duration, or `0s`".to_owned(),
        Kind::Difference => "difference, such as `\"+1h\"` or `\"-2d\"`".to_owned(),
        Kind::Rate => "rate".to_owned(),
        Kind::Object(_) => "object".to_owned(),
        Kind::List(Kind::Names) => "list of lists of names".to_owned(),
        Kind::List(kind) => format!("list of {}s", phrase(*kind)),
        Kind::Steps => "list of steps".to_owned(),
        Kind::Either(kinds) => kinds.iter().map(|kind| phrase(*kind)).collect::<Vec<_>>().join(", or "),
    }
}

/// A number with a comma after each group of three digits.
fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The page with the tables that follow from the descriptions, and the names of all tables.
fn described(page: &str) -> (String, Vec<&str>) {
    let mut described = String::new();
    let mut names = Vec::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(START) {
        let (name, after) = after.split_once(START_ENDS).unwrap();
        let (_, after) = after.split_once(END).unwrap();
        described.push_str(&format!("{before}{START}{name}{START_ENDS}{}{END}", table(name)));
        names.push(name);
        rest = after;
    }
    (described + rest, names)
}

#[test]
fn reference_has_the_described_tables() {
    let page = fs::read_to_string(page()).unwrap();
    let (described, names) = described(&page);
    for area in step::AREAS {
        assert!(names.contains(&&*format!("steps {}", area.name)), "the page lacks the steps {}", area.name);
    }
    for (name, _) in OBJECTS {
        assert!(names.contains(name), "the page lacks the object {name}");
    }
    for (page, described) in page.lines().zip(described.lines()) {
        assert_eq!(page, described, "see the command in scenario/describe/mod.rs");
    }
    assert_eq!(page, described, "see the command in scenario/describe/mod.rs");
}

#[test]
#[ignore = "writes the tables of the reference"]
fn write_the_reference() {
    let text = fs::read_to_string(page()).unwrap();
    let (described, _) = described(&text);
    fs::write(page(), described).unwrap();
}
