//! The reason why a device cannot follow the group, in words for a failure.

use std::time::Duration;

use regrow_engine::GroupId;

use super::{device_group::DeviceGroup, state::World};
use crate::scenario::write_duration;

impl World<'_> {
    /// The reason why a device is behind the service, as far as the world knows one. Begins with a
    /// punctuation mark; empty if the world knows none.
    pub(super) fn why_behind(&self, group: &GroupId, device: usize) -> String {
        let cut_off = self.devices[device].groups.get(group).map(|state| &state.cut_off);
        if let Some(cut_off) = cut_off.filter(|cut_off| cut_off.is_now()) {
            return cut_off.hint().to_owned();
        }
        if !self.has_lost_entries(group, device) {
            return String::new();
        }
        let device = &self.devices[device];
        let (name, retention) = (&device.name, Duration::from_secs(self.service.least_retention()));
        let (kept, away) = (write_duration(retention), device.last_absence());
        let begin = format!(
            ": the delivery service has deleted entries that {name} had not read. Its retention time is {kept}"
        );
        if away < retention {
            return format!("{begin}, and its clock has jumped; let {name} `rejoin`");
        }
        let away = write_duration(away);
        format!(
            "{begin}, and {name} was offline for {away}; let {name} `rejoin`, or set the `retention` of the scenario's \
             `service` to more than {away}"
        )
    }

    /// True if the service has deleted the entries of a group that a device would read next, after
    /// their retention time.
    pub(super) fn has_lost_entries(&self, group: &GroupId, device: usize) -> bool {
        let endpoint = self.service.endpoint_of(device);
        let device = &self.devices[device];
        let last = device.groups.get(group).map_or(0, DeviceGroup::last_sequence);
        self.service.may_have_deleted_after(group, last)
            && endpoint.read(&device.address, device.cursor, 1).is_ok_and(|unread| unread.is_empty())
    }
}
