//! Everybody's device, stolen after every step: what a [`Matrix`] is filled with.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::{Failed, World, post::Post, fault_injection::NoFaults};
use crate::{
    adversary::{Exposure, StolenBytes, healed_after},
    oracle::Holdings,
    report::{
        Failure, Matrix, RunOutcome, RunOptions, Transcript,
        matrix::{Cell, Column, Row, MatrixStep},
    },
    scenario::{Action, FailCode, MemberName, Placed, Proposal, Scenario, Step},
};

/// How it is found out what a thief reads.
const METHOD: &str = "with keys that follow from the stolen bytes, as RFC 9420 predicts";

/// How many snapshots there may be: each is all that a device holds, and all are kept until the end.
const MAX_SNAPSHOTS: usize = 20_000;

/// What is kept of a run for its matrix.
#[derive(Default)]
pub(super) struct Watch {
    steps: Vec<MatrixStep>,
    taken: Vec<Taken>,
    /// For each message, the step in which it was sent.
    sent: Vec<usize>,
}

/// A device, stolen.
struct Taken {
    device: usize,
    after_step: usize,
    /// The epoch that the device was in, and the group's.
    epoch: Option<u64>,
    group_epoch: u64,
    stolen: Vec<StolenBytes>,
    holdings: Holdings,
}

/// Runs a scenario, steals every member's device after every step, and finds out what each thief reads until the end.
///
/// # Errors
///
/// The outcome of the run, if something in it did not hold: a matrix of it would say nothing. That there would be more than
/// 20,000 snapshots is told before it is run.
pub fn of(scenario: &Scenario, options: &RunOptions) -> Result<Matrix, RunOutcome> {
    let seed = options.seed_of(scenario);
    if let Some(failure) = too_many(scenario) {
        return Err(RunOutcome { failures: vec![failure], ..RunOutcome::default() });
    }
    let mut transcript = Transcript::new(&scenario.name, false);
    let broken = |failed: Failed| RunOutcome { failures: vec![failed.into_failure(None)], ..RunOutcome::default() };
    let mut world = Post::here(&NoFaults)
        .map_err(|error| Failed::new(FailCode::Rejected, error))
        .and_then(|service| World::new(scenario, seed, &mut transcript, &NoFaults, service, Some(Watch::default())))
        .map_err(broken)?;
    let mut failures = world.play(scenario);
    if failures.is_empty() {
        failures = world.invariants();
    }
    if !failures.is_empty() {
        return Err(RunOutcome { failures, figures: world.figures() });
    }
    let Watch { steps, taken, sent } = world.watch.take().unwrap_or_default();
    let columns = world.sent.messages.iter().zip(sent).map(|(message, step)| Column {
        message: message.id.clone(),
        sender: world.devices[message.at.sender].name.clone(),
        epoch: message.at.epoch,
        step,
    });
    let columns = columns.collect();
    world.chronicle.see_tapes();
    let chronicle = &world.chronicle;
    // Whether the engine reads no more than that is what the runs of scenarios ask.
    let answers = taken.par_iter().map(|taken| chronicle.answers(&taken.stolen, &taken.holdings, &BTreeSet::new()));
    let answers: Vec<_> = answers.collect();
    let mut rows = Vec::with_capacity(taken.len());
    for (taken, answers) in taken.iter().zip(answers) {
        let thief =
            format!("the thief of {} after {}", world.devices[taken.device].name, steps[taken.after_step].place);
        failures.extend(world.disagreement_failures(&thief, &answers.disagreements));
        rows.push((taken, answers.exposure));
    }
    if !failures.is_empty() {
        return Err(RunOutcome { failures, figures: world.figures() });
    }
    // A member's rows together. They are in the order of the steps, and stay so.
    rows.sort_by_key(|(taken, _)| taken.device);
    let rows = rows.into_iter().map(|(taken, exposure)| world.row(taken, &exposure)).collect();
    Ok(Matrix { scenario: scenario.name.clone(), seed, method: METHOD, steps, columns, rows })
}

