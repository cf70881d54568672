//! The options that choose, limit and list scenarios.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{folder, lines, long, regrow, talk, text};

fn failing() -> Vec<Value> {
    let mut steps = talk();
    steps.push(json!({ "expect": { "who": "bob", "cannot_read": "m1" } }));
    steps
}

fn three() -> TempDir {
    folder(&[("a.json", "Alice talks", talk()), ("b/fails.json", "bob fails", failing()), ("c.json", "other", talk())])
}

fn names(arguments: &[&str], folder: &TempDir) -> Vec<String> {
    let output = regrow(&[&["run", "--json", "."], arguments].concat(), folder.path());
    lines(&output).iter().map(|line| line["file"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn filter_matches_name_or_path_without_case() {
    let folder = three();
    assert_eq!(names(&["--filter", "alice"], &folder), ["./a.json"]);
    assert_eq!(names(&["--filter", "FAILS"], &folder), ["./b/fails.json"]);
    assert_eq!(names(&["--filter", "alice", "--filter", "c.json"], &folder), ["./a.json", "./c.json"]);
    assert_eq!(names(&[], &folder).len(), 3);
}

/// The name of an unusable file is unknown, so a filter must not hide it.
#[test]
fn filter_keeps_unusable_files() {
    let folder = three();
    fs::write(folder.path().join("d.json"), r#"{ "regrow": 1"#).unwrap();
    let output = regrow(&["run", "--filter", "alice", "."], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stdout).contains("\n1 passed, 0 failed, 1 unusable in "), "{}", text(&output.stdout));
}

#[test]
fn fail_fast_reports_up_to_the_first_failure_on_any_number_of_threads() {
    let folder = three();
    for jobs in ["1", "3"] {
        assert_eq!(names(&["--fail-fast", "-j", jobs], &folder), ["./a.json", "./b/fails.json"]);
    }
    let output = regrow(&["run", "--fail-fast", "."], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("\n1 passed, 1 failed, 0 unusable, 1 not run in "));
}

#[test]
fn list_runs_nothing() {
    let folder = three();
    let output = regrow(&["run", "--list", "."], folder.path());
    assert_eq!(output.status.code(), Some(0));
    let out = text(&output.stdout);
    assert!(out.starts_with("./a.json        Alice talks\n./b/fails.json  bob fails\n"), "{out}");
    let listed = lines(&regrow(&["run", "--list", "--json", "--filter", "other", "."], folder.path()));
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["file"], &listed[0]["name"]), (&json!("./c.json"), &json!("other")));
}

#[test]
fn scenario_that_exceeds_its_time_fails_and_the_others_run() {
    let folder = folder(&[("a.json", "slow", long()), ("b.json", "quick", talk())]);
    let output = regrow(&["run", "--timeout", "1s", "--json", "-j", "1", "."], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let results = lines(&output);
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&json!("failed"), &json!("passed")));
    let failure = &results[0]["failures"][0];
    assert_eq!((&failure["cause"], &failure["step"], &failure["line"]), (&json!("timeout"), &json!("4.1"), &json!(9)));
    assert_eq!(failure["expected"], "the scenario ends within 1 s");
    assert_eq!(results[0]["transcript"], Value::Null);
}

/// Adds fields to the top of a scenario.
fn add_fields(folder: &TempDir, file: &str, fields: &str) {
    let path = folder.path().join(file);
    let scenario = fs::read_to_string(&path).unwrap();
    fs::write(path, scenario.replacen("{\n", &format!("{{\n  {fields},\n"), 1)).unwrap();
}

#[test]
fn tag_chooses_scenarios() {
    let folder = three();
    add_fields(&folder, "a.json", r#""tags": ["smoke", "fast"]"#);
    add_fields(&folder, "c.json", r#""tags": ["nightly"]"#);
    assert_eq!(names(&["--tag", "smoke"], &folder), ["./a.json"]);
    assert_eq!(names(&["--tag", "fast", "--tag", "nightly"], &folder), ["./a.json", "./c.json"]);
    assert_eq!(names(&["--tag", "fast", "--filter", "other"], &folder), Vec::<String>::new());
    let output = regrow(&["run", "--tag", "fastt", "."], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("none of the 3 scenarios is chosen"), "{}", text(&output.stderr));
    let output = regrow(&["run", "--list", "--tag", "smoke", "."], folder.path());
    assert_eq!(text(&output.stdout), "./a.json  Alice talks [smoke, fast]\n");
    let listed = lines(&regrow(&["run", "--list", "--json", "--tag", "nightly", "."], folder.path()));
    assert_eq!(listed[0]["tags"], json!(["nightly"]));
}

#[test]
fn file_can_be_strict_and_limit_its_time() {
    let folder = folder(&[("a.json", "forgot", talk()[..2].to_vec()), ("b.json", "slow", long())]);
    add_fields(&folder, "a.json", r#""strict": true"#);
    add_fields(&folder, "b.json", r#""timeout": { "real": "1s" }"#);
    let results = lines(&regrow(&["run", "--json", "--timeout", "1h", "."], folder.path()));
    assert_eq!(results[0]["failures"][0]["cause"], "warning");
    assert_eq!(results[1]["failures"][0]["cause"], "timeout");
}

#[test]
fn colours_follow_the_option() {
    let folder = three();
    let has_colours = |arguments: &[&str]| {
        let output = regrow(&[&["run", "a.json"], arguments].concat(), folder.path());
        text(&output.stdout).contains('\x1b')
    };
    assert!(has_colours(&["--color", "always"]));
    assert!(!has_colours(&["--color", "never"]));
    assert!(!has_colours(&[]));
}

#[test]
fn json_files_that_are_no_scenarios_are_skipped_in_a_folder_only() {
    let folder = three();
    fs::write(folder.path().join("package.json"), r#"{ "name": "app", "version": "1.0.0" }"#).unwrap();
    fs::write(folder.path().join("list.json"), "[1, 2]").unwrap();
    let output = regrow(&["run", "--filter", "other", "."], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let told = text(&output.stderr);
    assert!(told.contains("./package.json: skipped, because it has no field `regrow` and is no scenario\n"), "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");

    let named = regrow(&["run", "package.json"], folder.path());
    assert_eq!(named.status.code(), Some(2));
    assert!(text(&named.stderr).contains("field `regrow` is missing"), "{}", text(&named.stderr));

    // A scenario without its format is no other file.
    fs::write(folder.path().join("forgot.json"), r#"{ "name": "n", "members": ["a"], "steps": [] }"#).unwrap();
    assert_eq!(regrow(&["run", "."], folder.path()).status.code(), Some(2));
}

#[test]
fn scenarios_of_one_name_are_told_apart_everywhere() {
    let folder = folder(&[("a.json", "same", talk()), ("b.json", "same", talk())]);
    let arguments = ["run", ".", "--junit", "r.xml", "--transcript", "t.jsonl", "--costs", "c.csv", "--html", "p.html"];
    let output = regrow(&arguments, folder.path());
    let out = text(&output.stdout);
    assert!(out.contains("passed    same (./a.json)") && out.contains("passed    same (./b.json)"), "{out}");
    for (file, count) in [("r.xml", 1), ("t.jsonl", 5), ("c.csv", 3), ("p.html", 2)] {
        let content = fs::read_to_string(folder.path().join(file)).unwrap();
        for scenario in ["./a.json", "./b.json"] {
            assert!(content.matches(scenario).count() >= count, "{file}: {scenario}\n{content}");
        }
    }
}
