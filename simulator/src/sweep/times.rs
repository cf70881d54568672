//! `times.csv`: the predicted seconds of each role in each run, from the unit times of a machine.
//!
//! It is the only table that differs between machines.

use std::io;

use super::{
    figures::{self, ROLES},
    plan::{Plan, PlannedRun},
    record::RunRecord,
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
        Ok(Self { plan, calibration, out })
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
            let predicted = times.predict(CostCounts::default().named().map(|(name, _)| count(name)));
            predicted.map_or_else(String::new, |seconds| seconds.to_string())
        });
        Ok(self.out.write_record(seconds)?)
    }

    /// Ends the table.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn finish(self) -> Result<Table, TimesError> {
        Ok(self.out.into_inner().map_err(csv::IntoInnerError::into_error)?)
    }
}
