//! What a thief can read: a snapshot and the recorded traffic in, readable messages out.
//!
//! There will be several independent answers to that question; each is an [`Adversary`]. Today there is one, the
//! [`replay`], and it says less than the truth: an engine that is fed a stolen state refuses what its bookkeeping says is
//! its own or too old, although the keys may be there. What it reads is exposed; what it does not read may be exposed all
//! the same, and is not reported as secure.

pub mod replay;

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use crate::scenario::{CompromiseId, MemberName};

/// Works out what the holder of one snapshot can read of the traffic.
pub trait Adversary {
    /// Sees what has been ordered since it last looked.
    fn observe(&mut self, traffic: &[Traffic]);

    /// The messages that it can read, by their numbers in the traffic.
    fn readable(&self) -> &BTreeSet<usize>;

    /// The latest epoch that it has the keys of; [`None`] if it was never in the group.
    fn reach(&self) -> Option<u64>;
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
    /// The MLSMessage.
    pub bytes: Arc<[u8]>,
}

impl Traffic {
    /// An entry with these bytes.
    #[must_use]
    pub fn new(kind: Kind, epoch: u64, message: Option<usize>, bytes: &[u8]) -> Self {
        Self { kind, epoch, message, bytes: bytes.into() }
    }
}

/// Somebody with a snapshot.
pub(crate) struct Thief {
    pub(crate) id: CompromiseId,
    /// Whose device was stolen: its name, and its number.
    pub(crate) who: MemberName,
    pub(crate) device: usize,
    /// The group's epoch at that moment.
    pub(crate) epoch: u64,
    /// How many messages had been sent by then.
    pub(crate) messages: usize,
    /// How much of the traffic it has seen.
    seen: usize,
    adversary: Box<dyn Adversary>,
}

impl Thief {
    pub(crate) fn new(
        id: CompromiseId,
        who: MemberName,
        device: usize,
        epoch: u64,
        messages: usize,
        adversary: Box<dyn Adversary>,
    ) -> Self {
        Self { id, who, device, epoch, messages, seen: 0, adversary }
    }

    /// Lets it see all that has been sent until now.
    pub(crate) fn observe(&mut self, traffic: &[Traffic]) {
        self.adversary.observe(&traffic[self.seen..]);
        self.seen = traffic.len();
    }

    pub(crate) fn readable(&self) -> &BTreeSet<usize> {
        self.adversary.readable()
    }

    /// How many epochs after the compromise the first came that it has no keys of; [`None`] if it has those of the
    /// present epoch.
    pub(crate) fn healed_after(&self, now: u64) -> Option<u64> {
        match self.adversary.reach() {
            Some(reach) if reach >= now => None,
            Some(reach) => Some((reach + 1).saturating_sub(self.epoch)),
            None => Some(0),
        }
    }
}
