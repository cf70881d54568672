//! Tags, timeouts and strictness of a scenario.

use std::time::Duration;

use regrow_simulator::scenario::{FileProblem, Scenario, Timeout, read, write};
use serde_json::{Value, json};

use crate::common::run;

fn document(settings: &Value) -> Value {
    let mut document = json!({
        "regrow": 1,
        "name": "settings",
        "members": ["alice", "bob"],
        "steps": [
            { "create": { "by": "alice", "with": "bob" } },
            { "repeat": { "times": 3, "steps": [{ "wait": "1d" }] } },
            { "update": { "by": "bob" } }
        ]
    });
    document.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    document
}

fn with(settings: Value) -> Result<Scenario, Vec<FileProblem>> {
    read(&document(&settings).to_string())
}

#[track_caller]
fn assert_refused(settings: Value, problem: &str) {
    let problems = with(settings).unwrap_err();
    assert!(problems[0].to_string().contains(problem), "{problems:?}");
}

#[test]
fn settings_are_read_and_written() {
    let all = json!({ "tags": ["smoke", "nightly"], "timeout": { "real": "90s", "virtual": "7d" }, "strict": true });
    let scenario = with(all).unwrap();
    assert_eq!(scenario.run.tags, ["smoke", "nightly"]);
    let (real, virtual_time) = (Some(Duration::from_secs(90)), Some(Duration::from_secs(7 * 24 * 60 * 60)));
    assert_eq!(scenario.run.timeout, Timeout { real, virtual_time });
    assert!(scenario.run.strict);
    assert_eq!(read(&write(&scenario)).unwrap().run, scenario.run);
    assert_eq!(with(json!({ "tags": [], "strict": false })).unwrap().run, with(json!({})).unwrap().run);
}

#[test]
fn wrong_settings_are_refused() {
    assert_refused(json!({ "tags": "smoke" }), "tags: expected a list of names, found a text");
    assert_refused(json!({ "tags": ["a", "a"] }), "tags, item 2: `a` occurs twice in one list");
    assert_refused(json!({ "tags": ["a b"] }), "tags, item 1: a name has no spaces");
    let many: Vec<_> = (0..33).map(|number| format!("t{number}")).collect();
    assert_refused(json!({ "tags": many }), "tags: expected 0 to 32 names, found 33");
    assert_refused(
        json!({ "timeout": "90s" }),
        "timeout: expected an object with some of `real` and `virtual`, found a text",
    );
    assert_refused(json!({ "timeout": {} }), "timeout: a time is missing; known are real, virtual");
    assert_refused(json!({ "timeout": { "real": "0s" } }), "timeout.real: this duration is at least one second");
    assert_refused(json!({ "strict": 1 }), "strict: expected true or false, found a number");
}

#[test]
fn virtual_time_ends_a_scenario_at_the_first_step_beyond_it() {
    for fidelity in ["real", "model"] {
        let limited = |limit: &str| with(json!({ "fidelity": fidelity, "timeout": { "virtual": limit } })).unwrap();
        run(&limited("3d")).assert_passed("the limit is not exceeded");
        let failures = run(&limited("2d")).outcome.failures;
        let [failure] = failures.as_slice() else { panic!("{failures:?}") };
        assert_eq!(failure.place.as_ref().unwrap().to_string(), "step 2.1 (line 1, turn 3)");
        assert_eq!(failure.expected, "the scenario ends within 2d of virtual time");
        assert_eq!(failure.seen, "3d have passed");
    }
}
