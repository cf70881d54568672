//! Random thefts in a run: each one steals the device of a random member at a random time.
//!
//! The choices come from the run's seed, in a stream of their own. So the other randomness of the
//! run is the same with and without thefts.

use std::collections::BTreeSet;

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use sha2::{Digest as _, Sha256};

use crate::scenario::{
    Action, CompromiseId, Expect, MemberName, Place, Placed, Scenario, Step, TheftScope, WrittenStep,
};

/// The scenario with this number of thefts. Each theft comes after the creation of the group.
pub(super) fn with_thefts(scenario: &Scenario, count: u32, seed: u64) -> Scenario {
    let steps: Vec<Placed<Step>> = scenario.expand().collect();
    let mut rng = ChaCha20Rng::from_seed(Sha256::digest(format!("regrow sweep thefts {seed}")).into());
    let created = steps.iter().position(|step| matches!(step.item, Step::Do(Action::Create { .. })));
    // A theft is between two steps, or after the last one. An expectation of a failure must follow
    // its step directly.
    let places: Vec<usize> = (created.map_or(0, |create| create + 1)..=steps.len())
        .filter(|place| steps.get(*place).is_none_or(|next| !expects_failure(&next.item)))
        .collect();
    let mut thefts: Vec<(usize, MemberName)> = (0..count)
        .filter_map(|_| {
            let place = *places.get(below(&mut rng, places.len()))?;
            Some((place, scenario.members.get(below(&mut rng, scenario.members.len()))?.clone()))
        })
        .collect();
    thefts.sort_by_key(|(place, _)| *place);

    let taken: BTreeSet<String> = steps.iter().filter_map(|step| compromise(&step.item)).collect();
    let mut ids = (1_u64..).map(|number| format!("theft{number}")).filter(|id| !taken.contains(id));
    let end = Place { number: "end".into(), path: "steps".into(), line: 1, turn: None };
    let mut thefts = thefts.into_iter().peekable();
    let mut all = Vec::with_capacity(steps.len() + count as usize);
    let mut steal_before = |index: usize, place: &Place, all: &mut Vec<Placed<WrittenStep>>| {
        while let Some((_, who)) = thefts.next_if(|(place, _)| *place == index) {
            let Some(id) = ids.next() else { break };
            let theft = Action::Compromise { who, id: CompromiseId::new(&id), scope: TheftScope::Device };
            all.push(Placed { place: place.clone(), item: WrittenStep::Do(theft) });
        }
    };
    let count = steps.len();
    for (index, step) in steps.into_iter().enumerate() {
        steal_before(index, &step.place, &mut all);
        all.push(written(step));
    }
    steal_before(count, &end, &mut all);
    Scenario { steps: all, ..scenario.clone() }
}

fn expects_failure(step: &Step) -> bool {
    matches!(step, Step::Do(Action::Expect(Expect { fails: Some(_), .. })))
}

fn compromise(step: &Step) -> Option<String> {
    match step {
        Step::Do(Action::Compromise { id, .. }) => Some(id.as_str().to_owned()),
        _ => None,
    }
}

/// A step of a run, as a step of a file.
fn written(step: Placed<Step>) -> Placed<WrittenStep> {
    let item = match step.item {
        Step::Do(action) => WrittenStep::Do(action),
        Step::Race(contenders) => {
            let contender = |one: Placed<Action>| Placed { place: one.place, item: WrittenStep::Do(one.item) };
            WrittenStep::Race(contenders.into_iter().map(contender).collect())
        }
    };
    Placed { place: step.place, item }
}

/// A random index below `end`; 0 if `end` is 0.
fn below(rng: &mut ChaCha20Rng, end: usize) -> usize {
    // The high half of the product of a random number and a small limit is nearly uniform.
    ((u128::from(rng.next_u64()) * end as u128) >> u64::BITS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::read;

    fn scenario() -> Scenario {
        read(
            r#"{"regrow": 1, "name": "n", "members": ["a", "b"], "steps": [
                {"create": {"by": "a", "with": "b"}},
                {"repeat": {"times": 4, "steps": [{"update": {"by": "a"}}]}},
                {"remove": {"by": "b", "who": "b"}}, {"expect": {"fails": "rejected"}}]}"#,
        )
        .unwrap()
    }

    fn kinds(scenario: &Scenario) -> Vec<&'static str> {
        let name = |step: Placed<Step>| match step.item {
            Step::Do(action) => action.name(),
            Step::Race(_) => "race",
        };
        scenario.expand().map(name).collect()
    }

    #[test]
    fn thefts_come_after_the_creation_and_never_before_an_expected_failure() {
        let mut places = BTreeSet::new();
        for seed in 0..200 {
            let kinds = kinds(&with_thefts(&scenario(), 3, seed));
            assert_eq!(kinds.iter().filter(|kind| **kind == "compromise").count(), 3);
            assert_eq!(kinds[0], "create");
            let expect = kinds.iter().position(|kind| *kind == "expect").unwrap();
            assert_eq!(kinds[expect - 1], "remove");
            places.extend(kinds.iter().enumerate().filter(|(_, kind)| **kind == "compromise").map(|(at, _)| at));
        }
        assert!(places.len() >= 7, "{places:?}");
    }

    #[test]
    fn the_seed_decides_the_thefts() {
        let thefts = |seed| with_thefts(&scenario(), 5, seed);
        assert_eq!(thefts(1), thefts(1));
        assert_ne!(thefts(1), thefts(2));
    }
}
