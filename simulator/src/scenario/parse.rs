//! Turns the text of a file into a [`Scenario`]: the top of the file, and the structure of its
//! steps.

use std::{collections::BTreeSet, string::FromUtf8Error, sync::Arc};

use regrow_engine::UserId;

use super::{
    check::{self, Complete},
    churn,
    fields::{At, Fields, FileReader, nearest, shown, unknown},
    format::{Action, FORMAT, GroupSettings, Place, Placed, Scenario, WrittenStep},
    json::SourceText,
    name::MemberName,
    problem::FileProblem,
    step,
    trace::{self, Traces},
};
use crate::trace::Replay;

/// The length of the longest member name, in bytes. An identity has room for it beside the name of
/// the device.
pub(crate) const MAX_USER_BYTES: usize = 200;

/// The largest number of members in a scenario. A run makes a real device for each of them, and its
/// memory and time end far below this number. Generated histories without devices reach it.
pub const MAX_MEMBERS: usize = 1_000_000;

/// The largest number of turns in a `repeat`.
pub const MAX_TURNS: u32 = 1_000_000;

/// The largest number of past epochs whose secrets can be kept. Each of them costs a member
/// hundreds of kilobytes in a large group.
pub const MAX_PAST_EPOCHS: u32 = 1_000;

/// The widest window for messages that arrive out of order. A member keeps a key for each message
/// that it skips.
pub const MAX_OUT_OF_ORDER: u32 = 100_000;

/// The largest padding. With it, every message of a group is at least this long on the wire.
pub const MAX_PADDING: u32 = 65_536;

const TOP: &[&str] =
    &["regrow", "name", "about", "seed", "fidelity", "protocol", "group", "service", "members", "trace", "steps"];
const GROUP: &[&str] = &["ciphersuite", "handshake", "past_epochs", "out_of_order", "padding", "publish_group_info"];
const MANY_MEMBERS: &[&str] = &["prefix", "count"];
const REPEAT: &[&str] = &["times", "steps"];

/// Steps of format 1 that this version knows only by name.
const NOT_SUPPORTED: &[&str] = &["network"];

/// Reads a scenario from the text of a file, and checks it.
///
/// ```
/// use regrow_simulator::scenario::read;
///
/// let scenario = read(
///     r#"{
///         "regrow": 1,
///         "name": "two people talk",
///         "members": ["alice", "bob"],
///         "steps": [
///             { "create": { "by": "alice", "with": "bob" } },
///             { "send": { "by": "alice", "id": "m1" } },
///             { "expect": { "who": "bob", "reads": "m1" } }
///         ]
///     }"#,
/// )
/// .unwrap();
/// assert_eq!(scenario.expand().count(), 3);
/// ```
///
/// # Errors
///
/// Every problem that was found, in the order of the file. If the text is no JSON, only this
/// problem.
pub fn read(text: &str) -> Result<Scenario, Vec<FileProblem>> {
    read_with(text, &|_| Err("the path of a trace is relative to a file; load this scenario from a file".to_owned()))
}

/// Reads a scenario, and gets its trace from a function.
pub(crate) fn read_with(text: &str, traces: &Traces<'_>) -> Result<Scenario, Vec<FileProblem>> {
    let (source, json) = SourceText::open(text).map_err(|problem| vec![problem])?;
    let mut reader = FileReader { source, problems: Vec::new(), in_repeat: false, in_race: false };
    let root = At { json, path: String::new() };
    let scenario = scenario(&mut reader, &root, traces);
    if let Some((scenario, complete)) = &scenario {
        check::check(&mut reader, &root, scenario, *complete);
    }
    match scenario {
        Some((scenario, _)) if reader.problems.is_empty() => Ok(scenario),
        _ => {
            reader.problems.sort_by_key(|problem| problem.position);
            Err(reader.problems)
        }
    }
}

/// Reads and checks a scenario that is a value inside of a file, such as the base of a sweep. Notes
/// every problem.
pub(crate) fn read_inside<'a>(reader: &mut FileReader<'a>, file: &At<'a>, at: &At<'a>, traces: &Traces<'_>) {
    if let Some((scenario, complete)) = scenario(reader, at, traces) {
        check::check(reader, file, &scenario, complete);
    }
}

