//! What a run found, and how it is told: to a person, to a program, to a CI system.
//!
//! [`result`] holds what the runner answers, [`transcript`] what happened on the way; [`terminal`], [`json`] and
//! [`junit`] write results. [`matrix`] is the answer to another question, and has writers of its own. Nothing here decides
//! whether a scenario passed.

pub mod json;
pub mod junit;
pub mod matrix;
pub mod result;
pub mod terminal;
pub mod transcript;
mod xml;

pub use matrix::Matrix;
pub use result::{AuthenticationFigures, CompromiseFigures, Failure, Figures, Outcome, RunOptions, RunResult, Verdict};
pub use transcript::{Recorded, Transcript};
