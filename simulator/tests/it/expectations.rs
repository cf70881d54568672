//! Every expectation of a scenario can fail, and then reports the expected and the seen fact.

use crate::common::{run, scenario, scenario_with};
use serde_json::{Value, json};

fn create() -> Value {
    json!({ "create": { "by": "alice", "with": "bob" } })
}

/// The expected and the seen fact of the only expectation that fails.
#[track_caller]
fn fails(steps: &[Value]) -> (String, String) {
    let run = run(&scenario(&["alice", "bob", "carol"], steps));
    let [failure] = run.outcome.failures.as_slice() else { panic!("{:?}", run.outcome.failures) };
    assert!(failure.place.is_some());
    (failure.expected.clone(), failure.seen.clone())
}

fn pair(expected: &str, seen: &str) -> (String, String) {
    (expected.to_owned(), seen.to_owned())
}

#[test]
fn wrong_epoch_is_a_failure() {
    assert_eq!(
        fails(&[create(), json!({ "expect": { "epoch": 2 } })]),
        pair("the group is in epoch 2", "it is in epoch 1")
    );
}

#[test]
fn wrong_members_are_a_failure() {
    let seen = "they are alice, bob";
    assert_eq!(fails(&[create(), json!({ "expect": { "members": "alice" } })]), pair("the members are alice", seen));
    let all = json!({ "expect": { "members": ["alice", "carol", "bob"] } });
    assert_eq!(fails(&[create(), all]), pair("the members are alice, carol, bob", seen));
}

#[test]
fn wrong_reading_of_a_member_is_a_failure() {
    let send = json!({ "send": { "by": "alice", "id": "m1" } });
    let expect = |expect: Value| [create(), send.clone(), json!({ "expect": expect })];
    let reads = |who: &str| expect(json!({ "who": who, "reads": "m1" }));
    let cannot_read = |who: &str| expect(json!({ "who": who, "cannot_read": "m1" }));
    assert_eq!(fails(&reads("carol")), pair("carol has read m1", "carol has not"));
    assert_eq!(fails(&cannot_read("bob")), pair("bob has not read m1", "bob has"));
    assert_eq!(fails(&cannot_read("alice")), pair("alice has not read m1", "alice has"));
}

#[test]
fn unsent_message_is_read_by_nobody() {
    let steps = [
        create(),
        json!({ "send": { "by": "carol", "id": "m1" } }),
        json!({ "expect": { "fails": "not_a_member" } }),
        json!({ "expect": { "who": ["alice", "bob", "carol"], "cannot_read": "m1" } }),
        json!({ "expect": { "who": "bob", "reads": "m1" } }),
    ];
    assert_eq!(fails(&steps), pair("bob has read m1", "bob has not"));
}

#[test]
fn wrong_reading_of_a_thief_is_a_failure() {
    let steps = |expect: Value| {
        [
            create(),
            json!({ "send": { "by": "alice", "id": "m1" } }),
            json!({ "compromise": { "who": "bob", "id": "stolen" } }),
            json!({ "send": { "by": "alice", "id": "m2" } }),
            json!({ "expect": expect }),
        ]
    };
    let (expected, seen) = fails(&steps(json!({ "compromise": "stolen", "reads": ["m1", "m2"] })));
    assert_eq!(expected, "the thief of stolen can read m1");
    assert!(seen.starts_with("the stolen bytes do not lead to its key: "), "{seen}");
    assert!(seen.ends_with(": used and erased before"), "{seen}");
    let (expected, seen) = fails(&steps(json!({ "compromise": "stolen", "cannot_read": ["m1", "m2"] })));
    assert_eq!(expected, "the thief of stolen cannot read m2");
    assert!(seen.starts_with("the stolen bytes lead to its key: group group: message secrets -> "), "{seen}");
    assert!(seen.ends_with(" -> key of generation 1 of epoch 1"), "{seen}");
    assert_eq!(
        fails(&steps(json!({ "compromise": "stolen", "heals_within": 9 }))),
        pair("stolen has healed within 9 epochs", "the thief still has secrets of the present epoch")
    );
}

#[test]
fn step_that_succeeds_against_expectation_is_a_failure() {
    let steps = [create(), json!({ "update": { "by": "bob" } }), json!({ "expect": { "fails": "removed" } })];
    assert_eq!(fails(&steps), pair("the step before fails with `removed`", "it succeeded"));
}

