//! The JSON Schema of format 1, from the descriptions.
//!
//! It has the rules that JSON can express: fields, types and limits. The checker decides if names
//! exist and if ids are unique. The tests compare the schema with the reader.

use std::collections::BTreeSet;

use super::{
    super::{
        format::FORMAT,
        name::MAX_NAME_LENGTH,
        names::{ANY_NAMES, NAMES},
        parse::TOP,
        step::{Nesting, StepKind, steps},
    },
    Field, Kind, Object, Presence, Rule,
    schema_text::{Fields, Node},
};

/// A pattern of a duration of at least one second.
const DURATION: &str = "^0*[1-9][0-9]*[smhd]$";
/// A pattern of a duration that may be zero.
const INSTANT: &str = "^[0-9]+[smhd]$";
/// A pattern of a difference with its sign.
const DIFFERENCE: &str = "^[+-][0-9]+[smhd]$";
/// A pattern of a rate.
const RATE: &str = "^[0-9]+(\\.[0-9]{1,6})?/[smhd]$";
/// A pattern of a text of one line.
const LINE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";
/// A pattern of a name.
const NAME: &str = "^[^\\s\\u0000-\\u001f\\u007f-\\u009f]+$";

/// The schema of a scenario file as a JSON document, draft 2020-12. An editor completes names and
/// underlines mistakes with it.
#[must_use]
pub fn schema() -> String {
    let mut writer = Writer::default();
    let mut document = vec![
        ("$schema", "https://json-schema.org/draft/2020-12/schema".into()),
        ("title", Node::Text(format!("Regrow scenario, format {FORMAT}"))),
    ];
    document.extend(writer.object(&TOP, TOP.about, Nesting::TOP));
    let mut definitions = values();
    definitions.extend(writer.definitions());
    document.push(("$defs", Node::Object(definitions)));
    Node::Object(document).document()
}

/// The definitions of values that many fields have.
fn values() -> Fields {
    let text = |pattern: &str| vec![("type", "string".into()), ("pattern", pattern.into())];
    let mut name = text(NAME);
    name.push(("minLength", Node::Number(1)));
    name.push(("maxLength", Node::Number(MAX_NAME_LENGTH as u64)));
    let about = |mut fields: Fields, about: &str| {
        fields.push(("description", about.into()));
        Node::Object(fields)
    };
    vec![
        ("line", Node::Object(text(LINE))),
        ("name", Node::Object(name)),
        ("duration", about(text(DURATION), "A duration, such as 90s, 15m, 3h or 7d; a century at most.")),
        ("rate", about(text(RATE), "A number of events in a unit of time, such as 30/d, 0.5/h, 2/m or 1/s.")),
    ]
}

/// Writes the schema, and collects the definitions that it refers to.
#[derive(Default)]
struct Writer {
    /// The definitions that are written or will be.
    known: BTreeSet<&'static str>,
    open: Vec<Definition>,
}

/// A definition that will be written.
enum Definition {
    /// One name, a list of names, or a row.
    Names(&'static str, &'static [Kind]),
    /// An object that several places use.
    Shared(&'static str, &'static Object),
    /// A step at a place with this nesting.
    Step(&'static str, &'static StepKind, Nesting),
    /// Any step at a place with this nesting.
    AnyStep(&'static str, Nesting),
}

impl Writer {
    /// Writes the open definitions, and those to which they refer.
    fn definitions(&mut self) -> Fields {
        let mut written = Vec::new();
        while let Some(definition) = self.open.pop() {
            let (name, fields) = match definition {
                Definition::Names(name, kinds) => (name, self.either(kinds, Nesting::TOP)),
                Definition::Shared(name, object) => (name, self.object(object, object.about, Nesting::TOP)),
                Definition::Step(name, step, nesting) => (name, self.step(step, nesting)),
                Definition::AnyStep(name, nesting) => (name, self.any_step(nesting)),
            };
            written.push((name, Node::Object(fields)));
        }
        written.sort_by_key(|(name, _)| *name);
        written
    }

    /// A reference to a definition.
    fn reference(&mut self, name: &'static str, definition: Definition) -> Node {
        if self.known.insert(name) {
            self.open.push(definition);
        }
        Node::Text(format!("#/$defs/{name}"))
    }

