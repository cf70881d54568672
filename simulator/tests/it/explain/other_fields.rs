//! Explanations of due work, verified members, group data, locks, and lies of the delivery service.

use serde_json::{Value, json};

use super::{assert_tells, create, explained, send, stolen};

const MEMBERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn told_of(group: Value, more: &[Value]) -> String {
    explained(group, &MEMBERS, &[&[create(&["bob", "carol"])], more].concat())
}

fn expect(fields: Value) -> Value {
    json!({ "expect": fields })
}

#[test]
fn due_work_is_told_with_the_limits_of_the_policy() {
    let due = |fields: Value| expect(json!({ "due": fields }));
    let told = told_of(json!({ "rotate_after": "2d" }), &[due(json!({ "who": "bob", "rotation": "keys" }))]);
    assert_tells(
        &told,
        &[
            "expected new keys of bob are due",
            "`due` asks for the work that the policy of bob wants now.",
            "New keys of bob are due as soon as its keys in the group are 2d old (`rotate_after`), or it has sent 1000 messages",
            "An `upkeep` step does the due work.",
        ],
    );
    assert!(!told.contains("All online members have to be"), "{told}");
    let never = json!({ "rotate_after": "never", "rotate_after_messages": "never", "remove_inactive_after": "never" });
    let told = told_of(never, &[due(json!({ "who": "bob", "rotation": "keys", "inactive": "alice" }))]);
    assert_tells(
        &told,
        &[
            "The policy has no limit for the age of keys, so new keys are never due.",
            "The policy has no limit for inactive members, so no removal is ever due.",
            "expected the removal of alice is due for bob seen no removal is due for bob",
        ],
    );
    let told = told_of(json!({ "remove_inactive_after": "30d" }), &[due(json!({ "who": "bob", "inactive": "alice" }))]);
    assert_tells(&told, &["if it has made no new keys for 30d (`remove_inactive_after`)."]);
    let told = told_of(json!({}), &[due(json!({ "who": "bob", "key_packages": 1 }))]);
    assert_tells(&told, &["bob keeps a stock of key packages at the delivery service (`key_packages`)"]);
    assert!(!told.contains("`upkeep` step"), "{told}");
}

#[test]
fn verified_members_are_told_with_the_comparisons() {
    let told = told_of(
        json!({}),
        &[
            json!({ "verify": { "by": "alice", "who": "bob" } }),
            json!({ "update": { "by": "bob", "signature_key": true } }),
            expect(json!({ "verified": { "by": "alice", "who": "bob" } })),
        ],
    );
    assert_tells(
        &told,
        &[
            "expected alice has verified bob seen it has verified nobody",
            "A `verify` step compares the safety numbers of two users, and verifies both if the numbers are equal.",
            "A new signature key or a new device changes it.",
            "The comparisons so far: step 2 (line 1): alice and bob saw the same safety number.",
        ],
    );
}

#[test]
fn group_data_and_their_members_are_told() {
    let told = told_of(
        json!({}),
        &[json!({ "set_data": { "by": "alice", "data": "new" } }), expect(json!({ "data": "old" }))],
    );
    assert_tells(&told, &["the group data of alice is `old`", "A `set_data` step changes them by a commit"]);
}

#[test]
fn a_locked_device_tells_nothing() {
    let told = told_of(
        json!({}),
        &[json!({ "lock": { "who": "bob" } }), send("alice", "m1"), expect(json!({ "who": "bob", "reads": "m1" }))],
    );
    assert_tells(
        &told,
        &["connection the device is locked", "epoch not known: a locked device tells nothing", "the device is locked"],
    );
}

#[test]
fn stolen_files_without_their_key_are_told() {
    let theft = json!({ "compromise": { "who": "bob", "id": "files", "scope": "disk" } });
    let told =
        told_of(json!({}), &[theft, send("alice", "m1"), expect(json!({ "compromise": "files", "reads": "m1" }))]);
    assert_tells(
        &told,
        &[
            "seen the stolen bytes do not lead to its key The step",
            "`files` is the theft of bob's device in step 2 (line 1).",
            "The thief cannot read m1. The thief has the files, but not the key that opens them.",
        ],
    );
    let told = told_of(json!({}), &[stolen(), expect(json!({ "compromise": "phone", "healed": true }))]);
    assert_tells(&told, &["The group has not healed", "heals if no stolen key opens its update path"]);
    let told = told_of(
        json!({}),
        &[stolen(), json!({ "update": { "by": "bob" } }), expect(json!({ "compromise": "phone", "healed": false }))],
    );
    assert_tells(&told, &["The group has healed after 1 epoch"]);
    assert!(!told.contains("heals if no stolen key"), "the group needs no cure: {told}");
}

