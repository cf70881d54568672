//! What a device reads.

use serde::{Deserialize, Serialize};

use super::{Bytes, Receipt};
use crate::{
    identity::DeviceId,
    names::{Cursor, GroupId, Sequence, Timestamp},
};

/// What a delivery carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryKind {
    /// The welcome with which this device joins, in place of the commit that added it.
    Welcome,
    /// A commit.
    Commit,
    /// A proposal by reference.
    Proposal,
    /// An application message.
    Message,
    /// A commit that members could not process is taken back: the entries from `voided` on are void.
    Rollback,
}

/// One entry of a device's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Where it stands in the stream: what to acknowledge, and what to read on after.
    pub cursor: u64,
    /// The group's identifier.
    pub group: GroupId,
    /// What it is.
    pub kind: DeliveryKind,
    /// Who submitted it.
    pub sender: DeviceId,
    /// When it was accepted, in seconds since the Unix epoch.
    pub time: u64,
    /// The MLSMessage as it was submitted; nothing for a rollback. Of a welcome: the part that is for this device.
    pub bytes: Bytes,
    /// For a rollback: the number of the first entry that is void. It and all up to this one are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voided: Option<u64>,
    /// The service's signed word on it, with its number in the group's log.
    pub receipt: Receipt,
}

/// What was read as a delivery is none that a service makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDelivery {
    /// It says what is void, and is no rollback; or the other way round.
    #[error("a delivery says what is void, and is no rollback")]
    Voided,
    /// A hash or a signature has not its length.
    #[error("a receipt has not the right length")]
    Receipt,
}

impl TryFrom<Delivery> for crate::Delivery {
    type Error = InvalidDelivery;

    /// The entry that this says it is. Whether the service has signed it is then for
    /// [`Receipt::verify`](crate::Receipt::verify).
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
    /// The entry as it goes over the wire.
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
    /// In the order of their cursors.
    pub deliveries: Vec<Delivery>,
}

/// Says that everything up to a cursor is processed. `POST /v1/acknowledgements`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeRequest {
    /// The cursor of the last entry that was processed.
    pub up_to: u64,
}

/// What came of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Acknowledged {
    /// The entries that nobody has yet to read, and that are deleted.
    pub deleted: u64,
}
