//! Changes of a group: the change that a proposal would make, and the changes that a commit makes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DeviceId, UserId, names::Epoch};

/// The change that a proposal would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proposed {
    /// Add this device.
    Add(DeviceId),
    /// Remove this device. If the proposer is the same device, it proposes to leave.
    Remove(DeviceId),
    /// Give the proposer's leaf new keys.
    Update,
    /// Set the [group data](crate::Group::data) to these bytes.
    Data(Vec<u8>),
}

impl Proposed {
    pub(crate) fn adds(&self, device: &DeviceId) -> bool {
        matches!(self, Self::Add(added) if added == device)
    }
}

/// The new epoch and the changes of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochChange {
    /// The committing device.
    pub by: DeviceId,
    /// The new epoch.
    pub epoch: Epoch,
    /// The changes, in the order of the commit's proposals.
    pub changes: Vec<Change>,
    /// Users that are no longer [verified](crate::Group::verify_user). A key of such a user has
    /// appeared that was not compared, because a device was added or changed its key. Verify these
    /// users again.
    pub no_longer_verified: Vec<UserId>,
    /// True if this device still has open intents. Then call
    /// [`Group::resume`](crate::Group::resume).
    pub resume: bool,
}

impl EpochChange {
    /// Returns the added devices. For an external commit this is the joining device.
    pub fn added(&self) -> impl Iterator<Item = &DeviceId> {
        Change::added(&self.changes)
    }

    /// Returns the removed devices. A device that rejoined was both removed and added.
    pub fn removed(&self) -> impl Iterator<Item = &DeviceId> {
        Change::removed(&self.changes)
    }
}

/// One change that a commit makes. (The committer's new keys are not listed, because every commit
/// has them.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// This device is new in the group.
    Added(DeviceId),
    /// This device is no longer in the group.
    Removed(DeviceId),
    /// This device's leaf has the new keys that the device proposed.
    Updated(DeviceId),
    /// The new [group data](crate::Group::data).
    Data(Vec<u8>),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(device) => write!(f, "add {device}"),
            Self::Removed(device) => write!(f, "remove {device}"),
            Self::Updated(device) => write!(f, "update {device}"),
            Self::Data(data) => write!(f, "set the group's data, {} bytes", data.len()),
        }
    }
}

impl Change {
    pub(crate) fn added(changes: &[Self]) -> impl Iterator<Item = &DeviceId> {
        changes.iter().filter_map(|change| if let Self::Added(device) = change { Some(device) } else { None })
    }

    pub(crate) fn removed(changes: &[Self]) -> impl Iterator<Item = &DeviceId> {
        changes.iter().filter_map(|change| if let Self::Removed(device) = change { Some(device) } else { None })
    }
}
