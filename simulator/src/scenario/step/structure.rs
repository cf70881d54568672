//! Steps that have other steps: races and repeats. And the list of steps, which is the same inside
//! and outside of them.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    super::{
        describe::{Field, Kind, Object},
        fields::{At, FileReader, nearest, shown, unknown},
        format::{Place, Placed, WrittenStep},
        parse::MAX_TURNS,
    },
    Decoder, StepKind, steps,
};

pub(super) const RACE: &str = "race";
pub(super) const REPEAT: &str = "repeat";

/// Steps of format 1 that this version knows only by name.
const NOT_SUPPORTED: &[&str] = &["network", "service"];

const REPEATED: Object = Object::new(&[
    Field::required("times", Kind::Number(1, MAX_TURNS as u64), "The number of turns."),
    Field::required("steps", Kind::Steps, "The steps of each turn."),
]);

pub(super) const STEPS: &[StepKind] = &[
    StepKind {
        name: RACE,
        about: "Prepares all steps on the same epoch, then submits them in an order from the seed.",
        value: Kind::Steps,
        decoder: Decoder::Structure(race),
        races: false,
        repeats: true,
        nested_names: Some((RACE, "race_in_turn")),
    },
    StepKind {
        name: REPEAT,
        about: "Runs the steps this many times. `{i}` in a name or a text is the number of the turn, from 1.",
        value: Kind::Object(&REPEATED),
        decoder: Decoder::Structure(repeat),
        races: true,
        repeats: false,
        nested_names: Some(("repeated_contenders", REPEAT)),
    },
];

fn race<'a>(reader: &mut FileReader<'a>, at: At<'a>, inner: &str) -> Option<WrittenStep> {
    let elements = list(reader, &at, "a race has at least two steps, found none")?;
    reader.in_race = true;
    let contenders = nodes(reader, &elements, inner);
    reader.in_race = false;
    Some(WrittenStep::Race(contenders))
}

fn repeat<'a>(reader: &mut FileReader<'a>, at: At<'a>, inner: &str) -> Option<WrittenStep> {
    reader.in_repeat = true;
    let node = turns(reader, at, inner);
    reader.in_repeat = false;
    node
}

fn turns<'a>(reader: &mut FileReader<'a>, at: At<'a>, inner: &str) -> Option<WrittenStep> {
    let fields = reader.described(at, &REPEATED)?;
    let times = fields.small(reader, "times");
    let elements = list(reader, &fields.get("steps")?, "a repeat has at least one step")?;
    let steps = nodes(reader, &elements, inner);
    Some(WrittenStep::Repeat { times: times?, steps })
}

/// The elements of a list of steps, which is not empty.
pub(in crate::scenario) fn list<'a>(reader: &mut FileReader<'a>, at: &At<'a>, if_empty: &str) -> Option<Vec<At<'a>>> {
    let Some(elements) = at.elements() else {
        let found = at.json.kind();
        reader.note(at, format!("expected a list of steps, found {found}"));
        return None;
    };
    if elements.is_empty() {
        reader.note(at, if_empty);
        return None;
    }
    Some(elements)
}

/// Reads the steps of a list. A step that cannot be read is noted and left out.
pub(in crate::scenario) fn nodes<'a>(
    reader: &mut FileReader<'a>,
    elements: &[At<'a>],
    outer: &str,
) -> Vec<Placed<WrittenStep>> {
    let mut nodes = Vec::with_capacity(elements.len());
    for (index, at) in elements.iter().enumerate() {
        let number = format!("{outer}{}", index + 1);
        if let Some(item) = node(reader, at, &number) {
            let line = reader.source.line(at.json);
            let place = Place { number: Arc::from(number), path: Arc::from(&*at.path), line, turn: None };
            nodes.push(Placed { place, item });
        }
    }
    nodes
}

fn node<'a>(reader: &mut FileReader<'a>, at: &At<'a>, number: &str) -> Option<WrittenStep> {
    let fields = reader.any_object(at.clone())?;
    let mut all = fields.iter();
    let (name, key, value) = match (all.next(), all.next()) {
        (Some(field), None) => field,
        (None, _) => {
            reader.note(at, "a step is an object with one field that names it, found an empty one");
            return None;
        }
        (Some((first, ..)), Some((second, key, _))) => {
            let (first, second) = (shown(first), shown(second));
            reader.note(
                &key,
                format!("a step is an object with one field, found `{first}` and `{second}`; make it two steps"),
            );
            return None;
        }
    };
    let Some(step) = steps().find(|step| step.name == name) else {
        reader.note(&key, unknown_step(name));
        return None;
    };
    if let Some(problem) = misplaced(reader, step) {
        reader.note(&key, problem);
        return None;
    }
    // The checker does not check a step with a problem.
    let before = reader.problems.len();
    match step.decoder {
        Decoder::Action(decode) => {
            let action = decode(reader, value)?;
            (reader.problems.len() == before).then_some(WrittenStep::Do(action))
        }
        Decoder::Structure(decode) => decode(reader, value, &format!("{number}.")),
    }
}

/// The problem with a step that cannot be at this place. The checker notes a step that cannot race.
fn misplaced(reader: &FileReader<'_>, step: &StepKind) -> Option<String> {
    match step.name {
        REPEAT if reader.in_repeat => {
            Some("a repeat cannot be inside another: `{i}` would have two meanings".to_owned())
        }
        RACE if reader.in_race => {
            Some("a race cannot be inside another: all of its steps are in the same epoch already".to_owned())
        }
        name if reader.in_repeat && !step.repeats => Some(format!("`{name}` cannot be inside a repeat")),
        name if reader.in_race && !step.races && matches!(step.decoder, Decoder::Structure(_)) => {
            Some(format!("`{name}` cannot be inside a race"))
        }
        _ => None,
    }
}

fn unknown_step(name: &str) -> String {
    if NOT_SUPPORTED.contains(&name) {
        return format!("step `{name}` is not supported by this version of regrow");
    }
    // A list in the order of the alphabet is easier to search.
    let known: BTreeSet<&str> = steps().map(|step| step.name).collect();
    match nearest(name, known.iter().copied().chain(NOT_SUPPORTED.iter().copied())) {
        Some(near) => format!("unknown step `{}`; did you mean `{near}`?", shown(name)),
        None => unknown("step", name, &known.into_iter().collect::<Vec<_>>()),
    }
}
