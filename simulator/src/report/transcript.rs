//! What happened in a run, as JSON Lines, and the hash by which two runs are compared.
//!
//! A line is `{"scenario": name, "t": virtual seconds, "step": "5.2", "turn": 3, "event": …}`. It holds nothing of the
//! machine, the clock or the file's path: the same scenario and seed give the same bytes anywhere.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::scenario::Place;

/// Takes the events of one run. Always hashes; keeps the lines only if they are wanted.
#[derive(Debug)]
pub struct Transcript {
    scenario: String,
    hash: Sha256,
    line: Vec<u8>,
    lines: Option<Vec<u8>>,
    broken: Option<serde_json::Error>,
}

/// A transcript that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// SHA-256 over the lines, line ends included, in hexadecimal.
    pub hash: String,
    /// The lines, if they were to be kept.
    pub lines: Vec<u8>,
}

/// An event could not be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("an event of the transcript could not be written as JSON: {0}")]
pub struct TranscriptError(#[from] serde_json::Error);

#[derive(Serialize)]
struct Line<'a, E> {
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
    /// An empty transcript of the scenario of this name. Lines are kept if `keep`, and else only hashed.
    #[must_use]
    pub fn new(scenario: &str, keep: bool) -> Self {
        Self {
            scenario: scenario.to_owned(),
            hash: Sha256::new(),
            line: Vec::new(),
            lines: keep.then(Vec::new),
            broken: None,
        }
    }

    /// Appends an event at a virtual time, in a step; outside of any step for what comes before the first and after
    /// the last.
    ///
    /// The event is a struct or an enum tagged with `event` whose fields have an order of their own: nothing in it may
    /// depend on a hash map's order, a pointer or the real clock. An event that is no JSON object is reported by
    /// [`finish`](Self::finish), so that a runner need not look after every line.
    pub fn record<E: Serialize>(&mut self, seconds: u64, place: Option<&Place>, event: &E) {
        let line = Line {
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
                    lines.extend_from_slice(&self.line);
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
    pub fn finish(self) -> Result<Recorded, TranscriptError> {
        match self.broken {
            Some(error) => Err(error.into()),
            None => Ok(Recorded { hash: hex::encode(self.hash.finalize()), lines: self.lines.unwrap_or_default() }),
        }
    }
}
