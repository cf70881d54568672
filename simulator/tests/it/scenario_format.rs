//! The built binary reports an unusable file with file, line and field, and ends with exit status
//! 2.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::common::program::regrow;

/// A scenario without errors, which the tests break. Line 5 is `members`, and line 7 is the first
/// step.
const GOOD: &str = r#"{
  "regrow": 1,
  "name": "good",
  "seed": 7,
  "members": ["alice", "bob", "carol"],
  "steps": [
    { "create": { "by": "alice", "with": ["bob"] } },
    { "send": { "by": "alice", "id": "m1" } },
    { "compromise": { "who": "bob", "id": "stolen" } },
    { "expect": { "who": "bob", "reads": ["m1"] } }
  ]
}
"#;

/// The output of `check` for a file with these bytes. The command has to end with status 2.
fn told(bytes: &[u8]) -> String {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("bad.json"), bytes).unwrap();
    let output = regrow(&["check", "bad.json"], folder.path());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(!told.contains("backtrace") && !told.contains("panicked"), "{told}");
    told
}

/// The good scenario with one more step, in line 11.
fn with_step(step: &str) -> String {
    GOOD.replace(r#"["m1"] } }"#, &format!("[\"m1\"] }} }},\n    {step}"))
}

/// Asserts that `check` reports a problem at this line, with this path of the field.
#[track_caller]
fn assert_told(text: &str, line: u32, field: &str, problem: &str) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("bad.json"), text).unwrap();
    let output = regrow(&["check", "--json", "bad.json"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    let checked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = checked["problems"].as_array().unwrap().iter().any(|told| {
        let is_field = field.is_empty() || told["field"] == field;
        is_field && told["line"] == line && told["problem"].as_str().unwrap().contains(problem)
    });
    assert!(found, "expected line {line}, field {field:?}, {problem:?}; told:\n{checked}");
}

#[test]
fn good_scenario_is_usable() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("good.json"), GOOD).unwrap();
    let output = regrow(&["check", "good.json"], folder.path());
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1 usable, 0 unusable\n");
    assert!(output.stderr.is_empty());
}

#[test]
fn problems_at_the_top_of_a_file_are_reported() {
    for (old, new, line, field, problem) in [
        ("\"regrow\": 1", "\"regrow\": 2", 2, "regrow", "reads format 1, found 2"),
        ("\"regrow\": 1", "\"regrow\": \"1\"", 2, "regrow", "reads format 1, found a text"),
        ("\"regrow\": 1,", "", 1, "regrow", "field `regrow` is missing"),
        ("\"name\": \"good\",", "", 1, "name", "field `name` is missing"),
        ("\"name\": \"good\"", "\"name\": 5", 3, "name", "expected a text, found a number"),
        ("\"name\": \"good\"", "\"name\": \"\"", 3, "name", "found an empty one"),
        ("\"name\": \"good\"", "\"name\": \"a\\nb\"", 3, "name", "a text of one line"),
        ("\"name\": \"good\"", "\"name\": \"\\ud800\"", 3, "name", "cannot be decoded"),
        ("\"seed\": 7", "\"seed\": -7", 4, "seed", "expected a whole number"),
        ("\"seed\": 7", "\"seed\": 7.5", 4, "seed", "expected a whole number"),
        ("\"seed\": 7", "\"seed\": 18446744073709551616", 4, "seed", "expected a whole number"),
        ("\"seed\": 7", "\"sede\": 7", 4, "sede", "unknown field `sede`; did you mean `seed`?"),
        ("\"seed\": 7", "\"seed\": 7, \"seed\": 8", 4, "seed", "occurs twice in one object; the first is in line 4"),
        ("\"seed\": 7", "\"group\": {\"pading\": 1}", 4, "group.pading", "did you mean `padding`?"),
        ("\"seed\": 7", "\"group\": {\"padding\": 70000}", 4, "group.padding", "from 0 to 65536, found 70000"),
        ("\"seed\": 7", "\"group\": {\"handshake\": \"open\"}", 4, "group.handshake", "known are assisted, opaque"),
        ("\"seed\": 7", "\"group\": []", 4, "group", "expected an object, found a list"),
        ("[\"alice\", \"bob\", \"carol\"]", "[]", 5, "members", "at least one member"),
        ("[\"alice\", \"bob\", \"carol\"]", "\"alice\"", 5, "members", "expected a list of names or"),
        ("[\"alice\", \"bob\", \"carol\"]", "[\"alice\", \"bob\", \"bob\"]", 5, "members[2]", "`bob` occurs twice"),
        ("[\"alice\", \"bob\", \"carol\"]", "[\"alice\", \"bo b\"]", 5, "members[1]", "no spaces"),
        (
            "[\"alice\", \"bob\", \"carol\"]",
            "[\"alice\", \"bob{i}\"]",
            5,
            "members[1]",
            "only the steps inside `repeat`",
        ),
        (
            "[\"alice\", \"bob\", \"carol\"]",
            "{\"prefix\": \"m\", \"count\": 1000001}",
            5,
            "members.count",
            "from 1 to 1000000",
        ),
    ] {
        assert!(GOOD.contains(old), "{old}");
        assert_told(&GOOD.replace(old, new), line, field, problem);
    }
}

