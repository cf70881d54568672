//! The tables of a sweep: `runs.csv`, `epochs.csv` and `summary.csv`.
//!
//! The rows are in the order of the grid. The same sweep gives the same bytes, on any machine and
//! with any number of parallel runs.

use std::io;

use super::{
    figures::{self, Quantity},
    plan::{Plan, PlannedRun},
    plot_format::{CostAxis, PlotKind},
    record::RunRecord,
    statistics::Statistics,
};
use crate::report::costs;

/// The columns of `runs.csv` between the axes and the figures.
const RUN_COLUMNS: [&str; 3] = ["seed", "outcome", "failure"];

/// The columns of `summary.csv` after the axes.
const SUMMARY_COLUMNS: [&str; 7] = ["figure", "n", "mean", "median", "p95", "ci95_low", "ci95_high"];

/// A table in memory.
pub type Table = Vec<u8>;

/// The tables of a sweep, which grow run by run.
pub struct Tables<'p> {
    plan: &'p Plan<'p>,
    runs: csv::Writer<Table>,
    epochs: csv::Writer<Table>,
}

impl<'p> Tables<'p> {
    /// Begins the tables with their headers.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn begin(plan: &'p Plan<'p>) -> io::Result<Self> {
        let mut tables =
            Self { plan, runs: csv::Writer::from_writer(Vec::new()), epochs: csv::Writer::from_writer(Vec::new()) };
        let axes = || plan.sweep.axes.iter().map(|axis| axis.name.clone());
        tables.runs.write_record(axes().chain(RUN_COLUMNS.map(str::to_owned)).chain(figures::names()))?;
        tables.epochs.write_record(axes().chain(costs::columns()))?;
        Ok(tables)
    }

    /// Appends the rows of a run. The runs come in the order of the plan.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn push(&mut self, run: PlannedRun, record: &RunRecord) -> io::Result<()> {
        let seed = run.seed.to_string();
        for label in self.plan.labels(run.point) {
            self.runs.write_field(label)?;
        }
        let outcome = if record.failure.is_some() { "failed" } else { "passed" };
        for cell in [seed.as_str(), outcome, record.failure.as_deref().unwrap_or_default()] {
            self.runs.write_field(cell)?;
        }
        self.runs.write_record(record.figure_cells())?;
        for entry in &record.entries {
            for label in self.plan.labels(run.point) {
                self.epochs.write_field(label)?;
            }
            self.epochs.write_field(&record.scenario)?;
            self.epochs.write_field(&seed)?;
            self.epochs.write_record(entry)?;
        }
        Ok(())
    }

    /// Ends the tables: `runs.csv`, then `epochs.csv`.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn finish(self) -> io::Result<(Table, Table)> {
        let end = |table: csv::Writer<Table>| table.into_inner().map_err(csv::IntoInnerError::into_error);
        Ok((end(self.runs)?, end(self.epochs)?))
    }
}

/// The figures of all runs that passed, by point.
#[derive(Clone, Debug)]
pub struct Sample {
    /// For each point, the figures of each run that passed.
    pub points: Vec<Vec<Vec<Option<f64>>>>,
}

impl Sample {
    /// A sample without runs.
    #[must_use]
    pub fn of(plan: &Plan<'_>) -> Self {
        Self { points: vec![Vec::new(); plan.points.len()] }
    }

    /// Adds a run. A run that failed has no figures to compare.
    pub fn push(&mut self, run: PlannedRun, record: &RunRecord) {
        if record.failure.is_none() {
            self.points[run.point].push(record.figures());
        }
    }

    /// The statistics of a figure at a point.
    #[must_use]
    pub fn statistics(&self, point: usize, quantity: Quantity) -> Option<Statistics> {
        let values: Vec<f64> = self.points[point].iter().filter_map(|figures| quantity.of(figures)).collect();
        Statistics::of(&values)
    }
}

/// Writes `summary.csv`: a row for each point and figure. The quotients of the plots follow the
/// figures.
///
/// # Errors
///
/// Errors of the writer.
pub fn summary(plan: &Plan<'_>, sample: &Sample) -> io::Result<Table> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let axes = plan.sweep.axes.iter().map(|axis| axis.name.as_str());
    out.write_record(axes.chain(SUMMARY_COLUMNS))?;
    let quantities = quantities(plan);
    for point in 0..plan.points.len() {
        for quantity in &quantities {
            let Some(statistics) = sample.statistics(point, *quantity) else { continue };
            for label in plan.labels(point) {
                out.write_field(label)?;
            }
            let Statistics { n, mean, median, p95, interval } = statistics;
            let end = |end: Option<f64>| end.map(|end| end.to_string()).unwrap_or_default();
            out.write_record([
                quantity.text(),
                n.to_string(),
                mean.to_string(),
                median.to_string(),
                p95.to_string(),
                end(interval.map(|(low, _)| low)),
                end(interval.map(|(_, high)| high)),
            ])?;
        }
    }
    out.into_inner().map_err(csv::IntoInnerError::into_error)
}

/// All figures, and the quotients that plots show.
fn quantities(plan: &Plan<'_>) -> Vec<Quantity> {
    let mut quantities: Vec<_> = (0..figures::names().len()).map(|figure| Quantity { figure, per: None }).collect();
    let shown = plan.sweep.plots.iter().flat_map(|plot| match &plot.kind {
        PlotKind::Line { y, .. } => vec![*y],
        PlotKind::Frontier { x: CostAxis::Figure(x), y, .. } => [&[*x], &y[..]].concat(),
        PlotKind::Frontier { x: CostAxis::PredictedSeconds, y, .. } => y.clone(),
        PlotKind::Epochs { .. } | PlotKind::Distribution { .. } | PlotKind::Bytes { .. } => Vec::new(),
    });
    for quantity in shown {
        if !quantities.contains(&quantity) {
            quantities.push(quantity);
        }
    }
    quantities
}
