//! The format of the reports: for a person, for a program, and for a CI system.

use std::{path::PathBuf, time::Duration};

use regrow_simulator::{
    report::{
        AuthenticationFigures, CompromiseFigures, Failure, Figures, FileOutcome, RunOutcome, RunResult, Transcript,
        json, junit,
        terminal::{Abilities, Terminal},
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

/// A result that passed, one that failed twice, and one that could not be run.
fn results() -> [RunResult; 3] {
    let failures = vec![
        Failure {
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
        ran("s/heals.json", "an update heals", figures(), Vec::new()),
        ran("s/fails.json", "it fails", Figures { members: 12, ..Figures::default() }, failures),
        RunResult { file: PathBuf::from("s/bad.json"), outcome: unusable, duration: Duration::ZERO },
    ]
}

fn on_a_terminal(abilities: Abilities) -> String {
    let mut out = Vec::new();
    let names = ["an update heals", "it fails"];
    let mut terminal = Terminal::begin(&mut out, abilities, names.into_iter()).unwrap();
    for (done, result) in results().iter().enumerate() {
        terminal.progress(done, 3).unwrap();
        terminal.result(result).unwrap();
    }
    terminal.end(Duration::from_millis(3210)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_person_sees_figures_in_columns_and_failures_in_full() {
    let told = on_a_terminal(Abilities::default());
    let expected = "                           members  epochs  messages  exposed  healed after
passed    an update heals        3       2         3        1       1 epoch
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
    assert!(told.ends_with("\n1 passed, 1 failed, 1 unusable in 3.2 s\n"), "{told}");
    assert_eq!(told.matches("RFC 9420").count(), 1, "{told}");
}

#[test]
fn a_terminal_has_colours_and_a_line_of_progress() {
    let told = on_a_terminal(Abilities { colours: true, live: true });
    assert!(told.contains("\x1b[32mpassed  \x1b[0m"), "{told}");
    assert!(told.contains("\x1b[31mFAILED  \x1b[0m"), "{told}");
    assert!(told.contains("\r\x1b[K1 of 3 done\r\x1b[K"), "{told}");
}

#[test]
fn run_without_a_thief_has_no_exposure_note() {
    let mut out = Vec::new();
    let mut terminal = Terminal::begin(&mut out, Abilities::default(), ["n"].into_iter()).unwrap();
    terminal.result(&ran("n.json", "n", Figures::default(), Vec::new())).unwrap();
    terminal.end(Duration::ZERO).unwrap();
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
                "authentication": { "attempts": 2, "accepted": 1, "acted_until": 0, "healed_after": null }
            }] },
            "failures": [], "transcript": "00ff"
        })
    );
    assert_eq!(failed["status"], "failed");
    assert_eq!(
        failed["failures"][0],
        serde_json::json!({
            "step": "2.1", "line": 4, "turn": 3, "expected": "bob cannot read m1", "seen": "bob has read m1",
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
    junit::write(&mut out, &results()).unwrap();
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="regrow" tests="3" failures="1" errors="1" time="3.000">
  <testsuite name="scenarios" tests="3" failures="1" errors="1" time="3.000">
    <testcase classname="s/heals.json" name="an update heals" file="s/heals.json" time="1.500"/>
    <testcase classname="s/fails.json" name="it fails" file="s/fails.json" time="1.500">
      <failure message="expected bob cannot read m1; seen bob has read m1">    s/fails.json:4: step 2.1, turn 3
      expected  bob cannot read m1
      seen      bob has read m1
      events    alice sent m1
                bob read m1
    s/fails.json: at the end
      expected  one epoch
      seen      &lt;two&gt; &amp; &quot;more&quot;  [31m
</failure>
    </testcase>
    <testcase classname="s/bad.json" name="s/bad.json" file="s/bad.json" time="0.000">
      <error message="3:5: steps[0].sned: unknown step">s/bad.json:3:5: steps[0].sned: unknown step
</error>
    </testcase>
  </testsuite>
</testsuites>
"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn no_text_breaks_the_xml() {
    let mut out = Vec::new();
    junit::write(&mut out, &[ran("a&b.json", "<\u{0}\"\n\u{ffff}>", Figures::default(), Vec::new())]).unwrap();
    let out = String::from_utf8(out).unwrap();
    let case =
        "<testcase classname=\"a&amp;b.json\" name=\"&lt;\u{fffd}&quot;&#10;\u{fffd}&gt;\" file=\"a&amp;b.json\"";
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
fn event_that_is_no_object_is_reported() {
    let mut transcript = Transcript::new("n", false);
    transcript.record(0, None, &"not an object");
    transcript.record(0, None, &Event::Sent { by: "a", bytes: 3 });
    assert!(transcript.finish().is_err());
}
