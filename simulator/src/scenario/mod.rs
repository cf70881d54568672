//! Scenario files: their format, their reader and checker, and their JSON Schema.
//!
//! | module | content |
//! | --- | --- |
//! | [`mod@format`] | format 1 as types |
//! | `name` | names of members, messages and compromises |
//! | `expand` | turns `repeat`, `{i}` and `churn` into the steps of a run |
//! | `load` | reads a scenario from a path, within limits |
//! | `json`, `fields`, `names`, `word` | values of a file, with their positions |
//! | `parse` | the file: its top, and the structure of its steps |
//! | `step` | the steps, and durations |
//! | `expect` | the expectations of a step `expect` |
//! | `trace` | the trace that a scenario replays |
//! | `churn`, `write_churn` | reads and writes the step `churn` |
//! | `check` | the rules that JSON cannot express |
//! | `write` | from a scenario to the text of a file |
//! | `numbers` | an object of names and numbers, for other files than scenarios |
//! | [`schema`] | the JSON Schema of format 1 |
//!
//! Nothing here runs a scenario.

pub mod format;
pub mod schema;

mod check;
mod churn;
mod expand;
mod expect;
pub(crate) mod fields;
pub(crate) mod json;
mod load;
mod name;
mod names;
mod numbers;
mod parse;
mod problem;
mod step;
mod trace;
mod word;
mod write;
mod write_churn;

pub use check::MAX_STEPS;
pub use format::{
    Action, Ciphersuite, ClockJump, CrashPoint, DEFAULT_MESSAGE_SIZE, Delivery, Evidence, EvidenceExpectation, Expect,
    FORMAT, FailCode, Fidelity, Finders, GroupSettings, KillPoint, MessageBody, Place, Placed, Proposal, Protocol,
    ReadingExpectation, Scenario, ServiceFault, ServiceSettings, Step, TheftScope, ThiefAction, WrittenStep,
};
pub use load::{MAX_FILE_SIZE, load};
pub use name::{CompromiseId, GroupName, MAX_NAME_LENGTH, MemberName, MessageId, TURN};
pub use parse::{MAX_MEMBERS, MAX_OUT_OF_ORDER, MAX_PADDING, MAX_PAST_EPOCHS, MAX_TURNS, read};
pub use problem::{FileProblem, MAX_PROBLEMS, Position, Unusable};
pub use step::{MAX_MESSAGE_SIZE, MAX_WAIT, duration, service::MAX_ENTRIES};
pub use write::write;

pub(crate) use load::{history, text};
pub(crate) use numbers::numbers;
pub(crate) use parse::{MAX_USER_BYTES, read_inside, read_with};
pub(crate) use write::{duration as write_duration, step as write_step};
