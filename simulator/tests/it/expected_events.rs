//! Expectations on events: the facts that the engine of a device tells its application.

use crate::common::{assert_published_pass, run, scenario, scenario_with, told};
use regrow_simulator::{
    report::{Failure, RunOutcome},
    scenario::{read, write},
};
use serde_json::{Value, json};

const MEMBERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn create() -> Value {
    json!({ "create": { "by": "alice", "with": ["bob", "carol"] } })
}

fn events(events: Value) -> Value {
    json!({ "expect": { "events": events } })
}

fn event(to: &str, event: &str) -> Value {
    json!({ "to": to, "event": event })
}

fn outcome(steps: &[Value]) -> RunOutcome {
    run(&scenario(&MEMBERS, steps)).outcome
}

/// The expected and the seen fact of the only failure.
#[track_caller]
fn fails(steps: &[Value]) -> (String, String) {
    let failures = outcome(steps).failures;
    let [Failure { expected, seen, place: Some(_), .. }] = failures.as_slice() else { panic!("{}", told(&failures)) };
    (expected.clone(), seen.clone())
}

#[track_caller]
fn passes(steps: &[Value]) {
    let failures = outcome(steps).failures;
    assert!(failures.is_empty(), "{}", told(&failures));
}

fn pair(expected: &str, seen: &str) -> (String, String) {
    (expected.to_owned(), seen.to_owned())
}

fn problem(steps: &[Value]) -> String {
    let text = json!({ "regrow": 1, "name": "a test", "members": MEMBERS, "steps": steps }).to_string();
    read(&text).unwrap_err()[0].to_string()
}

#[test]
fn published_scenarios_pass_with_any_seed_and_are_reproducible() {
    for (path, run) in assert_published_pass("events", 4) {
        assert_eq!(run.outcome.warnings, [], "{path:?}");
    }
}

#[test]
fn each_event_of_a_commit_is_told_to_its_committer_and_to_the_others() {
    passes(&[
        create(),
        events(json!([
            { "to": ["bob", "carol"], "event": "joined", "about": "alice", "times": 1 },
            { "to": "alice", "event": "commit", "about": "alice", "times": 1 },
            { "to": "alice", "event": "member_added", "about": ["bob", "carol"], "times": 1 },
            { "to": "everybody", "event": "removed", "times": 0 }
        ])),
        json!({ "remove": { "by": "bob", "who": "carol" } }),
        events(json!([
            { "to": ["alice", "bob"], "event": "member_removed", "about": "carol", "times": 1 },
            { "to": "carol", "event": "removed", "about": "bob" },
            { "to": "carol", "event": "commit", "times": 0 }
        ])),
        json!({ "propose": { "by": "alice", "add": "dave" } }),
        events(json!([{ "to": "bob", "event": "proposal", "about": "alice", "times": 1 }])),
        json!({ "set_data": { "by": "bob", "data": "chess" } }),
        events(json!([{ "to": ["alice", "bob"], "event": "data_changed", "about": "bob", "times": 1 }])),
    ]);
}

#[test]
fn a_failure_tells_the_member_the_step_and_the_told_events() {
    let update = || json!({ "update": { "by": "bob" } });
    let step = |one: Value| [create(), update(), events(json!([one]))];
    assert_eq!(
        fails(&step(event("alice", "member_removed"))),
        pair("alice is told `member_removed` in step 2 (line 1)", "it is told `commit` about bob")
    );
    assert_eq!(
        fails(&step(json!({ "to": "alice", "event": "commit", "about": "carol" }))),
        pair("alice is told `commit` about carol in step 2 (line 1)", "it is told `commit` about bob")
    );
    assert_eq!(
        fails(&step(json!({ "to": "alice", "event": "commit", "times": 0 }))),
        pair("alice is not told `commit` in step 2 (line 1)", "it is told it once")
    );
    assert_eq!(
        fails(&step(json!({ "to": "alice", "event": "commit", "times": 3, "of": "run" }))),
        pair("alice is told `commit` 3 times until here", "it is told it 2 times")
    );
    assert_eq!(
        fails(&step(event("dave", "joined"))),
        pair("dave is told `joined` in step 2 (line 1)", "it is told nothing")
    );
    assert_eq!(
        fails(&step(event("carol", "joined"))),
        pair(
            "carol is told `joined` in step 2 (line 1)",
            "it is told `commit` about bob; step 1 (line 1) told it, and `\"of\": \"run\"` counts all steps"
        )
    );
    let failures = outcome(&step(event("alice", "member_removed"))).failures;
    assert_eq!(failures[0].subject.members[0].as_str(), "alice");
}

