//! Membership traces: their figures on the command line, and their replay in scenarios.

use std::{fs, path::Path};

use regrow_simulator::{
    explore::shrink,
    scenario::{Action, Proposal, Scenario, Step, load, read, write},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{
    program::{regrow, text},
    run, run_with_seed,
};

fn stats(arguments: &[&str]) -> (String, String, Option<i32>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/traces");
    let output = regrow(&[&["trace", "stats"], arguments].concat(), &folder);
    (text(&output.stdout), text(&output.stderr), output.status.code())
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

/// A folder with a trace of these rows, and a scenario with these fields beside its name.
fn folder(rows: &str, fields: &Value) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("t.csv"), format!("time,event,member,by\n{rows}")).unwrap();
    let mut scenario = json!({ "regrow": 1, "name": "a replay", "trace": "t.csv" });
    scenario.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    fs::write(folder.path().join("s.json"), scenario.to_string()).unwrap();
    folder
}

#[track_caller]
fn scenario(rows: &str, fields: &Value) -> Scenario {
    load(&folder(rows, fields).path().join("s.json")).unwrap()
}

/// The problems of a scenario, as texts.
#[track_caller]
fn problems(rows: &str, fields: &Value) -> Vec<String> {
    let unusable = load(&folder(rows, fields).path().join("s.json")).unwrap_err();
    unusable.problems.iter().map(ToString::to_string).collect()
}

/// The steps in short: the kind, the author, and the other members.
fn steps(scenario: &Scenario) -> Vec<String> {
    let names = |who: &[regrow_simulator::scenario::MemberName]| {
        who.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let step = |step: Step| match step {
        Step::Do(Action::Create { by, with }) => format!("create {by}: {}", names(&with)),
        Step::Do(Action::Add { by, who }) => format!("add {by}: {}", names(&who)),
        Step::Do(Action::Remove { by, who }) => format!("remove {by}: {}", names(&who)),
        Step::Do(Action::Propose { by, what: Proposal::Add(who) }) => format!("propose {by}: + {}", names(&who)),
        Step::Do(Action::Propose { by, what: Proposal::Remove(who) }) => format!("propose {by}: - {}", names(&who)),
        Step::Do(Action::Update { by, .. }) => format!("update {by}"),
        Step::Do(Action::Send { by, id, .. }) => format!("send {by}: {id}"),
        Step::Do(Action::Wait(time)) => format!("wait {}", time.as_secs()),
        other => format!("{other:?}"),
    };
    scenario.expand().map(|placed| step(placed.item)).collect()
}

const ROWS: &str = "5,join,a,\n5,join,b,\n5,join,c,\n9,message,c,\n9,join,d,b\n20,leave,b,b\n30,join,e,x\n\
                    40,leave,c,a\n40,join,f,a\n40,join,b,a\n50,leave,d,e\n50,leave,f,e\n50,join,g,e\n";

#[test]
fn each_change_is_one_commit_of_its_author_or_of_the_last_active_member() {
    assert_eq!(
        steps(&scenario(ROWS, &json!({}))),
        [
            "wait 5",
            "create a: b c",
            "wait 4",
            "send c: trace message 1",
            "add b: d",
            "wait 11",
            "remove c: b",
            "wait 10",
            "add c: e",
            "wait 10",
            "propose a: - c",
            "add a: f b",
            "wait 10",
            "propose e: + g",
            "remove e: d f",
        ]
    );
}

#[test]
fn replay_passes_and_makes_one_epoch_for_each_change() {
    let after = json!({ "steps": [
        { "expect": { "epoch": 6, "members": ["a", "e", "b", "g"], "converged": true } },
        { "send": { "by": "b", "id": "m1" } },
        { "add": { "by": "b", "who": "zoe" } },
        { "expect": { "who": ["a", "e", "g"], "reads": "m1" } },
    ], "members": ["zoe", "a"] });
    run(&scenario(ROWS, &after)).assert_passed("a replay");
}

#[test]
fn messages_can_be_left_out() {
    let scenario = scenario(ROWS, &json!({ "trace": { "file": "t.csv", "messages": false } }));
    assert!(!steps(&scenario).iter().any(|step| step.starts_with("send")));
}

#[test]
fn updates_come_between_the_rows_of_a_trace() {
    let rows = "0,join,a,\n0,join,b,\n500000,message,a,\n500001,message,a,\n";
    let trace = |updates: Value| json!({ "trace": { "file": "t.csv", "updates": updates } });
    let every_day = scenario(rows, &trace(json!({ "every": "1d" })));
    let count = |steps: &[String], step: &str| steps.iter().filter(|known| *known == step).count();
    let of_every_day = steps(&every_day);
    assert!((5..=6).contains(&count(&of_every_day, "update a")), "{of_every_day:?}");
    let after_two = steps(&scenario(rows, &trace(json!({ "after_messages": 2 }))));
    assert_eq!(after_two[after_two.len() - 2..], ["send a: trace message 2", "update a"]);
    let run = run_with_seed(&every_day, 9);
    run.assert_passed("updates");
    assert_ne!(run.hash, run_with_seed(&every_day, 10).hash);
}

#[test]
fn churn_goes_on_after_a_trace() {
    let steps = json!({ "members": { "prefix": "n", "count": 9 }, "steps": [
        { "churn": { "for": "3d", "joins": "2/d", "stay": { "exponential": { "mean": "2d" } } } },
        { "expect": { "converged": true } },
    ] });
    let scenario = scenario(ROWS, &steps);
    assert!(self::steps(&scenario).contains(&"add e: n1".to_owned()) || scenario.expand().count() > 16);
    run(&scenario).assert_passed("a churn after a trace");
}

#[test]
fn unusable_trace_makes_the_scenario_unusable() {
    for (rows, trace, told) in [
        ("0,join,a,\n3,leave,b,\n", "t.csv", "t.csv:3: `b` leaves, but is not a member"),
        ("0,join,a,\n3,leave,a,\n", "t.csv", "t.csv:3: the change that begins here removes all members"),
        ("0,join,\u{ff41}da,\n", "t.csv", "da` is not the name of a user"),
        ("", "t.csv", "t.csv: the trace has no rows"),
        ("0,join,a,\n", "no.csv", "no.csv: the file cannot be read"),
        ("0,join,a,\n", "../t.csv", "give a relative path without `..`"),
        ("0,join,a,\n", "/etc/passwd", "give a relative path without `..`"),
    ] {
        let problems = problems(rows, &json!({ "trace": trace, "steps": [{ "send": { "by": "b", "id": "m" } }] }));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(": trace: ") && problems[0].contains(told), "{problems:?}");
    }
    let create = json!({ "steps": [{ "create": { "by": "a" } }] });
    assert!(problems("0,join,a,\n", &create)[0].contains("there is a group already"));
    let unknown = json!({ "steps": [{ "update": { "by": "b" } }] });
    assert!(problems("0,join,a,\n", &unknown)[0].contains("no member is called `b`"));
    let text = r#"{ "regrow": 1, "name": "n", "trace": "t.csv" }"#;
    assert!(read(text).unwrap_err()[0].problem.contains("load this scenario from a file"));
}

