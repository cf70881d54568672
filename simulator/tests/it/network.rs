//! Imperfect connections, named handshakes, and wrong clocks.

use serde_json::{Value, json};

use regrow_simulator::scenario::{read, write};

use crate::common::{Run, run, run_on_threads, run_with_seed, scenario, scenario_with, told};

const MEMBERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn create() -> Value {
    json!({ "create": { "by": "alice", "with": ["bob", "carol"] } })
}

fn with(steps: &[Value]) -> Run {
    let all: Vec<_> = std::iter::once(create()).chain(steps.iter().cloned()).collect();
    run(&scenario_with(json!({ "past_epochs": 2 }), &MEMBERS, &all))
}

#[track_caller]
fn passes(steps: &[Value]) -> Run {
    let run = with(steps);
    run.assert_passed(&format!("{steps:?}"));
    run
}

#[track_caller]
fn fails(steps: &[Value], expected: &str) {
    let run = with(steps);
    let told = told(&run.outcome.failures);
    assert!(!run.passed() && told.contains(expected), "{told}");
}

/// The virtual time of the last event, in seconds.
fn end(run: &Run) -> u64 {
    run.events.iter().filter_map(|event| event["t"].as_u64()).max().unwrap()
}

/// A long scenario over a bad network.
fn flaky(seed: u64, network: &Value) -> Run {
    let steps = json!([
        create(),
        { "network": network },
        { "send": { "by": "alice", "id": "m1" } },
        { "update": { "by": "bob" } },
        { "send": { "by": "carol", "id": "m2" } },
        { "update": { "by": "alice", "signature_key": true } },
        { "wait": "1h" },
        { "add": { "by": "bob", "who": "dave" } },
        { "send": { "by": "alice", "id": "m3" } },
        { "update": { "by": "carol" } },
        { "wait": "1h" },
        { "remove": { "by": "dave", "who": "alice" } },
        { "send": { "by": "bob", "id": "m4" } },
    ]);
    let settings = json!({ "past_epochs": 5, "out_of_order": 50 });
    let steps = steps.as_array().unwrap();
    run_with_seed(&scenario_with(settings, &MEMBERS, steps), seed)
}

#[test]
fn every_promise_holds_over_a_bad_network() {
    for (seed, network) in [
        json!({ "latency_ms": 300, "jitter_ms": 300 }),
        json!({ "loss": 0.5 }),
        json!({ "duplicate": 1 }),
        json!({ "reorder": 0.7 }),
        json!({ "latency_ms": 2000, "jitter_ms": 5000, "loss": 0.3, "duplicate": 0.5, "reorder": 0.5 }),
        json!({ "who": "bob", "latency_ms": 600_000 }),
    ]
    .iter()
    .enumerate()
    {
        for seed in [seed as u64, seed as u64 + 100] {
            flaky(seed, network).assert_passed(&format!("{network}, seed {seed}"));
        }
    }
}

#[test]
fn network_follows_from_the_seed() {
    let network = json!({ "latency_ms": 300, "jitter_ms": 300, "loss": 0.4, "duplicate": 0.4, "reorder": 0.4 });
    let [first, again, other] = [1, 1, 2].map(|seed| flaky(seed, &network));
    assert_eq!(first.hash, again.hash);
    assert_ne!(first.hash, other.hash);
    let steps = [create(), json!({ "network": network }), json!({ "update": { "by": "bob" } })];
    let scenario = scenario(&MEMBERS, &steps);
    assert_eq!(run_on_threads(1, &scenario).hash, run_on_threads(4, &scenario).hash);
}

