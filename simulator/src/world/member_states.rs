//! The states of members, for the record of a run.

use super::{
    device::{Device, ReadStatus},
    state::World,
};
use crate::{
    report::{GroupView, MemberState, MessageStatus},
    scenario::MemberName,
};

impl World<'_> {
    /// The present states of the members that the focus of the run names, if it also names the step
    /// at this position.
    pub(super) fn focused_states(&mut self, step: usize) -> Vec<(MemberName, MemberState)> {
        let focus = self.recorder.steps.focus();
        if !focus.steps.contains(&step) {
            return Vec::new();
        }
        let devices: Vec<_> = focus.members.iter().filter_map(|name| self.devices.find(name).ok()).collect();
        devices.into_iter().map(|device| (self.devices[device].name.clone(), self.member_state(device))).collect()
    }

    fn member_state(&mut self, index: usize) -> MemberState {
        let group = self.group_view(index);
        let device = &self.devices[index];
        let standing = self.service.groups.keys().next().and_then(|group| device.groups.get(group));
        let lost = standing.is_some_and(|standing| standing.lost || standing.locked_out);
        let messages = (0..self.service.sent.list.len()).map(|number| self.message_status(device, number)).collect();
        MemberState { online: device.is_connected(), locked: device.client.is_locked(), group, lost, messages }
    }

    /// The group as the device sees it.
    fn group_view(&mut self, index: usize) -> Option<GroupView> {
        let keep = self.loaded_groups.devices(self.service.member_count());
        let id = self.service.groups.keys().next()?.clone();
        let device = &mut self.devices[index];
        let epoch = device.epoch(&id)?;
        let members = device.client.group(&id).and_then(|mut group| group.roster()).unwrap_or_default();
        let pending_commit = device.client.pending().is_ok_and(|pending| !pending.is_empty());
        let proposals = device.waiting_proposals();
        device.unload_groups(keep);
        let members = members.into_iter().map(|member| self.devices.name_of(&member.device)).collect();
        Some(GroupView { epoch, members, pending_commit, proposals })
    }

    fn message_status(&self, device: &Device, number: usize) -> MessageStatus {
        let message = &self.service.sent.list[number];
        if message.at.sender == device.index && !message.forged {
            return MessageStatus::Sent;
        }
        match device.read_status.get(&number) {
            Some(ReadStatus::Read) => MessageStatus::Read,
            Some(ReadStatus::Unreadable(reason)) => MessageStatus::Unreadable(*reason),
            Some(ReadStatus::Held) => MessageStatus::Held,
            Some(ReadStatus::Dropped) => MessageStatus::Dropped,
            Some(ReadStatus::CutOff) => MessageStatus::Missing,
            None if self.service.was_member(device.index, &message.group, message.at.epoch) != Some(true) => {
                MessageStatus::NotAMember
            }
            None if device.client.is_locked() => MessageStatus::Locked,
            None if !device.is_connected() => MessageStatus::Offline,
            None => MessageStatus::Missing,
        }
    }
}

impl Device {
    /// The number of proposals that the device keeps for the next commit.
    fn waiting_proposals(&self) -> usize {
        /// The kind of the record of a proposal, in the name of the record.
        const PROPOSAL: &str = ": proposal";
        let Ok(snapshot) = self.client.snapshot() else { return 0 };
        snapshot.records().iter().filter(|record| record.name().ends_with(PROPOSAL)).count()
    }
}
