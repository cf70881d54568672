//! What a thief can read: what was stolen and the recorded traffic in, readable messages out.
//!
//! There are three independent answers:
//!
//! | answer | what it is | module |
//! | --- | --- | --- |
//! | predicted | what RFC 9420 and the policy say, from the operations alone | [`crate::oracle`] |
//! | observed | what follows from the very bytes that were stolen, over all that was computed | `evidence` |
//! | replayed | what the engine reads that is run on the stolen state | [`replay`] |
//!
//! Observed has to equal predicted, message by message, and replayed has to be within observed. Replay alone says less than
//! the truth: an engine refuses what its bookkeeping says is its own or too old, although the keys may be there.
//!
//! The observed answer takes what the [`tape`](Taped) of each device's cryptography recorded, makes of it a `graph` of
//! which secret gives which, looks in the stolen bytes for every secret of the graph (`search`), and closes over the graph
//! (`closure`).
//!
//! A thief that acts does so with the replayed device: see [`active`].

pub mod active;
mod closure;
mod deceived;
mod disk;
mod evidence;
mod graph;
mod loot;
mod naming;
pub mod replay;
mod search;
mod tape;
mod thief;

pub use closure::Path;
pub use disk::BreakInError;
pub use evidence::{Evidence, Exposure, Place};
pub use loot::{Loot, StolenFile};
pub(crate) use tape::Mark;
pub use tape::{Log, Taped};
pub(crate) use thief::{Answers, Finding, Thief, healed_after};

use std::{collections::BTreeSet, sync::Arc};

use regrow_engine::DeviceId;
use serde::Serialize;

use self::replay::Replay;

/// Reads what the holder of what was stolen once can read of the traffic, by running it.
pub trait Adversary: Send {
    /// Sees what has been ordered since it last looked, and answers what of that has changed the state that it runs.
    fn observe(&mut self, traffic: &[Traffic]) -> Vec<Traffic>;

    /// The messages that it can read, by their numbers in the traffic.
    fn readable(&self) -> &BTreeSet<usize>;

    /// The stolen device as the thief runs it, if it runs one: with it the thief can act.
    fn stolen(&mut self) -> Option<&mut Replay> {
        None
    }
}

/// What an entry of the traffic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A commit.
    Commit,
    /// The welcome that came with the commit before it.
    Welcome,
    /// A proposal by reference.
    Proposal,
    /// An application message.
    Message,
}

impl Kind {
    /// The kind's name in transcripts and reports.
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

/// Something that the delivery service ordered: what anyone who watches it has.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// What it is.
    pub kind: Kind,
    /// The epoch that it was made in; of a welcome, the epoch that it leads into.
    pub epoch: u64,
    /// The number of the application message that it is.
    pub message: Option<usize>,
    /// The device in whose name it was submitted, where that is known.
    pub sender: Option<DeviceId>,
    /// The MLSMessage.
    pub bytes: Arc<[u8]>,
}

impl Traffic {
    /// An entry with these bytes.
    #[must_use]
    pub fn new(kind: Kind, epoch: u64, message: Option<usize>, bytes: &[u8]) -> Self {
        Self { kind, epoch, message, sender: None, bytes: bytes.into() }
    }

    /// The same entry, in the name of this device.
    #[must_use]
    pub fn sent_by(self, sender: &DeviceId) -> Self {
        Self { sender: Some(sender.clone()), ..self }
    }
}
