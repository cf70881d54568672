//! Key packages (RFC 9420, 10) on their way in and out.

use serde::{Deserialize, Serialize};

use super::{Bytes, list};
use crate::identity::{DeviceId, UserId};

/// Stores key packages of the calling device. `POST /v1/key-packages`; `PUT`, to withdraw all others as well
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UploadRequest {
    /// Each an MLSMessage with a key package. One that was uploaded before is left out.
    #[serde(default, deserialize_with = "list::bounded")]
    pub key_packages: Vec<Bytes>,
    /// The one that is handed out when no other is left. It replaces the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_resort: Option<Bytes>,
}

/// What of a device can still be handed out. `GET /v1/key-packages`, and in the answer to an upload
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyPackagesLeft {
    /// Key packages, the last-resort one not counted.
    pub left: usize,
    /// Whether there is a last-resort key package.
    pub last_resort: bool,
    /// Whether the last-resort key package has been handed out, and should be replaced.
    pub last_resort_used: bool,
}

/// What came of an upload. The key packages that are not refused are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UploadAnswer {
    /// What can be handed out now.
    pub key_packages: KeyPackagesLeft,
    /// What was refused. Others are not affected by it.
    pub refused: Vec<RefusedKeyPackage>,
}

/// A key package of an upload that was not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RefusedKeyPackage {
    /// Which, from 0 in the order of the upload; the last-resort one comes after all others.
    pub index: usize,
    /// Why, in a word that stays: the name of a [`RejectCode`](crate::RejectCode), or a newer one.
    pub reason: String,
    /// More on it. For people.
    pub detail: String,
}

/// Takes one key package of each device of a user, or of one. `POST /v1/key-packages/claims`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// The user.
    pub user: UserId,
    /// The device; all of the user's if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// What was claimed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimAnswer {
    /// One for each device that had one.
    pub key_packages: Vec<ClaimedKeyPackage>,
    /// The devices that had none left.
    pub without: Vec<DeviceId>,
}

/// A key package that was handed out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimedKeyPackage {
    /// Whose it is.
    pub device: DeviceId,
    /// The MLSMessage as it was uploaded.
    pub key_package: Bytes,
    /// Whether it is the last-resort one, which others get as well.
    pub last_resort: bool,
    /// What of that device can still be handed out.
    pub left: KeyPackagesLeft,
}
