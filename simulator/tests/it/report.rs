//! The format of the reports: for a person, for a program, and for a CI system.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use regrow_simulator::{
    report::{
        AuthenticationFigures, Cause, CompromiseFigures, Failure, Figures, FileOutcome, OpenedWelcome, RunOutcome,
        RunResult, StolenKeyPackage, Transcript, Warning, WarningKind, json, junit, terminal::Terminal, titles::Titles,
    },
    scenario::{CompromiseId, FileProblem, MemberName, Place, Position, TheftScope, read},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

fn place() -> Place {
    let text = r#"{"regrow": 1, "name": "n", "members": ["a"], "steps": [
        {"create": {"by": "a"}},
        {"repeat": {"times": 3, "steps": [
            {"wait": "1s"}]}}]}"#;
    read(text).unwrap().expand().last().unwrap().place
}

fn figures() -> Figures {
    let stolen = CompromiseFigures {
        id: CompromiseId::new("stolen"),
        who: MemberName::new("bob"),
        scope: TheftScope::Device,
        epoch: 0,
        time: 0,
        exposed_before: 0,
        exposed_after: 1,
        healed_after: Some(1),
        groups: Vec::new(),
        key_packages: vec![StolenKeyPackage {
            who: MemberName::new("bob"),
            number: 2,
            last_resort: true,
            opens: vec![OpenedWelcome { group: None, epoch: 1, after_theft: true }],
        }],
        authentication: Some(AuthenticationFigures {
            attempts: 2,
            accepted: 1,
            acted_until: Some(0),
            healed_after: None,
        }),
    };
    Figures { members: 3, epochs: 2, messages: 3, exposed: 1, compromises: vec![stolen], ..Figures::default() }
}

fn ran(file: &str, name: &str, figures: Figures, failures: Vec<Failure>) -> RunResult {
    let outcome = FileOutcome::Ran {
        name: name.to_owned(),
        seed: 7,
        outcome: Box::new(RunOutcome { failures, figures, ..RunOutcome::default() }),
        transcript: "00ff".to_owned(),
    };
    RunResult { file: PathBuf::from(file), outcome, duration: Duration::from_millis(1500) }
}

fn with_warning(mut result: RunResult) -> RunResult {
    if let FileOutcome::Ran { outcome, .. } = &mut result.outcome {
        outcome.warnings = vec![Warning {
            kind: WarningKind::UnexpectedExposure,
            place: Some(place()),
            seen: "the thief can read m2".to_owned(),
            remedy: "expect it".to_owned(),
        }];
    }
    result
}

/// A result that passed with a warning, one that failed twice, and one that could not be run.
fn results() -> [RunResult; 3] {
    let failures = vec![
        Failure {
            cause: Cause::Expectation,
            place: Some(place()),
            expected: "bob cannot read m1".to_owned(),
            seen: "bob has read m1".to_owned(),
            code: None,
            events: vec!["alice sent m1".to_owned(), "bob read m1".to_owned()],
            ..Failure::new(None, "", "")
        },
        Failure::new(None, "one epoch", "<two> & \"more\" \u{1b}[31m"),
    ];
    let problem = FileProblem {
        position: Some(Position { line: 3, column: 5 }),
        field: "steps[0].sned".to_owned(),
        problem: "unknown step".to_owned(),
    };
    let unusable = FileOutcome::Unusable(vec![problem]);
    [
        with_warning(ran("s/heals.json", "an update heals", figures(), Vec::new())),
        ran("s/fails.json", "it fails", Figures { members: 12, ..Figures::default() }, failures),
        RunResult { file: PathBuf::from("s/bad.json"), outcome: unusable, duration: Duration::ZERO },
    ]
}

