//! Runs one scenario after the other, until one fails.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use super::{FailureKind, Shrunk, Size, Weights, generate::generate, model::makes_sense, shrink};
use crate::{
    report::{Failure, RunOutcome},
    scenario::{Scenario, read, write},
};

/// The largest number of runs that shrinking a scenario may take.
const MOST_SHRINKING_RUNS: u32 = 1000;

/// Runs a scenario. The search calls it from several threads. A panic counts as a failure.
pub type ScenarioRunner<'r> = dyn Fn(&Scenario) -> RunOutcome + Sync + 'r;

/// The scenarios that a search runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of the scenarios.
    pub seed: u64,
    /// The number of scenarios.
    pub count: u64,
    /// The largest size of each scenario.
    pub size: Size,
    /// The frequency of each kind of step.
    pub weights: Weights,
}

/// The result of a search.
#[derive(Clone, Debug)]
pub struct Searched {
    /// The number of scenarios that were run. If one failed: its number.
    pub scenarios: u64,
    /// The first scenario that failed.
    pub finding: Option<FailedScenario>,
}

/// A scenario that failed.
#[derive(Clone, Debug)]
pub struct FailedScenario {
    /// The number of the scenario in the plan, from 1.
    pub number: u64,
    /// The scenario as it was generated.
    pub scenario: Scenario,
    /// The failures of the run.
    pub failures: Vec<Failure>,
}

/// The decision of a search's watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchControl {
    /// Continue.
    GoOn,
    /// Begin no further scenario.
    Stop,
}

impl Plan {
    /// Returns the scenario with this number, from 1, as if it had been read from its file.
    #[must_use]
    pub fn scenario(&self, number: u64) -> Scenario {
        let generated = generate(self.seed, number, self.size, &self.weights);
        read(&write(&generated)).unwrap_or(generated)
    }
}