#[test]
fn step_that_fails_with_another_code_is_a_failure() {
    let steps = [create(), json!({ "update": { "by": "carol" } }), json!({ "expect": { "fails": "removed" } })];
    let (expected, seen) = fails(&steps);
    assert_eq!(expected, "the step before fails with `removed`");
    assert!(seen.starts_with("step 2 (line 1) failed with `not_a_member`: "), "{seen}");
}

#[test]
fn step_that_fails_without_expectation_is_a_failure() {
    for rest in [vec![], vec![json!({ "wait": "1s" })], vec![json!({ "expect": { "epoch": 1 } })]] {
        let steps = [vec![create(), json!({ "add": { "by": "alice", "who": "bob" } })], rest].concat();
        let (_, seen) = fails(&steps);
        assert!(seen.starts_with("it failed with `already_a_member`"), "{seen}");
    }
}

/// A device gets out of step if the service has deleted its entries, which happens after 30 days.
/// If a device gets out of step in another way, there is a bug.
fn away_too_long() -> Vec<Value> {
    vec![
        create(),
        json!({ "offline": { "who": "bob" } }),
        json!({ "update": { "by": "alice" } }),
        json!({ "wait": "40d" }),
        json!({ "update": { "by": "alice" } }),
        json!({ "online": { "who": "bob" } }),
    ]
}

#[test]
fn members_out_of_step_are_a_failure() {
    let mut steps = away_too_long();
    let at_the_end = run(&scenario(&["alice", "bob", "carol"], &steps));
    steps.push(json!({ "expect": { "converged": true } }));
    let asked = run(&scenario(&["alice", "bob", "carol"], &steps));
    for run in [at_the_end, asked] {
        let expected: Vec<_> = run.outcome.failures.iter().map(|failure| &*failure.expected).collect();
        assert!(expected.contains(&"bob is in epoch 3, like the service"), "{expected:?}");
        assert!(expected.contains(&"all online members hold the same epoch authenticator"), "{expected:?}");
    }
}

#[test]
fn member_that_was_away_too_long_can_rejoin() {
    let mut steps = away_too_long();
    steps.push(json!({ "rejoin": { "who": "bob" } }));
    steps.push(json!({ "send": { "by": "bob", "id": "m1" } }));
    let run = run(&scenario(&["alice", "bob", "carol"], &steps));
    run.assert_passed("rejoined after the service had deleted its entries");
}

#[test]
fn message_that_arrives_after_the_removal_is_not_read() {
    let steps = [
        create(),
        json!({ "hold": { "id": "m1", "for": "bob" } }),
        json!({ "send": { "by": "alice", "id": "m1" } }),
        json!({ "remove": { "by": "alice", "who": "bob" } }),
        json!({ "release": { "id": "m1" } }),
        json!({ "add": { "by": "alice", "who": "bob" } }),
        json!({ "expect": { "who": "bob", "cannot_read": "m1" } }),
    ];
    run(&scenario(&["alice", "bob"], &steps)).assert_passed("removed, then released");
}

#[test]
fn message_from_before_a_rejoin_is_lost() {
    let steps = [
        create(),
        json!({ "hold": { "id": "m1", "for": "bob" } }),
        json!({ "send": { "by": "alice", "id": "m1" } }),
        json!({ "rejoin": { "who": "bob" } }),
        json!({ "release": { "id": "m1" } }),
        json!({ "expect": { "who": "bob", "cannot_read": "m1" } }),
    ];
    let keeps_past_epochs = json!({ "past_epochs": 5 });
    run(&scenario_with(keeps_past_epochs, &["alice", "bob"], &steps)).assert_passed("rejoined, then released");
}

#[test]
fn repeated_delivery_arrives_twice_and_is_read_once() {
    let duplicate = json!({ "duplicate": { "id": "m1", "for": "bob" } });
    let send = json!({ "send": { "by": "alice", "id": "m1" } });
    let run = run(&scenario(&["alice", "bob"], &[create(), duplicate, send]));
    run.assert_passed("a duplicate");
    let to_bob = run.events("delivered").filter(|event| event["id"] == "m1" && event["to"] == "bob");
    let meanings: Vec<_> = to_bob.map(|event| event["meaning"].as_str().unwrap()).collect();
    assert_eq!(meanings, ["read", "ignored: read before"]);
}

