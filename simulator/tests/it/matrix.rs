//! The matrix of a real run: every member's device is stolen after every step.

use crate::common::{published, run, scenario, scenario_with, stem};
use regrow_simulator::{
    report::{Matrix, RunOptions, matrix::GroupMatrix},
    world::matrix,
};
use serde_json::{Value, json};

fn create() -> Value {
    json!({ "create": { "by": "alice", "with": "bob" } })
}

fn send(by: &str, id: &str) -> Value {
    json!({ "send": { "by": by, "id": id } })
}

#[track_caller]
fn matrix_of(group: Value, members: &[&str], steps: &[Value]) -> Matrix {
    matrix::of(&scenario_with(group, members, steps), &RunOptions::default())
        .unwrap_or_else(|outcome| panic!("{outcome:?}"))
}

#[track_caller]
fn only_group(matrix: &Matrix) -> &GroupMatrix {
    let [group] = matrix.groups.as_slice() else { panic!("{} groups", matrix.groups.len()) };
    group
}

/// A member's rows as text. `x` is exposed, `.` is not exposed, and a space is a message of an
/// epoch in which the device was not a member. The line is the time of the theft.
fn rows(group: &GroupMatrix, member: &str) -> Vec<String> {
    let rows = group.rows.iter().filter(|row| row.member.as_str() == member);
    let rows = rows.map(|row| {
        let before = group.columns.iter().take_while(|column| column.step <= row.after_step).count();
        let mut cells: Vec<_> = row
            .cells
            .iter()
            .map(|cell| match (cell.exposed, cell.member) {
                (true, _) => 'x',
                (false, true) => '.',
                (false, false) => ' ',
            })
            .collect();
        cells.insert(before, '|');
        cells.into_iter().collect()
    });
    rows.collect()
}

#[test]
fn a_thief_reads_from_the_theft_until_the_victim_updates() {
    let matrix = matrix_of(
        json!({}),
        &["alice", "bob"],
        &[
            create(),
            send("alice", "m1"),
            send("alice", "m2"),
            json!({ "update": { "by": "bob" } }),
            send("alice", "m3"),
        ],
    );
    assert_eq!(rows(only_group(&matrix), "bob"), ["|xx.", ".|x.", "..|.", "..|x", "...|"]);
    let healed: Vec<_> = only_group(&matrix).rows[5..].iter().map(|row| row.healed_after).collect();
    assert_eq!(healed, [Some(1), Some(1), Some(1), None, None]);
    let epochs: Vec<_> = only_group(&matrix).rows[5..].iter().map(|row| row.epoch).collect();
    assert_eq!(epochs, [Some(1), Some(1), Some(1), Some(2), Some(2)]);
}

#[test]
fn undelivered_messages_are_the_window_of_forward_secrecy() {
    let matrix = matrix_of(
        json!({}),
        &["alice", "bob"],
        &[
            create(),
            json!({ "hold": { "id": "m1", "for": "bob" } }),
            send("alice", "m1"),
            json!({ "release": { "id": "m1" } }),
        ],
    );
    assert_eq!(rows(only_group(&matrix), "bob"), ["|x", "|x", "x|", ".|"]);
    let windows: Vec<_> = only_group(&matrix).rows[4..].iter().map(|row| only_group(&matrix).fs_window(row)).collect();
    assert_eq!(windows, [0, 0, 1, 0]);
}

#[test]
fn added_and_removed_members_are_outside_of_other_epochs() {
    let matrix = matrix_of(
        json!({}),
        &["alice", "bob", "carol"],
        &[
            create(),
            send("alice", "m1"),
            json!({ "add": { "by": "alice", "who": "carol" } }),
            send("alice", "m2"),
            json!({ "remove": { "by": "alice", "who": "bob" } }),
            send("alice", "m3"),
        ],
    );
    assert_eq!(rows(only_group(&matrix), "bob"), ["|xx ", ".|x ", ".|x ", "..| ", "..| ", ".. |"]);
    // Carol's key package was stolen before her invitation with it.
    assert_eq!(rows(only_group(&matrix), "carol"), ["| xx", " |xx", " |xx", " .|x", " .|x", " ..|"]);
    let carol: Vec<_> = only_group(&matrix).rows[12..].iter().map(|row| row.epoch).collect();
    assert_eq!(carol, [None, None, Some(2), Some(2), Some(3), Some(3)]);
}

#[test]
fn steps_and_messages_have_their_places() {
    let matrix = matrix_of(
        json!({}),
        &["alice", "bob"],
        &[
            create(),
            json!({ "repeat": { "times": 2, "steps": [{ "update": { "by": "bob" } }, send("alice", "m{i}")] } }),
            json!({ "expect": { "epoch": 3 } }),
            json!({ "race": [send("alice", "m3"), send("bob", "m4")] }),
        ],
    );
    let steps = matrix.steps.iter().map(|step| (step.what.as_str(), &*step.place.number, step.place.turn));
    let expected = [
        ("create alice", "1", None),
        ("update bob", "2.1", Some(1)),
        ("send m1", "2.2", Some(1)),
        ("update bob", "2.1", Some(2)),
        ("send m2", "2.2", Some(2)),
        ("race", "4", None),
    ];
    assert_eq!(steps.collect::<Vec<_>>(), expected);
    let mut columns: Vec<_> =
        only_group(&matrix).columns.iter().map(|c| (c.message.as_str(), c.sender.as_str(), c.epoch, c.step)).collect();
    columns.sort_unstable();
    let expected = [("m1", "alice", 2, 2), ("m2", "alice", 3, 4), ("m3", "alice", 3, 5), ("m4", "bob", 3, 5)];
    assert_eq!(columns, expected);
}

