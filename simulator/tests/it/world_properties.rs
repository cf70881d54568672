//! The run of any scenario keeps all guarantees, and can be repeated.

use crate::common::{run_on_threads, scenario_with};
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

/// A step; a number of its own replaces `#` in it.
fn step() -> impl Strategy<Value = Value> {
    let point = prop::sample::select(&["before_submit", "after_submit", "before_confirm", "during_write"][..]);
    let rule = prop::sample::select(&["hold", "drop", "duplicate"][..]);
    prop_oneof![
        6 => submission_step(),
        2 => members().prop_map(|who| json!({ "offline": { "who": who } })),
        3 => members().prop_map(|who| json!({ "online": { "who": who } })),
        // The rule, and directly after it the message that it is for.
        3 => (rule, members(), member()).prop_map(|(rule, who, by)| json!([
            { rule: { "id": "m#", "for": who } }, { "send": { "by": by, "id": "m#" } }
        ])),
        2 => Just(json!("release")),
        3 => prop::collection::vec(submission_step(), 2..=3).prop_map(|contenders| json!({ "race": contenders })),
        2 => (member(), point).prop_map(|(who, at)| json!({ "crash": { "who": who, "at": at } })),
        1 => member().prop_map(|who| json!({ "compromise": { "who": who, "id": "stolen#" } })),
        // An action of the last thief, if there is one.
        2 => prop::sample::select(&["send", "commit", "rejoin"][..]).prop_map(|action| json!(action)),
        1 => (1..20).prop_map(|days| json!({ "wait": format!("{days}d") })),
    ]
}

/// A step that one member submits.
fn submission_step() -> impl Strategy<Value = Value> {
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

/// The member that submits a step.
fn submitter(step: &Value) -> String {
    let fields = step.as_object().unwrap().values().next().unwrap();
    fields.get("by").or(fields.get("who")).unwrap().as_str().unwrap().to_owned()
}

/// The steps as they are in a file. Ids are distinct, each member has at most one step in a race,
/// and only held messages are released.
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

/// True if a step may fail in this way although nothing is wrong.
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

/// Runs the steps that can be done: removes refused steps until no step is refused.
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
        // Messages stay held and devices stay stolen. But rules for a message that is not sent are
        // removed, too.
        if let Some(id) = removed.get("send").map(|send| send["id"].clone()) {
            steps.retain(|step| !["hold", "release", "drop", "duplicate"].iter().any(|rule| step[rule]["id"] == id));
        }
    }
}

/// Uses the same 64 cases in each run. `PROPTEST_CASES` and `PROPTEST_RNG_SEED` set more and other
/// cases.
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
    fn every_run_keeps_its_guarantees_and_is_reproducible(
        steps in prop::collection::vec(step(), 3..18),
        past_epochs in 0..3,
        out_of_order in 0..4,
        opaque in any::<bool>(),
    ) {
        let handshake = if opaque { "opaque" } else { "assisted" };
        let group = json!({ "past_epochs": past_epochs, "out_of_order": out_of_order, "handshake": handshake });
        let (scenario, outcome) = run_what_can_be_done(&group, written(&steps));
        // A crash that found nothing to interrupt is the generator's fault.
        let broken: Vec<_> = outcome.failures.iter().filter(|failure| !failure.expected.contains("'s process dies at")).collect();
        prop_assert!(broken.is_empty(), "{:#?}", broken);
        let again = run_on_threads(4, &scenario);
        prop_assert_eq!(&again.outcome, &outcome);
        prop_assert_eq!(again.hash, run_on_threads(1, &scenario).hash);
    }
}
