//! The command `regrow explain`: failures, thefts and questions in plain words.

mod groups;
mod other_fields;

use std::{fs, path::Path};

use crate::{
    common::{program, scenario_with},
    mutations::{Keeps, RecordKind, Service, When},
};
use regrow_simulator::{
    explain::{Explanation, Question, explain, text},
    report::{RunOptions, Transcript},
    scenario::{CompromiseId, MessageId, Scenario},
    world::{
        fault_injection::{FaultInjection, NoFaults},
        run_in,
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn explained_with(scenario: &Scenario, question: &Question, faults: &dyn FaultInjection) -> Explanation {
    let run = |options: &RunOptions| run_in(scenario, options, &mut Transcript::new(&scenario.name, false), faults);
    explain(scenario, question, None, &run).unwrap()
}

/// The explanation as a person sees it, with each run of white space as one space.
#[track_caller]
fn told(explanation: &Explanation) -> String {
    let mut out = Vec::new();
    text::write(&mut out, Path::new("a.json"), explanation).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 100 || line.contains('{')), "{text}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn explained(group: Value, members: &[&str], steps: &[Value]) -> String {
    told(&explained_with(&scenario_with(group, members, steps), &Question::default(), &NoFaults))
}

#[track_caller]
fn assert_tells(told: &str, parts: &[&str]) {
    let mut rest = told;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { panic!("{part:?} is not in its place in:\n{told}") };
        rest = after;
    }
}

fn create(with: &[&str]) -> Value {
    json!({ "create": { "by": "alice", "with": with } })
}

/// The theft of bob's device.
fn stolen() -> Value {
    json!({ "compromise": { "who": "bob", "id": "phone" } })
}

fn send(by: &str, id: &str) -> Value {
    json!({ "send": { "by": by, "id": id } })
}

#[test]
fn a_failed_step_has_cause_remedy_and_states() {
    let told = explained(
        json!({}),
        &["alice", "bob", "carol"],
        &[create(&["bob"]), json!({ "update": { "by": "alice" } }), send("carol", "m1")],
    );
    assert_tells(
        &told,
        &[
            "FAILED: 1 expectation does not hold",
            "1. step 3 (line 1)",
            r#"step { "send": { "by": "carol", "id": "m1" } }"#,
            "expected the step succeeds",
            "seen it failed with `not_a_member`",
            "`not_a_member`: The acting device is not in the group at this step.",
            r#"If the step should fail, write { "expect": { "fails": "not_a_member" } } directly after it."#,
            "carol, before and after step 3 (line 1): connection online",
            "epoch none: the device is not in the group (epoch: a state of the group between two commits",
        ],
    );
}

#[test]
fn states_before_and_after_a_step_differ() {
    let told = explained(
        json!({}),
        &["alice", "bob", "carol"],
        &[
            create(&["bob"]),
            send("bob", "m1"),
            json!({ "add": { "by": "alice", "who": "carol" } }),
            json!({ "expect": { "fails": "already_a_member" } }),
        ],
    );
    assert_tells(
        &told,
        &[
            "expected the step before fails with `already_a_member`",
            "The step before this one has to fail, and it succeeded.",
            "`already_a_member` means: The device that should come into the group is in it already.",
            "alice, before step 3 (line 1), then after it:",
            "epoch 1; then 2",
            "members it sees alice, bob; then alice, bob, carol",
            "read m1",
            "carol, before step 3 (line 1), then after it:",
            "epoch none: the device is not in the group; then 2",
            "members it sees -; then alice, bob, carol",
            "not read m1: not a member in epoch 1",
        ],
    );
}

#[test]
fn a_step_that_failed_with_another_code_is_explained() {
    let told = explained(
        json!({}),
        &["alice", "bob"],
        &[create(&["bob"]), json!({ "commit": { "by": "bob" } }), json!({ "expect": { "fails": "stale" } })],
    );
    assert_tells(
        &told,
        &[
            "1. step 3 (line 1)",
            "expected the step before fails with `stale`",
            "The step before this one has to fail, and it failed with another code.",
            "`stale` means: The member was in an older epoch than the delivery service",
            "`nothing_to_commit` means: No proposal waits for a commit.",
            "bob, before and after step 2 (line 1)",
        ],
    );
}

