//! Expectations on costs: limits of bytes, on real devices and on the cost model.

use crate::common::{assert_published_pass, run, scenario, told};
use regrow_simulator::{
    cost::EntryCost,
    report::{Failure, RunOptions, Transcript},
    scenario::{Protocol, read, write},
    world,
};
use serde_json::{Value, json};

const MEMBERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn create() -> Value {
    json!({ "create": { "by": "alice", "with": ["bob", "carol"] } })
}

fn update(by: &str) -> Value {
    json!({ "update": { "by": by } })
}

fn costs(limits: Value) -> Value {
    json!({ "expect": { "costs": limits } })
}

fn failures(steps: &[Value]) -> Vec<Failure> {
    run(&scenario(&MEMBERS, steps)).outcome.failures
}

/// The expected and the seen fact of the only failure.
#[track_caller]
fn fails(steps: &[Value]) -> (String, String) {
    let failures = failures(steps);
    let [failure] = failures.as_slice() else { panic!("{}", told(&failures)) };
    assert!(failure.place.is_some(), "{failure:?}");
    (failure.expected.clone(), failure.seen.clone())
}

#[track_caller]
fn passes(steps: &[Value]) {
    let failures = failures(steps);
    assert!(failures.is_empty(), "{}", told(&failures));
}

/// The size of the commit of bob's update, directly after the creation.
fn commit_bytes() -> u64 {
    let entries = entries(&[create(), update("bob")]);
    entries.last().unwrap().bytes.commit.unwrap()
}

/// The costs of a run without expectations.
fn entries(steps: &[Value]) -> Vec<EntryCost> {
    let options = RunOptions { costs: true, ..RunOptions::default() };
    world::run(&scenario(&MEMBERS, steps), &options, &mut Transcript::new("a test", false)).costs
}

fn problem(steps: &[Value]) -> String {
    let text = json!({ "regrow": 1, "name": "a test", "members": MEMBERS, "steps": steps }).to_string();
    read(&text).unwrap_err()[0].to_string()
}

#[test]
fn published_scenarios_pass_with_any_seed_and_are_reproducible() {
    assert_published_pass("costs", 5);
}

#[test]
fn limits_are_inclusive_and_a_failure_tells_number_limit_step_and_member() {
    let bytes = commit_bytes();
    let with = |limits: Value| [create(), update("bob"), costs(json!({ "commit_bytes": limits }))];
    passes(&with(json!({ "at_least": bytes, "at_most": bytes })));
    let (expected, seen) = fails(&with(json!({ "at_most": bytes - 1 })));
    assert_eq!(expected, format!("each commit of step 2 (line 1) has at most {} bytes", bytes - 1));
    assert_eq!(seen, format!("the commit of bob has {bytes} bytes"));
    let (expected, seen) = fails(&with(json!({ "at_least": bytes + 1 })));
    assert_eq!(expected, format!("each commit of step 2 (line 1) has at least {} bytes", bytes + 1));
    assert_eq!(seen, format!("the commit of bob has {bytes} bytes"));
    let [failure] = &failures(&with(json!({ "at_most": 1 })))[..] else { panic!() };
    assert_eq!(failure.subject.members[0].as_str(), "bob");
}

