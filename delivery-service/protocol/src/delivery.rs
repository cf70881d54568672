//! The entries of a device's stream, in the form that a client works with.

use crate::{
    delivery_kind::DeliveryKind,
    identity::DeviceId,
    names::{Cursor, GroupId, Timestamp},
    receipt::{ChainHash, ChainedEntry, Receipt},
};

/// One entry of a device's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The entry's position in the stream. The device acknowledges this position and continues to
    /// read after it.
    pub cursor: Cursor,
    /// The group that the entry belongs to.
    pub group: GroupId,
    /// The kind of entry.
    pub kind: DeliveryKind,
    /// The service's receipt for the entry. It contains the entry's number in the group's log.
    pub receipt: Receipt,
    /// The device that submitted the entry. For a rollback, the device whose report caused it.
    pub sender: DeviceId,
    /// The time at which the service accepted the entry.
    pub time: Timestamp,
    /// The MLSMessage as it was submitted. Empty for a rollback. A welcome is reduced to the part
    /// for this device, without the secrets for others.
    pub bytes: Vec<u8>,
}

impl Delivery {
    /// Returns the hash of the group's chain after this entry, if `before` is the hash before it.
    /// The caller compares it with the hash in the receipt. Returns `None` for a welcome, because
    /// the chain contains the commit instead.
    pub fn chained(&self, before: ChainHash) -> Option<ChainHash> {
        let Receipt { sequence, epoch, .. } = self.receipt;
        let (kind, sender, time, bytes) = (self.kind, &self.sender, self.time, self.bytes.as_slice());
        let entry = ChainedEntry { kind, sequence, epoch, sender, time, bytes };
        (kind != DeliveryKind::Welcome).then(|| before.then(&self.group, &entry))
    }
}
