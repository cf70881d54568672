//! What is to be done next in a group: decided, asked of the service, and taken in. Only the asking waits.
//!
//! A step that was asked for and whose answer was lost is asked for again, for nothing has changed: the same bytes get the same
//! answer.

use std::collections::BTreeSet;

use regrow_engine::{DeviceId, GroupId, Handshake, KeyPackageBytes, Outgoing, PendingCommit, ProposalMessage};
use zeroize::Zeroizing;

use super::{
    Event, Messenger, Rejoin, Text, Wish,
    kept::{self, Changes, Out, Sealed},
    names,
};
use crate::{
    api::{self, Accepted, ClaimAnswer, ClaimRequest, Code, CommitRequest, CreateGroupRequest, Problem, ReportAnswer},
    client::{
        envelope,
        error::{ConnectionError, Error},
    },
    names::Sequence,
    receipt::Receipt,
};

/// Why the service refuses, in the words that this client acts on.
mod reason {
    pub(super) const EPOCH_AHEAD: &str = "epoch-ahead";
    pub(super) const NOT_A_MEMBER: &str = "not-a-member";
    pub(super) const UNKNOWN_GROUP: &str = "unknown-group";
    pub(super) const REMOVED: &str = "removed";
}

/// One thing to be asked of the service.
enum Step {
    Create { group_info: Vec<u8> },
    Report { commit: Sequence },
    Info,
    Commit(PendingCommit),
    Claim { user: String },
    Proposal { name: String, sealed: Sealed },
    Message { name: String, sealed: Sealed },
    Roster { epoch: u64 },
}

/// An answer that decides, or a problem that does. What is for later is an error.
fn decided<T>(answer: Result<T, ConnectionError>) -> Result<Result<T, Problem>, Error> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(ConnectionError::Problem(problem)) => match problem.code {
            Code::BadRequest
            | Code::Forbidden
            | Code::NotFound
            | Code::GroupExists
            | Code::Stale
            | Code::TooLarge
            | Code::Rejected
            | Code::LimitReached => Ok(Err(*problem)),
            _ => Err((*problem).into()),
        },
        Err(other) => Err(other.into()),
    }
}

/// Whether the device and the group are in different epochs, as the service says.
fn is_elsewhere(problem: &Problem) -> bool {
    problem.code == Code::Stale || problem.reason.as_deref() == Some(reason::EPOCH_AHEAD)
}

