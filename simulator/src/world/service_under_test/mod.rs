//! The delivery service under test: submissions to it, its outcomes, and everything that it has
//! ordered.
//!
//! An adversary sees the ordered traffic. The `endpoint` is the service itself: the ordering code
//! in this process, or a server over the network.

mod endpoint;
#[cfg(feature = "remote")]
mod remote;
mod sent_messages;
mod write_counter;

use std::collections::BTreeSet;

use regrow_delivery_service::{
    CommitSubmission, DeviceId, HandshakeMode, Outcome, RejectReason, RosterChange, Sequence, StoreError, Timestamp,
};
use regrow_engine::{GroupId, PendingCommit, ProposalMessage};

use super::{
    cost_recorder::OrderedBy,
    device::Device,
    devices::Devices,
    event::{TranscriptEvent, fingerprint},
    recorder::Recorder,
    step_failure::StepFailure,
    submission::{EncryptedMessage, SubmissionOutcome},
};
use crate::{
    adversary::{Traffic, TrafficKind},
    scenario::FailCode,
};

pub(super) use endpoint::Endpoint;
pub use endpoint::{UnusableService, check_service};
pub(super) use sent_messages::{OrderedMessage, SentMessages};
pub(super) use write_counter::{WriteCounter, WrittenBytes};

/// The name of the one group.
const GROUP: &str = "group";

/// The service, and the record of all that it has ordered.
pub(super) struct ServiceUnderTest<'s> {
    pub(super) endpoint: Endpoint<'s>,
    group: GroupId,
    /// The members of each epoch.
    pub(super) rosters: Vec<BTreeSet<usize>>,
    /// All ordered entries, as an adversary sees them.
    traffic: Vec<Traffic>,
    pub(super) sent: SentMessages,
    /// The sequence of the latest log entry that the world knows.
    last_sequence: Sequence,
}

impl<'s> ServiceUnderTest<'s> {
    pub(super) fn new(endpoint: Endpoint<'s>) -> Result<Self, StepFailure> {
        let group = GroupId::new(format!("{GROUP}{}", endpoint.suffix())).map_err(StepFailure::broken)?;
        Ok(Self {
            endpoint,
            group,
            rosters: Vec::new(),
            traffic: Vec::new(),
            sent: SentMessages::default(),
            last_sequence: Sequence(0),
        })
    }

    pub(super) fn group(&self) -> &GroupId {
        &self.group
    }

    /// The group's epoch at the service.
    pub(super) fn epoch(&self) -> u64 {
        self.rosters.len().saturating_sub(1) as u64
    }

    /// True if the group has been created.
    pub(super) fn has_group(&self) -> bool {
        !self.rosters.is_empty()
    }

    /// The members of the group in its present epoch.
    pub(super) fn roster(&self) -> BTreeSet<usize> {
        self.rosters.last().cloned().unwrap_or_default()
    }

    /// The number of members in the present epoch.
    pub(super) fn member_count(&self) -> usize {
        self.rosters.last().map_or(0, BTreeSet::len)
    }

    /// True if the device was a member in that epoch; [`None`] if the epoch does not exist.
    pub(super) fn was_member(&self, device: usize, epoch: u64) -> Option<bool> {
        Some(self.rosters.get(epoch as usize)?.contains(&device))
    }

    pub(super) fn traffic(&self) -> &[Traffic] {
        &self.traffic
    }

    #[cfg(test)]
    pub(super) fn last_sequence(&self) -> Sequence {
        self.last_sequence
    }

    pub(super) fn group_info(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.endpoint.group_info(&self.group)
    }

    /// Creates the group.
    pub(super) fn create_group(
        &mut self,
        devices: &Devices,
        by: usize,
        group_info: &[u8],
        now: Timestamp,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        let creator = &devices[by];
        let mode: HandshakeMode = creator.handshake_mode();
        self.endpoint.count_writes();
        let outcome = self.endpoint.create_group(&self.group, &creator.address, mode, group_info, now)?;
        accepted_or_stale(outcome)?;
        if self.rosters.is_empty() {
            self.rosters.push([by].into());
            recorder.costs.group_created(&self.ordered_by(creator, recorder.elapsed()), group_info);
        }
        recorder.tell(TranscriptEvent::Group { by: creator.name.clone(), group_info: fingerprint(group_info) });
        Ok(())
    }

