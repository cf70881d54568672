//! A delivery service that fails or lies: members lose nothing, and find each lie.

use crate::common::{assert_published_pass, run, scenario, scenario_with, told};
use regrow_simulator::{
    report::{Failure, RunOptions, Transcript},
    scenario::{FailCode, read},
    world,
};
use serde_json::{Value, json};

const MEMBERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn create() -> Value {
    json!({ "create": { "by": "alice", "with": ["bob", "carol"] } })
}

fn service(fault: Value) -> Value {
    json!({ "service": fault })
}

fn send(by: &str, id: &str) -> Value {
    json!({ "send": { "by": by, "id": id } })
}

#[track_caller]
fn failures(steps: &[Value]) -> Vec<Failure> {
    run(&scenario(&MEMBERS, steps)).outcome.failures
}

#[track_caller]
fn assert_fails(steps: &[Value], expected: &str, seen: &str) {
    let failures = failures(steps);
    let is = |failure: &Failure| failure.expected.contains(expected) && failure.seen.contains(seen);
    assert!(failures.iter().any(is), "{}", told(&failures));
}

#[test]
fn published_scenarios_pass_with_any_seed_and_are_reproducible() {
    assert_published_pass("service", 14);
}

/// Each step that submits something, interrupted at each point.
#[test]
fn every_submission_survives_every_interruption() {
    let submissions = [
        json!({ "add": { "by": "bob", "who": "dave" } }),
        json!({ "remove": { "by": "bob", "who": "carol" } }),
        json!({ "update": { "by": "bob", "signature_key": true } }),
        json!({ "propose": { "by": "bob", "add": "dave" } }),
        json!({ "leave": { "who": "bob" } }),
        json!({ "join": { "who": "dave" } }),
        json!({ "rejoin": { "who": "bob" } }),
        json!({ "send": { "by": "bob", "id": "m1" } }),
        json!({ "race": [{ "update": { "by": "bob" } }, { "update": { "by": "carol" } }] }),
    ];
    for submission in &submissions {
        for handshake in ["assisted", "opaque"] {
            for fault in ["before_write", "within_transaction", "after_write", "lose_reply"] {
                let fault = match fault {
                    "lose_reply" => {
                        let by = if submission.get("join").is_some() { "dave" } else { "bob" };
                        json!({ "lose_reply": by })
                    }
                    point => json!({ "kill": point }),
                };
                let steps = [create(), service(fault.clone()), submission.clone()];
                let honest = json!({ "expect": { "equivocation_detected": false, "gap_reported": false } });
                let steps = [&steps[..], &[honest]].concat();
                let group = json!({ "handshake": handshake, "publish_group_info": true });
                let run = run(&scenario_with(group, &MEMBERS, &steps));
                run.assert_passed(&format!("{submission} {fault} {handshake}"));
                assert_eq!(run.count("unanswered"), 1, "{submission} {fault}");
            }
        }
    }
}

#[test]
fn interrupted_creation_happens_once() {
    for point in ["before_write", "within_transaction", "after_write"] {
        let steps = [service(json!({ "kill": point })), create(), send("carol", "m1")];
        let run = run(&scenario(&MEMBERS, &steps));
        run.assert_passed(point);
        assert_eq!(run.outcome.figures.epochs, 1);
    }
}

#[test]
fn interruption_that_nothing_meets_fails_the_scenario() {
    assert_fails(
        &[create(), service(json!({ "kill": "after_write" }))],
        "dies at `after_write`",
        "no submission met it",
    );
    let steps = [create(), service(json!({ "lose_reply": "bob" })), send("alice", "m1")];
    assert_fails(&steps, "an answer to bob is lost", "no submission met it");
}

#[test]
fn full_disk_refuses_submissions_and_loses_nothing() {
    let steps = [create(), service(json!({ "disk_full": true })), send("alice", "m1")];
    let failures = failures(&steps);
    assert_eq!(failures[0].code, Some(FailCode::Unavailable), "{}", told(&failures));
    assert!(failures[0].seen.contains("disk of the delivery service is full"));
    let refused = json!({ "expect": { "fails": "unavailable" } });
    let steps = [
        create(),
        send("alice", "m1"),
        service(json!({ "disk_full": true })),
        json!({ "leave": { "who": "carol" } }),
        refused.clone(),
        json!({ "propose": { "by": "bob", "update": true } }),
        refused.clone(),
        json!({ "wait": "40d" }),
        service(json!({ "restart": true })),
        send("alice", "m2"),
        refused,
        service(json!({ "disk_full": false })),
        json!({ "commit": { "by": "alice" } }),
        send("bob", "m3"),
        json!({ "expect": { "members": ["alice", "bob"], "converged": true } }),
    ];
    run(&scenario(&MEMBERS, &steps)).assert_passed("a full disk");
}