/// Whether the service says that the device is not in the group.
fn is_outside(problem: &Problem) -> bool {
    matches!(problem.code, Code::NotFound | Code::Forbidden)
        || matches!(problem.reason.as_deref(), Some(reason::NOT_A_MEMBER | reason::UNKNOWN_GROUP | reason::REMOVED))
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
        let at_service = names::group_at_service(id);
        while let Some(step) = self.next_step(id)? {
            match step {
                Step::Create { group_info } => {
                    let handshake = match self.client.policy().handshake {
                        Handshake::Assisted => api::Handshake::Assisted,
                        Handshake::Opaque => api::Handshake::Opaque,
                    };
                    let info = group_info.as_slice().into();
                    let request = CreateGroupRequest { group: id.as_bytes().into(), handshake, group_info: info };
                    let answer = self.connection.create_group(&request).await;
                    self.created(id, &group_info, answer)?;
                }
                Step::Report { commit } => {
                    let answer = self.connection.report(&at_service, commit).await;
                    self.reported(id, answer)?;
                }
                Step::Info => {
                    let answer = self.connection.group_info(&at_service).await;
                    self.informed(id, answer)?;
                }
                Step::Commit(pending) => {
                    let request = CommitRequest {
                        commit: pending.commit().into(),
                        welcome: pending.welcome().map(Into::into),
                        group_info: pending.group_info().map(Into::into),
                        added: pending.added().map(names::on_the_wire).collect(),
                        removed: pending.removed().map(names::on_the_wire).collect(),
                    };
                    let answer = self.connection.submit_commit(&at_service, &request).await;
                    self.submitted(id, pending, answer)?;
                }
                Step::Claim { user } => {
                    let request = ClaimRequest { user: user.clone(), device: None };
                    let answer = self.connection.claim_key_packages(&request).await;
                    self.claimed(id, &user, answer)?;
                }
                Step::Proposal { name, sealed } => {
                    let answer = self.connection.submit_proposal(&at_service, &sealed.bytes).await;
                    self.proposed(id, &name, answer)?;
                }
                Step::Message { name, sealed } => {
                    let answer = self.connection.submit_message(&at_service, &sealed.bytes).await;
                    self.sent(id, &name, &sealed, answer)?;
                }
                Step::Roster { epoch } => {
                    let answer = self.connection.group(&at_service).await;
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
    fn made(
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
    fn granted(&mut self, id: &GroupId, wish: &Wish, changes: Changes) -> Result<(), Error> {
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

    fn created(&mut self, id: &GroupId, info: &[u8], answer: Result<Accepted, ConnectionError>) -> Result<(), Error> {
        match decided(answer)? {
            Ok(accepted) => {
                let receipt = self.verified(id, &accepted.receipt)?;
                let state = self.group(id);
                state.record.creating = None;
                state.changed = true;
                let finding = state.record.audit.begin(info, &receipt);
                self.found(id, finding);
                self.save(&[id], Changes::default())
            }
            Err(problem) => {
                self.client.forget(id)?;
                self.drop_group(id)?;
                match problem.code {
                    Code::GroupExists => Err(Error::GroupTaken { group: id.clone() }),
                    _ => Err(problem.into()),
                }
            }
        }
    }

    fn reported(&mut self, id: &GroupId, answer: Result<ReportAnswer, ConnectionError>) -> Result<(), Error> {
        match decided(answer)? {
            Ok(_) => {
                let state = self.group(id);
                if let Some(bad) = &mut state.record.bad {
                    bad.reported = true;
                    state.changed = true;
                }
            }
            // It is not the last commit any more: others have gone on from it.
            Err(_) => self.rejoin(id, Rejoin::BadCommit),
        }
        self.save(&[id], Changes::default())
    }

    fn informed(&mut self, id: &GroupId, answer: Result<api::GroupInfo, ConnectionError>) -> Result<(), Error> {
        use regrow_engine::Error as Engine;
        let reason = match decided(answer)? {
            Ok(info) => match self.client.join_external(&info.group_info.0) {
                Ok(pending) if pending.group() == id => return Ok(()),
                Ok(pending) => {
                    self.client.discard(pending)?;
                    "the service has given out the group info of another group".to_owned()
                }
                Err(error @ (Engine::Storage(_) | Engine::Locked | Engine::Crypto(_))) => return Err(error.into()),
                Err(error) => error.to_string(),
            },
            Err(problem) => problem.to_string(),
        };
        self.strand(id, reason);
        Ok(())
    }

    /// It is tried again when something is heard of the group.
    fn strand(&mut self, id: &GroupId, reason: String) {
        let state = self.group(id);
        state.waits = true;
        if !state.stranded {
            state.stranded = true;
            self.ready.push_back(Event::Stranded { group: id.clone(), reason });
        }
    }

    fn submitted(
        &mut self,
        id: &GroupId,
        pending: PendingCommit,
        answer: Result<Accepted, ConnectionError>,
    ) -> Result<(), Error> {
        match decided(answer)? {
            // It is confirmed when it is read: what was ordered before it has to be read first, with the keys of its epoch.
            Ok(accepted) => {
                let receipt = self.verified(id, &accepted.receipt)?;
                self.hear(id, &receipt);
                self.group(id).waits = true;
            }
            Err(problem) if is_elsewhere(&problem) => {
                // A commit of a member ends by itself when the one is read that has won.
                if pending.is_external() {
                    self.client.discard(pending)?;
                }
                let state = self.group(id);
                state.elsewhere = problem.current_epoch;
                state.waits = true;
            }
            Err(problem) => {
                let external = pending.is_external();
                self.client.discard(pending)?;
                if external {
                    self.strand(id, problem.to_string());
                } else {
                    if is_outside(&problem) {
                        self.group(id).waits = true;
                    } else {
                        self.client.group(id)?.abandon()?;
                    }
                    let reason = problem.to_string();
                    self.ready.push_back(Event::Refused { group: id.clone(), wish: None, reason });
                }
            }
        }
        self.save(&[id], Changes::default())
    }

    fn claimed(&mut self, id: &GroupId, user: &str, answer: Result<ClaimAnswer, ConnectionError>) -> Result<(), Error> {
        let wish = Wish::AddUser(user.to_owned());
        let reason = match decided(answer)? {
            Ok(answer) if !answer.key_packages.is_empty() => {
                let now = self.now();
                let claimed = answer.key_packages.into_iter();
                let key_packages: Vec<_> = claimed.map(|it| KeyPackageBytes::new(it.key_package.0)).collect();
                let made = self.client.group(id)?.add_user(user, &key_packages, now);
                // The commit waits in the engine: the next step submits it.
                return self.made(id, &wish, made).map(drop);
            }
            Ok(_) => format!("no device of {user} has a key package at the service"),
            Err(problem) => problem.to_string(),
        };
        self.ready.push_back(Event::Refused { group: id.clone(), wish: Some(wish.clone()), reason });
        self.granted(id, &wish, Changes::default())
    }

    fn proposed(&mut self, id: &GroupId, name: &str, answer: Result<Accepted, ConnectionError>) -> Result<(), Error> {
        match decided(answer)? {
            Ok(accepted) => {
                let receipt = self.verified(id, &accepted.receipt)?;
                self.hear(id, &receipt);
            }
            Err(problem) if is_elsewhere(&problem) => {
                let state = self.group(id);
                state.elsewhere = problem.current_epoch;
                (state.waits, state.resume) = (true, true);
            }
            Err(problem) => {
                let reason = problem.to_string();
                self.ready.push_back(Event::Refused { group: id.clone(), wish: None, reason });
            }
        }
        self.save(&[id], Changes::default().out(name, None)?)
    }

    fn sent(
        &mut self,
        id: &GroupId,
        name: &str,
        sealed: &Sealed,
        answer: Result<Accepted, ConnectionError>,
    ) -> Result<(), Error> {
        let text = kept::out(&self.client, name)?.and_then(|out| out.text).unwrap_or_default();
        let changes = match decided(answer)? {
            Ok(accepted) => {
                let receipt = self.verified(id, &accepted.receipt)?;
                self.hear(id, &receipt);
                let sealed = Sealed { epoch: sealed.epoch, bytes: Vec::new().into() };
                let out = Out { text: Some(text), sealed: Some(sealed), ordered: Some(receipt.sequence) };
                Changes::default().out(name, None)?.out(&kept::sent_at(id, receipt.sequence), Some(&out))?
            }
            // Encrypted again, once what has been ordered since is read.
            Err(problem) if is_elsewhere(&problem) => {
                let state = self.group(id);
                state.elsewhere = problem.current_epoch;
                state.waits = true;
                Changes::default().out(name, Some(&Out { text: Some(text), sealed: None, ordered: None }))?
            }
            Err(problem) if is_outside(&problem) => {
                self.group(id).waits = true;
                Changes::default()
            }
            Err(problem) => {
                let (group, reason) = (id.clone(), problem.to_string());
                self.ready.push_back(Event::Undeliverable { group, text: Text(text), reason });
                Changes::default().out(name, None)?
            }
        };
        self.save(&[id], changes)
    }

    /// Whether the service delivers to those who are in the group (design, 5: members compare, and report a lie).
    fn compared(
        &mut self,
        id: &GroupId,
        epoch: u64,
        answer: Result<api::GroupState, ConnectionError>,
    ) -> Result<(), Error> {
        self.group(id).check_roster = false;
        let Ok(service) = decided(answer)? else { return Ok(()) };
        // Of another epoch, it says nothing of this one. With the next commit it is looked at again.
        if service.epoch != epoch {
            return Ok(());
        }
        let members = self.client.group(id)?.roster()?.into_iter().map(|member| member.device);
        let members: BTreeSet<DeviceId> = members.collect();
        let readers: BTreeSet<DeviceId> = service.devices.iter().filter_map(names::device_in_engine).collect();
        if members != readers {
            self.ready.push_back(Event::RosterLie {
                group: id.clone(),
                intruders: readers.difference(&members).cloned().collect(),
                left_out: members.difference(&readers).cloned().collect(),
            });
        }
        Ok(())
    }

    /// The receipt, if the service has signed it.
    fn verified(&self, id: &GroupId, receipt: &api::Receipt) -> Result<Receipt, Error> {
        let forged = || Error::ForgedReceipt { group: id.clone(), sequence: Sequence(receipt.sequence) };
        let receipt = receipt.of(&names::group_at_service(id)).ok_or_else(forged)?;
        receipt.verify(&self.service).map_err(|_| forged())?;
        Ok(receipt)
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
