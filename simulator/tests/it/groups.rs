//! Scenarios with several groups, and with users that have several devices.

use crate::common::{Run, assert_published_pass, run, scenario, scenario_with};
use regrow_simulator::{
    report::{Warning, WarningKind},
    scenario::read,
};
use serde_json::{Value, json};

const MEMBERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Two groups of the same members.
fn two_groups() -> Vec<Value> {
    vec![
        json!({ "create": { "by": "alice", "with": ["bob", "carol"], "group": "team" } }),
        json!({ "create": { "by": "bob", "with": ["alice", "carol"], "group": "family" } }),
    ]
}

/// Plays the steps after the creation of two groups.
#[track_caller]
fn play(more: &[Value]) -> Run {
    run(&scenario(&MEMBERS, &[&two_groups()[..], more].concat()))
}

#[track_caller]
fn passes(more: &[Value]) -> Run {
    let run = play(more);
    run.assert_passed("two groups");
    run
}

/// The expected and the seen fact of the only failure.
#[track_caller]
fn fails(more: &[Value]) -> (String, String) {
    let run = play(more);
    let [failure] = run.outcome.failures.as_slice() else { panic!("{:?}", run.outcome.failures) };
    (failure.expected.clone(), failure.seen.clone())
}

/// The field and the text of the only problem of a file with these steps.
#[track_caller]
fn problem(steps: &[Value]) -> (String, String) {
    problem_with(json!(MEMBERS), steps)
}