    fn any_step(&mut self, nesting: Nesting) -> Fields {
        let mut properties = Vec::new();
        for step in steps().filter(|step| nesting.allows(step)) {
            let name = step.definition(nesting);
            let reference = self.reference(name, Definition::Step(name, step, nesting));
            properties.push((step.name, Node::Object(vec![("$ref", reference)])));
        }
        vec![
            ("type", "object".into()),
            ("description", "An object with one field, which names the step.".into()),
            ("properties", Node::Object(properties)),
            ("additionalProperties", Node::Truth(false)),
            ("minProperties", Node::Number(1)),
            ("maxProperties", Node::Number(1)),
        ]
    }

    fn step(&mut self, step: &'static StepKind, nesting: Nesting) -> Fields {
        let inner = step.inside(nesting);
        match step.value {
            Kind::Object(object) => self.object(object, step.about, inner),
            value => {
                let mut fields = self.kind(value, inner);
                fields.push(("description", step.about.into()));
                fields
            }
        }
    }

    fn object(&mut self, object: &'static Object, about: &str, nesting: Nesting) -> Fields {
        let mut fields: Fields = vec![("type", "object".into())];
        let about = object.meaning(about);
        if !about.is_empty() {
            fields.push(("description", Node::Text(about)));
        }
        let properties = object.fields.iter().map(|field| (field.name, Node::Object(self.field(field, nesting))));
        fields.push(("properties", Node::Object(properties.collect())));
        let required = |wanted: Presence| -> Vec<&str> {
            object.fields.iter().filter(|field| field.presence == wanted).map(|field| field.name).collect()
        };
        fields.push(("required", Node::texts(&required(Presence::Required))));
        fields.push(("additionalProperties", Node::Truth(false)));
        let replacing: BTreeSet<_> = object
            .fields
            .iter()
            .filter_map(|field| match field.presence {
                Presence::Unless(other) => Some(other),
                _ => None,
            })
            .collect();
        let mut rules: Vec<Node> = replacing
            .into_iter()
            .map(|other| one_given("anyOf", [vec![other], required(Presence::Unless(other))]))
            .collect();
        rules.extend(object.rules.iter().map(rule));
        if !rules.is_empty() {
            fields.push(("allOf", Node::List(rules)));
        }
        fields
    }

    fn field(&mut self, field: &'static Field, nesting: Nesting) -> Fields {
        let mut fields = self.kind(field.kind, nesting);
        if let Presence::Default(value) = field.presence {
            let value = match field.kind {
                Kind::Number(..) | Kind::Either(_) => value.parse().map_or_else(|_| value.into(), Node::Number),
                Kind::Decimal(..) => value.parse().map_or_else(|_| value.into(), Node::Decimal),
                Kind::Truth => value.parse().map_or_else(|_| value.into(), Node::Truth),
                _ => value.into(),
            };
            fields.push(("default", value));
        }
        if !field.about.is_empty() {
            fields.retain(|(name, _)| *name != "description");
            fields.push(("description", field.about.into()));
        }
        fields
    }

