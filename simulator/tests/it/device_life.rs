//! Locks of devices, safety numbers, group data, and answers of applications about keys.

use regrow_simulator::{
    report::{RunOptions, Transcript},
    scenario::{Scenario, TheftScope},
    world,
};
use serde_json::{Value, json};

use crate::common::{Run, run, run_on_threads, scenario};

const MEMBERS: [&str; 3] = ["alice", "bob", "carol"];

fn create() -> Value {
    json!({ "create": { "by": "alice", "with": "others" } })
}

fn send(by: &str, id: &str) -> Value {
    json!({ "send": { "by": by, "id": id } })
}

fn fails(code: &str) -> Value {
    json!({ "expect": { "fails": code } })
}

fn answer(who: &str, of: &str, answer: &str) -> Value {
    json!({ "authenticate": { "who": who, "of": of, "answer": answer } })
}

fn of(steps: &[Value]) -> Scenario {
    scenario(&MEMBERS, steps)
}

#[track_caller]
fn passes(steps: &[Value]) -> Run {
    let run = run(&of(steps));
    run.assert_passed("the scenario");
    run
}

#[track_caller]
fn assert_fails(steps: &[Value], expected: &str, seen: &str) {
    let run = run(&of(steps));
    let told: Vec<_> = run.outcome.failures.iter().map(|it| (it.expected.as_str(), it.seen.as_str())).collect();
    assert_eq!(told, [(expected, seen)]);
}

#[test]
fn locked_device_does_nothing_until_it_is_unlocked() {
    let run = passes(&[
        create(),
        json!({ "lock": { "who": ["bob", "carol"] } }),
        json!({ "lock": { "who": "bob" } }),
        send("bob", "b1"),
        fails("locked"),
        json!({ "update": { "by": "bob" } }),
        fails("locked"),
        json!({ "verify": { "by": "alice", "who": "bob" } }),
        fails("locked"),
        send("alice", "m1"),
        json!({ "update": { "by": "alice" } }),
        send("alice", "m2"),
        json!({ "expect": { "who": ["bob", "carol"], "exactly": [] } }),
        json!({ "unlock": { "who": "everybody", "wrong_key": true } }),
        fails("wrong_key"),
        json!({ "unlock": { "who": "bob" } }),
        json!({ "expect": { "who": "bob", "exactly": ["m1", "m2"] } }),
        json!({ "expect": { "who": "carol", "exactly": [] } }),
        json!({ "unlock": { "who": "everybody" } }),
        json!({ "expect": { "who": "carol", "exactly": ["m1", "m2"], "converged": true } }),
    ]);
    let locks: Vec<_> = run.events("locked").map(|event| (&event["who"], &event["idle"])).collect();
    assert_eq!(locks, [(&json!("bob"), &json!(false)), (&json!("carol"), &json!(false))]);
    assert_eq!(run.count("unlocked"), 2);
}

#[test]
fn thief_of_a_locked_device_gets_only_its_files() {
    let steps = |before: &[Value]| {
        let mut steps = vec![create(), json!({ "lock": { "who": "carol" } })];
        steps.extend_from_slice(before);
        steps.extend([
            json!({ "compromise": { "who": "bob", "id": "stolen" } }),
            json!({ "unlock": { "who": "bob" } }),
            send("alice", "m1"),
            json!({ "unlock": { "who": "carol" } }),
            json!({ "impersonate": { "compromise": "stolen", "action": "commit" } }),
        ]);
        steps
    };
    let locked = passes(&steps(&[json!({ "lock": { "who": "bob" } })]));
    let thief = locked.thief();
    assert_eq!((thief.scope, thief.exposed_after, thief.healed_after), (TheftScope::Disk, 0, Some(0)));
    let open = run(&of(&steps(&[])));
    assert_eq!((open.thief().scope, open.thief().exposed_after), (TheftScope::Device, 1));
}

#[test]
fn locks_make_no_difference_to_the_rest_of_the_run() {
    let rest = |locks: bool| {
        let mut steps = vec![create(), send("bob", "m1")];
        if locks {
            steps.extend([json!({ "lock": { "who": "bob" } }), json!({ "unlock": { "who": "bob" } })]);
        }
        steps.extend([json!({ "update": { "by": "bob" } }), send("alice", "m2")]);
        let events = passes(&steps)
            .events
            .into_iter()
            .filter(|event| !["locked", "unlocked"].contains(&event["event"].as_str().unwrap()));
        let without_step = events.map(|mut event| {
            event.as_object_mut().unwrap().remove("step");
            event
        });
        without_step.collect::<Vec<_>>()
    };
    assert_eq!(rest(true), rest(false));
}

#[test]
fn idle_device_locks_itself_by_its_own_clock() {
    let steps = [
        create(),
        json!({ "clock": { "who": "bob", "rate": 2 } }),
        json!({ "wait": "5m" }),
        send("bob", "m1"),
        fails("locked"),
        send("carol", "m2"),
        json!({ "wait": "6m" }),
        send("carol", "m3"),
        json!({ "expect": { "who": "alice", "exactly": ["m2", "m3"] } }),
        json!({ "expect": { "who": "bob", "exactly": [] } }),
        json!({ "unlock": { "who": "bob" } }),
        send("bob", "m4"),
    ];
    let text = json!({
        "regrow": 1, "name": "n", "members": MEMBERS, "steps": steps, "group": { "lock_after": "10m" },
    });
    run(&regrow_simulator::scenario::read(&text.to_string()).unwrap()).assert_passed("bob's clock is fast");
}

