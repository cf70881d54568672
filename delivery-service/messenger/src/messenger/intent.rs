//! An application's intent in a group.

use std::fmt;

use regrow_engine::{DeviceId, UserId};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// A change that the application wants in a group. The store keeps it until it has happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Intent {
    /// Add a user, with all devices on the user's list that the group has not removed.
    AddUser(UserId),
    /// Add one device.
    AddDevice(DeviceId),
    /// Remove a user, with all devices.
    RemoveUser(UserId),
    /// Remove one device.
    RemoveDevice(DeviceId),
    /// Give this device new keys in the group.
    Rotate {
        /// True if the signature key is replaced as well.
        signature_key: bool,
    },
    /// Set the group's data.
    SetData(ByteBuf),
    /// Leave the group.
    Leave,
}

impl Intent {
    /// The user that the intent adds or removes, or whose device it adds or removes.
    pub(super) fn user(&self) -> Option<&UserId> {
        match self {
            Self::AddUser(user) | Self::RemoveUser(user) => Some(user),
            Self::AddDevice(device) | Self::RemoveDevice(device) => Some(device.user()),
            Self::Rotate { .. } | Self::SetData(_) | Self::Leave => None,
        }
    }

    /// True if the newer intent takes this one back, so that only the newer one counts.
    pub(super) fn is_void_after(&self, newer: &Self) -> bool {
        match (self, newer) {
            (Self::AddUser(user), Self::RemoveUser(removed)) => user == removed,
            (Self::AddDevice(device), Self::RemoveUser(removed)) => device.user() == removed,
            (Self::AddDevice(device), Self::RemoveDevice(removed)) => device == removed,
            (Self::SetData(_), Self::SetData(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddUser(user) => write!(f, "to add {user}"),
            Self::AddDevice(device) => write!(f, "to add {device}"),
            Self::RemoveUser(user) => write!(f, "to remove {user}"),
            Self::RemoveDevice(device) => write!(f, "to remove {device}"),
            Self::Rotate { signature_key: false } => f.write_str("to rotate keys"),
            Self::Rotate { signature_key: true } => f.write_str("to rotate the signature key"),
            Self::SetData(data) => write!(f, "to set the group's data ({} bytes)", data.len()),
            Self::Leave => f.write_str("to leave"),
        }
    }
}
