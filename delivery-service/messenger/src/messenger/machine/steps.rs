//! The next request of a group. The shell carries it out; `responses` takes in the response.
//!
//! A request whose response was lost is made again, because nothing has changed: the same bytes get
//! the same response.

use std::collections::BTreeSet;

use regrow_engine::{Error as EngineError, GroupId, HandshakeMode, Outgoing, UserId};

use super::state::Machine;
use crate::{
    api::CreateGroupRequest,
    error::Error,
    messenger::{
        addition::AdditionTarget,
        app_data::Changes,
        group::{Condition, InvitationState},
        intent::Intent,
        request::GroupRequest,
        scope::FailureScope,
    },
};

impl Machine {
    /// Returns the next request of this group. Stores each decision before it returns.
    pub(super) fn next_request(&mut self, id: &GroupId) -> Result<Option<GroupRequest>, Error> {
        let Some(group) = self.groups.get(id) else { return Ok(None) };
        match group.condition() {
            Condition::Creating { group_info, .. } => {
                let handshake = self.client.policy().handshake;
                let group_info = group_info.as_slice().into();
                Ok(Some(GroupRequest::Create(CreateGroupRequest { group: id.clone(), handshake, group_info })))
            }
            Condition::AwaitingRollback { .. } => self.next_request_after_bad_commit(id),
            Condition::AwaitingEntry => Ok(None),
            Condition::Rejoining { .. } => self.next_request_of_rejoin(id),
            Condition::Following => self.next_request_of_member(id),
        }
    }

    fn next_request_of_member(&mut self, id: &GroupId) -> Result<Option<GroupRequest>, Error> {
        if let InvitationState::Answered(answer) = self.group(id).facts().invitation {
            return Ok(Some(GroupRequest::AnswerInvitation(answer)));
        }
        let Some(epoch) = self.epoch_of(id)? else { return Ok(None) };
        if let Some(pending) = self.client.group(id)?.pending()? {
            return Ok(Some(GroupRequest::Commit(Box::new(pending))));
        }
        if let Some(request) = self.next_commit(id)? {
            return Ok(Some(request));
        }
        if !self.groups.contains_key(id) {
            return Ok(None);
        }
        if let Some(request) = self.next_from_outbox(id, epoch)? {
            return Ok(Some(request));
        }
        if self.group(id).rejoins().is_some() {
            // The engine has found just now that this device cannot go on.
            return self.next_request(id);
        }
        let opaque = self.client.policy().handshake == HandshakeMode::Opaque;
        Ok((self.group(id).roster_unchecked && opaque).then_some(GroupRequest::Roster(epoch)))
    }

    /// Returns the next commit: of an intent that the engine repeats, of a new intent, or of
    /// proposals.
    fn next_commit(&mut self, id: &GroupId) -> Result<Option<GroupRequest>, Error> {
        if self.group(id).resume_due {
            match self.client.group(id)?.resume() {
                Ok(Some(Outgoing::Commit(pending))) => {
                    self.group(id).resume_due = false;
                    return Ok(Some(GroupRequest::Commit(Box::new(pending))));
                }
                Ok(Some(Outgoing::Proposal(proposal))) => self.add_to_outbox(id, &proposal)?,
                Ok(None) => {}
                Err(error) => self.refuse(id, None, error)?,
            }
            self.group(id).resume_due = false;
        }
        if let Some(request) = self.next_intent(id)? {
            return Ok(Some(request));
        }
        if self.groups.get(id).is_none_or(|group| group.rejoins().is_some()) {
            return Ok(None);
        }
        self.commit_proposals(id)
    }

    /// Commits the proposals of this epoch, if it is this member's turn.
    fn commit_proposals(&mut self, id: &GroupId) -> Result<Option<GroupRequest>, Error> {
        let Some(since) = self.group(id).first_proposal_at else { return Ok(None) };
        let Some(rank) = self.rank(id)? else { return Ok(None) };
        let turn = self.options.commit_turn.saturating_mul(u32::try_from(rank).unwrap_or(u32::MAX));
        if self.monotonic() < since.saturating_add(turn) {
            return Ok(None);
        }
        self.group(id).first_proposal_at = None;
        match self.client.group(id)?.commit() {
            Ok(pending) => Ok(Some(GroupRequest::Commit(Box::new(pending)))),
            Err(EngineError::NothingToCommit) => Ok(None),
            Err(error) => self.refuse(id, None, error).map(|()| None),
        }
    }

    /// Returns the next request of an intent.
    ///
    /// An intent that waits for the service holds up only intents about the same user. Otherwise a
    /// user that is to be added and then removed would be removed first.
    fn next_intent(&mut self, id: &GroupId) -> Result<Option<GroupRequest>, Error> {
        let now = self.monotonic();
        let mut held_up: BTreeSet<UserId> = BTreeSet::new();
        let mut at = 0;
        while let Some(intent) = self.groups.get(id).and_then(|group| group.facts().intents.get(at)).cloned() {
            let lane = FailureScope::Intent { group: id.clone(), intent: intent.clone() };
            if self.lanes.is_ready(&lane, now) && !intent.user().is_some_and(|user| held_up.contains(user)) {
                let request = self.begin_intent(id, &intent)?;
                if request.is_some() || self.groups.get(id).is_none_or(|group| group.rejoins().is_some()) {
                    return Ok(request);
                }
                if self.group(id).facts().intents.get(at) != Some(&intent) {
                    continue;
                }
            }
            held_up.extend(intent.user().cloned());
            at += 1;
        }
        Ok(None)
    }

    fn begin_intent(&mut self, id: &GroupId, intent: &Intent) -> Result<Option<GroupRequest>, Error> {
        let made = match intent {
            Intent::AddUser(user) => return self.next_of_addition(id, &AdditionTarget::User(user.clone())),
            Intent::AddDevice(device) => return self.next_of_addition(id, &AdditionTarget::Device(device.clone())),
            Intent::RemoveUser(user) => self.client.group(id)?.remove_user(user),
            Intent::RemoveDevice(device) => self.client.group(id)?.remove(std::slice::from_ref(device)),
            Intent::Rotate { signature_key: false } => self.client.group(id)?.update(),
            Intent::Rotate { signature_key: true } => self.client.group(id)?.rotate_signature_key(),
            Intent::SetData(data) => self.client.group(id)?.set_data(data),
            Intent::Leave if self.client.group(id)?.roster()?.len() < 2 => return Ok(Some(GroupRequest::End)),
            Intent::Leave => return self.propose_leaving(id).map(|()| None),
        };
        self.commit_made(id, intent, made)
    }

    fn propose_leaving(&mut self, id: &GroupId) -> Result<(), Error> {
        // If the process dies before the write, the next one proposes again: equal proposals count
        // once.
        match self.client.group(id)?.leave() {
            Ok(proposal) => {
                let changes = self.with_proposal(id, &proposal)?;
                self.intent_taken(id, &Intent::Leave, changes)
            }
            Err(error @ EngineError::Restored { .. }) => self.refuse(id, None, error),
            Err(error) => {
                self.refuse(id, Some(Intent::Leave), error)?;
                self.intent_taken(id, &Intent::Leave, Changes::default())
            }
        }
    }
}
