//! The stored form of a log entry.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    DeliveryKind,
    names::{DeviceId, Sequence, Timestamp},
    receipt::StoredReceipt,
    store::identity,
};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EntryKind {
    Commit,
    Proposal,
    Message,
    Rollback { voided: Sequence },
}

impl From<EntryKind> for DeliveryKind {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Commit => Self::Commit,
            EntryKind::Proposal => Self::Proposal,
            EntryKind::Message => Self::Message,
            EntryKind::Rollback { voided } => Self::Rollback { voided },
        }
    }
}

/// An entry as it is stored: routing data and the bytes. Who receives it follows from the memberships.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LogEntry<'a> {
    pub(crate) kind: EntryKind,
    #[serde(with = "identity::cow")]
    pub(crate) sender: Cow<'a, DeviceId>,
    pub(crate) time: Timestamp,
    pub(crate) receipt: StoredReceipt,
    /// The bytes that it counts for: its own, and those of its welcome.
    pub(crate) size: u64,
    #[serde(borrow, with = "serde_bytes")]
    pub(crate) bytes: Cow<'a, [u8]>,
}
