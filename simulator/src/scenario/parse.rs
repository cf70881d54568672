//! Turns the text of a file into a [`Scenario`]: the top of the file.

use std::{collections::BTreeSet, string::FromUtf8Error};

use super::{
    check::{self, Complete},
    describe::{Field, Kind, Object, words},
    fields::{At, FileReader},
    format::{FORMAT, Fidelity, Protocol, Scenario},
    group::{GROUP, group},
    json::SourceText,
    name::MemberName,
    policy::{MEMBER_POLICY, policies},
    problem::FileProblem,
    run_settings::{TAGS, TIMEOUT, run_settings},
    service_settings::{SERVICE, service},
    step::{list, nodes},
    syntax::{PlainText, Syntax},
    trace::{self, TRACE, Traces},
    users::{ambiguous, problem_of},
};
use crate::trace::Replay;

/// The length of the longest name of a member or a group, in bytes. An identity has room for it
/// beside the name of the device, and an identifier of a group beside the suffix of a run.
pub(super) const MAX_IDENTIFIER_BYTES: usize = 200;

/// The largest number of members in a scenario. A run makes a real device for each of them, and its
/// memory and time end far below this number. Generated histories without devices reach it.
pub const MAX_MEMBERS: usize = 1_000_000;

/// The largest number of turns in a `repeat`.
pub const MAX_TURNS: u32 = 1_000_000;

/// The top of a file.
pub(super) const TOP: Object = Object::new(&[
    Field::optional("$schema", Kind::Line, "The address of the JSON Schema, for an editor. The reader ignores it."),
    Field::required("regrow", Kind::Format, "The format: 1."),
    Field::required("name", Kind::Line, "The scenario's name in reports."),
    Field::optional("about", Kind::Line, "One sentence that says why the behaviour matters to a product."),
    Field::with_default(
        "0",
        "seed",
        Kind::Number(0, u64::MAX),
        "The source of all randomness. The option `--seed N` replaces it.",
    ),
    Field::with_default(
        "real",
        "fidelity",
        Kind::Word(words::<Fidelity>),
        "`real`: each member is a real MLS client. `model`: the cost model, which has sizes and counts without \
         cryptography.",
    ),
    Field::with_default(
        "mls",
        "protocol",
        Kind::Word(words::<Protocol>),
        "The protocol that the cost model prices. Others than `mls` need the fidelity `model`.",
    ),
    Field::optional("tags", TAGS, "Names by which a run selects scenarios."),
    Field::optional("timeout", Kind::Object(&TIMEOUT), "The longest times that the scenario may take."),
    Field::with_default("false", "strict", Kind::Truth, "True: each warning of the run is a failure."),
    Field::optional("group", Kind::Object(&GROUP), "The settings of the group."),
    Field::optional(
        "policies",
        Kind::List(&Kind::Object(&MEMBER_POLICY)),
        "The policies of members that have other settings than the group.",
    ),
    Field::optional("service", Kind::Object(&SERVICE), "The settings of the delivery service."),
    Field::unless(
        "trace",
        "members",
        Kind::Either(&[Kind::NameList(1, MAX_MEMBERS), Kind::Object(&MANY_MEMBERS)]),
        "All participants: `alice`, or `alice/phone` for one of several devices of a user. A run makes a real device for \
         each of them.",
    ),
    Field::optional(
        "trace",
        Kind::Either(&[Kind::Line, Kind::Object(&TRACE)]),
        "The history of a real group, which is replayed before the steps: its path, or an object.",
    ),
    Field::unless("trace", "steps", Kind::Steps, "The steps, in order."),
])
.about("Scripted membership changes, messages and compromises of MLS groups.");

const MANY_MEMBERS: Object = Object::new(&[
    Field::required("prefix", Kind::Name, "The start of each name: `m` gives m1, m2 and so on."),
    Field::required("count", Kind::Number(1, MAX_MEMBERS as u64), "The number of members."),
])
.about("Members with numbered names.");

/// The problem with a trace in a text without a file.
const NO_FOLDER: &str = "the path of a trace is relative to a file; load this scenario from a file";

/// Reads a scenario from the text of a JSON file, and checks it. The text may have comments and
/// trailing commas.
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
    read_as(Syntax::Json, text, &|_| Err(NO_FOLDER.to_owned()))
}

/// Reads a scenario from the text of a YAML file, and checks it.
///
/// ```
/// use regrow_simulator::scenario::read_yaml;
///
/// let scenario = read_yaml("
/// regrow: 1
/// name: two people talk
/// members: [alice, bob]
/// steps:
/// - create: { by: alice, with: bob }
/// - send: { by: alice, id: m1 }
/// - expect: { who: bob, reads: m1 }
/// ");
/// assert_eq!(scenario.unwrap().expand().count(), 3);
/// ```
///
/// # Errors
///
/// Every problem that was found, in the order of the file. If the text is no YAML, only this
/// problem.
pub fn read_yaml(text: &str) -> Result<Scenario, Vec<FileProblem>> {
    read_as(Syntax::Yaml, text, &|_| Err(NO_FOLDER.to_owned()))
}

