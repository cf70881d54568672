//! The responses to the requests of a group. The machine takes in each as a whole, and stores its
//! effects before it makes another request.

use std::collections::BTreeSet;

use regrow_engine::{DeviceId, GroupId, PendingCommit};

use super::state::Machine;
use crate::{
    RejectCode,
    api::{self, Accepted, Code, Problem},
    error::{ConnectionError, Error},
    messenger::{
        app_data::Changes,
        event::Event,
        group::InvitationState,
        intent::Intent,
        problem::{decided, is_other_epoch, is_outside},
        records::InvitationAnswer,
        request::{GroupRequest, Response},
    },
};

impl Machine {
    /// Takes in the response to a request of a group.
    pub(super) fn group_response(
        &mut self,
        id: &GroupId,
        request: GroupRequest,
        response: Result<Response, ConnectionError>,
    ) -> Result<(), Error> {
        match request {
            GroupRequest::Create(body) => self.created(id, &body.group_info.0, response.and_then(Response::accepted)),
            GroupRequest::AnswerInvitation(answer) => {
                self.invitation_answered(id, answer, response.and_then(Response::done))
            }
            GroupRequest::End => self.ended(id, response.and_then(Response::done)),
            GroupRequest::Report(_) => self.reported(id, response.and_then(Response::reported)),
            GroupRequest::GroupInfo => self.group_info_read(id, response.and_then(Response::group_info)),
            GroupRequest::RatchetTree(_) => self.ratchet_tree_read(id, response.and_then(Response::tree)),
            GroupRequest::Commit(pending) => self.commit_submitted(id, *pending, response.and_then(Response::accepted)),
            GroupRequest::DeviceList(target, _) => {
                self.list_read_for_addition(id, &target, response.and_then(Response::device_list))
            }
            GroupRequest::Claim(target, device) => {
                self.claimed(id, &target, &device, response.and_then(Response::claimed))
            }
            GroupRequest::Proposal(name, _) => {
                self.proposal_submitted(id, &name, response.and_then(Response::accepted))
            }
            GroupRequest::Message(name, sealed) => {
                self.message_submitted(id, &name, &sealed, response.and_then(Response::accepted))
            }
            GroupRequest::Roster(epoch) => self.roster_read(id, epoch, response.and_then(Response::state)),
        }
    }

    fn created(
        &mut self,
        id: &GroupId,
        group_info: &[u8],
        response: Result<Accepted, ConnectionError>,
    ) -> Result<(), Error> {
        match decided(response)? {
            Ok(accepted) => {
                let receipt = self.verified(id, &accepted.receipt)?;
                let group = self.group(id);
                group.creation_confirmed();
                let finding = group.facts_mut().audit.begin(group_info, &receipt);
                self.report_findings(id, finding);
                self.save(&[id], Changes::default())
            }
            Err(problem) => {
                self.client.forget(id)?;
                self.drop_group(id)?;
                match (problem.code, problem.reject_code()) {
                    (Code::GroupExists, _) => Err(Error::GroupTaken { group: id.clone() }),
                    (_, Some(RejectCode::GroupEnded)) => Err(Error::GroupEnded { group: id.clone() }),
                    _ => Err(problem.into()),
                }
            }
        }
    }

    /// The service has the answer to the invitation, or the invitation has ended.
    fn invitation_answered(
        &mut self,
        id: &GroupId,
        answer: InvitationAnswer,
        response: Result<(), ConnectionError>,
    ) -> Result<(), Error> {
        let _invitation_ended = decided(response)?;
        if answer == InvitationAnswer::Decline {
            self.client.forget(id)?;
            self.drop_group(id)?;
            self.events.push_back(Event::Removed { group: id.clone(), by: None });
            return Ok(());
        }
        self.group(id).facts_mut().invitation = InvitationState::None;
        self.save(&[id], Changes::default())
    }

    /// The group has ended at the service, so that this device forgets it.
    fn ended(&mut self, id: &GroupId, response: Result<(), ConnectionError>) -> Result<(), Error> {
        match decided(response)? {
            Err(problem) if problem.reject_code() == Some(RejectCode::TooManyEndedGroups) => {
                let (group, reason) = (id.clone(), problem.to_string());
                self.events.push_back(Event::Refused { group, intent: Some(Intent::Leave), reason });
                self.intent_taken(id, &Intent::Leave, Changes::default())
            }
            Err(problem) if !is_outside(&problem) => Err(problem.into()),
            _ => {
                self.client.forget(id)?;
                let by = Some(self.device().clone());
                self.drop_group(id)?;
                self.events.push_back(Event::Removed { group: id.clone(), by });
                Ok(())
            }
        }
    }

    fn commit_submitted(
        &mut self,
        id: &GroupId,
        pending: PendingCommit,
        response: Result<Accepted, ConnectionError>,
    ) -> Result<(), Error> {
        match decided(response)? {
            // The device confirms the commit when it reads it: it reads the entries before with the
            // keys of their epoch first.
            Ok(accepted) => {
                self.accept_receipt(id, &accepted.receipt)?;
                self.group(id).await_entry();
            }
            Err(problem) if is_other_epoch(&problem) => {
                // A commit of a member ends by itself when the device reads the winning commit.
                if pending.is_external() {
                    self.client.discard(pending)?;
                }
                self.service_is_in_other_epoch(id, &problem);
            }
            Err(problem) => self.commit_refused(id, pending, &problem)?,
        }
        self.save(&[id], Changes::default())
    }

    fn commit_refused(&mut self, id: &GroupId, pending: PendingCommit, problem: &Problem) -> Result<(), Error> {
        let (is_external, reason) = (pending.is_external(), problem.to_string());
        self.client.discard(pending)?;
        if is_external {
            self.strand(id, reason);
            return Ok(());
        }
        if is_outside(problem) {
            self.group(id).await_entry();
        } else {
            self.client.group(id)?.abandon()?;
        }
        self.events.push_back(Event::Refused { group: id.clone(), intent: None, reason });
        Ok(())
    }

    /// Compares the service's roster with the group's, and reports a difference.
    fn roster_read(
        &mut self,
        id: &GroupId,
        epoch: u64,
        response: Result<api::GroupState, ConnectionError>,
    ) -> Result<(), Error> {
        self.group(id).roster_unchecked = false;
        let Ok(service) = decided(response)? else { return Ok(()) };
        // A roster of another epoch says nothing of this one. The next commit makes another
        // comparison due.
        if service.epoch != epoch {
            return Ok(());
        }
        let members = self.client.group(id)?.roster()?.into_iter().map(|member| member.device);
        let members: BTreeSet<DeviceId> = members.collect();
        let readers: BTreeSet<DeviceId> = service.devices.into_iter().collect();
        if members != readers {
            self.events.push_back(Event::RosterLie {
                group: id.clone(),
                intruders: readers.difference(&members).cloned().collect(),
                left_out: members.difference(&readers).cloned().collect(),
            });
        }
        Ok(())
    }
}
