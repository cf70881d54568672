//! Searches for scenarios that fail: generates them from a seed, runs them with all checks, and
//! shrinks the first that fails.
//!
//! | module | content |
//! | --- | --- |
//! | `generate`, `generator`, `model`, `race` | generate scenarios with steps that make sense |
//! | `service`, `service_model` | faults of the delivery service, and lies that members have to find |
//! | `devices` | locks, comparisons, refused keys and upkeep |
//! | `other_groups` | steps in other groups, and about users with several devices |
//! | `key_packages` | the stock of key packages in the model, and the steps that change it |
//! | `weights` | the frequency of each kind of step |
//! | `search` | runs one scenario after the other, until one fails |
//! | `failure_kind` | decides if two failures are of the same kind |
//! | `shrink` | finds the smallest scenario that still fails |
//!
//! The same seed gives the same scenarios and the same finding, on any number of threads. The
//! caller decides how a scenario is run: with the correct system, or with a fault in it.

mod devices;
mod disturbance;
mod failure_kind;
mod generate;
mod generator;
mod key_packages;
mod lags;
mod model;
mod other_groups;
mod race;
mod search;
mod service;
mod service_model;
mod shrink;
mod weights;

pub use failure_kind::FailureKind;
pub use generate::Size;
pub use search::{FailedScenario, Plan, ScenarioRunner, SearchControl, Searched, search};
pub use shrink::{Shrunk, shrink};
pub use weights::{MAX_WEIGHT, StepKind, Weights};
