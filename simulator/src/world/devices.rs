//! All devices of a scenario, by index and by name.

use std::{
    collections::BTreeMap,
    ops::{Index, IndexMut},
};

use regrow_engine::DeviceId;

use super::{device::Device, step_failure::StepFailure};
use crate::scenario::{FailCode, MemberName, UserName};

/// The devices, in the order of the scenario's members.
#[derive(Default)]
pub(super) struct Devices {
    list: Vec<Device>,
    by_name: BTreeMap<MemberName, usize>,
    by_address: BTreeMap<DeviceId, usize>,
}

impl Devices {
    pub(super) fn push(&mut self, device: Device) {
        self.by_name.insert(device.name.clone(), self.list.len());
        self.by_address.insert(device.address.clone(), self.list.len());
        self.list.push(device);
    }

    /// The index of a member's device.
    pub(super) fn find(&self, name: &MemberName) -> Result<usize, StepFailure> {
        let index = self.by_name.get(name).copied();
        index.ok_or_else(|| {
            StepFailure::new(FailCode::UnknownMember, format!("{name} is not one of the scenario's members"))
        })
    }

    /// The indexes of these members' devices.
    pub(super) fn indexes(&self, who: &[MemberName]) -> Result<Vec<usize>, StepFailure> {
        who.iter().map(|name| self.find(name)).collect()
    }

    /// The index of the device of an engine identity.
    pub(super) fn index_of(&self, id: &DeviceId) -> Option<usize> {
        self.by_address.get(id).copied()
    }

    /// The name of the member with an engine identity, or the identity itself if it is unknown.
    pub(super) fn name_of(&self, id: &DeviceId) -> String {
        self.index_of(id).map_or_else(|| id.to_string(), |index| self[index].name.to_string())
    }

    /// The devices of a user that are not lost.
    pub(super) fn of_user(&self, user: &UserName) -> impl Iterator<Item = &Device> {
        self.list.iter().filter(move |device| device.name.user() == user.as_str() && !device.is_lost)
    }

    /// The engine identities of these members.
    pub(super) fn ids(&self, who: &[MemberName]) -> Result<Vec<DeviceId>, StepFailure> {
        who.iter().map(|name| Ok(self[self.find(name)?].client.device().clone())).collect()
    }

    /// The names of all members, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = MemberName> {
        self.by_name.keys().cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Device> {
        self.list.iter()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Device] {
        &mut self.list
    }
}

impl Index<usize> for Devices {
    type Output = Device;

    fn index(&self, index: usize) -> &Device {
        &self.list[index]
    }
}

impl IndexMut<usize> for Devices {
    fn index_mut(&mut self, index: usize) -> &mut Device {
        &mut self.list[index]
    }
}
