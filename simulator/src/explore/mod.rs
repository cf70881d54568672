//! The search for scenarios that fail: generated from a seed, run with all checks, made small.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `generate`, `model`, `race` | scenarios from a seed, whose steps make sense |
//! | `weights` | how often each kind of step comes up |
//! | `dice` | what is drawn |
//! | `search` | one scenario after the other, until one fails |
//! | `alike` | when two failures are the same |
//! | `shrink` | the smallest scenario that still fails |
//!
//! The same seed gives the same scenarios, and the same finding, on any number of threads. How a scenario is run is the
//! caller's: in a world as it should be, or in one with a fault.

mod alike;
mod dice;
mod generate;
mod model;
mod race;
mod search;
mod shrink;
mod weights;

pub use alike::FailureKind;
pub use generate::Size;
pub use search::{Finding, Plan, Run, Searched, Watch, search};
pub use shrink::{Shrunk, shrink};
pub use weights::{Kind, MAX_WEIGHT, Weights};