#[test]
fn scenarios_with_locks_are_reproducible_and_have_a_matrix() {
    let scenario = of(&[
        create(),
        json!({ "lock": { "who": "bob" } }),
        send("alice", "m1"),
        json!({ "unlock": { "who": "bob" } }),
        json!({ "update": { "by": "bob" } }),
        send("alice", "m2"),
    ]);
    assert_eq!(run_on_threads(1, &scenario).hash, run_on_threads(4, &scenario).hash);
    let matrix = world::matrix::of(&scenario, &RunOptions::default());
    assert!(matrix.is_ok(), "{:?}", matrix.err());
    let mut transcript = Transcript::new("n", false);
    assert!(
        world::run(&scenario, &RunOptions { record: true, ..RunOptions::default() }, &mut transcript).record.is_some()
    );
}

#[test]
fn safety_numbers_differ_while_a_device_has_old_keys() {
    passes(&[
        create(),
        json!({ "offline": { "who": "bob" } }),
        json!({ "update": { "by": "alice", "signature_key": true } }),
        json!({ "verify": { "by": "alice", "who": "bob" } }),
        fails("mismatch"),
        json!({ "expect": { "verified": { "by": "alice", "who": [] } } }),
        json!({ "online": { "who": "bob" } }),
        json!({ "verify": { "by": "alice", "who": "bob" } }),
        json!({ "expect": { "verified": { "by": "bob", "who": "alice" } } }),
        json!({ "remove": { "by": "alice", "who": "carol" } }),
        json!({ "verify": { "by": "alice", "who": "carol" } }),
        fails("unknown_member"),
    ]);
    assert_fails(
        &[create(), json!({ "expect": { "verified": { "by": "alice", "who": "bob" } } })],
        "alice has verified bob",
        "it has verified nobody",
    );
}

#[test]
fn group_data_is_the_same_for_all_members_of_an_epoch() {
    let set = |by: &str, data: &str| json!({ "set_data": { "by": by, "data": data } });
    passes(&[
        json!({ "create": { "by": "alice", "with": "bob" } }),
        set("carol", "of a stranger"),
        fails("not_a_member"),
        json!({ "hold": { "id": "rename", "for": "bob" } }),
        json!({ "set_data": { "by": "alice", "data": "chess", "id": "rename" } }),
        json!({ "expect": { "data": "chess" } }),
        json!({ "release": { "id": "rename" } }),
        json!({ "crash": { "who": "bob", "at": "after_submit" } }),
        set("bob", "chess club"),
        json!({ "expect": { "data": "chess club", "epoch": 3, "converged": true } }),
    ]);
    let run = run(&of(&[create(), set("alice", "chess"), json!({ "expect": { "data": "checkers" } })]));
    let told: Vec<_> = run.outcome.failures.iter().map(|it| (it.expected.as_str(), it.seen.as_str())).collect();
    assert_eq!(told[0], ("the group data of alice is `checkers`", "it is `chess`"));
    assert_eq!(told.len(), 3);
}

#[test]
fn refused_proposal_locks_out_only_when_it_is_committed() {
    let steps = |last: &[Value]| {
        let mut steps = vec![
            json!({ "create": { "by": "alice", "with": "bob" } }),
            answer("bob", "carol", "refuse"),
            json!({ "propose": { "by": "alice", "add": "carol" } }),
        ];
        steps.extend_from_slice(last);
        steps
    };
    passes(&steps(&[
        json!({ "update": { "by": "bob" } }),
        json!({ "expect": { "members": ["alice", "bob"], "converged": true } }),
        send("bob", "m1"),
        json!({ "expect": { "who": "alice", "reads": "m1" } }),
    ]));
    passes(&steps(&[
        json!({ "commit": { "by": "alice" } }),
        send("alice", "m1"),
        json!({ "expect": { "who": "bob", "exactly": [] } }),
        json!({ "expect": { "who": "carol", "exactly": "m1" } }),
        send("bob", "m2"),
        fails("refused"),
        json!({ "remove": { "by": "alice", "who": "carol" } }),
        json!({ "rejoin": { "who": "bob" } }),
        send("alice", "m3"),
        json!({ "expect": { "who": "bob", "exactly": "m3", "converged": true } }),
    ]));
}

#[test]
fn refused_member_of_a_group_keeps_a_new_device_out() {
    passes(&[
        json!({ "create": { "by": "alice", "with": "bob" } }),
        answer("carol", "bob", "refuse"),
        json!({ "add": { "by": "alice", "who": "carol" } }),
        send("alice", "m1"),
        json!({ "expect": { "who": "carol", "exactly": [], "members": ["alice", "bob", "carol"] } }),
        answer("carol", "bob", "accept"),
        json!({ "rejoin": { "who": "carol" } }),
        send("alice", "m2"),
        json!({ "expect": { "who": "carol", "exactly": "m2" } }),
    ]);
}

#[test]
fn accepting_applications_change_nothing() {
    let update = || json!({ "update": { "by": "bob", "signature_key": true } });
    let last = |answers: &[Value]| {
        let mut steps = vec![create()];
        steps.extend_from_slice(answers);
        steps.push(update());
        let run = passes(&steps);
        assert_eq!(run.count("answers"), answers.len());
        run.events("epoch").map(|event| (event["who"].clone(), event["authenticator"].clone())).collect::<Vec<_>>()
    };
    let without = last(&[]);
    assert_eq!(last(&[answer("alice", "bob", "accept")]), without);
    assert_eq!(last(&[answer("alice", "bob", "refuse"), answer("alice", "bob", "accept")]), without);
}
