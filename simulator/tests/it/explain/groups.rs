//! Explanations of scenarios with several groups: each names the group, and tells only of it.

use regrow_simulator::{explain::Question, world::fault_injection::NoFaults};
use serde_json::{Value, json};

use super::{assert_tells, explained, explained_with, question, send, stolen, told};
use crate::{common::scenario_with, mutations::Service};

const MEMBERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn create(by: &str, with: &[&str], group: &str) -> Value {
    json!({ "create": { "by": by, "with": with, "group": group } })
}

fn send_in(by: &str, id: &str, group: &str) -> Value {
    json!({ "send": { "by": by, "id": id, "group": group } })
}

/// Bob is in a team with alice and dave, and in a family with carol.
fn two_groups(more: &[Value]) -> Vec<Value> {
    [&[create("alice", &["bob", "dave"], "team"), create("carol", &["bob"], "family")], more].concat()
}

fn told_of(more: &[Value]) -> String {
    explained(json!({}), &MEMBERS, &two_groups(more))
}

#[test]
fn a_way_through_the_second_group_names_its_commits() {
    let told = told_of(&[
        stolen(),
        json!({ "update": { "by": "carol", "group": "family" } }),
        json!({ "update": { "by": "bob", "group": "team" } }),
        send_in("alice", "t1", "team"),
        send_in("carol", "f1", "family"),
        json!({ "expect": { "compromise": "phone", "cannot_read": ["t1", "f1"] } }),
    ]);
    assert_tells(
        &told,
        &[
            "FAILED: 1 expectation does not hold",
            "carol sent f1 in step 7 (line 1), in epoch 2 of the group `family`.",
            "bob in the group `family`, before and after step 8 (line 1):",
            "epoch 2",
            "members it sees carol, bob",
            "sent none",
            "read f1",
            "not read none",
            "How the thief of phone reads f1, a message of the group `family`:",
            "It was made in step 3 (line 1), when the group `family` was in epoch 1.",
            "[1] The stolen record `group family: epoch encryption keys` contains the private key of bob's leaf",
            "in carol's commit, which made epoch 2.",
            "The key [9] decrypts f1.",
        ],
    );
    // The state is the one in the group of the message.
    assert!(!told.contains("in the group `team`"), "{told}");
}

#[test]
fn a_failed_step_has_the_states_of_its_own_group() {
    let told = told_of(&[send_in("dave", "f1", "family")]);
    assert_tells(
        &told,
        &[
            "seen it failed with `not_a_member`",
            "dave in the group `family`, before and after step 3 (line 1):",
            "epoch none: the device is not in the group",
        ],
    );
    assert!(!told.contains("`team`"), "{told}");
}

#[test]
fn the_step_before_decides_the_group_of_an_expected_failure() {
    let told = told_of(&[
        send_in("bob", "f1", "family"),
        json!({ "add": { "by": "alice", "who": "carol", "group": "team" } }),
        json!({ "expect": { "fails": "already_a_member" } }),
    ]);
    assert_tells(
        &told,
        &[
            "alice in the group `team`, before step 4 (line 1), then after it:",
            "epoch 1",
            "; then 2",
            "members it sees alice, bob, dave; then alice, bob, dave, carol",
            // Only messages of the team are listed.
            "not read none",
        ],
    );
    assert!(!told.contains("f1: "), "{told}");
}

#[test]
fn proposals_are_those_of_the_group() {
    let proposed = json!({ "propose": { "by": "bob", "add": "carol", "group": "team" } });
    let of = |group: &str| {
        told_of(&[proposed.clone(), json!({ "expect": { "group": group, "members": ["bob"], "epoch": 1 } })])
    };
    assert_tells(&of("team"), &["bob in the group `team`", "proposals 1, waiting for a commit"]);
    assert_tells(&of("family"), &["bob in the group `family`", "proposals none"]);
}

#[test]
fn a_step_of_a_device_has_the_states_of_all_its_groups() {
    let told = told_of(&[
        json!({ "lock": { "who": "bob" } }),
        json!({ "unlock": { "who": "bob", "wrong_key": true } }),
        json!({ "expect": { "fails": "locked" } }),
    ]);
    assert_tells(
        &told,
        &[
            "seen step 4 (line 1) failed with `wrong_key`",
            "bob in the group `family`, before and after step 4 (line 1): connection the device is locked",
            "bob in the group `team`, before and after step 4 (line 1): connection the device is locked",
        ],
    );
}

#[test]
fn many_groups_of_a_device_are_cut() {
    let groups = ["a", "b", "c", "d", "e"].map(|group| create("bob", &["alice"], group));
    let lock = [
        json!({ "key_packages": { "who": "alice" } }),
        json!({ "lock": { "who": "bob" } }),
        json!({ "unlock": { "who": "bob", "wrong_key": true } }),
        json!({ "expect": { "fails": "locked" } }),
    ];
    let told = explained(json!({}), &MEMBERS, &[&groups[..], &lock[1..]].concat());
    assert_tells(&told, &["bob in the group `c`", "2 more groups are not shown."]);
    assert!(!told.contains("`d`"), "{told}");
}

#[test]
fn a_race_has_the_states_of_the_groups_of_its_steps() {
    let told = told_of(&[
        create("dave", &["carol"], "club"),
        json!({ "race": [
            { "update": { "by": "bob", "group": "team" } },
            { "update": { "by": "alice", "group": "family" } }
        ] }),
    ]);
    assert_tells(&told, &["it failed with `not_a_member`", "alice in the group `family`", "alice in the group `team`"]);
    assert!(!told.contains("`club`"), "{told}");
}

