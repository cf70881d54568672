//! Devices, the proof of their identity, and their sessions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Bytes, list::bounded};
use crate::identity::{DeviceId, UserId};

/// Asks for a challenge to sign. `POST /v1/challenges`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// The device that will sign the challenge.
    pub device: DeviceId,
}

/// A challenge that a device signs once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// 32 random bytes.
    pub challenge: Bytes,
    /// The number of seconds for which the challenge can be used.
    pub expires_in: u64,
}

/// Registers a device with the service. `POST /v1/devices`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// The device's name. No other device may have or have had this name.
    pub device: DeviceId,
    /// The public key (Ed25519, 32 bytes) with which the device opens sessions. The device uses it
    /// only with this service. It is not a key of MLS.
    pub key: Bytes,
    /// A challenge that the service issued for this device.
    pub challenge: Bytes,
    /// The signature over [`proof::registration`](super::proof::registration).
    pub signature: Bytes,
    /// The right to register, if the service's registration mode requires one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
}

/// The right to register a device.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// An invitation that the operator has made. It is valid for one device.
    Invitation(String),
    /// A JSON Web Token of the operator's issuer. Its `sub` is the user.
    Jwt(String),
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invitation(_) => "Invitation(…)",
            Self::Jwt(_) => "Jwt(…)",
        })
    }
}

/// Opens a session. `POST /v1/sessions`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// The device.
    pub device: DeviceId,
    /// A challenge that the service issued for this device.
    pub challenge: Bytes,
    /// The signature over [`proof::session`](super::proof::session), by the key that the device was
    /// registered with.
    pub signature: Bytes,
}

/// A session. Every other request carries its token: `Authorization: Bearer …`
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The token.
    pub token: String,
    /// The number of seconds until the session ends by itself.
    pub expires_in: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session {{ token: …, expires_in: {} }}", self.expires_in)
    }
}

/// Registers the address that the service calls when a delivery waits for the calling device.
/// `PUT /v1/wake-up`
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WakeUpRequest {
    /// The address, which begins with `https://`. The service sends an empty `POST` to it.
    pub url: String,
}

impl fmt::Debug for WakeUpRequest {
    /// Hides the address, because a call to it wakes the device.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WakeUpRequest { url: … }")
    }
}

/// The devices of a user. `GET /v1/users/{user}/devices`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Devices {
    /// The devices, in the order of their names.
    pub devices: Vec<DeviceId>,
}

/// The users that the calling device's user has blocked. `GET /v1/blocks`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BlockedUsers {
    /// The users, in the order of their names.
    pub users: Vec<UserId>,
}

/// A part of the signed list of a user's devices. `GET /v1/users/{user}/device-list`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceListPage {
    /// Encoded [entries](crate::device_list::ListEntry), in their order.
    #[serde(deserialize_with = "bounded")]
    pub entries: Vec<Bytes>,
    /// The number of the list's last entry. 0 for a user without a list.
    pub number: u64,
    /// The hash of the list's last entry: 32 bytes.
    pub head: Bytes,
}

/// Appends to the list of the calling device's user. `POST /v1/device-list`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceListEntry {
    /// An encoded [entry](crate::device_list::ListEntry) that the calling device has signed.
    pub entry: Bytes,
}

/// The last entry's number after an append to a device list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceListHead {
    /// The number of the list's last entry.
    pub number: u64,
}
