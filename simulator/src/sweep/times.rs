//! `times.csv`: the predicted seconds of each role in each run, from the unit times of a machine.
//!
//! It is the only table that differs between machines. A plot of these times differs too.

use std::io;

use super::{
    figures::{self, ROLES},
    plan::{Plan, PlannedRun},
    record::RunRecord,
    statistics::Statistics,
    tables::Table,
};
use crate::{
    calibration::{Calibration, CalibrationError},
    cost::CostCounts,
};

/// An error while the table grows.
#[derive(Debug, thiserror::Error)]
pub enum TimesError {
    /// The calibration does not fit the run.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// The writer failed.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// The CSV writer failed.
    #[error(transparent)]
    Csv(#[from] csv::Error),
}

/// The table, which grows run by run.
pub struct Times<'p> {
    plan: &'p Plan<'p>,
    calibration: &'p Calibration,
    out: csv::Writer<Table>,
    seconds: PredictedSeconds,
}

/// The predicted seconds of all roles together, for each run that passed, by point.
#[derive(Clone, Debug)]
pub struct PredictedSeconds {
    points: Vec<Vec<f64>>,
}

impl PredictedSeconds {
    /// The statistics of a point.
    #[must_use]
    pub fn statistics(&self, point: usize) -> Option<Statistics> {
        Statistics::of(self.points.get(point)?)
    }
}

impl<'p> Times<'p> {
    /// Begins the table with its header.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn begin(plan: &'p Plan<'p>, calibration: &'p Calibration) -> Result<Self, TimesError> {
        let mut out = csv::Writer::from_writer(Vec::new());
        let axes = plan.sweep.axes.iter().map(|axis| axis.name.clone());
        let roles = ROLES.iter().map(|role| format!("{role}_predicted_s"));
        out.write_record(axes.chain(["seed".to_owned()]).chain(roles))?;
        let seconds = PredictedSeconds { points: vec![Vec::new(); plan.points.len()] };
        Ok(Self { plan, calibration, out, seconds })
    }

    /// Appends the row of a run.
    ///
    /// # Errors
    ///
    /// [`TimesError`].
    pub fn push(&mut self, run: PlannedRun, record: &RunRecord) -> Result<(), TimesError> {
        let times = self.calibration.of_devices(&record.ciphersuite)?;
        for label in self.plan.labels(run.point) {
            self.out.write_field(label)?;
        }
        self.out.write_field(run.seed.to_string())?;
        let (names, figures) = (figures::names(), record.figures());
        let seconds = ROLES.map(|role| {
            let count = |name: &str| {
                let index = names.iter().position(|known| *known == format!("{role}_{name}"));
                index.and_then(|index| figures[index]).unwrap_or_default()
            };
            times.predict(CostCounts::default().named().map(|(name, _)| count(name)))
        });
        if record.failure.is_none() {
            let all: Option<f64> = seconds.iter().copied().sum();
            self.seconds.points[run.point].extend(all);
        }
        let cell = |seconds: Option<f64>| seconds.map_or_else(String::new, |seconds| seconds.to_string());
        Ok(self.out.write_record(seconds.map(cell))?)
    }

    /// Ends the table. Returns it, with the seconds that plots need.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn finish(self) -> Result<(Table, PredictedSeconds), TimesError> {
        Ok((self.out.into_inner().map_err(csv::IntoInnerError::into_error)?, self.seconds))
    }
}