#[test]
fn limit_about_nothing_fails_and_zero_asks_for_nothing() {
    let sent = || json!({ "send": { "by": "bob", "id": "m1" } });
    let after_a_message = |field: &str, most: u64| [create(), sent(), costs(json!({ field: { "at_most": most } }))];
    for field in ["commit_bytes", "proposal_bytes", "welcome_bytes", "joiner_welcome_bytes", "group_info_bytes"] {
        let (expected, seen) = fails(&after_a_message(field, 1_000_000));
        assert!(expected.starts_with("each ") && seen == "it has none", "{field}: {expected}: {seen}");
        passes(&after_a_message(field, 0));
    }
    for (field, verb) in [("handshakes_uploaded_bytes", "uploads"), ("handshakes_delivered_bytes", "delivers")] {
        let (expected, seen) = fails(&after_a_message(field, 1_000_000));
        assert_eq!(expected, format!("step 2 (line 1) {verb} at most 1000000 bytes of handshakes"));
        assert_eq!(seen, format!("it {verb} none"));
        passes(&after_a_message(field, 0));
    }
    for (field, verb) in [("messages_uploaded_bytes", "uploads"), ("messages_delivered_bytes", "delivers")] {
        let after_a_commit = |most: u64| [create(), costs(json!({ field: { "at_most": most } }))];
        assert_eq!(fails(&after_a_commit(1_000_000)).1, format!("it {verb} none"));
        passes(&after_a_commit(0));
        let (expected, seen) = fails(&after_a_message(field, 0));
        assert_eq!(expected, format!("step 2 (line 1) {verb} at most 0 bytes of messages"));
        assert!(seen.starts_with(&format!("it {verb} ")) && seen != format!("it {verb} none"), "{seen}");
    }
    let (expected, seen) = fails(&[create(), costs(json!({ "commit_bytes": { "at_most": 0 } }))]);
    assert_eq!(expected, "step 1 (line 1) has no commit");
    assert!(seen.starts_with("the commit of alice has "), "{seen}");
}

#[test]
fn an_expectation_is_no_step_and_a_failed_step_has_no_commit() {
    let commit = || costs(json!({ "commit_bytes": { "at_least": 1 } }));
    passes(&[create(), json!({ "expect": { "epoch": 1 } }), commit(), commit()]);
    let failed = [create(), update("dave"), json!({ "expect": { "fails": "not_a_member" } }), commit()];
    assert_eq!(fails(&failed).1, "it has none");
    let (_, seen) = fails(&[json!({ "wait": "1s" }), create(), json!({ "wait": "1s" }), commit()]);
    assert_eq!(seen, "it has none");
}

#[test]
fn costs_of_the_run_name_the_step_of_the_largest_message() {
    let bytes = commit_bytes();
    let of_run = |most: u64| costs(json!({ "of": "run", "commit_bytes": { "at_most": most } }));
    let steps = |most| [create(), update("bob"), update("carol"), json!({ "wait": "1s" }), of_run(most)];
    passes(&steps(1_000_000));
    let (expected, seen) = fails(&steps(10));
    assert_eq!(expected, "each commit of the run until here has at most 10 bytes");
    let sizes: Vec<_> = entries(&steps(1_000_000)).iter().filter_map(|entry| entry.bytes.commit).collect();
    assert_eq!((sizes.len(), sizes[1]), (3, bytes));
    let largest = *sizes.iter().max().unwrap();
    let step = 1 + sizes.iter().position(|size| *size == largest).unwrap();
    let who = ["alice", "bob", "carol"][step - 1];
    let told = format!("the commit of {who} in step {step} (line 1) has {largest} bytes");
    assert_eq!(seen, format!("{told}; 3 of 3 are outside of the limits"));
}

#[test]
fn late_deliveries_count_in_the_step_in_which_they_arrive() {
    let size = commit_bytes();
    let exactly = |bytes: u64| json!({ "at_least": bytes, "at_most": bytes });
    passes(&[
        create(),
        json!({ "offline": { "who": "carol" } }),
        update("bob"),
        // Alice and bob are connected, and the sender gets its own commit, too.
        costs(json!({ "handshakes_delivered_bytes": exactly(2 * size), "handshakes_uploaded_bytes": exactly(size) })),
        json!({ "online": { "who": "carol" } }),
        costs(json!({ "handshakes_delivered_bytes": exactly(size), "handshakes_uploaded_bytes": { "at_most": 0 } })),
    ]);
}

