//! Format 1 of scenario files as types: the content of a well-formed file.
//!
//! A file contains [`WrittenStep`]s, as they are written. [`Scenario::expand`] turns them into the
//! [`Step`]s of a run. The checker has the rules that JSON cannot express, for example that an
//! expectation names a message that was sent.

mod action;
mod costs;
mod events;
mod expect;
mod key_packages;
mod policy;
mod service;
mod theft;
mod trust;

use std::{fmt, sync::Arc};

use regrow_engine::HandshakeMode;

use super::{name::MemberName, run_settings::RunSettings, word::word};
use crate::{churn::Churn, trace::Replay};

pub use action::{Action, CrashPoint, DEFAULT_MESSAGE_SIZE, Delivery, MessageBody, Proposal};
pub use costs::{CostExpectation, CostFigure, CostLimit};
pub use events::{EventExpectation, EventKind};
pub use expect::{Bound, Expect, ExpectScope, FailCode, ReadingExpectation};
pub use key_packages::{KeyPackageChange, KeyPackagePublication};
pub use policy::{DueExpectation, DueRotation, Limit, MemberPolicy, PolicySettings};
pub use service::{ClockJump, Evidence, EvidenceExpectation, Finders, KillPoint, ServiceFault, ServiceSettings};
pub use theft::{TheftScope, ThiefAction};
pub use trust::{Answer, VerifiedExpectation};

/// The only format that this version reads: the value of the field `regrow`.
pub const FORMAT: u64 = 1;

/// One scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The name in reports.
    pub name: String,
    /// One sentence that says why the scenario matters to a product.
    pub about: Option<String>,
    /// Tags, timeouts and strictness.
    pub run: RunSettings,
    /// The seed of all random values.
    pub seed: u64,
    /// True devices, or the cost model.
    pub fidelity: Fidelity,
    /// The protocol that the cost model prices.
    pub protocol: Protocol,
    /// The settings of the group.
    pub group: GroupSettings,
    /// The own policies of members.
    pub policies: Vec<MemberPolicy>,
    /// The settings of the delivery service.
    pub service: ServiceSettings,
    /// All members, each once: those of the trace, then the others in the order of the file.
    pub members: Vec<MemberName>,
    /// The trace that is replayed before the steps.
    pub trace: Option<Replay>,
    /// The steps, as they are written.
    pub steps: Vec<Placed<WrittenStep>>,
}

/// The `group` of a scenario. A setting that is not given has the engine's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSettings {
    /// The group's cipher suite.
    pub ciphersuite: Option<Ciphersuite>,
    /// The handshake mode. It decides if the delivery service can read handshakes.
    pub handshake: Option<HandshakeMode>,
    /// The policy of the members that have none of their own.
    pub policy: PolicySettings,
}

/// The devices of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fidelity {
    /// Each member is a real client of the engine, and the delivery service's code orders its
    /// messages.
    #[default]
    Real,
    /// The [cost model](crate::model): sizes and counts, without cryptography.
    Model,
}

/// The protocol that the [cost model](crate::model) prices. Real devices have only [`Mls`](Self::Mls).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// MLS as the engine uses it: each commit has an update path.
    #[default]
    Mls,
    /// MLS with a path only where RFC 9420, 12.4 requires one.
    MlsOptionalPaths,
    /// A Double Ratchet session for each pair of members.
    Pairwise,
    /// A sender key of each member, which it distributes over pairwise sessions.
    SenderKeys,
    /// Tainted TreeKEM.
    TaintedTreekem,
    /// MLS with split commits: the service delivers to each member only its part of the path.
    SplitCommits,
    /// MLS with partial clients, which do not hold the ratchet tree.
    PartialMls,
    /// A traditional MLS session and a post-quantum one, whose secrets are combined.
    AmortizedPqCombiner,
}

impl Protocol {
    /// Every protocol, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Mls,
        Self::MlsOptionalPaths,
        Self::SplitCommits,
        Self::PartialMls,
        Self::AmortizedPqCombiner,
        Self::TaintedTreekem,
        Self::SenderKeys,
        Self::Pairwise,
    ];

    /// The name in scenario files and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        word(self)
    }
}

/// A cipher suite by its name in RFC 9420, 17.1, or in a draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ciphersuite {
    /// `MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519`, which every implementation has.
    #[default]
    X25519Aes128GcmSha256Ed25519,
    /// `MLS_128_DHKEMP256_AES128GCM_SHA256_P256`.
    P256Aes128GcmSha256P256,
    /// `MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519`.
    X25519ChaCha20Poly1305Sha256Ed25519,
    /// `MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519` of the draft on post-quantum ciphersuites.
    /// Only the cost model has it.
    XWingChaCha20Poly1305Sha256Ed25519,
}

/// A place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the step for readers, from 1; `5.2` is the second step inside of the fifth.
    pub number: Arc<str>,
    /// The field path from the top of the file, such as `steps[4].repeat.steps[1]`.
    pub path: Arc<str>,
    /// The line in which the step begins, from 1.
    pub line: u32,
    /// The turn of the `repeat` that contains the step, or the number of the step that a `churn` has
    /// generated; both from 1.
    pub turn: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} (line {}", self.number, self.line)?;
        if let Some(turn) = self.turn {
            write!(f, ", turn {turn}")?;
        }
        write!(f, ")")
    }
}

/// An item with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The place of the item.
    pub place: Place,
    /// The item.
    pub item: T,
}

/// A step as it is written: names inside of a `repeat` may still contain `{i}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenStep {
    /// One action.
    Do(Action),
    /// Steps that are prepared in the same epoch: actions, and repeats of actions.
    Race(Vec<Placed<WrittenStep>>),
    /// Steps that are done several times: actions and races, never another repeat.
    Repeat {
        /// The number of turns.
        times: u32,
        /// The steps of each turn.
        steps: Vec<Placed<WrittenStep>>,
    },
    /// A generated history: neither inside of a race nor of a repeat.
    Churn(Box<Churn>),
}

/// A step as it is run, without `repeat` and `{i}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// One action.
    Do(Action),
    /// At least two actions of different members. [`Action::can_race`] is true for each of them.
    /// All actions are prepared in the same epoch, then submitted in an order from the seed.
    Race(Vec<Placed<Action>>),
}

impl Step {
    /// The expectations, if the step is an `expect`.
    #[must_use]
    pub fn expect(&self) -> Option<&Expect> {
        match self {
            Self::Do(action) => action.expect(),
            Self::Race(_) => None,
        }
    }
}