    pub(super) fn submit_commit(
        &mut self,
        devices: &Devices,
        by: usize,
        pending: &PendingCommit,
        now: Timestamp,
        recorder: &mut Recorder<'_>,
    ) -> Result<SubmissionOutcome, StepFailure> {
        let (outcome, sequence) = accepted_or_stale(self.offer_commit(&devices[by].address, pending, now)?)?;
        recorder.tell(TranscriptEvent::Submitted {
            by: devices[by].name.clone(),
            kind: TrafficKind::Commit,
            id: None,
            epoch: pending.epoch().0,
            answer: outcome.name(),
            bytes: pending.commit().len(),
            sha256: fingerprint(pending.commit()),
            welcome: pending.welcome().map(fingerprint),
            group_info: pending.group_info().map(fingerprint),
        });
        if outcome == SubmissionOutcome::Accepted {
            self.commit_ordered(devices, by, pending, sequence, recorder)?;
        }
        Ok(outcome)
    }

    /// Submits a commit in the name of a device, and records nothing.
    pub(super) fn offer_commit(
        &self,
        sender: &DeviceId,
        pending: &PendingCommit,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let submission = CommitSubmission {
            group: self.group.clone(),
            sender: sender.clone(),
            commit: pending.commit().to_vec(),
            welcome: pending.welcome().map(<[u8]>::to_vec),
            group_info: pending.group_info().map(<[u8]>::to_vec),
            roster_change: RosterChange {
                added: pending.added().cloned().collect(),
                removed: pending.removed().cloned().collect(),
            },
        };
        self.endpoint.count_writes();
        self.endpoint.submit_commit(&submission, now)
    }

    /// Records a commit that the service has ordered. A known entry changes nothing.
    pub(super) fn commit_ordered(
        &mut self,
        devices: &Devices,
        by: usize,
        pending: &PendingCommit,
        sequence: Sequence,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        if !self.is_new(sequence) {
            return Ok(());
        }
        recorder.costs.commit_ordered(&self.ordered_by(&devices[by], recorder.elapsed()), sequence, pending);
        self.begin_epoch(devices, recorder)?;
        recorder.facts.commit_ordered(sequence, pending);
        let (epoch, sender) = (pending.epoch().0, devices[by].client.device());
        self.traffic.push(Traffic::new(TrafficKind::Commit, epoch, None, pending.commit()).sent_by(sender));
        if let Some(welcome) = pending.welcome() {
            self.traffic.push(Traffic::new(TrafficKind::Welcome, epoch + 1, None, welcome).sent_by(sender));
        }
        Ok(())
    }

    pub(super) fn submit_proposal(
        &mut self,
        devices: &Devices,
        by: usize,
        proposal: &ProposalMessage,
        now: Timestamp,
        recorder: &mut Recorder<'_>,
    ) -> Result<SubmissionOutcome, StepFailure> {
        let (sender, bytes, epoch) = (&devices[by], proposal.as_bytes(), proposal.epoch().0);
        self.endpoint.count_writes();
        let outcome = self.endpoint.submit_proposal(&self.group, &sender.address, bytes, now)?;
        let (outcome, sequence) = accepted_or_stale(outcome)?;
        recorder.tell(TranscriptEvent::submitted(&sender.name, TrafficKind::Proposal, None, epoch, outcome, bytes));
        if outcome == SubmissionOutcome::Accepted && self.is_new(sequence) {
            recorder.costs.proposal_ordered(&self.ordered_by(sender, recorder.elapsed()), sequence, epoch, bytes);
            recorder.facts.proposal_ordered(by, bytes);
            let entry = Traffic::new(TrafficKind::Proposal, epoch, None, bytes);
            self.traffic.push(entry.sent_by(sender.client.device()));
        }
        Ok(outcome)
    }

