//! Makes the submission of a step, and checks that the device may act.

use super::{Player, attempt::Submission};
use crate::{
    model::{
        commit_plan::Intent,
        group_model::{Change, DeviceNumber, WaitingProposal},
    },
    scenario::{Action, FailCode, MessageBody, Proposal},
    world::{KEY_PACKAGES, StepFailure},
};

impl Player<'_> {
    /// Makes the submission of a step.
    pub(super) fn prepare(&mut self, action: &Action) -> Result<(DeviceNumber, Submission), StepFailure> {
        let name = action.submitters().first();
        let name = name.ok_or_else(|| StepFailure::rejected("the step submits nothing"))?;
        let device = self.device(name)?;
        self.refuse_if_offline(device)?;
        let submission = match action.unnamed() {
            Action::Add { who, .. } => {
                let who = self.devices(who)?;
                self.prepare_commit(device, Intent::Add(who))?
            }
            Action::Remove { who, .. } => {
                let who = self.devices(who)?;
                self.refuse_if_no_member(device)?;
                let unknown = who.iter().find(|member| **member == device || !self.is_member(**member));
                if let Some(unknown) = unknown {
                    let code = if *unknown == device { FailCode::Rejected } else { FailCode::UnknownMember };
                    return Err(StepFailure::new(code, format!("{} cannot be removed", self.name(*unknown))));
                }
                self.prepare_commit(device, Intent::Remove(who))?
            }
            Action::Update { signature_key, .. } => {
                self.prepare_commit(device, Intent::Update { signature_key: *signature_key })?
            }
            Action::Commit { .. } => self.prepare_commit(device, Intent::CommitProposals)?,
            Action::Join { .. } => self.prepare_external(device, false)?,
            Action::Rejoin { .. } => self.prepare_external(device, true)?,
            Action::Leave { .. } => self.prepare_leaving(device)?,
            Action::Propose { what, .. } => {
                self.refuse_if_no_member(device)?;
                let change = match what {
                    Proposal::Add(who) => {
                        let who = self.devices(who)?;
                        self.claim(&who)?;
                        Change::Add(who[0])
                    }
                    Proposal::Remove(who) => {
                        let who = self.device(&who[0])?;
                        if !self.is_member(who) {
                            return Err(StepFailure::new(FailCode::UnknownMember, "it is no member"));
                        }
                        Change::Remove(who)
                    }
                    Proposal::Update => Change::Update,
                };
                Submission::Proposal { epoch: self.epoch(), proposal: WaitingProposal { by: device, change } }
            }
            Action::Send { body, .. } => {
                self.refuse_if_no_member(device)?;
                self.prepare_message(match body {
                    MessageBody::Size(size) => u64::from(*size),
                    MessageBody::Text(text) => text.len() as u64,
                })?
            }
            _ => return Err(StepFailure::rejected("the step submits nothing")),
        };
        Ok((device, submission))
    }

    pub(super) fn prepare_message(&self, text: u64) -> Result<Submission, StepFailure> {
        match self.group.as_ref().is_some_and(|group| !group.waiting().is_empty()) {
            true => Err(StepFailure::new(FailCode::ProposalsWait, "proposals wait for a commit")),
            false => Ok(Submission::Message { epoch: self.epoch(), text }),
        }
    }

    pub(super) fn prepare_commit(&mut self, device: DeviceNumber, intent: Intent) -> Result<Submission, StepFailure> {
        self.refuse_if_no_member(device)?;
        if let Intent::Add(who) = &intent {
            self.claim(who)?;
        }
        self.intents.entry(device).or_default().push(intent);
        match self.planned(device) {
            Some(mut parts) => {
                parts.verifies_key_packages = true;
                Ok(Submission::Commit { epoch: self.epoch(), parts, price: None })
            }
            None => {
                self.intents.remove(&device);
                Err(StepFailure::new(FailCode::NothingToCommit, "there is nothing to commit"))
            }
        }
    }

    pub(super) fn prepare_external(&mut self, device: DeviceNumber, rejoins: bool) -> Result<Submission, StepFailure> {
        self.refuse_if_offline(device)?;
        if !self.settings.publishes_group_info {
            let detail = "the delivery service has no group info; set `publish_group_info` of the `group` to true";
            return Err(StepFailure::new(FailCode::NoGroupInfo, detail));
        }
        match (self.is_member(device), rejoins) {
            (true, false) => {
                Err(StepFailure::new(FailCode::AlreadyAMember, format!("{} is in the group", self.name(device))))
            }
            (false, true) => Err(StepFailure::new(FailCode::NotAMember, format!("{} has no leaf", self.name(device)))),
            _ => Ok(Submission::External { epoch: self.epoch(), price: None }),
        }
    }

    pub(super) fn prepare_leaving(&mut self, device: DeviceNumber) -> Result<Submission, StepFailure> {
        self.refuse_if_offline(device)?;
        self.refuse_if_no_member(device)?;
        let intents = self.intents.entry(device).or_default();
        if !intents.contains(&Intent::Leave) {
            intents.push(Intent::Leave);
        }
        Ok(self.leaving(device))
    }

    pub(super) fn leaving(&self, device: DeviceNumber) -> Submission {
        let proposal = WaitingProposal { by: device, change: Change::Remove(device) };
        Submission::Proposal { epoch: self.epoch(), proposal }
    }

    /// Takes a key package of each device from the service.
    pub(super) fn claim(&mut self, who: &[DeviceNumber]) -> Result<(), StepFailure> {
        for device in who {
            if self.is_member(*device) {
                let detail = format!("{} is in the group", self.name(*device));
                return Err(StepFailure::new(FailCode::AlreadyAMember, detail));
            }
            let left = self.key_packages.entry(*device).or_insert(KEY_PACKAGES);
            if *left == 0 {
                let detail = format!("the delivery service has no key package of {}", self.name(*device));
                return Err(StepFailure::new(FailCode::NoKeyPackage, detail));
            }
            *left -= 1;
        }
        Ok(())
    }

    pub(super) fn refuse_if_offline(&self, device: DeviceNumber) -> Result<(), StepFailure> {
        match self.is_online(device) {
            true => Ok(()),
            false => Err(StepFailure::new(FailCode::Offline, format!("{} is offline", self.name(device)))),
        }
    }

    pub(super) fn refuse_if_no_member(&self, device: DeviceNumber) -> Result<(), StepFailure> {
        match self.is_member(device) {
            true => Ok(()),
            false => Err(StepFailure::new(FailCode::NotAMember, format!("{} is not in the group", self.name(device)))),
        }
    }
}
