//! Mistakes that people make: each is answered with its place, its remedy, and the documented status.

use std::{fs, process::Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{command, folder, regrow, talk, text, write};

/// Asserts the exit status, and texts on standard output or standard error.
#[track_caller]
fn assert_answer(folder: &TempDir, arguments: &[&str], status: i32, told: &[&str]) {
    let output = regrow(arguments, folder.path());
    let all = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{all}");
    for part in told {
        assert!(all.contains(part), "{arguments:?}: {part}\n{all}");
    }
}

/// Asserts the answer to a scenario with this step in line 9.
#[track_caller]
fn assert_step(step: Value, status: i32, told: &[&str]) {
    let mut steps = talk();
    steps.push(step);
    let folder = folder(&[("a.json", "a mistake", steps)]);
    assert_answer(&folder, &["run", "a.json"], status, told);
}

fn good() -> TempDir {
    folder(&[("a.json", "good", talk())])
}

#[test]
fn wrong_names_in_a_file() {
    assert_step(
        json!({ "sned": { "by": "bob", "id": "m2" } }),
        2,
        &["a.json:9:2: step 4, sned: unknown step `sned`; did you mean `send`?"],
    );
    assert_step(
        json!({ "update": { "by": "bbo" } }),
        2,
        &["a.json:9:", "step 4, update.by: no member is called `bbo`; did you mean `bob`?"],
    );
    assert_step(
        json!({ "expect": { "who": "bob", "reads": "m2" } }),
        2,
        &["a.json:9:", "no message has the id `m2`; did you mean `m1`?"],
    );
    assert_step(
        json!({ "update": { "by": "bob", "singature_key": true } }),
        2,
        &["a.json:9:", "did you mean `signature_key`?"],
    );
    assert_step(json!({ "expect": { "fails": "not_member" } }), 2, &["a.json:9:", "did you mean `not_a_member`?"]);
    assert_step(
        json!({ "send": { "by": "bob", "id": "m1" } }),
        2,
        &["a.json:9:", "`m1` is the id of step 2 (line 7) already"],
    );
    assert_step(
        json!({ "add": { "by": "bob", "who": ["carol", "dave"] } }),
        2,
        &["step 4, add.who, item 2: no member is called `dave`"],
    );
}

#[test]
fn wrong_types_in_a_file() {
    assert_step(
        json!({ "update": { "by": 5 } }),
        2,
        &["a.json:9:", "step 4, update.by: expected a text, found a number"],
    );
    assert_step(json!({ "wait": "5" }), 2, &["a.json:9:", "step 4, wait: expected a duration such as"]);
    let folder = good();
    fs::write(folder.path().join("b.json"), "{ \"regrow\": 1,").unwrap();
    assert_answer(&folder, &["run", "b.json"], 2, &["b.json:1:", "this is not JSON"]);
    fs::write(folder.path().join("c.json"), r#"{ "regrow": 9 }"#).unwrap();
    assert_answer(&folder, &["run", "c.json"], 2, &["c.json:1:", "reads format 1, found 9"]);
}

#[test]
fn wrong_expectations() {
    let told = ["a.json:9: step 4", "expected  the step before fails with `removed`", "seen      it succeeded"];
    let mut steps = talk();
    steps.insert(2, json!({ "update": { "by": "bob" } }));
    steps[3] = json!({ "expect": { "fails": "removed" } });
    let folder = folder(&[("a.json", "a mistake", steps)]);
    assert_answer(&folder, &["run", "a.json"], 1, &told);

    let wrong = [json!({ "send": { "by": "carol", "id": "m2" } }), json!({ "expect": { "fails": "removed" } })];
    write(&folder, "b.json", "another code", &[&talk()[..], &wrong].concat());
    let told = [
        "b.json:10: step 5",
        "expected  the step before fails with `removed`",
        "seen      step 4 (line 9) failed with `not_a_member`: ",
    ];
    assert_answer(&folder, &["run", "b.json"], 1, &told);
    assert_step(
        json!({ "send": { "by": "carol", "id": "m2" } }),
        1,
        &["a.json:9: step 4", "expected  the step succeeds", "seen      it failed with `not_a_member`"],
    );
}

#[test]
fn wrong_paths() {
    let folder = good();
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert_answer(&folder, &["run", "absent.json"], 2, &["absent.json: cannot be read"]);
    assert_answer(&folder, &["run", "empty"], 2, &["empty: no scenario in this folder", "name such a folder"]);
    fs::write(folder.path().join("notes.txt"), "notes").unwrap();
    assert_answer(&folder, &["run", "notes.txt"], 2, &["notes.txt:1:", "this is not JSON"]);
    assert_answer(&folder, &["run"], 2, &["required arguments were not provided", "<PATH>"]);
}

#[test]
fn wrong_options() {
    let folder = good();
    assert_answer(&folder, &["run", "--retries", "3", "."], 2, &["unexpected argument '--retries'"]);
    assert_answer(&folder, &["run", "--stric", "."], 2, &["'--strict'"]);
    assert_answer(&folder, &["run", "--seed", "x", "."], 2, &["invalid value 'x' for '--seed <N>'"]);
    assert_answer(&folder, &["run", "-j", "0", "."], 2, &["invalid value '0'"]);
    assert_answer(&folder, &["run", "--timeout", "5", "."], 2, &["expected a duration such as 90s, 15m or 3h"]);
    assert_answer(&folder, &["run", "--timeout", "0s", "."], 2, &["expected at least one second"]);
    assert_answer(&folder, &["run", "--color", "blue", "."], 2, &["possible values: auto, always, never"]);
    assert_answer(&folder, &["run", "--filter", "x", "."], 2, &["none of the 1 scenarios is chosen", "--list"]);
    for address in ["localhost:1", "http://127.0.0.1:1", "ftp://example.org"] {
        let told = [&*format!("regrow: cannot use the delivery service at `{address}`"), "leave --service out"];
        assert_answer(&folder, &["run", "--service", address, "."], 2, &told);
    }
}

#[test]
fn unusable_outputs() {
    let folder = good();
    fs::create_dir(folder.path().join("results")).unwrap();
    for option in ["--junit", "--transcript", "--costs", "--html"] {
        let told = ["regrow: cannot write absent/file: name a file in a folder that exists and is yours"];
        assert_answer(&folder, &["run", option, "absent/file", "."], 2, &told);
        assert_answer(&folder, &["run", option, "results", "."], 2, &["regrow: cannot write results: "]);
    }
    assert_answer(&folder, &["matrix", "a.json", "--svg", "absent/m.svg"], 2, &["cannot write absent/m.svg: "]);
    assert_answer(&folder, &["explore", "--out", "absent/a.json"], 2, &["name a file in a folder that exists"]);
}

/// The device `/dev/full` refuses every byte, like a full disk.
#[test]
#[cfg(target_os = "linux")]
fn full_disk() {
    let folder = good();
    for (option, what) in
        [("--junit", "JUnit file"), ("--transcript", "transcript"), ("--costs", "costs"), ("--html", "page")]
    {
        let told = format!("regrow: cannot write the {what} to /dev/full: No space left on device");
        assert_answer(&folder, &["run", option, "/dev/full", "."], 2, &[&told]);
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = command(&["run", "--json", "."], folder.path()).stdout(full).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn pipe_that_is_closed_early() {
    let folder = good();
    let mut child = command(&["run", ".", "--junit", "r.xml"], folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    assert!(fs::read_to_string(folder.path().join("r.xml")).unwrap().contains("<testcase "));
}

#[test]
fn forgotten_expectation() {
    let folder = folder(&[("a.json", "forgot", talk()[..2].to_vec())]);
    let told = ["warning   the scenario has no `expect`", "remedy    add an `expect`", "1 scenario has warnings"];
    assert_answer(&folder, &["run", "a.json"], 0, &told);
    let told =
        ["a.json: at the end", "expected  the scenario expects something", "seen      the scenario has no `expect`"];
    assert_answer(&folder, &["run", "--strict", "a.json"], 1, &told);
}