    pub(super) fn submit_message(
        &mut self,
        devices: &Devices,
        message: &EncryptedMessage,
        now: Timestamp,
        recorder: &mut Recorder<'_>,
    ) -> Result<SubmissionOutcome, StepFailure> {
        let EncryptedMessage { id, at, text, bytes } = message;
        let sender = &devices[at.sender];
        let (outcome, sequence) = accepted_or_stale(self.offer_message(&sender.address, bytes, now)?)?;
        let kind = TrafficKind::Message;
        recorder.tell(TranscriptEvent::submitted(&sender.name, kind, Some(id), at.epoch, outcome, bytes));
        if outcome == SubmissionOutcome::Accepted {
            let message = OrderedMessage { id: id.clone(), at: *at, text: text.clone(), time: now, forged: false };
            self.message_ordered(devices, message, bytes, sequence, recorder);
        }
        Ok(outcome)
    }

    /// Submits an encrypted application message in the name of a device, and records nothing.
    pub(super) fn offer_message(&self, sender: &DeviceId, bytes: &[u8], now: Timestamp) -> Result<Outcome, StoreError> {
        self.endpoint.submit_message(&self.group, sender, bytes, now)
    }

    /// Records an application message that the service has ordered. A known entry changes nothing.
    pub(super) fn message_ordered(
        &mut self,
        devices: &Devices,
        message: OrderedMessage,
        bytes: &[u8],
        sequence: Sequence,
        recorder: &mut Recorder<'_>,
    ) {
        if !self.is_new(sequence) {
            return;
        }
        let (number, epoch) = (self.sent.list.len(), message.at.epoch);
        let sender = devices[message.at.sender].client.device();
        self.traffic.push(Traffic::new(TrafficKind::Message, epoch, Some(number), bytes).sent_by(sender));
        recorder.facts.message_ordered(number, bytes, &message.text);
        self.sent.push(message, bytes.len() as u64, sequence);
    }

    /// The moment and the sender of the entry that the service has just ordered.
    fn ordered_by<'d>(&self, sender: &'d Device, time: u64) -> OrderedBy<'d> {
        OrderedBy {
            time,
            who: &sender.name,
            device: &sender.address,
            number: sender.index,
            written: self.endpoint.written(),
        }
    }

    /// True if the log entry was unknown. (The service gives the same bytes the same entry again.)
    fn is_new(&mut self, sequence: Sequence) -> bool {
        let new = sequence > self.last_sequence;
        self.last_sequence = self.last_sequence.max(sequence);
        new
    }

    /// Reads the roster of a new epoch from the service.
    pub(super) fn begin_epoch(&mut self, devices: &Devices, recorder: &mut Recorder<'_>) -> Result<(), StepFailure> {
        let roster = self.endpoint.roster(&self.group)?;
        let roster = roster.ok_or_else(|| StepFailure::rejected("the service has lost the group"))?;
        let members = devices.iter().filter(|device| roster.devices.contains(&device.address));
        self.rosters.push(members.map(|device| device.index).collect());
        if self.rosters.len() as u64 != roster.epoch.0 + 1 {
            recorder.breach(
                "one commit makes one epoch",
                format!("the service is in epoch {} after {} commits", roster.epoch.0, self.rosters.len() - 1),
            );
        }
        Ok(())
    }
}

/// The outcome with the sequence of the log entry. A rejection becomes a failure.
fn accepted_or_stale(outcome: Outcome) -> Result<(SubmissionOutcome, Sequence), StepFailure> {
    match outcome {
        Outcome::Accepted(receipt) => Ok((SubmissionOutcome::Accepted, receipt.sequence)),
        Outcome::Stale { .. } => Ok((SubmissionOutcome::Stale, Sequence(0))),
        Outcome::Rejected(RejectReason::NotAMember) => {
            Err(StepFailure::new(FailCode::NotAMember, "the delivery service has no such member in the group"))
        }
        Outcome::Rejected(reason @ RejectReason::Removed) => Err(StepFailure::new(FailCode::Removed, reason)),
        Outcome::Rejected(reason) => Err(StepFailure::rejected(format!("the delivery service refuses it: {reason}"))),
    }
}
