//! What comes of the service's answers: taken in whole, and written before anything else is asked.

use std::collections::BTreeSet;

use regrow_engine::{DeviceId, GroupId, JoinMessage, KeyPackageBytes, PendingCommit, UserId};

use super::{
    Event, Messenger, Rejoin, Text, Wish,
    kept::{self, Changes, Out, Sealed},
};
use crate::{
    RejectCode,
    api::{self, Accepted, ClaimAnswer, Code, Problem, ReportAnswer},
    error::{ConnectionError, Error},
    names::{Epoch, Sequence},
    receipt::Receipt,
};

/// An answer that decides, or a problem that does. What is for later is an error.
pub(super) fn decided<T>(answer: Result<T, ConnectionError>) -> Result<Result<T, Problem>, Error> {
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
    problem.code == Code::Stale || problem.reject_code() == Some(RejectCode::EpochAhead)
}

/// Whether the service says that the device is not in the group.
fn is_outside(problem: &Problem) -> bool {
    matches!(problem.code, Code::NotFound | Code::Forbidden)
        || matches!(
            problem.reject_code(),
            Some(RejectCode::NotAMember | RejectCode::UnknownGroup | RejectCode::Removed)
        )
}

impl Messenger {
    pub(super) fn created(
        &mut self,
        id: &GroupId,
        info: &[u8],
        answer: Result<Accepted, ConnectionError>,
    ) -> Result<(), Error> {
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

    pub(super) fn reported(
        &mut self,
        id: &GroupId,
        answer: Result<ReportAnswer, ConnectionError>,
    ) -> Result<(), Error> {
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

    /// Makes the external commit by the group info that the service has given. Returns the epoch whose ratchet tree is to be
    /// got for it first, if it is neither there nor beside it.
    pub(super) fn informed(
        &mut self,
        id: &GroupId,
        info: &Result<api::GroupInfo, Problem>,
        tree: Option<Result<api::RatchetTree, Problem>>,
    ) -> Result<Option<Epoch>, Error> {
        use regrow_engine::Error as Engine;
        let message = match (info, &tree) {
            (Ok(info), None) => JoinMessage::from(&info.group_info.0),
            (Ok(info), Some(Ok(tree))) => JoinMessage::with_tree(&info.group_info.0, &tree.ratchet_tree.0),
            (Err(problem), _) | (_, Some(Err(problem))) => {
                self.strand(id, problem.to_string());
                return Ok(None);
            }
        };
        let reason = match self.client.join_external(message) {
            Ok(pending) if pending.group() == id => return Ok(None),
            Ok(pending) => {
                self.client.discard(pending)?;
                "the service has given out the group info of another group".to_owned()
            }
            Err(Engine::NeedsRatchetTree { epoch, .. }) if tree.is_none() => return Ok(Some(epoch)),
            Err(error @ (Engine::Storage(_) | Engine::Locked | Engine::Crypto(_))) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        self.strand(id, reason);
        Ok(None)
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

    pub(super) fn submitted(
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

    pub(super) fn claimed(
        &mut self,
        id: &GroupId,
        user: &UserId,
        answer: Result<ClaimAnswer, ConnectionError>,
    ) -> Result<(), Error> {
        let wish = Wish::AddUser(user.clone());
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

    pub(super) fn proposed(
        &mut self,
        id: &GroupId,
        name: &str,
        answer: Result<Accepted, ConnectionError>,
    ) -> Result<(), Error> {
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

    pub(super) fn sent(
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
    pub(super) fn compared(
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
        let readers: BTreeSet<DeviceId> = service.devices.into_iter().collect();
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
        let receipt = receipt.of(id).ok_or_else(forged)?;
        receipt.verify(&self.service).map_err(|_| forged())?;
        Ok(receipt)
    }
}
