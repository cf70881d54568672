//! The step `churn`: its steps follow from the seed, can be done, and depend on each setting alone.

use std::collections::BTreeMap;

use proptest::prelude::*;
use regrow_simulator::scenario::{Action, Proposal, Scenario, Step, read, write};
use serde_json::{Value, json};

use crate::common::{Run, run, run_with_seed};

fn text(members: u32, steps: &Value) -> String {
    json!({ "regrow": 1, "name": "a churn", "seed": 5, "members": { "prefix": "m", "count": members }, "steps": steps })
        .to_string()
}

/// A scenario with this churn as its only step.
#[track_caller]
fn scenario(members: u32, churn: &Value) -> Scenario {
    let text = text(members, &json!([{ "churn": churn }]));
    read(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

/// The settings of the tests, with some of them replaced. A null removes a setting.
fn settings(other: Value) -> Value {
    let mut settings = json!({
        "initial": 6,
        "for": "20d",
        "joins": "2/d",
        "stay": { "exponential": { "mean": "5d" } },
        "messages": { "rate": "1/d", "zipf": 0.8 },
        "updates": { "daily_fraction": 0.1 },
    });
    for (name, value) in other.as_object().unwrap() {
        match value {
            Value::Null => drop(settings.as_object_mut().unwrap().remove(name)),
            value => settings[name] = value.clone(),
        }
    }
    settings
}

/// The actions of a scenario, each with the seconds since the start.
fn actions(scenario: &Scenario) -> Vec<(u64, Action)> {
    let (mut now, mut actions) = (0, Vec::new());
    for step in scenario.expand() {
        match step.item {
            Step::Do(Action::Wait(time)) => now += time.as_secs(),
            Step::Do(action) => actions.push((now, action)),
            Step::Race(contenders) => actions.extend(contenders.into_iter().map(|contender| (now, contender.item))),
        }
    }
    actions
}

/// The history by kind: names that join and leave, update, and send, each with its time.
fn history(scenario: &Scenario) -> BTreeMap<&'static str, Vec<(u64, String)>> {
    let mut history: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (time, action) in actions(scenario) {
        let (kind, names) = match action {
            Action::Create { by, with } => ("joins", [vec![by], with].concat()),
            Action::Add { who, .. } | Action::Propose { what: Proposal::Add(who), .. } => ("joins", who),
            Action::Remove { who, .. } | Action::Leave { who } => ("leaves", who),
            Action::Propose { what: Proposal::Remove(who), .. } => ("leaves", who),
            Action::Update { by, .. } | Action::Propose { by, what: Proposal::Update } => ("updates", vec![by]),
            Action::Send { by, .. } => ("messages", vec![by]),
            Action::Offline { who } | Action::Online { who } => ("presence", who),
            _ => continue,
        };
        history.entry(kind).or_default().extend(names.into_iter().map(|name| (time, name.to_string())));
    }
    history
}

#[test]
fn same_seed_gives_the_same_steps() {
    let churn = settings(json!({}));
    assert_eq!(actions(&scenario(60, &churn)), actions(&scenario(60, &churn)));
    let other = Scenario { seed: 6, ..scenario(60, &churn) };
    assert_ne!(actions(&scenario(60, &churn)), actions(&other));
    let by_seed: Vec<_> = scenario(60, &churn).expand_with_seed(6).map(|step| step.item).collect();
    assert_eq!(by_seed, other.expand().map(|step| step.item).collect::<Vec<_>>());
}

#[test]
fn changed_setting_leaves_the_other_draws() {
    let before = history(&scenario(80, &settings(json!({}))));
    for (change, same) in [
        (json!({ "messages": null }), vec!["joins", "leaves", "updates"]),
        (json!({ "messages": { "rate": "1/d", "zipf": 2 } }), vec!["joins", "leaves", "updates"]),
        (json!({ "updates": null }), vec!["joins", "leaves", "messages"]),
        (json!({ "updates": { "every": "3d", "after_messages": 2 } }), vec!["joins", "leaves", "messages"]),
        (json!({ "committer": "random" }), vec!["joins", "leaves", "updates", "messages"]),
        (json!({ "committer": "last_active" }), vec!["joins", "leaves", "updates", "messages"]),
        (json!({ "committer": "cheapest" }), vec!["joins", "leaves", "updates", "messages"]),
        (json!({ "stay": "forever" }), vec!["joins"]),
        (json!({ "presence": { "online": "10d", "offline": "1h" } }), vec!["joins"]),
    ] {
        let after = history(&scenario(80, &settings(change.clone())));
        for kind in same {
            assert_eq!(after.get(kind), before.get(kind), "{kind} after {change}");
        }
    }
    let more = history(&scenario(80, &settings(json!({ "joins": "3/d" }))));
    assert_ne!(more["joins"], before["joins"]);
    // A member stays for the same time, whenever it joins.
    let stay = |history: &BTreeMap<_, Vec<(u64, String)>>, name: &str| {
        let time = |kind| history[kind].iter().find(|(_, member)| member == name).map(|(time, _)| *time);
        Some(time("leaves")?.abs_diff(time("joins")?))
    };
    let mut compared = 0;
    for number in 1..40 {
        let name = format!("m{number}");
        if let (Some(one), Some(other)) = (stay(&before, &name), stay(&more, &name)) {
            assert!(one.abs_diff(other) <= 1, "{name}: {one} {other}");
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared}");
}

/// Churns of every kind, as changes of the settings.
fn kinds() -> Vec<Value> {
    vec![
        json!({}),
        json!({ "latency": "6h", "committer": "random" }),
        json!({ "latency": "2h", "presence": { "online": "1d", "offline": "12h" } }),
        json!({ "commits": { "window": "10h" }, "presence": { "online": "1d", "offline": "1d" } }),
        json!({ "commits": { "batch": 4 }, "committer": "last_active", "messages": null }),
        json!({ "commits": { "batch": 3 }, "updates": { "every": "2d", "after_messages": 3 } }),
        json!({ "committer": "cheapest", "presence": { "online": "1d", "offline": "12h" } }),
        json!({ "commits": { "batch": 3 }, "committer": "cheapest", "updates": { "every": "4d" } }),
        json!({ "commits": { "window": "1h" }, "committer": { "fixed": "m1" } }),
        json!({ "committer": { "fixed": "m3" }, "stay": { "pareto": { "least": "1d", "alpha": 1.1 } } }),
        json!({ "initial": 3, "for": "60d", "joins": "0.2/d", "commits": { "batch": 5 }, "messages": null,
                "presence": { "online": "5d", "offline": "5d" } }),
        json!({ "initial": 3, "for": "60d", "joins": null, "presence": { "online": "1d", "offline": "10d" } }),
        json!({ "initial": 1, "joins": null, "updates": { "every": "1d" }, "commits": { "batch": 2 } }),
    ]
}

#[test]
fn every_kind_of_churn_can_be_done() {
    for kind in kinds() {
        let churn = settings(kind.clone());
        let text = text(40, &json!([{ "churn": churn }, { "expect": { "converged": true } }]));
        let run = run(&read(&text).unwrap());
        run.assert_passed(&kind.to_string());
    }
}

#[test]
fn seed_of_the_command_line_changes_the_churn() {
    let scenario = scenario(40, &settings(json!({ "for": "5d" })));
    assert_eq!(run(&scenario).hash, run_with_seed(&scenario, 5).hash);
    let kinds = |run: &Run| run.events.iter().map(|event| event["event"].clone()).collect::<Vec<_>>();
    let by_option = run_with_seed(&scenario, 8);
    assert_eq!(by_option.hash, run(&Scenario { seed: 8, ..scenario.clone() }).hash);
    assert_ne!(kinds(&by_option), kinds(&run(&scenario)));
}

#[test]
fn steps_go_on_before_and_after_a_churn() {
    let steps = json!([
        { "create": { "by": "m2", "with": ["m1", "m3", "m4"] } },
        { "offline": { "who": "m4" } },
        { "compromise": { "who": "m1", "id": "stolen" } },
        { "remove": { "by": "m1", "who": "m3" } },
        { "churn": { "events": 12, "joins": "4/d", "messages": { "rate": "2/d" } } },
        { "send": { "by": "m2", "id": "after" } },
        { "online": { "who": "m4" } },
        { "churn": { "for": "2d", "joins": "4/d", "commits": { "batch": 3 } } },
        { "expect": { "who": ["m1", "m2", "m4"], "reads": "after", "converged": true } },
    ]);
    let scenario = read(&text(40, &steps)).unwrap();
    run(&scenario).assert_passed("churns among other steps");
    let history = history(&scenario);
    let joined: Vec<_> = history["joins"].iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(joined[..7], ["m2", "m1", "m3", "m4", "m5", "m6", "m7"], "newcomers were never in the group");
    let sent = history["messages"].iter().filter(|(_, name)| name == "m4").count();
    assert_eq!(sent, 0, "m4 was offline");
}

#[test]
fn churn_ends_at_the_first_of_its_ends() {
    let of = |ends: Value| actions(&scenario(1000, &settings(ends)));
    let time = of(json!({ "for": "3d" }));
    assert!(time.last().unwrap().0 <= 3 * 86_400);
    let three_days = scenario(1000, &settings(json!({ "for": "3d" })));
    let waits = three_days.expand().filter_map(|step| match step.item {
        Step::Do(Action::Wait(time)) => Some(time.as_secs()),
        _ => None,
    });
    assert_eq!(waits.sum::<u64>(), 3 * 86_400, "a churn waits for its whole time");
    let events = of(json!({ "events": 30, "for": null }));
    assert_eq!(events.len(), 31, "30 events and the creation");
    let commits = |actions: &[(u64, Action)]| {
        actions.iter().filter(|(_, action)| !matches!(action, Action::Send { .. } | Action::Create { .. })).count()
    };
    assert_eq!(commits(&of(json!({ "epochs": 25, "for": null }))), 25);
}

#[test]
fn joins_stop_when_no_new_member_is_left() {
    let history = history(&scenario(10, &settings(json!({ "joins": "9/d" }))));
    let mut joined: Vec<_> = history["joins"].iter().map(|(_, name)| name.clone()).collect();
    joined.dedup();
    assert_eq!(joined.len(), 10);
}

#[test]
fn last_member_stays() {
    let churn = json!({ "initial": 3, "for": "900d", "stay": { "exponential": { "mean": "1h" } } });
    assert_eq!(history(&scenario(3, &churn))["leaves"].len(), 2);
}

/// Generates a churn of this size, and checks that about as many members join as leave.
fn generate(initial: u32, epochs: u32, committer: &str) {
    let churn = json!({
        "initial": initial, "epochs": epochs, "joins": format!("{}/d", initial / 20),
        "stay": { "exponential": { "mean": "20d" } }, "updates": { "daily_fraction": 0.05 },
        "messages": { "rate": "0.1/d", "zipf": 1 }, "committer": committer,
    });
    let mut members = 0;
    for step in scenario(initial + epochs, &churn).expand() {
        match step.item {
            Step::Do(Action::Create { with, .. }) => members = 1 + with.len() as u32,
            Step::Do(Action::Add { .. }) => members += 1,
            Step::Do(Action::Remove { .. }) => members -= 1,
            _ => {}
        }
    }
    assert!(members.abs_diff(initial) < initial / 50, "{members}");
}

#[test]
fn large_churn_is_generated_step_by_step() {
    generate(50_000, 10_000, "wanter");
    generate(50_000, 10_000, "cheapest");
}

/// `cargo test -p regrow-simulator --test it -- --ignored almost_a_million_members_have`
#[test]
#[ignore = "takes five seconds and 240 MiB, and shows the same as the test above"]
fn almost_a_million_members_have_a_hundred_thousand_epochs() {
    generate(900_000, 100_000, "wanter");
}

/// `cargo test -p regrow-simulator --test it -- --ignored cheapest_of_almost_a_million`
#[test]
#[ignore = "takes 16 seconds and 430 MiB, and shows the same as a test above"]
fn cheapest_of_almost_a_million_members_commits() {
    generate(900_000, 100_000, "cheapest");
}

#[test]
fn mistakes_of_a_churn_are_reported() {
    for (churn, field, told) in [
        (json!({ "joins": "1/d" }), "churn", "the end is missing: add `for`, `epochs` or `events`"),
        (json!({ "for": "1d" }), "churn", "there is no group yet: add `initial`"),
        (json!({ "initial": 9, "for": "1d" }), "churn.initial", "the scenario has only 5 members, found 9"),
        (json!({ "initial": 2, "for": "1d", "joins": "1/w" }), "churn.joins", "expected a rate such as \"30/d\""),
        (json!({ "initial": 2, "for": "1d", "joins": [] }), "churn.joins", "at least one rate"),
        (
            json!({ "initial": 2, "for": "1d", "joins": [{ "from": "1d", "rate": "1/d" }] }),
            "churn.joins[0].from",
            "the first rate begins at 0s",
        ),
        (json!({ "initial": 2, "for": "1d", "stay": "long" }), "churn.stay", "expected `forever`, or an object"),
        (
            json!({ "initial": 2, "for": "1d", "stay": { "pareto": { "least": "1h", "alpha": 0 } } }),
            "churn.stay.pareto.alpha",
            "expected a number from 0.000001 to 100, with at most six decimal places, found 0",
        ),
        (
            json!({ "initial": 2, "for": "1d", "stay": {} }),
            "churn.stay",
            "exactly one of `exponential`, `lognormal` and `pareto`",
        ),
        (json!({ "initial": 2, "for": "1d", "committer": "wantr" }), "churn.committer", "did you mean `wanter`?"),
        (json!({ "initial": 2, "for": "1d", "committer": { "fixed": "m9" } }), "churn.committer.fixed", "no member"),
        (
            json!({ "initial": 2, "for": "1d", "commits": { "batch": 2 }, "latency": "2s" }),
            "churn.latency",
            "`latency` needs direct commits",
        ),
        (json!({ "for": "1d", "committer": "cheapest" }), "churn.committer", "`cheapest` needs `initial`"),
        (
            json!({ "initial": 2, "for": "1d", "committer": "cheapest", "latency": "2s" }),
            "churn.committer",
            "`cheapest` excludes `latency`",
        ),
        (
            json!({ "initial": 2, "for": "1d", "commits": { "window": "4d" } }),
            "churn.commits.window",
            "a window has at most 72 hours",
        ),
        (json!({ "initial": 2, "for": "1d", "updates": {} }), "churn.updates", "a rule for updates is missing"),
        (json!({ "initial": 2, "for": "1d", "lenght": 1 }), "churn.lenght", "unknown field"),
        (json!({ "initial": 2, "events": 10_000_001 }), "churn.events", "from 1 to 10000000"),
    ] {
        let problems = read(&text(5, &json!([{ "churn": churn }]))).unwrap_err();
        let problem = &problems[0];
        assert_eq!(problem.field, format!("steps[0].{field}"), "{problem}");
        assert!(problem.problem.contains(told), "{problem}");
    }
}

#[test]
fn churn_has_its_place_among_the_steps() {
    let create = json!({ "create": { "by": "m1", "with": "m2" } });
    let churn = json!({ "churn": { "for": "1d" } });
    for (steps, told) in [
        (json!([create, { "churn": { "for": "1d", "initial": 2 } }]), "there is a group already: leave `initial` out"),
        (json!([create, { "leave": { "who": "m2" } }, churn]), "proposals wait before the churn"),
        (
            json!([create, { "race": [{ "leave": { "who": "m2" } }, { "update": { "by": "m1" } }] }, churn]),
            "proposals wait before the churn",
        ),
        (json!([create, { "repeat": { "times": 2, "steps": [churn] } }]), "cannot be inside a repeat"),
        (json!([create, { "race": [churn, churn] }]), "cannot be inside a race"),
        (json!([create, churn, { "expect": { "fails": "offline" } }]), "the step before it cannot fail"),
        (json!([create, churn, create]), "there is a group already"),
    ] {
        let problems = read(&text(5, &steps)).unwrap_err();
        assert!(problems[0].problem.contains(told), "{problems:?}");
    }
}

fn any_churn() -> impl Strategy<Value = Value> {
    let stay = prop_oneof![
        Just(json!("forever")),
        (1_u32..99).prop_map(|hours| json!({ "exponential": { "mean": format!("{hours}h") } })),
        (1_u32..99, 1_u32..300).prop_map(|(days, sigma)| {
            json!({ "lognormal": { "median": format!("{days}d"), "sigma": f64::from(sigma) / 100.0 } })
        }),
        (1_u32..99).prop_map(|alpha| json!({ "pareto": { "least": "90s", "alpha": f64::from(alpha) / 8.0 } })),
    ];
    let joins = prop_oneof![
        Just(json!("2.5/d")),
        (0_u32..50, 1_u32..9).prop_map(|(rate, day)| {
            json!([{ "from": "0s", "rate": format!("{rate}/h") }, { "from": format!("{day}d"), "rate": "0.125/d" }])
        }),
    ];
    let committer =
        prop::sample::select(vec![json!("wanter"), json!("last_active"), json!("cheapest"), json!({ "fixed": "m2" })]);
    let commits = prop::sample::select(vec![json!("direct"), json!({ "window": "61s" }), json!({ "batch": 7 })]);
    (stay, joins, committer, commits, 0_u32..9, any::<bool>()).prop_map(
        |(stay, joins, committer, commits, zipf, presence)| {
            let mut churn = json!({
                "initial": 3, "epochs": 20, "events": 60, "for": "40d", "stay": stay, "joins": joins,
                "committer": committer, "commits": commits,
                "messages": { "rate": "1/h", "zipf": f64::from(zipf) / 4.0, "size": zipf },
            });
            if presence {
                churn["presence"] = json!({ "online": "3h", "offline": "90m" });
                churn["updates"] = json!({ "every": "3d", "daily_fraction": 0.25 });
            }
            churn
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_churn_reads_back(churn in any_churn()) {
        let scenario = scenario(9, &churn);
        let written = write(&scenario);
        let again = read(&written).unwrap();
        let items = |scenario: &Scenario| scenario.steps.iter().map(|step| step.item.clone()).collect::<Vec<_>>();
        prop_assert_eq!(items(&again), items(&scenario), "{}", written);
        prop_assert_eq!(actions(&again), actions(&scenario));
        prop_assert_eq!(write(&again), written);
    }
}
