//! The secrets that follow from stolen bytes. The tests check messages that the engine refuses
//! although their keys exist, the printed paths, and the cost of the recording.

use regrow_simulator::{
    cost::Operation,
    report::{RunOptions, RunOutcome, Transcript},
    scenario::read,
    world,
};

fn text(group: &str, steps: &str) -> String {
    format!(
        r#"{{ "regrow": 1, "name": "evidence", "seed": 3, "group": {group}, "members": ["alice", "bob", "carol", "dave"],
             "steps": [ {{ "create": {{ "by": "alice", "with": ["bob", "carol"] }} }}, {steps} ] }}"#
    )
}

fn run(group: &str, steps: &str) -> (RunOutcome, String) {
    let scenario = read(&text(group, steps)).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut transcript = Transcript::new(&scenario.name, true);
    let outcome = world::run(&scenario, &RunOptions::default(), &mut transcript);
    (outcome, String::from_utf8(transcript.finish().unwrap().lines).unwrap())
}

#[track_caller]
fn passes(group: &str, steps: &str) {
    let (outcome, _) = run(group, steps);
    assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
}

#[test]
fn next_message_of_a_stolen_sender_is_exposed() {
    passes(
        "{}",
        r#"{ "send": { "by": "alice", "id": "before" } },
           { "compromise": { "who": "alice", "id": "stolen" } },
           { "send": { "by": "alice", "id": "after" } },
           { "update": { "by": "alice" } },
           { "send": { "by": "alice", "id": "healed" } },
           { "expect": { "compromise": "stolen", "reads": "after", "cannot_read": ["before", "healed"], "heals_within": 1 } }"#,
    );
}

#[test]
fn key_package_opens_the_welcome_and_is_then_erased() {
    passes(
        "{}",
        r#"{ "compromise": { "who": "dave", "id": "before" } },
           { "add": { "by": "bob", "who": "dave" } },
           { "compromise": { "who": "dave", "id": "after" } },
           { "send": { "by": "carol", "id": "m1" } },
           { "update": { "by": "dave" } },
           { "send": { "by": "carol", "id": "m2" } },
           { "expect": { "compromise": "before", "reads": "m1", "cannot_read": "m2" } },
           { "expect": { "compromise": "after", "reads": "m1", "cannot_read": "m2" } }"#,
    );
}

#[test]
fn an_opaque_group_heals_like_an_assisted_one() {
    for mode in ["assisted", "opaque"] {
        passes(
            &format!(r#"{{ "handshake": "{mode}" }}"#),
            r#"{ "compromise": { "who": "bob", "id": "stolen" } },
               { "update": { "by": "alice" } },
               { "send": { "by": "carol", "id": "m1" } },
               { "propose": { "by": "bob", "update": true } },
               { "commit": { "by": "carol" } },
               { "send": { "by": "carol", "id": "m2" } },
               { "expect": { "compromise": "stolen", "reads": "m1", "cannot_read": "m2", "heals_within": 2 } }"#,
        );
    }
}

#[test]
fn path_to_the_key_uses_the_words_of_rfc_9420() {
    let (outcome, _) = run(
        "{}",
        r#"{ "compromise": { "who": "bob", "id": "stolen" } },
           { "update": { "by": "alice" } },
           { "send": { "by": "carol", "id": "m1" } },
           { "expect": { "compromise": "stolen", "cannot_read": "m1" } }"#,
    );
    assert_eq!(outcome.failures.len(), 1);
    assert_eq!(
        outcome.failures[0].seen,
        "the stolen bytes lead to its key: group group: epoch encryption keys -> private key, of bob making key packages \
         -> decrypts path_secret of epoch 2, of alice committing -> path_secret of epoch 2, of alice committing \
         -> commit_secret -> joiner_secret of epoch 2 (with init_secret of epoch 1) -> epoch_secret of epoch 2 \
         -> encryption_secret of epoch 2 -> right child in the secret tree of epoch 2 \
         -> left child in the secret tree of epoch 2 -> application ratchet of epoch 2 -> key of generation 0 of epoch 2"
    );
}

#[test]
fn recording_does_not_change_the_run() {
    let steps = |theft| {
        format!(
            r#"{{ "send": {{ "by": "alice", "id": "m1" }} }}, {theft}
               {{ "add": {{ "by": "bob", "who": "dave" }} }},
               {{ "race": [ {{ "update": {{ "by": "alice" }} }}, {{ "update": {{ "by": "dave" }} }} ] }},
               {{ "send": {{ "by": "dave", "id": "m2" }} }}"#
        )
    };
    let theft = r#"{ "compromise": { "who": "bob", "id": "stolen" } },"#;
    let (plain, recorded) = (run("{}", &steps("")), run("{}", &steps(theft)));
    let events = |lines: &str| -> Vec<String> {
        let events = lines.lines().filter(|line| !line.contains(r#""event":"compromised""#));
        // The steps after the theft have other numbers.
        events.map(|line| line[line.find(r#""event""#).unwrap()..].to_owned()).collect()
    };
    assert_eq!(events(&plain.1), events(&recorded.1));
    assert_eq!(plain.0.figures.costs, recorded.0.figures.costs);
}

#[test]
fn costs_are_exact() {
    let (outcome, _) = run("{}", r#"{ "update": { "by": "alice" } }, { "send": { "by": "bob", "id": "m1" } }"#);
    let costs = &outcome.figures.costs;
    // The tree has three members, after one commit that added two. The path goes over the node of
    // alice and bob to the root.
    let commit = costs[&Operation::Commit];
    assert_eq!(
        (commit.calls, commit.hpke_seals),
        (2, 2 + 2),
        "two group secrets without path secrets, then two path secrets"
    );
    assert_eq!(costs[&Operation::ReceiveCommit].hpke_opens, 2);
    assert_eq!((costs[&Operation::Send].aead_seals, costs[&Operation::Send].signatures), (2, 1));
    let received = costs[&Operation::ReceiveMessage];
    assert_eq!((received.calls, received.aead_opens), (2, 2 * 2));
    // The sender recognizes its own message by the sender data, and its own commit by its hash.
    assert_eq!(costs[&Operation::Echo].aead_opens, 1);
    assert_eq!(costs[&Operation::ReceiveCommit].calls, 2);
    assert_eq!(costs[&Operation::Join].hpke_opens, 2);
}
