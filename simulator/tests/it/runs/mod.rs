//! `regrow run` as QA uses it: options, warnings, mistakes, interruptions, and the formats for CI.

mod interruptions;
mod junit;
mod mistakes;
mod options;
mod results;
mod warnings;

use std::{fs, process::Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::program::{command, regrow, text};

/// The objects of standard output.
fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The steps of a group of alice and bob, in which bob reads m1.
fn talk() -> Vec<Value> {
    vec![
        json!({ "create": { "by": "alice", "with": "bob" } }),
        json!({ "send": { "by": "alice", "id": "m1" } }),
        json!({ "expect": { "who": "bob", "reads": "m1" } }),
    ]
}

/// Steps that take minutes.
fn long() -> Vec<Value> {
    let mut steps = talk();
    steps.push(json!({ "repeat": { "times": 100_000, "steps": [{ "update": { "by": "alice" } }] } }));
    steps
}

/// Writes a scenario, with one step on each line from line 6 on.
fn write(folder: &TempDir, file: &str, name: &str, steps: &[Value]) {
    let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
    let text = format!(
        "{{\n  \"regrow\": 1,\n  \"name\": \"{name}\",\n  \"members\": [\"alice\", \"bob\", \"carol\"],\n  \"steps\": [\n{}\n]}}\n",
        steps.join(",\n")
    );
    let path = folder.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A folder with these scenarios: file, name and steps.
fn folder(files: &[(&str, &str, Vec<Value>)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    files.iter().for_each(|(file, name, steps)| write(&folder, file, name, steps));
    folder
}