#[test]
fn a_message_from_before_a_member_joined_is_explained() {
    let told = explained(
        json!({}),
        &["alice", "bob", "carol"],
        &[
            create(&["bob"]),
            send("alice", "m1"),
            json!({ "add": { "by": "alice", "who": "carol" } }),
            json!({ "expect": { "who": "carol", "reads": "m1" } }),
        ],
    );
    assert_tells(
        &told,
        &[
            "The step expects that carol has decrypted m1 at this moment.",
            "alice sent m1 in step 2 (line 1), in epoch 1.",
            "m1 is of epoch 1, and carol was not a member in that epoch. carol entered the group in epoch 2.",
            "not read m1: not a member in epoch 1",
            "The last events before it: step 1 (line 1): alice made the group",
        ],
    );
}

#[test]
fn erased_epochs_and_ratchet_windows_are_told_apart() {
    let hold = |id: &str| json!({ "hold": { "id": id, "for": "bob" } });
    let told = explained(
        json!({ "out_of_order": 1, "past_epochs": 0 }),
        &["alice", "bob"],
        &[
            create(&["bob"]),
            hold("m1"),
            hold("m4"),
            hold("m5"),
            json!({ "drop": { "id": "m6", "for": "bob" } }),
            send("alice", "m1"),
            send("alice", "m2"),
            send("alice", "m3"),
            send("alice", "m4"),
            json!({ "release": { "id": "m1" } }),
            json!({ "update": { "by": "alice" } }),
            json!({ "release": { "id": "m4" } }),
            send("alice", "m5"),
            send("alice", "m6"),
            json!({ "expect": { "who": "bob", "reads": ["m1", "m4", "m5", "m6"] } }),
        ],
    );
    assert_tells(
        &told,
        &[
            "m1 reached bob after too many later messages of alice. A member keeps the unused keys of the last 1 messages",
            "m1: outside of the ratchet window, too late; m4: the keys of epoch 1 were erased; m5: held back by a `hold`; \
             m6: lost by a `drop`",
            "A member keeps the keys of 0 past epochs (`past_epochs`), so the keys of epoch 1 were erased (RFC 9420, 9.2).",
            "A `hold` keeps m5 back from bob. A `release` delivers it.",
            "A `drop` lost the delivery of m6 to bob.",
        ],
    );
}

#[test]
fn the_way_of_a_thief_is_told_step_by_step() {
    let told = explained(
        json!({}),
        &["alice", "bob", "carol"],
        &[
            create(&["bob", "carol"]),
            stolen(),
            json!({ "update": { "by": "alice" } }),
            send("carol", "m1"),
            json!({ "expect": { "compromise": "phone", "cannot_read": "m1" } }),
        ],
    );
    assert_tells(
        &told,
        &[
            "expected the thief of phone cannot read m1",
            "seen the stolen bytes lead to its key",
            "The step expects that the thief of phone (somebody with a copy of a device's state, and with all traffic) cannot",
            "`phone` is the theft of bob's device in step 2 (line 1).",
            "The thief can read m1. The key follows from the stolen `group group: epoch encryption keys` and `group group: \
             epoch secrets`. With them the thief opens alice's commit, which made epoch 2 (commit: a message that changes a \
             group and begins its next epoch). All steps follow below.",
            "bob, before and after step 5 (line 1):",
            "How the thief of phone reads m1:",
            "has a copy of the stored records and the memory of bob's device. It was made in step 2 (line 1), when",
            "[1] The stolen record `group group: epoch encryption keys` contains the private key of bob's leaf (the place",
            "(RFC 9420, 7.2)",
            "[2] The private key [1] opens the path secret (a fresh secret in a commit, from which the keys of one node and \
             of all nodes above it follow) of node 1 in alice's commit, which made epoch 2. (RFC 9420, 7.6)",
            "[3] From the path secret [2] follows the path secret of node 3. (RFC 9420, 7.4)",
            "[4] From the path secret [3] follows the commit secret",
            "[5] The stolen record `group group: epoch secrets` contains the init secret (the secret that an epoch passes \
             on to the next one) of epoch 1. (RFC 9420, 8)",
            "[6] From the commit secret [4] and the init secret [5] follows the joiner secret",
            "[7] From the joiner secret [6] follows the epoch secret",
            "[8] From the epoch secret [7] follows the encryption secret",
            "[9] From the encryption secret [8] follows carol's ratchet for messages",
            "[10] From the ratchet [9] follows the key of generation 0",
            "(RFC 9420, 9.1)",
            "[11] The key [10] decrypts m1. (RFC 9420, 6.3.1)",
        ],
    );
}

