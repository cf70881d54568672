//! `regrow sweep`: its files, its errors, and its results after an interruption.

mod format;
mod results;

use std::{fs, path::Path, process::Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::program::{regrow, text};

/// A small sweep: two sizes and two policies with two seeds.
fn sweep() -> Value {
    json!({
        "regrow_sweep": 1,
        "name": "two sizes",
        "base": {
            "regrow": 1,
            "name": "a small group",
            "members": { "prefix": "m", "count": 3 },
            "steps": [
                { "create": { "by": "m1", "with": { "prefix": "m", "from": 2, "to": 3 } } },
                { "race": [{ "update": { "by": "m1" } }, { "update": { "by": "m2" } }, { "update": { "by": "m3" } }] },
                { "send": { "by": "m1", "id": "a" } }
            ]
        },
        "axes": [
            { "name": "members", "paths": ["members.count", "steps[0].create.with.to"], "values": [3, 5] },
            { "name": "padding", "choices": [
                { "label": "none", "set": { "group.padding": 0 } },
                { "label": "<some> & more", "set": { "group.padding": 512 } }
            ] }
        ],
        "seeds": 2,
        "plots": [
            { "name": "bytes", "kind": "line", "x": "members", "y": "commit_bytes/commits", "series": "padding", "log": "xy" },
            { "name": "kinds", "kind": "bytes", "x": "members", "only": { "padding": "none" } },
            { "name": "epochs", "kind": "epochs", "y": "commit_bytes", "series": "members", "only": { "padding": "none" } },
            { "name": "ecdf", "kind": "distribution", "x": "delivered_bytes", "series": "members", "only": { "padding": "none" } },
            { "name": "frontier", "kind": "frontier", "x": "uploaded_bytes", "y": "members_at_end", "label": "padding" }
        ]
    })
}

fn folder_with(sweep: &Value) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("s.sweep.json"), serde_json::to_string_pretty(sweep).unwrap()).unwrap();
    folder
}

fn run(folder: &Path, more: &[&str]) -> Output {
    regrow(&[&["sweep", "s.sweep.json", "--out", "out"], more].concat(), folder)
}

/// The output files that every machine gives the same, with their contents.
fn results(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = ["runs.csv", "epochs.csv", "summary.csv"].map(str::to_owned);
    let plots = ["bytes", "kinds", "epochs", "ecdf", "frontier"].map(|name| format!("plots/{name}.svg"));
    let read = |name: String| (name.clone(), fs::read(folder.join("out").join(name)).unwrap());
    names.into_iter().chain(plots).map(read).collect()
}