fn too_many(scenario: &Scenario) -> Option<Failure> {
    let steps = scenario.expand().filter(|step| !matches!(step.item, Step::Do(Action::Expect(_)))).count();
    let snapshots = steps.saturating_mul(scenario.members.len());
    (snapshots > MAX_SNAPSHOTS).then(|| Failure {
        place: None,
        expected: format!("a matrix has at most {MAX_SNAPSHOTS} snapshots, one of each member after each step"),
        seen: format!("there would be {snapshots}"),
        events: Vec::new(),
    })
}

impl World<'_> {
    /// A step has been done: steals every device, if somebody is to know.
    pub(super) fn watch(&mut self, step: &Placed<Step>) -> Result<(), Failed> {
        let Some(mut watch) = self.watch.take() else { return Ok(()) };
        let (after_step, group_epoch) = (watch.steps.len(), self.service_epoch());
        watch.steps.push(MatrixStep { place: step.place.clone(), what: what(&step.item) });
        watch.sent.resize(self.sent.messages.len(), after_step);
        for device in 0..self.devices.len() {
            let epoch = self.devices[device].epoch(&self.group);
            let snapshot = self.devices[device].client.snapshot();
            let snapshot = snapshot.map_err(|e| Failed::new(FailCode::InvalidMessage, e))?;
            let (stolen, holdings) = (StolenBytes::all_of(&snapshot), self.chronicle.holdings(device));
            watch.taken.push(Taken { device, after_step, epoch, group_epoch, stolen, holdings });
        }
        self.watch = Some(watch);
        Ok(())
    }

    fn row(&self, taken: &Taken, exposure: &Exposure) -> Row {
        let member = |epoch: u64| self.rosters.get(epoch as usize).is_some_and(|roster| roster.contains(&taken.device));
        let cells = self.sent.messages.iter().enumerate().map(|(number, message)| Cell {
            exposed: exposure.messages.contains_key(&number),
            member: member(message.at.epoch),
        });
        Row {
            member: self.devices[taken.device].name.clone(),
            after_step: taken.after_step,
            epoch: taken.epoch,
            cells: cells.collect(),
            healed_after: healed_after(exposure.reach.max(taken.epoch), taken.group_epoch, self.service_epoch()),
        }
    }
}

/// What a step does, in two words.
fn what(step: &Step) -> String {
    let Step::Do(action) = step else { return "race".to_owned() };
    let name = action.name();
    let several = |name: &str, who: &[MemberName]| match who {
        [first, rest @ ..] if !rest.is_empty() => format!("{name} {first} +{}", rest.len()),
        [first, ..] => format!("{name} {first}"),
        [] => name.to_owned(),
    };
    match action {
        Action::Create { by, .. } | Action::Update { by, .. } | Action::Commit { by } => format!("{name} {by}"),
        Action::Propose { what: Proposal::Add(who), .. } => several("propose add", who),
        Action::Propose { what: Proposal::Remove(who), .. } => several("propose remove", who),
        Action::Propose { by, what: Proposal::Update } => format!("propose update {by}"),
        Action::Send { id, .. } => format!("{name} {id}"),
        Action::Hold(what) | Action::Release(what) | Action::Drop(what) | Action::Duplicate(what) => {
            format!("{name} {}", what.id)
        }
        Action::Crash { who, .. } | Action::Compromise { who, .. } => format!("{name} {who}"),
        Action::Add { who, .. } | Action::Remove { who, .. } => several(name, who),
        Action::Leave { who } | Action::Join { who } | Action::Rejoin { who } => several(name, who),
        Action::Offline { who } | Action::Online { who } | Action::RenewKeyPackages { who } => several(name, who),
        Action::Impersonate { compromise, act, .. } => format!("{act} as {compromise}"),
        Action::Wait(_) | Action::Expect(_) => name.to_owned(),
    }
}