#[test]
fn healing_and_epochs_are_those_of_the_group() {
    let told = told_of(&[
        stolen(),
        json!({ "update": { "by": "bob", "group": "team" } }),
        json!({ "update": { "by": "alice", "group": "team" } }),
        json!({ "update": { "by": "carol", "group": "family" } }),
        json!({ "expect": { "group": "family", "compromise": "phone", "healed": true } }),
        json!({ "expect": { "group": "team", "compromise": "phone", "heals_within": 0, "epoch": 2 } }),
    ]);
    assert_tells(
        &told,
        &[
            "expected the group has healed from phone in family",
            "The theft was in step 3 (line 1), in epoch 1 of the group `family`.",
            "Epoch 2: carol's commit in step 6 (line 1) gave the committer new keys. The thief knows secrets of this epoch.",
            "The group `family` has not healed: the thief has secrets of epoch 2, the present one.",
            "of the group `family` heals if no stolen key opens",
            "bob in the group `family`",
            "How the thief of phone gets into epoch 2 of the group `family`:",
        ],
    );
    let told = told_of(&[
        json!({ "update": { "by": "alice", "group": "team" } }),
        json!({ "expect": { "group": "team", "epoch": 1 } }),
    ]);
    assert_tells(
        &told,
        &[
            "expected the group is in epoch 1 in team",
            "These are the epochs of the group `team`:",
            "The group began in epoch 0 in step 1 (line 1).",
            "Epoch 2: alice's commit in step 3 (line 1) gave the committer new keys.",
            "The members of the last epoch are alice, bob, dave.",
        ],
    );
}

#[test]
fn a_summary_tells_the_healing_of_each_stolen_group() {
    let told = told_of(&[
        create("alice", &["dave"], "other"),
        stolen(),
        create("alice", &["bob"], "later"),
        send_in("alice", "t1", "team"),
        json!({ "update": { "by": "bob", "group": "team" } }),
        send_in("alice", "t2", "team"),
        send_in("carol", "f1", "family"),
    ]);
    assert_tells(
        &told,
        &[
            "It was made in step 4 (line 1), when the group `family` was in epoch 1",
            ", the group `team` in epoch 1, before the group `later` existed.",
            "reads t1: alice sent t1 in step 6 (line 1), in epoch 1 of the group `team`. The key follows from the stolen `group \
             team: message secrets`.",
            "cannot read t2:",
            "The thief does not know the commit secret of epoch 2.",
            "reads f1:",
            "The group `family` has not healed: the thief has secrets of epoch 1, the present one.",
            "The group `later` has not healed",
            "The group `team` has healed after 1 epoch: from epoch 2 on, the thief knows no epoch secret.",
        ],
    );
    // Nothing of this group is stolen.
    assert!(!told.contains("`other`"), "{told}");
}

#[test]
fn questions_name_the_group_of_a_message() {
    let scenario = scenario_with(json!({}), &MEMBERS, &two_groups(&[stolen(), send_in("carol", "f1", "family")]));
    let told = told(&explained_with(&scenario, &question(Some("f1"), None), &NoFaults));
    assert_tells(
        &told,
        &[
            "carol sent f1 in step 4 (line 1), in epoch 1 of the group `family`.",
            "f1 is of epoch 1 of the group `family`, and alice was not a member in that epoch.",
            "bob read f1 in step 4 (line 1).",
            "How the thief of phone reads f1, a message of the group `family`:",
        ],
    );
}

#[test]
fn a_broken_promise_of_the_second_group_has_the_states_of_this_group() {
    let messages = (1..8).map(|number| send_in("bob", &format!("t{number}"), "team"));
    let steps = two_groups(&messages.collect::<Vec<_>>());
    let scenario = scenario_with(json!({}), &MEMBERS, &steps);
    let told = told(&explained_with(&scenario, &Question::default(), &Service::LostEntries));
    assert_tells(
        &told,
        &["has every message of its membership", "of the group `team`.", "in the group `team`, before"],
    );
    assert!(!told.contains("in the group `family`, before"), "{told}");
}

/// A scenario whose only group has a name tells the same as one whose group has none.
#[test]
fn a_single_group_is_not_named() {
    let steps = [
        create("alice", &["bob"], "team"),
        stolen(),
        send_in("alice", "m1", "team"),
        json!({ "expect": { "compromise": "phone", "cannot_read": "m1" } }),
    ];
    let named = explained(json!({}), &MEMBERS, &steps);
    assert_tells(
        &named,
        &["in epoch 1.", "bob, before and after", "How the thief of phone reads m1:", "`group team: "],
    );
    assert!(!named.contains("the group `team`"), "{named}");
    let default = [
        json!({ "create": { "by": "alice", "with": ["bob"] } }),
        stolen(),
        send("alice", "m1"),
        json!({ "expect": { "compromise": "phone", "cannot_read": "m1" } }),
    ];
    let unnamed = explained(json!({}), &MEMBERS, &default);
    let plain =
        named.replace("`group team: ", "`group group: ").replace("the group team", "the group").replace(" in team", "");
    assert_eq!(plain.replace(r#", "group": "team""#, ""), unnamed);
}