#[test]
fn costs_of_a_named_group_are_its_own() {
    let steps = |limits: Value| {
        [
            create(),
            json!({ "create": { "by": "alice", "with": "dave", "group": "pair" } }),
            json!({ "send": { "by": "alice", "id": "m1", "group": "pair" } }),
            json!({ "expect": limits }),
        ]
    };
    let of_run = |bytes: u64| json!({ "of": "run", "messages_uploaded_bytes": { "at_most": bytes } });
    passes(&steps(json!({ "group": "pair", "costs": of_run(1000) })));
    passes(&steps(json!({ "group": "group", "costs": of_run(0) })));
    let all = fails(&steps(json!({ "costs": of_run(0) })));
    assert_eq!(all.0, "the run until here uploads at most 0 bytes of messages");
    let commits = json!({ "of": "run", "commit_bytes": { "at_most": 1 } });
    let (_, seen) = fails(&steps(json!({ "group": "pair", "costs": commits.clone() })));
    assert!(seen.starts_with("the commit of alice in step 2 (line 1) has ") && !seen.contains(" of 2 "), "{seen}");
    assert!(fails(&steps(json!({ "costs": commits }))).1.ends_with("; 2 of 2 are outside of the limits"));
}

/// The text of a scenario with every kind of entry, and an `expect` with these limits after it.
fn mixed(fidelity: &str, protocol: Protocol, limits: &Value) -> String {
    json!({
        "regrow": 1, "name": "a test", "seed": 7, "fidelity": fidelity, "protocol": protocol.name(),
        "group": { "publish_group_info": true },
        "members": { "prefix": "m", "count": 12 },
        "steps": [
            { "create": { "by": "m1", "with": "m2..m9" } },
            { "offline": { "who": "m3" } },
            { "update": { "by": "m4" } },
            { "propose": { "by": "m5", "add": "m10" } },
            { "commit": { "by": "m6" } },
            { "send": { "by": "m7", "id": "x", "size": 99 } },
            { "remove": { "by": "m7", "who": "m2" } },
            { "online": { "who": "m3" } },
            { "join": { "who": "m11" } },
            { "send": { "by": "m8", "id": "y" } },
            { "expect": { "costs": limits } }
        ]
    })
    .to_string()
}

/// The failures of a run with these limits, on real devices or on the model.
fn failures_of(text: &str) -> Vec<Failure> {
    run(&read(text).unwrap_or_else(|problems| panic!("{problems:?}"))).outcome.failures
}

#[test]
fn the_cost_model_and_real_devices_have_the_same_costs() {
    let exact = json!({ "at_least": 1, "at_most": 1 });
    let fields = [
        "commit_bytes",
        "proposal_bytes",
        "welcome_bytes",
        "joiner_welcome_bytes",
        "group_info_bytes",
        "handshakes_uploaded_bytes",
        "handshakes_delivered_bytes",
        "messages_uploaded_bytes",
        "messages_delivered_bytes",
    ];
    for of in ["step", "run"] {
        let mut limits = json!({ "of": of });
        fields.iter().for_each(|field| limits[*field] = exact.clone());
        let facts = |fidelity: &str| -> Vec<_> {
            let failures = failures_of(&mixed(fidelity, Protocol::Mls, &limits));
            failures.into_iter().map(|failure| (failure.expected, failure.seen)).collect()
        };
        let real = facts("real");
        assert_eq!(real.len(), fields.len());
        assert_eq!(facts("model"), real);
    }
}

#[test]
fn every_modelled_protocol_has_the_traffic_of_its_table() {
    for protocol in Protocol::ALL {
        let text = mixed("model", protocol, &json!({ "of": "run", "handshakes_delivered_bytes": { "at_least": 1 } }));
        let scenario = read(&text).unwrap();
        let outcome = world::run(&scenario, &RunOptions::default(), &mut Transcript::new("a test", false));
        let sum = |bytes: fn(&EntryCost) -> u64| outcome.costs.iter().map(bytes).sum::<u64>();
        let exactly = |bytes: u64| json!({ "at_least": bytes, "at_most": bytes });
        let limits = |more: u64| {
            json!({
                "of": "run",
                "handshakes_uploaded_bytes": exactly(sum(|entry| entry.service.uploaded) + more),
                "handshakes_delivered_bytes": exactly(sum(|entry| entry.service.delivered) + more),
                "messages_uploaded_bytes": exactly(outcome.figures.message_traffic.uploaded_bytes + more),
                "messages_delivered_bytes": exactly(outcome.figures.message_traffic.delivered_bytes + more),
            })
        };
        assert_eq!(failures_of(&mixed("model", protocol, &limits(0))), [], "{protocol:?}");
        assert_eq!(failures_of(&mixed("model", protocol, &limits(1))).len(), 4, "{protocol:?}");
    }
}

