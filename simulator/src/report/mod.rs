//! The results of a run, and their forms for a person, for a program and for a CI system.
//!
//! | module | content |
//! | --- | --- |
//! | [`result`] | the runner's results |
//! | [`record`] | the steps, ratchet trees and messages of a run |
//! | `member_state` | the state of a member at one moment |
//! | `stolen_key_package` | the stolen key packages that open welcomes, with the remedy |
//! | `focus` | the parts of a run that its record has in full detail |
//! | [`reason`] | the reason why a thief cannot read a message |
//! | [`progress`] | the counts during a run |
//! | [`transcript`] | the events of a run, as JSON Lines |
//! | [`terminal`], [`json`], [`junit`] | writers of results, for a person, a program and a CI system |
//! | [`schema`] | the JSON Schema of a result for a program |
//! | [`titles`] | the titles of scenarios with the same name |
//! | [`html`] | results and records as a page for a browser |
//! | [`trace_stats`] | the figures of a trace |
//! | [`costs`] | the costs of each entry of the log, as CSV |
//! | [`plot`] | the plots of a sweep, as SVG |
//! | [`matrix`] | the exposure matrix, with its own writers |
//!
//! Nothing here decides if a scenario passed.

pub mod comparison;
pub mod costs;
mod focus;
pub mod html;
pub mod json;
pub mod junit;
pub mod matrix;
mod member_state;
pub mod plot;
pub mod progress;
pub mod reason;
pub mod record;
pub mod result;
pub mod schema;
mod stolen_key_package;
pub mod terminal;
pub mod titles;
pub mod trace_stats;
pub mod transcript;
mod xml;

pub use focus::{Focus, Goal};
pub use matrix::Matrix;
pub use member_state::{GroupView, MemberState, MemberStates, MessageStatus, Unreadable};
pub use record::RunRecord;
pub use result::{
    AuthenticationFigures, Cause, CompromiseFigures, ExpectField, Failure, FailureSubject, Figures, FileOutcome,
    GroupHealing, MessageTraffic, RunOptions, RunOutcome, RunResult, Warning, WarningKind,
};
pub use stolen_key_package::{OpenedWelcome, StolenKeyPackage};
pub use transcript::{RecordedTranscript, Transcript};