/// Reads as much of the scenario as possible. `None` if its format is unknown.
fn scenario<'a>(reader: &mut FileReader<'a>, root: &At<'a>, traces: &Traces<'_>) -> Option<(Scenario, Complete)> {
    let top = reader.any_object(root.clone())?;
    let format = top.required(reader, "regrow")?;
    let number = format.json.number();
    if number != Some(FORMAT) {
        let found = number.map_or_else(|| format.json.kind().to_owned(), |number| number.to_string());
        reader.note(&format, format!("this version of regrow reads format {FORMAT}, found {found}"));
        return None;
    }
    reader.refuse_others(&top, TOP);
    let name = top.required(reader, "name").and_then(|at| reader.line(&at));
    let about = top.get("about").and_then(|at| reader.line(&at));
    let seed = top.get("seed").and_then(|at| reader.number(&at, 0, u64::MAX));
    let fidelity = top.get("fidelity").and_then(|at| reader.word(&at));
    let protocol = top.get("protocol").and_then(|at| reader.word(&at));
    let group = top.get("group").and_then(|at| group(reader, at));
    let service = top.get("service").and_then(|at| step::service::settings(reader, at));
    let trace_at = top.get("trace");
    // A trace names its members, and need not be followed by steps.
    let field = |reader: &mut FileReader<'a>, name| match &trace_at {
        Some(_) => top.get(name),
        None => top.required(reader, name),
    };
    let before = reader.problems.len();
    let listed = field(reader, "members").and_then(|at| members(reader, &at));
    let trace = trace_at.as_ref().and_then(|at| trace::trace(reader, at.clone(), traces));
    let members = with_members_of(trace.as_ref(), listed.unwrap_or_default());
    let has_members = reader.problems.len() == before;
    if members.len() > MAX_MEMBERS {
        let at = trace_at.as_ref().unwrap_or(root);
        reader.note(at, format!("a scenario has at most {MAX_MEMBERS} members, found {}", members.len()));
    }
    let before = reader.problems.len();
    let steps = field(reader, "steps").map(|at| steps(reader, &at)).unwrap_or_default();
    let complete = Complete { members: has_members, steps: reader.problems.len() == before, trace: trace_at.is_some() };
    let scenario = Scenario {
        name: name.unwrap_or_default(),
        about,
        seed: seed.unwrap_or_default(),
        fidelity: fidelity.unwrap_or_default(),
        protocol: protocol.unwrap_or_default(),
        group: group.unwrap_or_default(),
        service: service.unwrap_or_default(),
        members,
        trace,
        steps,
    };
    Some((scenario, complete))
}

/// The members of a trace, and then the listed ones that are not in it.
fn with_members_of(trace: Option<&Replay>, listed: Vec<MemberName>) -> Vec<MemberName> {
    let Some(trace) = trace else { return listed };
    let mut members = trace.history.members().to_vec();
    let known: BTreeSet<&str> = members.iter().map(MemberName::as_str).collect();
    let others: Vec<_> = listed.into_iter().filter(|name| !known.contains(name.as_str())).collect();
    members.extend(others);
    members
}

fn group<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<GroupSettings> {
    let fields = reader.object(at, GROUP)?;
    let mut limited = |name, most| fields.get(name).and_then(|at| reader.small_number(&at, 0, most));
    let past_epochs = limited("past_epochs", MAX_PAST_EPOCHS);
    let out_of_order = limited("out_of_order", MAX_OUT_OF_ORDER);
    let padding = limited("padding", MAX_PADDING);
    Some(GroupSettings {
        ciphersuite: fields.get("ciphersuite").and_then(|at| reader.word(&at)),
        handshake: fields.get("handshake").and_then(|at| reader.word(&at)),
        past_epochs,
        out_of_order,
        padding,
        publish_group_info: fields.get("publish_group_info").and_then(|at| reader.truth(&at)),
    })
}

/// A member is a user. Its name has to be a user name, in the form in which users are compared.
fn check_user<'a>(reader: &mut FileReader<'a>, at: &At<'a>, name: &str) {
    if name.len() > MAX_USER_BYTES {
        reader.note(at, format!("the name of a member has at most {MAX_USER_BYTES} bytes, found {}", name.len()));
    } else if let Err(error) = UserId::from_normal(name) {
        reader.note(at, format!("`{}` is not the name of a user: {error}", shown(name)));
    }
}

