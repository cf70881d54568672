//! Scenario files: their format, their reader and checker, and their JSON Schema.
//!
//! | module | content |
//! | --- | --- |
//! | [`mod@format`] | format 1 as types |
//! | `name` | names of members, messages and compromises |
//! | `expand` | turns `repeat`, `{i}` and `churn` into the steps of a run |
//! | `load` | reads a scenario from a path, within limits |
//! | `json`, `fields`, `word` | values of a file, with their positions |
//! | `describe` | the descriptions of objects and steps. Reader, JSON Schema and reference use them. How to add a step |
//! | `parse`, `run_settings`, `group`, `service_settings`, `trace` | the top of a file, and its objects that are no steps |
//! | `step` | the steps: descriptions and decoders, with a file for each area |
//! | `check` | the rules that JSON cannot express |
//! | `write`, `write_churn` | from a scenario to the text of a file |
//! | `numbers` | an object of names and numbers, for other files than scenarios |
//!
//! Nothing here runs a scenario.

pub mod format;

mod check;
mod describe;
mod expand;
pub(crate) mod fields;
mod group;
pub(crate) mod json;
mod load;
mod name;
mod numbers;
mod parse;
mod problem;
mod run_settings;
mod service_settings;
mod step;
mod trace;
mod word;
mod write;
mod write_churn;

pub use check::MAX_STEPS;
pub use describe::schema::schema;
pub use format::{
    Action, Ciphersuite, ClockJump, CrashPoint, DEFAULT_MESSAGE_SIZE, Delivery, Evidence, EvidenceExpectation, Expect,
    FORMAT, FailCode, Fidelity, Finders, GroupSettings, KillPoint, MessageBody, Place, Placed, Proposal, Protocol,
    ReadingExpectation, Scenario, ServiceFault, ServiceSettings, Step, TheftScope, ThiefAction, WrittenStep,
};
pub use group::{MAX_OUT_OF_ORDER, MAX_PADDING, MAX_PAST_EPOCHS};
pub use load::{MAX_FILE_SIZE, is_other_json, load};
pub use name::{CompromiseId, GroupName, MAX_NAME_LENGTH, MemberName, MessageId, TURN};
pub use parse::{MAX_MEMBERS, MAX_TURNS, read};
pub use problem::{FileProblem, MAX_PROBLEMS, Position, Unusable};
pub use run_settings::{MAX_TAGS, RunSettings, Timeout};
pub use step::{MAX_ENTRIES, MAX_MESSAGE_SIZE, MAX_WAIT, duration};
pub use write::write;

pub(crate) use load::{history, text};
pub(crate) use numbers::numbers;
pub(crate) use parse::{MAX_USER_BYTES, read_inside, read_with};
pub(crate) use write::{duration as write_duration, step as write_step};
