//! Members prepare steps in the same epoch, and submit them in some order. Every change happens or
//! becomes void, and the group converges.

use crate::common::{Run, run_with_seed, scenario, scenario_with};
use serde_json::{Value, json};

const MEMBERS: [&str; 5] = ["a", "b", "c", "d", "e"];
const SEEDS: std::ops::Range<u64> = 0..2;

/// All steps that one member can submit in a group of `a`, `b`, `c` and `d`. `e` is not in the
/// group.
fn changes(by: &str, id: &str) -> Vec<Value> {
    let other = if by == "a" { "b" } else { "a" };
    vec![
        json!({ "add": { "by": by, "who": "e" } }),
        json!({ "remove": { "by": by, "who": "d" } }),
        json!({ "remove": { "by": by, "who": other } }),
        json!({ "update": { "by": by } }),
        json!({ "update": { "by": by, "signature_key": true } }),
        json!({ "rejoin": { "who": by } }),
        json!({ "leave": { "who": by } }),
        json!({ "propose": { "by": by, "add": "e" } }),
        json!({ "propose": { "by": by, "remove": "d" } }),
        json!({ "propose": { "by": by, "update": true } }),
        json!({ "send": { "by": by, "id": id } }),
    ]
}

/// Races two steps, commits the waiting proposals, and sends a message.
fn race(group: Value, seed: u64, first: &Value, second: &Value) -> Run {
    let steps = [
        json!({ "create": { "by": "c", "with": ["a", "b", "d"] } }),
        json!({ "race": [first, second] }),
        json!({ "expect": { "converged": true } }),
        json!({ "update": { "by": "c" } }),
        json!({ "expect": { "converged": true } }),
        json!({ "send": { "by": "c", "id": "after" } }),
    ];
    let run = run_with_seed(&scenario_with(group, &MEMBERS, &steps), seed);
    run.assert_passed(&format!("{first} against {second}, seed {seed}"));
    run
}

#[test]
fn any_two_steps_can_race() {
    for (number, first) in changes("a", "m1").iter().enumerate() {
        for second in &changes("b", "m2")[number..] {
            for seed in SEEDS {
                race(json!({}), seed, first, second);
            }
        }
    }
}

#[test]
fn any_two_steps_can_race_with_hidden_handshakes() {
    for (number, first) in changes("a", "m1").iter().enumerate() {
        for second in &changes("b", "m2")[number..] {
            race(json!({ "handshake": "opaque" }), 1, first, second);
        }
    }
}

#[test]
fn joiner_can_race_with_members() {
    let join = json!({ "join": { "who": "e" } });
    for seed in SEEDS {
        for second in changes("b", "m2") {
            let run = race(json!({}), seed, &join, &second);
            let joined = run.events("epoch").filter(|event| event["who"] == "e").count();
            assert!(joined > 0, "{second}, seed {seed}: e is in the group");
        }
    }
}

/// The number of members at the end, and the epoch of the group.
fn end(seed: u64, contenders: &[Value]) -> (u64, u64) {
    let steps = [json!({ "create": { "by": "a", "with": ["b", "c", "d"] } }), json!({ "race": contenders })];
    let run = run_with_seed(&scenario(&MEMBERS, &steps), seed);
    run.assert_passed(&format!("{contenders:?}, seed {seed}"));
    (run.outcome.figures.members, run.outcome.figures.epochs)
}

#[test]
fn different_changes_all_happen() {
    for seed in SEEDS {
        let add = json!({ "add": { "by": "a", "who": "e" } });
        let remove = json!({ "remove": { "by": "b", "who": "d" } });
        let update = json!({ "update": { "by": "c" } });
        assert_eq!(end(seed, &[add.clone(), remove.clone()]), (4, 3));
        assert_eq!(end(seed, &[add, remove, update]), (4, 4));
    }
}

#[test]
fn same_change_happens_once() {
    for seed in SEEDS {
        let add = |by: &str| json!({ "add": { "by": by, "who": "e" } });
        let remove = |by: &str| json!({ "remove": { "by": by, "who": "d" } });
        assert_eq!(end(seed, &[add("a"), add("b")]), (5, 2));
        assert_eq!(end(seed, &[remove("a"), remove("b"), remove("c")]), (3, 2));
        assert_eq!(end(seed, &[json!({ "join": { "who": "e" } }), add("b")]), (5, 2));
    }
}

#[test]
fn removed_member_makes_no_further_changes() {
    for seed in SEEDS {
        let remove = |by: &str, who: &str| json!({ "remove": { "by": by, "who": who } });
        // One of the two removes the other, which can then do nothing.
        assert_eq!(end(seed, &[remove("a", "b"), remove("b", "a")]), (3, 2));
        let (members, epochs) = end(seed, &[remove("a", "b"), json!({ "update": { "by": "b" } })]);
        assert_eq!(members, 3);
        assert!((2..=3).contains(&epochs));
    }
}
