//! The messages that a thief can read, with one story in each test. One test also runs the engine
//! with a stolen state.

use std::sync::Arc;

use crate::common::{Run, run, scenario, scenario_with};
use regrow_engine::{Client, DeviceId, GroupId, MemoryStore, Policy, Timestamp, default_crypto};
use regrow_simulator::adversary::{Adversary, Traffic, TrafficKind, replay::Replay};
use serde_json::{Value, json};

fn create() -> Value {
    json!({ "create": { "by": "alice", "with": ["bob", "carol"] } })
}

fn send(by: &str, id: &str) -> Value {
    json!({ "send": { "by": by, "id": id } })
}

fn steal(who: &str) -> Value {
    json!({ "compromise": { "who": who, "id": "stolen" } })
}

fn thief(expect: Value) -> Value {
    let mut expect = expect;
    expect["compromise"] = json!("stolen");
    json!({ "expect": expect })
}

/// Runs a scenario that has to pass, in a group of three that may become four.
#[track_caller]
fn passes(steps: &[Value]) -> Run {
    passes_with(json!({}), steps)
}

#[track_caller]
fn passes_with(group: Value, steps: &[Value]) -> Run {
    let run = run(&scenario_with(group, &["alice", "bob", "carol", "dave"], steps));
    run.assert_passed("the scenario");
    run
}

/// The numbers of exposed messages that were sent before and after the theft, and the number of
/// epochs until the group healed.
#[track_caller]
fn figures(run: &Run) -> (u64, u64, Option<u64>) {
    let thief = run.thief();
    (thief.exposed_before, thief.exposed_after, thief.healed_after)
}

#[test]
fn thief_reads_until_the_victim_updates() {
    let run = passes(&[
        create(),
        send("alice", "m1"),
        steal("bob"),
        send("alice", "m2"),
        send("carol", "m3"),
        json!({ "update": { "by": "bob" } }),
        send("alice", "m4"),
        thief(json!({ "reads": ["m2", "m3"], "cannot_read": ["m1", "m4"], "heals_within": 1 })),
    ]);
    assert_eq!(figures(&run), (0, 2, Some(1)));
    assert_eq!(run.outcome.figures.exposed, 2);
}

#[test]
fn updates_of_others_do_not_stop_the_thief() {
    let run = passes(&[
        create(),
        steal("bob"),
        json!({ "update": { "by": "alice" } }),
        json!({ "update": { "by": "carol" } }),
        json!({ "add": { "by": "carol", "who": "dave" } }),
        send("dave", "m1"),
        json!({ "remove": { "by": "carol", "who": "alice" } }),
        send("dave", "m2"),
        thief(json!({ "reads": ["m1", "m2"] })),
    ]);
    assert_eq!(figures(&run), (0, 2, None));
}

#[test]
fn heals_within_holds_from_the_epoch_of_healing_on() {
    let steps = |within: u64| {
        let heals = thief(json!({ "heals_within": within }));
        let update = |by: &str| json!({ "update": { "by": by } });
        scenario(
            &["alice", "bob", "carol"],
            &[create(), steal("bob"), update("alice"), update("carol"), update("bob"), heals],
        )
    };
    for within in [3, 4, 100] {
        run(&steps(within)).assert_passed("healed after three epochs");
    }
    for within in [0, 1, 2] {
        let run = run(&steps(within));
        let [failure] = run.outcome.failures.as_slice() else { panic!("{:?}", run.outcome.failures) };
        assert_eq!(failure.seen, "it healed after 3 epochs");
        assert_eq!(run.thief().healed_after, Some(3));
    }
}

#[test]
fn not_healed_differs_from_healed_late() {
    let run = run(&scenario(
        &["alice", "bob", "carol"],
        &[create(), steal("bob"), json!({ "update": { "by": "alice" } }), thief(json!({ "heals_within": 100 }))],
    ));
    let [failure] = run.outcome.failures.as_slice() else { panic!("{:?}", run.outcome.failures) };
    assert_eq!(failure.seen, "the thief still has secrets of the present epoch");
    assert_eq!(figures(&run), (0, 0, None));
}

