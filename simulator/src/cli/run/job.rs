//! One file of a run, and the settings with which it runs.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use regrow_simulator::{
    report::{Cause, Failure, FileOutcome, RunOptions, RunOutcome, RunResult, Transcript, progress::Progress},
    scenario::Scenario,
};

use crate::cli::{files::LoadedFile, runner::Runner};

/// The settings with which every file runs.
pub(super) struct Job {
    pub(super) runner: Runner,
    /// The options of every run. Each run has its own progress.
    pub(super) options: RunOptions,
    pub(super) keep_lines: bool,
    /// True if a warning is a failure in every file.
    pub(super) is_strict: bool,
    /// The time on the wall clock after which a scenario fails.
    pub(super) timeout: Option<Duration>,
    /// True if somebody sees the progress of a run.
    pub(super) is_watched: bool,
}

/// A result and, if the user wants them, the lines of its transcript.
pub(super) struct Done {
    pub(super) result: RunResult,
    pub(super) lines: Vec<u8>,
}

impl Job {
    /// The time after which this file fails: the shorter of the limits of the command line and of the
    /// file.
    pub(super) fn limit(&self, loaded: &LoadedFile) -> Option<Duration> {
        let own = loaded.scenario.as_ref().ok().and_then(|scenario| scenario.run.timeout.real);
        own.into_iter().chain(self.timeout).min()
    }

    /// Runs a file.
    pub(super) fn run(&self, loaded: &LoadedFile, progress: &Arc<Progress>) -> Done {
        let start = Instant::now();
        let (outcome, lines) = match &loaded.scenario {
            Err(problems) => (FileOutcome::Unusable(problems.clone()), Vec::new()),
            Ok(scenario) => self.run_scenario(&loaded.file, scenario, progress),
        };
        Done { result: RunResult { file: loaded.file.clone(), outcome, duration: start.elapsed() }, lines }
    }

    fn run_scenario(&self, file: &Path, scenario: &Scenario, progress: &Arc<Progress>) -> (FileOutcome, Vec<u8>) {
        let options = RunOptions { progress: Arc::clone(progress), ..self.options.clone() };
        if self.is_watched {
            progress.set_all_steps(scenario.expand_with_seed(options.seed_of(scenario)).count() as u64);
        }
        let mut transcript = Transcript::new(&scenario.name, self.keep_lines).of_file(file);
        let mut outcome = RunOutcome::of(|| (self.runner)(scenario, &options, &mut transcript));
        for failure in outcome.failures.iter_mut().filter(|failure| failure.cause == Cause::Bug) {
            failure.place = progress.place();
        }
        if self.is_strict || scenario.run.strict {
            outcome = outcome.into_strict();
        }
        let (hash, lines) = match transcript.finish() {
            Ok(recorded) => (recorded.hash, recorded.lines),
            Err(error) => {
                let mut bug = RunOutcome::of_bug("the transcript is written", &error.to_string());
                outcome.failures.append(&mut bug.failures);
                (String::new(), Vec::new())
            }
        };
        (self.ran(scenario, outcome, hash), lines)
    }

    fn ran(&self, scenario: &Scenario, outcome: RunOutcome, transcript: String) -> FileOutcome {
        let (name, seed) = (scenario.name.clone(), self.options.seed_of(scenario));
        FileOutcome::Ran { name, seed, outcome: Box::new(outcome), transcript }
    }

    /// The result of a file that did not end in time. Nobody waits for its run any more.
    pub(super) fn timed_out(&self, loaded: &LoadedFile, progress: &Progress, limit: Duration) -> Done {
        let expected = format!("the scenario ends within {} s", limit.as_secs());
        let seen = match progress.place() {
            Some(_) => "this step had not ended; give the scenario more time, or make it smaller",
            None => "its first step had not begun; give the scenario more time, or make it smaller",
        };
        let failure = Failure { cause: Cause::Timeout, ..Failure::new(progress.place(), expected, seen) };
        let outcome = match &loaded.scenario {
            Err(problems) => FileOutcome::Unusable(problems.clone()),
            Ok(scenario) => {
                let outcome = RunOutcome { failures: vec![failure], ..RunOutcome::default() };
                self.ran(scenario, outcome, String::new())
            }
        };
        Done { result: RunResult { file: loaded.file.clone(), outcome, duration: limit }, lines: Vec::new() }
    }
}