/// The field and the text of the only problem of a file with these members and steps.
#[track_caller]
fn problem_with(members: Value, steps: &[Value]) -> (String, String) {
    let text = json!({ "regrow": 1, "name": "n", "members": members, "steps": steps }).to_string();
    let problems = read(&text).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    (problem.field.clone(), problem.problem.clone())
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

fn send(by: &str, id: &str, group: &str) -> Value {
    json!({ "send": { "by": by, "id": id, "group": group } })
}

#[test]
fn published_scenarios_pass_without_warnings_and_are_reproducible() {
    for (path, run) in assert_published_pass("groups", 9) {
        assert_eq!(run.outcome.warnings, [], "{path:?}");
    }
}

#[test]
fn every_step_changes_only_its_own_group() {
    let others = json!({ "expect": { "group": "family", "epoch": 1, "members": ["alice", "bob", "carol"] } });
    for step in [
        json!({ "add": { "by": "alice", "who": "dave", "group": "team" } }),
        json!({ "remove": { "by": "alice", "who": "bob", "group": "team" } }),
        json!({ "update": { "by": "alice", "group": "team" } }),
        json!({ "join": { "who": "dave", "group": "team" } }),
        json!({ "rejoin": { "who": ["bob", "carol"], "group": "team" } }),
    ] {
        let after = json!({ "send": { "by": "alice", "id": "m1", "group": "family" } });
        let steps = [&two_groups()[..], &[step.clone(), others.clone(), after]].concat();
        let run = run(&scenario(&MEMBERS, &steps));
        run.assert_passed(&step.to_string());
        // The epochs of both groups: the other one is still in epoch 1.
        assert!(run.outcome.figures.epochs > 2, "{step}");
    }
}

#[test]
fn proposals_of_one_group_wait_for_a_commit_of_this_group() {
    passes(&[
        json!({ "propose": { "by": "bob", "add": "dave", "group": "team" } }),
        json!({ "leave": { "who": "carol", "group": "team" } }),
        send("bob", "f1", "family"),
        json!({ "commit": { "by": "alice", "group": "family" } }),
        json!({ "expect": { "fails": "nothing_to_commit" } }),
        send("bob", "t1", "team"),
        json!({ "expect": { "fails": "proposals_wait" } }),
        json!({ "commit": { "by": "alice", "group": "team" } }),
        json!({ "expect": { "group": "team", "members": ["alice", "bob", "dave"], "converged": true } }),
        json!({ "expect": { "group": "family", "members": ["alice", "bob", "carol"], "epoch": 1 } }),
    ]);
}

#[test]
fn events_of_a_group_name_it() {
    let run = passes(&[
        json!({ "service": { "lose_reply": "bob" } }),
        json!({ "race": [
            { "update": { "by": "alice", "group": "team" } },
            { "update": { "by": "bob", "group": "team" } }
        ] }),
        json!({ "compromise": { "who": "carol", "id": "stolen" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "send", "group": "team" } }),
    ]);
    for name in ["unanswered", "again", "detected", "epoch", "delivered", "submitted", "impersonated"] {
        let mut events = run.events(name).filter(|event| event["group"].is_string());
        assert!(events.next().is_some(), "{name}: {:?}", run.events(name).collect::<Vec<_>>());
        assert!(
            run.events(name).all(|event| ["team", "family"].iter().any(|group| event["group"] == *group)),
            "{name}"
        );
    }
}

#[test]
fn one_race_has_contenders_of_two_groups() {
    let run = passes(&[
        json!({ "race": [
            { "update": { "by": "alice", "group": "team" } },
            { "update": { "by": "bob", "group": "team" } },
            { "remove": { "by": "carol", "who": "alice", "group": "family" } }
        ] }),
        json!({ "expect": { "group": "team", "epoch": 3, "converged": true } }),
        json!({ "expect": { "group": "family", "members": ["bob", "carol"], "epoch": 2 } }),
    ]);
    assert_eq!(run.count("again"), 1, "only one commit of the team loses");
}

#[test]
fn messages_of_all_groups_count_unless_the_expectation_names_one() {
    let sent = [send("alice", "t1", "team"), send("bob", "f1", "family"), send("dave", "f2", "family")];
    let fails_to_send = json!({ "expect": { "fails": "not_a_member" } });
    let steps = |expect: Value| [&sent[..], &[fails_to_send.clone(), json!({ "expect": expect })]].concat();
    passes(&steps(json!({ "who": "carol", "exactly": ["t1", "f1"] })));
    passes(&steps(json!({ "group": "team", "who": "carol", "exactly": "t1" })));
    assert_eq!(
        fails(&steps(json!({ "group": "family", "who": "carol", "exactly": [] }))),
        pair("carol has not read f1", "carol has")
    );
}

#[test]
fn delivery_rules_follow_the_message_into_its_group() {
    passes(&[
        json!({ "hold": { "id": "c1", "for": "carol" } }),
        json!({ "update": { "by": "alice", "group": "team", "id": "c1" } }),
        send("bob", "f1", "family"),
        json!({ "expect": { "who": "carol", "reads": "f1" } }),
        json!({ "send": { "by": "carol", "id": "t1", "group": "team" } }),
        json!({ "expect": { "fails": "stale" } }),
        json!({ "release": { "id": "c1" } }),
        send("carol", "t2", "team"),
        json!({ "expect": { "group": "team", "epoch": 2, "converged": true } }),
    ]);
}

#[test]
fn crash_in_one_group_leaves_the_other_alone() {
    for at in ["before_submit", "after_submit", "before_confirm", "during_write"] {
        passes(&[
            json!({ "crash": { "who": "bob", "at": at } }),
            json!({ "remove": { "by": "bob", "who": "carol", "group": "team" } }),
            send("bob", "f1", "family"),
            json!({ "expect": { "who": "carol", "reads": "f1" } }),
            json!({ "expect": { "group": "team", "members": ["alice", "bob"], "converged": true } }),
        ]);
    }
}

#[test]
fn thief_acts_in_the_group_that_the_step_names() {
    passes(&[
        json!({ "compromise": { "who": "bob", "id": "stolen" } }),
        json!({ "remove": { "by": "alice", "who": "bob", "group": "team" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "send", "group": "team" } }),
        json!({ "expect": { "compromise": "stolen", "accepted": false } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "send", "id": "f1", "group": "family" } }),
        json!({ "expect": { "compromise": "stolen", "accepted": true } }),
        json!({ "expect": { "who": ["alice", "carol"], "reads": "f1" } }),
    ]);
}

