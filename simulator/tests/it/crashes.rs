//! A process may crash at any point: nothing is lost, nothing happens twice, and the group
//! converges.

use crate::common::{run, run_with_seed, scenario, scenario_with};
use serde_json::{Value, json};

const POINTS: [&str; 4] = ["before_submit", "after_submit", "before_confirm", "during_write"];
const MEMBERS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn create() -> Value {
    json!({ "create": { "by": "a", "with": ["b", "c", "d"] } })
}

/// A step of `b` with the steps before and after it, and the members and the epoch that must
/// result.
struct Case {
    name: &'static str,
    before: Vec<Value>,
    step: Value,
    after: Vec<Value>,
    members: &'static [&'static str],
    epoch: u64,
}

fn cases() -> Vec<Case> {
    let case = |name, step, members, epoch| Case { name, before: vec![create()], step, after: vec![], members, epoch };
    let commit = || json!({ "commit": { "by": "c" } });
    vec![
        Case {
            before: vec![],
            ..case("create", json!({ "create": { "by": "b", "with": ["a", "c", "d"] } }), &["a", "b", "c", "d"], 1)
        },
        Case {
            before: vec![],
            after: vec![json!({ "add": { "by": "b", "who": ["a", "c", "d"] } })],
            ..case("create alone", json!({ "create": { "by": "b" } }), &["a", "b", "c", "d"], 1)
        },
        case("add", json!({ "add": { "by": "b", "who": "e" } }), &["a", "b", "c", "d", "e"], 2),
        case("remove", json!({ "remove": { "by": "b", "who": "d" } }), &["a", "b", "c"], 2),
        case("update", json!({ "update": { "by": "b" } }), &["a", "b", "c", "d"], 2),
        case("rotate", json!({ "update": { "by": "b", "signature_key": true } }), &["a", "b", "c", "d"], 2),
        Case {
            before: vec![
                create(),
                json!({ "propose": { "by": "c", "update": true } }),
                json!({ "propose": { "by": "a", "remove": "d" } }),
                json!({ "propose": { "by": "c", "add": "e" } }),
            ],
            ..case("commit", json!({ "commit": { "by": "b" } }), &["a", "b", "c", "e"], 2)
        },
        Case {
            before: vec![create(), json!({ "leave": { "who": "b" } })],
            after: vec![commit()],
            ..case("update, and leave", json!({ "update": { "by": "b" } }), &["a", "c", "d"], 3)
        },
        Case {
            after: vec![commit()],
            ..case("propose add", json!({ "propose": { "by": "b", "add": "e" } }), &["a", "b", "c", "d", "e"], 2)
        },
        Case {
            after: vec![commit()],
            ..case("propose remove", json!({ "propose": { "by": "b", "remove": "d" } }), &["a", "b", "c"], 2)
        },
        Case {
            after: vec![commit()],
            ..case("propose update", json!({ "propose": { "by": "b", "update": true } }), &["a", "b", "c", "d"], 2)
        },
        Case { after: vec![commit()], ..case("leave", json!({ "leave": { "who": "b" } }), &["a", "c", "d"], 2) },
        Case {
            before: vec![json!({ "create": { "by": "a", "with": ["c", "d"] } })],
            ..case("join", json!({ "join": { "who": "b" } }), &["a", "b", "c", "d"], 2)
        },
        case("rejoin", json!({ "rejoin": { "who": "b" } }), &["a", "b", "c", "d"], 2),
        case("send", json!({ "send": { "by": "b", "id": "sent" } }), &["a", "b", "c", "d"], 1),
    ]
}

/// The steps of the case, with a disturbance before its step, and with the expectations at the end.
fn steps(case: &Case, disturbance: &[Value]) -> Vec<Value> {
    let mut steps = case.before.clone();
    steps.extend_from_slice(disturbance);
    steps.push(case.step.clone());
    steps.extend(case.after.clone());
    steps.push(json!({ "expect": { "epoch": case.epoch, "members": case.members, "converged": true } }));
    for member in case.members {
        steps.push(json!({ "send": { "by": member, "id": format!("after_{member}") } }));
    }
    for member in case.members {
        let mut reads: Vec<_> = case.members.iter().map(|member| format!("after_{member}")).collect();
        reads.extend((case.name == "send").then(|| "sent".to_owned()));
        steps.push(json!({ "expect": { "who": member, "reads": reads } }));
    }
    steps
}

