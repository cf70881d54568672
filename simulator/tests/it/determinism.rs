//! The same scenario and seed give the same transcript, byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{Run, published, run, run_on_threads, run_with_seed, scenario, scenario_with, stem};
use regrow_simulator::report::{Figures, RunOutcome};
use serde_json::{Value, json};

/// The largest scenario. `scenarios.rs` runs it on one thread and on four.
const LARGE: &str = "hundred_members";

/// Runs a scenario on one thread and on four, and compares the runs.
#[track_caller]
fn assert_reproducible(what: &str, scenario: &regrow_simulator::scenario::Scenario) -> Run {
    let (one, four) = (run_on_threads(1, scenario), run_on_threads(4, scenario));
    for (first, second) in one.events.iter().zip(&four.events) {
        assert_eq!(first, second, "{what}");
    }
    assert_eq!(one.hash, four.hash, "{what}");
    assert_eq!(one.outcome, four.outcome, "{what}");
    one
}

#[test]
fn every_scenario_is_reproducible_on_any_number_of_threads() {
    let files = [published(""), published("failing")].concat();
    for (path, scenario) in files.iter().filter(|(path, _)| stem(path) != LARGE) {
        assert_reproducible(&stem(path), scenario);
    }
}

#[test]
fn another_seed_gives_another_transcript_and_the_same_verdict() {
    for (path, scenario) in published("").iter().filter(|(path, _)| stem(path) != LARGE) {
        let (one, other) = (run(scenario), run_with_seed(scenario, 4711));
        assert_ne!(one.hash, other.hash, "{path:?}");
        other.assert_passed(&stem(path));
        // The seed decides the steps of a generator.
        let same =
            |seed| scenario.expand_with_seed(seed).map(|step| step.item).eq(scenario.expand().map(|step| step.item));
        if !same(4711) {
            continue;
        }
        // The seed decides the winner of a race, and with it which commits are ordered and wasted.
        let apart_from_costs = |outcome: &RunOutcome| Figures {
            costs: BTreeMap::new(),
            contention: Box::default(),
            ..outcome.figures.clone()
        };
        assert_eq!(apart_from_costs(&one.outcome), apart_from_costs(&other.outcome), "{path:?}");
    }
}

/// All actions of members and thieves in a group.
fn all_kinds_of_steps() -> Vec<Value> {
    vec![
        json!({ "create": { "by": "a", "with": ["b", "c"] } }),
        json!({ "send": { "by": "b", "id": "m1" } }),
        json!({ "add": { "by": "b", "who": "d" } }),
        json!({ "update": { "by": "c" } }),
        json!({ "update": { "by": "d", "signature_key": true } }),
        json!({ "propose": { "by": "a", "update": true } }),
        json!({ "propose": { "by": "d", "remove": "c" } }),
        json!({ "commit": { "by": "b" } }),
        json!({ "join": { "who": "e" } }),
        json!({ "compromise": { "who": "e", "id": "stolen" } }),
        json!({ "rejoin": { "who": "b" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "send" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "commit" } }),
        json!({ "update": { "by": "a" } }),
        json!({ "rejoin": { "who": "e" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "rejoin" } }),
        json!({ "rejoin": { "who": "e" } }),
        json!({ "update": { "by": "e", "signature_key": true } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "rejoin" } }),
        json!({ "expect": { "compromise": "stolen", "accepted": false, "detected": true } }),
        json!({ "race": [{ "update": { "by": "a" } }, { "send": { "by": "b", "id": "m2" } }, { "update": { "by": "d" } }] }),
        json!({ "crash": { "who": "a", "at": "during_write" } }),
        json!({ "remove": { "by": "a", "who": "d" } }),
        json!({ "leave": { "who": "e" } }),
        json!({ "wait": "100d" }),
        json!({ "add": { "by": "a", "who": "d" } }),
        json!({ "send": { "by": "d", "id": "m3" } }),
        json!({ "expect": { "members": ["a", "b", "d"], "converged": true } }),
    ]
}

#[test]
fn every_ciphersuite_in_both_handshake_modes_is_reproducible() {
    let mut hashes = BTreeSet::new();
    for ciphersuite in [
        "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
        "MLS_128_DHKEMP256_AES128GCM_SHA256_P256",
        "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519",
        "MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519",
    ] {
        for handshake in ["assisted", "opaque"] {
            let group = json!({ "ciphersuite": ciphersuite, "handshake": handshake });
            let scenario = scenario_with(group, &["a", "b", "c", "d", "e"], &all_kinds_of_steps());
            let what = format!("{ciphersuite} {handshake}");
            let run = assert_reproducible(&what, &scenario);
            run.assert_passed(&what);
            hashes.insert(run.hash);
        }
    }
    assert_eq!(hashes.len(), 8, "no two are the same");
}

/// The fingerprints of the key packages that a member made, in order.
fn key_packages<'r>(run: &'r Run, of: &str) -> Vec<&'r Value> {
    run.events("key_packages").filter(|event| event["of"] == of).map(|event| &event["sha256"]).collect()
}

