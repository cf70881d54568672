//! Carries out the steps that concern all groups of a device: `link_device` and `lost_device`.
//!
//! The engine makes the commits of all groups in one call. Each group has its own epoch, so each
//! commit goes its own way. A lost device stays in a group until a member of this group can remove
//! it.

use std::collections::BTreeMap;

use regrow_engine::{Client, Error, GroupId, IntentStatus};

use super::{event::TranscriptEvent, state::World, step_failure::StepFailure, submission::Submission};
use crate::scenario::{FailCode, MemberName};

/// The status of an intent in each group.
type Intents = BTreeMap<GroupId, Result<IntentStatus, Error>>;

impl World<'_> {
    /// Has a device add another device of its user to all of its groups.
    ///
    /// Each group needs a key package of its own. If the service has too few, the new device
    /// publishes more, and the device tries again.
    pub(super) fn link_device(&mut self, by: &MemberName, who: &MemberName) -> Result<(), StepFailure> {
        let (linker, linked) = (self.devices.find(by)?, self.devices.find(who)?);
        self.refuse_if_offline(linker)?;
        let groups = self.devices[linker].client.groups()?;
        if groups.is_empty() {
            return Err(StepFailure::new(FailCode::NotAMember, format!("{by} is in no group")));
        }
        let mut left = self.groups_without(&groups, linked);
        if left.is_empty() {
            return Err(StepFailure::new(FailCode::AlreadyAMember, format!("{who} is in all groups of {by}")));
        }
        while !left.is_empty() {
            self.ask(linker)?;
            let now = self.clock.now();
            let mut key_packages = Vec::with_capacity(left.len());
            while key_packages.len() < left.len()
                && let Some(claimed) = self.key_packages.claim_one(&self.service, &self.devices, linker, linked, now)?
            {
                key_packages.push(claimed);
            }
            if key_packages.is_empty() {
                let groups = left.len();
                let detail = format!("the delivery service has no key package of {who} for {groups} more groups");
                return Err(StepFailure::new(FailCode::NoKeyPackage, detail));
            }
            let (device, now) = (self.devices[linked].address.clone(), self.now_of(linker));
            self.intend_everywhere(linker, |client| client.link_device(&device, &key_packages, now))?;
            self.settle()?;
            let before = left.len();
            left = self.groups_without(&groups, linked);
            if left.len() == before {
                let detail = format!("{who} could not be added to {before} groups of {by}");
                return Err(StepFailure::rejected(detail));
            }
        }
        Ok(())
    }

    fn groups_without(&self, groups: &[GroupId], device: usize) -> Vec<GroupId> {
        groups.iter().filter(|group| !self.service.roster(group).contains(&device)).cloned().collect()
    }

    /// Removes a lost device from the service and from the groups of the device that reports it. The
    /// other groups follow when the world settles.
    pub(super) fn lost_device(&mut self, by: &MemberName, who: &MemberName) -> Result<(), StepFailure> {
        let (finder, lost) = (self.devices.find(by)?, self.devices.find(who)?);
        self.refuse_if_offline(finder)?;
        self.ask(finder)?;
        let address = self.devices[lost].address.clone();
        self.service.endpoint.remove_device(&address)?;
        self.devices[lost].lose(self.clock.elapsed());
        self.recorder.tell(TranscriptEvent::LostDevice { by: by.clone(), who: who.clone() });
        self.intend_everywhere(finder, |client| client.remove_device(&address)).map(drop)
    }

    /// Has a member remove a lost device from its groups, if one can. True if it has made a commit.
    pub(super) fn remove_lost(&mut self) -> Result<bool, StepFailure> {
        let lost = self.devices.iter().filter(|device| device.is_lost);
        for (lost, address) in lost.map(|device| (device.index, device.address.clone())).collect::<Vec<_>>() {
            for group in self.service.groups.keys().cloned().collect::<Vec<_>>() {
                let members = self.service.roster(&group);
                if !members.contains(&lost) {
                    continue;
                }
                let remover = members.into_iter().find(|member| *member != lost && self.can_act(&group, *member));
                if let Some(remover) = remover
                    && self.intend_everywhere(remover, |client| client.remove_device(&address))?
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn can_act(&mut self, group: &GroupId, member: usize) -> bool {
        let epoch = self.service.epoch(group);
        let device = &mut self.devices[member];
        let state = device.in_group(group);
        let is_able = !state.lost && !state.locked_out && !state.missed;
        is_able && device.keeps_up(group) && device.epoch(group) == Some(epoch)
    }

    /// Makes the commits of a device for an intent in all of its groups, and submits each of them.
    /// True if there was one. A group without a key package waits for the next call.
    fn intend_everywhere(
        &mut self,
        device: usize,
        intend: impl Fn(&mut Client) -> Result<Intents, Error>,
    ) -> Result<bool, StepFailure> {
        let intents = self.devices[device].make_all_in_order(&mut self.recorder, intend, |intents: &Intents| {
            let commits = intents.values().filter_map(|intent| match intent {
                Ok(IntentStatus::Commit(pending)) => Some(pending.changes()),
                _ => None,
            });
            commits.collect()
        })?;
        // The operations of the call count for the first commit.
        let mut counts = self.devices[device].log.present();
        let (mut submissions, mut failed) = (Vec::new(), None);
        for intent in intents.into_values() {
            match intent {
                Ok(IntentStatus::Commit(pending)) => {
                    self.note_made_with(device, &pending, std::mem::take(&mut counts));
                    submissions.push(Submission::Commit(pending));
                }
                Ok(IntentStatus::Kept) | Err(Error::NoKeyPackage) => {}
                Err(error) => failed = failed.or(Some(StepFailure::from(error))),
            }
        }
        let made = !submissions.is_empty();
        for submission in submissions {
            self.devices[device].naming = None;
            if let Err(failure) = self.carry_through(device, submission) {
                failed = failed.or(Some(failure));
            }
        }
        failed.map_or(Ok(made), Err)
    }
}
