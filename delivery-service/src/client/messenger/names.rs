//! The same things by their names in the engine, at the service, and on the wire.

use regrow_engine::{DeviceId, GroupId, PendingCommit};

use crate::{api, names};

pub(in crate::client) fn group_at_service(group: &GroupId) -> names::GroupId {
    names::GroupId::new(group.as_bytes())
}

pub(super) fn group_in_engine(group: &names::GroupId) -> GroupId {
    GroupId::new(group.as_bytes())
}

pub(super) fn device_name(device: &DeviceId) -> api::DeviceName {
    api::DeviceName { user: device.user().to_owned(), device: device.device().to_owned() }
}

/// The request that submits the commit.
pub fn commit_request(pending: &PendingCommit) -> api::CommitRequest {
    api::CommitRequest {
        commit: pending.commit().into(),
        welcome: pending.welcome().map(Into::into),
        group_info: pending.group_info().map(Into::into),
        added: pending.added().map(device_name).collect(),
        removed: pending.removed().map(device_name).collect(),
    }
}

/// [`None`] if it is no name of a device.
pub(super) fn device_in_engine(name: &api::DeviceName) -> Option<DeviceId> {
    DeviceId::new(&name.user, &name.device).ok()
}
