//! Backups of devices, and devices that are restored from them.

use regrow_simulator::{
    report::RunOptions,
    scenario::{Scenario, TheftScope, read},
    world::matrix,
};
use serde_json::{Value, json};

use crate::common::{Run, run, run_on_threads, scenario_with};

const MEMBERS: [&str; 5] = ["alice/phone", "alice/new", "alice/third", "bob", "carol"];

fn create() -> Value {
    json!({ "create": { "by": "bob", "with": ["alice/phone", "carol"] } })
}

fn work() -> Value {
    json!({ "create": { "by": "alice/phone", "with": "bob", "group": "work" } })
}

fn backup(who: &str, id: &str) -> Value {
    json!({ "backup": { "who": who, "id": id } })
}

fn restore(who: &str, from: &str) -> Value {
    json!({ "restore": { "who": who, "from": from } })
}

fn send(by: &str, id: &str) -> Value {
    json!({ "send": { "by": by, "id": id } })
}

fn members(who: &[&str]) -> Value {
    json!({ "expect": { "members": who, "converged": true } })
}

fn fails(code: &str) -> Value {
    json!({ "expect": { "fails": code } })
}

fn of(steps: &[Value]) -> Scenario {
    scenario_with(json!({ "publish_group_info": true }), &MEMBERS, steps)
}

#[track_caller]
fn passes(steps: &[Value]) -> Run {
    let run = run(&of(steps));
    run.assert_passed("the scenario");
    run
}

#[track_caller]
fn assert_step_fails(steps: &[Value], code: &str, detail: &str) {
    let run = run(&of(steps));
    let [failure] = run.outcome.failures.as_slice() else { panic!("{:?}", run.outcome.failures) };
    assert_eq!((failure.expected.as_str(), failure.code.map(|code| code.as_str())), ("the step succeeds", Some(code)));
    assert_eq!(failure.seen, format!("it failed with `{code}`: {detail}"));
}

/// The problem of a scenario whose steps are these.
#[track_caller]
fn problem(steps: &[Value]) -> (String, String) {
    let text = json!({ "regrow": 1, "name": "n", "members": MEMBERS, "steps": steps }).to_string();
    let problems = read(&text).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    (problem.field.clone(), problem.problem.clone())
}

#[test]
fn restored_device_takes_the_place_of_the_lost_one_in_all_groups() {
    let run = passes(&[
        create(),
        work(),
        send("bob", "before"),
        backup("alice/phone", "monday"),
        json!({ "offline": { "who": ["alice/phone", "carol"] } }),
        send("bob", "missed"),
        restore("alice/new", "monday"),
        json!({ "expect": { "epoch": 3, "members": ["alice/new", "bob", "carol"] } }),
        json!({ "expect": { "group": "work", "epoch": 3, "members": ["alice/new", "bob"], "converged": true } }),
        send("bob", "after"),
        json!({ "online": { "who": ["alice/phone", "carol"] } }),
        members(&["alice/new", "bob", "carol"]),
        json!({ "expect": { "who": "alice/new", "exactly": "after" } }),
        json!({ "expect": { "who": "alice/phone", "exactly": ["before", "missed"] } }),
    ]);
    let restored: Vec<_> = run.events("restored").map(|event| (&event["who"], &event["groups"])).collect();
    assert_eq!(restored, [(&json!("alice/new"), &json!(2))]);
    assert_eq!(run.count("backed_up"), 1);
}

