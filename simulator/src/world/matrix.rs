//! Runs a scenario for an exposure matrix ([`Matrix`]): every device is stolen after every step.

use std::collections::BTreeSet;

use rayon::prelude::*;
use regrow_engine::GroupId;

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
        matrix::{Cell, Column, GroupMatrix, Row},
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
    let places: Vec<_> = steps.iter().map(|step| step.place.to_string()).collect();
    let mut thefts = match world.exposures(&snapshots, &places) {
        Ok(thefts) => thefts,
        Err(failures) => {
            return Err(Box::new(RunOutcome { failures, figures: world.figures(), ..RunOutcome::default() }));
        }
    };
    // The sort groups the rows of a member, and keeps the order of the steps.
    thefts.sort_by_key(|(snapshot, _)| snapshot.device);
    let groups = world.group_matrices(&sent_in, &thefts);
    Ok(Matrix { scenario: scenario.name.clone(), seed, method: METHOD, steps, groups })
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
    /// The matrix of each group. Without a group, there is one without messages.
    fn group_matrices(&self, sent_in: &[usize], thefts: &[Theft<'_>]) -> Vec<GroupMatrix> {
        let ids = self.service.groups.keys();
        let mut matrices: Vec<_> = ids.map(|id| self.group_matrix(Some(id), sent_in, thefts)).collect();
        if matrices.is_empty() {
            matrices.push(self.group_matrix(None, sent_in, thefts));
        }
        matrices
    }

    fn group_matrix(&self, id: Option<&GroupId>, sent_in: &[usize], thefts: &[Theft<'_>]) -> GroupMatrix {
        let sent = self.service.sent.list.iter().enumerate();
        let numbers: Vec<_> =
            sent.filter(|(_, message)| Some(&message.group) == id).map(|(number, _)| number).collect();
        let column = |number: &usize| {
            let message = &self.service.sent.list[*number];
            Column {
                message: message.id.clone(),
                sender: self.devices[message.at.sender].name.clone(),
                epoch: message.at.epoch,
                step: sent_in[*number],
            }
        };
        let record = id.and_then(|id| self.service.groups.get(id));
        // A matrix of several groups leaves out the devices that never were in the group.
        let several = self.service.groups.len() > 1;
        let was_in = |device| record.is_some_and(|record| record.rosters.iter().any(|roster| roster.contains(&device)));
        let thefts = thefts.iter().filter(|(taken, _)| !several || was_in(taken.device));
        GroupMatrix {
            name: record.map(|record| record.name.clone()).unwrap_or_default(),
            columns: numbers.iter().map(column).collect(),
            rows: thefts.map(|(taken, exposure)| self.row(id, &numbers, taken, exposure)).collect(),
        }
    }

    /// The exposure of each snapshot, or the disagreements between the tape and the oracle.
    fn exposures<'s>(
        &mut self,
        snapshots: &'s [DeviceSnapshot],
        places: &[String],
    ) -> Result<Vec<Theft<'s>>, Vec<Failure>> {
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

    /// The row of a snapshot in a group, with a cell for each message with one of these numbers.
    fn row(&self, id: Option<&GroupId>, numbers: &[usize], taken: &DeviceSnapshot, exposure: &Exposure) -> Row {
        let cells = numbers.iter().map(|number| {
            let message = &self.service.sent.list[*number];
            Cell {
                exposed: exposure.messages.contains_key(number),
                member: self.service.was_member(taken.device, &message.group, message.at.epoch).unwrap_or_default(),
            }
        });
        let at_theft = id.and_then(|id| taken.groups.get(id)).copied().unwrap_or_default();
        let reach = id.and_then(|id| exposure.reach.get(id)).copied();
        Row {
            member: self.devices[taken.device].name.clone(),
            after_step: taken.after_step,
            epoch: at_theft.device_epoch,
            cells: cells.collect(),
            healed_after: at_theft.healed_after(reach, id.map_or(0, |id| self.service.epoch(id))),
        }
    }
}

/// A snapshot, with the messages that its thief can read.
type Theft<'s> = (&'s DeviceSnapshot, Exposure);
