//! Finds the messages that a thief can read, from the stolen state and the recorded traffic.
//!
//! There are three independent answers:
//!
//! | answer | source | module |
//! | --- | --- | --- |
//! | predicted | RFC 9420 and the policy, applied to the operations | [`crate::oracle`] |
//! | observed | the secrets that follow from the stolen bytes | `evidence` |
//! | replayed | the messages that the engine reads with the stolen state | [`replay`] |
//!
//! The observed answer has to equal the predicted answer, message by message. The replayed answer
//! has to be a part of the observed answer. The replay alone says less than the truth: the engine
//! refuses messages that its records call its own or too old, although the keys may exist.
//!
//! The observed answer uses all values that the devices computed. It takes the calls from the
//! [`tape`](Taped) of each device's cryptography, and makes a `graph` of them. Each edge of the
//! graph says that a secret follows from other secrets. Then it looks in the stolen bytes for every
//! secret of the graph (`search`), and computes the closure over the graph (`closure`).
//!
//! A thief that acts uses the replayed device: see [`active`].

pub mod active;
mod closure;
mod disk;
mod evidence;
mod forging_crypto;
mod graph;
mod naming;
pub mod replay;
mod search;
mod stolen_state;
mod tape;
mod thief;

pub use closure::Path;
pub use disk::BreakInError;
pub use evidence::{Evidence, Exposure, StolenBytes};
pub use stolen_state::{StolenFile, StolenState};
pub(crate) use tape::Mark;
pub use tape::{CallLog, Taped};
pub(crate) use thief::{Answers, Disagreement, Thief, healed_after};

use std::{collections::BTreeSet, sync::Arc};

use regrow_engine::DeviceId;
use serde::Serialize;

use self::replay::Replay;

/// Runs the stolen state, and finds the messages that it can read in the traffic.
pub trait Adversary: Send {
    /// Processes the traffic since the last call. Returns the entries that have changed the stolen
    /// state.
    fn observe(&mut self, traffic: &[Traffic]) -> Vec<Traffic>;

    /// The messages that the adversary can read, by their numbers in the traffic.
    fn readable(&self) -> &BTreeSet<usize>;

    /// The stolen device that the adversary runs, if it runs one. The thief can act only with this
    /// device.
    fn stolen(&mut self) -> Option<&mut Replay> {
        None
    }
}

/// The kind of an entry of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrafficKind {
    /// A commit.
    Commit,
    /// The welcome that came with the commit before it.
    Welcome,
    /// A proposal by reference.
    Proposal,
    /// An application message.
    Message,
}

impl TrafficKind {
    /// The name of the kind in transcripts and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Welcome => "welcome",
            Self::Proposal => "proposal",
            Self::Message => "message",
        }
    }
}

/// An entry that the delivery service ordered. Everybody who watches the service has it.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The kind of the entry.
    pub kind: TrafficKind,
    /// The epoch in which the entry was made; for a welcome, the epoch into which it leads.
    pub epoch: u64,
    /// The number of the application message, if the entry is one.
    pub message: Option<usize>,
    /// The device in whose name the entry was submitted, if this is known.
    pub sender: Option<DeviceId>,
    /// The bytes of the MLSMessage.
    pub bytes: Arc<[u8]>,
}

impl Traffic {
    /// An entry with these bytes.
    #[must_use]
    pub fn new(kind: TrafficKind, epoch: u64, message: Option<usize>, bytes: &[u8]) -> Self {
        Self { kind, epoch, message, sender: None, bytes: bytes.into() }
    }

    /// The same entry, in the name of this device.
    #[must_use]
    pub fn sent_by(self, sender: &DeviceId) -> Self {
        Self { sender: Some(sender.clone()), ..self }
    }
}
