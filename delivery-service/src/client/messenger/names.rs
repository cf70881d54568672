//! The same things by their names in the engine, at the service, and on the wire.

use regrow_engine::{DeviceId, GroupId, PendingCommit};

use crate::{api, names};

pub(in crate::client) fn group_at_service(group: &GroupId) -> names::GroupId {
    names::GroupId::new(group.as_bytes())
}

pub(super) fn group_in_engine(group: &names::GroupId) -> GroupId {
    GroupId::new(group.as_bytes())
}

impl From<&DeviceId> for api::DeviceName {
    fn from(device: &DeviceId) -> Self {
        Self { user: device.user().to_owned(), device: device.device().to_owned() }
    }
}

impl From<&PendingCommit> for api::CommitRequest {
    /// The request that submits the commit.
    fn from(pending: &PendingCommit) -> Self {
        Self {
            commit: pending.commit().into(),
            welcome: pending.welcome().map(Into::into),
            group_info: pending.group_info().map(Into::into),
            added: pending.added().map(Into::into).collect(),
            removed: pending.removed().map(Into::into).collect(),
        }
    }
}

/// [`None`] if it is no name of a device.
pub(super) fn device_in_engine(name: &api::DeviceName) -> Option<DeviceId> {
    DeviceId::new(&name.user, &name.device).ok()
}
