//! What a run found, and how it is told: to a person, to a program, to a CI system.
//!
//! [`result`] holds what the runner answers, [`transcript`] what happened on the way; [`terminal`], [`json`] and
//! [`junit`] write results. Nothing here decides whether a scenario passed.

pub mod json;
pub mod junit;
pub mod result;
pub mod terminal;
pub mod transcript;

pub use result::{CompromiseFigures, Failure, Figures, Outcome, RunOptions, RunResult, Verdict};
pub use transcript::{Recorded, Transcript};