#[test]
fn removal_stops_the_thief_but_keeps_its_secrets() {
    let run = passes_with(
        json!({ "past_epochs": 1 }),
        &[
            create(),
            // Sent before the theft and unread: the thief can read it only if the device keeps the
            // epoch.
            json!({ "hold": { "id": "late", "for": "bob" } }),
            send("alice", "late"),
            steal("bob"),
            send("alice", "m1"),
            json!({ "remove": { "by": "alice", "who": "bob" } }),
            send("alice", "m2"),
            json!({ "update": { "by": "carol" } }),
            send("alice", "m3"),
            thief(json!({ "reads": ["late", "m1"], "cannot_read": ["m2", "m3"], "heals_within": 1 })),
        ],
    );
    assert_eq!(figures(&run), (1, 1, Some(1)));
}

#[test]
fn theft_after_the_removal_gives_nothing() {
    let run = passes(&[
        create(),
        json!({ "hold": { "id": "m1", "for": "bob" } }),
        send("alice", "m1"),
        json!({ "remove": { "by": "alice", "who": "bob" } }),
        steal("bob"),
        send("alice", "m2"),
        thief(json!({ "cannot_read": ["m1", "m2"], "heals_within": 0 })),
    ]);
    assert_eq!(figures(&run), (0, 0, Some(0)));
}

#[test]
fn invitation_with_a_stolen_key_package_exposes_the_victim_again() {
    let run = passes(&[
        create(),
        steal("bob"),
        json!({ "remove": { "by": "alice", "who": "bob" } }),
        send("alice", "out"),
        json!({ "add": { "by": "alice", "who": "bob" } }),
        send("alice", "back"),
        thief(json!({ "reads": ["back"], "cannot_read": ["out"] })),
        json!({ "update": { "by": "bob" } }),
        send("alice", "healed"),
        thief(json!({ "cannot_read": ["healed"], "heals_within": 3 })),
    ]);
    assert_eq!(figures(&run), (0, 1, Some(3)));
}

#[test]
fn invitation_with_a_new_key_package_exposes_nothing() {
    let run = passes(&[
        create(),
        steal("bob"),
        json!({ "remove": { "by": "alice", "who": "bob" } }),
        // The stolen key packages have expired, and the members have published new ones.
        json!({ "wait": "91d" }),
        json!({ "add": { "by": "alice", "who": "bob" } }),
        send("alice", "back"),
        thief(json!({ "cannot_read": ["back"], "heals_within": 1 })),
    ]);
    assert_eq!(figures(&run), (0, 0, Some(1)));
}

#[test]
fn messages_read_before_the_theft_are_not_exposed() {
    let run = passes_with(
        json!({ "past_epochs": 2, "out_of_order": 10 }),
        &[
            create(),
            send("alice", "m1"),
            send("carol", "m2"),
            json!({ "update": { "by": "alice" } }),
            send("alice", "m3"),
            steal("bob"),
            thief(json!({ "cannot_read": ["m1", "m2", "m3"] })),
        ],
    );
    assert_eq!(figures(&run), (0, 0, None));
}

#[test]
fn held_lost_and_skipped_messages_are_exposed() {
    let run = passes(&[
        create(),
        json!({ "hold": { "id": "held", "for": "bob" } }),
        json!({ "drop": { "id": "lost", "for": "bob" } }),
        send("alice", "held"),
        send("alice", "lost"),
        send("alice", "read"),
        send("carol", "read_too"),
        json!({ "hold": { "id": "unread", "for": "bob" } }),
        send("carol", "unread"),
        steal("bob"),
        thief(json!({ "reads": ["held", "lost", "unread"], "cannot_read": ["read", "read_too"] })),
    ]);
    assert_eq!(figures(&run), (3, 0, None));
}