/// Carol's commit seals its path secret to the node above alice and bob, and bob's device has the key of
/// that node.
#[test]
fn a_stolen_key_of_a_node_is_named_by_its_node() {
    let steps = [create(&["bob", "carol"]), stolen(), json!({ "update": { "by": "carol" } }), send("alice", "m1")];
    let told = way_to_m1(json!({}), &steps);
    assert_tells(
        &told,
        &[
            "contains the private key of node 1, a node above bob's leaf. (RFC 9420, 7.1)",
            "The private key [1] opens the path secret",
            "of node 3 in carol's commit, which made epoch 2.",
        ],
    );
}

#[test]
fn a_group_that_does_not_heal_is_explained() {
    let told = explained(
        json!({}),
        &["alice", "bob", "carol"],
        &[
            create(&["bob", "carol"]),
            stolen(),
            json!({ "update": { "by": "alice" } }),
            json!({ "expect": { "compromise": "phone", "heals_within": 1 } }),
        ],
    );
    assert_tells(
        &told,
        &[
            "expected phone has healed within 1 epoch",
            "A group has healed in the first epoch (a state of the group between two commits, with keys of its own) after",
            "Epoch 2: alice's commit in step 3 (line 1) gave the committer new keys. The thief knows secrets of this epoch.",
            "The group has not healed: the thief has secrets of epoch 2, the present one.",
            "an `update` of bob, or the removal of bob's device.",
            "How the thief of phone gets into epoch 2:",
            "From the joiner secret [6] follows the epoch secret",
        ],
    );
}

#[test]
fn a_thief_that_cannot_read_is_explained() {
    let told = explained(
        json!({}),
        &["alice", "bob"],
        &[
            create(&["bob"]),
            send("alice", "m1"),
            stolen(),
            json!({ "update": { "by": "bob" } }),
            send("alice", "m2"),
            json!({ "expect": { "compromise": "phone", "reads": ["m1", "m2"] } }),
        ],
    );
    assert_tells(
        &told,
        &[
            "The thief cannot read m1. The device had used the key of the message, and had erased it before the theft.",
            "The thief cannot read m2. The thief does not know the commit secret of epoch 2.",
        ],
    );
}

#[test]
fn wrong_epochs_and_members_come_with_the_history() {
    let told = explained(
        json!({}),
        &["alice", "bob", "carol"],
        &[
            create(&["bob", "carol"]),
            json!({ "remove": { "by": "alice", "who": "carol" } }),
            json!({ "expect": { "epoch": 1, "members": ["alice", "bob", "carol"] } }),
        ],
    );
    assert_tells(
        &told,
        &[
            "FAILED: 2 expectations do not hold",
            "expected the group is in epoch 1 seen it is in epoch 2",
            "The group began in epoch 0 in step 1 (line 1).",
            "Epoch 1: alice's commit in step 1 (line 1) added bob, carol.",
            "Epoch 2: alice's commit in step 2 (line 1) removed carol.",
            "The members of the last epoch are alice, bob.",
            "alice, before and after step 3 (line 1)",
            "expected the members are alice, bob, carol",
        ],
    );
}

#[test]
fn the_acts_of_a_thief_are_listed() {
    let told = explained(
        json!({}),
        &["alice", "bob"],
        &[
            create(&["bob"]),
            stolen(),
            json!({ "impersonate": { "compromise": "phone", "action": "send" } }),
            json!({ "expect": { "compromise": "phone", "accepted": false, "detected": false } }),
        ],
    );
    assert_tells(
        &told,
        &[
            "expected the last action of the thief of phone is not accepted",
            "`accepted` asks if the delivery service",
            "step 3 (line 1): the thief of phone, as bob, tried to send",
            "step 3 (line 1): bob noticed the thief of phone",
        ],
    );
}

#[test]
fn a_broken_promise_is_explained_at_its_step() {
    let members = ["alice", "bob", "carol"];
    let steps: Vec<_> =
        [create(&["bob", "carol"])].into_iter().chain((1..8).map(|n| send("alice", &format!("m{n}")))).collect();
    let scenario = scenario_with(json!({}), &members, &steps);
    let told = told(&explained_with(&scenario, &Question::default(), &Service::LostEntries));
    assert_tells(
        &told,
        &[
            "FAILED:",
            "at the end of the scenario",
            "has every message of its membership",
            "At the end of every scenario, each member has read every message of its membership",
            "was not delivered to",
            "not read",
            ": not delivered",
        ],
    );
}