#[test]
fn failed_expectation_names_its_group() {
    assert_eq!(
        fails(&[json!({ "expect": { "group": "team", "epoch": 9 } })]),
        pair("the group is in epoch 9 in team", "it is in epoch 1")
    );
    assert_eq!(
        fails(&[json!({ "expect": { "group": "family", "members": "alice" } })]),
        pair("the members in family are alice", "they are alice, bob, carol")
    );
    let theft = json!({ "compromise": { "who": "bob", "id": "stolen" } });
    let healed = json!({ "expect": { "group": "family", "compromise": "stolen", "healed": true } });
    let update = json!({ "update": { "by": "bob", "group": "team" } });
    assert_eq!(
        fails(&[theft.clone(), update.clone(), healed]),
        pair("the group has healed from stolen in family", "the thief still has secrets of the present epoch")
    );
    let within = json!({ "expect": { "group": "team", "compromise": "stolen", "heals_within": 0 } });
    assert_eq!(
        fails(&[theft, update, within]),
        pair("stolen has healed within 0 epochs in team", "it healed after 1 epoch")
    );
}

#[test]
fn warning_names_the_group_that_has_not_healed() {
    let not_healed = |more: &[Value]| {
        let run = passes(more);
        let of_kind = run.outcome.warnings.into_iter().filter(|warning| warning.kind == WarningKind::NotHealed);
        of_kind.map(|Warning { seen, .. }| seen).collect::<Vec<_>>()
    };
    let theft = json!({ "compromise": { "who": "bob", "id": "stolen" } });
    let told = |group: &str| format!("the group {group} has not healed from stolen, and no `expect` says so");
    assert_eq!(not_healed(std::slice::from_ref(&theft)), [told("family"), told("team")]);
    let expect = json!({ "expect": { "group": "team", "compromise": "stolen", "healed": false } });
    assert_eq!(not_healed(&[theft.clone(), expect.clone()]), [told("family")]);
    let update = json!({ "update": { "by": "bob", "group": "family" } });
    assert_eq!(not_healed(&[theft, update, expect]), [] as [String; 0]);
}

#[test]
fn convergence_is_asked_of_one_group() {
    let behind = [
        json!({ "hold": { "id": "c1", "for": "carol" } }),
        json!({ "update": { "by": "alice", "group": "team", "id": "c1" } }),
    ];
    let ask = |group: &str| json!({ "expect": { "group": group, "converged": true } });
    let release = json!({ "release": { "id": "c1" } });
    passes(&[&behind[..], &[ask("family"), release.clone(), ask("team")]].concat());
}

#[test]
fn evidence_of_one_group_is_none_of_another() {
    let steps = |expect: Value| {
        vec![
            json!({ "service": { "withhold": { "from": "bob", "entries": 1 } } }),
            send("alice", "t1", "team"),
            send("alice", "t2", "team"),
            json!({ "expect": expect }),
            json!({ "service": { "release": "bob" } }),
            json!({ "expect": { "group": "team", "gap_reported": { "by": "bob" } } }),
        ]
    };
    passes(&steps(json!({ "group": "team", "gap_reported": { "by": "bob" } })));
    passes(&steps(json!({ "group": "family", "gap_reported": false })));
    let (expected, seen) = fails(&steps(json!({ "group": "family", "gap_reported": { "by": "bob" } })));
    assert!(expected.starts_with("bob has found"), "{expected}");
    assert_eq!(seen, "bob has not");
}

#[test]
fn default_group_is_one_among_others() {
    let steps = [
        json!({ "create": { "by": "alice", "with": "bob" } }),
        json!({ "create": { "by": "alice", "with": "carol", "group": "other" } }),
        json!({ "update": { "by": "alice", "group": "group" } }),
        json!({ "expect": { "epoch": 2, "members": ["alice", "bob"] } }),
        json!({ "expect": { "group": "other", "epoch": 1, "members": ["alice", "carol"] } }),
    ];
    run(&scenario(&MEMBERS, &steps)).assert_passed("the default group has a name, too");
}

