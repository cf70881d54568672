//! Policies of devices: each setting has its effect, and only on the members that have it.

use regrow_simulator::scenario::{Scenario, read};
use serde_json::{Value, json};

use crate::common::{assert_published_pass, published, run, scenario_with, stem};

/// A scenario of alice, bob and carol with these policies of members.
#[track_caller]
fn with_policies(policies: &Value, steps: &[Value]) -> Scenario {
    let members = ["alice", "bob", "carol"];
    let text = json!({ "regrow": 1, "name": "a test", "policies": policies, "members": members, "steps": steps });
    read(&text.to_string()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Carol makes a group with alice and bob.
fn create() -> Value {
    json!({ "create": { "by": "carol", "with": "others" } })
}

#[track_caller]
fn assert_fails(scenario: &Scenario, expected: &str, seen: &str) {
    let run = run(scenario);
    let told: Vec<_> = run.outcome.failures.iter().map(|it| (it.expected.as_str(), it.seen.as_str())).collect();
    assert_eq!(told, [(expected, seen)]);
}

#[test]
fn published_scenarios_pass_and_say_why_they_matter() {
    for (path, run) in assert_published_pass("policy", 6).into_iter().chain(assert_published_pass("devices", 13)) {
        assert_eq!(run.outcome.warnings, [], "{path:?}");
    }
}

#[test]
fn slower_policy_breaks_the_promise_of_a_day() {
    let files = published("policy");
    let (_, scenario) = files.into_iter().find(|(path, _)| stem(path) == "heals_within_a_day").unwrap();
    let slower = regrow_simulator::scenario::write(&scenario).replace("\"1d\"", "\"25h\"");
    let failures = run(&read(&slower).unwrap()).outcome.failures;
    assert_eq!(failures[0].expected, "new keys of alice are due");
    assert_eq!(failures[0].seen, "no new keys of alice are due");
}

#[test]
fn rotation_is_due_by_the_policy_of_the_member_and_by_its_clock() {
    let policies = json!([
        { "who": "alice", "rotate_after_messages": 2, "rotate_after": "never" },
        { "who": "bob", "rotate_after": "1h", "rotate_signature_key_every": 1 },
    ]);
    let due = |who: &str, rotation: &str| json!({ "expect": { "due": { "who": who, "rotation": rotation } } });
    let send = |id: &str| json!({ "send": { "by": "alice", "id": id } });
    let steps = [
        create(),
        due("bob", "none"),
        send("m1"),
        due("alice", "none"),
        send("m2"),
        due("alice", "keys"),
        json!({ "clock": { "who": "bob", "offset": "+1h" } }),
        due("bob", "signature_key"),
        json!({ "clock": { "who": "bob", "offset": "+0s" } }),
        due("bob", "none"),
        json!({ "wait": "1h" }),
        due("bob", "signature_key"),
        json!({ "upkeep": { "who": "everybody" } }),
        due("everybody", "none"),
        json!({ "wait": "8d" }),
        due("alice", "none"),
        due("carol", "keys"),
    ];
    run(&with_policies(&policies, &steps)).assert_passed("due rotations");
    let wrong = [create(), due("bob", "keys")];
    assert_fails(&with_policies(&policies, &wrong), "new keys of bob are due", "no new keys of bob are due");
}

#[test]
fn upkeep_skips_members_that_cannot_act() {
    let steps = [
        create(),
        json!({ "remove": { "by": "carol", "who": "bob" } }),
        json!({ "offline": { "who": "alice" } }),
        json!({ "wait": "8d" }),
        json!({ "upkeep": { "who": "everybody" } }),
        json!({ "expect": { "epoch": 3 } }),
    ];
    run(&with_policies(&json!([{ "who": "alice", "past_epochs": 1 }]), &steps)).assert_passed("one rotation");
}

#[test]
fn missing_key_packages_and_inactive_members_are_told() {
    let inactive = |names: Value| json!({ "expect": { "due": { "who": "alice", "inactive": names } } });
    let steps = |last: Value| [create(), json!({ "offline": { "who": "bob" } }), json!({ "wait": "2d" }), last];
    let policies = json!([{ "who": "alice", "remove_inactive_after": "1d" }]);
    run(&with_policies(&policies, &steps(inactive(json!(["carol", "bob"]))))).assert_passed("both are inactive");
    assert_fails(
        &with_policies(&policies, &steps(inactive(json!([])))),
        "no removal is due for alice",
        "the removal of bob, carol is due for alice",
    );
    let offline = json!([{ "who": "bob", "key_packages": 5 }]);
    let missing = |count: u32| json!({ "expect": { "due": { "who": "bob", "key_packages": count } } });
    let steps = |last: Value| {
        [
            json!({ "create": { "by": "carol" } }),
            json!({ "offline": { "who": "bob" } }),
            json!({ "add": { "by": "carol", "who": "bob" } }),
            last,
        ]
    };
    run(&with_policies(&offline, &steps(missing(1)))).assert_passed("one is used");
    let told = ("bob has to publish 0 key packages", "bob has to publish 1 key packages");
    assert_fails(&with_policies(&offline, &steps(missing(0))), told.0, told.1);
}

#[test]
fn skipped_messages_of_a_sender_are_limited_by_max_forward() {
    let mut steps = vec![json!({ "create": { "by": "alice", "with": ["bob", "carol"] } })];
    for id in ["m1", "m2", "m3"] {
        steps.push(json!({ "drop": { "id": id, "for": ["bob", "carol"] } }));
    }
    steps.extend(["m1", "m2", "m3", "m4"].map(|id| json!({ "send": { "by": "alice", "id": id } })));
    steps.push(json!({ "expect": { "who": "bob", "exactly": [] } }));
    steps.push(json!({ "expect": { "who": "carol", "exactly": "m4" } }));
    run(&with_policies(&json!([{ "who": "bob", "max_forward": 2 }]), &steps)).assert_passed("bob skips at most two");
}

#[test]
fn key_packages_expire_by_the_policy_of_their_owner() {
    let steps = [
        json!({ "create": { "by": "carol" } }),
        json!({ "offline": { "who": ["alice", "bob"] } }),
        json!({ "wait": "2d" }),
        json!({ "add": { "by": "carol", "who": "alice" } }),
        json!({ "expect": { "fails": "no_key_package" } }),
        json!({ "add": { "by": "carol", "who": "bob" } }),
        json!({ "online": { "who": ["alice", "bob"] } }),
        json!({ "add": { "by": "carol", "who": "alice" } }),
    ];
    run(&with_policies(&json!([{ "who": "alice", "key_package_lifetime": "1d" }]), &steps)).assert_passed("expiry");
}

#[test]
fn own_policies_and_the_group_give_the_same_run() {
    let steps = [
        create(),
        json!({ "hold": { "id": "m1", "for": ["alice", "bob"] } }),
        json!({ "send": { "by": "carol", "id": "m1" } }),
        json!({ "update": { "by": "alice" } }),
        json!({ "compromise": { "who": "bob", "id": "stolen" } }),
        json!({ "wait": "2h" }),
        json!({ "release": { "id": "m1" } }),
        json!({ "update": { "by": "bob" } }),
    ];
    let policy = json!({ "past_epochs": 1, "past_epoch_age": "3h", "padding": 0 });
    let mut own = policy.clone();
    own["who"] = json!(["alice", "bob", "carol"]);
    let of_group = run(&scenario_with(policy, &["alice", "bob", "carol"], &steps));
    of_group.assert_passed("the group's policy");
    assert_eq!(run(&with_policies(&json!([own]), &steps)).hash, of_group.hash);
}

/// The oracle knows what a removed member has erased: its whole group.
#[test]
fn removed_member_has_no_past_epoch_that_becomes_too_old() {
    let steps = [
        create(),
        json!({ "compromise": { "who": "bob", "id": "stolen" } }),
        json!({ "update": { "by": "carol" } }),
        json!({ "remove": { "by": "carol", "who": "bob" } }),
        json!({ "wait": "2d" }),
    ];
    let policy = json!({ "past_epochs": 2, "past_epoch_age": "1d" });
    run(&scenario_with(policy, &["alice", "bob", "carol"], &steps)).assert_passed("a removal");
}

#[test]
fn mistakes_in_policies_have_their_place_and_remedy() {
    let problems = |fields: Value| {
        let mut file = json!({ "regrow": 1, "name": "n", "members": ["alice", "bob"], "steps": [{ "wait": "1s" }] });
        file.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let problems = read(&file.to_string()).unwrap_err();
        problems.iter().map(|it| format!("{}: {}", it.field, it.problem)).collect::<Vec<_>>()
    };
    let policies = |policies: Value| problems(json!({ "policies": policies }));
    assert_eq!(
        policies(json!([{ "who": "alise", "padding": 1 }])),
        ["policies[0].who: no member is called `alise`; did you mean `alice`?"]
    );
    assert_eq!(
        policies(json!([{ "who": "alice", "padding": 1 }, { "who": ["bob", "alice"], "padding": 2 }])),
        ["policies[1].who: `alice` has a policy already; a member has one policy of its own"]
    );
    assert_eq!(
        policies(json!([{ "who": "alice", "rotate_after": "soon" }])),
        [r#"policies[0].rotate_after: expected a duration such as "15m" or "7d", of at most 36500 days, or "never""#]
    );
    assert_eq!(
        problems(json!({ "group": { "rotate_after_messages": "often", "key_package_lifetime": "401d" } })),
        [
            "group.key_package_lifetime: a key package can be used for at most 400 days",
            "group.rotate_after_messages: expected a number from 1 to 4294967295, or \"never\"",
        ]
    );
    assert_eq!(
        problems(json!({ "fidelity": "model", "group": { "send_ratchet_tree": false } })),
        ["group.send_ratchet_tree: the cost model has no such setting; set `fidelity` to `real`"]
    );
}

#[test]
fn tree_of_a_welcome_outlives_the_latency_of_its_device() {
    let policies = json!([{ "who": ["alice", "bob", "carol"], "send_ratchet_tree": false }]);
    let mut steps =
        vec![json!({ "offline": { "who": "alice" } }), json!({ "create": { "by": "bob", "with": "alice" } })];
    steps.extend([1, 2, 3].map(|_| json!({ "update": { "by": "bob" } })));
    steps.extend([
        json!({ "network": { "latency_ms": 453 } }),
        json!({ "online": { "who": "alice" } }),
        json!({ "network": { "heal": true } }),
        json!({ "send": { "by": "alice", "id": "m1" } }),
    ]);
    run(&with_policies(&policies, &steps)).assert_passed("alice has joined");
}
