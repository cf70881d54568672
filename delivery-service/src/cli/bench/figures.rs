//! The measured figures, as a table and as JSON.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

/// One measured figure.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    /// The name of the measurement.
    pub(super) what: String,
    /// The measured value, in `unit`.
    pub(super) value: f64,
    pub(super) unit: &'static str,
    /// The median latency in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p50_ms: Option<f64>,
    /// The 99th percentile of the latency in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p99_ms: Option<f64>,
    /// Additional information.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) note: String,
}

impl Figure {
    pub(super) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, p50_ms: None, p99_ms: None, note: String::new() }
    }

    /// Adds percentiles of these latencies.
    pub(super) fn with(mut self, mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let at = |hundredths: usize| {
            let place = (latencies.len() * hundredths / 100).min(latencies.len().saturating_sub(1));
            latencies.get(place).map(|latency| latency.as_secs_f64() * 1e3)
        };
        self.p50_ms = at(50);
        self.p99_ms = at(99);
        self
    }

    pub(super) fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// All measured figures.
#[derive(Debug, Default, Serialize)]
pub(super) struct BenchReport {
    pub(super) figures: Vec<Figure>,
}

impl BenchReport {
    pub(super) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    pub(super) fn to_json(&self) -> String {
        // Numbers and text can always be encoded as JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn to_table(&self) -> String {
        let mut table = String::from("| what | figure | p50 ms | p99 ms | |\n| --- | ---: | ---: | ---: | --- |");
        let milliseconds = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
        for Figure { what, value, unit, p50_ms, p99_ms, note } in &self.figures {
            let value = if *value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
            let (p50, p99) = (milliseconds(*p50_ms), milliseconds(*p99_ms));
            // A write to a String does not fail.
            let _ = write!(table, "\n| {what} | {value} {unit} | {p50} | {p99} | {note} |");
        }
        table
    }
}