#[test]
fn thief_gets_the_skipped_keys_in_the_window() {
    for tolerance in 0..4 {
        let mut steps = vec![create()];
        for message in 1..=4 {
            steps.push(json!({ "hold": { "id": format!("m{message}"), "for": "bob" } }));
            steps.push(send("alice", &format!("m{message}")));
        }
        steps.extend([send("alice", "m5"), steal("bob")]);
        let run = passes_with(json!({ "out_of_order": tolerance }), &steps);
        // The message that was read last takes one place in the window.
        let kept = u64::from(tolerance as u32).saturating_sub(1);
        assert_eq!(figures(&run), (kept, 0, None), "a tolerance of {tolerance}");
    }
}

#[test]
fn thief_gets_the_kept_past_epochs() {
    for past_epochs in 0..4 {
        let mut steps = vec![create()];
        for epoch in 1..=4 {
            steps.push(json!({ "hold": { "id": format!("m{epoch}"), "for": "bob" } }));
            steps.push(send("alice", &format!("m{epoch}")));
            steps.push(json!({ "update": { "by": "carol" } }));
        }
        steps.push(steal("bob"));
        let run = passes_with(json!({ "past_epochs": past_epochs }), &steps);
        assert_eq!(figures(&run), (past_epochs, 0, None), "{past_epochs} past epochs");
    }
}

#[test]
fn offline_victim_exposes_all_unfetched_messages() {
    let run = passes(&[
        create(),
        send("alice", "m1"),
        json!({ "offline": { "who": "bob" } }),
        send("alice", "m2"),
        json!({ "update": { "by": "alice" } }),
        send("carol", "m3"),
        steal("bob"),
        send("carol", "m4"),
        thief(json!({ "reads": ["m2", "m3", "m4"], "cannot_read": ["m1"] })),
        json!({ "online": { "who": "bob" } }),
        json!({ "update": { "by": "bob" } }),
        send("carol", "m5"),
        thief(json!({ "reads": ["m2", "m3", "m4"], "cannot_read": ["m1", "m5"], "heals_within": 1 })),
    ]);
    assert_eq!(figures(&run), (2, 1, Some(1)));
}

#[test]
fn theft_before_the_victim_joined_reads_from_its_invitation_on() {
    let run = passes(&[
        create(),
        steal("dave"),
        send("alice", "m1"),
        json!({ "add": { "by": "alice", "who": "dave" } }),
        send("alice", "m2"),
        send("dave", "m3"),
        thief(json!({ "reads": ["m2", "m3"], "cannot_read": ["m1"] })),
        json!({ "update": { "by": "dave" } }),
        send("alice", "m4"),
        thief(json!({ "cannot_read": ["m4"], "heals_within": 2 })),
    ]);
    assert_eq!(figures(&run), (0, 2, Some(2)));
}

#[test]
fn theft_before_the_group_exists_reads_the_later_group() {
    let run = passes(&[steal("bob"), create(), send("alice", "m1"), thief(json!({ "reads": ["m1"] }))]);
    assert_eq!(figures(&run), (0, 1, None));
}

#[test]
fn theft_before_an_external_join_reads_nothing() {
    let run = passes(&[
        create(),
        steal("dave"),
        json!({ "join": { "who": "dave" } }),
        send("alice", "m1"),
        thief(json!({ "cannot_read": ["m1"], "heals_within": 0 })),
    ]);
    assert_eq!(figures(&run), (0, 0, Some(0)));
}

#[test]
fn theft_of_a_device_that_never_joins_reads_nothing() {
    let run = passes(&[
        create(),
        send("alice", "m1"),
        steal("dave"),
        send("bob", "m2"),
        json!({ "update": { "by": "bob" } }),
        thief(json!({ "cannot_read": ["m1", "m2"], "heals_within": 0 })),
    ]);
    assert_eq!(figures(&run), (0, 0, Some(0)));
}

