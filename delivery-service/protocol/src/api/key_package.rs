//! Uploads and claims of key packages (RFC 9420, 10).

use serde::{Deserialize, Serialize};

use super::{Bytes, list};
use crate::identity::{DeviceId, UserId};

/// Stores key packages of the calling device: `POST /v1/key-packages`. With `PUT`, it also
/// withdraws all earlier key packages.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UploadRequest {
    /// The key packages, each an MLSMessage. A key package that was uploaded before is skipped.
    #[serde(default, deserialize_with = "list::bounded")]
    pub key_packages: Vec<Bytes>,
    /// The last-resort key package, which is handed out when no other is left. It replaces the
    /// previous one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_resort: Option<Bytes>,
}

/// The key packages of a device that the service can still hand out. `GET /v1/key-packages`, and in
/// the response to an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyPackagesLeft {
    /// The number of key packages, without the last-resort key package.
    pub left: usize,
    /// True if there is a last-resort key package.
    pub last_resort: bool,
    /// True if the last-resort key package has been handed out and should be replaced.
    pub last_resort_used: bool,
}

/// The result of an upload. All key packages that are not refused are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UploadAnswer {
    /// The key packages that can be handed out now.
    pub key_packages: KeyPackagesLeft,
    /// The refused key packages. A refusal does not affect the other key packages.
    pub refused: Vec<RefusedKeyPackage>,
}

/// A refused key package of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RefusedKeyPackage {
    /// The key package's position in the upload, counted from 0. The last-resort key package comes
    /// after all others.
    pub index: usize,
    /// The reason: the name of a [`RejectCode`](crate::RejectCode), or a newer name. The names
    /// never change.
    pub reason: String,
    /// Details for people.
    pub detail: String,
}

/// Claims one key package of each device of a user, or of one device.
/// `POST /v1/key-packages/claims`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// The user.
    pub user: UserId,
    /// The device's name. If it is missing, all devices of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// The claimed key packages.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimAnswer {
    /// One key package for each device that had one.
    pub key_packages: Vec<ClaimedKeyPackage>,
    /// The devices without a key package.
    pub without: Vec<DeviceId>,
}

/// A key package that was handed out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimedKeyPackage {
    /// The device that uploaded the key package.
    pub device: DeviceId,
    /// The key package, an MLSMessage, as it was uploaded.
    pub key_package: Bytes,
    /// True if this is the last-resort key package. Other devices get the same one.
    pub last_resort: bool,
    /// The key packages of that device that can still be handed out.
    pub left: KeyPackagesLeft,
}
