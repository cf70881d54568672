//! The results of a run, and their forms for a person, for a program and for a CI system.
//!
//! | module | content |
//! | --- | --- |
//! | [`result`] | the runner's results |
//! | [`record`] | the steps, ratchet trees and messages of a run |
//! | [`transcript`] | the events of a run, as JSON Lines |
//! | [`terminal`], [`json`], [`junit`] | writers of results, for a person, a program and a CI system |
//! | [`html`] | results and records as a page for a browser |
//! | [`costs`] | the costs of each entry of the log, as CSV |
//! | [`plot`] | the plots of a sweep, as SVG |
//! | [`matrix`] | the exposure matrix, with its own writers |
//!
//! Nothing here decides if a scenario passed.
//! [`costs`] writes the costs of each entry. [`result`] has the runner's results, and [`transcript`] the events of a run. [`terminal`],
//! [`json`] and [`junit`] write results. [`matrix`] answers another question, and has its own
//! writers. [`trace_stats`] writes the figures of a trace. Nothing here decides if a scenario passed.

pub mod costs;
pub mod html;
pub mod json;
pub mod junit;
pub mod matrix;
pub mod plot;
pub mod record;
pub mod result;
pub mod terminal;
pub mod trace_stats;
pub mod transcript;
mod xml;

pub use matrix::Matrix;
pub use record::RunRecord;
pub use result::{
    AuthenticationFigures, CompromiseFigures, Failure, Figures, FileOutcome, RunOptions, RunOutcome, RunResult,
};
pub use transcript::{RecordedTranscript, Transcript};
