//! Membership traces: their figures on the command line.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

fn stats(arguments: &[&str]) -> (String, String, Option<i32>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/traces");
    let output = Command::new(env!("CARGO_BIN_EXE_regrow"))
        .args(["trace", "stats"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[test]
fn figures_of_a_trace_are_json() {
    let (out, error, status) = stats(&["--json", "small_team.csv"]);
    assert_eq!((error.as_str(), status), ("", Some(0)));
    let figures: Value = serde_json::from_str(&out).unwrap();
    for (name, value) in [
        ("initial_members", json!(4)),
        ("joins", json!(4)),
        ("leaves", json!(4)),
        ("messages", json!(6)),
        ("changes", json!(6)),
        ("peak_members", json!(5)),
        ("end_members", json!(4)),
        ("span_seconds", json!(345_660)),
        ("largest_joins", json!([1, 1, 1])),
        ("largest_leaves", json!([2, 1, 1])),
        ("batch_sizes", json!([{ "least": 1, "most": 1, "changes": 5 }, { "least": 2, "most": 3, "changes": 1 }])),
        ("authors_never_members", json!(1)),
    ] {
        assert_eq!(figures[name], value, "{name}");
    }
}

#[test]
fn figures_of_a_trace_are_a_list_for_people() {
    let (out, _, status) = stats(&["small_team.csv"]);
    assert_eq!(status, Some(0));
    for line in ["initial members             4\n", "span                        4 d 0 h\n", "  median "] {
        assert!(out.contains(line), "{line}: {out}");
    }
}

#[test]
fn unusable_trace_names_file_line_and_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.csv");
    fs::write(&file, "time,event,member,by\n0,join,a,\n1,leave,b,\n").unwrap();
    let path = file.to_str().unwrap();
    let (out, error, status) = stats(&[path]);
    let told = format!("{path}:3: `b` leaves, but is not a member; add its join before this row\n");
    assert_eq!((out.as_str(), error, status), ("", told, Some(2)));
    let (_, error, status) = stats(&["no.csv"]);
    assert!(error.starts_with("no.csv: the file cannot be read: "), "{error}");
    assert_eq!(status, Some(2));
    let (_, error, _) = stats(&["."]);
    assert_eq!(error, ".: the path is not a file\n");
}

#[test]
fn huge_trace_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.csv");
    fs::File::create(&file).unwrap().set_len(10_000_000_000).unwrap();
    let (_, error, status) = stats(&[file.to_str().unwrap()]);
    assert!(
        error.ends_with("the file is too large: a trace has at most 268435456 bytes; cut it into parts\n"),
        "{error}"
    );
    assert_eq!(status, Some(2));
}