fn on_a_terminal(colours: bool) -> String {
    let mut out = Vec::new();
    let titles = Titles::of(["an update heals", "it fails"]);
    let mut terminal = Terminal::begin(&mut out, colours, titles).unwrap();
    results().iter().for_each(|result| terminal.result(result).unwrap());
    terminal.end(Duration::from_millis(3210), 4).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_person_sees_figures_in_columns_and_failures_in_full() {
    let told = on_a_terminal(false);
    let expected = "                           members  epochs  messages  exposed  healed after
passed    an update heals        3       2         3        1       1 epoch
    s/heals.json:4: step 2.1, turn 3
      warning   the thief can read m2
      remedy    expect it
    s/heals.json: the thief of stolen
      note      the stolen last-resort key package 2 of bob opens the welcome to epoch 1 (RFC 9420, 12.4.3.1)
      remedy    renew key packages after a theft, with a step `key_packages` of bob: nobody can be added with a withdrawn one (RFC 9420, 16.8)
FAILED    it fails              12       0         0        -             -
    s/fails.json:4: step 2.1, turn 3
      expected  bob cannot read m1
      seen      bob has read m1
      events    alice sent m1
                bob read m1
    s/fails.json: at the end
      expected  one epoch
      seen      <two> & \"more\"  [31m
UNUSABLE  s/bad.json

";
    assert!(told.starts_with(expected), "{told}");
    assert!(told.ends_with("\n1 passed, 1 failed, 1 unusable, 4 not run in 3.2 s\n"), "{told}");
    assert_eq!(told.matches("if RFC 9420 predicts").count(), 1, "{told}");
    assert!(told.contains("\n1 scenario has warnings; with --strict it fails\n"), "{told}");
}

#[test]
fn colours_mark_the_results() {
    let told = on_a_terminal(true);
    assert!(told.contains("\x1b[32mpassed  \x1b[0m"), "{told}");
    assert!(told.contains("\x1b[31mFAILED  \x1b[0m"), "{told}");
}

#[test]
fn scenarios_with_one_name_are_told_apart() {
    let mut out = Vec::new();
    let mut terminal = Terminal::begin(&mut out, false, Titles::of(["n", "n"])).unwrap();
    for file in ["a.json", "b.json"] {
        terminal.result(&ran(file, "n", Figures::default(), Vec::new())).unwrap();
    }
    let told = String::from_utf8(out).unwrap();
    assert!(told.contains("passed    n (a.json)  ") && told.contains("passed    n (b.json)  "), "{told}");
}

#[test]
fn run_without_a_thief_has_no_exposure_note() {
    let mut out = Vec::new();
    let mut terminal = Terminal::begin(&mut out, false, Titles::of(["n"])).unwrap();
    terminal.result(&ran("n.json", "n", Figures::default(), Vec::new())).unwrap();
    terminal.end(Duration::ZERO, 0).unwrap();
    assert!(!String::from_utf8(out).unwrap().contains("RFC 9420"));
}

#[test]
fn a_program_reads_one_object_per_line() {
    let mut out = Vec::new();
    for result in results() {
        json::write_result(&mut out, &result).unwrap();
    }
    let lines: Vec<serde_json::Value> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [mut passed, failed, unusable] = <[_; 3]>::try_from(lines).unwrap();
    let contention = passed["figures"].as_object_mut().unwrap().remove("contention").unwrap();
    assert_eq!((&contention["commits"], &contention["fairness"]), (&0.into(), &serde_json::Value::Null));
    assert_eq!(
        passed,
        serde_json::json!({
            "file": "s/heals.json", "status": "passed", "name": "an update heals", "seed": 7, "exposure": "closure",
            "figures": { "members": 3, "devices": 0, "epochs": 2, "messages": 3,
                "message_traffic": { "uploaded_bytes": 0, "deliveries": 0, "delivered_bytes": 0 },
                "exposed": 1, "unordered_commits": 0, "costs": {}, "compromises": [{
                "id": "stolen", "who": "bob", "scope": "device",
                "exposed_before": 0, "exposed_after": 1, "healed_after": 1,
                "key_packages": [{
                    "number": 2, "last_resort": true,
                    "opens": [{ "group": null, "epoch": 1, "after_theft": true }],
                    "seen": "the stolen last-resort key package 2 of bob opens the welcome to epoch 1 (RFC 9420, 12.4.3.1)",
                    "remedy": "renew key packages after a theft, with a step `key_packages` of bob: nobody can be added \
                               with a withdrawn one (RFC 9420, 16.8)"
                }],
                "authentication": { "attempts": 2, "accepted": 1, "acted_until": 0, "healed_after": null }
            }] },
            "failures": [],
            "warnings": [{
                "kind": "unexpected_exposure", "step": "2.1", "line": 4, "turn": 3,
                "field": "steps[1].repeat.steps[0]", "seen": "the thief can read m2", "remedy": "expect it"
            }],
            "transcript": "00ff"
        })
    );
    assert_eq!(failed["status"], "failed");
    assert_eq!(
        failed["failures"][0],
        serde_json::json!({
            "cause": "expectation", "step": "2.1", "line": 4, "turn": 3, "field": "steps[1].repeat.steps[0]",
            "expected": "bob cannot read m1", "seen": "bob has read m1", "code": null,
            "events": ["alice sent m1", "bob read m1"]
        })
    );
    assert_eq!(failed["failures"][1]["step"], serde_json::Value::Null);
    assert_eq!(
        unusable,
        serde_json::json!({
            "file": "s/bad.json", "status": "unusable",
            "problems": [{ "line": 3, "column": 5, "field": "steps[0].sned", "problem": "unknown step" }]
        })
    );
}

#[test]
fn json_does_not_contain_the_run_time() {
    let written = |duration| {
        let [mut result, ..] = results();
        result.duration = duration;
        let mut out = Vec::new();
        json::write_result(&mut out, &result).unwrap();
        out
    };
    assert_eq!(written(Duration::ZERO), written(Duration::from_secs(9)));
}

#[test]
fn a_ci_system_reads_a_case_per_file() {
    let mut out = Vec::new();
    junit::write(&mut out, &results(), SystemTime::UNIX_EPOCH).unwrap();
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="scenarios" package="regrow" id="0" hostname="localhost" timestamp="1970-01-01T00:00:00" tests="3" failures="1" errors="1" time="3.000">
    <properties/>
    <testcase classname="s/heals.json" name="an update heals" time="1.500"/>
    <testcase classname="s/fails.json" name="it fails" time="1.500">
      <failure type="expectation" message="expected bob cannot read m1; seen bob has read m1">    s/fails.json:4: step 2.1, turn 3
      expected  bob cannot read m1
      seen      bob has read m1
      events    alice sent m1
                bob read m1
    s/fails.json: at the end
      expected  one epoch
      seen      &lt;two&gt; &amp; &quot;more&quot;  [31m
</failure>
    </testcase>
    <testcase classname="s/bad.json" name="s/bad.json" time="0.000">
      <error type="unusable" message="3:5: step 1, sned: unknown step">s/bad.json:3:5: step 1, sned: unknown step
</error>
    </testcase>
    <system-out>    s/heals.json:4: step 2.1, turn 3
      warning   the thief can read m2
      remedy    expect it
</system-out>
    <system-err></system-err>
  </testsuite>
</testsuites>
"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn no_text_breaks_the_xml() {
    let mut out = Vec::new();
    let result = ran("a&b.json", "<\u{0}\"\n\u{ffff}>", Figures::default(), Vec::new());
    junit::write(&mut out, &[result], SystemTime::UNIX_EPOCH).unwrap();
    let out = String::from_utf8(out).unwrap();
    let case = "<testcase classname=\"a&amp;b.json\" name=\"&lt;\u{fffd}&quot;&#10;\u{fffd}&gt;\" time=";
    assert!(out.contains(case), "{out}");
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Sent { by: &'static str, bytes: u64 },
}

#[test]
fn the_hash_of_a_transcript_is_that_of_its_lines() {
    let record = |keep| {
        let mut transcript = Transcript::new("n", keep);
        transcript.record(0, None, &Event::Sent { by: "a", bytes: 3 });
        transcript.record(90, Some(&place()), &Event::Sent { by: "b", bytes: 4 });
        transcript.finish().unwrap()
    };
    let kept = record(true);
    assert_eq!(
        String::from_utf8(kept.lines.clone()).unwrap(),
        "{\"scenario\":\"n\",\"t\":0,\"event\":\"sent\",\"by\":\"a\",\"bytes\":3}\n\
         {\"scenario\":\"n\",\"t\":90,\"step\":\"2.1\",\"turn\":3,\"event\":\"sent\",\"by\":\"b\",\"bytes\":4}\n"
    );
    assert_eq!(kept.hash, hex::encode(Sha256::digest(&kept.lines)));
    let hashed = record(false);
    assert_eq!((hashed.hash, hashed.lines), (kept.hash, Vec::new()));
}

#[test]
fn kept_lines_name_the_file_and_the_hash_does_not_cover_it() {
    let record = |file: Option<&str>| {
        let transcript = Transcript::new("n", true);
        let mut transcript = match file {
            Some(file) => transcript.of_file(file.as_ref()),
            None => transcript,
        };
        transcript.record(0, None, &Event::Sent { by: "a", bytes: 3 });
        transcript.finish().unwrap()
    };
    let (with, without) = (record(Some("s/\"n\".json")), record(None));
    assert_eq!(
        String::from_utf8(with.lines).unwrap(),
        "{\"file\":\"s/\\\"n\\\".json\",\"scenario\":\"n\",\"t\":0,\"event\":\"sent\",\"by\":\"a\",\"bytes\":3}\n"
    );
    assert_eq!(with.hash, without.hash);
}

#[test]
fn event_that_is_no_object_is_reported() {
    let mut transcript = Transcript::new("n", false);
    transcript.record(0, None, &"not an object");
    transcript.record(0, None, &Event::Sent { by: "a", bytes: 3 });
    assert!(transcript.finish().is_err());
}
