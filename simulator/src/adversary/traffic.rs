//! The traffic: every entry that the delivery service has ordered.

use std::sync::Arc;

use regrow_engine::{DeviceId, GroupId};
use serde::Serialize;

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
    /// The group of the entry.
    pub group: GroupId,
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
    pub fn new(group: &GroupId, kind: TrafficKind, epoch: u64, message: Option<usize>, bytes: &[u8]) -> Self {
        Self { group: group.clone(), kind, epoch, message, sender: None, bytes: bytes.into() }
    }

    /// The same entry, in the name of this device.
    #[must_use]
    pub fn sent_by(self, sender: &DeviceId) -> Self {
        Self { sender: Some(sender.clone()), ..self }
    }
}
