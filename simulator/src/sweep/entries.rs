//! The columns of the entries that the plots of a sweep need, by point and run.

use std::collections::BTreeMap;

use super::{
    plan::{Plan, PlannedRun},
    plot_format::PlotKind,
    record::{KEYS, RunRecord},
};
use crate::{cost::EntryKind, report::costs};

/// The names of the columns with the epoch and the kind of an entry.
const EPOCH: &str = "epoch";
const KIND: &str = "kind";

/// One value of a column, with the epoch in which its entry was made.
pub type EpochValue = (u64, f64);

/// The values of some columns of all runs that passed.
#[derive(Clone, Debug)]
pub struct EntrySample {
    from_epoch: u64,
    epoch: usize,
    kind: usize,
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
        let (epoch, kind) = (index(EPOCH).unwrap_or_default(), index(KIND).unwrap_or_default());
        Self { from_epoch: plan.sweep.from_epoch, epoch, kind, columns, values: BTreeMap::new() }
    }

    /// Adds a run. A run that failed has no entries to compare.
    pub fn push(&mut self, run: PlannedRun, record: &RunRecord) {
        if record.failure.is_some() {
            return;
        }
        for (column, index) in &self.columns {
            let value = |entry: &Vec<String>| {
                let epoch: u64 = entry.get(self.epoch)?.parse().ok()?;
                // A welcome has the epoch into which it leads. It belongs to its commit.
                let is_welcome = entry.get(self.kind)? == EntryKind::Welcome.name();
                Some((epoch.saturating_sub(u64::from(is_welcome)), entry.get(*index)?.parse().ok()?))
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
