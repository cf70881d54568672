//! The addition of a user or device to a group: its target and its progress, as data.

use std::collections::VecDeque;

use regrow_engine::{DeviceId, KeyPackageBytes, UserId};

use super::intent::Intent;
use crate::error::ConnectionError;

/// The user or the device that is added.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AdditionTarget {
    User(UserId),
    Device(DeviceId),
}

impl AdditionTarget {
    pub(super) fn user(&self) -> &UserId {
        match self {
            Self::User(user) => user,
            Self::Device(device) => device.user(),
        }
    }

    /// The intent to add this target.
    pub(super) fn intent(&self) -> Intent {
        match self {
            Self::User(user) => Intent::AddUser(user.clone()),
            Self::Device(device) => Intent::AddDevice(device.clone()),
        }
    }
}

/// The progress of one addition in one group.
pub(super) struct AdditionProgress {
    pub(super) stage: AdditionStage,
    pub(super) claimed: Vec<(DeviceId, KeyPackageBytes)>,
    /// True if one of the devices cannot be added.
    pub(super) is_incomplete: bool,
    /// The service's refusal for a device whose key packages can be claimed later.
    pub(super) later: Option<ConnectionError>,
}

impl AdditionProgress {
    /// The progress at the beginning.
    pub(super) fn new() -> Self {
        Self { stage: AdditionStage::ReadList, claimed: Vec::new(), is_incomplete: false, later: None }
    }
}

/// The stage of an addition.
pub(super) enum AdditionStage {
    /// The device reads the list of the user's devices.
    ReadList,
    /// The device claims a key package of each of these devices in turn.
    Claim(VecDeque<DeviceId>),
}
