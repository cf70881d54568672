//! The stored result of one run: its outcome, its figures, and the cells of its entries.

use serde::{Deserialize, Serialize};

use super::figures;
use crate::{
    report::{RunOutcome, costs},
    scenario::Scenario,
};

/// The result of one run, in the texts of the tables. A stored result gives the same tables as a new
/// one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The name of the scenario.
    pub scenario: String,
    /// The ciphersuite of the group.
    pub ciphersuite: String,
    /// The first failure. Not set if the run passed.
    pub failure: Option<String>,
    /// The figures, in the order of their names. An empty cell is a figure that the run does not
    /// have.
    figures: Vec<String>,
    /// The cells of each entry, in the order of the columns of `regrow run --costs`, without the
    /// scenario and the seed.
    pub entries: Vec<Vec<String>>,
    /// The duration of the run on the wall clock, for estimates only.
    pub seconds: f64,
}

impl RunRecord {
    /// The record of a run with this outcome.
    #[must_use]
    pub fn of(scenario: &Scenario, outcome: &RunOutcome, from_epoch: u64, with_thefts: bool, seconds: f64) -> Self {
        let failure = outcome.failures.first().map(|failure| {
            // The scenario of a run has no file, so the line of a step would mislead.
            let place = failure.place.as_ref().map_or_else(String::new, |place| {
                let turn = place.turn.map(|turn| format!(", turn {turn}")).unwrap_or_default();
                format!("step {}{turn}: ", place.number)
            });
            format!("{place}expected that {}; {}", failure.expected, failure.seen)
        });
        let cell = |figure: &Option<f64>| figure.map(|figure| figure.to_string()).unwrap_or_default();
        Self {
            scenario: scenario.name.clone(),
            ciphersuite: scenario.group.ciphersuite.unwrap_or_default().as_str().to_owned(),
            failure,
            figures: figures::of(outcome, from_epoch, with_thefts).iter().map(cell).collect(),
            entries: outcome.costs.iter().map(costs::cells).collect(),
            seconds,
        }
    }

    /// The cells of the figures.
    #[must_use]
    pub fn figure_cells(&self) -> &[String] {
        &self.figures
    }

    /// The figures as numbers.
    #[must_use]
    pub fn figures(&self) -> Vec<Option<f64>> {
        self.figures.iter().map(|cell| cell.parse().ok()).collect()
    }

    /// True if the record has the columns of this version.
    pub(super) fn is_complete(&self) -> bool {
        let columns = costs::columns().len() - KEYS;
        self.figures.len() == figures::names().len() && self.entries.iter().all(|entry| entry.len() == columns)
    }
}

/// The columns of an entry that its cells do not contain: the scenario and the seed.
pub(super) const KEYS: usize = 2;
