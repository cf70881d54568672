//! Requests that submit commits, proposals and messages to a group, and their responses.

use serde::{Deserialize, Serialize};

use super::{Bytes, list};
use crate::{
    HandshakeMode,
    identity::DeviceId,
    names::{Epoch, GroupId, Sequence},
    receipt::{self, ChainHash},
};

/// Creates a group. `POST /v1/groups`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateGroupRequest {
    /// The group's identifier.
    pub group: GroupId,
    /// The form of the group's handshakes.
    pub handshake: HandshakeMode,
    /// The group info of epoch 0 with the ratchet tree, an MLSMessage.
    pub group_info: Bytes,
}

/// Submits a commit. `POST /v1/groups/{group}/commits`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CommitRequest {
    /// The commit, an MLSMessage.
    pub commit: Bytes,
    /// The welcome for all devices that the commit adds, an MLSMessage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welcome: Option<Bytes>,
    /// The group info of the epoch that the commit begins, an MLSMessage. In an opaque group it
    /// contains the ratchet tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_info: Option<Bytes>,
    /// The devices that the commit adds.
    #[serde(default, deserialize_with = "list::bounded")]
    pub added: Vec<DeviceId>,
    /// The devices that the commit removes.
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

/// The service's signed statement on an entry of the group's log: see [`crate::Receipt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The entry's number. 0 for the group's creation.
    pub sequence: u64,
    /// The group's epoch right after the entry.
    pub epoch: u64,
    /// The hash of the chain up to and including the entry, 32 bytes.
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
    /// Returns the receipt with the group, or `None` if a length is wrong.
    /// [`verify`](receipt::Receipt::verify) then checks that the service has signed it.
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

/// The submission is ordered: now, or earlier if the device has already submitted the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The service's receipt for the log entry.
    pub receipt: Receipt,
}

/// The state of a group at the service. `GET /v1/groups/{group}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GroupState {
    /// The group's epoch.
    pub epoch: u64,
    /// The member devices, in the order of their names.
    pub devices: Vec<DeviceId>,
}

/// The group info for an external commit. `GET /v1/groups/{group}/info`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GroupInfo {
    /// The group info of the current epoch, an MLSMessage. If it contains no ratchet tree, the
    /// device fetches the tree separately.
    pub group_info: Bytes,
}

/// The ratchet tree for a device that joins with a welcome or a group info without one.
/// `GET /v1/groups/{group}/trees/{epoch}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RatchetTree {
    /// The tree in the encoding of RFC 9420, 12.4.3.3.
    pub ratchet_tree: Bytes,
}

/// Reports that the calling device cannot process a commit. `POST /v1/groups/{group}/reports`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// The commit's number in the group's log.
    pub sequence: u64,
}

/// The result of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportAnswer {
    /// The number of users that have reported the commit, among the users that may report it.
    pub reports: u64,
    /// The number of reports that cause a rollback.
    pub needed: u64,
    /// True if the service has taken the commit back.
    pub rolled_back: bool,
}
