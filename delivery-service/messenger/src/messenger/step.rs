//! What is to be done next in a group: decided, and asked of the service. Only the asking waits; what comes of it is taken in
//! by `answers`.
//!
//! A step that was asked for and whose answer was lost is asked for again, for nothing has changed: the same bytes get the same
//! answer.

use regrow_engine::{GroupId, Handshake, Outgoing, PendingCommit, ProposalMessage, UserId};
use zeroize::Zeroizing;

use super::{
    Event, Messenger, Rejoin, Text, Wish,
    answers::decided,
    kept::{self, Changes, Out, Sealed},
};
use crate::{
    api::{self, ClaimRequest, CreateGroupRequest},
    envelope,
    error::Error,
    names::Sequence,
};

/// One thing to be asked of the service.
pub(super) enum Step {
    Create { group_info: Vec<u8> },
    Report { commit: Sequence },
    Info,
    Commit(PendingCommit),
    Claim { user: UserId },
    Proposal { name: String, sealed: Sealed },
    Message { name: String, sealed: Sealed },
    Roster { epoch: u64 },
}

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

impl Messenger {
    /// Does what is to be done, as far as it can be done now.
    pub(super) async fn work(&mut self) -> Result<(), Error> {
        self.acknowledge_at_service().await?;
        self.upkeep().await?;
        for id in self.busy.clone() {
            self.advance(&id).await?;
        }
        Ok(())
    }

    /// Does what is to be done in one group.
    pub(super) async fn advance(&mut self, id: &GroupId) -> Result<(), Error> {
        while let Some(step) = self.next_step(id)? {
            match step {
                Step::Create { group_info } => {
                    let handshake = match self.client.policy().handshake {
                        Handshake::Assisted => api::Handshake::Assisted,
                        Handshake::Opaque => api::Handshake::Opaque,
                    };
                    let info = group_info.as_slice().into();
                    let request = CreateGroupRequest { group: id.clone(), handshake, group_info: info };
                    let answer = self.connection.create_group(&request).await;
                    self.created(id, &group_info, answer)?;
                }
                Step::Report { commit } => {
                    let answer = self.connection.report(id, commit).await;
                    self.reported(id, answer)?;
                }
                Step::Info => {
                    let info = decided(self.connection.group_info(id).await)?;
                    if let Some(epoch) = self.informed(id, &info, None)? {
                        let tree = decided(self.connection.ratchet_tree(id, epoch).await)?;
                        self.informed(id, &info, Some(tree))?;
                    }
                }
                Step::Commit(pending) => {
                    let request = commit_request(&pending);
                    let answer = self.connection.submit_commit(id, &request).await;
                    self.submitted(id, pending, answer)?;
                }
                Step::Claim { user } => {
                    let request = ClaimRequest { user: user.clone(), device: None };
                    let answer = self.connection.claim_key_packages(&request).await;
                    self.claimed(id, &user, answer)?;
                }
                Step::Proposal { name, sealed } => {
                    let answer = self.connection.submit_proposal(id, &sealed.bytes).await;
                    self.proposed(id, &name, answer)?;
                }
                Step::Message { name, sealed } => {
                    let answer = self.connection.submit_message(id, &sealed.bytes).await;
                    self.sent(id, &name, &sealed, answer)?;
                }
                Step::Roster { epoch } => {
                    let answer = self.connection.group(id).await;
                    self.compared(id, epoch, answer)?;
                }
            }
        }
        if !self.is_timed(id) {
            self.busy.remove(id);
        }
        Ok(())
    }