#[test]
fn restored_device_is_stolen_at_any_time_and_oracle_and_tape_agree() {
    let steps = [
        create(),
        work(),
        send("bob", "m1"),
        backup("alice/phone", "monday"),
        send("bob", "m2"),
        restore("alice/new", "monday"),
        send("bob", "m3"),
        json!({ "update": { "by": "alice/new" } }),
        send("carol", "m4"),
        json!({ "remove": { "by": "bob", "who": "alice/new" } }),
        send("carol", "m5"),
    ];
    let matrix = matrix::of(&of(&steps), &RunOptions::default()).unwrap_or_else(|outcome| panic!("{outcome:?}"));
    let rows = matrix.groups[0].rows.iter().filter(|row| row.member.as_str() == "alice/new");
    let exposed: Vec<String> =
        rows.map(|row| row.cells.iter().map(|cell| if cell.exposed { 'x' } else { '.' }).collect()).collect();
    // After the restore, and after the message that the device has read.
    assert_eq!(exposed[5..8], ["..x..", ".....", "...x."]);
    assert!(exposed.iter().all(|row| row.starts_with("..") && row.ends_with('.')), "{exposed:?}");
}

#[test]
fn key_packages_from_before_the_restore_are_withdrawn() {
    passes(&[
        json!({ "create": { "by": "carol", "with": "bob" } }),
        work(),
        backup("alice/phone", "monday"),
        json!({ "propose": { "by": "carol", "add": "alice/new" } }),
        restore("alice/new", "monday"),
        json!({ "commit": { "by": "bob" } }),
        fails("rejected"),
        json!({ "add": { "by": "bob", "who": "alice/new" } }),
        members(&["alice/new", "bob", "carol"]),
    ]);
}

/// The oracle knows that the device has erased the keys of its earlier life.
#[test]
fn welcome_for_a_key_package_from_before_the_restore_opens_for_nobody() {
    let run = passes(&[
        json!({ "create": { "by": "carol", "with": "bob" } }),
        work(),
        backup("alice/phone", "monday"),
        json!({ "service": { "disk_full": true } }),
        restore("alice/new", "monday"),
        fails("unavailable"),
        json!({ "compromise": { "who": "alice/new", "id": "thief" } }),
        json!({ "offline": { "who": "alice/new" } }),
        json!({ "service": { "disk_full": false } }),
        json!({ "add": { "by": "bob", "who": "alice/new" } }),
        json!({ "online": { "who": "alice/new" } }),
        send("bob", "m1"),
        json!({ "expect": { "who": "alice/new", "exactly": [] } }),
        json!({ "expect": { "compromise": "thief", "cannot_read": "m1" } }),
        json!({ "rejoin": { "who": "alice/new" } }),
        fails("already_a_member"),
        json!({ "remove": { "by": "bob", "who": "alice/new" } }),
        json!({ "add": { "by": "bob", "who": "alice/new" } }),
        send("bob", "m2"),
        json!({ "expect": { "who": "alice/new", "exactly": "m2" } }),
        members(&["alice/new", "bob", "carol"]),
    ]);
    assert!(run.events("delivered").any(|event| event["to"] == "alice/new" && event["kind"] == "welcome"));
}

#[test]
fn backup_is_older_than_many_epochs_and_newcomers() {
    passes(&[
        json!({ "create": { "by": "bob", "with": "alice/phone" } }),
        backup("alice/phone", "old"),
        json!({ "repeat": { "times": 5, "steps": [{ "update": { "by": "bob" } }] } }),
        json!({ "add": { "by": "alice/phone", "who": "carol" } }),
        json!({ "update": { "by": "alice/phone", "signature_key": true } }),
        json!({ "wait": "60d" }),
        restore("alice/new", "old"),
        members(&["alice/new", "bob", "carol"]),
    ]);
}

#[test]
fn group_that_the_lost_device_joined_after_the_backup_stays_without_the_new_one() {
    passes(&[
        create(),
        backup("alice/phone", "monday"),
        work(),
        restore("alice/new", "monday"),
        members(&["alice/new", "bob", "carol"]),
        json!({ "expect": { "group": "work", "members": ["alice/phone", "bob"], "converged": true } }),
    ]);
}

#[test]
fn backup_of_a_restored_device_is_restored_to_the_next_one() {
    passes(&[
        create(),
        backup("alice/phone", "one"),
        restore("alice/new", "one"),
        backup("alice/new", "two"),
        restore("alice/third", "two"),
        members(&["alice/third", "bob", "carol"]),
        send("bob", "m1"),
        json!({ "expect": { "who": "alice/third", "exactly": "m1" } }),
    ]);
}

