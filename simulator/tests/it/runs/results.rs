//! The output of `regrow run --json` and its published schema.

use std::fs;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{folder, lines, long, regrow, talk, text};

fn validator() -> Validator {
    let printed = regrow(&["schema", "--results"], std::path::Path::new("."));
    let schema: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(text(&printed.stdout), regrow_simulator::report::schema::SCHEMA);
    jsonschema::validator_for(&schema).unwrap()
}

#[track_caller]
fn assert_valid(validator: &Validator, line: &Value) {
    let problems: Vec<_> =
        validator.iter_errors(line).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(problems.is_empty(), "{line}\n{}", problems.join("\n"));
}

#[test]
fn real_results_follow_the_schema() {
    let mut fails = talk();
    fails.push(json!({ "expect": { "who": "bob", "cannot_read": "m1" } }));
    let mut step_fails = talk();
    step_fails.push(json!({ "send": { "by": "carol", "id": "m2" } }));
    let mut stolen = talk();
    stolen.push(json!({ "compromise": { "who": "bob", "id": "stolen" } }));
    stolen.push(json!({ "impersonate": { "compromise": "stolen", "action": "send" } }));
    let folder = folder(&[
        ("a.json", "passes", talk()),
        ("b.json", "fails", fails),
        ("c.json", "a step fails", step_fails),
        ("d.json", "a theft", stolen),
        ("e.json", "slow", long()),
    ]);
    fs::write(folder.path().join("f.json"), r#"{ "regrow": 1, "nme": "n" }"#).unwrap();
    fs::write(folder.path().join("g.json"), "not json").unwrap();
    let validator = validator();
    let results = lines(&regrow(&["run", "--json", "--timeout", "2s", "."], folder.path()));
    let statuses: Vec<_> = results.iter().map(|line| line["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["passed", "failed", "failed", "passed", "failed", "unusable", "unusable"]);
    results.iter().for_each(|line| assert_valid(&validator, line));
    let cause = |index: usize| &results[index]["failures"][0]["cause"];
    assert_eq!((cause(1), cause(2), cause(4)), (&json!("expectation"), &json!("step"), &json!("timeout")));
    assert_eq!(results[2]["failures"][0]["code"], "not_a_member");
    let strict = lines(&regrow(&["run", "--json", "--strict", "d.json"], folder.path()));
    assert_valid(&validator, &strict[0]);
    assert_eq!(strict[0]["failures"][0]["cause"], "warning");
}

#[test]
fn published_results_follow_the_schema() {
    let scenarios = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let validator = validator();
    let files = ["forged_message.json", "past_epochs_window.json", "failing", "groups"];
    for line in lines(&regrow(&[&["run", "--json"], &files[..]].concat(), std::path::Path::new(scenarios))) {
        assert_valid(&validator, &line);
    }
}

#[test]
fn theft_in_several_groups_has_the_healing_of_each() {
    let scenarios = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios"));
    let theft = |file: &str| {
        let line = lines(&regrow(&["run", "--json", file], scenarios)).remove(0);
        line["figures"]["compromises"][0].clone()
    };
    let thief = theft("groups/one_group_heals_and_the_other_does_not.json");
    assert_eq!(thief["healed_after"], Value::Null);
    let healing = |group: &Value| (group["group"].as_str().unwrap().to_owned(), group["healed_after"].as_u64());
    let groups: Vec<_> = thief["groups"].as_array().unwrap().iter().map(healing).collect();
    assert_eq!(groups.len(), 2);
    assert_eq!(groups.iter().filter(|(_, healed)| healed.is_none()).count(), 1, "{groups:?}");
    assert!(theft("update_heals.json").get("groups").is_none(), "a file of one group has no such field");
}

#[test]
fn schema_refuses_other_objects() {
    let validator = validator();
    let folder = folder(&[("a.json", "passes", talk())]);
    let good = lines(&regrow(&["run", "--json", "a.json"], folder.path())).remove(0);
    let changed = |pointer: &str, value: Value| {
        let mut line = good.clone();
        *line.pointer_mut(pointer).unwrap() = value;
        line
    };
    assert!(validator.is_valid(&good));
    for line in [
        changed("/status", json!("unusable")),
        changed("/status", json!("failed")),
        changed("/transcript", json!("abc")),
        changed("/figures/members", json!(-1)),
        changed("/figures", json!({})),
        changed("/warnings", json!(null)),
    ] {
        assert!(!validator.is_valid(&line), "{line}");
    }
    let mut more = good;
    more["time"] = json!(1.5);
    assert!(!validator.is_valid(&more));
}
