//! Generated scenarios are valid: they are read back as they were written, and they can be run.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{published, run};
use proptest::{prelude::*, test_runner::RngSeed};
use regrow_simulator::{
    explore::{Plan, Size, Weights},
    scenario::{Action, Scenario, Step, read, write},
};

fn plan(seed: u64, size: Size) -> Plan {
    Plan { seed, count: u64::MAX, size, weights: Weights::default() }
}

fn actions(scenario: &Scenario) -> Vec<Vec<Action>> {
    let actions = scenario.expand().map(|step| match step.item {
        Step::Do(action) => vec![action],
        Step::Race(contenders) => contenders.into_iter().map(|contender| contender.item).collect(),
    });
    actions.collect()
}

#[test]
fn published_scenarios_are_read_back_as_written() {
    for folder in [".", "failing", "service", "groups", "sweeps"] {
        // A scenario with a trace is read from its folder: see `traces`.
        for (file, before) in published(folder).into_iter().filter(|(_, scenario)| scenario.trace.is_none()) {
            let text = write(&before);
            let after = read(&text).unwrap_or_else(|problems| panic!("{}: {problems:?}\n{text}", file.display()));
            let rest = |scenario: &Scenario| Scenario { steps: Vec::new(), ..scenario.clone() };
            assert_eq!(rest(&after), rest(&before), "{}", file.display());
            assert_eq!(actions(&after), actions(&before), "{}", file.display());
            assert_eq!(write(&after), text, "{}", file.display());
        }
    }
}

/// Uses the same cases in each run. `PROPTEST_CASES` and `PROPTEST_RNG_SEED` set more and other
/// cases.
fn config(cases: u32) -> ProptestConfig {
    let set = |name| std::env::var_os(name).is_some();
    let from_environment = ProptestConfig::default();
    ProptestConfig {
        cases: if set("PROPTEST_CASES") { from_environment.cases } else { cases },
        rng_seed: if set("PROPTEST_RNG_SEED") { from_environment.rng_seed } else { RngSeed::Fixed(9420) },
        failure_persistence: None,
        ..from_environment
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn every_generated_scenario_is_read_back_as_it_was_written(
        seed in any::<u64>(),
        number in 1..1000_u64,
        members in 2..20_u32,
        steps in 1..60_u32,
    ) {
        let scenario = plan(seed, Size { members, steps }).scenario(number);
        let text = write(&scenario);
        prop_assert_eq!(read(&text).map_err(|problems| format!("{problems:?}\n{text}")), Ok(scenario.clone()));
        prop_assert!(scenario.members.len() <= members as usize);
        // Four steps that belong together can add three. The end of the scenario adds a few more.
        prop_assert!(scenario.steps.len() <= steps as usize + 19);
    }
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn every_generated_scenario_runs(seed in any::<u64>()) {
        let scenario = plan(seed, Size { members: 5, steps: 20 }).scenario(1);
        let outcome = run(&scenario).outcome;
        prop_assert!(outcome.failures.is_empty(), "{}\n{:#?}", write(&scenario), outcome.failures);
    }
}

#[test]
fn seed_decides_the_scenarios() {
    let size = Size { members: 6, steps: 30 };
    assert_eq!(plan(1, size).scenario(7), plan(1, size).scenario(7));
    assert_ne!(plan(1, size).scenario(7).steps, plan(2, size).scenario(7).steps);
    assert_ne!(plan(1, size).scenario(7).steps, plan(1, size).scenario(8).steps);
}

#[test]
fn every_kind_of_step_occurs() {
    let plan = plan(3, Size { members: 6, steps: 40 });
    let mut count: BTreeMap<&str, u32> = BTreeMap::new();
    let mut races = BTreeSet::new();
    for number in 1..=200 {
        for actions in actions(&plan.scenario(number)) {
            for action in &actions {
                *count.entry(action.name()).or_default() += 1;
                *count.entry(if action.parts().0.is_some() { "in another group" } else { "" }).or_default() += 1;
                if actions.len() > 1 {
                    races.insert(action.name());
                }
            }
        }
    }
    let all = [
        "create",
        "add",
        "remove",
        "update",
        "leave",
        "propose",
        "commit",
        "join",
        "rejoin",
        "send",
        "offline",
        "online",
        "hold",
        "release",
        "drop",
        "duplicate",
        "crash",
        "compromise",
        "impersonate",
        "wait",
        "network",
        "clock",
        "lock",
        "unlock",
        "verify",
        "set_data",
        "authenticate",
        "upkeep",
        "add_user",
        "remove_user",
        "link_device",
        "lost_device",
        "in another group",
        "key_packages",
    ];
    for name in all {
        // Few states of a group have an occasion for a step about users.
        let least = if name.ends_with("_user") || name.ends_with("_device") { 5 } else { 20 };
        assert!(count.get(name).is_some_and(|count| *count >= least), "{name}: {count:?}");
    }
    let racing = ["add", "remove", "update", "leave", "propose", "join", "rejoin", "send"];
    assert!(racing.iter().all(|name| races.contains(name)), "{races:?}");
}

#[test]
fn kind_with_weight_zero_never_occurs() {
    let weights = Weights::read(r#"{ "crash": 0, "compromise": 0, "race": 0, "offline": 0 }"#).unwrap();
    let plan = Plan { weights, ..plan(3, Size { members: 6, steps: 40 }) };
    for number in 1..=100 {
        let scenario = plan.scenario(number);
        let names: BTreeSet<_> = actions(&scenario).concat().iter().map(Action::name).collect();
        assert!(!["crash", "compromise", "offline"].iter().any(|name| names.contains(name)), "{}", write(&scenario));
        assert!(scenario.expand().all(|step| matches!(step.item, Step::Do(_))), "{}", write(&scenario));
    }
}
