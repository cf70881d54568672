//! Short forms of names: rows, `everybody`, `others`, arithmetic with the turn, empty lists, and
//! `exactly`.

use proptest::prelude::*;
use regrow_simulator::scenario::{Action, FileProblem, Scenario, read, write};
use serde_json::{Value, json};

use crate::common::{actions, published, run, scenario};

const MEMBERS: [&str; 6] = ["alice", "m1", "m2", "m3", "m4", "m5"];

fn read_with(members: Value, steps: Value) -> Result<Scenario, Vec<FileProblem>> {
    read(&json!({ "regrow": 1, "name": "short forms", "members": members, "steps": steps }).to_string())
}

/// The actions of each step of a run.
fn steps(scenario: &Scenario) -> Vec<Vec<Action>> {
    scenario.expand().map(|step| actions(step.item)).collect()
}

#[track_caller]
fn assert_same(short: Value, long: Value) {
    let read = |steps: Value| read_with(json!(MEMBERS), steps).unwrap_or_else(|problems| panic!("{problems:?}"));
    let short = read(short);
    assert_eq!(steps(&short), steps(&read(long)));
    let written = regrow_simulator::scenario::read(&write(&short)).unwrap();
    assert_eq!(steps(&written), steps(&short), "{}", write(&short));
}

#[track_caller]
fn assert_refused(step: Value, field: &str, problem: &str) {
    let create = json!({ "create": { "by": "alice", "with": "m1..m3" } });
    let problems = read_with(json!(MEMBERS), json!([create, step])).unwrap_err();
    assert!(problems[0].field == field && problems[0].problem.contains(problem), "{problems:?}");
}

#[test]
fn row_stands_for_its_names() {
    assert_same(
        json!([{ "create": { "by": "m1", "with": "m2..m5" } }, { "offline": { "who": ["alice", "m1..m2"] } }]),
        json!([
            { "create": { "by": "m1", "with": ["m2", "m3", "m4", "m5"] } },
            { "offline": { "who": ["alice", "m1", "m2"] } }
        ]),
    );
    let rows = read_with(json!(["alice", "m1..m5"]), json!([{ "wait": "1s" }])).unwrap();
    assert_eq!(rows.members.iter().map(ToString::to_string).collect::<Vec<_>>(), MEMBERS);
}

#[test]
fn wrong_row_is_refused_with_its_remedy() {
    assert_refused(json!({ "offline": { "who": "m3..m1" } }), "steps[1].offline.who", "found 3 and 1");
    assert_refused(
        json!({ "offline": { "who": ["m1..n3"] } }),
        "steps[1].offline.who[0]",
        "differ only in their number",
    );
    assert_refused(json!({ "offline": { "who": ["m2", "m1..m3"] } }), "steps[1].offline.who[1]", "`m2` occurs twice");
    assert_refused(
        json!({ "update": { "by": "m1..m3" } }),
        "steps[1].update.by",
        "expected one name, found a row of 3",
    );
    assert_refused(json!({ "offline": { "who": ["m4..m7", "alice"] } }), "steps[1].offline.who", "`m6`");
}

#[test]
fn everybody_and_others_are_the_members_of_the_scenario() {
    assert_same(
        json!([
            { "create": { "by": "alice", "with": "others" } },
            { "offline": { "who": "everybody" } },
            { "online": { "who": ["m1", "everybody"] } },
            { "repeat": { "times": 2, "steps": [{ "remove": { "by": "m{i}", "who": "others" } }] } },
            { "propose": { "by": "m3", "add": "others" } }
        ]),
        json!([
            { "create": { "by": "alice", "with": ["m1", "m2", "m3", "m4", "m5"] } },
            { "offline": { "who": ["alice", "m1", "m2", "m3", "m4", "m5"] } },
            { "online": { "who": ["m1", "alice", "m2", "m3", "m4", "m5"] } },
            { "remove": { "by": "m1", "who": ["alice", "m2", "m3", "m4", "m5"] } },
            { "remove": { "by": "m2", "who": ["alice", "m1", "m3", "m4", "m5"] } },
            { "propose": { "by": "m3", "add": ["alice", "m1", "m2", "m4", "m5"] } }
        ]),
    );
    assert_refused(json!({ "offline": { "who": "others" } }), "steps[1].offline.who[0]", "use `everybody`");
}

