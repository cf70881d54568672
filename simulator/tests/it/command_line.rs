//! The `regrow` command: the files that it reads and writes, its output, and its exit status.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
};

use tempfile::TempDir;

use crate::common::program::{command, regrow, text};

/// A folder with scenarios that pass, and with other files beside them.
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
fn folder_search_skips_failing_and_sweeps() {
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
fn unusable_file_does_not_stop_the_others() {
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
fn failed_scenario_is_reported_with_file_and_step() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let output = regrow(&["run", "failing"], Path::new(folder));
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("\n0 passed, 4 failed, 0 unusable in "), "{out}");
    assert!(out.contains("    failing/another_member_is_no_cure.json:11: step 5\n      expected  "), "{out}");
    assert!(out.contains("    failing/newcomer_reads_history.json:11: step 5\n      expected  "), "{out}");
}

#[test]
fn exit_status_prefers_unusable_over_failed() {
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
fn parallel_runs_give_the_same_results_in_order() {
    let folder = scenarios();
    let run = |jobs: &str| {
        let transcript = format!("{jobs}.jsonl");
        let output = regrow(&["run", "--json", "-j", jobs, "--transcript", &transcript, ".", "failing"], folder.path());
        (text(&output.stdout), fs::read_to_string(folder.path().join(transcript)).unwrap())
    };
    let (results, transcript) = run("1");
    assert_eq!(results.lines().count(), 4);
    assert!(transcript.lines().all(|line| line.starts_with(r#"{"file":""#)), "{transcript}");
    assert_eq!(run("4"), (results, transcript));
}

#[test]
fn seed_option_replaces_the_seeds_of_the_files() {
    let folder = scenarios();
    let output = regrow(&["run", "--json", "--seed", "41", "a.json"], folder.path());
    assert!(text(&output.stdout).contains(r#""seed":41,"#), "{}", text(&output.stdout));
}

#[test]
fn costs_are_written_in_the_order_of_the_files() {
    let folder = scenarios();
    let run = |jobs: &str| {
        let output = regrow(&["run", "--costs", "costs.csv", "-j", jobs, "sub", "a.json"], folder.path());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        fs::read_to_string(folder.path().join("costs.csv")).unwrap()
    };
    let costs = run("1");
    let kinds: Vec<_> = costs.lines().skip(1).map(|line| line.split(',').take(6).collect::<Vec<_>>()).collect();
    let of = |name| {
        [
            vec![name, "0", "0", "0", "0", "create"],
            vec![name, "0", "1", "0", "0", "commit"],
            vec![name, "0", "1", "1", "0", "welcome"],
        ]
    };
    assert_eq!(kinds, [of("scenario sub/c"), of("scenario a")].concat());
    assert_eq!(run("4"), costs);
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
fn unwritable_output_is_reported_before_any_run() {
    let folder = scenarios();
    for option in ["--costs", "--html", "--junit", "--transcript"] {
        let output = regrow(&["run", option, "absent/file", "."], folder.path());
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let told = text(&output.stderr);
        assert!(told.starts_with("regrow: cannot write absent/file: name a file in a folder that exists"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn pipe_gets_only_text() {
    let output = regrow(&["run", "."], scenarios().path());
    assert!(!text(&output.stdout).contains(['\x1b', '\r']));
    assert!(output.stderr.is_empty());
}

#[test]
fn closed_output_is_no_error() {
    let folder = scenarios();
    let mut child =
        command(&["run", "."], folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn check_runs_nothing_and_reports_problems_as_json() {
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
fn matrix_prints_a_table_and_writes_the_requested_files() {
    let folder = scenarios();
    let output = regrow(&["matrix", "a.json", "--csv", "m.csv", "--svg", "m.svg", "--seed", "5"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert!(out.starts_with("scenario a\nseed 5, 2 members, 2 steps, 1 message; "), "{out}");
    assert!(out.contains("\n  1  create alice      1  +     0      1      no\n") && !out.contains('\x1b'), "{out}");
    let csv = fs::read_to_string(folder.path().join("m.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 2 * 2, "{csv}");
    assert!(csv.contains("\nscenario a,5,alice,1,2,,1,m1,bob,2,,1,false,true,true,0,1,\n"), "{csv}");
    let svg = fs::read_to_string(folder.path().join("m.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
}

#[test]
fn failed_or_unusable_file_has_no_matrix() {
    let folder = scenarios();
    fs::write(folder.path().join("bad.json"), "{").unwrap();
    let failing = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/failing/newcomer_reads_history.json");
    let told = |arguments: &[&str]| {
        let output = regrow(arguments, folder.path());
        assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
        (output.status.code(), text(&output.stderr))
    };

    let (status, error) = told(&["matrix", "bad.json"]);
    assert_eq!(status, Some(2));
    assert!(error.starts_with("bad.json:1:"), "{error}");
    let (status, error) = told(&["matrix", failing]);
    assert_eq!(status, Some(1));
    assert!(error.contains("newcomer_reads_history.json:11: step 5\n      expected  carol has read m1\n"), "{error}");
    let (status, error) = told(&["matrix", "a.json", "--svg", "absent/m.svg"]);
    assert_eq!(status, Some(2));
    assert!(error.starts_with("regrow: cannot write absent/m.svg: "), "{error}");
}

#[test]
fn schema_prints_the_schema() {
    let output = regrow(&["schema"], Path::new("."));
    assert_eq!(text(&output.stdout), regrow_simulator::scenario::schema());
}

#[test]
fn wrong_command_ends_with_status_2() {
    for arguments in [&["run"][..], &["run", "-j", "0", "."], &["run", "--seed", "x", "."], &["matrix"], &["walk"]] {
        assert_eq!(regrow(arguments, Path::new(".")).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_search_that_finds_nothing_says_so() {
    let folder = TempDir::new().unwrap();
    let search = ["explore", "--seed", "7", "--count", "3", "--members", "3", "--steps", "5"];
    let output = regrow(&search, folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("nothing found in 3 scenarios in "), "{}", text(&output.stdout));
    assert_eq!(text(&output.stderr), "");
    let output = regrow(&[&search[..], &["--json"]].concat(), folder.path());
    assert_eq!(text(&output.stdout), "{\"seed\":7,\"scenarios\":3,\"finding\":null}\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_search_ends_when_its_time_is_over() {
    let folder = TempDir::new().unwrap();
    let output = regrow(&["explore", "--time", "0s", "-j", "1", "--members", "2", "--steps", "1"], folder.path());
    assert_eq!(output.status.code(), Some(0));
    // A few scenarios may have begun before the time was over. The search has to end.
    assert!(text(&output.stdout).starts_with("nothing found in "), "{}", text(&output.stdout));
}

#[test]
fn printed_weights_are_a_valid_file() {
    let folder = TempDir::new().unwrap();
    let printed = text(&regrow(&["explore", "--print-weights"], folder.path()).stdout);
    assert!(printed.contains("  \"send\": 30,\n"), "{printed}");
    fs::write(folder.path().join("weights.json"), printed.replace("\"send\": 30", "\"send\": 31")).unwrap();
    let output = regrow(&["explore", "--weights", "weights.json", "--print-weights"], folder.path());
    assert_eq!(text(&output.stdout), printed.replace("\"send\": 30", "\"send\": 31"));
}

#[test]
fn unusable_weights_are_reported_with_position() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("weights.json"), "{\n  \"sned\": 1\n}").unwrap();
    let output = regrow(&["explore", "--weights", "weights.json"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    let told = "weights.json:2:3: sned: unknown field `sned`; did you mean `send`?\n";
    assert_eq!(text(&output.stderr), told);
    let output = regrow(&["explore", "--weights", "none.json"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("none.json: cannot be read: "), "{}", text(&output.stderr));
}

#[test]
fn unwritable_path_is_reported_before_the_search() {
    let folder = TempDir::new().unwrap();
    let output = regrow(&["explore", "--out", "nowhere/found.json"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("name a file in a folder that exists"), "{}", text(&output.stderr));
}
