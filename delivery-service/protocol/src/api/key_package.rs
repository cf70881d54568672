//! Key packages (RFC 9420, 10) on their way in and out.

use serde::{Deserialize, Serialize};

use super::{Bytes, list};
use crate::identity::{DeviceId, UserId};

/// Stores key packages of the calling device. `POST /v1/key-packages`
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

/// What of a device can still be handed out. `GET /v1/key-packages`, and the answer to an upload
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyPackagesLeft {
    /// Key packages, the last-resort one not counted.
    pub left: usize,
    /// Whether there is a last-resort key package.
    pub last_resort: bool,
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
