//! Parameter sweeps: one scenario with many values, each with many seeds, and the statistics of the
//! results.
//!
//! [`load`] reads a sweep file. A [`Plan`] has one point for each combination of values. An
//! [`Execution`] does the runs that the [`RunStore`] does not have yet. [`tables`] writes the
//! results. [`report::plot`](crate::report::plot) draws
//! the plots.
//!
//! | module | content |
//! | --- | --- |
//! | `format`, `plot_format` | format 1 of sweep files as types |
//! | `parse`, `parse_plot` | read a sweep file, with the place of each problem |
//! | `range` | the values of a range |
//! | `path` | a path to a field of a scenario, and the substitution of a value |
//! | `plan` | the points and runs, and the scenario of each point |
//! | `thefts` | random thefts in a run |
//! | [`figures`] | the figures of a run |
//! | `record`, `store` | the stored result of a run, and the output folder |
//! | `execute` | does the missing runs, side by side |
//! | `entries` | the columns of the entries that plots need |
//! | `check` | compares real devices with the cost model |
//! | [`statistics`] | mean, percentiles and confidence interval |
//! | [`tables`] | the CSV files |
//! | [`times`] | the predicted times, which depend on the machine |
//! | `manifest`, `program` | everything that another person needs to repeat the sweep |
//! | `finished` | reads the results of a finished sweep |
//! | [`schema`] | the JSON Schema of sweep files |

mod check;
mod entries;
mod execute;
pub mod figures;
mod finished;
mod format;
mod manifest;
mod parse;
mod parse_plot;
mod path;
mod plan;
mod plot_format;
mod program;
mod range;
mod record;
pub mod schema;
pub mod statistics;
mod store;
pub mod tables;
mod thefts;
pub mod times;

pub use check::{CheckError, Difference, check};
pub use entries::{EntrySample, EpochValue};
pub use execute::{Execution, Progress, Runner};
pub use figures::Quantity;
pub use finished::{FinishedError, FinishedSweep, SummaryRow};
pub use format::{Axis, AxisValue, FORMAT, MAX_AXES, MAX_RUNS, MAX_THEFTS, MAX_VALUES, Sweep};
pub use manifest::{Manifest, utc};
pub use parse::load;
pub use path::{FieldPath, PathError};
pub use plan::{Plan, PlannedRun, Point};
pub use plot_format::{CostAxis, PlotKind, PlotSpec};
pub use program::{Machine, Program};
pub use record::RunRecord;
pub use store::{RunStore, StoreError};