#[test]
fn word_is_a_name_if_a_member_has_it() {
    let named = read_with(
        json!(["others", "everybody", "bob"]),
        json!([{ "create": { "by": "bob", "with": ["others"] } }, { "offline": { "who": "everybody" } }]),
    );
    let all = write(&named.unwrap());
    assert!(all.contains(r#""with": "others""#) && all.contains(r#""who": "everybody""#), "{all}");
    let steps = steps(&read(&all).unwrap());
    assert!(format!("{:?}", steps[1]).matches("everybody").count() == 1, "{steps:?}");
}

#[test]
fn expressions_depend_on_the_turn() {
    assert_same(
        json!([
            { "create": { "by": "alice", "with": "others" } },
            { "repeat": { "times": 2, "steps": [
                { "send": { "by": "m{i+1}", "id": "x{i*10-1}", "text": "{i-1} of {i*2}" } },
                { "offline": { "who": "m{i*2-1}..m{i*2+1}" } },
                { "expect": { "who": "alice", "reads": "x{i*10-1}..x{i*10-1}" } }
            ] } }
        ]),
        json!([
            { "create": { "by": "alice", "with": ["m1", "m2", "m3", "m4", "m5"] } },
            { "send": { "by": "m2", "id": "x9", "text": "0 of 2" } },
            { "offline": { "who": ["m1", "m2", "m3"] } },
            { "expect": { "who": "alice", "reads": ["x9"] } },
            { "send": { "by": "m3", "id": "x19", "text": "1 of 4" } },
            { "offline": { "who": ["m3", "m4", "m5"] } },
            { "expect": { "who": "alice", "reads": ["x19"] } }
        ]),
    );
}

#[test]
fn wrong_expression_is_refused_with_its_remedy() {
    let repeated = |name: &str| json!({ "repeat": { "times": 2, "steps": [{ "update": { "by": name } }] } });
    let field = "steps[1].repeat.steps[0].update.by";
    assert_refused(repeated("m{i/2}"), field, "`{i/2}` is no number of a turn; known are `{i}`, `{i+10}`");
    assert_refused(repeated("m{i-1}"), field, "no member is called `m0`; did you mean `m1`? (in turn 1)");
    assert_refused(json!({ "update": { "by": "m{i+1}" } }), "steps[1].update.by", "only the steps inside `repeat`");
}

#[test]
fn empty_list_is_true_of_everything() {
    let nobody: [&str; 0] = [];
    let all = scenario(
        &["alice", "bob"],
        &[
            json!({ "create": { "by": "alice", "with": nobody } }),
            json!({ "offline": { "who": nobody } }),
            json!({ "online": { "who": nobody } }),
            json!({ "key_packages": { "who": nobody, "renew": true } }),
            json!({ "leave": { "who": nobody } }),
            json!({ "join": { "who": nobody } }),
            json!({ "rejoin": { "who": nobody } }),
            json!({ "hold": { "id": "m1", "for": nobody } }),
            json!({ "add": { "by": "alice", "who": "bob" } }),
            json!({ "send": { "by": "alice", "id": "m1" } }),
            json!({ "compromise": { "who": "bob", "id": "stolen" } }),
            json!({ "expect": { "who": "bob", "reads": nobody } }),
            json!({ "expect": { "who": "bob", "reads": nobody, "cannot_read": nobody } }),
            json!({ "expect": { "who": nobody, "cannot_read": "m1" } }),
            json!({ "expect": { "compromise": "stolen", "reads": nobody } }),
        ],
    );
    run(&all).assert_passed("empty lists");
    assert_eq!(steps(&read(&write(&all)).unwrap()), steps(&all), "{}", write(&all));
}

#[test]
fn exactly_names_all_readable_messages() {
    let with = |expectation: Value| {
        scenario(
            &["alice", "bob", "carol"],
            &[
                json!({ "create": { "by": "alice", "with": "bob" } }),
                json!({ "send": { "by": "alice", "id": "m1" } }),
                json!({ "add": { "by": "bob", "who": "carol" } }),
                json!({ "compromise": { "who": "carol", "id": "stolen" } }),
                json!({ "send": { "by": "carol", "id": "m2" } }),
                json!({ "expect": expectation }),
            ],
        )
    };
    for expectation in [
        json!({ "who": ["alice", "bob"], "exactly": ["m2", "m1"] }),
        json!({ "who": "carol", "exactly": "m2" }),
        json!({ "compromise": "stolen", "exactly": "m2" }),
    ] {
        run(&with(expectation.clone())).assert_passed(&expectation.to_string());
    }
    for (expectation, expected) in [
        (json!({ "who": "alice", "exactly": ["m1"] }), "alice has not read m2"),
        (json!({ "who": "carol", "exactly": ["m1", "m2"] }), "carol has read m1"),
        (json!({ "who": "bob", "exactly": [] }), "bob has not read m1"),
        (json!({ "compromise": "stolen", "exactly": [] }), "the thief of stolen cannot read m2"),
        (json!({ "compromise": "stolen", "exactly": ["m1", "m2"] }), "the thief of stolen can read m1"),
    ] {
        let failures = run(&with(expectation)).outcome.failures;
        assert!(failures.iter().any(|failure| failure.expected == expected), "{expected}: {failures:?}");
    }
}

#[test]
fn every_published_scenario_is_written_and_read_back() {
    for (path, scenario) in published("").into_iter().filter(|(_, scenario)| scenario.trace.is_none()) {
        let written = read(&write(&scenario)).unwrap_or_else(|problems| panic!("{}: {problems:?}", path.display()));
        assert_eq!(written.run, scenario.run, "{}", path.display());
        assert_eq!(steps(&written), steps(&scenario), "{}", path.display());
    }
}

/// A list of members or messages in any short form.
fn names() -> impl Strategy<Value = Value> {
    let one = prop_oneof![
        Just("everybody"),
        Just("m1"),
        Just("m2..m4"),
        Just("m{i}"),
        Just("m{i+1}"),
        Just("m{i}..m{i+1}"),
        Just("m{i*2-1}..m{i*2}"),
    ];
    prop_oneof![one.clone().prop_map(Value::from), prop::collection::btree_set(one, 0..3).prop_map(|set| json!(set))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn short_forms_are_written_and_read_back(
        lists in prop::collection::vec(names(), 1..5),
        exactly in any::<bool>(),
        times in 1_u32..3,
        virtual_hours in prop::option::of(1_u64..1000),
    ) {
        let reads = if exactly { "exactly" } else { "reads" };
        let turn: Vec<_> = lists
            .iter()
            .enumerate()
            .flat_map(|(number, list)| [
                json!({ "offline": { "who": list } }),
                json!({ "send": { "by": "m{i}", "id": format!("x{number}-{{i}}") } }),
                json!({ "expect": { "who": list, reads: [format!("x{number}-{{i}}")] } }),
            ])
            .collect();
        let mut document = json!({ "regrow": 1, "name": "n", "members": ["m1..m5"], "steps": [
            { "create": { "by": "m1", "with": "others" } },
            { "repeat": { "times": times, "steps": turn } }
        ] });
        if let Some(hours) = virtual_hours {
            document["timeout"] = json!({ "virtual": format!("{hours}h") });
        }
        let scenario = read(&document.to_string()).unwrap();
        let text = write(&scenario);
        let again = read(&text).unwrap();
        prop_assert_eq!(&again.run, &scenario.run);
        prop_assert_eq!(steps(&again), steps(&scenario));
        prop_assert_eq!(write(&again), text);
    }
}
