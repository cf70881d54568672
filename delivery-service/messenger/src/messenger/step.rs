//! The next step in a group: decided here, asked of the service by the shell. `answers` takes in the answer.
//!
//! A step whose answer was lost is asked for again, for nothing has changed: the same bytes get the same answer.

use std::collections::BTreeSet;

use regrow_engine::{GroupId, HandshakeMode, Outgoing, PendingCommit, ProposalMessage, UserId};

use super::{
    Event, Intent, Rejoin,
    claim::Addition,
    kept::{self, Changes, Out, OutText, Sealed},
    lane::Scope,
    machine::Machine,
    request::Step,
};
use crate::{
    api::{self, CreateGroupRequest},
    envelope,
    error::{Error, is_of_device},
};

/// The request that submits the commit.
pub fn commit_request(pending: &PendingCommit) -> api::CommitRequest {
    api::CommitRequest {
        commit: pending.commit().into(),
        welcome: pending.welcome().map(Into::into),
        group_info: pending.group_info().map(Into::into),
        added: pending.added().cloned().collect(),
        removed: pending.removed().cloned().collect(),
    }
}

impl Machine {
    /// The next request to the service for this group. Each decision is written before this returns.
    pub(super) fn next_step(&mut self, id: &GroupId) -> Result<Option<Step>, Error> {
        let Some(state) = self.groups.get(id) else { return Ok(None) };
        if let Some(info) = &state.record.creating {
            let handshake = self.client.policy().handshake;
            let group_info = info.as_slice().into();
            return Ok(Some(Step::Create(CreateGroupRequest { group: id.clone(), handshake, group_info })));
        }
        if state.record.bad.is_some() && state.record.rejoin.is_none() {
            // A fetched entry may take the commit back already.
            if self.fetched.iter().any(|delivery| delivery.group == *id) {
                return Ok(None);
            }
            match self.step_after_bad_commit(id) {
                Some(step) => return Ok(Some(step)),
                None if self.group(id).record.rejoin.is_none() => return Ok(None),
                None => self.save(&[id], Changes::default())?,
            }
        }
        let state = self.group(id);
        if state.waits {
            return Ok(None);
        }
        if state.record.rejoin.is_some() {
            let info = state.info.as_ref().map_or(Step::Info, |(_, epoch)| Step::Tree(*epoch));
            return Ok(Some(self.external_commit(id)?.map_or(info, |pending| Step::Commit(Box::new(pending)))));
        }
        if let Some(answer) = state.record.answer {
            return Ok(Some(Step::Answer(answer)));
        }
        let epoch = match self.client.group(id) {
            Ok(mut group) => group.epoch()?.0,
            Err(regrow_engine::Error::UnknownGroup { .. } | regrow_engine::Error::Removed { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if let Some(pending) = self.client.group(id)?.pending()? {
            return Ok(Some(Step::Commit(Box::new(pending))));
        }
        if let Some(step) = self.next_commit(id)? {
            return Ok(Some(step));
        }
        if !self.groups.contains_key(id) {
            return Ok(None);
        }
        if let Some(step) = self.next_out(id, epoch)? {
            return Ok(Some(step));
        }
        if self.group(id).record.rejoin.is_some() {
            // It was found out just now that this device cannot go on.
            return self.next_step(id);
        }
        let opaque = self.client.policy().handshake == HandshakeMode::Opaque;
        let state = self.group(id);
        Ok((state.check_roster && opaque).then_some(Step::Roster(epoch)))
    }

    /// A commit cannot be followed: it is reported, if it is to be, and this device rejoins if it is not taken back.
    fn step_after_bad_commit(&mut self, id: &GroupId) -> Option<Step> {
        let (now, patience) = (self.monotonic(), self.options.rollback_patience);
        let wall = self.now().0;
        let state = self.group(id);
        let bad = state.record.bad.as_ref()?;
        if !bad.reported {
            return Some(Step::Report(bad.sequence));
        }
        // The wall clock counts only for time before this process, and only if it has not gone back.
        let since = *state.bad_since.get_or_insert(now);
        let waited = now.saturating_sub(since).as_secs().max(wall.saturating_sub(bad.since));
        if waited >= patience.as_secs() {
            self.rejoin(id, Rejoin::BadCommit);
        }
        None
    }

    /// The next commit: of an intent to carry out again, of an intent, or of others' proposals.
    fn next_commit(&mut self, id: &GroupId) -> Result<Option<Step>, Error> {
        if self.group(id).resume {
            match self.client.group(id)?.resume() {
                Ok(Some(Outgoing::Commit(pending))) => {
                    self.group(id).resume = false;
                    return Ok(Some(Step::Commit(Box::new(pending))));
                }
                Ok(Some(Outgoing::Proposal(proposal))) => self.put_out(id, &proposal)?,
                Ok(None) => {}
                Err(error) => self.refuse(id, None, error)?,
            }
            self.group(id).resume = false;
        }
        if let Some(step) = self.next_intent(id)? {
            return Ok(Some(step));
        }
        if self.groups.get(id).is_none_or(|state| state.record.rejoin.is_some()) {
            return Ok(None);
        }
        let Some(since) = self.group(id).proposals_since else { return Ok(None) };
        let Some(rank) = self.rank(id)? else { return Ok(None) };
        let turn = self.options.commit_turn.saturating_mul(u32::try_from(rank).unwrap_or(u32::MAX));
        if self.monotonic() < since.saturating_add(turn) {
            return Ok(None);
        }
        self.group(id).proposals_since = None;
        match self.client.group(id)?.commit() {
            Ok(pending) => Ok(Some(Step::Commit(Box::new(pending)))),
            Err(regrow_engine::Error::NothingToCommit) => Ok(None),
            Err(error) => self.refuse(id, None, error).map(|()| None),
        }
    }

    /// The next step of an intent. An intent that waits for the service holds up no other, except one about the same user: a user
    /// that is to be added and then removed must not be removed first.
    fn next_intent(&mut self, id: &GroupId) -> Result<Option<Step>, Error> {
        let now = self.monotonic();
        let mut held_up: BTreeSet<UserId> = BTreeSet::new();
        let mut at = 0;
        while let Some(intent) = self.groups.get(id).and_then(|state| state.record.intents.get(at)).cloned() {
            let lane = Scope::Intent { group: id.clone(), intent: intent.clone() };
            if self.lanes.is_ready(&lane, now) && !intent.user().is_some_and(|user| held_up.contains(user)) {
                let step = self.begin_intent(id, &intent)?;
                if step.is_some() || self.groups.get(id).is_none_or(|state| state.record.rejoin.is_some()) {
                    return Ok(step);
                }
                if self.group(id).record.intents.get(at) != Some(&intent) {
                    continue;
                }
            }
            held_up.extend(intent.user().cloned());
            at += 1;
        }
        Ok(None)
    }

    fn begin_intent(&mut self, id: &GroupId, intent: &Intent) -> Result<Option<Step>, Error> {
        let made = match intent {
            Intent::AddUser(user) => return self.next_claim(id, &Addition::User(user.clone())),
            Intent::AddDevice(device) => return self.next_claim(id, &Addition::Device(device.clone())),
            Intent::RemoveUser(user) => self.client.group(id)?.remove_user(user),
            Intent::RemoveDevice(device) => self.client.group(id)?.remove(std::slice::from_ref(device)),
            Intent::Rotate { signature_key: false } => self.client.group(id)?.update(),
            Intent::Rotate { signature_key: true } => self.client.group(id)?.rotate_signature_key(),
            Intent::SetData(data) => self.client.group(id)?.set_data(data),
            Intent::Leave if self.client.group(id)?.roster()?.len() < 2 => return Ok(Some(Step::End)),
            Intent::Leave => return self.propose_leaving(id).map(|()| None),
        };
        self.made(id, intent, made)
    }

    /// How many members come before this one when somebody has to do what anybody could; [`None`] if it is about to leave.
    pub(super) fn rank(&mut self, id: &GroupId) -> Result<Option<usize>, Error> {
        let own = self.device().clone();
        let roster = self.client.group(id)?.roster()?;
        let leaving = &self.group(id).leaving;
        let mut staying = roster.into_iter().map(|member| member.device).filter(|device| !leaving.contains(device));
        Ok(staying.position(|device| device == own))
    }

    /// Takes in the engine's answer to an intent: a commit, nothing left to do, or a refusal.
    pub(super) fn made(
        &mut self,
        id: &GroupId,
        intent: &Intent,
        made: Result<PendingCommit, regrow_engine::Error>,
    ) -> Result<Option<Step>, Error> {
        use regrow_engine::Error as Engine;
        let step = match made {
            Ok(pending) => Some(Step::Commit(Box::new(pending))),
            // It is so already.
            Err(Engine::NothingToCommit | Engine::UnknownUser { .. } | Engine::UnknownMember { .. }) => None,
            // It is still wanted, once this device has rejoined.
            Err(error @ Engine::RolledBack { .. }) => return self.refuse(id, None, error).map(|()| None),
            Err(error) => {
                self.refuse(id, Some(intent.clone()), error)?;
                None
            }
        };
        self.granted(id, intent, Changes::default())?;
        Ok(step)
    }

    /// The engine knows of the intent, or it is void. An intent that waits for devices that can be added later stays.
    pub(super) fn granted(&mut self, id: &GroupId, intent: &Intent, changes: Changes) -> Result<(), Error> {
        let lane = Scope::Intent { group: id.clone(), intent: intent.clone() };
        if self.lanes.is_ready(&lane, self.monotonic()) {
            self.lanes.works(&lane);
            let state = self.group(id);
            state.record.intents.retain(|known| known != intent);
            state.changed = true;
        }
        self.save(&[id], changes)
    }

    /// The engine does not do it: it is told, and not wanted any more. If the device itself fails, it is still wanted.
    pub(super) fn refuse(
        &mut self,
        id: &GroupId,
        intent: Option<Intent>,
        error: regrow_engine::Error,
    ) -> Result<(), Error> {
        use regrow_engine::Error as Engine;
        match error {
            error if is_of_device(&error) => Err(error.into()),
            Engine::RolledBack { .. } => {
                self.rejoin(id, Rejoin::Restored);
                self.save(&[id], Changes::default())
            }
            error => {
                // The engine does not remember an intent that it has refused.
                if intent.is_none() || matches!(error, Engine::Internal { .. }) {
                    self.client.group(id)?.abandon()?;
                }
                self.ready.push_back(Event::Refused { group: id.clone(), intent, reason: error.to_string() });
                Ok(())
            }
        }
    }

    fn propose_leaving(&mut self, id: &GroupId) -> Result<(), Error> {
        // If the process dies before it is written down, it is proposed again: equal proposals count once.
        match self.client.group(id)?.leave() {
            Ok(proposal) => {
                let changes = self.with_proposal(id, &proposal)?;
                self.granted(id, &Intent::Leave, changes)
            }
            Err(error @ regrow_engine::Error::RolledBack { .. }) => self.refuse(id, None, error),
            Err(error) => {
                self.refuse(id, Some(Intent::Leave), error)?;
                self.granted(id, &Intent::Leave, Changes::default())
            }
        }
    }

    fn put_out(&mut self, id: &GroupId, proposal: &ProposalMessage) -> Result<(), Error> {
        self.with_proposal(id, proposal)?.keep(&mut self.client)
    }

    fn with_proposal(&self, id: &GroupId, proposal: &ProposalMessage) -> Result<Changes, Error> {
        let sealed = Sealed { epoch: proposal.epoch().0, bytes: proposal.as_bytes().to_vec().into() };
        let out = Out { text: None, sealed: Some(sealed), ordered: None };
        Changes::default().out(&kept::next_out(&self.client, id)?, Some(&out))
    }

    /// The next thing that waits to be sent, encrypted in the present epoch.
    fn next_out(&mut self, id: &GroupId, epoch: u64) -> Result<Option<Step>, Error> {
        let suspended = self.is_suspended(id);
        for name in kept::waiting(&self.client, id)? {
            let Some(out) = kept::out(&self.client, &name)? else { continue };
            let present = out.sealed.filter(|sealed| sealed.epoch == epoch);
            match (out.text, present) {
                (None, Some(sealed)) => return Ok(Some(Step::Proposal(name, sealed))),
                // The proposal has ended with its epoch. If it is still wanted, the engine makes another.
                (None, None) => {
                    Changes::default().out(&name, None)?.keep(&mut self.client)?;
                    self.group(id).resume = true;
                }
                (Some(_), _) if suspended => {}
                (Some(_), Some(sealed)) => return Ok(Some(Step::Message(name, sealed))),
                (Some(text), None) => return self.encrypt(id, epoch, name, text),
            }
        }
        Ok(None)
    }

    fn encrypt(&mut self, id: &GroupId, epoch: u64, name: String, text: OutText) -> Result<Option<Step>, Error> {
        let envelope = envelope::seal(text.nonce, self.receipt(id).as_ref(), &text.bytes);
        let bytes = match self.client.group(id)?.send(&envelope) {
            Ok(bytes) => bytes,
            // RFC 9420, 12.4: a member that is to be removed must not read on. A commit comes first.
            Err(regrow_engine::Error::ProposalsWait) => {
                let now = self.monotonic();
                self.group(id).proposals_since.get_or_insert(now);
                return Ok(None);
            }
            Err(error @ regrow_engine::Error::RolledBack { .. }) => return self.refuse(id, None, error).map(|()| None),
            Err(error) => return Err(error.into()),
        };
        let sealed = Sealed { epoch, bytes: bytes.into() };
        let out = Out { text: Some(text), sealed: Some(sealed.clone()), ordered: None };
        Changes::default().out(&name, Some(&out))?.keep(&mut self.client)?;
        Ok(Some(Step::Message(name, sealed)))
    }

    /// The external commit of this device that waits.
    pub(super) fn external_commit(&self, id: &GroupId) -> Result<Option<PendingCommit>, Error> {
        let mut pending = self.client.pending()?.into_iter();
        Ok(pending.find(|pending| pending.is_external() && pending.group() == id))
    }

    /// This device cannot go on in the group with the state that it has.
    pub(super) fn rejoin(&mut self, id: &GroupId, why: Rejoin) {
        self.busy.insert(id.clone());
        let state = self.group(id);
        state.waits = false;
        if state.record.rejoin.is_none() {
            state.record.rejoin = Some(why);
            state.changed = true;
            self.ready.push_back(Event::Rejoining { group: id.clone(), why });
        }
    }

    /// Whether something is to be done in the group when some time has passed.
    pub(super) fn is_timed(&self, id: &GroupId) -> bool {
        let Some(state) = self.groups.get(id) else { return false };
        let waits = !state.record.intents.is_empty();
        waits || state.record.bad.is_some() || state.proposals_since.is_some() || state.elsewhere.is_some()
    }
}
