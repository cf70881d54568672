//! The results of a run, and their forms for a person, for a program and for a CI system.
//!
//! [`costs`] writes the costs of each entry, and [`plot`] draws the plots of a sweep. [`result`] has the runner's results, and [`transcript`] the events of a run. [`terminal`],
//! [`json`] and [`junit`] write results. [`matrix`] answers another question, and has its own
//! writers. Nothing here decides if a scenario passed.

pub mod costs;
pub mod json;
pub mod junit;
pub mod matrix;
pub mod plot;
pub mod result;
pub mod terminal;
pub mod transcript;
mod xml;

pub use matrix::Matrix;
pub use result::{
    AuthenticationFigures, CompromiseFigures, Failure, Figures, FileOutcome, RunOptions, RunOutcome, RunResult,
};
pub use transcript::{RecordedTranscript, Transcript};
