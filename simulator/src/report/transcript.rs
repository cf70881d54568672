//! The events of a run, as JSON Lines, and the hash that compares two runs.
//!
//! A line is `{"scenario": name, "t": virtual seconds, "step": "5.2", "turn": 3, "event": …}`. It
//! contains nothing of the machine or the clock. The same scenario and seed give the same bytes on
//! every machine. A line in a file has the path of the scenario's file as its first field, which the
//! hash does not cover.

use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::scenario::Place;

/// Records the events of one run. It always hashes them, and keeps the lines only on request.
#[derive(Debug)]
pub struct Transcript {
    scenario: String,
    hash: Sha256,
    line: Vec<u8>,
    lines: Option<Vec<u8>>,
    /// The beginning of each kept line.
    prefix: Vec<u8>,
    broken: Option<serde_json::Error>,
}

/// A complete transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedTranscript {
    /// SHA-256 over the lines without the file, line ends included, in hexadecimal.
    pub hash: String,
    /// The lines, if the transcript kept them.
    pub lines: Vec<u8>,
}

/// An event that could not be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("an event of the transcript could not be written as JSON: {0}")]
pub struct TranscriptError(#[from] serde_json::Error);

#[derive(Serialize)]
struct TranscriptLine<'a, E> {
    scenario: &'a str,
    t: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<u32>,
    #[serde(flatten)]
    event: &'a E,
}

impl Transcript {
    /// An empty transcript of the scenario with this name. It keeps the lines if `keep` is true,
    /// and otherwise only hashes them.
    #[must_use]
    pub fn new(scenario: &str, keep: bool) -> Self {
        Self {
            scenario: scenario.to_owned(),
            hash: Sha256::new(),
            line: Vec::new(),
            lines: keep.then(Vec::new),
            prefix: b"{".to_vec(),
            broken: None,
        }
    }

    /// The same transcript. Its kept lines begin with the path of the scenario's file, so that
    /// scenarios with the same name are told apart. The hash does not cover the path.
    #[must_use]
    pub fn of_file(self, file: &Path) -> Self {
        let file = serde_json::Value::from(file.display().to_string());
        Self { prefix: format!("{{\"file\":{file},").into_bytes(), ..self }
    }

    /// Appends an event at a virtual time, in a step. Events before the first step and after the
    /// last step have no place.
    ///
    /// The event is a struct, or an enum with the tag `event`. Its fields have a fixed order:
    /// nothing in it may depend on the order of a hash map, on a pointer, or on the real clock. If
    /// an event is no JSON object, [`finish`](Self::finish) reports it. Therefore a runner need not
    /// check every line.
    pub fn record<E: Serialize>(&mut self, seconds: u64, place: Option<&Place>, event: &E) {
        let line = TranscriptLine {
            scenario: &self.scenario,
            t: seconds,
            step: place.map(|place| &*place.number),
            turn: place.and_then(|place| place.turn),
            event,
        };
        self.line.clear();
        match serde_json::to_writer(&mut self.line, &line) {
            Ok(()) => {
                self.line.push(b'\n');
                self.hash.update(&self.line);
                if let Some(lines) = &mut self.lines {
                    lines.extend_from_slice(&self.prefix);
                    lines.extend_from_slice(self.line.get(1..).unwrap_or_default());
                }
            }
            Err(error) => self.broken = self.broken.take().or(Some(error)),
        }
    }

    /// Ends the transcript.
    ///
    /// # Errors
    ///
    /// The first event that could not be written, if there was one.
    pub fn finish(self) -> Result<RecordedTranscript, TranscriptError> {
        match self.broken {
            Some(error) => Err(error.into()),
            None => Ok(RecordedTranscript {
                hash: hex::encode(self.hash.finalize()),
                lines: self.lines.unwrap_or_default(),
            }),
        }
    }
}
