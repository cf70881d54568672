//! The runs of a sweep: the points of its grid, each with every seed, and the scenario of each
//! point.

use std::{cell::RefCell, fmt::Write as _, fs, path::Path};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    format::{Axis, Sweep},
    path::FieldPath,
    program::Program,
    thefts,
};
use crate::scenario::{self, FileProblem, Scenario, Unusable};

/// The largest number of points whose problems are reported. Most points have the same problems.
const MAX_UNUSABLE_POINTS: usize = 5;

/// A sweep whose points are all usable.
#[derive(Debug)]
pub struct Plan<'s> {
    /// The sweep.
    pub sweep: &'s Sweep,
    /// The points, in the order of the grid: the last axis changes fastest.
    pub points: Vec<Point>,
}

/// One point of the grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// For each axis, the index of its value.
    pub values: Vec<usize>,
    /// SHA-256 of the scenario.
    hash: String,
    /// The estimated work of one run, in a unit without a name.
    pub work: u64,
}

/// One run: a point, by its index, and a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// The index of the point.
    pub point: usize,
    /// The seed.
    pub seed: u64,
}

impl<'s> Plan<'s> {
    /// Lists the points of a sweep, and checks the scenario of each point.
    ///
    /// # Errors
    ///
    /// The problems of the first points that are not usable, with the values of their axes.
    pub fn of(sweep: &'s Sweep, file: &Path) -> Result<Self, Unusable> {
        let count = sweep.axes.iter().map(|axis| axis.values.len()).product();
        let mut points = Vec::with_capacity(count);
        let mut problems = Vec::new();
        let mut unusable = 0;
        for number in 0..count {
            let values = values_of(sweep, number);
            match scenario_of(sweep, &values, &[]) {
                Ok((scenario, hash)) => {
                    let seed = sweep.seeds.first().copied().unwrap_or_default();
                    points.push(Point { values, hash, work: work(&scenario, seed) });
                }
                Err(told) => {
                    unusable += 1;
                    let point = describe(sweep, &values);
                    let of_point = |told: FileProblem| FileProblem {
                        position: None,
                        field: told.field,
                        problem: format!("{} (at the point {point})", told.problem),
                    };
                    if unusable <= MAX_UNUSABLE_POINTS {
                        problems.extend(told.into_iter().map(of_point));
                    }
                }
            }
        }
        if unusable > MAX_UNUSABLE_POINTS {
            let problem = format!("{unusable} of {count} points are not usable; above are the first of them");
            problems.push(FileProblem { position: None, field: "axes".to_owned(), problem });
        }
        if problems.is_empty() { Ok(Self { sweep, points }) } else { Err(Unusable { file: file.to_owned(), problems }) }
    }

    /// All runs, in the order of the tables: the seeds change fastest.
    pub fn runs(&self) -> impl Iterator<Item = PlannedRun> + '_ {
        let seeds = &self.sweep.seeds;
        (0..self.points.len()).flat_map(|point| seeds.iter().map(move |seed| PlannedRun { point, seed: *seed }))
    }

    /// The labels of a point, one for each axis.
    pub fn labels(&self, point: usize) -> impl Iterator<Item = &str> {
        let axes = self.sweep.axes.iter().zip(&self.points[point].values);
        axes.map(|(axis, value)| axis.values[*value].label.as_str())
    }

    /// The values of a point, as a text for messages.
    #[must_use]
    pub fn describe(&self, point: usize) -> String {
        describe(self.sweep, &self.points[point].values)
    }

    /// The scenario of a run, with its random thefts.
    ///
    /// # Errors
    ///
    /// The problems of the scenario. There are none, because the plan has checked each point.
    pub fn scenario(&self, run: PlannedRun) -> Result<Scenario, Vec<FileProblem>> {
        self.scenario_with(run, &[])
    }

    /// The scenario of a run, with more values in its fields.
    ///
    /// # Errors
    ///
    /// The problems of the scenario, if a value does not fit.
    pub fn scenario_with(&self, run: PlannedRun, more: &[(FieldPath, Value)]) -> Result<Scenario, Vec<FileProblem>> {
        let (scenario, _) = scenario_of(self.sweep, &self.points[run.point].values, more)?;
        Ok(match self.sweep.thefts {
            Some(count) => thefts::with_thefts(&scenario, count, run.seed),
            None => scenario,
        })
    }

    /// The name under which the store keeps a run. It follows from everything that can change the
    /// result: the scenario, the seed, the other settings of the sweep, and the program.
    #[must_use]
    pub fn key(&self, run: PlannedRun, program: &Program) -> String {
        let Sweep { from_epoch, thefts, .. } = self.sweep;
        let PlannedRun { point, seed } = run;
        let program = &program.sha256;
        let text = format!("{} {seed} {from_epoch} {thefts:?} {program}", self.points[point].hash);
        hex::encode(Sha256::digest(text))
    }
}

/// The index of each axis's value at the point with this number.
fn values_of(sweep: &Sweep, number: usize) -> Vec<usize> {
    let mut rest = number;
    let value = |axis: &Axis| {
        let value = rest % axis.values.len();
        rest /= axis.values.len();
        value
    };
    let mut values: Vec<usize> = sweep.axes.iter().rev().map(value).collect();
    values.reverse();
    values
}

/// The scenario of a point, and the hash of its text and of its trace.
fn scenario_of(
    sweep: &Sweep,
    values: &[usize],
    more: &[(FieldPath, Value)],
) -> Result<(Scenario, String), Vec<FileProblem>> {
    let mut base = sweep.base.clone();
    for (axis, value) in sweep.axes.iter().zip(values) {
        for (path, value) in &axis.values[*value].set {
            set(&mut base, path, value)?;
        }
    }
    for (path, value) in more {
        set(&mut base, path, value)?;
    }
    let text = base.to_string();
    let hash = RefCell::new(Sha256::new_with_prefix(&text));
    let traces = |file: &str| {
        let content = fs::read(sweep.folder.join(file)).map_err(|error| format!("the trace is unusable: {error}"))?;
        hash.borrow_mut().update(Sha256::digest(content));
        scenario::history(&sweep.folder, file)
    };
    let scenario = scenario::read_with(&text, &traces)?;
    Ok((scenario, hex::encode(hash.into_inner().finalize())))
}

fn set(base: &mut Value, path: &FieldPath, value: &Value) -> Result<(), Vec<FileProblem>> {
    path.set(base, value.clone())
        .map_err(|error| vec![FileProblem { position: None, field: path.to_string(), problem: error.to_string() }])
}

fn describe(sweep: &Sweep, values: &[usize]) -> String {
    let mut told = String::new();
    for (axis, value) in sweep.axes.iter().zip(values) {
        let comma = if told.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(told, "{comma}{} = {}", axis.name, axis.values[*value].label);
    }
    told
}

/// The estimated work of a run. Each step costs each member an update of its tree, and the tree
/// grows with the members.
fn work(scenario: &Scenario, seed: u64) -> u64 {
    /// The part of a member's work for one step that does not depend on the size of the group, in
    /// units of the work for one leaf.
    const FIXED: u64 = 200;
    /// The largest number of steps that the estimate counts.
    const MOST: usize = 100_000;
    let members = scenario.members.len() as u64;
    let steps = scenario.expand_with_seed(seed).take(MOST).count() as u64;
    steps.saturating_mul(members.saturating_mul(members.saturating_add(FIXED)))
}
