//! Makes the submission of a step: checks that the device may act, and hands over to `attempt`.

use regrow_engine::{Client, GroupId, UserId};
use sha2::{Digest as _, Sha256};

use super::{
    state::World,
    step_failure::StepFailure,
    submission::{Submission, WantedProposal},
};
use crate::{
    cost::Operation,
    scenario::{Action, FailCode, MemberName, MessageBody, MessageId, Proposal, UserName},
};

impl World<'_> {
    /// Makes the submission of a step, and submits nothing yet.
    pub(super) fn prepare(&mut self, group: &GroupId, action: &Action) -> Result<(usize, Submission), StepFailure> {
        let name = action.submitters().first();
        let name = name.ok_or_else(|| StepFailure::rejected("the step submits nothing"))?;
        let device = self.devices.find(name)?;
        self.refuse_if_offline(device)?;
        if self.devices[device].is_locked_out(group) && !matches!(action.unnamed(), Action::Rejoin { .. }) {
            return Err(match self.devices[device].in_group(group).refused {
                true => StepFailure::new(
                    FailCode::Refused,
                    format!("the application of {name} has refused a change of the group, and {name} has to rejoin"),
                ),
                false => StepFailure::new(FailCode::Lost, format!("{name} is locked out, and has to rejoin")),
            });
        }
        let submission = match action.unnamed() {
            Action::Add { who, .. } => {
                let key_packages = self.claim_key_packages(group, device, who)?;
                let now = self.now_of(device);
                let add = |client: &mut Client| client.group(group)?.add(&key_packages, now);
                Submission::Commit(self.make_commit(device, add)?)
            }
            Action::Remove { who, .. } => {
                let ids = self.devices.ids(who)?;
                Submission::Commit(self.make_commit(device, |client| client.group(group)?.remove(&ids))?)
            }
            Action::AddUser { who, .. } => {
                let missing = self.missing_devices(group, who)?;
                let key_packages = self.claim_key_packages(group, device, &missing)?;
                let (user, now) = (user_id(who)?, self.now_of(device));
                let add = |client: &mut Client| client.group(group)?.add_user(&user, &key_packages, now);
                Submission::Commit(self.make_commit(device, add)?)
            }
            Action::RemoveUser { who, .. } => {
                let user = user_id(who)?;
                Submission::Commit(self.make_commit(device, |client| client.group(group)?.remove_user(&user))?)
            }
            Action::Update { signature_key, .. } => {
                Submission::Commit(self.make_commit(device, |client| match signature_key {
                    true => client.group(group)?.rotate_signature_key(),
                    false => client.group(group)?.update(),
                })?)
            }
            Action::SetData { data, .. } => {
                let data = data.as_bytes();
                Submission::Commit(self.make_commit(device, |client| client.group(group)?.set_data(data))?)
            }
            Action::Commit { .. } => {
                Submission::Commit(self.make_commit(device, |client| client.group(group)?.commit())?)
            }
            Action::Join { .. } => self.prepare_join(group, device, name)?,
            Action::Rejoin { .. } => self.prepare_rejoin(group, device, name)?,
            Action::Propose { what: Proposal::Add(who), .. } => {
                let key_package = self.claim_key_packages(group, device, who)?.remove(0);
                self.make_proposal(group, device, WantedProposal::Add(key_package))?
            }
            Action::Propose { what: Proposal::Remove(who), .. } => {
                let id = self.devices.ids(who)?.remove(0);
                self.make_proposal(group, device, WantedProposal::Remove(id))?
            }
            Action::Propose { what: Proposal::Update, .. } => {
                self.make_proposal(group, device, WantedProposal::Update)?
            }
            Action::Leave { .. } => self.make_proposal(group, device, WantedProposal::Leave)?,
            Action::Send { id, body, .. } => {
                let text = self.text(id, body);
                self.make_message(group, device, id.clone(), text)?
            }
            _ => return Err(StepFailure::rejected("the step submits nothing")),
        };
        Ok((device, submission))
    }

    fn prepare_join(&mut self, group: &GroupId, device: usize, name: &MemberName) -> Result<Submission, StepFailure> {
        if self.devices[device].epoch(group).is_some() {
            return Err(StepFailure::new(FailCode::AlreadyAMember, format!("{name} is in the group")));
        }
        self.make_external_commit(group, device).map(Submission::Commit)
    }

    fn prepare_rejoin(&mut self, group: &GroupId, device: usize, name: &MemberName) -> Result<Submission, StepFailure> {
        if !self.service.roster(group).contains(&device) {
            return Err(StepFailure::new(FailCode::NotAMember, format!("{name} has no leaf to replace")));
        }
        self.refuse_if_cut_off(device)?;
        // The device loses its state of the group, and keeps its identity.
        let housekeeping = Operation::Housekeeping;
        self.devices[device].persist(&mut self.recorder, housekeeping, |client| client.forget(group))?;
        self.recorder.facts.forgot(device, group);
        self.devices[device].in_group(group).window.left();
        let made = self.make_external_commit(group, device);
        if made.as_ref().is_err_and(|failure| failure.code == FailCode::Refused) {
            self.devices[device].in_group(group).refuse();
        }
        made.map(Submission::Commit)
    }

    pub(super) fn refuse_if_offline(&self, device: usize) -> Result<(), StepFailure> {
        self.refuse_if_locked(device)?;
        let device = &self.devices[device];
        match device.online {
            true => Ok(()),
            false if device.is_lost => {
                let detail = format!("{} was lost, and the delivery service has removed it", device.name);
                Err(StepFailure::new(FailCode::Removed, detail))
            }
            false => Err(StepFailure::new(FailCode::Offline, format!("{} is offline", device.name))),
        }
    }

    /// The text of a message. A body of a size gets bytes that follow from the seed.
    pub(super) fn text(&self, id: &MessageId, body: &MessageBody) -> Vec<u8> {
        match body {
            MessageBody::Text(text) => text.clone().into_bytes(),
            MessageBody::Size(size) => {
                let blocks = (0u64..).flat_map(|block| {
                    Sha256::digest(format!("regrow text {} {id} {block}", self.seed)).into_iter().collect::<Vec<u8>>()
                });
                blocks.take(*size as usize).collect()
            }
        }
    }

    /// The devices of a user that are not in a group.
    fn missing_devices(&self, group: &GroupId, user: &UserName) -> Result<Vec<MemberName>, StepFailure> {
        let members = self.service.roster(group);
        let missing = self.devices.of_user(user).filter(|device| !members.contains(&device.index));
        let missing: Vec<_> = missing.map(|device| device.name.clone()).collect();
        match missing.is_empty() {
            true => Err(StepFailure::new(FailCode::AlreadyAMember, format!("{user} is in the group with all devices"))),
            false => Ok(missing),
        }
    }

    fn claim_key_packages(
        &mut self,
        group: &GroupId,
        device: usize,
        who: &[MemberName],
    ) -> Result<Vec<regrow_engine::KeyPackageBytes>, StepFailure> {
        self.ask(device)?;
        let now = self.clock.now();
        self.key_packages.claim(&self.service, group, &self.devices, device, who, now)
    }
}

fn user_id(user: &UserName) -> Result<UserId, StepFailure> {
    UserId::new(user.as_str()).map_err(StepFailure::broken)
}
