//! The states of members, for the record of a run.

use std::collections::BTreeMap;

use regrow_engine::GroupId;

use super::{
    device::{Device, ReadStatus},
    state::World,
};
use crate::{
    report::{GroupView, MemberState, MessageStatus},
    scenario::{GroupName, MemberName},
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
        let groups: Vec<_> = focus.groups.iter().cloned().collect();
        let state = |device: usize| (self.devices[device].name.clone(), self.member_state(device, &groups));
        devices.into_iter().map(state).collect()
    }

    fn member_state(&mut self, index: usize, groups: &[GroupName]) -> MemberState {
        let groups: BTreeMap<_, _> =
            groups.iter().filter_map(|group| Some((group.clone(), self.group_view(index, group)?))).collect();
        let device = &self.devices[index];
        let messages = (0..self.service.sent.list.len()).map(|number| self.message_status(device, number)).collect();
        MemberState { online: device.is_connected(), locked: device.client.is_locked(), groups, messages }
    }

    /// A group as the device sees it. [`None`] if the device has no state of it.
    fn group_view(&mut self, index: usize, name: &GroupName) -> Option<GroupView> {
        let keep = self.loaded_groups.devices(self.service.member_count());
        let id = self.service.id_of(name).ok()?;
        let device = &mut self.devices[index];
        let epoch = device.epoch(&id)?;
        let members = device.client.group(&id).and_then(|mut group| group.roster()).unwrap_or_default();
        let pending_commit =
            device.client.pending().is_ok_and(|pending| pending.iter().any(|commit| *commit.group() == id));
        let proposals = device.waiting_proposals(&id);
        device.unload_groups(keep);
        let members = members.into_iter().map(|member| self.devices.name_of(&member.device)).collect();
        let lost = self.devices[index].groups.get(&id).is_some_and(|standing| standing.lost || standing.locked_out);
        Some(GroupView { epoch, lost, members, pending_commit, proposals })
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
            None | Some(ReadStatus::CutOff) if message.in_first == self.service.is_in_second_history(device.index) => {
                MessageStatus::OtherHistory
            }
            Some(ReadStatus::CutOff) => MessageStatus::Missing,
            None if self.service.was_member(device.index, &message.group, message.at.epoch) != Some(true) => {
                MessageStatus::NotAMember
            }
            None if device.client.is_locked() => MessageStatus::Locked,
            None if !device.is_connected() => MessageStatus::Offline,
            None if self.service.is_stream_false(device.index, &message.group) => MessageStatus::Withheld,
            None => MessageStatus::Missing,
        }
    }
}

impl Device {
    /// The number of proposals that the device keeps for the next commit of a group.
    fn waiting_proposals(&self, group: &GroupId) -> usize {
        // The name of the record of a proposal.
        let proposal = format!("group {group}: proposal");
        let Ok(snapshot) = self.client.snapshot() else { return 0 };
        snapshot.records().iter().filter(|record| record.name() == proposal).count()
    }
}
