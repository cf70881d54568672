//! The entries of a device's stream, as a client has them in hand.

use crate::{
    identity::DeviceId,
    names::{Cursor, GroupId, Sequence, Timestamp},
    receipt::{ChainHash, ChainedEntry, Receipt},
};

/// What a delivery carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryKind {
    /// The welcome (RFC 9420, 12.4.3.1) with which this device joins, in place of the commit that added it.
    Welcome,
    /// A commit. An external joiner reads its own, too, as the first of its membership.
    Commit,
    /// A proposal by reference.
    Proposal,
    /// An application message.
    Message,
    /// A commit that members could not process has been taken back. It and the proposals up to this entry are void; the
    /// messages were sent, to those who had followed it. The group is in the epoch before it again, with that epoch's
    /// roster. A device that had followed the commit rejoins by external commit; one that it had added is no member.
    Rollback {
        /// The number of the commit.
        voided: Sequence,
    },
}

/// One entry of a device's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it stands in the stream: what to acknowledge, and what to read on after.
    pub cursor: Cursor,
    /// The group that it belongs to.
    pub group: GroupId,
    /// What it is.
    pub kind: DeliveryKind,
    /// The service's signed word on it, with its number in the group's log.
    pub receipt: Receipt,
    /// Who submitted it; for a rollback, the last device whose report it took.
    pub sender: DeviceId,
    /// When it was accepted.
    pub time: Timestamp,
    /// The MLSMessage as it was submitted. Of a welcome, what is for this device: the secrets of others are left out.
    /// Empty for a rollback.
    pub bytes: Vec<u8>,
}

impl Delivery {
    /// The hash of the group's chain after this entry, if `before` is the hash before it: to be compared with the
    /// receipt's. `None` for a welcome, in whose place the chain has a commit.
    pub fn chained(&self, before: ChainHash) -> Option<ChainHash> {
        let Receipt { sequence, epoch, .. } = self.receipt;
        let (kind, sender, time, bytes) = (self.kind, &self.sender, self.time, self.bytes.as_slice());
        let entry = ChainedEntry { kind, sequence, epoch, sender, time, bytes };
        (kind != DeliveryKind::Welcome).then(|| before.then(&self.group, &entry))
    }
}