#[test]
fn problems_of_steps_and_fields_are_reported() {
    for (step, field, problem) in [
        (r#"{"sned": {}}"#, "steps[4].sned", "unknown step `sned`; did you mean `send`?"),
        (
            r#"{"frobnicate": {}}"#,
            "steps[4].frobnicate",
            "unknown step `frobnicate`; known are add, add_user, authenticate, backup, churn",
        ),
        (r#"{"service": "restart"}"#, "steps[4].service", "expected an object"),
        (r#"{}"#, "steps[4]", "found an empty one"),
        (r#"{"update": {"by": "bob"}, "wait": "1s"}"#, "steps[4].wait", "make it two steps"),
        (r#""update""#, "steps[4]", "expected an object, found a text"),
    ] {
        assert_told(&with_step(step), 11, field, problem);
    }
}

#[test]
fn problems_of_compromises_and_impersonations_are_reported() {
    for (step, field, problem) in [
        (r#"{"impersonate": {}}"#, "steps[4].impersonate.action", "field `action` is missing"),
        (
            r#"{"impersonate": {"compromise": "stolne", "action": "send"}}"#,
            "steps[4].impersonate.compromise",
            "no compromise is called `stolne`; did you mean `stolen`?",
        ),
        (
            r#"{"impersonate": {"compromise": "stolen", "action": "sned"}}"#,
            "steps[4].impersonate.action",
            "unknown value `sned`; did you mean `send`?",
        ),
        (
            r#"{"impersonate": {"compromise": "stolen", "action": "commit", "id": "f"}}"#,
            "steps[4].impersonate.id",
            "only the action `send` has an `id`",
        ),
        (
            r#"{"impersonate": {"compromise": "stolen", "action": "send", "id": "m1"}}"#,
            "steps[4].impersonate.id",
            "`m1` is the id of step 2 (line 8) already",
        ),
        (
            r#"{"impersonate": {"compromise": "stolen", "acton": "send"}}"#,
            "steps[4].impersonate.acton",
            "unknown field `acton`; did you mean `action`?",
        ),
        (
            r#"{"expect": {"compromise": "stolen", "accepted": true}}"#,
            "steps[4].expect.accepted",
            "nobody has acted with `stolen` yet",
        ),
        (
            r#"{"expect": {"compromise": "stolen", "detected": true}}"#,
            "steps[4].expect.detected",
            "nobody has acted with `stolen` yet",
        ),
        (
            r#"{"expect": {"who": "bob", "reads": "m1", "detected": true}}"#,
            "steps[4].expect.detected",
            "`detected` needs a `compromise`",
        ),
        (
            r#"{"compromise": {"who": "bob", "id": "stolen"}}"#,
            "steps[4].compromise.id",
            "the id of step 3 (line 9) already",
        ),
        (
            r#"{"compromise": {"who": "bob", "id": "x", "scope": "ram"}}"#,
            "steps[4].compromise.scope",
            "known are device, disk",
        ),
    ] {
        assert_told(&with_step(step), 11, field, problem);
    }
}

#[test]
fn problems_of_submissions_are_reported() {
    for (step, field, problem) in [
        (r#"{"send": {"by": "bob"}}"#, "steps[4].send.id", "field `id` is missing"),
        (r#"{"send": {"by": ["bob"], "id": "m2"}}"#, "steps[4].send.by", "expected a text, found a list"),
        (
            r#"{"send": {"by": "bbo", "id": "m2"}}"#,
            "steps[4].send.by",
            "no member is called `bbo`; did you mean `bob`?",
        ),
        (r#"{"send": {"by": "zoe", "id": "m2"}}"#, "steps[4].send.by", "no member is called `zoe`"),
        (r#"{"send": {"by": "bob", "id": "m1"}}"#, "steps[4].send.id", "`m1` is the id of step 2 (line 8) already"),
        (r#"{"send": {"by": "bob", "id": "m2", "size": 1, "text": "x"}}"#, "steps[4].send.text", "found both"),
        (r#"{"send": {"by": "bob", "id": "m2", "size": 1048577}}"#, "steps[4].send.size", "from 0 to 1048576"),
        (r#"{"send": {"by": "bob", "id": "m2", "too": "x"}}"#, "steps[4].send.too", "unknown field `too`; known are"),
        (r#"{"add": {"by": "alice", "who": []}}"#, "steps[4].add.who", "at least one name"),
        (r#"{"add": {"by": "alice", "who": ["carol", "carol"]}}"#, "steps[4].add.who[1]", "`carol` occurs twice"),
        (r#"{"add": {"by": "alice", "who": ["carol", "crol"]}}"#, "steps[4].add.who[1]", "did you mean `carol`?"),
        (r#"{"add": {"by": "alice", "who": 5}}"#, "steps[4].add.who", "expected a name or a list of names"),
        (r#"{"update": {"by": "bob", "signature_key": "yes"}}"#, "steps[4].update.signature_key", "true or false"),
        (r#"{"propose": {"by": "bob"}}"#, "steps[4].propose", "found none"),
        (r#"{"propose": {"by": "bob", "add": "carol", "update": true}}"#, "steps[4].propose", "found more than one"),
        (r#"{"propose": {"by": "bob", "update": false}}"#, "steps[4].propose.update", "only true"),
        (r#"{"crash": {"who": "bob", "at": "before_comfirm"}}"#, "steps[4].crash.at", "did you mean `before_confirm`?"),
        (r#"{"create": {"by": "alice"}}"#, "steps[4].create", "there is a group already"),
    ] {
        assert_told(&with_step(step), 11, field, problem);
    }
}

#[test]
fn problems_of_waits_and_deliveries_are_reported() {
    for (step, field, problem) in [
        (r#"{"wait": "90"}"#, "steps[4].wait", "expected a duration such as"),
        (r#"{"wait": "5 m"}"#, "steps[4].wait", "expected a duration such as"),
        (r#"{"wait": "500ms"}"#, "steps[4].wait", "expected a duration such as"),
        (r#"{"wait": "0s"}"#, "steps[4].wait", "at least one second"),
        (r#"{"wait": "99999999999999999999d"}"#, "steps[4].wait", "at most 36500 days"),
        (r#"{"wait": 90}"#, "steps[4].wait", "expected a text, found a number"),
        (r#"{"hold": {"id": "m9"}}"#, "steps[4].hold.id", "no message has the id `m9`; did you mean `m1`?"),
        (r#"{"drop": {"id": "m1", "for": "zed"}}"#, "steps[4].drop.for[0]", "no member is called `zed`"),
        (r#"{"release": {"id": "m1"}}"#, "steps[4].release.id", "`m1` has not been held"),
    ] {
        assert_told(&with_step(step), 11, field, problem);
    }
}

#[test]
fn problems_of_networks_and_clocks_are_reported() {
    for (step, field, problem) in [
        (r#"{"network": {}}"#, "steps[4].network", "this step changes nothing"),
        (r#"{"network": {"who": "bbo", "loss": 0.1}}"#, "steps[4].network.who[0]", "did you mean `bob`?"),
        (r#"{"network": {"loss": 1}}"#, "steps[4].network.loss", "expected a number from 0 to 0.9"),
        (r#"{"network": {"latency_ms": 0.5}}"#, "steps[4].network.latency_ms", "expected a whole number"),
        (r#"{"network": {"latncy_ms": 5}}"#, "steps[4].network.latncy_ms", "did you mean `latency_ms`?"),
        (r#"{"network": {"partition": ["bob"]}}"#, "steps[4].network.partition", "at least two lists of members"),
        (
            r#"{"network": {"partition": [["bob"], ["alice", "bob"]]}}"#,
            "steps[4].network.partition[1]",
            "`bob` is on two sides",
        ),
        (
            r#"{"network": {"partition": [["bob"], ["zoe"]]}}"#,
            "steps[4].network.partition[1][0]",
            "no member is called `zoe`",
        ),
        (
            r#"{"network": {"who": "bob", "partition": [["bob"], ["alice"]]}}"#,
            "steps[4].network.who",
            "a partition names the members itself",
        ),
        (r#"{"clock": {"who": "bob"}}"#, "steps[4].clock", "this step changes nothing"),
        (r#"{"clock": {"offset": "+1h"}}"#, "steps[4].clock.who", "field `who` is missing"),
        (r#"{"clock": {"who": "bob", "offset": "1h"}}"#, "steps[4].clock.offset", "a difference with its sign"),
        (r#"{"clock": {"who": "bob", "offset": ""}}"#, "steps[4].clock.offset", "a difference with its sign"),
        (r#"{"clock": {"who": "bob", "offset": "-3651d"}}"#, "steps[4].clock.offset", "at most 3650 days"),
        (r#"{"clock": {"who": "bob", "rate": 11}}"#, "steps[4].clock.rate", "from 0 to 10"),
    ] {
        assert_told(&with_step(step), 11, field, problem);
    }
}

#[test]
fn problems_of_handshake_ids_are_reported() {
    for (step, field, problem) in [
        (r#"{"update": {"by": "bob", "id": "m1"}}"#, "steps[4].update.id", "`m1` is the id of step 2 (line 8) already"),
        (r#"{"update": {"by": "bob", "id": "a b"}}"#, "steps[4].update.id", "a name has no spaces"),
        (r#"{"offline": {"who": "bob", "id": "o1"}}"#, "steps[4].offline.id", "unknown field `id`"),
    ] {
        assert_told(&with_step(step), 11, field, problem);
    }
    let read = GOOD.replace(r#""create": { "by": "alice","#, r#""create": { "id": "c1", "by": "alice","#);
    let read = read.replace(r#""id": "m1" } }"#, r#""id": "m1" } }, { "expect": { "who": "bob", "reads": "c1" } }"#);
    assert_told(&read, 8, "steps[2].expect.reads[0]", "`c1` is a handshake; only messages can be read");
}

#[test]
fn problems_of_expectations_are_reported() {
    for (expect, field, problem) in [
        (r#"{}"#, "", "nothing is expected; known are epoch"),
        (r#"{"converged": false}"#, ".converged", "only true"),
        (r#"{"reads": "m1"}"#, ".reads", "the reader is missing"),
        (r#"{"who": "bob"}"#, ".who", "the messages are missing"),
        (r#"{"who": "bob", "heals_within": 1}"#, ".heals_within", "`heals_within` needs a `compromise`"),
        (r#"{"who": "bob", "compromise": "stolen", "reads": "m1"}"#, ".compromise", "found both"),
        (r#"{"compromise": "stolen"}"#, ".compromise", "the result is missing"),
        (r#"{"compromise": "stoln", "reads": "m1"}"#, ".compromise", "did you mean `stolen`?"),
        (r#"{"who": "bob", "reads": "m7"}"#, ".reads[0]", "no message has the id `m7`"),
        (r#"{"who": "bob", "reads": ["m1", "q"]}"#, ".reads[1]", "no message has the id `q`"),
        (r#"{"who": "bob", "reads": "m1", "cannot_read": "m1"}"#, ".cannot_read", "both read and not read"),
        (r#"{"members": ["alice", "bobb"]}"#, ".members[1]", "did you mean `bob`?"),
        (r#"{"epoch": "1"}"#, ".epoch", "expected a number, found a text"),
        (r#"{"fails": "stael"}"#, ".fails", "did you mean `stale`?"),
        (r#"{"fails": "stale"}"#, ".fails", "the step before it cannot fail"),
    ] {
        let step = format!("{{\"expect\": {expect}}}");
        assert_told(&with_step(&step), 11, &format!("steps[4].expect{field}"), problem);
    }
}

#[test]
fn later_events_cannot_be_expected() {
    let early = GOOD.replace(
        "\"create\": { \"by\": \"alice\", \"with\": [\"bob\"] } },",
        r#""create": { "by": "alice", "with": ["bob"] } },
    { "expect": { "compromise": "stolen", "cannot_read": "m1" } },"#,
    );
    assert_told(&early, 8, "steps[1].expect.compromise", "`stolen` is taken later, in step 4 (line 10)");
    assert_told(&early, 8, "steps[1].expect.cannot_read[0]", "`m1` is sent later, in step 3 (line 9)");
}

#[test]
fn group_must_be_created_first_and_outside_of_races() {
    let none = GOOD.replace("    { \"create\": { \"by\": \"alice\", \"with\": [\"bob\"] } },\n", "");
    assert_told(&none, 7, "steps[0].send", "there is no group yet");
    let twice = with_step(r#"{"race": [{"update": {"by": "bob"}}, {"create": {"by": "carol"}}]}"#);
    assert_told(&twice, 11, "steps[4].race[1].create", "cannot race");
}

#[test]
fn problems_of_races_and_repeats_are_reported() {
    for (step, field, problem) in [
        (r#"{"race": []}"#, "race", "at least two steps, found none"),
        (r#"{"race": [{"update": {"by": "bob"}}]}"#, "race", "at least two steps, found one"),
        (r#"{"race": {"update": {"by": "bob"}}}"#, "race", "expected a list of steps"),
        (
            r#"{"race": [{"update": {"by": "bob"}}, {"commit": {"by": "bob"}}]}"#,
            "race[1].commit",
            "in this race already",
        ),
        (r#"{"race": [{"update": {"by": "bob"}}, {"wait": "1s"}]}"#, "race[1].wait", "`wait` cannot race"),
        (r#"{"race": [{"race": []}]}"#, "race[0].race", "cannot be inside another"),
        (
            r#"{"race": [{"update": {"by": "bob"}}, {"update": {"by": "alise"}}]}"#,
            "race[1].update.by",
            "did you mean `alice`?",
        ),
        (r#"{"repeat": {"times": 0, "steps": [{"wait": "1s"}]}}"#, "repeat.times", "from 1 to 1000000"),
        (r#"{"repeat": {"times": 2, "steps": []}}"#, "repeat.steps", "at least one step"),
        (r#"{"repeat": {"times": 2}}"#, "repeat.steps", "field `steps` is missing"),
        (r#"{"repeat": {"times": 2, "steps": [{"repeat": {}}]}}"#, "repeat.steps[0].repeat", "inside another"),
        (
            r#"{"repeat": {"times": 2, "steps": [{"send": {"by": "bob", "id": "x"}}]}}"#,
            "repeat.steps[0].send.id",
            "is the id of step 5.1 (line 11, turn 1) already; put `{i}` into it (in turn 2)",
        ),
        (
            r#"{"repeat": {"times": 2, "steps": [{"update": {"by": "m{i}"}}]}}"#,
            "repeat.steps[0].update.by",
            "no member is called `m1` (in turn 1)",
        ),
        (
            r#"{"repeat": {"times": 1000000, "steps": [{"wait": "1s"}, {"wait": "1s"}]}}"#,
            "steps",
            "at most 1000000 steps, found 2000004",
        ),
    ] {
        let (line, field) = if field == "steps" { (6, field.to_owned()) } else { (11, format!("steps[4].{field}")) };
        assert_told(&with_step(step), line, &field, problem);
    }
}

#[test]
fn race_cannot_be_expected_to_fail() {
    let race = with_step(
        "{\"race\": [{\"update\": {\"by\": \"bob\"}}, {\"update\": {\"by\": \"alice\"}}]},\n    {\"expect\": {\"fails\": \"stale\"}}",
    );
    assert_told(&race, 12, "steps[5].expect.fails", "a race has no single outcome");
}

#[test]
fn invalid_json_is_reported_with_position() {
    assert_told("", 1, "", "the file is empty");
    assert_told(" \n\t\n", 1, "", "the file is empty");
    assert_told(&GOOD.replace("\"seed\": 7,", "\"seed\": 7"), 5, "", "this is not JSON: expected `,` or `}`");
    assert_told(&GOOD[..GOOD.len() / 2], 8, "", "this is not JSON: EOF");
    assert_told(&format!("{GOOD}x"), 13, "", "this is not JSON: trailing characters");
    assert_told("\u{feff}{}", 1, "", "byte order mark");
    assert_told("[1, 2]", 1, "", "expected an object, found a list");
    assert_told(&"[".repeat(1_000_000), 1, "", "this is not JSON: EOF");
    assert_told(&("[".repeat(1_000_000) + &"]".repeat(1_000_000)), 1, "", "expected an object, found a list");
    let deep = "{\"repeat\":{\"times\":1,\"steps\":[".repeat(10_000) + &"]}}".repeat(10_000);
    assert_told(&with_step(&deep), 11, "steps[4].repeat.steps[0].repeat", "cannot be inside another");
}

#[test]
fn invalid_utf8_is_reported_at_its_first_byte() {
    let told = told(b"{\n  \"name\": \"\xff\"}");
    assert_eq!(told, "bad.json:2:12: this is not UTF-8 text\n");
}

#[test]
fn missing_or_too_large_file_is_not_read() {
    let folder = TempDir::new().unwrap();
    let large = fs::File::create(folder.path().join("large.json")).unwrap();
    large.set_len(50_000_000).unwrap();
    let output = regrow(&["check", "large.json", "absent.json"], folder.path());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("large.json: is too large: 50000000 bytes, and a scenario has at most 4194304"), "{told}");
    assert!(told.contains("absent.json: cannot be read: No such file"), "{told}");
}

#[cfg(unix)]
#[test]
fn device_file_is_not_read() {
    let output = regrow(&["check", "/dev/zero"], Path::new("/"));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "/dev/zero: is not a file\n");
}

#[test]
fn each_problem_is_reported_once() {
    let told = told(GOOD.replace("\"seed\": 7", "\"seed\": 7, \"seed\": 8").as_bytes());
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn all_problems_of_a_file_are_reported_in_order() {
    let text = with_step(r#"{"sned": {}}"#)
        .replace("\"seed\": 7", "\"seed\": \"7\"")
        .replace("\"with\": [\"bob\"]", "\"with\": [\"bbo\"]");
    let told = told(text.as_bytes());
    let lines: Vec<_> = told.lines().map(|line| line.split(':').nth(1).unwrap()).collect();
    assert_eq!(lines, ["4", "7", "11"], "{told}");
}

#[test]
fn unreadable_step_causes_no_further_problems() {
    // The message of the broken step is missing. The expectation on it is not a second problem.
    let told = told(GOOD.replace("\"id\": \"m1\"", "\"id\": \"m1\", \"size\": true").as_bytes());
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn number_of_reported_problems_is_limited() {
    let steps = vec![r#"{"sned": {}}"#; 1000].join(",\n");
    assert_eq!(told(with_step(&steps).as_bytes()).lines().count(), 50);
}

#[test]
fn control_characters_are_not_printed() {
    let told = told(with_step(r#"{"\u001b[2J\u0007": {}}"#).as_bytes());
    assert!(!told.contains(|c: char| c.is_control() && c != '\n'), "{told:?}");
}
