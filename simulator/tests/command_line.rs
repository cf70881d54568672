//! The `regrow` command as it is used: which files it takes, what it writes where, and the status it ends with.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

fn command(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regrow"));
    command.args(arguments).current_dir(folder);
    command
}

fn regrow(arguments: &[&str], folder: &Path) -> Output {
    command(arguments, folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with scenarios that pass, and others at their side.
fn scenarios() -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in ["b", "a", "sub/c", "failing/d", "sweeps/e", "sub/failing/f"] {
        let file = folder.path().join(format!("{name}.json"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let scenario = format!(
            r#"{{"regrow": 1, "name": "scenario {name}", "members": ["alice", "bob"],
                "steps": [{{"create": {{"by": "alice", "with": "bob"}}}}, {{"send": {{"by": "bob", "id": "m1"}}}}]}}"#
        );
        fs::write(file, scenario).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "not a scenario").unwrap();
    folder
}

/// The files of the results on standard output, in order.
fn files(output: &Output) -> Vec<String> {
    let line =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["file"].as_str().unwrap().to_owned();
    text(&output.stdout).lines().map(line).collect()
}

#[test]
fn a_folder_is_searched_but_for_failing_and_sweeps() {
    let folder = scenarios();
    let output = regrow(&["run", "--json", "."], folder.path());
    assert_eq!(files(&output), ["./a.json", "./b.json", "./sub/c.json"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn failing_and_sweeps_are_run_when_they_are_named() {
    let folder = scenarios();
    let output = regrow(&["run", "--json", "sweeps", "failing", "sub/failing/f.json", "failing"], folder.path());
    assert_eq!(files(&output), ["sweeps/e.json", "failing/d.json", "sub/failing/f.json"]);
}

#[test]
fn an_unusable_file_does_not_keep_the_others_from_running() {
    let folder = scenarios();
    fs::write(folder.path().join("aa.json"), "{").unwrap();
    let output = regrow(&["run", "."], folder.path());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2));
    assert!(out.ends_with(" s\n") && out.contains("\n3 passed, 0 failed, 1 unusable in "), "{out}");
    assert!(out.contains("UNUSABLE  ./aa.json\n"), "{out}");
    assert!(text(&output.stderr).starts_with("./aa.json:1:1: this is not JSON"), "{}", text(&output.stderr));
}

#[test]
fn a_scenario_that_fails_is_told_with_its_file_and_step() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let output = regrow(&["run", "failing"], Path::new(folder));
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("\n0 passed, 2 failed, 0 unusable in "), "{out}");
    assert!(out.contains("    failing/another_member_is_no_cure.json:11: step 5\n      expected  "), "{out}");
    assert!(out.contains("    failing/newcomer_reads_history.json:11: step 5\n      expected  "), "{out}");
}

#[test]
fn unusable_outweighs_failed() {
    let folder = scenarios();
    fs::write(folder.path().join("bad.json"), "").unwrap();
    let failing = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/failing/newcomer_reads_history.json");
    assert_eq!(regrow(&["run", failing, "bad.json"], folder.path()).status.code(), Some(2));
    assert_eq!(regrow(&["run", "bad.json", failing], folder.path()).status.code(), Some(2));
}

#[test]
fn a_folder_without_scenarios_is_unusable() {
    let folder = TempDir::new().unwrap();
    for command in ["run", "check"] {
        let output = regrow(&[command, "."], folder.path());
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(".: no scenario in this folder"), "{}", text(&output.stderr));
    }
}

#[test]
fn side_by_side_gives_the_same_results_in_the_same_order() {
    let folder = scenarios();
    let run = |jobs: &str| {
        let transcript = format!("{jobs}.jsonl");
        let output = regrow(&["run", "--json", "-j", jobs, "--transcript", &transcript, ".", "failing"], folder.path());
        (text(&output.stdout), fs::read_to_string(folder.path().join(transcript)).unwrap())
    };
    let (results, transcript) = run("1");
    assert_eq!(results.lines().count(), 4);
    assert!(transcript.lines().all(|line| line.starts_with(r#"{"scenario":"scenario "#)), "{transcript}");
    assert_eq!(run("4"), (results, transcript));
}

#[test]
fn a_seed_replaces_that_of_the_files() {
    let folder = scenarios();
    let output = regrow(&["run", "--json", "--seed", "41", "a.json"], folder.path());
    assert!(text(&output.stdout).contains(r#""seed":41,"#), "{}", text(&output.stdout));
}

#[test]
fn junit_is_written_beside_the_report() {
    let folder = scenarios();
    let output = regrow(&["run", "--junit", "report.xml", "."], folder.path());
    assert_eq!(output.status.code(), Some(0));
    let report = fs::read_to_string(folder.path().join("report.xml")).unwrap();
    assert_eq!(report.matches("<testcase ").count(), 3, "{report}");
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_anything_runs() {
    let folder = scenarios();
    for option in ["--junit", "--transcript"] {
        let output = regrow(&["run", option, "absent/file", "."], folder.path());
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let told = text(&output.stderr);
        assert!(told.starts_with("regrow: cannot write absent/file: name a file in a folder that exists"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn nothing_on_a_pipe_but_text() {
    let output = regrow(&["run", "."], scenarios().path());
    assert!(!text(&output.stdout).contains(['\x1b', '\r']));
    assert!(output.stderr.is_empty());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = scenarios();
    let mut child =
        command(&["run", "."], folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn check_runs_nothing_and_tells_programs_what_is_wrong() {
    let folder = scenarios();
    fs::write(folder.path().join("bad.json"), r#"{"regrow": 1}"#).unwrap();
    let output = regrow(&["check", "--json", "a.json", "bad.json"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], serde_json::json!({ "file": "a.json", "usable": true, "name": "scenario a", "problems": [] }));
    assert_eq!(lines[1]["usable"], false);
    assert_eq!(
        lines[1]["problems"][0],
        serde_json::json!({ "line": 1, "column": 1, "field": "name", "problem": "field `name` is missing" })
    );
}

#[test]
fn schema_prints_the_schema() {
    let output = regrow(&["schema"], Path::new("."));
    assert_eq!(text(&output.stdout), regrow_simulator::scenario::schema::SCHEMA);
}

#[test]
fn a_command_that_is_not_understood_ends_with_status_2() {
    for arguments in [&["run"][..], &["run", "-j", "0", "."], &["run", "--seed", "x", "."], &["walk"]] {
        assert_eq!(regrow(arguments, Path::new(".")).status.code(), Some(2), "{arguments:?}");
    }
}
