//! The committer policy `cheapest` of a churn: no other member could seal to fewer nodes.

use std::collections::BTreeSet;

use regrow_simulator::{
    model,
    scenario::{Action, MemberName, Placed, Scenario, Step, WrittenStep, read},
};
use serde_json::{Value, json};

/// A churn with this policy, without messages: a sender commits waiting proposals whatever its costs.
fn churn(commits: &Value, presence: &Value) -> Scenario {
    let mut churn = json!({
        "initial": 7, "events": 70, "joins": "2/d", "stay": { "exponential": { "mean": "5d" } },
        "updates": { "daily_fraction": 0.15 }, "committer": "cheapest", "commits": commits,
    });
    if !presence.is_null() {
        churn["presence"] = presence.clone();
    }
    let file = json!({
        "regrow": 1, "name": "a churn", "seed": 3, "members": { "prefix": "m", "count": 24 },
        "steps": [{ "churn": churn }],
    });
    read(&file.to_string()).unwrap_or_else(|problems| panic!("{problems:?}\n{file}"))
}

/// The same commit by another member. [`None`] if the policy does not choose its committer.
fn by_another(action: &Action, by: &MemberName) -> Option<Action> {
    let by = by.clone();
    match action {
        Action::Add { who, .. } => Some(Action::Add { by, who: who.clone() }),
        Action::Remove { who, .. } => Some(Action::Remove { by, who: who.clone() }),
        Action::Commit { .. } => Some(Action::Commit { by }),
        _ => None,
    }
}

/// The nodes to which the last commit of these steps seals. [`None`] if a step fails.
fn sealed(scenario: &Scenario, steps: &[Placed<WrittenStep>]) -> Option<u64> {
    let scenario = Scenario { steps: steps.to_vec(), ..scenario.clone() };
    let outcome = model::run(&scenario, scenario.seed);
    let path = outcome.costs.iter().rev().find_map(|entry| entry.path.as_ref())?;
    outcome.failures.is_empty().then_some(path.resolution_sum)
}

/// Compares each commit with the same commit of all other members that can make it. Returns the
/// number of commits, and of those for which the committer makes a difference.
fn compare(scenario: &Scenario, committers: &mut BTreeSet<MemberName>) -> (u32, u32) {
    let (mut commits, mut differ) = (0, 0);
    let (mut steps, mut leaving) = (Vec::new(), BTreeSet::new());
    for Placed { place, item } in scenario.expand() {
        let Step::Do(action) = item else { panic!("a race") };
        if let Action::Leave { who } = &action {
            leaving.extend(who.clone());
        }
        steps.push(Placed { place: place.clone(), item: WrittenStep::Do(action.clone()) });
        if by_another(&action, &scenario.members[0]).is_none() {
            continue;
        }
        let chosen = sealed(scenario, &steps).unwrap();
        let others = scenario.members.iter().filter(|name| !leaving.contains(*name)).filter_map(|name| {
            let item = WrittenStep::Do(by_another(&action, name)?);
            *steps.last_mut()? = Placed { place: place.clone(), item };
            sealed(scenario, &steps)
        });
        let others: BTreeSet<u64> = others.collect();
        assert_eq!(others.first(), Some(&chosen), "{place}: {action:?}");
        commits += 1;
        differ += u32::from(others.len() > 1);
        committers.extend(action.submitters().first().cloned());
        leaving.clear();
        *steps.last_mut().unwrap() = Placed { place, item: WrittenStep::Do(action) };
    }
    (commits, differ)
}

#[test]
fn no_other_member_seals_to_fewer_nodes() {
    let (mut committers, mut commits, mut differ) = (BTreeSet::new(), 0, 0);
    for presence in [Value::Null, json!({ "online": "20h", "offline": "30h" })] {
        for kind in [json!("direct"), json!({ "window": "10h" }), json!({ "batch": 3 })] {
            let (all, some) = compare(&churn(&kind, &presence), &mut committers);
            (commits, differ) = (commits + all, differ + some);
        }
    }
    assert!(committers.len() > 5, "{committers:?}");
    assert!(commits > 60 && differ > 40, "{commits} {differ}");
}
