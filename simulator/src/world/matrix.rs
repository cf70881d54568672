//! Runs a scenario for an exposure matrix ([`Matrix`]): every device is stolen after every step.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::{
    fault_injection::NoFaults,
    matrix_recorder::{DeviceSnapshot, MatrixRecorder},
    service_under_test::Endpoint,
    settings,
    state::World,
    step_failure::StepFailure,
};
use crate::{
    adversary::Exposure,
    report::{
        Failure, Matrix, RunOptions, RunOutcome, Transcript,
        matrix::{Cell, Column, Row},
    },
    scenario::{Fidelity, Scenario},
};

/// The method that decides which messages a thief reads, as the reports state it.
const METHOD: &str = "with keys that follow from the stolen bytes, as RFC 9420 predicts";

/// The largest number of snapshots. Each contains a whole device, and all are kept until the end.
const MAX_SNAPSHOTS: usize = 20_000;

/// Runs a scenario, and computes for each snapshot which messages its thief reads until the end.
///
/// # Errors
///
/// The outcome of the run, if a check failed. A matrix of such a run would mean nothing. A scenario
/// with more than 20,000 snapshots is refused before it runs.
pub fn of(scenario: &Scenario, options: &RunOptions) -> Result<Matrix, Box<RunOutcome>> {
    let seed = options.seed_of(scenario);
    if let Some(failure) =
        without_devices(scenario).or_else(|| two_histories(scenario)).or_else(|| too_many(scenario, seed))
    {
        return Err(Box::new(RunOutcome { failures: vec![failure], ..RunOutcome::default() }));
    }
    let mut transcript = Transcript::new(&scenario.name, false);
    let recorder = Some(MatrixRecorder::default());
    let mut world = Endpoint::local(&NoFaults, scenario.service.retention)
        .map_err(StepFailure::from)
        .and_then(|endpoint| World::new(scenario, options, &mut transcript, &NoFaults, endpoint, recorder))
        .map_err(|failure| RunOutcome { failures: vec![failure.into_failure(None)], ..RunOutcome::default() })
        .map_err(Box::new)?;
    let failures = world.play_and_check(scenario);
    if !failures.is_empty() {
        return Err(Box::new(RunOutcome { failures, figures: world.figures(), ..RunOutcome::default() }));
    }
    let MatrixRecorder { steps, snapshots, sent_in } = world.matrix.take().unwrap_or_default();
    let columns = world.columns(sent_in);
    let places: Vec<_> = steps.iter().map(|step| step.place.to_string()).collect();
    let mut exposures = match world.exposures(&snapshots, &places) {
        Ok(exposures) => exposures,
        Err(failures) => {
            return Err(Box::new(RunOutcome { failures, figures: world.figures(), ..RunOutcome::default() }));
        }
    };
    // The sort groups the rows of a member, and keeps the order of the steps.
    exposures.sort_by_key(|(snapshot, _)| snapshot.device);
    let rows = exposures.into_iter().map(|(snapshot, exposure)| world.row(snapshot, &exposure)).collect();
    Ok(Matrix { scenario: scenario.name.clone(), seed, method: METHOD, steps, columns, rows })
}

fn without_devices(scenario: &Scenario) -> Option<Failure> {
    let seen = "its `fidelity` is `model`, and the cost model has no devices";
    (scenario.fidelity == Fidelity::Model)
        .then(|| Failure::new(None, "a matrix is of a scenario with real devices", seen))
}

fn two_histories(scenario: &Scenario) -> Option<Failure> {
    let seen = "it has a step `equivocate`";
    settings::equivocates(scenario).then(|| Failure::new(None, "a matrix is of a scenario with one history", seen))
}

fn too_many(scenario: &Scenario, seed: u64) -> Option<Failure> {
    let steps = scenario.expand_with_seed(seed).filter(|step| step.item.expect().is_none());
    // A churn may generate many more steps than a matrix can have.
    let steps = steps.take(MAX_SNAPSHOTS + 1).count();
    let snapshots = steps.saturating_mul(scenario.members.len());
    (snapshots > MAX_SNAPSHOTS).then(|| {
        let expected = format!("a matrix has at most {MAX_SNAPSHOTS} snapshots, one of each member after each step");
        Failure::new(None, expected, format!("there would be {snapshots}"))
    })
}

impl World<'_> {
    fn columns(&self, sent_in: Vec<usize>) -> Vec<Column> {
        let columns = self.service.sent.list.iter().zip(sent_in).map(|(message, step)| Column {
            message: message.id.clone(),
            sender: self.devices[message.at.sender].name.clone(),
            epoch: message.at.epoch,
            step,
        });
        columns.collect()
    }

    /// The exposure of each snapshot, or the disagreements between the tape and the oracle.
    fn exposures<'s>(
        &mut self,
        snapshots: &'s [DeviceSnapshot],
        places: &[String],
    ) -> Result<Vec<(&'s DeviceSnapshot, Exposure)>, Vec<Failure>> {
        self.recorder.facts.read_tapes();
        let facts = &self.recorder.facts;
        // The replay of stolen states belongs to the runs of scenarios, not to the matrix.
        let replayed = BTreeSet::new();
        let answers = snapshots.par_iter().map(|taken| facts.answers(&taken.stolen, &taken.holdings, &replayed));
        let answers: Vec<_> = answers.collect();
        let (mut failures, mut exposures) = (Vec::new(), Vec::with_capacity(snapshots.len()));
        for (taken, answers) in snapshots.iter().zip(answers) {
            let (name, place) = (&self.devices[taken.device].name, &places[taken.after_step]);
            let thief = format!("the thief of {name} after {place}");
            failures.extend(self.disagreement_failures(&thief, &answers.disagreements));
            exposures.push((taken, answers.exposure));
        }
        if failures.is_empty() { Ok(exposures) } else { Err(failures) }
    }

    fn row(&self, taken: &DeviceSnapshot, exposure: &Exposure) -> Row {
        let cells = self.service.sent.list.iter().enumerate().map(|(number, message)| Cell {
            exposed: exposure.messages.contains_key(&number),
            member: self.service.was_member(taken.device, &message.group, message.at.epoch).unwrap_or_default(),
        });
        let healed = self.service.groups.iter().map(|(id, group)| {
            let at_theft = taken.groups.get(id).copied().unwrap_or_default();
            at_theft.healed_after(exposure.reach.get(id).copied(), group.epoch())
        });
        Row {
            member: self.devices[taken.device].name.clone(),
            after_step: taken.after_step,
            epoch: taken.groups.values().find_map(|group| group.device_epoch),
            cells: cells.collect(),
            healed_after: healed.reduce(|one, other| Some(one?.max(other?))).unwrap_or(Some(0)),
        }
    }
}