#[test]
fn removed_step_does_not_change_other_random_values() {
    let steps = [
        json!({ "create": { "by": "a", "with": ["b", "c"] } }),
        json!({ "send": { "by": "a", "id": "m1" } }),
        json!({ "update": { "by": "b" } }),
        json!({ "add": { "by": "a", "who": "d" } }),
        json!({ "remove": { "by": "c", "who": "d" } }),
        json!({ "add": { "by": "b", "who": "d" } }),
    ];
    let members = ["a", "b", "c", "d"];
    let whole = run(&scenario(&members, &steps));
    whole.assert_passed("the whole");
    assert_eq!(key_packages(&whole, "d").len(), 3, "the first ones, and one after each add");
    for out in [1, 2] {
        let mut fewer = steps.to_vec();
        fewer.remove(out);
        let fewer = run(&scenario(&members, &fewer));
        fewer.assert_passed("with a step less");
        assert_ne!(whole.hash, fewer.hash);
        for member in members {
            assert_eq!(key_packages(&whole, member), key_packages(&fewer, member), "without step {}", out + 1);
        }
    }
}

#[test]
fn repeated_step_draws_new_random_values() {
    let add = json!({ "add": { "by": "a", "who": "b" } });
    let remove = json!({ "remove": { "by": "a", "who": "b" } });
    let create = json!({ "create": { "by": "a" } });
    let run = run(&scenario(&["a", "b"], &[create, add.clone(), remove.clone(), add, remove]));
    run.assert_passed("added twice");
    let drawn: BTreeSet<_> = key_packages(&run, "b").into_iter().map(Value::to_string).collect();
    assert_eq!(drawn.len(), 3);
}

/// The members that submit in the only race, in order.
fn order_of(run: &Run, ids: [&str; 3]) -> Vec<String> {
    let messages = run.events("submitted").filter(|event| ids.iter().any(|id| event["id"] == *id));
    messages.map(|event| event["by"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn order_of_a_race_depends_only_on_the_seed() {
    let create = json!({ "create": { "by": "a", "with": ["b", "c"] } });
    let race = json!({ "race": [
        { "send": { "by": "a", "id": "m1" } }, { "send": { "by": "b", "id": "m2" } }, { "send": { "by": "c", "id": "m3" } }
    ] });
    let early = scenario(&["a", "b", "c"], &[create.clone(), race.clone()]);
    let late = scenario(&["a", "b", "c"], &[create, json!({ "wait": "1s" }), race]);
    let mut orders = BTreeSet::new();
    for seed in 0..12 {
        let order = order_of(&run_with_seed(&early, seed), ["m1", "m2", "m3"]);
        assert_eq!(order, order_of(&run_with_seed(&late, seed), ["m1", "m2", "m3"]), "seed {seed}");
        orders.insert(order);
    }
    assert!(orders.len() >= 3, "twelve seeds give only {orders:?}");
}

/// A scenario in which this number of members propose removals and updates, alternately. Then one
/// member commits all proposals.
fn many_proposals(count: usize, crash: bool) -> regrow_simulator::scenario::Scenario {
    let members: Vec<_> = (0..=count).map(|n| format!("m{n:02}")).collect();
    let members: Vec<_> = members.iter().map(String::as_str).collect();
    let mut steps = vec![json!({ "create": { "by": "m00", "with": members[1..] } })];
    for (number, member) in members.iter().enumerate().skip(1).rev() {
        steps.push(match number % 2 {
            0 => json!({ "propose": { "by": "m01", "remove": member } }),
            _ => json!({ "propose": { "by": member, "update": true } }),
        });
    }
    if crash {
        steps.push(json!({ "crash": { "who": "m00", "at": "during_write" } }));
    }
    steps.push(json!({ "commit": { "by": "m00" } }));
    steps.push(json!({ "send": { "by": "m01", "id": "after" } }));
    steps.push(json!({ "expect": { "epoch": 2, "converged": true } }));
    scenario(&members, &steps)
}

#[test]
fn commits_of_several_updates_and_removals_are_reproducible() {
    for count in 2..=4 {
        let what = format!("{count} updates and removals");
        let run = assert_reproducible(&what, &many_proposals(count, false));
        run.assert_passed(&what);
        assert_eq!(run.outcome.figures.unordered_commits, 0);
        assert_eq!(run.outcome.figures.members, 1 + count as u64 - (count as u64 / 2));
    }
}

#[test]
fn crash_during_such_a_commit_is_reproducible() {
    // The machine has two possible orders, and chooses again in each run.
    let scenario = many_proposals(2, true);
    let hashes: BTreeSet<_> = (0..12).map(|_| run(&scenario).hash).collect();
    assert_eq!(hashes.len(), 1);
}

#[test]
fn too_large_commit_counts_as_unordered_and_is_correct() {
    let run = run(&many_proposals(9, false));
    run.assert_passed("nine updates and removals");
    assert_eq!(run.outcome.figures.unordered_commits, 1);
    assert_eq!(run.count("unordered"), 1);
}

#[test]
fn idle_member_changes_nothing() {
    let steps = [json!({ "create": { "by": "a", "with": "b" } }), json!({ "send": { "by": "b", "id": "m1" } })];
    let (two, three) = (run(&scenario(&["a", "b"], &steps)), run(&scenario(&["a", "b", "c"], &steps)));
    let without_c = three.events.iter().filter(|event| event["of"] != "c" && event["who"] != "c");
    assert!(two.events.iter().eq(without_c));
}
