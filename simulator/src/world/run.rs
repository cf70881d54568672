//! Runs a scenario, step by step.

use std::time::Duration;

use super::{
    event::TranscriptEvent,
    fault_injection::{FaultInjection, NoFaults},
    service_under_test::{Endpoint, GroupRecord},
    settings,
    state::World,
    step_failure::{FailedStep, StepFailure, unexpected},
    virtual_timeout::virtual_timeout,
};
use crate::{
    model,
    report::{Failure, RunOptions, RunOutcome, Transcript},
    scenario::{Fidelity, Place, Placed, Scenario, ServiceSettings, Step},
};

/// Runs a scenario to its end, or to the first step that fails.
pub fn run(scenario: &Scenario, options: &RunOptions, transcript: &mut Transcript) -> RunOutcome {
    run_in(scenario, options, transcript, &NoFaults)
}

/// Runs a scenario with injected faults below its devices and its service.
pub fn run_in(
    scenario: &Scenario,
    options: &RunOptions,
    transcript: &mut Transcript,
    faults: &dyn FaultInjection,
) -> RunOutcome {
    if scenario.fidelity == Fidelity::Model {
        return match &options.service {
            Some(_) => RunOutcome { failures: vec![no_service()], ..RunOutcome::default() },
            None => model::run_watched(scenario, options.seed_of(scenario), &options.progress),
        };
    }
    let endpoint = match &options.service {
        Some(address) => match needs_local_service(scenario) {
            Some(failure) => return RunOutcome { failures: vec![failure], ..RunOutcome::default() },
            None => Endpoint::remote(address),
        },
        None => Endpoint::local(faults, scenario.service.retention),
    };
    let world = endpoint
        .map_err(StepFailure::from)
        .and_then(|endpoint| World::new(scenario, options, transcript, faults, endpoint, None));
    let mut world = match world {
        Ok(world) => world,
        Err(failure) => return RunOutcome { failures: vec![failure.into_failure(None)], ..RunOutcome::default() },
    };
    world.progress = options.progress.clone();
    let failures = world.play_and_check(scenario);
    let warnings = if failures.is_empty() { world.warnings(scenario) } else { Vec::new() };
    world.tell_results();
    let record = options.record.then(|| Box::new(world.take_record(scenario)));
    let figures = world.figures();
    // An `expect` can have asked for the entries.
    let costs = if options.costs { world.recorder.costs.take() } else { Vec::new() };
    RunOutcome { failures, warnings, figures, costs, record }
}

fn no_service() -> Failure {
    let seen = "its `fidelity` is `model`, so no device would use the delivery service; leave out --service";
    Failure::new(None, "the scenario runs on real devices", seen)
}

/// The failure of a scenario that needs the cooperation of a service, if it needs it.
fn needs_local_service(scenario: &Scenario) -> Option<Failure> {
    let setting = scenario.service != ServiceSettings::default();
    let what = match settings::first_for_local_service(scenario) {
        Some(step) => (Some(step.place), "this step"),
        None if setting => (None, "the setting `service`"),
        None => return None,
    };
    let (place, what) = what;
    let seen = format!("{what} needs a delivery service that cooperates, and a server does not; leave out --service");
    Some(Failure::new(place, "the scenario runs against a server", seen))
}

impl World<'_> {
    /// Plays a scenario, and checks the invariants if no step failed.
    pub(super) fn play_and_check(&mut self, scenario: &Scenario) -> Vec<Failure> {
        let failures = self.play(scenario);
        if failures.is_empty() { self.invariants() } else { failures }
    }

    /// Carries out the steps. A step that fails ends the scenario, unless the next step is an
    /// `expect` that asks for the failure.
    pub(super) fn play(&mut self, scenario: &Scenario) -> Vec<Failure> {
        let mut failed: FailedStep = None;
        // The failures of the last step: it comes first if it failed itself.
        let mut overdue = Vec::new();
        let mut last = None;
        for step in scenario.expand_with_seed(self.seed) {
            if self.progress.is_stopped() {
                return vec![Failure::new(Some(step.place), "the run goes on", "it was stopped")];
            }
            self.progress.begin_step(&step.place);
            self.recorder.set_place(Some(step.place.clone()));
            self.record_step(&step);
            if let Some(failure) = unexpected(failed.take(), &step) {
                return vec![self.recorder.with_events(failure)];
            }
            if !overdue.is_empty() {
                return overdue;
            }
            if let Step::Do(action) = &step.item
                && let Some(expect) = action.expect()
            {
                let group = action.parts().0;
                let failures = self.check_or_wait(&step.place, group, expect);
                if !failures.is_empty() {
                    return failures;
                }
                continue;
            }
            match self.play_step(&step) {
                Ok(step_failed) => {
                    failed = step_failed;
                    self.progress.end_step(self.service.groups.values().map(GroupRecord::epoch).sum());
                }
                Err(failure) => return vec![self.failed_at(step.place, failure)],
            }
            let elapsed = Duration::from_secs(self.clock.elapsed());
            if let Some(failure) = virtual_timeout(scenario, elapsed, &step.place) {
                return vec![self.recorder.with_events(failure)];
            }
            overdue = self.check_timed(&step.place);
            last = Some(step.place);
        }
        self.recorder.set_place(None);
        if let (None, Err(failure)) = (&failed, self.await_arrivals()) {
            return vec![self.recorder.with_events(failure.into_failure(None))];
        }
        if let Some((place, failure)) = failed {
            return vec![self.failed_at(place, failure)];
        }
        overdue.extend(self.check_timed_at_end(last.as_ref()));
        overdue
    }

    /// Carries out a step and settles. A failure of the step is a result; a failure to settle after
    /// it is an error.
    fn play_step(&mut self, step: &Placed<Step>) -> Result<FailedStep, StepFailure> {
        self.begin_step(step);
        let mut failed = None;
        if let Err(failure) = self.step(step).and_then(|()| self.settle()) {
            let event = TranscriptEvent::Failed { code: failure.code, detail: failure.detail.clone() };
            self.recorder.tell(event);
            failed = Some((step.place.clone(), failure));
            // The rest of the step is carried through all the same: other devices may depend on it.
            self.settle()?;
        }
        if let Some(matrix) = &mut self.matrix {
            matrix.record_step(step, &self.service, &mut self.devices, &self.recorder.facts)?;
        }
        Ok(failed)
    }

    fn failed_at(&self, place: Place, failure: StepFailure) -> Failure {
        self.recorder.with_events(failure.into_failure(Some(place)))
    }
}