#[test]
fn an_event_counts_in_the_step_in_which_the_device_reads_it() {
    let away = |event: Value| {
        [
            create(),
            json!({ "offline": { "who": "carol" } }),
            json!({ "update": { "by": "bob" } }),
            events(json!([{ "to": "carol", "event": "commit", "times": 0 }])),
            json!({ "online": { "who": "carol" } }),
            events(json!([event])),
        ]
    };
    passes(&away(json!({ "to": "carol", "event": "commit", "about": "bob", "times": 1 })));
    assert_eq!(fails(&away(event("alice", "commit"))).0, "alice is told `commit` in step 5 (line 1)");
}

#[test]
fn an_event_can_be_told_within_a_bound() {
    let steps = |bound: u64| {
        let removed = json!({ "events": [event("carol", "removed")], "within": { "steps": bound } });
        [
            create(),
            json!({ "expect": removed }),
            json!({ "update": { "by": "bob" } }),
            json!({ "remove": { "by": "alice", "who": "carol" } }),
            json!({ "update": { "by": "bob" } }),
        ]
    };
    passes(&steps(2));
    let (expected, seen) = fails(&steps(1));
    assert_eq!(expected, "carol is told `removed` in step 3 (line 1) within 1 step");
    assert!(seen.starts_with("it is told `commit` about bob (last check: after step 3"), "{seen}");
}

#[test]
fn a_new_key_is_told_without_the_keys_of_own_work() {
    passes(&[
        create(),
        events(json!([{ "to": "alice", "event": "new_key", "times": 0 }])),
        events(json!([{ "to": "bob", "event": "new_key", "about": ["alice", "carol"], "times": 1 }])),
        json!({ "update": { "by": "bob" } }),
        events(json!([{ "to": ["alice", "carol"], "event": "new_key", "times": 0 }])),
        json!({ "update": { "by": "bob", "signature_key": true } }),
        events(json!([{ "to": ["alice", "carol"], "event": "new_key", "about": "bob", "times": 1 }])),
        json!({ "add": { "by": "alice", "who": "dave" } }),
        events(json!([
            { "to": "alice", "event": "new_key", "times": 0 },
            { "to": ["bob", "carol"], "event": "new_key", "about": "dave" }
        ])),
    ]);
}

#[test]
fn a_refused_key_is_told_as_refused() {
    passes(&[
        create(),
        json!({ "authenticate": { "who": "carol", "of": "bob", "answer": "refuse" } }),
        json!({ "update": { "by": "bob", "signature_key": true } }),
        events(json!([
            { "to": "carol", "event": "refused", "about": "bob" },
            { "to": "alice", "event": "refused", "times": 0 },
            { "to": "carol", "event": "commit", "times": 0 }
        ])),
    ]);
}

#[test]
fn forged_entries_are_told_as_lost_or_removed() {
    let forged = |act: &str, expected: Value| {
        let steps = [
            create(),
            json!({ "compromise": { "who": "bob", "id": "stolen" } }),
            json!({ "impersonate": { "compromise": "stolen", "action": act } }),
            events(expected),
        ];
        let run = run(&scenario_with(json!({ "publish_group_info": true }), &MEMBERS, &steps));
        assert!(run.passed(), "{act}: {}", told(&run.outcome.failures));
    };
    forged("commit", json!([{ "to": "bob", "event": "lost" }, { "to": "alice", "event": "commit", "about": "bob" }]));
    forged("rejoin", json!([{ "to": "bob", "event": "removed", "about": "bob" }]));
}

#[test]
fn an_external_join_is_told_to_the_joiner() {
    let steps = [
        create(),
        json!({ "join": { "who": "dave" } }),
        events(json!([
            { "to": "dave", "event": "joined", "times": 1 },
            { "to": ["alice", "bob", "carol"], "event": "member_added", "about": "dave", "times": 1 }
        ])),
    ];
    passes(&steps);
}

#[test]
fn events_of_a_named_group_are_its_own() {
    let steps = |group: &str, times: u64| {
        let joined = json!({ "to": "bob", "event": "joined", "of": "run", "times": times });
        [
            create(),
            json!({ "create": { "by": "alice", "with": "bob", "group": "pair" } }),
            json!({ "expect": { "group": group, "events": [joined] } }),
        ]
    };
    passes(&steps("pair", 1));
    passes(&steps("group", 1));
    let both = json!({ "to": "bob", "event": "joined", "of": "run", "times": 2 });
    passes(&[steps("pair", 1)[0].clone(), steps("pair", 1)[1].clone(), events(json!([both]))]);
}

