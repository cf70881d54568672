//! What devices submit to the delivery service, its answers, and what the adversary keeps of it.

use std::collections::BTreeMap;

use regrow_delivery_service::{CommitSubmission, Outcome, RosterChange, Sequence, Timestamp};
use regrow_engine::{PendingCommit, ProposalMessage};

use super::{
    Failed, World,
    event::{Event, fingerprint},
    window::Position,
};
use crate::{
    adversary::{TrafficKind, Traffic},
    report::Failure,
    scenario::{FailCode, MessageId},
};

/// The application messages that the service has ordered.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) messages: Vec<Message>,
    by_id: BTreeMap<MessageId, usize>,
    by_sequence: BTreeMap<Sequence, usize>,
}

/// An application message that the service has ordered.
pub(super) struct Message {
    pub(super) id: MessageId,
    pub(super) at: Position,
    pub(super) text: Vec<u8>,
    pub(super) time: Timestamp,
    /// Whether a thief has sent it in its sender's name.
    pub(super) forged: bool,
}

impl Sent {
    pub(super) fn number(&self, id: &MessageId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(super) fn at(&self, sequence: Sequence) -> Option<(usize, &Message)> {
        let number = *self.by_sequence.get(&sequence)?;
        Some((number, self.messages.get(number)?))
    }
}

/// What the service said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    Stale,
}

