//! Executes the missing runs of a sweep, side by side.

use std::{
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    plan::{Plan, PlannedRun},
    program::Program,
    record::RunRecord,
    store::{RunStore, StoreError},
};
use crate::{
    report::{RunOptions, RunOutcome, Transcript},
    scenario::Scenario,
};

/// A function that runs one scenario.
pub type Runner<'f> = &'f (dyn Fn(&Scenario, &RunOptions, &mut Transcript) -> RunOutcome + Sync);

/// The time after which no further run is measured for the estimate.
const MEASURE_FOR: Duration = Duration::from_secs(2);

/// The runs that a sweep still has to do.
pub struct Execution<'e> {
    plan: &'e Plan<'e>,
    program: &'e Program,
    store: &'e RunStore,
    runner: Runner<'e>,
    /// The missing runs, the one with the least work first.
    missing: Vec<PlannedRun>,
}

/// The progress of an execution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The number of runs that this execution has finished.
    pub done: usize,
    /// The number of runs that this execution has to do.
    pub all: usize,
    /// The estimated time until the end.
    pub left: Duration,
}

impl<'e> Execution<'e> {
    /// Finds the runs that are missing in the store.
    #[must_use]
    pub fn prepare(plan: &'e Plan<'e>, program: &'e Program, store: &'e RunStore, runner: Runner<'e>) -> Self {
        let mut missing: Vec<_> = plan.runs().filter(|run| store.get(&plan.key(*run, program)).is_none()).collect();
        missing.sort_by_key(|run| plan.points[run.point].work);
        Self { plan, program, store, runner, missing }
    }

    /// The number of missing runs.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Estimates the time of all missing runs on this number of threads. Does up to two of them for
    /// the estimate: the smallest run and, if that was quick, one of the middle. Their results are
    /// stored.
    ///
    /// # Errors
    ///
    /// [`StoreError::Write`].
    pub fn estimate(&mut self, jobs: usize) -> Result<Duration, StoreError> {
        let mut per_work = 0.0;
        for part in [1, 2] {
            if self.missing.is_empty() {
                break;
            }
            let index = (self.missing.len() - 1) * (part - 1) / part;
            let run = self.missing.remove(index);
            let time = self.execute(run)?;
            per_work = time.as_secs_f64() / self.work(run);
            if time > MEASURE_FOR {
                break;
            }
        }
        Ok(duration(per_work * self.work_left(self.missing.iter().copied()) / jobs as f64))
    }

    /// Does all missing runs on this number of threads, and stores each result at once. Calls `tell`
    /// after each run.
    ///
    /// # Errors
    ///
    /// The first result that could not be stored. No further run starts after it.
    pub fn execute_all(&self, jobs: usize, mut tell: impl FnMut(Progress)) -> Result<(), StoreError> {
        let start = Instant::now();
        let all = self.missing.len();
        let next = AtomicUsize::new(0);
        // Large runs come first, so that no thread has a large one at the end.
        let order: Vec<_> = self.missing.iter().rev().copied().collect();
        let whole = self.work_left(order.iter().copied());
        thread::scope(|scope| {
            let (send, receive) = mpsc::channel();
            for _ in 0..jobs.min(all) {
                let (send, next, order) = (send.clone(), &next, &order);
                scope.spawn(move || {
                    while let Some(run) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = self.execute(*run).map(|_| *run);
                        let failed = result.is_err();
                        // The receiver is gone after an error; start no further run.
                        if send.send(result).is_err() || failed {
                            break;
                        }
                    }
                });
            }
            drop(send);
            let mut finished = 0.0;
            for (done, result) in receive.into_iter().enumerate() {
                finished += self.work(result?);
                let per_work = start.elapsed().as_secs_f64() / finished;
                tell(Progress { done: done + 1, all, left: duration(per_work * (whole - finished)) });
            }
            Ok(())
        })
    }

    /// Does one run, and stores its result. Returns the duration of the run.
    fn execute(&self, run: PlannedRun) -> Result<Duration, StoreError> {
        let sweep = self.plan.sweep;
        let start = Instant::now();
        let record = match self.plan.scenario(run) {
            Ok(scenario) => {
                let options = RunOptions { seed: Some(run.seed), costs: true, ..RunOptions::default() };
                let mut transcript = Transcript::new(&scenario.name, false);
                let outcome = RunOutcome::of(|| (self.runner)(&scenario, &options, &mut transcript));
                let seconds = start.elapsed().as_secs_f64();
                RunRecord::of(&scenario, &outcome, sweep.from_epoch, sweep.thefts.is_some(), seconds)
            }
            // The plan has checked each point, and nothing has changed since.
            Err(_) => return Ok(start.elapsed()),
        };
        self.store.put(&self.plan.key(run, self.program), &record)?;
        Ok(start.elapsed())
    }

    fn work(&self, run: PlannedRun) -> f64 {
        self.plan.points[run.point].work.max(1) as f64
    }

    fn work_left(&self, runs: impl Iterator<Item = PlannedRun>) -> f64 {
        runs.map(|run| self.work(run)).sum()
    }
}

/// The duration of a number of seconds. A number that is no duration gives none.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
