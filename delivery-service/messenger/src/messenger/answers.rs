//! The service's answers: each is taken in whole, and written before anything else is asked.

use std::collections::BTreeSet;

use regrow_engine::{DeviceId, GroupId, JoinMessage, PendingCommit};

use super::{
    Event, Intent, Rejoin, Text,
    kept::{self, Answer, Changes, Out, OutText, Sealed},
    machine::Machine,
    request::{Response, Step},
};
use crate::{
    Delivery, RejectCode,
    api::{self, Accepted, Code, Problem, ReportAnswer},
    error::{ConnectionError, Error, is_of_device},
    names::Sequence,
    receipt::Receipt,
};

/// An answer that decides, or a problem that does. A problem that passes is an error.
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

/// The text that waited under that name is ordered. It is kept for as long as the epoch can be taken back.
fn ordered(id: &GroupId, name: &str, text: OutText, epoch: u64, sequence: Sequence) -> Result<Changes, Error> {
    let sealed = Sealed { epoch, bytes: Vec::new().into() };
    let out = Out { text: Some(text), sealed: Some(sealed), ordered: Some(sequence) };
    Changes::default().out(name, None)?.out(&kept::sent_at(id, sequence), Some(&out))
}

impl Machine {
    /// Takes in the answer to a step.
    pub(super) fn stepped(
        &mut self,
        id: &GroupId,
        step: Step,
        answer: Result<Response, ConnectionError>,
    ) -> Result<(), Error> {
        match step {
            Step::Create(request) => self.created(id, &request.group_info.0, answer.and_then(Response::accepted)),
            Step::Answer(given) => self.answered(id, given, answer.and_then(Response::done)),
            Step::End => self.ended(id, answer.and_then(Response::done)),
            Step::Report(_) => self.reported(id, answer.and_then(Response::reported)),
            Step::Info => self.informed(id, answer.and_then(Response::info)),
            Step::Tree(_) => self.informed_of_tree(id, answer.and_then(Response::tree)),
            Step::Commit(pending) => self.submitted(id, *pending, answer.and_then(Response::accepted)),
            Step::DeviceList(added, _) => self.listed(id, &added, answer.and_then(Response::device_list)),
            Step::Claim(added, device) => self.claimed(id, &added, &device, answer.and_then(Response::claimed)),
            Step::Proposal(name, _) => self.proposed(id, &name, answer.and_then(Response::accepted)),
            Step::Message(name, sealed) => self.sent(id, &name, &sealed, answer.and_then(Response::accepted)),
            Step::Roster(epoch) => self.compared(id, epoch, answer.and_then(Response::state)),
        }
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
                match (problem.code, problem.reject_code()) {
                    (Code::GroupExists, _) => Err(Error::GroupTaken { group: id.clone() }),
                    (_, Some(RejectCode::GroupEnded)) => Err(Error::GroupEnded { group: id.clone() }),
                    _ => Err(problem.into()),
                }
            }
        }
    }

    /// The service has heard whether this device accepts the group, or there is nothing to answer any more.
    fn answered(&mut self, id: &GroupId, given: Answer, answer: Result<(), ConnectionError>) -> Result<(), Error> {
        let _nothing_to_answer = decided(answer)?;
        if given == Answer::Decline {
            self.client.forget(id)?;
            self.drop_group(id)?;
            self.ready.push_back(Event::Removed { group: id.clone(), by: None });
            return Ok(());
        }
        let state = self.group(id);
        (state.record.answer, state.changed) = (None, true);
        self.save(&[id], Changes::default())
    }

    /// The group has ended at the service, so that this device forgets it.
    fn ended(&mut self, id: &GroupId, answer: Result<(), ConnectionError>) -> Result<(), Error> {
        match decided(answer)? {
            Err(problem) if problem.reject_code() == Some(RejectCode::TooManyEndedGroups) => {
                let (group, reason) = (id.clone(), problem.to_string());
                self.ready.push_back(Event::Refused { group, intent: Some(Intent::Leave), reason });
                self.granted(id, &Intent::Leave, Changes::default())
            }
            Err(problem) if !is_outside(&problem) => Err(problem.into()),
            _ => {
                self.client.forget(id)?;
                let by = Some(self.device().clone());
                self.drop_group(id)?;
                self.ready.push_back(Event::Removed { group: id.clone(), by });
                Ok(())
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

    /// The service was asked for the group info.
    fn informed(&mut self, id: &GroupId, answer: Result<api::GroupInfo, ConnectionError>) -> Result<(), Error> {
        match decided(answer)? {
            Ok(info) => self.join_externally(id, info.group_info.0, None),
            Err(problem) => {
                self.strand(id, problem.to_string());
                Ok(())
            }
        }
    }

    /// The service was asked for the ratchet tree that the group info lacks.
    fn informed_of_tree(
        &mut self,
        id: &GroupId,
        answer: Result<api::RatchetTree, ConnectionError>,
    ) -> Result<(), Error> {
        let Some((info, _)) = self.group(id).info.take() else { return Ok(()) };
        match decided(answer)? {
            Ok(tree) => self.join_externally(id, info, Some(tree.ratchet_tree.0)),
            Err(problem) => {
                self.strand(id, problem.to_string());
                Ok(())
            }
        }
    }

    /// Makes the external commit, or finds out that the ratchet tree is to be got first.
    fn join_externally(&mut self, id: &GroupId, info: Vec<u8>, tree: Option<Vec<u8>>) -> Result<(), Error> {
        use regrow_engine::Error as Engine;
        let message = match &tree {
            None => JoinMessage::from(&info),
            Some(tree) => JoinMessage::with_tree(&info, tree),
        };
        let reason = match self.client.join_external(message) {
            Ok(pending) if pending.group() == id => return Ok(()),
            Ok(pending) => {
                self.client.discard(pending)?;
                "the service has given out the group info of another group".to_owned()
            }
            Err(Engine::NeedsRatchetTree { epoch, .. }) if tree.is_none() => {
                self.group(id).info = Some((info, epoch));
                return Ok(());
            }
            Err(error) if is_of_device(&error) => return Err(error.into()),
            Err(error) => error.to_string(),
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
            // The commit is confirmed when it is read: entries before it have to be read first, with the keys of its epoch.
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
                    self.ready.push_back(Event::Refused { group: id.clone(), intent: None, reason });
                }
            }
        }
        self.save(&[id], Changes::default())
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
                self.ready.push_back(Event::Refused { group: id.clone(), intent: None, reason });
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
        let Some(text) = kept::out(&self.client, name)?.and_then(|out| out.text) else { return Ok(()) };
        let changes = match decided(answer)? {
            Ok(accepted) => {
                let receipt = self.verified(id, &accepted.receipt)?;
                self.hear(id, &receipt);
                ordered(id, name, text, sealed.epoch, receipt.sequence)?
            }
            // The text is encrypted again, after the entries that were ordered since were read.
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
                self.ready.push_back(Event::Undeliverable { group, text: Text(text.bytes), reason });
                Changes::default().out(name, None)?
            }
        };
        self.save(&[id], changes)
    }

    /// A message of this device has come in the stream, so that the service has ordered it. If the answer was lost, its text
    /// still waits.
    pub(super) fn read_back(&mut self, id: &GroupId, delivery: &Delivery) -> Result<(), Error> {
        for name in kept::waiting(&self.client, id)? {
            let Some(Out { text: Some(text), sealed, .. }) = kept::out(&self.client, &name)? else { continue };
            // Texts are encrypted one after the other: the first alone can be on its way.
            let Some(sealed) = sealed.filter(|sealed| sealed.bytes == delivery.bytes) else { return Ok(()) };
            return ordered(id, &name, text, sealed.epoch, delivery.receipt.sequence)?.keep(&mut self.client);
        }
        Ok(())
    }

    /// Compares the service's roster with the group's, and tells a difference.
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