#[test]
fn a_group_that_was_not_made_has_no_costs() {
    let limits = json!({ "commit_bytes": { "at_most": 1000 } });
    let text = |fidelity: &str| {
        json!({
            "regrow": 1, "name": "a test", "fidelity": fidelity, "members": ["alice"],
            "steps": [
                { "offline": { "who": "alice" } },
                { "create": { "by": "alice" } },
                { "expect": { "fails": "offline" } },
                { "expect": { "costs": limits } }
            ]
        })
        .to_string()
    };
    for fidelity in ["real", "model"] {
        let failures = failures_of(&text(fidelity));
        assert_eq!(failures.len(), 1, "{fidelity}: {failures:?}");
        assert_eq!(failures[0].seen, "it has none", "{fidelity}");
    }
}

#[test]
fn an_expectation_on_costs_changes_no_output() {
    let steps = [create(), update("bob"), json!({ "send": { "by": "carol", "id": "m1" } })];
    let before = run(&scenario(&MEMBERS, &steps));
    let limit = costs(json!({ "of": "run", "commit_bytes": { "at_least": 1 } }));
    let asked: Vec<_> = steps.into_iter().chain([limit]).collect();
    let after = run(&scenario(&MEMBERS, &asked));
    assert_eq!(before.hash, after.hash);
    assert_eq!(after.outcome.costs, []);
}

#[test]
fn a_written_expectation_reads_back() {
    let limits = json!({
        "of": "run",
        "welcome_bytes": { "at_least": 1, "at_most": 9 },
        "messages_delivered_bytes": { "at_most": 0 }
    });
    let scenario = scenario(&MEMBERS, &[create(), costs(limits)]);
    assert_eq!(write(&read(&write(&scenario)).unwrap()), write(&scenario));
    assert!(write(&scenario).contains(
        r#"{ "costs": { "of": "run", "welcome_bytes": { "at_least": 1, "at_most": 9 }, "messages_delivered_bytes": { "at_most": 0 } } }"#
    ));
}

#[test]
fn mistakes_are_told_when_the_file_is_read() {
    let limit = || costs(json!({ "commit_bytes": { "at_most": 10 } }));
    let after_create = |limits: Value| problem(&[create(), costs(limits)]);
    for (told, problem) in [
        ("step 1, expect.costs: there is no group yet: `create` comes first", problem(&[limit()])),
        (
            "step 2, expect.costs.commit_bytes: expected an object with some of `at_least` and `at_most`, found a number",
            after_create(json!({ "commit_bytes": 2000 })),
        ),
        ("the limit is missing: add `at_most` or `at_least`", after_create(json!({ "commit_bytes": {} }))),
        ("no figure has a limit; known are ", after_create(json!({ "of": "run" }))),
        ("no figure has a limit; known are ", after_create(json!({}))),
        ("did you mean `commit_bytes`?", after_create(json!({ "comit_bytes": { "at_most": 1 } }))),
        (
            "expected `at_least` not above `at_most`, found 3 and 2",
            after_create(json!({ "commit_bytes": { "at_least": 3, "at_most": 2 } })),
        ),
        (
            "`costs` are the costs until here",
            problem(&[
                create(),
                json!({ "expect": { "costs": { "commit_bytes": { "at_most": 1 } }, "within": "1d" } }),
            ]),
        ),
    ] {
        assert!(problem.contains(told), "{problem}\nlacks {told}");
    }
}