#[test]
fn acting_member_may_crash_at_each_point() {
    for handshake in ["assisted", "opaque"] {
        for case in cases() {
            let group = json!({ "handshake": handshake });
            for point in POINTS {
                let crash = json!({ "crash": { "who": "b", "at": point } });
                let what = format!("{} {point} {handshake}", case.name);
                let run = run(&scenario_with(group.clone(), &MEMBERS, &steps(&case, &[crash])));
                run.assert_passed(&what);
                assert_eq!(run.count("crashed"), 1, "{what}");
                // Nothing is ordered twice: a repeated submission was the same, or the first one
                // did not count.
                let messages =
                    run.events("delivered").filter(|event| event["id"] == "sent" && event["meaning"] == "read");
                assert_eq!(messages.count(), if case.name == "send" { 3 } else { 0 }, "{what}");
            }
        }
    }
}

#[test]
fn receiving_member_may_crash_during_a_write() {
    for case in cases() {
        for receiver in ["a", "c", "e"] {
            // An invited member receives by joining. The others process the entries of the group.
            if !case.members.contains(&receiver) || (receiver == "e" && case.name == "propose add") {
                continue;
            }
            let crash = json!({ "crash": { "who": receiver, "at": "during_write" } });
            let what = format!("{}, received by {receiver}", case.name);
            let run = run(&scenario(&MEMBERS, &steps(&case, &[crash])));
            run.assert_passed(&what);
            assert_eq!(run.count("crashed"), 1, "{what}");
        }
    }
}

#[test]
fn race_loser_may_crash_at_each_point() {
    for point in POINTS {
        for seed in 0..4 {
            let steps = [
                create(),
                json!({ "crash": { "who": "b", "at": point } }),
                json!({ "race": [{ "update": { "by": "a" } }, { "add": { "by": "b", "who": "e" } }, { "send": { "by": "c", "id": "m1" } }] }),
                json!({ "expect": { "epoch": 3, "members": ["a", "b", "c", "d", "e"], "converged": true } }),
                json!({ "expect": { "who": ["a", "b", "d"], "reads": ["m1"] } }),
            ];
            let run = run_with_seed(&scenario(&MEMBERS, &steps), seed);
            run.assert_passed(&format!("{point}, seed {seed}"));
            assert_eq!(run.count("crashed"), 1);
        }
    }
}

#[test]
fn message_that_loses_a_race_survives_a_crash() {
    for point in POINTS {
        for seed in 0..4 {
            let steps = [
                create(),
                json!({ "crash": { "who": "b", "at": point } }),
                json!({ "race": [{ "update": { "by": "a" } }, { "send": { "by": "b", "id": "m1" } }] }),
                json!({ "expect": { "epoch": 2, "converged": true } }),
                json!({ "expect": { "who": ["a", "c", "d"], "reads": ["m1"] } }),
            ];
            run_with_seed(&scenario(&MEMBERS, &steps), seed).assert_passed(&format!("{point}, seed {seed}"));
        }
    }
}

#[test]
fn two_members_may_crash_in_one_step() {
    let steps = [
        create(),
        json!({ "crash": { "who": "b", "at": "after_submit" } }),
        json!({ "crash": { "who": "c", "at": "during_write" } }),
        json!({ "remove": { "by": "b", "who": "d" } }),
        json!({ "expect": { "epoch": 2, "members": ["a", "b", "c"], "converged": true } }),
    ];
    let run = run(&scenario(&MEMBERS, &steps));
    run.assert_passed("two crashes");
    assert_eq!(run.count("crashed"), 2);
}

#[test]
fn crash_that_nothing_reaches_fails_the_scenario() {
    for point in POINTS {
        let run = run(&scenario(&MEMBERS, &[create(), json!({ "crash": { "who": "e", "at": point } })]));
        let [failure] = run.outcome.failures.as_slice() else { panic!("{:?}", run.outcome.failures) };
        assert_eq!(failure.expected, format!("e's process dies at `{point}`"));
    }
}