#[test]
fn submission_of_a_device_that_missed_too_much_names_retention_time_and_remedy() {
    let steps = [
        create(),
        json!({ "offline": { "who": "bob" } }),
        json!({ "update": { "by": "alice" } }),
        json!({ "wait": "40d" }),
        json!({ "online": { "who": "bob" } }),
        send("bob", "m1"),
    ];
    let failures = failures(&steps);
    assert_eq!(failures[0].code, Some(FailCode::Stale), "{}", told(&failures));
    for part in ["Its retention time is 30d", "bob was offline for 40d", "`rejoin`", "`retention`"] {
        assert!(failures[0].seen.contains(part), "{part}: {}", failures[0].seen);
    }
}

#[test]
fn retention_time_can_be_set_for_the_scenario_and_in_a_step() {
    let away = |wait: &str| {
        [
            json!({ "offline": { "who": "bob" } }),
            json!({ "update": { "by": "alice" } }),
            json!({ "wait": wait }),
            json!({ "online": { "who": "bob" } }),
        ]
    };
    let with = |retention: &str, steps: &[Value]| {
        let text = json!({
            "regrow": 1, "name": "n", "service": { "retention": retention }, "members": MEMBERS, "steps": steps
        });
        run(&read(&text.to_string()).unwrap())
    };
    let steps = [&[create()], &away("40d")[..]].concat();
    with("60d", &steps).assert_passed("60 days");
    let short = with("2h", &[&[create()], &away("3h")[..]].concat());
    assert!(told(&short.outcome.failures).contains("retention time is 2h, and bob was offline for 3h"));
    let later = [&[create(), service(json!({ "retention": "60d" }))], &away("40d")[..]].concat();
    run(&scenario(&MEMBERS, &later)).assert_passed("60 days from a step on");
}

#[test]
fn clock_that_jumps_past_the_retention_time_is_named() {
    let steps = [
        create(),
        json!({ "offline": { "who": "bob" } }),
        json!({ "update": { "by": "alice" } }),
        service(json!({ "clock": "+31d" })),
        json!({ "wait": "1h" }),
        json!({ "online": { "who": "bob" } }),
    ];
    assert_fails(&steps, "bob is in epoch 2", "its clock has jumped");
}

#[test]
fn member_that_is_cut_off_has_to_be_named() {
    let withhold = service(json!({ "withhold": { "from": "bob" } }));
    let steps = [create(), withhold.clone(), json!({ "update": { "by": "alice" } })];
    assert_fails(&steps, "bob is in epoch 2", "the delivery service has cut it off");
    let named = json!({ "expect": { "cut_off": "bob" } });
    run(&scenario(&MEMBERS, &[&steps[..], std::slice::from_ref(&named)].concat())).assert_passed("named");
    // The name counts only while the member is cut off, and for this member.
    assert_fails(&[create(), named.clone()], "the delivery service has cut bob off", "it has not");
    let both = service(json!({ "withhold": { "from": ["bob", "carol"] } }));
    let steps = [create(), both, json!({ "update": { "by": "alice" } }), named.clone()];
    assert_fails(&steps, "carol is in epoch 2", "the delivery service has cut it off");
    let message = [create(), withhold, send("alice", "m1")];
    assert_fails(&message, "bob has every message", "m1 was not delivered");
    run(&scenario(&MEMBERS, &[&message[..], &[named]].concat())).assert_passed("named");
}

#[test]
fn withheld_commit_cuts_a_member_off_until_it_rejoins() {
    let lie = [
        create(),
        service(json!({ "withhold": { "from": "bob", "entries": 1 } })),
        json!({ "update": { "by": "alice" } }),
        send("carol", "m1"),
        json!({ "expect": { "gap_reported": { "by": "bob", "within": 1 } } }),
        json!({ "expect": { "cut_off": "bob" } }),
    ];
    let rejoins = [
        service(json!({ "release": "bob" })),
        json!({ "rejoin": { "who": "bob" } }),
        send("alice", "m2"),
        json!({ "expect": { "who": "bob", "reads": "m2", "cannot_read": "m1", "converged": true } }),
    ];
    run(&scenario(&MEMBERS, &[&lie[..], &rejoins[..]].concat())).assert_passed("rejoins");
}

