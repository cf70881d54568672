//! The columns of the entries that the plots of a sweep need, by point and run.

use std::collections::BTreeMap;

use super::{
    plan::{Plan, PlannedRun},
    plot_format::PlotKind,
    record::{KEYS, RunRecord},
};
use crate::report::costs;

/// The name of the column with the epoch of an entry.
const EPOCH: &str = "epoch";

/// One value of a column, with the epoch of its entry.
pub type EpochValue = (u64, f64);

/// The values of some columns of all runs that passed.
#[derive(Clone, Debug)]
pub struct EntrySample {
    from_epoch: u64,
    epoch: usize,
    /// The index of each column in the cells of an entry.
    columns: BTreeMap<String, usize>,
    /// For each column and point, the values of each run.
    values: BTreeMap<(String, usize), Vec<Vec<EpochValue>>>,
}

impl EntrySample {
    /// A sample without runs, for the columns that the plots show.
    #[must_use]
    pub fn of(plan: &Plan<'_>) -> Self {
        let all = costs::columns();
        let index = |name: &str| all.iter().position(|column| column == name).and_then(|at| at.checked_sub(KEYS));
        let shown = plan.sweep.plots.iter().filter_map(|plot| match &plot.kind {
            PlotKind::Epochs { y: column } | PlotKind::Distribution { x: column } => Some(column.clone()),
            PlotKind::Line { .. } | PlotKind::Bytes { .. } | PlotKind::Frontier { .. } => None,
        });
        let columns = shown.filter_map(|column| index(&column).map(|index| (column, index))).collect();
        let epoch = index(EPOCH).unwrap_or_default();
        Self { from_epoch: plan.sweep.from_epoch, epoch, columns, values: BTreeMap::new() }
    }

    /// Adds a run. A run that failed has no entries to compare.
    pub fn push(&mut self, run: PlannedRun, record: &RunRecord) {
        if record.failure.is_some() {
            return;
        }
        for (column, index) in &self.columns {
            let value = |entry: &Vec<String>| {
                let epoch = entry.get(self.epoch)?.parse().ok()?;
                Some((epoch, entry.get(*index)?.parse().ok()?))
            };
            let values = record.entries.iter().filter_map(value).filter(|(epoch, _)| *epoch >= self.from_epoch);
            self.values.entry((column.clone(), run.point)).or_default().push(values.collect());
        }
    }

    /// The values of a column at a point, by run. An entry without a value is left out.
    #[must_use]
    pub fn runs(&self, column: &str, point: usize) -> &[Vec<EpochValue>] {
        self.values.get(&(column.to_owned(), point)).map_or(&[], Vec::as_slice)
    }
}
