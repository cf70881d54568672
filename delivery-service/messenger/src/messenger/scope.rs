//! The scope of a failure.

use std::fmt;

use regrow_engine::{GroupId, UserId};

use super::intent::Intent;

/// The concern that a failure delays. All other concerns go on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FailureScope {
    /// Acknowledgements at the service, and the erasure of old secrets.
    Device,
    /// The device's key packages at the service.
    KeyPackages,
    /// The list of a user's devices: reading it, and for this device's user also changing it.
    DeviceList(UserId),
    /// All submissions to one group.
    Group(GroupId),
    /// One intent of the application, while it needs key packages of other devices.
    Intent {
        /// The group.
        group: GroupId,
        /// The intent. [`Messenger::withdraw`](super::Messenger::withdraw) gives it up.
        intent: Intent,
    },
}

impl fmt::Display for FailureScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device => f.write_str("the device's upkeep"),
            Self::KeyPackages => f.write_str("the device's key packages"),
            Self::DeviceList(user) => write!(f, "the list of the devices of {user}"),
            Self::Group(group) => write!(f, "the group {group}"),
            Self::Intent { group, intent } => write!(f, "{intent} in the group {group}"),
        }
    }
}
