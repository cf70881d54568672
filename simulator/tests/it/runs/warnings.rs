//! The warnings of a run: a scenario that passes may still not test what its author wants.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{folder, lines, regrow, talk};

/// The kinds and steps of the warnings of a scenario that passes.
#[track_caller]
fn warnings(steps: &[Value]) -> Vec<(String, Option<String>)> {
    let folder = folder(&[("a.json", "a test", steps.to_vec())]);
    let result = lines(&regrow(&["run", "--json", "a.json"], folder.path())).remove(0);
    assert_eq!(result["status"], "passed", "{result}");
    let strict = regrow(&["run", "--strict", "a.json"], folder.path());
    let warnings = result["warnings"].as_array().unwrap();
    assert_eq!(strict.status.code(), Some(i32::from(!warnings.is_empty())), "{result}");
    let word = |value: &Value| value.as_str().map(str::to_owned);
    warnings.iter().map(|warning| (word(&warning["kind"]).unwrap(), word(&warning["step"]))).collect()
}

fn with(more: &[Value]) -> Vec<Value> {
    [&talk()[..], more].concat()
}

fn warning(kind: &str, step: &str) -> Vec<(String, Option<String>)> {
    vec![(kind.to_owned(), Some(step.to_owned()))]
}

fn steal() -> Value {
    json!({ "compromise": { "who": "bob", "id": "stolen" } })
}

fn heal() -> Value {
    json!({ "update": { "by": "bob" } })
}

fn send(id: &str) -> Value {
    json!({ "send": { "by": "alice", "id": id } })
}

#[test]
fn scenario_that_expects_something_has_no_warning() {
    assert_eq!(warnings(&talk()), []);
}

#[test]
fn scenario_without_expectations() {
    assert_eq!(warnings(&talk()[..2]), [("nothing_expected".to_owned(), None)]);
}

#[test]
fn exposed_message_that_nobody_mentions() {
    let steps = |reads: Value| {
        with(&[
            steal(),
            send("m2"),
            send("m3"),
            heal(),
            json!({ "expect": { "compromise": "stolen", "reads": reads } }),
        ])
    };
    assert_eq!(warnings(&steps(json!(["m2", "m3"]))), []);
    assert_eq!(warnings(&steps(json!(["m2"]))), warning("unexpected_exposure", "4"));
    let unmentioned = with(&[steal(), send("m2"), heal()]);
    assert_eq!(warnings(&unmentioned), warning("unexpected_exposure", "4"));
}

#[test]
fn theft_that_has_not_healed() {
    assert_eq!(warnings(&with(&[steal()])), warning("not_healed", "4"));
    assert_eq!(warnings(&with(&[steal(), heal()])), []);
    let expect = |healed: bool| json!({ "expect": { "compromise": "stolen", "healed": healed } });
    assert_eq!(warnings(&with(&[steal(), expect(false)])), []);
    assert_eq!(warnings(&with(&[steal(), expect(false), heal(), expect(true)])), []);
}

#[test]
fn healed_is_an_expectation() {
    for (steps, healed, seen) in [
        (vec![steal()], true, "the thief still has secrets of the present epoch"),
        (vec![steal(), heal()], false, "the thief has no secret of the present epoch"),
    ] {
        let expect = json!({ "expect": { "compromise": "stolen", "healed": healed } });
        let folder = folder(&[("a.json", "a test", [&with(&steps)[..], &[expect]].concat())]);
        let result = lines(&regrow(&["run", "--json", "a.json"], folder.path())).remove(0);
        assert_eq!(result["failures"][0]["seen"], seen, "{result}");
    }
}

#[test]
fn message_that_is_held_to_the_end() {
    let hold = json!({ "hold": { "id": "m2", "for": "bob" } });
    let release = json!({ "release": { "id": "m2" } });
    assert_eq!(warnings(&with(&[hold.clone(), send("m2")])), warning("never_released", "4"));
    assert_eq!(warnings(&with(&[hold, send("m2"), release])), []);
}

#[test]
fn expectations_that_cannot_fail() {
    let expect = |fields: Value| json!({ "expect": fields });
    let cases = [
        // The reader sent the message itself.
        (vec![expect(json!({ "who": "alice", "reads": "m1" }))], true),
        (vec![expect(json!({ "who": ["alice", "bob"], "reads": "m1" }))], false),
        // The reader was never in the group.
        (vec![expect(json!({ "who": "carol", "cannot_read": "m1" }))], true),
        (
            vec![
                json!({ "add": { "by": "alice", "who": "carol" } }),
                expect(json!({ "who": "carol", "cannot_read": "m1" })),
            ],
            false,
        ),
        // The other fields of the step make no difference.
        (vec![expect(json!({ "who": "carol", "cannot_read": "m1", "epoch": 1 }))], true),
        // Nobody and nothing is named.
        (vec![expect(json!({ "who": [], "reads": "m1" }))], true),
        (vec![expect(json!({ "who": [], "cannot_read": "m1", "reads": [] }))], true),
        (vec![expect(json!({ "who": "bob", "reads": [] }))], true),
        (vec![expect(json!({ "who": "bob", "reads": [], "cannot_read": [], "epoch": 1 }))], true),
        // A reading list can have the messages of the reader itself, if the rest can fail.
        (
            vec![
                json!({ "send": { "by": "bob", "id": "m2" } }),
                json!({ "remove": { "by": "alice", "who": "bob" } }),
                send("m3"),
                expect(json!({ "who": "bob", "reads": "m2", "cannot_read": "m3" })),
            ],
            false,
        ),
        // Nobody else is online.
        (vec![json!({ "offline": { "who": "bob" } }), expect(json!({ "converged": true }))], true),
        (vec![expect(json!({ "converged": true }))], false),
        // In the second turn, the message is not the reader's own.
        (
            vec![
                send("x1"),
                json!({ "send": { "by": "bob", "id": "x2" } }),
                json!({ "repeat": { "times": 2, "steps": [{ "expect": { "who": "alice", "reads": "x{i}" } }] } }),
            ],
            false,
        ),
    ];
    for (steps, cannot_fail) in cases {
        let kinds: Vec<_> = warnings(&with(&steps)).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds == ["cannot_fail"], cannot_fail, "{steps:?}: {kinds:?}");
    }
}

#[test]
fn message_that_was_not_sent_cannot_be_read() {
    let fails = json!({ "send": { "by": "carol", "id": "m2" } });
    let steps = [fails, json!({ "expect": { "fails": "not_a_member" } })];
    let unsent = json!({ "expect": { "who": "bob", "cannot_read": "m2" } });
    assert_eq!(warnings(&with(&[&steps[..], &[unsent]].concat())), warning("cannot_fail", "6"));
}

#[test]
fn published_scenarios_pass_a_strict_run() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let output = regrow(&["run", "scenarios", "--strict"], folder);
    let out = super::text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(out.lines().filter(|line| line.starts_with("passed")).count() >= 40, "{out}");
}

#[test]
fn failing_scenarios_have_failures_only() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/failing");
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let result = lines(&regrow(&["run", "--json", file.to_str().unwrap()], Path::new("."))).remove(0);
        assert_eq!(result["warnings"], json!([]), "{file:?}");
    }
}