#[test]
fn second_half_of_a_fork_is_reported_if_it_is_not_named() {
    let steps = [
        create(),
        service(json!({ "equivocate": { "to": "carol" } })),
        json!({ "update": { "by": "carol" } }),
        json!({ "update": { "by": "alice" } }),
    ];
    assert_fails(&steps, "the same epoch authenticator", "2 states");
    let compared = [json!({ "compare": { "who": ["alice", "carol"] } }), json!({ "expect": { "cut_off": "carol" } })];
    let steps = [&steps[..], &compared[..]].concat();
    let run = run(&scenario(&MEMBERS, &steps));
    run.assert_passed("compared");
    assert!(run.events("found").any(|event| event["by"] == "alice" && event["what"] == "equivocation_detected"));
}

#[test]
fn expected_evidence_that_nobody_has_found_fails() {
    let expects = |expect: Value| [create(), send("alice", "m1"), json!({ "expect": expect })];
    assert_fails(
        &expects(json!({ "equivocation_detected": { "by": "bob" } })),
        "bob has found an equivocation",
        "bob has not",
    );
    let steps = [
        create(),
        service(json!({ "withhold": { "from": "bob", "entries": 1 } })),
        json!({ "update": { "by": "alice" } }),
        json!({ "update": { "by": "alice" } }),
        json!({ "expect": { "gap_reported": false } }),
    ];
    assert_fails(&steps, "no member has found a gap", "bob has: entries are missing between");
}

#[test]
fn mistakes_in_faults_are_reported_with_their_place() {
    let problem = |steps: &[Value]| {
        let text = json!({ "regrow": 1, "name": "n", "members": MEMBERS, "steps": steps }).to_string();
        read(&text).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (steps, expected) in [
        (vec![create(), service(json!({ "lose_reply": "bbo" }))], "no member is called `bbo`; did you mean `bob`?"),
        (vec![create(), service(json!({ "release": "bob" }))], "there is nothing to release"),
        (vec![service(json!({ "equivocate": { "to": "bob" } }))], "there is no group yet"),
        (vec![create(), service(json!({ "withold": { "from": "bob" } }))], "did you mean `withhold`?"),
        (vec![create(), service(json!({ "clock": "2h" }))], "expected a jump such as"),
        (
            vec![
                create(),
                service(json!({ "withhold": { "from": "bob" } })),
                service(json!({ "reorder": { "to": "bob", "entries": 2 } })),
            ],
            "the service lies to `bob` already; `release` it first",
        ),
        (
            vec![
                create(),
                json!({ "compromise": { "who": "bob", "id": "stolen" } }),
                service(json!({ "equivocate": { "to": "bob" } })),
            ],
            "a scenario with a `compromise` has one history",
        ),
        (vec![create(), json!({ "expect": { "cut_off": "bbo" } })], "did you mean `bob`?"),
        (vec![create(), json!({ "expect": { "gap_reported": { "by": "bbo" } } })], "did you mean `bob`?"),
    ] {
        let problem = problem(&steps);
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn cost_model_has_no_delivery_service() {
    let document = |settings: Value, steps: &[Value]| {
        let mut document = json!({ "regrow": 1, "name": "n", "fidelity": "model", "members": MEMBERS, "steps": steps });
        document.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        read(&document.to_string()).unwrap_err()[0].to_string()
    };
    let step = document(json!({}), &[create(), service(json!({ "restart": true }))]);
    assert!(step.contains("step 2, service: the cost model has no such step"), "{step}");
    let setting = document(json!({ "service": { "retention": "1d" } }), &[create()]);
    assert!(setting.contains("service: the cost model has no delivery service"), "{setting}");
    let evidence = document(json!({}), &[create(), json!({ "expect": { "gap_reported": false } })]);
    assert!(evidence.contains("the cost model has no such step or condition"), "{evidence}");
}

#[test]
fn server_is_not_told_to_fail() {
    let options = RunOptions { service: Some("http://127.0.0.1:1".into()), ..RunOptions::default() };
    let run_remotely = |steps: &[Value]| {
        let scenario = scenario(&MEMBERS, steps);
        world::run(&scenario, &options, &mut Transcript::new("n", false)).failures.remove(0)
    };
    for fault in [json!({ "restart": true }), json!({ "withhold": { "from": "bob" } }), json!({ "clock": "+1h" })] {
        let failure = run_remotely(&[create(), service(fault)]);
        assert_eq!(failure.place.unwrap().path.as_ref(), "steps[1]");
        assert!(failure.seen.contains("leave out --service"), "{}", failure.seen);
    }
    let evidence = run_remotely(&[create(), json!({ "expect": { "gap_reported": false } })]);
    assert!(evidence.seen.contains("leave out --service"), "{}", evidence.seen);
    // An answer can be lost without the server's help.
    let lost = run_remotely(&[service(json!({ "lose_reply": "alice" })), create()]);
    assert!(lost.seen.contains("cannot be reached"), "{}", lost.seen);
}