/// Reads a scenario in JSON, and gets its trace from a function.
pub(crate) fn read_with(text: &str, traces: &Traces<'_>) -> Result<Scenario, Vec<FileProblem>> {
    read_as(Syntax::Json, text, traces)
}

/// Reads a scenario in a syntax, and gets its trace from a function.
pub(super) fn read_as(syntax: Syntax, text: &str, traces: &Traces<'_>) -> Result<Scenario, Vec<FileProblem>> {
    let text = PlainText::of(text, syntax).map_err(|problem| vec![problem])?;
    let (source, json) = text.open().map_err(|problem| vec![problem])?;
    let mut reader = FileReader::new(source);
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
    let top = reader.by_description(top, &TOP);
    // An editor reads it.
    top.line(reader, "$schema");
    let name = top.line(reader, "name");
    let about = top.line(reader, "about");
    let seed = top.number(reader, "seed");
    let fidelity = top.word(reader, "fidelity");
    let protocol = top.word(reader, "protocol");
    let run = run_settings(reader, &top);
    let group = top.get("group").and_then(|at| group(reader, at));
    let policies = top.get("policies").map(|at| policies(reader, &at));
    let service = top.get("service").and_then(|at| service(reader, at));
    let trace_at = top.get("trace");
    // A trace names its members, and need not be followed by steps.
    let is_there = |name| trace_at.is_some() || top.get(name).is_some();
    let before = reader.problems.len();
    let listed = top.get("members").and_then(|at| members(reader, &at));
    let trace = trace_at.as_ref().and_then(|at| trace::trace(reader, at.clone(), traces));
    let members = with_members_of(trace.as_ref(), listed.unwrap_or_default());
    let has_members = is_there("members") && reader.problems.len() == before;
    if members.len() > MAX_MEMBERS {
        let at = trace_at.as_ref().unwrap_or(root);
        reader.note(at, format!("a scenario has at most {MAX_MEMBERS} members, found {}", members.len()));
    }
    if let Some((user, device)) = ambiguous(&members) {
        let members_at = top.get("members");
        let at = members_at.as_ref().or(trace_at.as_ref()).unwrap_or(root);
        reader.note(at, format!("the user `{user}` has the device `{device}`, so its other device needs a name, too"));
    }
    let before = reader.problems.len();
    let listed = top.get("steps").and_then(|at| list(reader, &at, "a scenario has at least one step"));
    let steps = nodes(reader, &listed.unwrap_or_default(), "");
    let has_steps = is_there("steps") && reader.problems.len() == before;
    let complete = Complete { members: has_members, steps: has_steps, trace: trace_at.is_some() };
    let scenario = Scenario {
        name: name.unwrap_or_default(),
        about,
        run,
        seed: seed.unwrap_or_default(),
        fidelity: fidelity.unwrap_or_default(),
        protocol: protocol.unwrap_or_default(),
        group: group.unwrap_or_default(),
        policies: policies.unwrap_or_default(),
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

/// Checks the name of a member, in the form in which users and devices are compared.
fn check_member<'a>(reader: &mut FileReader<'a>, at: &At<'a>, name: &str) {
    if let Some(problem) = problem_of(name) {
        reader.note(at, problem);
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
            let (indexes, names) = reader.distinct(&elements)?;
            if names.len() > MAX_MEMBERS {
                let count = names.len();
                reader.note(at, format!("a scenario has at most {MAX_MEMBERS} members, found {count}"));
                return None;
            }
            let before = reader.problems.len();
            let places = indexes.iter().filter_map(|index| elements.get(*index));
            places.zip(&names).for_each(|(at, name)| check_member(reader, at, name));
            (reader.problems.len() == before).then_some(names)?
        }
        None => {
            let fields = reader.described(at.clone(), &MANY_MEMBERS)?;
            let prefix_at = fields.get("prefix");
            let prefix = prefix_at.as_ref().and_then(|at| reader.name(at));
            let count = fields.number(reader, "count");
            let (prefix, count) = (prefix?, count?);
            let before = reader.problems.len();
            check_member(reader, &prefix_at?, &format!("{prefix}{count}"));
            (reader.problems.len() == before)
                .then(|| (1..=count).map(|number| format!("{prefix}{number}")).collect())?
        }
    };
    Some(names.into_iter().map(MemberName::new).collect())
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