#[test]
fn a_device_that_keeps_a_used_key_is_explained() {
    let steps = [create(&["bob"]), send("alice", "m1"), stolen()];
    let scenario = scenario_with(json!({}), &["alice", "bob"], &steps);
    let fault = Keeps(RecordKind::MessageSecrets, When::WithinEpoch);
    let told = told(&explained_with(&scenario, &Question::default(), &fault));
    assert_tells(
        &told,
        &[
            "at the end of the scenario expected for the thief of phone, m1 cannot be read, by RFC 9420 and the policy",
            "can read exactly the messages that RFC 9420 and the settings predict.",
            "How the thief of phone reads m1:",
            "decrypts m1. (RFC 9420, 6.3.1)",
        ],
    );
}

fn stolen_phone() -> Scenario {
    let steps = [
        create(&["bob", "carol"]),
        send("alice", "m1"),
        stolen(),
        send("alice", "m2"),
        json!({ "update": { "by": "bob" } }),
        send("alice", "m3"),
    ];
    scenario_with(json!({}), &["alice", "bob", "carol"], &steps)
}

/// The way of bob's thief to m1, in a group of alice, bob and carol.
fn way_to_m1(group: Value, steps: &[Value]) -> String {
    let scenario = scenario_with(group, &["alice", "bob", "carol"], steps);
    told(&explained_with(&scenario, &question(Some("m1"), Some("phone")), &NoFaults))
}

fn question(message: Option<&str>, thief: Option<&str>) -> Question {
    Question { message: message.map(MessageId::new), thief: thief.map(CompromiseId::new) }
}

#[test]
fn a_scenario_that_passes_has_a_summary_of_its_thieves() {
    let told = told(&explained_with(&stolen_phone(), &Question::default(), &NoFaults));
    assert_tells(
        &told,
        &[
            "passed: every expectation holds. This is what each thief can read, and why:",
            "The thief of phone (somebody with a copy",
            "cannot read m1: alice sent m1 in step 2 (line 1), in epoch 1. The device had used the key",
            "reads m2: alice sent m2 in step 4 (line 1), in epoch 1. The key follows from the stolen `group group: message secrets`",
            "cannot read m3:",
            "The thief does not know the commit secret of epoch 2.",
            "The group has healed after 1 epoch: from epoch 2 on, the thief knows no epoch secret.",
            "regrow explain a.json --message m2 --compromise phone",
        ],
    );
    let nothing_stolen = explained(json!({}), &["alice", "bob"], &[create(&["bob"])]);
    assert_tells(&nothing_stolen, &["nothing was stolen. There is nothing to explain."]);
}

#[test]
fn questions_about_messages_and_thieves_are_answered() {
    let ask = |message, thief| told(&explained_with(&stolen_phone(), &question(message, thief), &NoFaults));
    let both = ask(Some("m2"), Some("phone"));
    assert_tells(
        &both,
        &[
            "passed alice sent m2",
            "How the thief of phone reads m2:",
            "alice's ratchet of epoch 1 (a chain of keys, one for each message of one sender), at generation 1",
            "decrypts m2.",
        ],
    );
    assert!(!both.contains("bob read m2"), "{both}");
    let message = ask(Some("m2"), None);
    assert_tells(
        &message,
        &["alice sent m2 itself.", "bob read m2 in step 4 (line 1).", "How the thief of phone reads m2:"],
    );
    let thief = ask(None, Some("phone"));
    assert_tells(
        &thief,
        &["alice sent m1", "cannot read m1.", "alice sent m2", "reads m2:", "alice sent m3", "cannot read m3."],
    );
}

#[test]
fn keys_of_welcomes_and_external_commits_are_on_the_way() {
    let steps = [
        json!({ "create": { "by": "alice", "with": "carol" } }),
        json!({ "compromise": { "who": "bob", "id": "before" } }),
        json!({ "add": { "by": "alice", "who": "bob" } }),
        send("alice", "m1"),
    ];
    let invited = scenario_with(json!({}), &["alice", "bob", "carol"], &steps);
    let told_invited = told(&explained_with(&invited, &question(Some("m1"), Some("before")), &NoFaults));
    assert_tells(
        &told_invited,
        &[
            "contains the private key of key package 1 of bob (keys of a device",
            "(RFC 9420, 10)",
            "opens a welcome",
            "12.4.3.1",
            "contains the joiner secret",
        ],
    );
    let steps = [create(&["bob"]), stolen(), json!({ "join": { "who": "carol" } }), send("carol", "m1")];
    let told_joined = way_to_m1(json!({}), &steps);
    assert_tells(
        &told_joined,
        &[
            "private key for external commits",
            "opens the init secret in an external commit",
            "(RFC 9420, 8.3)",
            "joiner secret",
        ],
    );
}