#[test]
fn group_can_have_the_number_of_a_turn() {
    let steps = [
        json!({ "repeat": { "times": 3, "steps": [
            { "create": { "by": "alice", "with": "bob", "group": "g{i}" } },
            { "send": { "by": "bob", "id": "m{i}", "group": "g{i}" } },
            { "expect": { "group": "g{i}", "who": "alice", "exactly": ["m{i}"] } }
        ] } }),
        json!({ "expect": { "who": "alice", "exactly": "m1..m3" } }),
    ];
    run(&scenario(&MEMBERS, &steps)).assert_passed("three groups");
}

#[test]
fn mistakes_with_groups_are_told_with_a_remedy() {
    let with = |more: Value| [&two_groups()[..], &[more]].concat();
    for (step, field, told) in [
        (
            json!({ "update": { "by": "alice" } }),
            "steps[2].update",
            "the step names no group; add the field `group` with `family` or `team`",
        ),
        (
            json!({ "expect": { "epoch": 1 } }),
            "steps[2].expect.epoch",
            "the step names no group; add the field `group` with `family` or `team`",
        ),
        (
            json!({ "update": { "by": "alice", "group": "taem" } }),
            "steps[2].update.group",
            "until here no group is called `taem`; did you mean `team`?",
        ),
        (
            json!({ "expect": { "group": "work", "epoch": 1 } }),
            "steps[2].expect.group",
            "until here no group is called `work`: `create` comes first",
        ),
        (json!({ "create": { "by": "carol", "group": "team" } }), "steps[2].create", "there is a group `team` already"),
        (
            json!({ "update": { "by": "alice", "group": "x".repeat(201) } }),
            "steps[2].update.group",
            "a name has at most 128 characters",
        ),
        (
            json!({ "update": { "by": "alice", "group": "é".repeat(101) } }),
            "steps[2].update.group",
            "the name of a group has at most 200 bytes, found 202",
        ),
    ] {
        assert_eq!(problem(&with(step)), pair(field, told));
    }
    let alone = [json!({ "create": { "by": "alice" } }), json!({ "create": { "by": "bob" } })];
    let told = "there is a group already; a second one needs a name: add the field `group`";
    assert_eq!(problem(&alone), pair("steps[1].create", told));
    let elsewhere = json!({ "expect": { "group": "family", "who": "bob", "reads": "t1" } });
    assert_eq!(
        problem(&[&two_groups()[..], &[send("alice", "t1", "team"), elsewhere]].concat()),
        pair("steps[3].expect.reads[0]", "`t1` is sent in the group `team`")
    );
}

#[test]
fn ids_of_messages_are_unique_over_all_groups() {
    let steps = [&two_groups()[..], &[send("alice", "m1", "team"), send("bob", "m1", "family")]].concat();
    let (field, told) = problem(&steps);
    assert_eq!(field, "steps[3].send.id");
    assert!(told.starts_with("`m1` is the id of step 3"), "{told}");
}

#[test]
fn cost_model_refuses_a_second_group() {
    let text = json!({
        "regrow": 1, "name": "n", "fidelity": "model", "members": MEMBERS, "steps": [
            { "create": { "by": "alice", "with": "bob", "group": "group" } },
            { "create": { "by": "alice", "with": "bob", "group": "team" } }
        ]
    });
    let problems = read(&text.to_string()).unwrap_err();
    let told = "the cost model has only one group; leave `group` out, or set `fidelity` to `real`";
    assert_eq!(problems.iter().map(|problem| &*problem.problem).collect::<Vec<_>>(), [told]);
}