#[test]
fn written_scenario_has_its_trace() {
    for fields in [
        json!({}),
        json!({ "members": ["zoe", "a"] }),
        json!({ "trace": { "file": "t.csv", "messages": false, "updates": { "daily_fraction": 0.5 } } }),
        json!({ "steps": [{ "wait": "1s" }] }),
    ] {
        let folder = folder(ROWS, &fields);
        let scenario = load(&folder.path().join("s.json")).unwrap();
        let written = write(&scenario);
        fs::write(folder.path().join("again.json"), &written).unwrap();
        let again = load(&folder.path().join("again.json")).unwrap();
        assert_eq!(write(&again), written);
        assert_eq!(
            again.expand().map(|step| step.item).collect::<Vec<_>>(),
            scenario.expand().map(|step| step.item).collect::<Vec<_>>()
        );
    }
}

#[test]
fn shrinker_keeps_the_trace_and_removes_the_steps() {
    let steps =
        json!({ "steps": [{ "wait": "1h" }, { "send": { "by": "a", "id": "m1" } }, { "update": { "by": "b" } }] });
    let scenario = scenario(ROWS, &steps);
    let sends = |scenario: &Scenario| self::steps(scenario).contains(&"send a: m1".to_owned());
    let shrunk = shrink(&scenario, 100, |_| true, sends).scenario;
    assert_eq!((shrunk.steps.len(), shrunk.trace.is_some()), (1, true), "{}", write(&shrunk));
}
