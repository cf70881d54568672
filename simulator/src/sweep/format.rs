//! Format 1 of sweep files as types: the content of a well-formed file.

use std::path::PathBuf;

use serde_json::Value;

use super::{path::FieldPath, plot_format::PlotSpec};

/// The only format that this version reads: the value of the field `regrow_sweep`.
pub const FORMAT: u64 = 1;

/// The largest number of axes. A grid with more axes cannot be shown in a plot.
pub const MAX_AXES: usize = 16;

/// The largest number of values of one axis.
pub const MAX_VALUES: usize = 10_000;

/// The largest number of runs of a sweep. Each run has a file of its own in one folder.
pub const MAX_RUNS: usize = 100_000;

/// The largest number of thefts in one run.
pub const MAX_THEFTS: u32 = 1_000;

/// One sweep: a scenario, and the values that its runs put into the scenario's fields.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The name in reports.
    pub name: String,
    /// One sentence that says which question the sweep answers.
    pub about: Option<String>,
    /// The scenario into which each run puts its values.
    pub base: Value,
    /// The folder of the scenario. A trace is in it.
    pub folder: PathBuf,
    /// The axes of the grid. The last one changes fastest.
    pub axes: Vec<Axis>,
    /// The seeds with which each point runs, each once.
    pub seeds: Vec<u64>,
    /// The totals of a run count the entries of this epoch and of later epochs.
    pub from_epoch: u64,
    /// The number of random thefts in each run.
    pub thefts: Option<u32>,
    /// The plots.
    pub plots: Vec<PlotSpec>,
    /// The text of the sweep file.
    pub text: String,
}

/// One axis of the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The name: a column of the tables.
    pub name: String,
    /// The values, in order, each with another label.
    pub values: Vec<AxisValue>,
}

/// One value of an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisValue {
    /// The text of the value in tables and plots.
    pub label: String,
    /// The fields of the scenario that the value sets.
    pub set: Vec<(FieldPath, Value)>,
}

impl Axis {
    /// True if every label is a number.
    #[must_use]
    pub fn is_numeric(&self) -> bool {
        self.values.iter().all(|value| value.number().is_some())
    }

    /// The index of the value with this label.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<usize> {
        self.values.iter().position(|value| value.label == label)
    }
}

impl AxisValue {
    /// The label as a number.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        self.label.parse::<u64>().ok().map(|number| number as f64)
    }
}