#[test]
fn device_that_is_in_no_group_has_an_empty_backup() {
    passes(&[
        backup("alice/phone", "empty"),
        restore("alice/new", "empty"),
        create(),
        json!({ "add": { "by": "bob", "who": "alice/new" } }),
        members(&["alice/phone", "alice/new", "bob", "carol"]),
    ]);
}

#[test]
fn backup_needs_no_connection_and_a_restore_does() {
    passes(&[
        create(),
        json!({ "offline": { "who": ["alice/phone", "alice/new"] } }),
        backup("alice/phone", "monday"),
        restore("alice/new", "monday"),
        fails("offline"),
        json!({ "online": { "who": "alice/new" } }),
        json!({ "network": { "partition": [["bob"], ["alice/new"]] } }),
        restore("alice/new", "monday"),
        fails("offline"),
        json!({ "network": { "heal": true, "loss": 0.5, "latency_ms": 300, "duplicate": 0.3 } }),
        restore("alice/new", "monday"),
        json!({ "network": { "heal": true } }),
        members(&["alice/new", "bob", "carol"]),
    ]);
}

#[test]
fn locked_device_makes_no_backup_and_is_not_restored() {
    passes(&[
        create(),
        json!({ "lock": { "who": ["alice/phone", "alice/new"] } }),
        backup("alice/phone", "monday"),
        fails("locked"),
        json!({ "unlock": { "who": "alice/phone" } }),
        backup("alice/phone", "tuesday"),
        restore("alice/new", "tuesday"),
        fails("locked"),
        json!({ "unlock": { "who": "alice/new" } }),
        restore("alice/new", "tuesday"),
        members(&["alice/new", "bob", "carol"]),
        json!({ "compromise": { "who": "alice/new", "id": "files", "scope": "disk" } }),
        send("bob", "m1"),
        json!({ "expect": { "compromise": "files", "exactly": [], "healed": true } }),
        json!({ "lock": { "who": "alice/new" } }),
        json!({ "unlock": { "who": "alice/new" } }),
        json!({ "expect": { "who": "alice/new", "exactly": "m1" } }),
    ]);
    let could_not = [create(), json!({ "lock": { "who": "alice/phone" } }), backup("alice/phone", "monday")];
    let steps = [&could_not[..], &[fails("locked"), restore("alice/new", "monday")]].concat();
    assert_step_fails(&steps, "rejected", "the backup monday could not be made");
}

#[test]
fn restore_goes_through_each_crash() {
    for at in ["before_submit", "after_submit", "before_confirm", "during_write"] {
        let run = passes(&[
            create(),
            work(),
            backup("alice/phone", "monday"),
            json!({ "crash": { "who": "alice/new", "at": at } }),
            restore("alice/new", "monday"),
            members(&["alice/new", "bob", "carol"]),
            json!({ "expect": { "group": "work", "members": ["alice/new", "bob"], "converged": true } }),
        ]);
        assert_eq!(run.count("crashed"), 1, "{at}");
    }
}

#[test]
fn restored_device_may_lose_races_of_others() {
    passes(&[
        create(),
        backup("alice/phone", "monday"),
        json!({ "hold": { "id": "late", "for": "alice/new" } }),
        restore("alice/new", "monday"),
        json!({ "update": { "by": "bob", "id": "late" } }),
        send("bob", "m1"),
        json!({ "release": { "id": "late" } }),
        members(&["alice/new", "bob", "carol"]),
        json!({ "expect": { "who": "alice/new", "exactly": "m1" } }),
        json!({ "race": [{ "update": { "by": "bob" } }, { "update": { "by": "alice/new" } }] }),
        members(&["alice/new", "bob", "carol"]),
    ]);
}

