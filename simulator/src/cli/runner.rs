//! The function by which a command runs a scenario.

use regrow_simulator::{
    report::{RunOptions, RunOutcome, Transcript},
    scenario::Scenario,
};

/// A function that runs one scenario.
pub(crate) type Runner = fn(&Scenario, &RunOptions, &mut Transcript) -> RunOutcome;