fn members<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Option<Vec<MemberName>> {
    let names = match at.elements() {
        Some(elements) if elements.is_empty() => {
            reader.note(at, "a scenario has at least one member");
            return None;
        }
        Some(elements) if elements.len() > MAX_MEMBERS => {
            let count = elements.len();
            reader.note(at, format!("a scenario has at most {MAX_MEMBERS} members, found {count}"));
            return None;
        }
        Some(elements) => {
            let names = reader.distinct(&elements)?;
            let before = reader.problems.len();
            elements.iter().zip(&names).for_each(|(at, name)| check_user(reader, at, name));
            (reader.problems.len() == before).then_some(names)?
        }
        None if at.json.kind() == "an object" => {
            let fields = reader.object(at.clone(), MANY_MEMBERS)?;
            let prefix_at = fields.required(reader, "prefix");
            let prefix = prefix_at.as_ref().and_then(|at| reader.name(at));
            let count = fields.required(reader, "count");
            let count = count.and_then(|at| reader.number(&at, 1, MAX_MEMBERS as u64));
            let (prefix, count) = (prefix?, count?);
            let before = reader.problems.len();
            check_user(reader, &prefix_at?, &format!("{prefix}{count}"));
            (reader.problems.len() == before)
                .then(|| (1..=count).map(|number| format!("{prefix}{number}")).collect())?
        }
        None => {
            let found = at.json.kind();
            reader.note(at, format!(r#"expected a list of names or {{"prefix": "m", "count": 100}}, found {found}"#));
            return None;
        }
    };
    Some(names.into_iter().map(MemberName::new).collect())
}

fn steps<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Vec<Placed<WrittenStep>> {
    match at.elements() {
        Some(elements) if elements.is_empty() => reader.note(at, "a scenario has at least one step"),
        Some(elements) => return nodes(reader, &elements, ""),
        None => {
            let found = at.json.kind();
            reader.note(at, format!("expected a list of steps, found {found}"));
        }
    }
    Vec::new()
}

/// Reads the steps of a list. A step that cannot be read is noted and left out.
fn nodes<'a>(reader: &mut FileReader<'a>, elements: &[At<'a>], outer: &str) -> Vec<Placed<WrittenStep>> {
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
    let inner = format!("{number}.");
    match name {
        "repeat" if reader.in_repeat => {
            reader.note(&key, "a repeat cannot be inside another: `{i}` would have two meanings");
            None
        }
        "repeat" => {
            reader.in_repeat = true;
            let node = repeat(reader, value, &inner);
            reader.in_repeat = false;
            node
        }
        "race" if reader.in_race => {
            reader.note(&key, "a race cannot be inside another: all of its steps are in the same epoch already");
            None
        }
        "race" => match value.elements() {
            Some(elements) if elements.is_empty() => {
                reader.note(&value, "a race has at least two steps, found none");
                None
            }
            Some(elements) => {
                reader.in_race = true;
                let contenders = nodes(reader, &elements, &inner);
                reader.in_race = false;
                Some(WrittenStep::Race(contenders))
            }
            None => {
                let found = value.json.kind();
                reader.note(&value, format!("expected a list of steps, found {found}"));
                None
            }
        },
        "churn" if reader.in_repeat || reader.in_race => {
            reader.note(&key, "a churn is a step of its own: it cannot be inside a repeat or a race");
            None
        }
        "churn" => {
            let before = reader.problems.len();
            let churn = churn::churn(reader, value)?;
            (reader.problems.len() == before).then(|| WrittenStep::Churn(Box::new(churn)))
        }
        name if NOT_SUPPORTED.contains(&name) => {
            reader.note(&key, format!("step `{name}` is not supported by this version of regrow"));
            None
        }
        name => match step::DECODERS.iter().find(|(known, _)| *known == name) {
            Some((_, decode)) => decoded(reader, value, *decode).map(WrittenStep::Do),
            None => {
                reader.note(&key, unknown_step(name));
                None
            }
        },
    }
}

/// Reads an action if all of its fields can be read. The checker does not check a step with a
/// problem.
fn decoded<'a>(reader: &mut FileReader<'a>, value: At<'a>, decode: step::Decoder) -> Option<Action> {
    let before = reader.problems.len();
    let action = decode(reader, value)?;
    (reader.problems.len() == before).then_some(action)
}

fn repeat<'a>(reader: &mut FileReader<'a>, value: At<'a>, inner: &str) -> Option<WrittenStep> {
    let fields: Fields<'a> = reader.object(value, REPEAT)?;
    let times = fields.required(reader, "times").and_then(|at| reader.small_number(&at, 1, MAX_TURNS));
    let at = fields.required(reader, "steps")?;
    let steps = match at.elements() {
        Some(elements) if elements.is_empty() => {
            reader.note(&at, "a repeat has at least one step");
            return None;
        }
        Some(elements) => nodes(reader, &elements, inner),
        None => {
            let found = at.json.kind();
            reader.note(&at, format!("expected a list of steps, found {found}"));
            return None;
        }
    };
    Some(WrittenStep::Repeat { times: times?, steps })
}

fn unknown_step(name: &str) -> String {
    let known: Vec<&str> = step_names().into_iter().collect();
    match nearest(name, known.iter().copied().chain(NOT_SUPPORTED.iter().copied())) {
        Some(near) => format!("unknown step `{}`; did you mean `{near}`?", shown(name)),
        None => unknown("step", name, &known),
    }
}

/// The names of the steps of this version.
fn step_names() -> BTreeSet<&'static str> {
    step::DECODERS.iter().map(|(name, _)| *name).chain(["race", "repeat", "churn"]).collect()
}

/// The problem with a file that is not UTF-8, at its first invalid byte.
pub(super) fn not_utf8(error: &FromUtf8Error) -> FileProblem {
    let valid = error.utf8_error().valid_up_to();
    let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
    FileProblem {
        position: Some(SourceText::end_of(&before)),
        field: String::new(),
        problem: "this is not UTF-8 text".to_owned(),
    }
}
