//! Expectations that become true within a bound: `within` and `eventually`.

use crate::common::{assert_published_pass, run, scenario, told};
use regrow_simulator::scenario::{read, write};
use serde_json::{Value, json};

const MEMBERS: [&str; 3] = ["alice", "bob", "carol"];

fn create() -> Value {
    json!({ "create": { "by": "alice", "with": "bob" } })
}

fn expect(fields: Value) -> Value {
    json!({ "expect": fields })
}

fn update(by: &str) -> Value {
    json!({ "update": { "by": by } })
}

/// The expected and the seen facts of the failures, with the step of each.
fn failures(steps: &[Value]) -> Vec<(String, String, String)> {
    let failures = run(&scenario(&MEMBERS, steps)).outcome.failures;
    let number = |place: Option<regrow_simulator::scenario::Place>| place.unwrap().number.to_string();
    failures.into_iter().map(|failure| (number(failure.place), failure.expected, failure.seen)).collect()
}

#[track_caller]
fn assert_passes(steps: &[Value]) {
    let run = run(&scenario(&MEMBERS, steps));
    assert!(run.passed(), "{}", told(&run.outcome.failures));
}

fn one(step: &str, expected: &str, seen: &str) -> Vec<(String, String, String)> {
    vec![(step.to_owned(), expected.to_owned(), seen.to_owned())]
}

#[test]
fn published_scenarios_pass_with_any_seed_and_are_reproducible() {
    assert_published_pass("timed", 3);
}

#[test]
fn steps_of_a_bound_are_counted_without_expectations() {
    let epoch_2 = |steps: u64| expect(json!({ "epoch": 2, "within": { "steps": steps } }));
    let wait = || json!({ "wait": "1s" });
    let after =
        |bound: u64| vec![create(), epoch_2(bound), wait(), expect(json!({ "epoch": 1 })), update("bob"), wait()];
    assert_passes(&after(2));
    let seen = "it is in epoch 1 (last check: after step 3 (line 1))";
    assert_eq!(failures(&after(1)), one("2", "the group is in epoch 2 within 1 step", seen));
}

#[test]
fn expectation_that_holds_at_once_needs_no_later_step() {
    // In the later epochs, the expectation does not hold any more.
    assert_passes(&[create(), expect(json!({ "epoch": 1, "within": { "steps": 1 } })), update("bob"), update("alice")]);
    assert_passes(&[create(), expect(json!({ "epoch": 1, "eventually": true }))]);
}

#[test]
fn time_of_a_bound_is_the_time_of_the_scenario() {
    let steps = |bound: &str, wait: &str| {
        vec![
            create(),
            expect(json!({ "epoch": 2, "within": bound })),
            json!({ "wait": wait }),
            update("bob"),
            json!({ "wait": "1d" }),
        ]
    };
    assert_passes(&steps("1h", "1h"));
    let seen = "it is in epoch 1 (last check: at the step itself)";
    assert_eq!(failures(&steps("1h", "61m")), one("2", "the group is in epoch 2 within 1h", seen));
}

#[test]
fn scenario_can_end_before_the_bound() {
    let seen = "it is in epoch 1 (last check: after step 3 (line 1); the scenario ended before the bound)";
    let steps = [create(), expect(json!({ "epoch": 2, "within": { "steps": 4 } })), json!({ "wait": "1s" })];
    assert_eq!(failures(&steps), one("2", "the group is in epoch 2 within 4 steps", seen));
    let seen = "it is in epoch 1 (last check: after step 3 (line 1))";
    let steps = [create(), expect(json!({ "epoch": 2, "eventually": true })), json!({ "wait": "1s" })];
    assert_eq!(failures(&steps), one("2", "the group is in epoch 2 before the end", seen));
    let seen = "it is in epoch 0 (last check: at the step itself)";
    let only = [json!({ "create": { "by": "alice" } }), expect(json!({ "epoch": 1, "eventually": true }))];
    assert_eq!(failures(&only)[0].2, seen.replace("at the step itself", "after step 1 (line 1)"));
}

#[test]
fn conditions_of_a_step_become_true_together() {
    let both = expect(json!({ "epoch": 2, "members": ["alice", "bob", "carol"], "eventually": true }));
    let add = json!({ "add": { "by": "alice", "who": "carol" } });
    assert_passes(&[create(), both.clone(), add.clone()]);
    // The group is in epoch 2, and later it has the members, but never both.
    let failed = failures(&[create(), both, update("bob"), add]);
    assert_eq!(failed[0].1, "the group is in epoch 2 before the end");
}