#[test]
fn external_rejoin_of_the_victim_heals() {
    let run = passes(&[
        create(),
        steal("bob"),
        send("alice", "m1"),
        json!({ "rejoin": { "who": "bob" } }),
        send("alice", "m2"),
        thief(json!({ "reads": ["m1"], "cannot_read": ["m2"], "heals_within": 1 })),
    ]);
    assert_eq!(figures(&run), (0, 1, Some(1)));
}

#[test]
fn committed_update_proposal_heals_unless_it_was_stolen_too() {
    let propose = json!({ "propose": { "by": "bob", "update": true } });
    let commit = json!({ "commit": { "by": "alice" } });
    let after = [steal("bob"), propose.clone(), commit.clone()];
    let before = [propose, steal("bob"), commit];
    let steps = |middle: [Value; 3]| [vec![create()], middle.to_vec(), vec![send("alice", "m1")]].concat();
    assert_eq!(figures(&passes(&steps(after))), (0, 0, Some(1)));
    assert_eq!(figures(&passes(&steps(before))), (0, 1, None), "the new keys were stolen with the old ones");
}

#[test]
fn thieves_have_own_figures_and_shared_messages_count_once() {
    let run = passes(&[
        create(),
        json!({ "compromise": { "who": "bob", "id": "first" } }),
        send("alice", "m1"),
        json!({ "compromise": { "who": "bob", "id": "second" } }),
        json!({ "compromise": { "who": "carol", "id": "third" } }),
        send("alice", "m2"),
        json!({ "update": { "by": "bob" } }),
        send("alice", "m3"),
    ]);
    let figures: Vec<_> = run
        .outcome
        .figures
        .compromises
        .iter()
        .map(|thief| (thief.id.as_str(), thief.exposed_before, thief.exposed_after, thief.healed_after))
        .collect();
    assert_eq!(figures, [("first", 0, 2, Some(1)), ("second", 0, 1, Some(1)), ("third", 0, 2, None)]);
    assert_eq!(run.outcome.figures.exposed, 3);
}

#[test]
fn hidden_handshakes_make_no_difference_to_a_thief() {
    let steps = [
        create(),
        steal("bob"),
        json!({ "update": { "by": "alice" } }),
        json!({ "propose": { "by": "alice", "add": "dave" } }),
        json!({ "commit": { "by": "carol" } }),
        send("dave", "m1"),
        json!({ "update": { "by": "bob" } }),
        send("dave", "m2"),
    ];
    for handshake in ["assisted", "opaque"] {
        let run = passes_with(json!({ "handshake": handshake }), &steps);
        assert_eq!(figures(&run), (0, 1, Some(3)), "{handshake}");
    }
}

/// A device stores the text of a message that it has read and not acknowledged.
#[test]
fn thief_reads_unacknowledged_messages() {
    let now = Timestamp(1_800_000_000);
    let policy = Policy { clock_skew: now.0, reading_delay: 200 * 365 * 24 * 60 * 60, ..Policy::default() };
    let device = |user: &str| {
        let id = DeviceId::new(user, "phone").unwrap();
        Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, policy.clone()).unwrap()
    };
    let (mut alice, mut bob) = (device("alice"), device("bob"));
    let group = GroupId::new("chat").unwrap();
    let key_packages = bob.key_packages(1, now).unwrap();
    let pending = alice.create_group(group.clone(), now).unwrap().add(&key_packages, now).unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    alice.confirm(pending, now).unwrap();
    bob.join(&welcome, now).unwrap();
    let message = alice.group(&group).unwrap().send(b"hello").unwrap();
    let traffic = [Traffic::new(&group, TrafficKind::Message, 1, Some(0), &message)];
    let read = |bob: &Client| {
        let snapshot = bob.snapshot().unwrap();
        let mut thief = Replay::new(&snapshot, default_crypto(), policy.clone()).unwrap();
        thief.observe(&traffic);
        thief.readable().contains(&0)
    };

    bob.receive(&message, now).unwrap();
    assert!(read(&bob));
    bob.acknowledge().unwrap();
    assert!(!read(&bob));
}