#[test]
fn opaque_commits_are_on_the_way() {
    let steps = [create(&["bob", "carol"]), stolen(), json!({ "update": { "by": "alice" } }), send("alice", "m1")];
    let told = way_to_m1(json!({ "handshake": "opaque" }), &steps);
    assert_tells(
        &told,
        &[
            "opens",
            "a commit that was sent as a PrivateMessage",
            "of node 1 in alice's commit, which made epoch 2",
            "decrypts m1.",
        ],
    );
}

#[test]
fn long_ways_are_shortened() {
    let mut steps = vec![create(&["bob", "carol"]), stolen()];
    steps.push(json!({ "repeat": { "times": 12, "steps": [{ "update": { "by": "alice" } }] } }));
    steps.push(send("alice", "m1"));
    let told = way_to_m1(json!({}), &steps);
    assert_tells(&told, &["[1] ", "[30] ", "steps are left out: the same for each epoch between.", "decrypts m1."]);
    assert!(!told.contains("[31] "), "{told}");
}

fn regrow(arguments: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let output = program::regrow(arguments, folder);
    (output.status.code(), program::text(&output.stdout), program::text(&output.stderr))
}

fn scenarios() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios"))
}

#[test]
fn exit_statuses_are_those_of_run() {
    let status = |arguments: &[&str]| regrow(&[&["explain"], arguments].concat(), scenarios()).0;
    assert_eq!(status(&["update_heals.json"]), Some(0));
    assert_eq!(status(&["failing/newcomer_reads_history.json"]), Some(1));
    assert_eq!(status(&["failing/another_member_is_no_cure.json", "--message", "m1"]), Some(1));
    assert_eq!(status(&["no_such_file.json"]), Some(2));
    assert_eq!(status(&["sweeps/cost_model.json"]), Some(2));
    let (status, out, error) = regrow(&["explain", "update_heals.json", "--message", "m9"], scenarios());
    assert_eq!((status, &*out), (Some(2), ""));
    assert_eq!(error, "update_heals.json: unknown message `m9`; did you mean `m1`?\n");
    let (status, _, error) = regrow(&["explain", "leave.json", "--compromise", "phone"], scenarios());
    assert_eq!(status, Some(2));
    assert!(error.contains("no compromise happened in this run"), "{error}");
}

#[test]
fn json_has_the_same_parts() {
    let (status, out, _) = regrow(&["explain", "failing/another_member_is_no_cure.json", "--json"], scenarios());
    assert_eq!((status, out.lines().count()), (Some(1), 1));
    let explanation: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(explanation["file"], "failing/another_member_is_no_cure.json");
    assert_eq!((&explanation["status"], &explanation["failed"]), (&json!("failed"), &json!(2)));
    let failure = &explanation["failures"][0];
    assert_eq!((&failure["line"], &failure["expected"]), (&json!(11), &json!("the thief of stolen cannot read m1")));
    assert_eq!(failure["members"][0]["who"], "bob");
    assert_eq!(failure["ways"][0]["steps"][0]["rfc9420"], "7.2");
}

#[test]
fn the_same_file_gives_the_same_bytes() {
    for file in [
        "failing/another_member_is_no_cure.json",
        "offline_device_keeps_old_keys.json",
        "owner_ends_the_impersonation.json",
    ] {
        assert_eq!(regrow(&["explain", file], scenarios()), regrow(&["explain", file], scenarios()), "{file}");
    }
}

/// Every published scenario can be explained, and no name in a file can control the terminal.
#[test]
fn every_scenario_can_be_explained() {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("a.json"),
        json!({
            "regrow": 1, "name": "a name", "members": ["<b>", "bob"],
            "steps": [
                { "create": { "by": "<b>", "with": "bob" } },
                { "send": { "by": "bob", "id": "m1", "text": "\u{1b}[31m" } },
                { "expect": { "who": "<b>", "cannot_read": "m1" } }
            ]
        })
        .to_string(),
    )
    .unwrap();
    let (status, out, _) = regrow(&["explain", "a.json"], folder.path());
    assert_eq!(status, Some(1));
    assert!(!out.contains('\u{1b}'), "{out}");
    for file in ["forged_message", "thief_locks_the_owner_out", "stolen_file_without_key", "lost_race", "churn"] {
        let (status, out, error) = regrow(&["explain", &format!("{file}.json")], scenarios());
        assert_eq!((status, &*error), (Some(0), ""), "{file}: {out}");
    }
}
