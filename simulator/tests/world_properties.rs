//! Whatever a scenario does, the run keeps what every scenario promises, and can be repeated.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{run_on_threads, scenario_with};
use proptest::{prelude::*, test_runner::RngSeed};
use regrow_simulator::{report::RunOutcome, scenario::Scenario};
use serde_json::{Value, json};

const MEMBERS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn member() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&MEMBERS[..])
}

fn members() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(&MEMBERS[..], 1..=2)
}

/// A step; `#` in it becomes a number of its own.
fn step() -> impl Strategy<Value = Value> {
    let point = prop::sample::select(&["before_submit", "after_submit", "before_confirm", "during_write"][..]);
    let rule = prop::sample::select(&["hold", "drop", "duplicate"][..]);
    prop_oneof![
        6 => wish(),
        2 => members().prop_map(|who| json!({ "offline": { "who": who } })),
        3 => members().prop_map(|who| json!({ "online": { "who": who } })),
        // The rule, and at once the message that it is for.
        3 => (rule, members(), member()).prop_map(|(rule, who, by)| json!([
            { rule: { "id": "m#", "for": who } }, { "send": { "by": by, "id": "m#" } }
        ])),
        2 => Just(json!("release")),
        3 => prop::collection::vec(wish(), 2..=3).prop_map(|wishes| json!({ "race": wishes })),
        2 => (member(), point).prop_map(|(who, at)| json!({ "crash": { "who": who, "at": at } })),
        1 => member().prop_map(|who| json!({ "compromise": { "who": who, "id": "stolen#" } })),
        // What the thief that stole last does, if there is one.
        2 => prop::sample::select(&["send", "commit", "rejoin"][..]).prop_map(|action| json!(action)),
        1 => (1..20).prop_map(|days| json!({ "wait": format!("{days}d") })),
    ]
}

/// Something that one member submits.
fn wish() -> impl Strategy<Value = Value> {
    prop_oneof![
        (member(), members()).prop_map(|(by, who)| json!({ "add": { "by": by, "who": who } })),
        (member(), members()).prop_map(|(by, who)| json!({ "remove": { "by": by, "who": who } })),
        (member(), any::<bool>()).prop_map(|(by, key)| json!({ "update": { "by": by, "signature_key": key } })),
        member().prop_map(|who| json!({ "leave": { "who": who } })),
        (member(), member()).prop_map(|(by, who)| json!({ "propose": { "by": by, "add": who } })),
        (member(), member()).prop_map(|(by, who)| json!({ "propose": { "by": by, "remove": who } })),
        member().prop_map(|by| json!({ "propose": { "by": by, "update": true } })),
        member().prop_map(|by| json!({ "commit": { "by": by } })),
        member().prop_map(|who| json!({ "join": { "who": who } })),
        member().prop_map(|who| json!({ "rejoin": { "who": who } })),
        member().prop_map(|by| json!({ "send": { "by": by, "id": "m#" } })),
    ]
}

/// Who submits a step.
fn submitter(step: &Value) -> String {
    let fields = step.as_object().unwrap().values().next().unwrap();
    fields.get("by").or(fields.get("who")).unwrap().as_str().unwrap().to_owned()
}

/// Steps as they stand in a file: with ids of their own, at most one step for each member in a race, and released
/// messages that were held.
fn written(steps: &[Value]) -> Vec<Value> {
    let mut written = Vec::new();
    let (mut held, mut stolen) = (Vec::new(), None);
    for (number, step) in steps.iter().enumerate() {
        let mut step = step.clone();
        if let Some(contenders) = step.get_mut("race").and_then(Value::as_array_mut) {
            let mut racing = std::collections::BTreeSet::new();
            contenders.retain(|contender| racing.insert(submitter(contender)));
            for (turn, contender) in contenders.iter_mut().enumerate() {
                *contender = numbered(contender, &format!("{number}_{turn}"));
            }
            if contenders.len() < 2 {
                continue;
            }
        }
        let step = numbered(&step, &number.to_string());
        stolen = step.get("compromise").map(|compromise| compromise["id"].clone()).or(stolen);
        match step {
            Value::String(action) if action != "release" => {
                written.extend(stolen.iter().map(|id| json!({ "impersonate": { "compromise": id, "action": action } })))
            }
            Value::String(_) => written.extend(held.pop().map(|id: Value| json!({ "release": { "id": id } }))),
            Value::Array(steps) => {
                held.extend(steps[0].get("hold").map(|hold| hold["id"].clone()));
                written.extend(steps);
            }
            step => written.push(step),
        }
    }
    written
}