#[test]
fn churn_continues_the_default_group_beside_others() {
    let steps = [
        json!({ "create": { "by": "alice", "with": "bob" } }),
        json!({ "create": { "by": "carol", "with": "dave", "group": "other" } }),
        json!({ "remove": { "by": "carol", "who": "dave", "group": "other" } }),
        json!({ "churn": { "for": "2d", "updates": { "every": "1d" } } }),
        json!({ "expect": { "members": ["alice", "bob"], "converged": true } }),
        json!({ "expect": { "group": "other", "members": "carol", "epoch": 2 } }),
    ];
    run(&scenario_with(json!({}), &MEMBERS, &steps)).assert_passed("a churn beside another group");
}

#[test]
fn upkeep_rotates_keys_in_the_group_that_the_step_names() {
    let due = |group: &str, rotation: &str| json!({ "expect": { "group": group, "due": { "who": "bob", "rotation": rotation } } });
    let steps = [
        &two_groups()[..],
        &[
            json!({ "wait": "8d" }),
            due("team", "keys"),
            json!({ "upkeep": { "who": "bob", "group": "team" } }),
            due("team", "none"),
            due("family", "keys"),
            json!({ "expect": { "group": "team", "epoch": 2 } }),
            json!({ "expect": { "group": "family", "epoch": 1 } }),
        ],
    ];
    let settings = json!({ "rotate_after": "7d" });
    run(&scenario_with(settings, &MEMBERS, &steps.concat())).assert_passed("keys of one group");
}

const DEVICES: [&str; 5] = ["alice/phone", "alice/laptop", "alice/tablet", "bob", "carol"];

/// Plays steps of users with devices.
#[track_caller]
fn devices_pass(steps: &[Value]) -> Run {
    let run = run(&scenario(&DEVICES, steps));
    run.assert_passed("users with devices");
    run
}

#[test]
fn user_name_in_a_list_means_all_of_its_devices() {
    devices_pass(&[
        json!({ "create": { "by": "bob", "with": ["alice", "carol"] } }),
        json!({ "expect": { "members": ["alice/phone", "alice/laptop", "alice/tablet", "bob", "carol"] } }),
        json!({ "send": { "by": "alice/phone", "id": "m1" } }),
        json!({ "expect": { "who": ["alice", "alice/phone", "bob"], "reads": "m1" } }),
        json!({ "offline": { "who": "alice" } }),
        json!({ "send": { "by": "bob", "id": "m2" } }),
        json!({ "expect": { "who": "alice", "exactly": "m1" } }),
        json!({ "repeat": { "times": 1, "steps": [{ "online": { "who": ["alice"] } }] } }),
        json!({ "expect": { "who": "alice", "exactly": ["m1", "m2"] } }),
        json!({ "remove": { "by": "carol", "who": "alice" } }),
        json!({ "expect": { "members": ["bob", "carol"], "epoch": 2 } }),
    ]);
}

#[test]
fn events_name_the_device_that_acted() {
    let run = devices_pass(&[
        json!({ "create": { "by": "alice/phone", "with": ["bob", "carol"] } }),
        json!({ "remove": { "by": "alice/phone", "who": "bob" } }),
    ]);
    let removed = run.events("delivered").any(|event| event["meaning"] == "removed by alice/phone in epoch 2");
    assert!(removed, "{:?}", run.events);
}

