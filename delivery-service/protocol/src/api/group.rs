//! What is submitted to a group, and the answers.

use serde::{Deserialize, Serialize};

use super::{Bytes, list};
use crate::{
    identity::DeviceId,
    names::{Epoch, GroupId, Sequence},
    receipt::{self, ChainHash},
};

/// How much of a group's handshakes the service sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Handshake {
    /// Handshakes are PublicMessages, which the service checks.
    Assisted,
    /// Handshakes are PrivateMessages, which it cannot look into.
    Opaque,
}

/// Makes a group. `POST /v1/groups`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateGroupRequest {
    /// The group's identifier.
    pub group: GroupId,
    /// How much the service sees of its handshakes.
    pub handshake: Handshake,
    /// The group info of its epoch 0 with the ratchet tree, an MLSMessage.
    pub group_info: Bytes,
}

/// Submits a commit. `POST /v1/groups/{group}/commits`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CommitRequest {
    /// The commit, an MLSMessage.
    pub commit: Bytes,
    /// The welcome for all whom it adds, an MLSMessage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welcome: Option<Bytes>,
    /// The group info of the epoch that it begins, an MLSMessage. In an opaque group it has the ratchet tree in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_info: Option<Bytes>,
    /// Whom it adds.
    #[serde(default, deserialize_with = "list::bounded")]
    pub added: Vec<DeviceId>,
    /// Whom it removes.
    #[serde(default, deserialize_with = "list::bounded")]
    pub removed: Vec<DeviceId>,
}

/// Submits a proposal by reference. `POST /v1/groups/{group}/proposals`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProposalRequest {
    /// The proposal, an MLSMessage.
    pub proposal: Bytes,
}

/// Submits an application message. `POST /v1/groups/{group}/messages`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// The message, an MLSMessage.
    pub message: Bytes,
}

/// The service's signed word on an entry of the group's log: see [`crate::Receipt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The entry's number; 0 for the group's creation.
    pub sequence: u64,
    /// The group's epoch right after it.
    pub epoch: u64,
    /// The hash of the chain up to and with it, 32 bytes.
    pub head: Bytes,
    /// The signature (Ed25519), 64 bytes.
    pub signature: Bytes,
}

impl From<&receipt::Receipt> for Receipt {
    fn from(receipt: &receipt::Receipt) -> Self {
        Self {
            sequence: receipt.sequence.0,
            epoch: receipt.epoch.0,
            head: receipt.head.0.as_slice().into(),
            signature: receipt.signature.as_slice().into(),
        }
    }
}

impl Receipt {
    /// The receipt as one of this group's; `None` if a length is wrong. Whether the service has signed it is then
    /// for [`verify`](receipt::Receipt::verify).
    pub fn of(&self, group: &GroupId) -> Option<receipt::Receipt> {
        Some(receipt::Receipt {
            group: group.clone(),
            sequence: Sequence(self.sequence),
            epoch: Epoch(self.epoch),
            head: ChainHash(self.head.0.as_slice().try_into().ok()?),
            signature: self.signature.0.as_slice().try_into().ok()?,
        })
    }
}

/// A submission was ordered, now or when the very same bytes were first submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The service's signed word on it.
    pub receipt: Receipt,
}

/// A group as the service knows it. `GET /v1/groups/{group}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GroupState {
    /// Its epoch.
    pub epoch: u64,
    /// Its member devices, in the order of their names.
    pub devices: Vec<DeviceId>,
}

/// What an external commit needs. `GET /v1/groups/{group}/info`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GroupInfo {
    /// The group info of the present epoch, an MLSMessage. If it has no ratchet tree in it, that is to be got by itself.
    pub group_info: Bytes,
}

/// What joining needs beside a welcome or a group info that has no ratchet tree in it. `GET /v1/groups/{group}/trees/{epoch}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RatchetTree {
    /// The tree, as RFC 9420, 12.4.3.3, has it.
    pub ratchet_tree: Bytes,
}

/// Says that the calling device cannot process a commit. `POST /v1/groups/{group}/reports`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// The commit's number in the group's log.
    pub sequence: u64,
}

/// What came of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportAnswer {
    /// How many users have reported the commit, of those that are asked.
    pub reports: u64,
    /// How many it takes to take it back.
    pub needed: u64,
    /// Whether it has been taken back.
    pub rolled_back: bool,
}
