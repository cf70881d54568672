//! The published schema and the parser accept the same documents as well-formed.

use std::{fs, path::PathBuf};

use jsonschema::Validator;
use proptest::{prelude::*, sample::Index};
use regrow_simulator::scenario::{load, read, schema};
use serde_json::{Value, json};

fn validator() -> Validator {
    jsonschema::draft202012::new(&serde_json::from_str(&schema()).unwrap()).unwrap()
}

/// Every scenario file of the repository, with its text.
fn published() -> Vec<(PathBuf, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files: Vec<_> = [root.clone(), root.join("failing")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

fn scenario(members: Value, steps: Value) -> Value {
    json!({ "regrow": 1, "name": "a scenario", "members": members, "steps": steps })
}

/// A scenario that ends with this step, and defines everything that the steps below name.
fn ending_with(step: &Value) -> Value {
    let steps = json!([
        { "create": { "by": "alice", "with": ["bob"] } },
        { "hold": { "id": "m1" } },
        { "send": { "by": "alice", "id": "m1" } },
        { "compromise": { "who": "bob", "id": "stolen" } },
        { "impersonate": { "compromise": "stolen", "action": "send" } },
        { "commit": { "by": "bob" } },
        step
    ]);
    scenario(json!(["alice", "bob", "carol"]), steps)
}

#[track_caller]
fn assert_agree(document: &Value, usable: bool) {
    let by_schema = validator().is_valid(document);
    let by_parser = read(&document.to_string());
    assert_eq!((by_schema, by_parser.is_ok()), (usable, usable), "{document}: {by_parser:?}");
}

#[test]
fn every_published_scenario_is_usable_and_says_why_it_matters() {
    let validator = validator();
    let published = published();
    assert!(published.len() >= 18);
    for (file, text) in published {
        let told: Vec<_> =
            validator.iter_errors(&serde_json::from_str(&text).unwrap()).map(|e| e.to_string()).collect();
        assert!(told.is_empty(), "{}: {told:?}", file.display());
        let scenario = load(&file).unwrap_or_else(|problems| panic!("{}: {problems:?}", file.display()));
        assert!(scenario.about.is_some(), "{}", file.display());
    }
}

#[test]
fn reference_has_a_usable_example_and_all_names() {
    let reference = include_str!("../../../docs/scenario-format.md");
    let example = reference.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(read(example).is_ok());
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let mut names: Vec<String> = Vec::new();
    for objects in [
        "",
        "/properties/group",
        "/properties/service",
        "/$defs/service",
        "/$defs/step",
        "/$defs/send",
        "/$defs/propose",
        "/$defs/impersonate",
        "/$defs/network",
        "/$defs/clock",
        "/$defs/expect",
        "/$defs/churn",
        "/$defs/updates",
    ] {
        let fields = schema.pointer(&format!("{objects}/properties")).unwrap().as_object().unwrap();
        names.extend(fields.keys().cloned());
    }
    let words =
        ["expect/properties/fails", "service/properties/kill", "crash/properties/at", "impersonate/properties/action"];
    for words in words.map(|words| format!("/$defs/{words}/enum")) {
        let words = schema.pointer(&words).unwrap().as_array().unwrap();
        names.extend(words.iter().map(|word| word.as_str().unwrap().to_owned()));
    }
    for name in names {
        assert!(reference.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn schema_and_parser_accept_the_same_steps() {
    for step in [
        json!({ "add": { "by": "alice", "who": "carol" } }),
        json!({ "remove": { "by": "alice", "who": ["bob"] } }),
        json!({ "update": { "by": "alice" } }),
        json!({ "update": { "by": "alice", "signature_key": true } }),
        json!({ "add": { "by": "alice", "who": "carol", "id": "c1" } }),
        json!({ "remove": { "by": "alice", "who": "bob", "id": "c1" } }),
        json!({ "update": { "by": "alice", "id": "c1" } }),
        json!({ "leave": { "who": "bob", "id": "c1" } }),
        json!({ "propose": { "by": "alice", "update": true, "id": "c1" } }),
        json!({ "commit": { "by": "alice", "id": "c1" } }),
        json!({ "join": { "who": "carol", "id": "c1" } }),
        json!({ "rejoin": { "who": "bob", "id": "c1" } }),
        json!({ "create": { "by": "carol", "with": "bob", "group": "other" } }),
        json!({ "update": { "by": "alice", "id": "c1", "group": "group" } }),
        json!({ "expect": { "group": "group", "epoch": 1 } }),
        json!({ "expect": { "group": "group", "fails": "nothing_to_commit" } }),
        json!({ "network": { "latency_ms": 0, "jitter_ms": 600_000, "loss": 0.9, "duplicate": 1, "reorder": 0.001 } }),
        json!({ "network": { "who": ["bob", "carol"], "heal": true } }),
        json!({ "network": { "partition": [["alice"], "bob", ["carol"]], "heal": true } }),
        json!({ "clock": { "who": "bob", "offset": "-2d" } }),
        json!({ "clock": { "who": ["bob", "alice"], "offset": "+0s", "rate": 1.001 } }),
        json!({ "leave": { "who": ["alice", "bob"] } }),
        json!({ "propose": { "by": "alice", "add": ["carol"] } }),
        json!({ "propose": { "by": "alice", "remove": "bob" } }),
        json!({ "propose": { "by": "alice", "update": true } }),
        json!({ "commit": { "by": "alice" } }),
        json!({ "join": { "who": "carol" } }),
        json!({ "rejoin": { "who": "bob" } }),
        json!({ "send": { "by": "alice", "id": "m2", "size": 0 } }),
        json!({ "send": { "by": "alice", "id": "m2", "text": "" } }),
        json!({ "offline": { "who": "bob" } }),
        json!({ "online": { "who": ["bob"] } }),
        json!({ "hold": { "id": "m1", "for": "bob" } }),
        json!({ "release": { "id": "m1" } }),
        json!({ "drop": { "id": "m1", "for": ["bob", "carol"] } }),
        json!({ "duplicate": { "id": "m1" } }),
        json!({ "race": [{ "update": { "by": "alice" } }, { "send": { "by": "bob", "id": "m2" } }] }),
        json!({ "race": [
            { "update": { "by": "alice" } },
            { "repeat": { "times": 1, "steps": [{ "send": { "by": "bob", "id": "m2" } }] } }
        ] }),
        json!({ "crash": { "who": "bob", "at": "before_submit" } }),
        json!({ "crash": { "who": "bob", "at": "after_submit" } }),
        json!({ "crash": { "who": "bob", "at": "before_confirm" } }),
        json!({ "crash": { "who": "bob", "at": "during_write" } }),
        json!({ "compromise": { "who": "alice", "id": "other", "scope": "device" } }),
        json!({ "compromise": { "who": "alice", "id": "other", "scope": "disk" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "send" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "send", "id": "f1" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "commit" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "rejoin" } }),
        json!({ "repeat": { "times": 2, "steps": [
            { "impersonate": { "compromise": "stolen", "action": "send", "id": "f{i}" } }
        ] } }),
        json!({ "churn": { "events": 1 } }),
        json!({ "churn": { "for": "1d", "epochs": 1, "joins": "0.5/h", "stay": "forever", "latency": "2s" } }),
        json!({ "churn": { "for": "1d", "joins": [{ "from": "0s", "rate": "1/s" }, { "from": "1d", "rate": "0/d" }] } }),
        json!({ "churn": { "for": "1d", "stay": { "exponential": { "mean": "1d" } }, "commits": "direct" } }),
        json!({ "churn": { "for": "1d", "stay": { "lognormal": { "median": "1d", "sigma": 0.5 } } } }),
        json!({ "churn": { "for": "1d", "stay": { "pareto": { "least": "1d", "alpha": 1 } } } }),
        json!({ "churn": { "for": "1d", "messages": { "rate": "1/d", "zipf": 1.25, "size": 0 } } }),
        json!({ "churn": { "for": "1d", "updates": { "every": "1d", "after_messages": 1, "daily_fraction": 0.1 } } }),
        json!({ "churn": { "for": "1d", "committer": "random", "commits": { "window": "1m" } } }),
        json!({ "churn": { "for": "1d", "committer": { "fixed": "bob" }, "commits": { "batch": 1000 } } }),
        json!({ "churn": { "for": "1d", "presence": { "online": "1h", "offline": "2h" } } }),
        json!({ "service": { "restart": true } }),
        json!({ "service": { "kill": "before_write" } }),
        json!({ "service": { "kill": "within_transaction" } }),
        json!({ "service": { "kill": "after_write" } }),
        json!({ "service": { "lose_reply": ["alice", "bob"] } }),
        json!({ "service": { "disk_full": false } }),
        json!({ "service": { "retention": "1s" } }),
        json!({ "service": { "clock": "+30d" } }),
        json!({ "service": { "clock": "-007m" } }),
        json!({ "service": { "withhold": { "from": "bob" } } }),
        json!({ "service": { "withhold": { "from": "bob", "entries": 1000 } } }),
        json!({ "service": { "reorder": { "to": "bob", "entries": 2 } } }),
        json!({ "service": { "false_roster": { "to": ["alice", "bob"], "add": "carol", "hide": "bob" } } }),
        json!({ "compare": { "who": ["alice", "bob"] } }),
        json!({ "lock": { "who": "everybody" } }),
        json!({ "unlock": { "who": ["bob"] } }),
        json!({ "unlock": { "who": "bob", "wrong_key": true } }),
        json!({ "verify": { "by": "alice", "who": "others" } }),
        json!({ "authenticate": { "who": "alice", "of": ["bob", "carol"], "answer": "refuse" } }),
        json!({ "authenticate": { "who": "everybody", "of": "bob", "answer": "accept" } }),
        json!({ "set_data": { "by": "alice", "data": "" } }),
        json!({ "set_data": { "by": "alice", "data": "chess", "id": "c1" } }),
        json!({ "race": [{ "set_data": { "by": "alice", "data": "chess" } }, { "update": { "by": "bob" } }] }),
        json!({ "expect": { "data": "chess", "verified": { "by": "alice", "who": [] } } }),
        json!({ "expect": { "costs": { "commit_bytes": { "at_most": 0 } } } }),
        json!({ "expect": { "events": [{ "to": "bob", "event": "joined" }] } }),
        json!({ "expect": { "events": [{ "to": ["alice", "bob"], "event": "new_key", "about": "carol", "times": 0, "of": "run" }] } }),
        json!({ "expect": { "costs": { "of": "run", "welcome_bytes": { "at_least": 1, "at_most": 9 } }, "epoch": 1 } }),
        json!({ "upkeep": { "who": "everybody" } }),
        json!({ "upkeep": { "who": [] } }),
        json!({ "expect": { "due": { "who": "bob", "rotation": "signature_key" } } }),
        json!({ "expect": { "due": { "who": ["alice", "bob"], "rotation": "none", "inactive": [], "key_packages": 0 } } }),
        json!({ "key_packages": { "who": "bob", "renew": true, "count": 0, "last_resort": true, "lifetime": "2h" } }),
        json!({ "key_packages": { "who": "bob", "withdraw": true } }),
        json!({ "key_packages": { "who": ["alice", "bob"], "count": 3 } }),
        json!({ "wait": "90s" }),
        json!({ "wait": "007d" }),
        json!({ "repeat": { "times": 3, "steps": [{ "send": { "by": "bob", "id": "n{i}", "text": "{i}" } }] } }),
        json!({ "expect": { "epoch": 1, "members": ["alice", "bob"], "converged": true } }),
        json!({ "expect": { "who": "bob", "reads": "m1" } }),
        json!({ "expect": { "who": "bob", "reads": [] } }),
        json!({ "expect": { "who": [], "cannot_read": "m1" } }),
        json!({ "expect": { "who": "everybody", "exactly": ["m1"] } }),
        json!({ "expect": { "compromise": "stolen", "exactly": [] } }),
        json!({ "offline": { "who": "everybody" } }),
        json!({ "offline": { "who": [] } }),
        json!({ "online": { "who": [] } }),
        json!({ "leave": { "who": [] } }),
        json!({ "hold": { "id": "m1", "for": [] } }),
        json!({ "add": { "by": "bob", "who": "others" } }),
        json!({ "repeat": { "times": 2, "steps": [{ "send": { "by": "bob", "id": "n{i*2+1}", "text": "{i-1}" } }] } }),
        json!({ "expect": { "who": ["alice", "bob"], "cannot_read": ["m1"], "epoch": 1 } }),
        json!({ "expect": { "compromise": "stolen", "heals_within": 0 } }),
        json!({ "expect": { "fails": "nothing_to_commit" } }),
        json!({ "expect": { "equivocation_detected": false, "gap_reported": { "by": "bob" } } }),
        json!({ "expect": { "roster_lie_detected": { "by": ["alice", "bob"], "within": 2 }, "cut_off": "bob" } }),
        json!({ "expect": { "compromise": "stolen", "accepted": false } }),
        json!({ "expect": { "converged": true, "within": "1d" } }),
        json!({ "expect": { "compromise": "stolen", "healed": true, "within": { "steps": 3 } } }),
        json!({ "expect": { "who": "bob", "reads": "m1", "eventually": true } }),
        json!({ "expect": { "compromise": "stolen", "detected": true, "reads": "m1", "heals_within": 1 } }),
    ] {
        assert_agree(&ending_with(&step), true);
    }
}

#[test]
fn schema_and_parser_agree_on_steps_about_users_and_backups() {
    let after = |step: Value| {
        let create = json!({ "create": { "by": "alice/phone", "with": "bob" } });
        let backup = json!({ "backup": { "who": "alice/phone", "id": "monday" } });
        scenario(json!(["alice/phone", "alice/laptop", "bob"]), json!([create, backup, step]))
    };
    for step in [
        json!({ "add_user": { "by": "bob", "who": "alice" } }),
        json!({ "remove_user": { "by": "alice/phone", "who": "bob", "group": "group", "id": "c1" } }),
        json!({ "race": [{ "add_user": { "by": "bob", "who": "alice" } }, { "remove_user": { "by": "alice/phone", "who": "bob" } }] }),
        json!({ "link_device": { "by": "alice/phone", "who": "alice/laptop" } }),
        json!({ "lost_device": { "by": "bob", "who": "alice/phone" } }),
        json!({ "backup": { "who": "alice/phone", "id": "b" } }),
        json!({ "restore": { "who": "alice/laptop", "from": "monday" } }),
        json!({ "compromise": { "who": "alice/phone", "id": "cloud", "scope": "backup" } }),
        json!({ "restore": { "who": "alice/laptop", "from": "monday", "wrong_passphrase": true } }),
        json!({ "offline": { "who": ["alice", "bob"] } }),
    ] {
        assert_agree(&after(step), true);
    }
    for step in [
        json!({ "add_user": { "by": "bob" } }),
        json!({ "add_user": { "by": "bob", "who": ["alice"] } }),
        json!({ "link_device": { "by": "alice/phone", "who": "alice/laptop", "group": "group" } }),
        json!({ "lost_device": { "who": "alice/phone" } }),
        json!({ "backup": { "who": "alice/phone" } }),
        json!({ "backup": { "who": ["alice/phone"], "id": "b" } }),
        json!({ "restore": { "who": "alice/laptop" } }),
        json!({ "restore": { "who": "alice/laptop", "from": "monday", "wrong_passphrase": false } }),
        json!({ "race": [{ "update": { "by": "bob" } }, { "backup": { "who": "alice/phone", "id": "b" } }] }),
        json!({ "race": [{ "update": { "by": "bob" } }, { "lost_device": { "by": "bob", "who": "alice/phone" } }] }),
    ] {
        assert_agree(&after(step), false);
    }
}

#[test]
fn schema_and_parser_agree_on_a_churn_that_creates_the_group() {
    let churn = |churn: Value| scenario(json!(["alice", "bob", "carol"]), json!([{ "churn": churn }]));
    assert_agree(&churn(json!({ "initial": 2, "for": "1d", "committer": "cheapest" })), true);
    assert_agree(
        &churn(json!({ "initial": 2, "for": "1d", "committer": "cheapest", "commits": { "batch": 2 } })),
        true,
    );
    assert_agree(&churn(json!({ "initial": 2, "for": "1d", "committer": "cheapest", "latency": "2s" })), false);
}

#[test]
fn schema_and_parser_refuse_the_same_steps() {
    for step in [
        json!({}),
        json!("update"),
        json!({ "update": { "by": "alice" }, "wait": "1s" }),
        json!({ "sned": { "by": "alice", "id": "m2" } }),
        json!({ "network": {} }),
        json!({ "network": { "who": "bob" } }),
        json!({ "network": { "loss": 1 } }),
        json!({ "network": { "heal": false } }),
        json!({ "network": { "latency_ms": 600_001 } }),
        json!({ "network": { "partition": [["alice"], ["bob"]], "who": "carol" } }),
        json!({ "clock": { "who": "bob" } }),
        json!({ "clock": { "who": "bob", "offset": "1h" } }),
        json!({ "clock": { "who": "bob", "rate": 11 } }),
        json!({ "send": { "by": "alice", "id": "m2", "part": "commit" } }),
        json!({ "service": "restart" }),
        json!({ "service": {} }),
        json!({ "service": { "restart": false } }),
        json!({ "service": { "restart": true, "disk_full": true } }),
        json!({ "service": { "kill": "lunch" } }),
        json!({ "service": { "lose_reply": [] } }),
        json!({ "service": { "retention": "0s" } }),
        json!({ "service": { "withhold": {} } }),
        json!({ "service": { "withhold": { "from": "bob", "entries": 0 } } }),
        json!({ "service": { "withhold": { "from": "bob", "entries": 1001 } } }),
        json!({ "service": { "reorder": { "to": "bob" } } }),
        json!({ "service": { "reorder": { "to": "bob", "entries": 1 } } }),
        json!({ "service": { "equivocate": {} } }),
        json!({ "service": { "false_roster": { "to": "bob" } } }),
        json!({ "service": { "release": {} } }),
        json!({ "compare": { "who": "alice" } }),
        json!({ "race": [{ "update": { "by": "alice" } }, { "service": { "restart": true } }] }),
        json!({ "expect": { "gap_reported": {} } }),
        json!({ "expect": { "gap_reported": { "by": "bob", "within": -1 } } }),
        json!({ "expect": { "cut_off": [] } }),
        json!({ "expect": { "group": "group" } }),
        json!({ "update": { "by": "alice", "group": ["group"] } }),
        json!({ "offline": { "who": "alice", "group": "group" } }),
        json!({ "upkeep": {} }),
        json!({ "lock": {} }),
        json!({ "unlock": { "who": "bob", "wrong_key": false } }),
        json!({ "verify": { "who": ["alice", "bob"] } }),
        json!({ "authenticate": { "who": "alice", "of": "bob" } }),
        json!({ "authenticate": { "who": "alice", "of": "bob", "answer": "maybe" } }),
        json!({ "set_data": { "by": "alice" } }),
        json!({ "set_data": { "by": "alice", "data": "x".repeat(4097) } }),
        json!({ "race": [{ "lock": { "who": "alice" } }, { "update": { "by": "bob" } }] }),
        json!({ "expect": { "verified": { "by": "alice" } } }),
        json!({ "expect": { "data": 1 } }),
        json!({ "expect": { "events": [] } }),
        json!({ "expect": { "events": { "to": "bob", "event": "joined" } } }),
        json!({ "expect": { "events": [{ "to": [], "event": "joined" }] } }),
        json!({ "expect": { "events": [{ "to": "bob" }] } }),
        json!({ "expect": { "events": [{ "to": "bob", "event": "left" }] } }),
        json!({ "expect": { "events": [{ "to": "bob", "event": "joined", "times": 1000001 }] } }),
        json!({ "expect": { "costs": {} } }),
        json!({ "expect": { "costs": { "of": "run" } } }),
        json!({ "expect": { "costs": { "of": "epoch", "commit_bytes": { "at_most": 1 } } } }),
        json!({ "expect": { "costs": { "commit_bytes": {} } } }),
        json!({ "expect": { "costs": { "commit_bytes": 2000 } } }),
        json!({ "expect": { "costs": { "commit_bytes": { "at_least": 0 } } } }),
        json!({ "expect": { "costs": { "commit_bytes": { "at_most": 1 } }, "eventually": true } }),
        json!({ "expect": { "due": { "rotation": "keys" } } }),
        json!({ "expect": { "due": { "who": "bob" } } }),
        json!({ "expect": { "due": { "who": "bob", "rotation": "soon" } } }),
        json!({ "expect": { "due": { "who": "bob", "key_packages": 201 } } }),
        json!({ "key_packages": { "who": "bob" } }),
        json!({ "key_packages": { "who": "bob", "lifetime": "1d" } }),
        json!({ "key_packages": { "who": "bob", "renew": true, "withdraw": true } }),
        json!({ "key_packages": { "who": "bob", "count": 1, "withdraw": true } }),
        json!({ "key_packages": { "who": "bob", "last_resort": true, "withdraw": true } }),
        json!({ "key_packages": { "who": "bob", "lifetime": "1d", "withdraw": true } }),
        json!({ "key_packages": { "who": "bob", "count": 201 } }),
        json!({ "impersonate": { "compromise": "stolen" } }),
        json!({ "impersonate": { "action": "send" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "leave" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "commit", "id": "f1" } }),
        json!({ "impersonate": { "compromise": "stolen", "action": "send", "by": "bob" } }),
        json!({ "impersonate": { "compromise": ["stolen"], "action": "send" } }),
        json!({ "race": [{ "update": { "by": "alice" } }, { "impersonate": { "compromise": "stolen", "action": "send" } }] }),
        json!({ "churn": {} }),
        json!({ "churn": { "joins": "1/d" } }),
        json!({ "churn": { "for": "0s" } }),
        json!({ "churn": { "for": "1d", "joins": "1 per day" } }),
        json!({ "churn": { "for": "1d", "joins": "1.0000001/d" } }),
        json!({ "churn": { "for": "1d", "stay": "long" } }),
        json!({ "churn": { "for": "1d", "stay": {} } }),
        json!({ "churn": { "for": "1d", "stay": { "exponential": {} } } }),
        json!({ "churn": { "for": "1d", "stay": { "pareto": { "least": "1d", "alpha": 101 } } } }),
        json!({ "churn": { "for": "1d", "messages": { "zipf": 1 } } }),
        json!({ "churn": { "for": "1d", "updates": {} } }),
        json!({ "churn": { "for": "1d", "committer": "bob" } }),
        json!({ "churn": { "for": "1d", "commits": { "window": "1m", "batch": 2 } } }),
        json!({ "churn": { "for": "1d", "commits": { "batch": 1001 } } }),
        json!({ "churn": { "for": "1d", "commits": { "batch": 2 }, "latency": "2s" } }),
        json!({ "churn": { "for": "1d", "committer": "cheapest" } }),
        json!({ "churn": { "for": "1d", "presence": { "online": "1h" } } }),
        json!({ "repeat": { "times": 2, "steps": [{ "churn": { "for": "1d" } }] } }),
        json!({ "race": [{ "churn": { "for": "1d" } }, { "update": { "by": "bob" } }] }),
        json!({ "update": { "by": ["alice"] } }),
        json!({ "update": { "by": "alice", "who": "bob" } }),
        json!({ "add": { "by": "alice" } }),
        json!({ "add": { "by": "alice", "who": [] } }),
        json!({ "add": { "by": "alice", "who": ["carol", "carol"] } }),
        json!({ "add": { "by": "alice", "who": "ca rol" } }),
        json!({ "add": { "by": "alice", "who": "" } }),
        json!({ "propose": { "by": "alice" } }),
        json!({ "propose": { "by": "alice", "add": "carol", "remove": "bob" } }),
        json!({ "propose": { "by": "alice", "update": false } }),
        json!({ "send": { "by": "alice" } }),
        json!({ "send": { "by": "alice", "id": "m2", "size": 1, "text": "x" } }),
        json!({ "send": { "by": "alice", "id": "m2", "size": 1_048_577 } }),
        json!({ "send": { "by": "alice", "id": "m2", "size": -1 } }),
        json!({ "send": { "by": "alice", "id": "x".repeat(129) } }),
        json!({ "race": [] }),
        json!({ "race": [{ "race": [] }] }),
        json!({ "race": [{ "update": { "by": "alice" } }, { "wait": "1s" }] }),
        json!({ "race": [{ "update": { "by": "alice" } }, { "create": { "by": "bob" } }] }),
        json!({ "crash": { "who": "bob", "at": "lunch" } }),
        json!({ "crash": { "who": ["bob"], "at": "before_submit" } }),
        json!({ "compromise": { "who": "alice", "id": "other", "scope": "ram" } }),
        json!({ "wait": "0s" }),
        json!({ "wait": "1.5h" }),
        json!({ "wait": "500ms" }),
        json!({ "repeat": { "times": 0, "steps": [{ "wait": "1s" }] } }),
        json!({ "repeat": { "times": 1_000_001, "steps": [{ "wait": "1s" }] } }),
        json!({ "repeat": { "times": 1, "steps": [] } }),
        json!({ "repeat": { "times": 1, "steps": [{ "repeat": { "times": 1, "steps": [{ "wait": "1s" }] } }] } }),
        json!({ "expect": {} }),
        json!({ "expect": { "converged": false } }),
        json!({ "expect": { "reads": "m1" } }),
        json!({ "expect": { "heals_within": 1 } }),
        json!({ "expect": { "who": "bob" } }),
        json!({ "expect": { "who": "bob", "reads": "m1", "heals_within": 1 } }),
        json!({ "expect": { "compromise": "stolen" } }),
        json!({ "expect": { "compromise": "stolen", "who": "bob", "reads": "m1" } }),
        json!({ "expect": { "who": "bob", "reads": "m1", "accepted": true } }),
        json!({ "expect": { "who": "bob", "detected": true } }),
        json!({ "expect": { "accepted": true } }),
        json!({ "expect": { "compromise": "stolen", "accepted": "yes" } }),
        json!({ "expect": { "fails": "somehow" } }),
        json!({ "expect": { "within": "1d" } }),
        json!({ "expect": { "epoch": 1, "within": 3 } }),
        json!({ "expect": { "epoch": 1, "within": { "steps": 0 } } }),
        json!({ "expect": { "epoch": 1, "within": "1d", "eventually": true } }),
        json!({ "expect": { "epoch": 1, "eventually": false } }),
        json!({ "expect": { "who": "bob", "cannot_read": "m1", "eventually": true } }),
        json!({ "expect": { "compromise": "stolen", "heals_within": 1, "within": "1d" } }),
        json!({ "expect": { "exactly": [] } }),
        json!({ "expect": { "who": "bob", "exactly": "m1", "reads": "m1" } }),
        json!({ "expect": { "who": "bob", "exactly": "m1", "cannot_read": [] } }),
        json!({ "propose": { "by": "alice", "add": [] } }),
    ] {
        assert_agree(&ending_with(&step), false);
    }
}

#[test]
fn schema_and_parser_agree_on_traces() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.json");
    fs::write(folder.path().join("t.csv"), "time,event,member,by\n0,join,alice,\n").unwrap();
    for (fields, usable) in [
        (json!({ "trace": "t.csv" }), true),
        (json!({ "trace": { "file": "t.csv" } }), true),
        (json!({ "trace": { "file": "t.csv", "messages": false, "updates": { "every": "1d" } } }), true),
        (json!({ "trace": "t.csv", "members": ["bob"] }), true),
        (json!({ "trace": "t.csv", "steps": [{ "wait": "1s" }] }), true),
        (json!({ "trace": "t.csv", "steps": [] }), false),
        (json!({ "trace": "t.csv", "members": [] }), false),
        (json!({ "trace": "" }), false),
        (json!({ "trace": {} }), false),
        (json!({ "trace": { "file": "t.csv", "updates": {} } }), false),
        (json!({ "trace": { "file": "t.csv", "message": true } }), false),
        (json!({ "members": ["bob"] }), false),
        (json!({ "steps": [{ "wait": "1s" }] }), false),
    ] {
        let mut document = json!({ "regrow": 1, "name": "a scenario" });
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        fs::write(&file, document.to_string()).unwrap();
        let by_parser = load(&file);
        assert_eq!((validator().is_valid(&document), by_parser.is_ok()), (usable, usable), "{document}: {by_parser:?}");
    }
}

#[test]
fn schema_and_parser_agree_on_the_top_level() {
    let steps = json!([{ "wait": "1s" }]);
    let good = scenario(json!(["alice"]), steps.clone());
    let with = |name: &str, value: Value| {
        let mut document = good.clone();
        document[name] = value;
        document
    };
    for (document, usable) in [
        (good.clone(), true),
        (scenario(json!({ "prefix": "m", "count": 100_000 }), steps.clone()), true),
        (with("seed", json!(u64::MAX)), true),
        (with("about", json!("Because.")), true),
        (with("$schema", json!("https://example.org/regrow.schema.json")), true),
        (with("$schema", json!(1)), false),
        (with("tags", json!(["smoke", "nightly"])), true),
        (with("tags", json!([])), true),
        (with("tags", json!("smoke")), false),
        (with("tags", json!(["smoke", "smoke"])), false),
        (with("timeout", json!({ "real": "90s", "virtual": "7d" })), true),
        (with("timeout", json!({ "virtual": "7d" })), true),
        (with("timeout", json!({})), false),
        (with("timeout", json!({ "wall": "7d" })), false),
        (with("strict", json!(true)), true),
        (with("strict", json!("yes")), false),
        (with("group", json!({})), true),
        (with("group", json!({ "handshake": "opaque", "past_epochs": 1, "out_of_order": 0, "padding": 64 })), true),
        (with("group", json!({ "publish_group_info": true })), true),
        (with("group", json!({ "publish_group_info": false })), true),
        (with("group", json!({ "publish_group_info": 1 })), false),
        (with("group", json!({ "past_epoch_age": "never", "max_forward": 1, "key_package_lifetime": "400d" })), true),
        (with("group", json!({ "send_ratchet_tree": false, "key_packages": 0, "rotate_after": "1d" })), true),
        (with("group", json!({ "rotate_after_messages": 1, "rotate_signature_key_every": "never" })), true),
        (with("group", json!({ "rotate_after_messages": "never", "remove_inactive_after": "90d" })), true),
        (with("group", json!({ "lock_after": "10m" })), true),
        (with("group", json!({ "rotate_after_messages": 0 })), false),
        (with("group", json!({ "rotate_after_messages": "1" })), false),
        (with("group", json!({ "rotate_after": "0d" })), false),
        (with("group", json!({ "rotate_after": 7 })), false),
        (with("group", json!({ "past_epochs": "never" })), false),
        (with("group", json!({ "key_packages": 201 })), false),
        (with("group", json!({ "clock_skew": "1d" })), false),
        (with("policies", json!([{ "who": "alice", "past_epochs": 3, "rotate_after": "never" }])), true),
        (with("policies", json!([{ "who": ["alice"] }])), true),
        (with("policies", json!([])), false),
        (with("policies", json!({ "who": "alice" })), false),
        (with("policies", json!([{ "past_epochs": 3 }])), false),
        (with("policies", json!([{ "who": "alice", "handshake": "opaque" }])), false),
        (with("group", json!({ "ciphersuite": "MLS_128_DHKEMP256_AES128GCM_SHA256_P256" })), true),
        (with("group", json!({ "ciphersuite": "MLS_0" })), false),
        (with("group", json!({ "past_epochs": 1001 })), false),
        (with("group", json!({ "pad": 1 })), false),
        (with("regrow", json!(2)), false),
        (with("name", json!("")), false),
        (with("name", json!("two\nlines")), false),
        (with("about", json!(["Because."])), false),
        (with("seed", json!(-1)), false),
        (with("sede", json!(1)), false),
        (scenario(json!([]), steps.clone()), false),
        (scenario(json!(["alice", "alice"]), steps.clone()), false),
        (scenario(json!("alice"), steps.clone()), false),
        (scenario(json!({ "prefix": "m", "count": 1_000_001 }), steps.clone()), false),
        (scenario(json!({ "prefix": "m" }), steps), false),
        (scenario(json!(["alice"]), json!([])), false),
        (scenario(json!(["alice"]), json!({ "wait": "1s" })), false),
        (json!([]), false),
    ] {
        assert_agree(&document, usable);
    }
}

/// Pointers to all values inside of a value.
fn pointers(value: &Value, here: String, all: &mut Vec<String>) {
    match value {
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                pointers(value, format!("{here}/{index}"), all);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                pointers(value, format!("{here}/{name}"), all);
            }
        }
        _ => {}
    }
    all.push(here);
}

fn replacement() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        (0_u64..20).prop_map(|value| json!(value)),
        "[a-z{i} 0-9]{0,6}".prop_map(|value| json!(value)),
        Just(json!("bob")),
        Just(json!(["alice", "bob"])),
        Just(json!([])),
        Just(json!({ "wait": "1s" })),
        Just(json!({ "update": { "by": "alice" } })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The other direction does not hold, because only the checker knows which names exist.
    #[test]
    fn schema_accepts_everything_that_the_parser_accepts(
        file in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), replacement()), 1..3),
    ) {
        let published = published();
        let mut document: Value = serde_json::from_str(&file.get(&published).1).unwrap();
        for (place, value) in changes {
            let mut all = Vec::new();
            pointers(&document, String::new(), &mut all);
            let pointer = &all[place.index(all.len())];
            *document.pointer_mut(pointer).unwrap() = value;
        }
        if read(&document.to_string()).is_ok() {
            prop_assert!(validator().is_valid(&document), "{document}");
        }
    }
}

#[test]
fn names_may_be_a_row_of_numbers() {
    let with = |names: Value| {
        let create = json!({ "create": { "by": "m1", "with": names } });
        scenario(json!({ "prefix": "m", "count": 4 }), json!([create]))
    };
    assert_agree(&with(json!({ "prefix": "m", "from": 2, "to": 4 })), true);
    assert_agree(&with(json!({ "prefix": "m", "from": 2 })), false);
    assert_agree(&with(json!({ "prefix": "m", "from": 0, "to": 4 })), false);
    assert_agree(&with(json!({ "prefix": "m", "from": 2, "to": 4, "step": 2 })), false);
    let backwards = read(&with(json!({ "prefix": "m", "from": 4, "to": 2 })).to_string()).unwrap_err();
    assert_eq!(backwards[0].problem, "expected `from` not above `to`, found 4 and 2");
    let unknown = read(&with(json!({ "prefix": "m", "from": 2, "to": 5 })).to_string()).unwrap_err();
    assert!(unknown[0].problem.starts_with("no member is called `m5`"), "{unknown:?}");
}
