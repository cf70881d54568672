//! Devices, how they prove who they are, and their sessions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Bytes;
use crate::{mls, names::DeviceId};

/// The version of the identity's encoding, its first byte.
const IDENTITY_VERSION: u8 = 1;

/// A device of a user: what stands in the credential of its leaf, in a form that people can read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceName {
    /// The user.
    #[cfg_attr(feature = "openapi", schema(example = "alice"))]
    pub user: String,
    /// The device among that user's.
    #[cfg_attr(feature = "openapi", schema(example = "phone"))]
    pub device: String,
}

/// The bytes are not the identity of a device of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user and a device have names of 1 to 255 bytes in all")]
pub struct InvalidDeviceName;

impl DeviceName {
    /// The identity that stands in the device's credential: the byte 1, and then the user's and the device's name, each
    /// behind its length as RFC 9420, 2.1.2 encodes it. It is the encoding of the engine's `DeviceId`.
    ///
    /// # Errors
    /// [`InvalidDeviceName`] if a name is empty, or the identity longer than [`crate::MAX_NAME_BYTES`].
    pub fn to_id(&self) -> Result<DeviceId, InvalidDeviceName> {
        if self.user.is_empty() || self.device.is_empty() {
            return Err(InvalidDeviceName);
        }
        let mut identity = vec![IDENTITY_VERSION];
        let fits = [&self.user, &self.device].iter().all(|name| mls::put_vector(&mut identity, name.as_bytes()));
        let id = DeviceId::new(identity);
        if !fits || id.is_too_long() { Err(InvalidDeviceName) } else { Ok(id) }
    }

    /// Reads what [`to_id`](Self::to_id) wrote.
    ///
    /// # Errors
    /// [`InvalidDeviceName`] if these bytes are anything else.
    pub fn from_id(id: &DeviceId) -> Result<Self, InvalidDeviceName> {
        let (&version, rest) = id.as_bytes().split_first().ok_or(InvalidDeviceName)?;
        if version != IDENTITY_VERSION {
            return Err(InvalidDeviceName);
        }
        let (user, rest) = read_name(rest)?;
        let (device, _) = read_name(rest)?;
        let name = Self { user: user.to_owned(), device: device.to_owned() };
        // One device, one encoding: identities are compared as bytes.
        if name.to_id()? == *id { Ok(name) } else { Err(InvalidDeviceName) }
    }
}

/// The name at the beginning, and what comes after it.
fn read_name(bytes: &[u8]) -> Result<(&str, &[u8]), InvalidDeviceName> {
    let (name, rest) = mls::vector(bytes).ok_or(InvalidDeviceName)?;
    Ok((str::from_utf8(name).map_err(|_| InvalidDeviceName)?, rest))
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.user, self.device)
    }
}

/// Asks for something to sign. `POST /v1/challenges`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// The device that will sign it.
    pub device: DeviceName,
}

/// Something to sign, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// 32 random bytes.
    pub challenge: Bytes,
    /// Seconds for which it can be used.
    pub expires_in: u64,
}

/// Makes a device known to the service. `POST /v1/devices`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Its name, which no other device has or had.
    pub device: DeviceName,
    /// The public key (Ed25519, 32 bytes) that it opens sessions with. It is for this service alone, not a key of MLS.
    pub key: Bytes,
    /// A challenge that was given out for this device.
    pub challenge: Bytes,
    /// The signature over [`proof::registration`](super::proof::registration).
    pub signature: Bytes,
    /// What gives the right to register, as the service's mode of registration asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
}

/// What gives the right to register a device.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// An invitation that the operator has made, good for one device.
    Invitation(String),
    /// A JSON Web Token of the operator's issuer, whose `sub` is the user.
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
    pub device: DeviceName,
    /// A challenge that was given out for this device.
    pub challenge: Bytes,
    /// The signature over [`proof::session`](super::proof::session), by the key that the device was registered with.
    pub signature: Bytes,
}

/// A session. Every other request bears its token: `Authorization: Bearer …`
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The token.
    pub token: String,
    /// Seconds until it ends by itself.
    pub expires_in: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session {{ token: …, expires_in: {} }}", self.expires_in)
    }
}

/// The devices of a user. `GET /v1/users/{user}/devices`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Devices {
    /// In the order of their names.
    pub devices: Vec<DeviceName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(user: &str, device: &str) -> DeviceName {
        DeviceName { user: user.into(), device: device.into() }
    }

    #[test]
    fn a_name_comes_back_from_its_identity() {
        let phone = name("alice", "phone");
        let id = phone.to_id().expect("a short name");
        assert_eq!(id.as_bytes(), b"\x01\x05alice\x05phone");
        assert_eq!(DeviceName::from_id(&id), Ok(phone));
    }

    #[test]
    fn names_have_to_have_a_length_that_fits() {
        for name in [name("", "phone"), name("alice", ""), name(&"a".repeat(255), "phone")] {
            assert_eq!(name.to_id(), Err(InvalidDeviceName));
        }
    }

    #[test]
    fn other_bytes_are_no_identity() {
        let bytes: [&[u8]; 7] = [
            b"",
            b"\x01",
            b"\x02\x05alice\x05phone",
            b"\x01\x05alice\x05phone!",
            b"\x01\x40\x05alice\x05phone",
            b"\x01\x05alice\x09phone",
            b"\x01\x01\xff\x05phone",
        ];
        for bytes in bytes {
            assert_eq!(DeviceName::from_id(&DeviceId::new(bytes)), Err(InvalidDeviceName), "{bytes:?}");
        }
    }
}
