//! Runs some points of a sweep with real devices and with the cost model, and compares all columns.

use serde_json::Value;

use super::{
    execute::Runner,
    path::{FieldPath, PathError},
    plan::{Plan, PlannedRun},
    record::KEYS,
};
use crate::{
    choices::Choices,
    model::EMPTY_COLUMNS,
    report::{RunOptions, RunOutcome, Transcript, costs},
    scenario::FileProblem,
};

/// The field of a scenario that chooses between real devices and the model, and its two values.
const FIELD: &str = "fidelity";
const FIDELITIES: [&str; 2] = ["real", "model"];

/// A difference between the costs of the two runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The values of the axes, and the seed.
    pub run: String,
    /// The first difference, as a sentence.
    pub told: String,
}

/// The reason why a comparison is not possible.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The field cannot be set.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A scenario with this field is not usable.
    #[error("a point cannot run with `{FIELD}`: {}", .0.iter().map(FileProblem::to_string).collect::<Vec<_>>().join("; "))]
    Unusable(Vec<FileProblem>),
}

/// Compares this number of random runs, each with both fidelities. Returns the first difference of
/// each run that has one.
///
/// # Errors
///
/// [`CheckError`].
pub fn check(plan: &Plan<'_>, count: usize, runner: Runner<'_>) -> Result<Vec<Difference>, CheckError> {
    let field = FieldPath::parse(FIELD)?;
    let mut differences = Vec::new();
    for run in random_runs(plan, count) {
        let mut outcomes = Vec::with_capacity(FIDELITIES.len());
        for fidelity in FIDELITIES {
            let set = (field.clone(), Value::from(fidelity));
            let scenario = plan.scenario_with(run, &[set]).map_err(CheckError::Unusable)?;
            let options = RunOptions { seed: Some(run.seed), costs: true, ..RunOptions::default() };
            let mut transcript = Transcript::new(&scenario.name, false);
            outcomes.push(RunOutcome::of(|| runner(&scenario, &options, &mut transcript)));
        }
        if let [real, model] = outcomes.as_slice()
            && let Some(told) = difference(real, model)
        {
            differences.push(Difference { run: format!("{}, seed {}", plan.describe(run.point), run.seed), told });
        }
    }
    Ok(differences)
}

/// Random runs, each at most once. The same sweep gives the same runs.
fn random_runs(plan: &Plan<'_>, count: usize) -> Vec<PlannedRun> {
    let mut choices = Choices::new(&format!("regrow sweep check {}", plan.sweep.text));
    let mut all: Vec<PlannedRun> = plan.runs().collect();
    let mut chosen = Vec::new();
    while chosen.len() < count && !all.is_empty() {
        chosen.push(all.swap_remove(choices.index(all.len())));
    }
    chosen
}

/// The first difference between the failures or the entries of two runs.
fn difference(real: &RunOutcome, model: &RunOutcome) -> Option<String> {
    for (fidelity, outcome) in FIDELITIES.iter().zip([real, model]) {
        if let Some(failure) = outcome.failures.first() {
            return Some(format!("the run `{fidelity}` failed: expected that {}; {}", failure.expected, failure.seen));
        }
    }
    let columns = costs::columns();
    for (row, (real, model)) in real.costs.iter().zip(&model.costs).enumerate() {
        let (real, model) = (costs::cells(real), costs::cells(model));
        let differs = |at: &usize| real[*at] != model[*at] && !EMPTY_COLUMNS.contains(&columns[*at + KEYS].as_str());
        if let Some(at) = (0..real.len()).find(differs) {
            let column = &columns[at + KEYS];
            return Some(format!("entry {}, column {column}: real {:?}, model {:?}", row + 1, real[at], model[at]));
        }
    }
    let (real, model) = (real.costs.len(), model.costs.len());
    (real != model).then(|| format!("real devices made {real} entries, the model made {model}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cost::{EntryCost, EntryKind},
        scenario::MemberName,
    };

    fn outcome(bytes: &[u64]) -> RunOutcome {
        let entry = |bytes: &u64| {
            let mut entry = EntryCost::new(0, 0, 0, EntryKind::Commit, &MemberName::new("a"));
            entry.bytes.commit = Some(*bytes);
            entry
        };
        RunOutcome { costs: bytes.iter().map(entry).collect(), ..RunOutcome::default() }
    }

    #[test]
    fn first_difference_has_its_entry_and_column() {
        assert_eq!(difference(&outcome(&[1, 2]), &outcome(&[1, 2])), None);
        let told = difference(&outcome(&[1, 2]), &outcome(&[1, 3])).unwrap();
        assert_eq!(told, "entry 2, column commit_bytes: real \"2\", model \"3\"");
        assert!(difference(&outcome(&[1, 2]), &outcome(&[1])).unwrap().contains("2 entries, the model made 1"));
    }
}