#[test]
fn matrix_agrees_with_the_thieves_of_the_scenario() {
    for (path, scenario) in published("") {
        let what = stem(&path);
        if !["update_heals", "skipped_key_is_exposed", "past_epochs_window", "removal_heals"].contains(&what.as_str()) {
            continue;
        }
        let matrix = matrix::of(&scenario, &RunOptions::default()).unwrap();
        let figures = run(&scenario).outcome.figures;
        let thefts = (0..matrix.steps.len()).filter(|step| matrix.steps[*step].what.starts_with("compromise "));
        for (thief, after_step) in figures.compromises.iter().zip(thefts) {
            let group = only_group(&matrix);
            let row = group.rows.iter().find(|row| row.member == thief.who && row.after_step == after_step).unwrap();
            let seen = (group.fs_window(row) as u64, group.exposed_after(row) as u64, row.healed_after);
            assert_eq!(seen, (thief.exposed_before, thief.exposed_after, thief.healed_after), "{what}: {}", thief.id);
        }
        assert!(!figures.compromises.is_empty());
    }
}

#[test]
fn seed_decides_the_matrix_and_is_reported() {
    let scenario = scenario(&["alice", "bob"], &[create(), send("alice", "m1"), json!({ "update": { "by": "bob" } })]);
    let of = |seed| matrix::of(&scenario, &RunOptions { seed, ..RunOptions::default() }).unwrap();
    assert_eq!(of(None), of(None));
    assert_eq!((of(None).seed, of(Some(9)).seed), (0, 9));
}

#[test]
fn failed_run_has_no_matrix() {
    let steps = [create(), json!({ "expect": { "epoch": 5 } })];
    let outcome = matrix::of(&scenario(&["alice", "bob"], &steps), &RunOptions::default()).unwrap_err();
    assert_eq!(outcome.failures[0].expected, "the group is in epoch 5");
}

#[test]
fn a_matrix_that_would_fill_the_memory_is_refused() {
    let wait = json!({ "repeat": { "times": 10_001, "steps": [{ "wait": "1s" }] } });
    let outcome = matrix::of(&scenario(&["alice", "bob"], &[wait]), &RunOptions::default()).unwrap_err();
    assert_eq!(outcome.failures[0].seen, "there would be 20002");
}

/// Bob's phone is in two groups, and only the team heals.
#[test]
fn each_group_has_its_own_rows_messages_and_healing() {
    let in_group = |by: &str, id: &str, group: &str| json!({ "send": { "by": by, "id": id, "group": group } });
    let matrix = matrix_of(
        json!({}),
        &["alice", "bob", "carol"],
        &[
            json!({ "create": { "by": "alice", "with": "bob", "group": "team" } }),
            json!({ "create": { "by": "bob", "with": "carol", "group": "family" } }),
            in_group("bob", "f1", "family"),
            json!({ "update": { "by": "bob", "group": "team" } }),
            in_group("alice", "t1", "team"),
            in_group("carol", "f2", "family"),
        ],
    );
    let names: Vec<_> = matrix.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["family", "team"]);
    let [family, team] = matrix.groups.as_slice() else { panic!() };
    assert_eq!(rows(family, "carol"), ["|xx", "|xx", ".|x", ".|x", ".|x", "..|"]);
    assert_eq!(rows(team, "bob"), ["|.", "|.", "|.", "|x", ".|", ".|"]);
    // A member of one group has no rows in the other one.
    assert_eq!(rows(team, "carol").len() + rows(family, "alice").len(), 0);
    let of_bob = |group: &GroupMatrix| {
        let rows = group.rows.iter().filter(|row| row.member.as_str() == "bob");
        rows.map(|row| (row.epoch, row.healed_after)).collect::<Vec<_>>()
    };
    let unhealed = (Some(1), None);
    assert_eq!(of_bob(family)[1..], [unhealed; 5]);
    let (heals, healed) = ((Some(1), Some(1)), (Some(2), None));
    assert_eq!(of_bob(team), [heals, heals, heals, healed, healed, healed]);
    let steps: Vec<_> = matrix.steps.iter().map(|step| step.group.as_ref().map(|group| group.as_str())).collect();
    assert_eq!(steps[..2], [Some("team"), Some("family")]);
}

#[test]
fn a_scenario_without_a_group_has_rows_without_messages() {
    let matrix = matrix_of(json!({}), &["alice", "bob"], &[json!({ "wait": "1s" })]);
    assert_eq!(rows(only_group(&matrix), "bob"), ["|"]);
    assert_eq!(only_group(&matrix).rows[1].healed_after, Some(0));
}
