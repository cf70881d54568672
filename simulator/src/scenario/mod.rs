//! Scenario files: their format, their reader and checker, and their JSON Schema.
//!
//! | module | content |
//! | --- | --- |
//! | [`mod@format`] | format 1 as types |
//! | `name` | names of members, messages and compromises |
//! | `expand`, `at_turn` | turns `repeat`, `{i}`, `everybody` and `churn` into the steps of a run |
//! | `load` | reads a scenario from a path, within limits |
//! | `syntax`, `jsonc`, `yaml` | the syntaxes of files: each becomes JSON |
//! | `json`, `fields`, `word` | values of a file, with their positions |
//! | `users` | users with several devices |
//! | `names`, `name_row`, `turn` | lists of names, and short forms of names: `m2..m10`, `m{i+10}` |
//! | `describe` | the descriptions of objects and steps. Reader, JSON Schema and reference use them. How to add a step |
//! | `parse`, `run_settings`, `group`, `policy`, `service_settings`, `trace` | the top of a file, and its objects that are no steps |
//! | `step` | the steps: descriptions and decoders, with a file for each area |
//! | `network` | the changes of connections and clocks, as types |
//! | `check` | the rules that JSON cannot express |
//! | `write`, `write_churn` | from a scenario to the text of a file |
//! | `numbers` | an object of names and numbers, for other files than scenarios |
//!
//! Nothing here runs a scenario.

pub mod format;

mod at_turn;
mod check;
mod describe;
mod expand;
pub(crate) mod fields;
mod group;
pub(crate) mod json;
mod jsonc;
mod load;
mod name;
mod name_row;
mod names;
mod network;
mod numbers;
mod parse;
mod policy;
mod problem;
mod run_settings;
mod service_settings;
mod step;
mod syntax;
mod trace;
mod turn;
mod users;
mod word;
mod write;
mod write_churn;
mod yaml;

pub use check::MAX_STEPS;
pub use describe::schema::schema;
pub use format::{
    Action, Answer, Bound, Ciphersuite, ClockJump, CostExpectation, CostFigure, CostLimit, CrashPoint,
    DEFAULT_MESSAGE_SIZE, Delivery, DueExpectation, DueRotation, EventExpectation, EventKind, Evidence,
    EvidenceExpectation, Expect, ExpectScope, FORMAT, FailCode, Fidelity, Finders, GroupSettings, KeyPackageChange,
    KeyPackagePublication, KillPoint, Limit, MemberPolicy, MessageBody, Place, Placed, PolicySettings, Proposal,
    Protocol, ReadingExpectation, Scenario, ServiceFault, ServiceSettings, Step, TheftScope, ThiefAction,
    VerifiedExpectation, WrittenStep,
};
pub use load::{MAX_FILE_SIZE, is_other, load};
pub use name::{
    BackupId, CompromiseId, EVERYBODY, GroupName, MAX_NAME_LENGTH, MemberName, MessageId, OTHERS, TURN, UserName,
};
pub use network::{ClockChange, ClockOffset, NetworkChange};
pub use parse::{MAX_MEMBERS, MAX_TURNS, read, read_yaml};
pub use policy::{MAX_FORWARD, MAX_KEY_PACKAGES, MAX_OUT_OF_ORDER, MAX_PADDING, MAX_PAST_EPOCHS};
pub use problem::{FileProblem, MAX_PROBLEMS, Position, Unusable};
pub use run_settings::{MAX_TAGS, RunSettings, Timeout};
pub use step::{MAX_CLOCK_OFFSET, MAX_ENTRIES, MAX_LATENCY_MS, MAX_MESSAGE_SIZE, MAX_WAIT, duration};
pub use syntax::FILE_ENDINGS;
pub use write::write;

pub(crate) use load::{history, text};
pub(crate) use numbers::numbers;
pub(crate) use parse::{read_inside, read_with};
pub(crate) use syntax::{PlainText, Syntax};
pub(crate) use users::{devices_of, problem_of};
pub(crate) use write::{duration as write_duration, step as write_step};