fn numbered(step: &Value, number: &str) -> Value {
    serde_json::from_str(&step.to_string().replace('#', number)).unwrap()
}

/// How a step of this name may fail without anything being wrong.
fn is_refusal(seen: &str) -> bool {
    let codes = [
        "not_a_member",
        "already_a_member",
        "unknown_member",
        "removed",
        "lost",
        "offline",
        "nothing_to_commit",
        "no_key_package",
        "proposals_wait",
    ];
    let own_removal = "it failed with `rejected`: a device cannot commit its own removal";
    codes.iter().any(|code| seen.starts_with(&format!("it failed with `{code}`"))) || seen.starts_with(own_removal)
}

/// Runs the steps that can be done: one that is refused is taken out, until none is.
fn run_what_can_be_done(group: &Value, steps: Vec<Value>) -> (Scenario, RunOutcome) {
    let mut steps = steps;
    loop {
        let mut all = vec![json!({ "create": { "by": "a", "with": ["b", "c"] } })];
        all.extend(steps.clone());
        let scenario = scenario_with(group.clone(), &MEMBERS, &all);
        let outcome = run_on_threads(1, &scenario).outcome;
        let refused = outcome
            .failures
            .iter()
            .find(|failure| is_refusal(&failure.seen) && failure.expected == "the step succeeds");
        let Some(place) = refused.and_then(|failure| failure.place.as_ref()) else { return (scenario, outcome) };
        // Step 1 is the `create`.
        let refused = place.number.split('.').next().unwrap().parse::<usize>().unwrap() - 2;
        let removed = steps.remove(refused);
        // What is held or stolen stays, but a message that is not sent is not released or held either.
        if let Some(id) = removed.get("send").map(|send| send["id"].clone()) {
            steps.retain(|step| !["hold", "release", "drop", "duplicate"].iter().any(|rule| step[rule]["id"] == id));
        }
    }
}

/// The same 64 cases each time; more, and others, with `PROPTEST_CASES` and `PROPTEST_RNG_SEED`.
fn config() -> ProptestConfig {
    let set = |name| std::env::var_os(name).is_some();
    let from_environment = ProptestConfig::default();
    ProptestConfig {
        cases: if set("PROPTEST_CASES") { from_environment.cases } else { 64 },
        rng_seed: if set("PROPTEST_RNG_SEED") { from_environment.rng_seed } else { RngSeed::Fixed(9420) },
        failure_persistence: None,
        max_shrink_iters: 500,
        ..from_environment
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_run_breaks_a_promise_and_each_can_be_repeated(
        steps in prop::collection::vec(step(), 3..18),
        past_epochs in 0..3,
        out_of_order in 0..4,
        opaque in any::<bool>(),
    ) {
        let handshake = if opaque { "opaque" } else { "assisted" };
        let group = json!({ "past_epochs": past_epochs, "out_of_order": out_of_order, "handshake": handshake });
        let (scenario, outcome) = run_what_can_be_done(&group, written(&steps));
        // That a crash found nothing to interrupt is the generator's doing.
        let broken: Vec<_> = outcome.failures.iter().filter(|failure| !failure.expected.contains("'s process dies at")).collect();
        prop_assert!(broken.is_empty(), "{:#?}", broken);
        let again = run_on_threads(4, &scenario);
        prop_assert_eq!(&again.outcome, &outcome);
        prop_assert_eq!(again.hash, run_on_threads(1, &scenario).hash);
    }
}