#[test]
fn delivery_arrives_when_its_time_has_passed() {
    let slow = json!({ "network": { "who": "bob", "latency_ms": 1500 } });
    let send = json!({ "send": { "by": "alice", "id": "m1" } });
    let reads = json!({ "expect": { "who": "bob", "reads": "m1" } });
    let not_yet = json!({ "expect": { "who": "bob", "cannot_read": "m1" } });
    let wait = json!({ "wait": "1s" });
    passes(&[slow.clone(), send.clone(), not_yet.clone(), wait.clone(), not_yet, wait, reads.clone()]);
    fails(&[slow.clone(), send.clone(), reads], "bob has read m1; bob has not");
    // At the end of a scenario everything arrives.
    assert_eq!(end(&passes(&[slow, send])), 1);
}

#[test]
fn request_and_answer_take_the_time_of_the_step() {
    let run = passes(&[
        json!({ "network": { "who": "bob", "latency_ms": 4000 } }),
        json!({ "update": { "by": "bob" } }),
        json!({ "expect": { "epoch": 2 } }),
    ]);
    assert_eq!(end(&run), 8);
}

#[test]
fn slow_member_loses_a_race_that_nobody_wrote() {
    let run = passes(&[
        json!({ "network": { "who": "bob", "latency_ms": 4000 } }),
        json!({ "update": { "by": "alice" } }),
        json!({ "update": { "by": "bob" } }),
        json!({ "expect": { "epoch": 3 } }),
    ]);
    assert_eq!(run.outcome.figures.contention.lost, 1);
    assert_eq!(run.count("again"), 1);
}

#[test]
fn lost_answers_repeat_the_same_bytes() {
    let run = flaky(3, &json!({ "loss": 0.6 }));
    run.assert_passed("with losses");
    let accepted: Vec<_> =
        run.events("submitted").filter(|event| event["answer"] == "accepted").map(|event| &event["sha256"]).collect();
    let mut distinct = accepted.clone();
    distinct.sort_by_key(|hash| hash.to_string());
    distinct.dedup();
    assert!(distinct.len() < accepted.len(), "some answer was lost: {accepted:?}");
    assert_eq!(run.outcome.figures.messages, 4);
}

#[test]
fn members_that_are_cut_off_act_later() {
    let run = passes(&[
        json!({ "network": { "partition": [["alice"], ["bob", "carol"]] } }),
        json!({ "send": { "by": "bob", "id": "m1" } }),
        json!({ "update": { "by": "carol" } }),
        json!({ "update": { "by": "carol" } }),
        json!({ "expect": { "fails": "commit_pending" } }),
        json!({ "send": { "by": "alice", "id": "m2" } }),
        json!({ "expect": { "epoch": 1, "who": ["bob", "carol"], "cannot_read": "m2" } }),
        json!({ "network": { "heal": true } }),
        json!({ "expect": { "epoch": 2, "converged": true, "who": ["bob", "carol"], "reads": "m2" } }),
        json!({ "expect": { "who": ["alice", "carol"], "reads": "m1" } }),
    ]);
    assert_eq!(run.count("waits"), 2);
}

#[test]
fn partition_cuts_nobody_off_who_is_on_no_side() {
    passes(&[
        json!({ "network": { "partition": [["alice"], ["carol"]] } }),
        json!({ "send": { "by": "bob", "id": "m1" } }),
        json!({ "expect": { "who": "alice", "reads": "m1" } }),
        json!({ "expect": { "who": "carol", "cannot_read": "m1" } }),
        json!({ "network": { "partition": [["alice"], ["bob"]] } }),
        json!({ "expect": { "who": "carol", "reads": "m1" } }),
    ]);
}

#[test]
fn submission_of_a_removed_member_becomes_void() {
    passes(&[
        json!({ "network": { "partition": [["alice"], ["bob"]] } }),
        json!({ "update": { "by": "bob" } }),
        json!({ "send": { "by": "bob", "id": "m1" } }),
        json!({ "remove": { "by": "alice", "who": "bob" } }),
        json!({ "network": { "heal": true } }),
        json!({ "expect": { "epoch": 2, "members": ["alice", "carol"] } }),
    ]);
}

