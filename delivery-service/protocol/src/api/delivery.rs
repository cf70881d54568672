//! Deliveries and their acknowledgement.

use serde::{Deserialize, Serialize};

use super::{Bytes, Receipt};
use crate::{
    identity::DeviceId,
    names::{Cursor, GroupId, Sequence, Timestamp},
};

/// The kind of log entry that a delivery contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryKind {
    /// The welcome for this device. It replaces the commit that added the device.
    Welcome,
    /// A commit.
    Commit,
    /// A proposal by reference.
    Proposal,
    /// An application message.
    Message,
    /// A rollback: the service takes back a commit that members could not process. The entries from
    /// `voided` on are void.
    Rollback,
}

/// One entry of a device's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// The entry's position in the stream. The device acknowledges this position and continues to
    /// read after it.
    pub cursor: u64,
    /// The group's identifier.
    pub group: GroupId,
    /// The kind of entry.
    pub kind: DeliveryKind,
    /// The device that submitted the entry.
    pub sender: DeviceId,
    /// The time at which the service accepted the entry, in seconds since the Unix epoch.
    pub time: u64,
    /// The MLSMessage as it was submitted. Empty for a rollback. A welcome is reduced to the part
    /// for this device.
    pub bytes: Bytes,
    /// For a rollback: the number of the first void entry. All entries from that one up to this one
    /// are void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voided: Option<u64>,
    /// The service's receipt for the entry. It contains the entry's number in the group's log.
    pub receipt: Receipt,
}

/// An error: the delivery is not one that a service makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDelivery {
    /// The delivery is a rollback without void entries, or another entry with void entries.
    #[error("a delivery names void entries but is not a rollback, or is a rollback without void entries")]
    Voided,
    /// A hash or a signature in the receipt has the wrong length.
    #[error("a hash or a signature in a receipt has the wrong length")]
    Receipt,
}

impl TryFrom<Delivery> for crate::Delivery {
    type Error = InvalidDelivery;

    /// Converts the entry. [`Receipt::verify`](crate::Receipt::verify) then checks that the service
    /// has signed it.
    fn try_from(delivery: Delivery) -> Result<Self, InvalidDelivery> {
        let group = delivery.group;
        let kind = match (delivery.kind, delivery.voided) {
            (DeliveryKind::Welcome, None) => crate::DeliveryKind::Welcome,
            (DeliveryKind::Commit, None) => crate::DeliveryKind::Commit,
            (DeliveryKind::Proposal, None) => crate::DeliveryKind::Proposal,
            (DeliveryKind::Message, None) => crate::DeliveryKind::Message,
            (DeliveryKind::Rollback, Some(voided)) => crate::DeliveryKind::Rollback { voided: Sequence(voided) },
            _ => return Err(InvalidDelivery::Voided),
        };
        let receipt = delivery.receipt.of(&group).ok_or(InvalidDelivery::Receipt)?;
        let (cursor, time) = (Cursor(delivery.cursor), Timestamp(delivery.time));
        Ok(Self { cursor, group, kind, receipt, sender: delivery.sender, time, bytes: delivery.bytes.0 })
    }
}

impl From<crate::Delivery> for Delivery {
    /// Converts the entry to its form on the wire.
    fn from(delivery: crate::Delivery) -> Self {
        let (kind, voided) = match delivery.kind {
            crate::DeliveryKind::Welcome => (DeliveryKind::Welcome, None),
            crate::DeliveryKind::Commit => (DeliveryKind::Commit, None),
            crate::DeliveryKind::Proposal => (DeliveryKind::Proposal, None),
            crate::DeliveryKind::Message => (DeliveryKind::Message, None),
            crate::DeliveryKind::Rollback { voided } => (DeliveryKind::Rollback, Some(voided.0)),
        };
        Self {
            cursor: delivery.cursor.0,
            group: delivery.group,
            kind,
            sender: delivery.sender,
            time: delivery.time.0,
            bytes: delivery.bytes.into(),
            voided,
            receipt: (&delivery.receipt).into(),
        }
    }
}

/// The next entries of the stream. `GET /v1/deliveries?after=…&limit=…&wait=…`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeliveryPage {
    /// The deliveries, in the order of their cursors.
    pub deliveries: Vec<Delivery>,
}

/// Acknowledges that the device has processed all entries up to a cursor.
/// `POST /v1/acknowledgements`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeRequest {
    /// The cursor of the last processed entry.
    pub up_to: u64,
}

/// The result of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Acknowledged {
    /// The number of entries that were deleted because no device has to read them any more.
    pub deleted: u64,
}