    fn kind(&mut self, kind: Kind, nesting: Nesting) -> Fields {
        let of_type = |name: &str| vec![("type", name.into())];
        let list = |items: Fields| {
            vec![("type", "array".into()), ("minItems", Node::Number(1)), ("items", Node::Object(items))]
        };
        match kind {
            Kind::Format => vec![("const", Node::Number(FORMAT))],
            Kind::Name => defined("name"),
            Kind::Names => vec![("$ref", self.reference("names", Definition::Names("names", NAMES)))],
            Kind::AnyNames => {
                vec![("$ref", self.reference("any_names", Definition::Names("any_names", ANY_NAMES)))]
            }
            Kind::NameList(least, most) => {
                let mut fields = vec![
                    ("type", "array".into()),
                    ("items", Node::Object(defined("name"))),
                    ("minItems", Node::Number(least as u64)),
                ];
                fields.push(("uniqueItems", Node::Truth(true)));
                fields.push(("maxItems", Node::Number(most as u64)));
                fields
            }
            Kind::Line => defined("line"),
            Kind::Text(most) => vec![("type", "string".into()), ("maxLength", Node::Number(most.into()))],
            Kind::Number(least, most) => {
                vec![("type", "integer".into()), ("minimum", Node::Number(least)), ("maximum", Node::Number(most))]
            }
            Kind::Decimal(least, most) => {
                let limit = |text: &str| Node::Decimal(text.parse().unwrap_or_default());
                vec![("type", "number".into()), ("minimum", limit(least)), ("maximum", limit(most))]
            }
            Kind::Truth => of_type("boolean"),
            Kind::True => vec![("const", Node::Truth(true))],
            Kind::Word(words) => vec![("enum", Node::texts(&words()))],
            Kind::Only(word) => vec![("const", word.into())],
            Kind::Duration => defined("duration"),
            Kind::Instant => vec![("type", "string".into()), ("pattern", INSTANT.into())],
            Kind::Difference => vec![("type", "string".into()), ("pattern", DIFFERENCE.into())],
            Kind::Rate => defined("rate"),
            Kind::Object(object) => match object.shared {
                Some(name) => vec![("$ref", self.reference(name, Definition::Shared(name, object)))],
                None => self.object(object, object.about, nesting),
            },
            Kind::List(kind) => list(self.kind(*kind, nesting)),
            Kind::Steps => {
                let name = nesting.definition();
                list(vec![("$ref", self.reference(name, Definition::AnyStep(name, nesting)))])
            }
            Kind::Either(kinds) => self.either(kinds, nesting),
        }
    }

    fn either(&mut self, kinds: &'static [Kind], nesting: Nesting) -> Fields {
        let kinds = kinds.iter().map(|kind| Node::Object(self.kind(*kind, nesting)));
        vec![("oneOf", Node::List(kinds.collect()))]
    }
}

/// A reference to a definition of [`values`].
fn defined(name: &str) -> Fields {
    vec![("$ref", Node::Text(format!("#/$defs/{name}")))]
}

/// A schema for an object in which one of these sets of fields is given.
fn one_given(how: &'static str, sets: impl IntoIterator<Item = Vec<&'static str>>) -> Node {
    let sets = sets.into_iter().map(|set| Node::Object(vec![("required", Node::texts(&set))]));
    Node::Object(vec![(how, Node::List(sets.collect()))])
}

/// A schema for an object in which the field, if it is given, is this word.
fn is_word(field: &'static str, word: &str) -> Node {
    let word = Node::Object(vec![("const", word.into())]);
    Node::Object(vec![("properties", Node::Object(vec![(field, word)]))])
}

fn rule(rule: &Rule) -> Node {
    let single = |names: &[&'static str]| names.iter().map(|name| vec![*name]).collect::<Vec<_>>();
    let given = |name: &'static str| ("required", Node::texts(&[name]));
    let not = |node: Node| Node::Object(vec![("not", node)]);
    match *rule {
        Rule::NotEmpty(_) => Node::Object(vec![("minProperties", Node::Number(1))]),
        Rule::NotAlone(field, _) => {
            let several = Node::Object(vec![("minProperties", Node::Number(2))]);
            Node::Object(vec![("dependentSchemas", Node::Object(vec![(field, several)]))])
        }
        Rule::ExactlyOne(names) => one_given("oneOf", single(names)),
        Rule::AtLeastOne(names, _) => one_given("anyOf", single(names)),
        Rule::NotBoth(one, other, _) => not(Node::Object(vec![("required", Node::texts(&[one, other]))])),
        Rule::Needs(fields, needed, _) => {
            let needs = fields.iter().map(|field| (*field, one_given("anyOf", single(needed))));
            Node::Object(vec![("dependentSchemas", Node::Object(needs.collect()))])
        }
        Rule::OnlyWith(field, other, word, _) => {
            Node::Object(vec![("dependentSchemas", Node::Object(vec![(field, is_word(other, word))]))])
        }
        Rule::WordNeeds(field, word, needed, _) => {
            let mut is_special = vec![given(field)];
            if let Node::Object(fields) = is_word(field, word) {
                is_special.extend(fields);
            }
            Node::Object(vec![("if", Node::Object(is_special)), ("then", Node::Object(vec![given(needed)]))])
        }
        Rule::WordExcludes(field, word, excluded, _) => {
            let mut both = vec![("required", Node::texts(&[field, excluded]))];
            if let Node::Object(fields) = is_word(field, word) {
                both.extend(fields);
            }
            not(Node::Object(both))
        }
    }
}