#[test]
fn devices_that_cannot_be_restored_say_why() {
    let begin = [create(), backup("alice/phone", "monday")];
    let after = |steps: &[Value]| [&begin[..], steps, &[restore("alice/new", "monday")]].concat();
    assert_step_fails(
        &after(&[restore("alice/new", "monday")]),
        "already_a_member",
        "alice/new is in a group; restore the backup to a device that has been in none",
    );
    assert_step_fails(
        &after(&[
            json!({ "add": { "by": "bob", "who": "alice/new" } }),
            json!({ "remove": { "by": "bob", "who": "alice/new" } }),
        ]),
        "rejected",
        "alice/new was in a group before; restore the backup to a device that has been in none",
    );
    assert_step_fails(
        &after(&[json!({ "remove": { "by": "bob", "who": "alice/phone" } })]),
        "removed",
        "since the backup, alice was removed with all devices",
    );
    assert_step_fails(
        &after(&[json!({ "lost_device": { "by": "bob", "who": "alice/new" } })]),
        "removed",
        "alice/new was lost, and the delivery service has removed it",
    );
    let lost = [create(), json!({ "lost_device": { "by": "bob", "who": "alice/phone" } }), backup("alice/phone", "x")];
    assert_step_fails(&lost, "removed", "alice/phone was lost, and makes no backup");
}

/// The last backup names all devices that its device replaces, also those that never came into the
/// group.
#[test]
fn device_that_a_backup_replaces_cannot_be_restored_from_it() {
    let interrupted = [
        create(),
        backup("alice/phone", "one"),
        json!({ "service": { "disk_full": true } }),
        restore("alice/new", "one"),
        fails("unavailable"),
        backup("alice/new", "two"),
        restore("alice/third", "two"),
        fails("unavailable"),
        backup("alice/third", "three"),
        json!({ "service": { "disk_full": false } }),
    ];
    let again = [&interrupted[..], &[restore("alice/new", "three")]].concat();
    let detail = "alice/new cannot replace alice/third: it must belong to the same user and have another name";
    assert_step_fails(&again, "rejected", detail);
    // The refused device has kept its state.
    let goes_on =
        [fails("rejected"), json!({ "join": { "who": "alice/new" } }), members(&["alice/new", "bob", "carol"])];
    passes(&[&again[..], &goes_on].concat());
}

#[test]
fn restored_device_enters_although_one_group_is_closed() {
    passes(&[
        create(),
        work(),
        backup("alice/phone", "monday"),
        json!({ "remove": { "by": "bob", "who": "alice/phone" } }),
        restore("alice/new", "monday"),
        fails("removed"),
        json!({ "expect": { "members": ["bob", "carol"] } }),
        json!({ "expect": { "group": "work", "members": ["alice/new", "bob"], "converged": true } }),
        json!({ "add": { "by": "carol", "who": "alice/new" } }),
        members(&["alice/new", "bob", "carol"]),
    ]);
}

#[test]
fn application_that_refuses_a_member_keeps_its_device_out() {
    let answer = |answer: &str| json!({ "authenticate": { "who": "alice/new", "of": "carol", "answer": answer } });
    passes(&[
        create(),
        work(),
        backup("alice/phone", "monday"),
        answer("refuse"),
        restore("alice/new", "monday"),
        fails("refused"),
        json!({ "expect": { "members": ["alice/phone", "bob", "carol"] } }),
        json!({ "expect": { "group": "work", "members": ["alice/new", "bob"] } }),
        answer("accept"),
        json!({ "join": { "who": "alice/new" } }),
        members(&["alice/new", "bob", "carol"]),
    ]);
}

