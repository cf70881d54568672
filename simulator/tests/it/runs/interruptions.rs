//! A run that a signal ends: its output files are whole, or as old as before.

#![cfg(unix)]

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{command, folder, junit::assert_valid, long, talk, text};

const OUTPUTS: [(&str, &str); 4] =
    [("--junit", "r.xml"), ("--transcript", "t.jsonl"), ("--costs", "c.csv"), ("--html", "p.html")];

/// Ten scenarios that end at once, and one that does not end in time.
fn eleven() -> TempDir {
    let names: Vec<_> = (0..10).map(|number| format!("a{number}.json")).collect();
    let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str(), talk())).collect();
    files.push(("b.json", "long", long()));
    let folder = folder(&files);
    OUTPUTS.iter().for_each(|(_, file)| fs::write(folder.path().join(file), "old").unwrap());
    folder
}

fn start(folder: &Path, more: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let options: Vec<_> = OUTPUTS.iter().flat_map(|(option, file)| [*option, *file]).collect();
    let arguments = [&["run", "-j", "1", "."], &options[..], more].concat();
    let mut child = command(&arguments, folder).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    // The process may have ended already.
    Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().unwrap();
}

/// Waits for the end. A process that does not end is killed, and fails the test.
fn end(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("the process does not end");
        }
        thread::yield_now();
    }
}

/// Starts the run, and sends a signal after this number of results. Returns the exit status and the
/// number of results.
fn interrupted_after(folder: &TempDir, results: usize, name: &str) -> (ExitStatus, usize, String) {
    let (mut child, mut out) = start(folder.path(), &[]);
    let mut line = String::new();
    // The first line has the names of the columns.
    for _ in 0..=results {
        line.clear();
        out.read_line(&mut line).unwrap();
    }
    signal(&child, name);
    let status = end(&mut child);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    (status, results + rest.matches("passed    a").count(), rest)
}

fn content(folder: &TempDir, file: &str) -> String {
    text(&fs::read(folder.path().join(file)).unwrap())
}

fn unfinished(folder: &TempDir) -> usize {
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".tmp")).count()
}

#[test]
fn interrupted_run_reports_the_finished_scenarios_at_ten_moments() {
    let folder = eleven();
    for moment in 0..10 {
        let name = if moment % 2 == 0 { "INT" } else { "TERM" };
        let (status, results, rest) = interrupted_after(&folder, moment, name);
        assert_eq!(status.code(), Some(130), "moment {moment}: {rest}");
        assert!(
            rest.contains(&format!("{results} passed, 0 failed, 0 unusable, {} not run in ", 11 - results)),
            "{rest}"
        );
        let junit = content(&folder, "r.xml");
        assert_valid(&junit);
        assert_eq!(junit.matches("<testcase ").count(), results, "{junit}");
        let transcript = content(&folder, "t.jsonl");
        assert!(transcript.is_empty() || transcript.ends_with('\n'));
        let files: std::collections::BTreeSet<_> =
            transcript.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["file"].to_string()).collect();
        assert_eq!(files.len(), results);
        let costs = content(&folder, "c.csv");
        let widths: Vec<_> = costs.lines().map(|line| line.split(',').count()).collect();
        assert!(costs.ends_with('\n') && widths.iter().all(|width| *width == widths[0]), "{costs}");
        assert_eq!(costs.lines().count(), 1 + 3 * results);
        let page = content(&folder, "p.html");
        assert!(page.ends_with("</html>") && page.contains(&format!("{results} passed")), "moment {moment}");
        assert_eq!(unfinished(&folder), 0);
    }
}

#[test]
fn killed_run_leaves_the_old_files_at_ten_moments() {
    let folder = eleven();
    for moment in 0..10 {
        let (status, ..) = interrupted_after(&folder, moment, "KILL");
        assert_eq!(status.signal(), Some(9));
        for (_, file) in OUTPUTS {
            assert_eq!(content(&folder, file), "old", "moment {moment}: {file}");
        }
    }
}

/// The run waits forever, because nobody reads its transcript from the pipe.
#[test]
fn second_signal_ends_the_run_at_once() {
    let mut steps = talk();
    steps.push(json!({ "repeat": { "times": 300, "steps": [{ "send": { "by": "bob", "id": "x{i}" } }] } }));
    let folder = folder(&[("a.json", "much", steps), ("b.json", "later", talk())]);
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::write(folder.path().join("r.xml"), "old").unwrap();
    let arguments = ["run", "-j", "1", ".", "--transcript", "pipe", "--junit", "r.xml"];
    let mut child = command(&arguments, folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _reader = File::open(&pipe).unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("passed") {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0);
    }
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "the second signal does not end the run");
        signal(&child, "INT");
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(content(&folder, "r.xml"), "old");
    assert_eq!(unfinished(&folder), 0);
}

#[test]
fn watched_folder_runs_again_after_a_change() {
    let folder = folder(&[("a.json", "one", talk())]);
    let mut child = command(&["run", "--watch", "--json", "."], folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut next = || {
        let (mut line, mut waiting) = (String::new(), String::new());
        out.read_line(&mut line).unwrap();
        while !waiting.starts_with("waiting for a change") {
            waiting.clear();
            assert_ne!(told.read_line(&mut waiting).unwrap(), 0);
        }
        serde_json::from_str::<Value>(&line).unwrap()["name"].clone()
    };
    assert_eq!(next(), "one");
    super::write(&folder, "a.json", "another", &talk());
    assert_eq!(next(), "another");
    signal(&child, "INT");
    assert_eq!(end(&mut child).code(), Some(130));
}