    /// What is to be asked next of the service for this group. Everything that it decides is written before it returns.
    fn next_step(&mut self, id: &GroupId) -> Result<Option<Step>, Error> {
        let now = self.now();
        let patience = self.options.rollback_patience.as_secs();
        let Some(state) = self.groups.get_mut(id) else { return Ok(None) };
        if let Some(info) = &state.record.creating {
            return Ok(Some(Step::Create { group_info: info.to_vec() }));
        }
        if let Some(bad) = &state.record.bad
            && state.record.rejoin.is_none()
        {
            if !bad.reported {
                return Ok(Some(Step::Report { commit: bad.sequence }));
            }
            if now.0 < bad.since.saturating_add(patience) {
                return Ok(None);
            }
            self.rejoin(id, Rejoin::BadCommit);
            self.save(&[id], Changes::default())?;
        }
        let state = self.group(id);
        if state.waits {
            return Ok(None);
        }
        if state.record.rejoin.is_some() {
            return Ok(Some(self.external_commit(id)?.map_or(Step::Info, Step::Commit)));
        }
        let epoch = match self.client.group(id) {
            Ok(mut group) => group.epoch()?.0,
            Err(regrow_engine::Error::UnknownGroup { .. } | regrow_engine::Error::Removed { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if let Some(pending) = self.client.group(id)?.pending()? {
            return Ok(Some(Step::Commit(pending)));
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
        let opaque = self.client.policy().handshake == Handshake::Opaque;
        let state = self.group(id);
        Ok((state.check_roster && opaque).then_some(Step::Roster { epoch }))
    }

    /// The next commit of what is wanted, of what is to be made again, or of what others have proposed.
    fn next_commit(&mut self, id: &GroupId) -> Result<Option<Step>, Error> {
        if self.group(id).resume {
            match self.client.group(id)?.resume() {
                Ok(Some(Outgoing::Commit(pending))) => {
                    self.group(id).resume = false;
                    return Ok(Some(Step::Commit(pending)));
                }
                Ok(Some(Outgoing::Proposal(proposal))) => self.put_out(id, &proposal)?,
                Ok(None) => {}
                Err(error) => self.refuse(id, None, error)?,
            }
            self.group(id).resume = false;
        }
        while let Some(wish) = self.group(id).record.wishes.front().cloned() {
            let made = match &wish {
                Wish::AddUser(user) => return Ok(Some(Step::Claim { user: user.clone() })),
                Wish::RemoveUser(user) => self.client.group(id)?.remove_user(user),
                Wish::RemoveDevice(device) => self.client.group(id)?.remove(std::slice::from_ref(device)),
                Wish::Rotate { signature_key: false } => self.client.group(id)?.update(),
                Wish::Rotate { signature_key: true } => self.client.group(id)?.rotate_signature_key(),
                Wish::Leave => {
                    if !self.propose_leaving(id)? {
                        return Ok(None);
                    }
                    continue;
                }
            };
            if let Some(step) = self.made(id, &wish, made)? {
                return Ok(Some(step));
            }
            if self.group(id).record.rejoin.is_some() {
                return Ok(None);
            }
        }
        let Some(since) = self.group(id).proposals_since else { return Ok(None) };
        let Some(rank) = self.rank(id)? else { return Ok(None) };
        let turn = self.options.commit_turn.as_secs().saturating_mul(rank as u64);
        if self.now().0 < since.0.saturating_add(turn) {
            return Ok(None);
        }
        self.group(id).proposals_since = None;
        match self.client.group(id)?.commit() {
            Ok(pending) => Ok(Some(Step::Commit(pending))),
            Err(regrow_engine::Error::NothingToCommit) => Ok(None),
            Err(error) => self.refuse(id, None, error).map(|()| None),
        }
    }

    /// How many members come before this one when somebody has to do what anybody could; [`None`] if it is about to leave.
    pub(super) fn rank(&mut self, id: &GroupId) -> Result<Option<usize>, Error> {
        let own = self.device().clone();
        let roster = self.client.group(id)?.roster()?;
        let leaving = &self.group(id).leaving;
        let mut staying = roster.into_iter().map(|member| member.device).filter(|device| !leaving.contains(device));
        Ok(staying.position(|device| device == own))
    }

    /// What came of trying to do what is wanted: a commit, or that it is done, or cannot be.
    pub(super) fn made(
        &mut self,
        id: &GroupId,
        wish: &Wish,
        made: Result<PendingCommit, regrow_engine::Error>,
    ) -> Result<Option<Step>, Error> {
        use regrow_engine::Error as Engine;
        let step = match made {
            Ok(pending) => Some(Step::Commit(pending)),
            // It is so already.
            Err(Engine::NothingToCommit | Engine::UnknownUser { .. } | Engine::UnknownMember { .. }) => None,
            // It is still wanted, once this device has rejoined.
            Err(error @ Engine::RolledBack { .. }) => return self.refuse(id, None, error).map(|()| None),
            Err(error) => {
                self.refuse(id, Some(wish.clone()), error)?;
                None
            }
        };
        self.granted(id, wish, Changes::default())?;
        Ok(step)
    }

    /// The engine knows of the wish, or it is void.
    pub(super) fn granted(&mut self, id: &GroupId, wish: &Wish, changes: Changes) -> Result<(), Error> {
        let state = self.group(id);
        if state.record.wishes.front() == Some(wish) {
            state.record.wishes.pop_front();
            state.changed = true;
        }
        self.save(&[id], changes)
    }

    /// The engine does not do it: it is told, and not wanted any more. If the device itself fails, it is still wanted.
    pub(super) fn refuse(
        &mut self,
        id: &GroupId,
        wish: Option<Wish>,
        error: regrow_engine::Error,
    ) -> Result<(), Error> {
        use regrow_engine::Error as Engine;
        match error {
            Engine::Storage(_) | Engine::Locked | Engine::Crypto(_) => Err(error.into()),
            Engine::RolledBack { .. } => {
                self.rejoin(id, Rejoin::Restored);
                self.save(&[id], Changes::default())
            }
            error => {
                self.client.group(id)?.abandon()?;
                self.ready.push_back(Event::Refused { group: id.clone(), wish, reason: error.to_string() });
                Ok(())
            }
        }
    }

    /// Whether it was proposed; if not, this device was alone in the group, or has to rejoin first.
    fn propose_leaving(&mut self, id: &GroupId) -> Result<bool, Error> {
        if self.client.group(id)?.roster()?.len() < 2 {
            self.client.forget(id)?;
            let by = Some(self.device().clone());
            self.drop_group(id)?;
            self.ready.push_back(Event::Removed { group: id.clone(), by });
            return Ok(false);
        }
        // If the process dies before it is written down, it is proposed again: equal proposals count once.
        match self.client.group(id)?.leave() {
            Ok(proposal) => {
                let changes = self.with_proposal(id, &proposal)?;
                self.granted(id, &Wish::Leave, changes)?;
            }
            Err(error @ regrow_engine::Error::RolledBack { .. }) => {
                self.refuse(id, None, error)?;
                return Ok(false);
            }
            Err(error) => {
                self.refuse(id, Some(Wish::Leave), error)?;
                self.granted(id, &Wish::Leave, Changes::default())?;
            }
        }
        Ok(true)
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
                (None, Some(sealed)) => return Ok(Some(Step::Proposal { name, sealed })),
                // The proposal has ended with its epoch. If it is still wanted, the engine makes another.
                (None, None) => {
                    Changes::default().out(&name, None)?.keep(&mut self.client)?;
                    self.group(id).resume = true;
                }
                (Some(_), _) if suspended => {}
                (Some(_), Some(sealed)) => return Ok(Some(Step::Message { name, sealed })),
                (Some(text), None) => return self.encrypt(id, epoch, name, text),
            }
        }
        Ok(None)
    }

    fn encrypt(
        &mut self,
        id: &GroupId,
        epoch: u64,
        name: String,
        text: Zeroizing<Vec<u8>>,
    ) -> Result<Option<Step>, Error> {
        let envelope = envelope::seal(self.receipt(id).as_ref(), &text);
        let bytes = match self.client.group(id)?.send(&envelope) {
            Ok(bytes) => bytes,
            // RFC 9420, 12.4: who is to be removed must not read on. A commit comes first.
            Err(regrow_engine::Error::ProposalsWait) => {
                let now = self.now();
                self.group(id).proposals_since.get_or_insert(now);
                return Ok(None);
            }
            Err(error @ regrow_engine::Error::RolledBack { .. }) => return self.refuse(id, None, error).map(|()| None),
            Err(error) => return Err(error.into()),
        };
        let sealed = Sealed { epoch, bytes: bytes.into() };
        let out = Out { text: Some(text), sealed: Some(sealed.clone()), ordered: None };
        Changes::default().out(&name, Some(&out))?.keep(&mut self.client)?;
        Ok(Some(Step::Message { name, sealed }))
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

    /// Nothing is left of a group that this device is not in any more.
    pub(super) fn drop_group(&mut self, id: &GroupId) -> Result<(), Error> {
        self.groups.remove(id);
        self.busy.remove(id);
        let mut changes = Changes::default().group(id, None)?;
        let mut unsent = Vec::new();
        for name in kept::waiting(&self.client, id)? {
            unsent.extend(kept::out(&self.client, &name)?.and_then(|out| out.text));
            changes = changes.out(&name, None)?;
        }
        for name in kept::sent(&self.client, id)? {
            changes = changes.out(&name, None)?;
        }
        changes.keep(&mut self.client)?;
        for text in unsent {
            let reason = "this device is not in the group any more".to_owned();
            self.ready.push_back(Event::Undeliverable { group: id.clone(), text: Text(text), reason });
        }
        Ok(())
    }

    /// Whether something is to be done in the group when some time has passed.
    fn is_timed(&self, id: &GroupId) -> bool {
        let Some(state) = self.groups.get(id) else { return false };
        state.record.bad.is_some() || state.proposals_since.is_some() || state.elsewhere.is_some()
    }
}