#[test]
fn devices_of_a_user_are_told_one_by_one() {
    let members = ["alice", "bob/phone", "bob/laptop"];
    let steps = [
        json!({ "create": { "by": "alice", "with": "bob" } }),
        json!({ "verify": { "by": "alice", "who": "bob/phone" } }),
        json!({ "update": { "by": "bob/laptop", "signature_key": true } }),
        events(json!([
            { "to": "alice", "event": "no_longer_verified", "about": "bob/phone", "times": 1 },
            { "to": "alice", "event": "new_key", "about": "bob/laptop", "times": 1 },
            { "to": "alice", "event": "new_key", "about": "bob/phone", "times": 0 }
        ])),
        events(json!([{ "to": "bob", "event": "commit", "about": "bob/laptop", "times": 1 }])),
    ];
    run(&scenario(&members, &steps)).assert_passed("two devices");
}

#[test]
fn silence_of_a_device_that_got_nothing_is_a_warning() {
    let warnings = |of: &str, who: &str| {
        let silent = json!({ "to": who, "event": "removed", "times": 0, "of": of });
        let steps = [create(), json!({ "wait": "1s" }), events(json!([silent]))];
        let warnings = outcome(&steps).warnings.into_iter();
        warnings.map(|warning| warning.seen).collect::<Vec<_>>()
    };
    assert_eq!(warnings("step", "bob"), ["`events` holds in any case: nothing was delivered to bob"]);
    assert_eq!(warnings("run", "dave"), ["`events` holds in any case: nothing was delivered to dave"]);
    assert_eq!(warnings("run", "bob"), Vec::<String>::new());
}

#[test]
fn an_expectation_on_events_changes_no_output() {
    let steps = [create(), json!({ "update": { "by": "bob", "signature_key": true } })];
    let before = run(&scenario(&MEMBERS, &steps));
    let asked: Vec<_> = steps.into_iter().chain([events(json!([event("alice", "new_key")]))]).collect();
    assert_eq!(run(&scenario(&MEMBERS, &asked)).hash, before.hash);
}

#[test]
fn a_written_expectation_reads_back() {
    let asked = json!([
        { "to": "bob", "event": "removed", "about": ["alice", "carol"], "times": 0, "of": "run" },
        { "to": ["alice", "bob"], "event": "commit" }
    ]);
    let scenario = scenario(&MEMBERS, &[create(), events(asked)]);
    let text = write(&scenario);
    assert_eq!(write(&read(&text).unwrap()), text);
    let line = r#"{ "events": [{ "to": "bob", "event": "removed", "about": ["alice", "carol"], "times": 0, "of": "run" }, { "to": ["alice", "bob"], "event": "commit" }] }"#;
    assert!(text.contains(line), "{text}");
}

#[test]
fn mistakes_are_told_when_the_file_is_read() {
    let after_create = |asked: Value| problem(&[create(), events(asked)]);
    let unknown = after_create(json!([event("bob", "commited")]));
    for (told, problem) in [
        ("unknown value `commited`; did you mean `commit`?", unknown),
        (
            "step 2, expect.events, item 1, to, item 1: no member is called `bbo`; did you mean `bob`?",
            after_create(json!([event("bbo", "commit")])),
        ),
        (
            "expect.events, item 1, about, item 1: no member is called `eve`",
            after_create(json!([{ "to": "bob", "event": "commit", "about": "eve" }])),
        ),
        (
            "`lost` is about no other member; leave `about` out",
            after_create(json!([{ "to": "bob", "event": "lost", "about": "alice" }])),
        ),
        ("expected a list of objects with `to` and `event`, found an object", after_create(event("bob", "commit"))),
        (
            "expected an object with `to` and `event`, and optionally `about`, `times` or `of`, found a text",
            after_create(json!(["removed"])),
        ),
        ("expected at least one event, found an empty list", after_create(json!([]))),
        ("there is no group yet: `create` comes first", problem(&[events(json!([event("bob", "commit")]))])),
        (
            "an event with `times` 0 cannot become true later",
            problem(&[
                create(),
                json!({ "expect": { "events": [{ "to": "bob", "event": "lost", "times": 0 }], "eventually": true } }),
            ]),
        ),
    ] {
        assert!(problem.contains(told), "{problem}\nlacks {told}");
    }
    let model = json!({
        "regrow": 1, "name": "a test", "fidelity": "model", "members": MEMBERS,
        "steps": [create(), events(json!([event("bob", "joined")]))]
    });
    let problems = read(&model.to_string()).unwrap_err();
    assert!(problems[0].problem.contains("the cost model has no such step or condition"), "{problems:?}");
}