/// Runs the plan's scenarios on `jobs` threads until one fails. After each run, calls `watch` with
/// the number of runs so far. The finding is the first scenario in the plan's order that fails, on
/// any number of threads.
pub fn search(
    plan: &Plan,
    jobs: usize,
    run: &ScenarioRunner<'_>,
    mut watch: impl FnMut(u64) -> SearchControl,
) -> Searched {
    let (begun, first) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let stopped = AtomicBool::new(false);
    let findings = Mutex::new(Vec::new());
    let mut done = 0;
    thread::scope(|scope| {
        // No thread runs ahead of `watch` by more than one scenario.
        let (send, receive) = mpsc::sync_channel(0);
        for _ in 0..jobs.max(1) {
            let (send, begun, first, stopped, findings) = (send.clone(), &begun, &first, &stopped, &findings);
            scope.spawn(move || {
                loop {
                    let number = begun.fetch_add(1, Ordering::Relaxed) + 1;
                    // A scenario before the first failed one in the plan's order must still run.
                    let over = number > plan.count || number > first.load(Ordering::Relaxed);
                    if over || stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    let scenario = plan.scenario(number);
                    let failures = RunOutcome::of(|| run(&scenario)).failures;
                    if !failures.is_empty() {
                        first.fetch_min(number, Ordering::Relaxed);
                        let finding = FailedScenario { number, scenario, failures };
                        findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
                    }
                    if send.send(()).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        for () in receive {
            done += 1;
            if watch(done) == SearchControl::Stop {
                stopped.store(true, Ordering::Relaxed);
            }
        }
    });
    let findings = findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    let finding = findings.into_iter().min_by_key(|finding: &FailedScenario| finding.number);
    Searched { scenarios: finding.as_ref().map_or(done, |finding| finding.number), finding }
}

impl FailedScenario {
    /// Shrinks the scenario, and keeps the kind of its first failure.
    pub fn shrink(&self, run: &ScenarioRunner<'_>) -> Shrunk {
        let kinds = |scenario: &Scenario, failures: &[Failure]| FailureKind::of_all(scenario, failures);
        let first = kinds(&self.scenario, &self.failures).into_iter().next();
        // If the shrinker removes a step that another step needs, that step fails, too. This is no
        // finding.
        let has_to_make_sense = first.as_ref().is_some_and(FailureKind::may_be_the_scenarios);
        let may_be_taken = |candidate: &Scenario| !has_to_make_sense || makes_sense(candidate);
        shrink(&self.scenario, MOST_SHRINKING_RUNS, may_be_taken, |candidate| {
            let failures = RunOutcome::of(|| run(candidate)).failures;
            kinds(candidate, &failures).into_iter().any(|kind| Some(kind) == first)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::scenario::FailCode;

    fn plan(count: u64) -> Plan {
        Plan { seed: 1, count, size: Size { members: 4, steps: 10 }, weights: Weights::default() }
    }

    fn failure(expected: &str) -> Failure {
        Failure::new(None, expected, "")
    }

    /// Fails if the scenario contains a theft.
    fn fails_if_stolen(scenario: &Scenario) -> RunOutcome {
        let stolen = write(scenario).contains("compromise");
        RunOutcome { failures: stolen.then(|| failure("nobody steals")).into_iter().collect(), ..RunOutcome::default() }
    }

    #[test]
    fn first_failure_is_found_on_any_number_of_threads() {
        let number = |jobs| search(&plan(200), jobs, &fails_if_stolen, |_| SearchControl::GoOn).finding.unwrap().number;
        let first = number(1);
        assert!((1..first).all(|before| !write(&plan(0).scenario(before)).contains("compromise")));
        assert_eq!([number(2), number(7)], [first, first]);
    }

    #[test]
    fn every_scenario_makes_sense() {
        let plan = Plan { size: Size { members: 8, steps: 60 }, ..plan(500) };
        for number in 1..=plan.count {
            let scenario = plan.scenario(number);
            assert!(makes_sense(&scenario), "{}", write(&scenario));
        }
    }

    #[test]
    fn shrunk_scenario_with_a_failing_step_makes_sense() {
        let failed = Failure { code: Some(FailCode::NothingToCommit), ..failure("the step succeeds") };
        // Every commit fails, even if there is nothing to commit.
        let run = |scenario: &Scenario| {
            let commits = write(scenario).contains("\"commit\"");
            RunOutcome { failures: commits.then(|| failed.clone()).into_iter().collect(), ..RunOutcome::default() }
        };
        let finding = search(&plan(100), 1, &run, |_| SearchControl::GoOn).finding.unwrap();
        let shrunk = finding.shrink(&run).scenario;
        assert!(makes_sense(&shrunk), "{}", write(&shrunk));
        assert_eq!(shrunk.steps.len(), 3, "somebody makes a group and proposes: {}", write(&shrunk));
    }

    #[test]
    fn search_without_failures_finds_nothing() {
        let searched = search(&plan(30), 3, &|_| RunOutcome::default(), |_| SearchControl::GoOn);
        assert!(searched.finding.is_none());
        assert_eq!(searched.scenarios, 30);
    }

    #[test]
    fn search_stops_on_request() {
        let searched = search(&plan(u64::MAX), 1, &|_| RunOutcome::default(), |done| match done {
            0..10 => SearchControl::GoOn,
            _ => SearchControl::Stop,
        });
        assert!((10..=11).contains(&searched.scenarios), "{}", searched.scenarios);
    }

    #[test]
    fn panic_is_found_and_shrunk() {
        let runs = AtomicU32::new(0);
        let run = |scenario: &Scenario| {
            runs.fetch_add(1, Ordering::Relaxed);
            assert!(!write(scenario).contains("update"), "no updates, please");
            RunOutcome::default()
        };
        let finding = search(&plan(100), 1, &run, |_| SearchControl::GoOn).finding.unwrap();
        assert!(finding.failures[0].seen.contains("no updates, please"), "{:?}", finding.failures);
        let before = runs.swap(0, Ordering::Relaxed);
        let shrunk = finding.shrink(&run);
        assert_eq!(shrunk.runs, runs.into_inner(), "{before} before");
        assert_eq!(shrunk.scenario.steps.len(), 2, "{}", write(&shrunk.scenario));
        assert!(write(&shrunk.scenario).contains("update"));
    }
}