#[test]
fn out_of_order_window_is_exact() {
    for tolerance in 0..4 {
        for overtaken_by in 1..5 {
            let mut steps = vec![create(), json!({ "hold": { "id": "late" } })];
            steps.push(json!({ "send": { "by": "alice", "id": "late" } }));
            steps.extend((0..overtaken_by).map(|n| json!({ "send": { "by": "alice", "id": format!("m{n}") } })));
            steps.push(json!({ "release": { "id": "late" } }));
            // The message that was read last takes one place in the window.
            let expectation = if overtaken_by < tolerance { "reads" } else { "cannot_read" };
            steps.push(json!({ "expect": { "who": "bob", expectation: "late" } }));
            let scenario = scenario_with(json!({ "out_of_order": tolerance }), &["alice", "bob"], &steps);
            run(&scenario).assert_passed(&format!("overtaken by {overtaken_by}, with a tolerance of {tolerance}"));
        }
    }
}

#[test]
fn too_many_missing_messages_block_a_sender_until_next_epoch() {
    let lost = json!([{ "drop": { "id": "m{i}" } }, { "send": { "by": "alice", "id": "m{i}", "size": 0 } }]);
    let steps = |times: u32| {
        [
            create(),
            json!({ "repeat": { "times": times, "steps": lost } }),
            json!({ "send": { "by": "alice", "id": "next" } }),
            json!({ "update": { "by": "alice" } }),
            json!({ "send": { "by": "alice", "id": "after" } }),
            json!({ "expect": { "who": "bob", "reads": "after" } }),
            json!({ "expect": { "who": "bob", if times > 1000 { "cannot_read" } else { "reads" }: "next" } }),
        ]
    };
    for times in [1000, 1001] {
        run(&scenario(&["alice", "bob"], &steps(times))).assert_passed(&format!("{times} missing"));
    }
}

/// Each step that can be refused, with the code of its reason.
#[test]
fn steps_fail_with_the_code_of_their_reason() {
    let update = json!({ "update": { "by": "bob" } });
    let offline = json!({ "offline": { "who": "bob" } });
    let cases: Vec<(&str, Vec<Value>)> = vec![
        ("not_a_member", vec![create(), json!({ "update": { "by": "carol" } })]),
        ("not_a_member", vec![create(), json!({ "commit": { "by": "carol" } })]),
        ("not_a_member", vec![create(), json!({ "leave": { "who": "carol" } })]),
        ("not_a_member", vec![create(), json!({ "rejoin": { "who": "carol" } })]),
        ("not_a_member", vec![create(), json!({ "propose": { "by": "carol", "update": true } })]),
        ("already_a_member", vec![create(), json!({ "add": { "by": "alice", "who": "alice" } })]),
        ("already_a_member", vec![create(), json!({ "join": { "who": "bob" } })]),
        ("already_a_member", vec![create(), json!({ "propose": { "by": "bob", "add": "alice" } })]),
        ("unknown_member", vec![create(), json!({ "remove": { "by": "alice", "who": "carol" } })]),
        ("unknown_member", vec![create(), json!({ "propose": { "by": "alice", "remove": "carol" } })]),
        ("rejected", vec![create(), json!({ "remove": { "by": "alice", "who": "alice" } })]),
        ("removed", vec![create(), json!({ "remove": { "by": "alice", "who": "bob" } }), update.clone()]),
        ("offline", vec![create(), offline.clone(), update.clone()]),
        ("offline", vec![create(), offline.clone(), json!({ "send": { "by": "bob", "id": "m1" } })]),
        ("offline", vec![create(), offline.clone(), json!({ "rejoin": { "who": "bob" } })]),
        ("offline", vec![offline, json!({ "create": { "by": "bob", "with": "carol" } })]),
        ("nothing_to_commit", vec![create(), json!({ "commit": { "by": "bob" } })]),
        (
            "proposals_wait",
            vec![
                create(),
                json!({ "propose": { "by": "bob", "update": true } }),
                json!({ "send": { "by": "alice", "id": "m1" } }),
            ],
        ),
        (
            "no_key_package",
            vec![
                create(),
                json!({ "offline": { "who": "carol" } }),
                json!({ "add": { "by": "alice", "who": "carol" } }),
                json!({ "remove": { "by": "alice", "who": "carol" } }),
                json!({ "add": { "by": "alice", "who": "carol" } }),
                json!({ "remove": { "by": "alice", "who": "carol" } }),
                json!({ "add": { "by": "alice", "who": "carol" } }),
            ],
        ),
    ];
    for (code, mut steps) in cases {
        let what = format!("{code}: {}", steps.last().unwrap());
        steps.push(json!({ "expect": { "fails": code } }));
        // A refused step has changed nothing.
        if !matches!(code, "offline") || steps[0] == create() {
            steps.push(json!({ "update": { "by": "alice" } }));
            steps.push(json!({ "expect": { "converged": true } }));
        }
        run(&scenario(&["alice", "bob", "carol"], &steps)).assert_passed(&what);
    }
}