#[test]
fn steps_that_need_an_answer_fail_without_a_connection() {
    for step in [
        json!({ "add": { "by": "bob", "who": "dave" } }),
        json!({ "rejoin": { "who": "bob" } }),
        json!({ "join": { "who": "dave" } }),
    ] {
        let steps = [
            create(),
            json!({ "network": { "partition": [["alice"], ["bob", "dave"]] } }),
            step.clone(),
            json!({ "expect": { "fails": "offline" } }),
        ];
        run(&scenario(&MEMBERS, &steps)).assert_passed(&step.to_string());
    }
}

#[test]
fn held_handshake_stops_only_the_member_that_needs_it() {
    let run = passes(&[
        json!({ "hold": { "id": "p1", "for": "carol" } }),
        json!({ "propose": { "by": "bob", "update": true, "id": "p1" } }),
        json!({ "commit": { "by": "alice", "id": "c1" } }),
        json!({ "send": { "by": "bob", "id": "m1" } }),
        json!({ "expect": { "epoch": 2, "converged": true, "who": "carol", "cannot_read": "m1" } }),
        json!({ "release": { "id": "p1", "for": "carol" } }),
        json!({ "expect": { "converged": true, "who": "carol", "reads": "m1" } }),
    ]);
    let early = run.events("delivered").filter(|event| event["meaning"] == "waits for its epoch");
    assert_eq!(early.count(), 1);
}

/// A hold without a release: the member counts as disconnected, and the run warns.
#[test]
fn handshake_can_be_held_until_the_end() {
    let run = passes(&[
        json!({ "hold": { "id": "c1", "for": "carol" } }),
        json!({ "update": { "by": "alice", "id": "c1" } }),
        json!({ "send": { "by": "bob", "id": "m1" } }),
    ]);
    assert!(run.outcome.warnings.iter().any(|warning| warning.seen == "c1 is still held back from carol"));
}

#[test]
fn lost_handshake_is_fetched_at_the_latest_at_the_end() {
    let run = passes(&[
        json!({ "drop": { "id": "c1", "for": "carol" } }),
        json!({ "update": { "by": "alice", "id": "c1" } }),
    ]);
    let to_carol = run.events("delivered").filter(|event| event["to"] == "carol" && event["id"] == "c1");
    assert_eq!(to_carol.count(), 1);
    passes(&[
        json!({ "drop": { "id": "c1" } }),
        json!({ "add": { "by": "alice", "who": "dave", "id": "c1" } }),
        json!({ "update": { "by": "bob" } }),
        json!({ "expect": { "epoch": 3, "converged": true } }),
    ]);
}

#[test]
fn repeated_handshakes_change_nothing() {
    for mode in ["assisted", "opaque"] {
        let steps = [
            json!({ "duplicate": { "id": "c1" } }),
            json!({ "create": { "by": "alice", "with": ["bob", "carol"], "id": "c1" } }),
            json!({ "duplicate": { "id": "p1" } }),
            json!({ "propose": { "by": "bob", "remove": "carol", "id": "p1" } }),
            json!({ "duplicate": { "id": "c2" } }),
            json!({ "commit": { "by": "alice", "id": "c2" } }),
            json!({ "duplicate": { "id": "c3" } }),
            json!({ "leave": { "who": "bob", "id": "c3" } }),
            json!({ "update": { "by": "alice" } }),
            json!({ "expect": { "epoch": 3, "members": "alice" } }),
        ];
        run(&scenario_with(json!({ "handshake": mode }), &MEMBERS, &steps)).assert_passed(mode);
    }
}

#[test]
fn external_commits_have_names_too() {
    let steps = [
        create(),
        json!({ "hold": { "id": "c1", "for": "bob" } }),
        json!({ "join": { "who": "dave", "id": "c1" } }),
        json!({ "send": { "by": "dave", "id": "m1" } }),
        json!({ "expect": { "who": "bob", "cannot_read": "m1" } }),
        json!({ "rejoin": { "who": "bob", "id": "c2" } }),
        json!({ "release": { "id": "c1" } }),
        json!({ "send": { "by": "bob", "id": "m2" } }),
        json!({ "expect": { "converged": true, "who": "dave", "reads": "m2" } }),
    ];
    run(&scenario(&MEMBERS, &steps)).assert_passed("a rejoin makes the held commit needless");
}

