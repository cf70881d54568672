//! Membership traces: the joins, leaves and messages of a real group, from a CSV file.
//!
//! | module | content |
//! | --- | --- |
//! | `row` | one row: a time, an event, a member, and the author of a change |
//! | `reader` | reads the rows of a file one after the other, within limits |
//! | `error` | the mistakes of a file, each with its line |
//! | `changes` | groups the rows of one change |
//! | `stats` | the figures of a trace |
//! | `history` | a whole trace in memory, if a group can replay it |
//! | `replay` | the steps of a replay |
//!
//! The reader checks each row against the membership before it. Nothing here runs a step.

mod changes;
mod error;
mod history;
mod reader;
mod replay;
mod row;
mod stats;

pub use changes::{Change, Changes, TraceItem};
pub use error::{TraceError, TraceMistake};
pub use history::History;
pub use reader::{
    HEADER, MAX_TRACE_LINE, MAX_TRACE_NAMES, MAX_TRACE_ROWS, MAX_TRACE_SIZE, MAX_TRACE_TIME, TraceReader, open,
};
pub use replay::Replay;
pub use row::{TraceEvent, TraceName, TraceRow};
pub use stats::{BatchSizes, Concentration, Stays, TraceStats, stats};

pub(crate) use replay::ReplaySteps;