#[test]
fn step_that_fails_comes_before_the_bound_that_ends_with_it() {
    let bound = expect(json!({ "epoch": 2, "within": { "steps": 1 } }));
    let fails = json!({ "send": { "by": "carol", "id": "m1" } });
    let run = run(&scenario(&MEMBERS, &[create(), bound.clone(), fails.clone()]));
    assert_eq!(run.outcome.failures[0].place.as_ref().unwrap().number.as_ref(), "3");
    let steps = [create(), bound, fails, expect(json!({ "fails": "not_a_member" }))];
    assert_eq!(failures(&steps)[0].0, "2");
}

#[test]
fn healing_and_reading_can_have_time() {
    let theft = || json!({ "compromise": { "who": "bob", "id": "stolen" } });
    let healed = expect(json!({ "compromise": "stolen", "healed": true, "within": { "steps": 2 } }));
    assert_passes(&[create(), theft(), healed.clone(), update("alice"), update("bob")]);
    let failed = failures(&[create(), theft(), healed, update("alice"), update("alice"), update("bob")]);
    assert_eq!(failed[0].1, "the group has healed from stolen within 2 steps");
    // The message is sent after the step that expects it.
    let reads = expect(json!({ "who": "bob", "reads": "m1", "eventually": true }));
    assert_passes(&[create(), reads.clone(), json!({ "send": { "by": "alice", "id": "m1" } })]);
    let drop = json!({ "drop": { "id": "m1", "for": "bob" } });
    let failed = failures(&[create(), reads, drop, json!({ "send": { "by": "alice", "id": "m1" } })]);
    assert_eq!(failed[0].1, "bob has read m1 before the end");
}

#[test]
fn conditions_that_cannot_become_true_later_are_refused() {
    let problem = |fields: Value| {
        let steps = [
            create(),
            json!({ "send": { "by": "alice", "id": "m1" } }),
            json!({ "compromise": { "who": "bob", "id": "stolen" } }),
            json!({ "impersonate": { "compromise": "stolen", "action": "send" } }),
            json!({ "update": { "by": "bob" } }),
            expect(fields),
        ];
        let file = json!({ "regrow": 1, "name": "a test", "members": MEMBERS, "steps": steps });
        let problems = read(&file.to_string()).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        (problems[0].field.clone(), problems[0].problem.clone())
    };
    let cases = [
        (json!({ "who": "bob", "cannot_read": "m1", "within": "1h" }), "cannot_read", "a read message stays read"),
        (json!({ "compromise": "stolen", "heals_within": 1, "within": "1h" }), "heals_within", "use `healed`"),
        (json!({ "compromise": "stolen", "accepted": true, "eventually": true }), "accepted", "known at once"),
        (
            json!({ "compromise": "stolen", "detected": false, "eventually": true }),
            "detected",
            "cannot become true later",
        ),
        (json!({ "gap_reported": false, "within": "1h" }), "gap_reported", "cannot become true later"),
        (json!({ "fails": "rejected", "epoch": 1, "within": "1h" }), "fails", "about the step before"),
        (json!({ "within": "1h" }), "within", "nothing is expected to become true"),
        (json!({ "epoch": 1, "within": "1h", "eventually": true }), "eventually", "either `within` or `eventually`"),
    ];
    for (fields, field, words) in cases {
        let (at, told) = problem(fields);
        assert_eq!(at, format!("steps[5].expect.{field}"));
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn bounds_are_written_as_they_are_read() {
    for bound in [json!({ "within": "3d" }), json!({ "within": { "steps": 3 } }), json!({ "eventually": true })] {
        let mut fields = json!({ "epoch": 1 });
        fields.as_object_mut().unwrap().extend(bound.as_object().unwrap().clone());
        let scenario = scenario(&MEMBERS, &[create(), expect(fields)]);
        let again = read(&write(&scenario)).unwrap();
        let items = |it: &regrow_simulator::scenario::Scenario| {
            it.steps.iter().map(|step| step.item.clone()).collect::<Vec<_>>()
        };
        assert_eq!(items(&again), items(&scenario));
    }
}