#[test]
fn add_user_adds_only_the_missing_devices() {
    let run = devices_pass(&[
        json!({ "create": { "by": "bob", "with": "alice/phone" } }),
        json!({ "add_user": { "by": "bob", "who": "alice" } }),
        json!({ "expect": { "members": ["alice", "bob"], "epoch": 2 } }),
        json!({ "add_user": { "by": "bob", "who": "alice" } }),
        json!({ "expect": { "fails": "already_a_member" } }),
        json!({ "add_user": { "by": "bob", "who": "carol" } }),
        json!({ "expect": { "members": ["alice", "bob", "carol"], "converged": true } }),
    ]);
    // No key package of the phone was used up the second time.
    let phone = run.events("key_packages").filter(|event| event["of"] == "alice/phone");
    assert_eq!(phone.map(|event| event["count"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn steps_about_users_fail_with_a_code() {
    devices_pass(&[
        json!({ "create": { "by": "bob", "with": "alice/phone" } }),
        json!({ "create": { "by": "bob", "group": "second" } }),
        json!({ "create": { "by": "bob", "group": "third" } }),
        json!({ "remove_user": { "by": "bob", "who": "carol" } }),
        json!({ "expect": { "fails": "unknown_member" } }),
        json!({ "remove_user": { "by": "bob", "who": "bob" } }),
        json!({ "expect": { "fails": "rejected" } }),
        json!({ "add_user": { "by": "carol", "who": "alice" } }),
        json!({ "expect": { "fails": "not_a_member" } }),
        json!({ "link_device": { "by": "alice/laptop", "who": "alice/tablet" } }),
        json!({ "expect": { "fails": "not_a_member" } }),
        json!({ "offline": { "who": "alice/laptop" } }),
        json!({ "add": { "by": "bob", "who": "alice/laptop", "group": "second" } }),
        json!({ "add": { "by": "bob", "who": "alice/laptop", "group": "third" } }),
        json!({ "add_user": { "by": "bob", "who": "alice" } }),
        json!({ "expect": { "fails": "no_key_package" } }),
        json!({ "offline": { "who": "alice/phone" } }),
        json!({ "link_device": { "by": "alice/phone", "who": "alice/tablet" } }),
        json!({ "expect": { "fails": "offline" } }),
        json!({ "online": { "who": "alice" } }),
        json!({ "send": { "by": "alice/phone", "id": "m1" } }),
        json!({ "expect": { "who": "bob", "reads": "m1" } }),
    ]);
}

#[test]
fn linked_device_needs_a_key_package_for_each_group() {
    let creates =
        (1..=7).map(|n| json!({ "create": { "by": "alice/phone", "with": "bob", "group": format!("g{n}") } }));
    let link = json!({ "link_device": { "by": "alice/phone", "who": "alice/laptop" } });
    let converged = (1..=7).map(|n| {
        let members = ["alice/phone", "alice/laptop", "bob"];
        json!({ "expect": { "group": format!("g{n}"), "members": members, "converged": true, "epoch": 2 } })
    });
    let online: Vec<_> = creates.clone().chain([link.clone()]).chain(converged).collect();
    devices_pass(&online);
    // The service has two key packages of a device that publishes no more.
    let absent =
        [json!({ "offline": { "who": "alice/laptop" } }), link, json!({ "expect": { "fails": "no_key_package" } })];
    devices_pass(&creates.chain(absent).collect::<Vec<_>>());
}

#[test]
fn link_and_loss_survive_every_crash() {
    for at in ["before_submit", "after_submit", "before_confirm", "during_write"] {
        devices_pass(&[
            json!({ "create": { "by": "alice/phone", "with": "bob", "group": "one" } }),
            json!({ "create": { "by": "bob", "with": "alice/phone", "group": "two" } }),
            json!({ "crash": { "who": "alice/phone", "at": at } }),
            json!({ "link_device": { "by": "alice/phone", "who": "alice/laptop" } }),
            json!({ "expect": { "group": "two", "members": ["alice/phone", "alice/laptop", "bob"], "converged": true } }),
            json!({ "crash": { "who": "alice/laptop", "at": at } }),
            json!({ "lost_device": { "by": "alice/laptop", "who": "alice/phone" } }),
            json!({ "expect": { "group": "one", "members": ["alice/laptop", "bob"], "converged": true } }),
            json!({ "expect": { "group": "two", "members": ["alice/laptop", "bob"], "converged": true } }),
        ]);
    }
}

#[test]
fn lost_device_never_comes_back() {
    let run = devices_pass(&[
        json!({ "create": { "by": "alice/phone", "with": "bob" } }),
        json!({ "create": { "by": "alice/phone", "group": "alone" } }),
        json!({ "lost_device": { "by": "carol", "who": "alice/phone" } }),
        json!({ "expect": { "members": "bob", "epoch": 2 } }),
        json!({ "expect": { "group": "alone", "members": "alice/phone" } }),
        json!({ "online": { "who": "alice/phone" } }),
        json!({ "update": { "by": "alice/phone", "group": "alone" } }),
        json!({ "expect": { "fails": "removed" } }),
        json!({ "add_user": { "by": "bob", "who": "alice" } }),
        json!({ "expect": { "members": ["alice/laptop", "alice/tablet", "bob"], "converged": true } }),
        json!({ "lost_device": { "by": "carol", "who": "alice/phone" } }),
        json!({ "expect": { "members": ["alice/laptop", "alice/tablet", "bob"], "epoch": 3 } }),
    ]);
    assert_eq!(run.count("lost_device"), 2);
}

#[test]
fn service_that_cannot_write_removes_no_lost_device() {
    devices_pass(&[
        json!({ "create": { "by": "bob", "with": "alice" } }),
        json!({ "service": { "disk_full": true } }),
        json!({ "lost_device": { "by": "bob", "who": "alice/phone" } }),
        json!({ "expect": { "fails": "unavailable" } }),
        json!({ "service": { "disk_full": false } }),
        json!({ "send": { "by": "alice/phone", "id": "m1" } }),
        json!({ "expect": { "who": "bob", "reads": "m1" } }),
    ]);
}

#[test]
fn mistakes_with_users_are_told_with_a_remedy() {
    let told = |members: Value, step: Value| problem_with(members, &[json!({ "create": { "by": "bob" } }), step]);
    let members = || json!(DEVICES);
    for (step, field, problem) in [
        (
            json!({ "update": { "by": "alice" } }),
            "steps[1].update.by",
            "`alice` is a user; name one of its devices: `alice/phone`, `alice/laptop`, `alice/tablet`",
        ),
        (
            json!({ "update": { "by": "alice/fone" } }),
            "steps[1].update.by",
            "no member is called `alice/fone`; did you mean `alice/phone`?",
        ),
        (
            json!({ "remove_user": { "by": "bob", "who": "alice/phone" } }),
            "steps[1].remove_user.who",
            "`alice/phone` is a device; name its user `alice`",
        ),
        (
            json!({ "add_user": { "by": "bob", "who": "alise" } }),
            "steps[1].add_user.who",
            "no user is called `alise`; did you mean `alice`?",
        ),
        (
            json!({ "link_device": { "by": "alice/phone", "who": "bob" } }),
            "steps[1].link_device.who",
            "`bob` is no device of the user `alice`; name another device of this user, or use `add`",
        ),
        (
            json!({ "lost_device": { "by": "bob", "who": "bob" } }),
            "steps[1].lost_device.who",
            "`bob` cannot do this for itself; name another device",
        ),
    ] {
        assert_eq!(told(members(), step), pair(field, problem));
    }
    let wait = || json!({ "wait": "1s" });
    for (wrong, field, problem) in [
        (
            json!(["bob", "bob/phone"]),
            "members",
            "the user `bob` has the device `bob/phone`, so its other device needs a name, too",
        ),
        (json!(["bob", "eve/"]), "members[1]", "`` is not the name of a device: "),
        (json!(["bob", "/phone"]), "members[1]", "`` is not the name of a user: "),
        (json!(["bob", "eve/.."]), "members[1]", "`..` is not the name of a device: "),
    ] {
        let (at, seen) = told(wrong, wait());
        assert_eq!(at, field);
        assert!(seen.starts_with(problem), "{seen}");
    }
}

#[test]
fn policy_of_a_user_names_its_devices() {
    let text = json!({
        "regrow": 1, "name": "n", "members": DEVICES, "steps": [{ "wait": "1s" }],
        "policies": [{ "who": "alice", "rotate_after": "1d" }]
    });
    let problems = read(&text.to_string()).unwrap_err();
    let told = "`alice` is a user; name one of its devices: `alice/phone`, `alice/laptop`, `alice/tablet`";
    assert_eq!(problems.iter().map(|problem| &*problem.problem).collect::<Vec<_>>(), [told]);
}
