//! The same things by their names in the engine, at the service, and on the wire.

use regrow_engine::{DeviceId, GroupId};

use crate::{api, names};

pub(in crate::client) fn group_at_service(group: &GroupId) -> names::GroupId {
    names::GroupId::new(group.as_bytes())
}

pub(super) fn group_in_engine(group: &names::GroupId) -> GroupId {
    GroupId::new(group.as_bytes())
}

pub(super) fn on_the_wire(device: &DeviceId) -> api::DeviceName {
    api::DeviceName { user: device.user().to_owned(), device: device.device().to_owned() }
}

/// [`None`] if it is no name of a device.
pub(super) fn device_in_engine(name: &api::DeviceName) -> Option<DeviceId> {
    DeviceId::new(&name.user, &name.device).ok()
}