impl World<'_> {
    pub(super) fn now(&self) -> Timestamp {
        Timestamp(self.clock.0)
    }

    /// Starts the group at the service.
    pub(super) fn submit_group(&mut self, by: usize, group_info: &[u8]) -> Result<(), Failed> {
        let mode = self.policy.handshake;
        let creator = &self.devices[by].address;
        let outcome = self.service.create_group(&self.group, creator, mode, group_info, self.now());
        self.answer(outcome)?;
        if self.rosters.is_empty() {
            self.rosters.push([by].into());
        }
        self.tell(Event::Group { by: self.devices[by].name.clone(), group_info: fingerprint(group_info) });
        Ok(())
    }

    pub(super) fn submit_commit(&mut self, by: usize, pending: &PendingCommit) -> Result<Answer, Failed> {
        let outcome = self.offer_commit(by, pending);
        let (answer, sequence) = self.answer(outcome)?;
        self.tell(Event::Submitted {
            by: self.devices[by].name.clone(),
            kind: TrafficKind::Commit,
            id: None,
            epoch: pending.epoch().0,
            answer: answer.into(),
            bytes: pending.commit().len(),
            sha256: fingerprint(pending.commit()),
            welcome: pending.welcome().map(fingerprint),
            group_info: pending.group_info().map(fingerprint),
        });
        if answer == Answer::Accepted {
            self.note_commit(by, pending, sequence)?;
        }
        Ok(answer)
    }

    /// Submits a commit in the name of that device.
    pub(super) fn offer_commit(
        &self,
        by: usize,
        pending: &PendingCommit,
    ) -> Result<Outcome, regrow_delivery_service::StoreError> {
        let submission = CommitSubmission {
            group: self.group.clone(),
            sender: self.devices[by].address.clone(),
            commit: pending.commit().to_vec(),
            welcome: pending.welcome().map(<[u8]>::to_vec),
            group_info: pending.group_info().map(<[u8]>::to_vec),
            roster_change: RosterChange {
                added: pending.added().cloned().collect(),
                removed: pending.removed().cloned().collect(),
            },
        };
        self.service.submit_commit(&submission, self.now())
    }

    /// The service has ordered a commit. Whether that was news.
    pub(super) fn note_commit(
        &mut self,
        by: usize,
        pending: &PendingCommit,
        sequence: Sequence,
    ) -> Result<bool, Failed> {
        if !self.is_new(sequence) {
            return Ok(false);
        }
        self.note_epoch()?;
        self.chronicle.commit_ordered(sequence, pending);
        let (epoch, sender) = (pending.epoch().0, self.devices[by].client.device());
        self.traffic.push(Traffic::new(TrafficKind::Commit, epoch, None, pending.commit()).sent_by(sender));
        if let Some(welcome) = pending.welcome() {
            self.traffic.push(Traffic::new(TrafficKind::Welcome, epoch + 1, None, welcome).sent_by(sender));
        }
        Ok(true)
    }

    pub(super) fn submit_proposal(&mut self, by: usize, proposal: &ProposalMessage) -> Result<Answer, Failed> {
        let (group, now) = (self.group.clone(), self.now());
        let outcome = self.service.submit_proposal(&group, &self.devices[by].address, proposal.as_bytes(), now);
        let (answer, sequence) = self.answer(outcome)?;
        let epoch = proposal.epoch().0;
        self.tell(Event::submitted(&self.devices[by].name, TrafficKind::Proposal, None, epoch, answer, proposal.as_bytes()));
        if answer == Answer::Accepted && self.is_new(sequence) {
            self.chronicle.proposal_ordered(by, proposal.as_bytes());
            let sender = self.devices[by].client.device();
            self.traffic.push(Traffic::new(TrafficKind::Proposal, epoch, None, proposal.as_bytes()).sent_by(sender));
        }
        Ok(answer)
    }

    /// Submits an encrypted application message, which stands at this position if it is accepted.
    pub(super) fn submit_message(
        &mut self,
        id: &MessageId,
        at: Position,
        text: &[u8],
        bytes: &[u8],
    ) -> Result<Answer, Failed> {
        let outcome = self.offer_message(at.sender, bytes);
        let (answer, sequence) = self.answer(outcome)?;
        let name = &self.devices[at.sender].name;
        self.tell(Event::submitted(name, TrafficKind::Message, Some(id), at.epoch, answer, bytes));
        if answer == Answer::Accepted {
            let message = Message { id: id.clone(), at, text: text.to_vec(), time: self.now(), forged: false };
            self.note_message(message, bytes, sequence);
        }
        Ok(answer)
    }

    /// Submits an encrypted application message in the name of that device.
    pub(super) fn offer_message(
        &self,
        by: usize,
        bytes: &[u8],
    ) -> Result<Outcome, regrow_delivery_service::StoreError> {
        self.service.submit_message(&self.group, &self.devices[by].address, bytes, self.now())
    }

    /// The service has ordered an application message.
    pub(super) fn note_message(&mut self, message: Message, bytes: &[u8], sequence: Sequence) {
        if !self.is_new(sequence) {
            return;
        }
        let (number, epoch) = (self.sent.messages.len(), message.at.epoch);
        let sender = self.devices[message.at.sender].client.device();
        self.traffic.push(Traffic::new(TrafficKind::Message, epoch, Some(number), bytes).sent_by(sender));
        self.sent.by_id.insert(message.id.clone(), number);
        self.sent.by_sequence.insert(sequence, number);
        self.chronicle.message_ordered(number, bytes, &message.text);
        self.sent.messages.push(message);
    }

    /// Whether this entry of the log was not known yet. (The same bytes submitted again are the same entry.)
    fn is_new(&mut self, sequence: Sequence) -> bool {
        let new = sequence > self.last_sequence;
        self.last_sequence = self.last_sequence.max(sequence);
        new
    }

    fn answer(
        &self,
        outcome: Result<Outcome, regrow_delivery_service::StoreError>,
    ) -> Result<(Answer, Sequence), Failed> {
        match outcome.map_err(|e| Failed::new(FailCode::Rejected, e))? {
            Outcome::Accepted(receipt) => Ok((Answer::Accepted, receipt.sequence)),
            Outcome::Stale { .. } => Ok((Answer::Stale, Sequence(0))),
            Outcome::Rejected(regrow_delivery_service::RejectReason::NotAMember) => {
                Err(Failed::new(FailCode::NotAMember, "the delivery service has no such member in the group"))
            }
            Outcome::Rejected(reason @ regrow_delivery_service::RejectReason::Removed) => {
                Err(Failed::new(FailCode::Removed, reason))
            }
            Outcome::Rejected(reason) => {
                Err(Failed::new(FailCode::Rejected, format!("the delivery service refuses it: {reason}")))
            }
        }
    }

    /// A new epoch has begun: who is in it, as the service sees it.
    pub(super) fn note_epoch(&mut self) -> Result<(), Failed> {
        let roster = self.service.roster(&self.group).map_err(|e| Failed::new(FailCode::Rejected, e))?;
        let roster = roster.ok_or_else(|| Failed::new(FailCode::Rejected, "the service has lost the group"))?;
        let members =
            self.devices.iter().filter(|device| roster.devices.contains(&device.address)).map(|device| device.index);
        self.rosters.push(members.collect());
        if self.rosters.len() as u64 != roster.epoch.0 + 1 {
            let failure = Failure {
                place: self.place.clone(),
                expected: "one commit makes one epoch".into(),
                seen: format!("the service is in epoch {} after {} commits", roster.epoch.0, self.rosters.len() - 1),
                events: Vec::new(),
            };
            self.breaches.push(self.with_events(failure));
        }
        Ok(())
    }

    /// The group's epoch, as the service has it.
    pub(super) fn service_epoch(&self) -> u64 {
        self.rosters.len().saturating_sub(1) as u64
    }
}