#[test]
fn id_of_a_lost_race_names_the_commit_that_was_ordered() {
    let run = passes(&[
        json!({ "race": [{ "update": { "by": "alice", "id": "c1" } }, { "update": { "by": "bob", "id": "c2" } }] }),
    ]);
    for id in ["c1", "c2"] {
        let to_carol = run.events("delivered").filter(|event| event["to"] == "carol" && event["id"] == id);
        assert_eq!(to_carol.count(), 1, "{id}");
    }
}

#[test]
fn names_and_networks_are_written_as_they_are_read() {
    let text = r#"{
  "regrow": 1,
  "name": "n",
  "seed": 0,
  "members": ["alice", "bob"],
  "steps": [
    { "create": { "by": "alice", "with": "bob", "id": "c1" } },
    { "network": { "who": "bob", "heal": true, "latency_ms": 5, "loss": 0.25 } },
    { "network": { "partition": [["alice"], ["bob"]] } },
    { "clock": { "who": "bob", "offset": "-90s", "rate": 1.001 } },
    { "race": [
      { "update": { "by": "alice", "id": "c2" } },
      { "leave": { "who": "bob", "id": "p1" } }
    ] }
  ]
}
"#;
    assert_eq!(write(&read(text).unwrap()), text);
}

/// A device with a wrong clock, and a group in which everything happens.
fn with_clock(clock: &Value) -> Run {
    let steps = json!([
        { "clock": clock },
        create(),
        { "send": { "by": "bob", "id": "m1" } },
        { "update": { "by": "bob" } },
        { "wait": "7d" },
        { "add": { "by": "carol", "who": "dave" } },
        { "remove": { "by": "alice", "who": "bob" } },
        { "wait": "20d" },
        { "add": { "by": "dave", "who": "bob" } },
        { "send": { "by": "bob", "id": "m2" } },
        { "propose": { "by": "bob", "update": true } },
        { "commit": { "by": "alice" } },
        { "expect": { "converged": true, "members": MEMBERS } },
        { "expect": { "who": ["alice", "carol", "dave"], "reads": "m2" } },
    ]);
    run(&scenario(&MEMBERS, steps.as_array().unwrap()))
}

#[test]
fn wrong_clock_stops_nobody_as_long_as_key_packages_live() {
    for clock in [
        json!({ "who": "bob", "offset": "+60d" }),
        json!({ "who": "bob", "offset": "-60d" }),
        json!({ "who": ["bob", "carol"], "offset": "+3d", "rate": 0 }),
        json!({ "who": "bob", "rate": 2 }),
        json!({ "who": ["alice", "dave"], "offset": "-10d", "rate": 1.5 }),
    ] {
        with_clock(&clock).assert_passed(&clock.to_string());
    }
}

#[test]
fn clock_behind_every_lifetime_publishes_nothing_until_it_is_right() {
    let steps = [
        json!({ "clock": { "who": "dave", "offset": "-200d" } }),
        json!({ "key_packages": { "who": "dave", "renew": true } }),
        create(),
        json!({ "add": { "by": "alice", "who": "dave" } }),
        json!({ "expect": { "fails": "no_key_package" } }),
        json!({ "clock": { "who": "dave", "offset": "+0s" } }),
        json!({ "add": { "by": "alice", "who": "dave" } }),
        json!({ "expect": { "converged": true, "members": MEMBERS } }),
    ];
    let run = run(&scenario(&MEMBERS, &steps));
    run.assert_passed("a clock that is corrected");
    assert!(run.count("key_packages_refused") > 0);
}