#[test]
fn a_withheld_entry_is_told_with_its_step() {
    let told = told_of(
        json!({}),
        &[
            json!({ "service": { "withhold": { "from": "bob", "entries": 1 } } }),
            send("alice", "m1"),
            expect(json!({ "who": "bob", "reads": "m1" })),
        ],
    );
    assert_tells(
        &told,
        &[
            "The delivery service keeps entries back from bob, because a `service` step told it so. So bob has not got m1.",
            "not read m1: not delivered: the delivery service keeps entries back",
            "the scenario told the service: `withhold` (bob)",
            "(commit: a message that changes a group and begins its next epoch)",
        ],
    );
}

#[test]
fn evidence_is_told_with_its_moment_and_the_findings() {
    let withhold = json!({ "service": { "withhold": { "from": "bob", "entries": 1 } } });
    let gap = expect(json!({ "gap_reported": { "by": "bob" }, "cut_off": "bob" }));
    let told = told_of(json!({}), &[withhold, send("alice", "m1"), gap]);
    assert_tells(
        &told,
        &[
            "expected bob has found a gap seen bob has not",
            "A gap is a missing entry",
            "A member finds a gap when a later entry comes, or when it sends something.",
            "No member has found anything so far.",
        ],
    );
    let roster = json!({ "service": { "false_roster": { "to": "bob", "hide": "carol" } } });
    let told = told_of(json!({}), &[roster, expect(json!({ "roster_lie_detected": false }))]);
    assert_tells(
        &told,
        &[
            "A false roster is a list of members of the delivery service",
            "The findings so far: step 2 (line 1): bob found: the service's roster adds nobody, and hides carol.",
        ],
    );
    let told = told_of(json!({}), &[send("alice", "m1"), expect(json!({ "cut_off": "bob" }))]);
    assert_tells(
        &told,
        &["the delivery service has cut bob off", "It holds only after a `service` step with such a lie"],
    );
}

#[test]
fn two_histories_are_told() {
    let told = explained(
        json!({ "publish_group_info": true }),
        &MEMBERS,
        &[
            create(&["bob", "carol", "dave"]),
            json!({ "service": { "equivocate": { "to": ["carol", "dave"] } } }),
            json!({ "update": { "by": "alice" } }),
            json!({ "update": { "by": "carol" } }),
            send("alice", "m1"),
            expect(json!({ "who": "dave", "reads": "m1" })),
            expect(json!({ "equivocation_detected": { "by": "bob" } })),
        ],
    );
    assert_tells(
        &told,
        &[
            "The delivery service shows two histories, because a `service` step told it so. m1 is not in the history that dave",
            "not read m1: not delivered: the delivery service shows another history",
        ],
    );
}

#[test]
fn members_with_different_states_are_told_once() {
    let told = explained(
        json!({}),
        &["alice", "bob"],
        &[
            create(&["bob"]),
            json!({ "service": { "withhold": { "from": "bob" } } }),
            json!({ "update": { "by": "alice" } }),
            expect(json!({ "converged": true })),
        ],
    );
    assert_tells(
        &told,
        &[
            "expected bob is in epoch 2, like the service",
            "expected all online members hold the same epoch authenticator",
            "Members with the same epoch authenticator (a value that two members have in common only if they are in the same \
             state of the group) have the same state. A `/` stands between the members of two states.",
            "An earlier failure above shows the state of bob.",
            "alice, before and after step 4",
        ],
    );
}

#[test]
fn a_member_that_has_not_followed_a_commit_is_no_stranger() {
    let told = told_of(
        json!({}),
        &[
            json!({ "authenticate": { "who": "carol", "of": "bob", "answer": "refuse" } }),
            json!({ "update": { "by": "bob", "signature_key": true } }),
            send("bob", "m1"),
            expect(json!({ "who": "carol", "reads": "m1" })),
        ],
    );
    assert_tells(
        &told,
        &[
            "m1 is of epoch 2, and the device of carol was not in that epoch: it had not followed the commit",
            "not read m1: its device was not in epoch 2",
        ],
    );
}
