//! The manifest of a sweep: everything that another person needs to repeat it.
//!
//! It is the only file of a sweep that differs between machines.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::calibration::Prediction;

use super::{
    format::Sweep,
    program::{Machine, Program},
};

/// The content of `manifest.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Manifest {
    /// The name of the sweep.
    pub name: String,
    /// The program that made the results.
    pub program: Program,
    /// The machine on which the last part of the sweep ran.
    pub machine: Machine,
    /// The command line.
    pub command: Vec<String>,
    /// The start of the last part of the sweep, in UTC.
    pub started: String,
    /// The end of the sweep, in UTC.
    pub finished: String,
    /// The number of points.
    pub points: usize,
    /// The number of runs.
    pub runs: usize,
    /// The number of runs whose results an earlier start had stored.
    pub reused: usize,
    /// The number of runs that failed.
    pub failed: usize,
    /// The predicted times of the calibration beside measured times. Empty without a calibration.
    pub predictions: Vec<Prediction>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The path of the sweep file.
    pub sweep_file: String,
    /// SHA-256 of the sweep file.
    pub sweep_sha256: String,
    /// The content of the sweep file.
    pub sweep: Value,
    /// The scenario into which the runs put their values.
    pub base: Value,
}

impl Manifest {
    /// Fills in the parts that follow from the sweep.
    #[must_use]
    pub fn of(sweep: &Sweep, file: &str, program: Program, command: Vec<String>, started: SystemTime) -> Self {
        Self {
            name: sweep.name.clone(),
            program,
            machine: Machine::current(),
            command,
            started: utc(started),
            finished: String::new(),
            points: sweep.axes.iter().map(|axis| axis.values.len()).product(),
            runs: 0,
            reused: 0,
            failed: 0,
            predictions: Vec::new(),
            seeds: sweep.seeds.clone(),
            sweep_file: file.to_owned(),
            sweep_sha256: hex::encode(Sha256::digest(&sweep.text)),
            sweep: serde_json::from_str(&sweep.text).unwrap_or_default(),
            base: sweep.base.clone(),
        }
    }

    /// The manifest as a file.
    ///
    /// # Errors
    ///
    /// Errors of serde.
    pub fn text(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// A time as RFC 3339 writes it, in UTC and in whole seconds.
#[must_use]
pub fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date of a day, counted from 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // The count begins at 1 March of the year 0, so that a leap day is the last day of its year. A
    // period of 400 years has 146,097 days.
    let days = days + 719_468;
    let (period, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on, five months have 153 days.
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (period * 400 + year + next, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_utc() {
        let told = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(told(0), "1970-01-01T00:00:00Z");
        assert_eq!(told(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(told(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(told(1_796_083_199), "2026-11-30T23:59:59Z");
        assert_eq!(told(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