/// The thief of a backup has its whole content, and the thief of the device its keys.
#[test]
fn thief_of_a_backup_reads_nothing_and_cannot_act() {
    let theft = |scope: &str| json!({ "compromise": { "who": "alice/phone", "id": scope, "scope": scope } });
    let run = passes(&[
        create(),
        backup("alice/phone", "monday"),
        json!({ "lock": { "who": "alice/phone" } }),
        theft("backup"),
        json!({ "unlock": { "who": "alice/phone" } }),
        theft("device"),
        send("bob", "m1"),
        json!({ "expect": { "compromise": "device", "exactly": "m1", "healed": false } }),
        json!({ "expect": { "compromise": "backup", "exactly": [], "healed": true } }),
        json!({ "impersonate": { "compromise": "backup", "action": "send" } }),
        json!({ "impersonate": { "compromise": "backup", "action": "rejoin" } }),
        json!({ "expect": { "compromise": "backup", "accepted": false } }),
    ]);
    let scopes: Vec<_> = run.outcome.figures.compromises.iter().map(|thief| thief.scope).collect();
    assert_eq!(scopes, [TheftScope::Backup, TheftScope::Device]);
}

#[test]
fn backup_is_stolen_after_it_was_made() {
    let theft = json!({ "compromise": { "who": "alice/phone", "id": "t", "scope": "backup" } });
    let steps = [create(), backup("bob", "b"), theft, backup("alice/phone", "monday")];
    let told = "until here `alice/phone` has made no backup: `backup` comes first".to_owned();
    assert_eq!(problem(&steps), ("steps[2].compromise.scope".to_owned(), told));
}

#[test]
fn wrong_names_and_orders_are_errors_with_a_place() {
    let told = |field: &str, problem: &str| (field.to_owned(), problem.to_owned());
    assert_eq!(
        problem(&[create(), backup("alice/phone", "monday"), restore("alice/new", "munday")]),
        told("steps[2].restore.from", "no backup is called `munday`; did you mean `monday`?")
    );
    assert_eq!(
        problem(&[create(), restore("alice/new", "monday"), backup("alice/phone", "monday")]),
        told("steps[1].restore.from", "`monday` is made later, in step 3 (line 1)")
    );
    assert_eq!(
        problem(&[create(), backup("alice/phone", "monday"), restore("alice/phone", "monday")]),
        told("steps[2].restore.who", "`alice/phone` made this backup itself; name another device of the user `alice`")
    );
    assert_eq!(
        problem(&[create(), backup("alice/phone", "monday"), restore("bob", "monday")]),
        told("steps[2].restore.who", "`bob` is no device of the user `alice`, whose backup this is; name another one")
    );
    assert_eq!(
        problem(&[create(), backup("alice/phone", "monday"), backup("bob", "monday")]),
        told("steps[2].backup.id", "`monday` is the id of step 2 (line 1) already")
    );
    assert_eq!(
        problem(&[create(), backup("alice/fone", "monday")]),
        told("steps[1].backup.who", "no member is called `alice/fone`; did you mean `alice/phone`?")
    );
    let repeated = json!({ "repeat": { "times": 2, "steps": [backup("alice/phone", "b")] } });
    let (_, problem) = problem(&[create(), repeated]);
    assert!(problem.contains("put `{i}` into it"), "{problem}");
}

#[test]
fn backups_can_have_the_number_of_a_turn() {
    let again = json!({ "repeat": { "times": 2, "steps": [backup("alice/phone", "b{i}")] } });
    passes(&[create(), again, restore("alice/new", "b2"), members(&["alice/new", "bob", "carol"])]);
}

/// Another step of another device changes no byte of a restore.
#[test]
fn bytes_of_a_backup_follow_from_the_seed() {
    let steps = |more: &[Value]| [&[create()], more, &[backup("alice/phone", "monday")]].concat();
    let made = |run: &Run| run.events("backed_up").next().unwrap()["sha256"].clone();
    let first = run(&of(&steps(&[])));
    assert_eq!(made(&first), made(&run_on_threads(3, &of(&steps(&[send("bob", "m1")])))));
    let twice = passes(&[create(), backup("alice/phone", "one"), backup("alice/phone", "two")]);
    let hashes: Vec<_> = twice.events("backed_up").map(|event| &event["sha256"]).collect();
    assert_ne!(hashes[0], hashes[1]);
}
