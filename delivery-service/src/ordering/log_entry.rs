//! The stored form of a log entry. The module has no rules: `log` writes and deletes entries, and
//! `reading` and the store check decode them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    DeliveryKind,
    names::{DeviceId, Sequence, Timestamp},
    receipt::StoredReceipt,
    store::identity,
};

/// The kind of an entry.
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

/// A log entry as the store has it: routing data and the bytes. It has no list of readers; the
/// memberships say which devices read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LogEntry<'a> {
    pub(crate) kind: EntryKind,
    #[serde(with = "identity::cow")]
    pub(crate) sender: Cow<'a, DeviceId>,
    pub(crate) time: Timestamp,
    pub(crate) receipt: StoredReceipt,
    /// The bytes that the entry counts for: its own, and the bytes of its welcome.
    pub(crate) size: u64,
    #[serde(borrow, with = "serde_bytes")]
    pub(crate) bytes: Cow<'a, [u8]>,
}
