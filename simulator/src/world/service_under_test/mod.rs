//! The delivery service under test: submissions to it, its outcomes, and everything that it has
//! ordered.
//!
//! An adversary sees the ordered traffic. The `endpoint` is the service itself: the ordering code
//! in this process, or a server over the network.

mod endpoint;
mod interruptions;
mod lies;
mod local;
#[cfg(feature = "remote")]
mod remote;
mod second_history;
mod sent_messages;
mod shared_disk;
mod write_counter;

use std::{collections::BTreeSet, time::Duration};

use regrow_delivery_service::{
    CommitSubmission, DeviceId, HandshakeMode, Outcome, Receipt, RejectReason, Roster, RosterChange, Sequence,
    StoreError, Timestamp,
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
pub(super) use lies::{FalseRoster, StreamLie, Treatment};
pub(super) use sent_messages::{OrderedMessage, SentMessages};
pub(super) use shared_disk::SharedDisk;
pub(super) use write_counter::{WriteCounter, WrittenBytes};

use interruptions::Interruptions;
use lies::ServiceLies;
use local::LocalService;
use second_history::SecondHistory;

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
    pub(super) interruptions: Interruptions,
    pub(super) lies: ServiceLies,
    second: Option<SecondHistory<'s>>,
    /// The receipt of the last accepted submission, until its device takes it.
    receipt: Option<Receipt>,
    /// The shortest retention time that the service has had, in seconds.
    least_retention: u64,
    /// The latest time up to which the service has deleted expired records.
    pub(super) expired_until: Timestamp,
}

impl<'s> ServiceUnderTest<'s> {
    pub(super) fn new(endpoint: Endpoint<'s>) -> Result<Self, StepFailure> {
        let least_retention = endpoint.retention().as_secs();
        let group = GroupId::new(format!("{GROUP}{}", endpoint.suffix())).map_err(StepFailure::broken)?;
        Ok(Self {
            endpoint,
            group,
            rosters: Vec::new(),
            traffic: Vec::new(),
            sent: SentMessages::default(),
            last_sequence: Sequence(0),
            interruptions: Interruptions::default(),
            lies: ServiceLies::default(),
            second: None,
            receipt: None,
            least_retention,
            expired_until: Timestamp(0),
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

    /// The sequence of the latest log entry.
    pub(super) fn last_sequence(&self) -> Sequence {
        self.last_sequence
    }

    /// The group info that the service gives this device.
    pub(super) fn group_info(&self, device: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.endpoint_of(device).group_info(&self.group)
    }

    /// The roster that the service tells this device.
    pub(super) fn told_roster(&self, device: usize) -> Result<Option<Roster>, StoreError> {
        let roster = self.endpoint_of(device).roster(&self.group)?;
        Ok(roster.map(|roster| self.lies.told_roster(device, roster)))
    }

    /// The treatment of an entry on its way to a device.
    pub(super) fn treatment(&self, device: usize, sequence: Sequence) -> Treatment {
        self.lies.treatment(device, sequence)
    }

    /// True if the service still lies about the stream of a device.
    pub(super) fn is_stream_false(&self, device: usize) -> bool {
        self.lies.is_stream_false(device, self.last_sequence)
    }

    /// The application message in an entry that the device sees, with its index.
    pub(super) fn message_at(&self, device: usize, sequence: Sequence) -> Option<(usize, &OrderedMessage)> {
        let number = self.message_number(device, sequence)?;
        Some((number, self.sent.list.get(number)?))
    }

    /// Takes the receipt of the submission that the service has just accepted.
    pub(super) fn take_receipt(&mut self) -> Option<Receipt> {
        self.receipt.take()
    }

    /// The shortest retention time that the service has had, in seconds.
    pub(super) fn least_retention(&self) -> u64 {
        self.least_retention
    }

    pub(super) fn set_retention(&mut self, time: Duration) -> Result<(), StoreError> {
        self.least_retention = self.least_retention.min(time.as_secs());
        self.endpoint.set_retention(time)
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
        let (mode, group): (HandshakeMode, _) = (creator.handshake_mode(), self.group.clone());
        let outcome = self.submit(creator, recorder, |endpoint| {
            endpoint.create_group(&group, &creator.address, mode, group_info, now)
        })?;
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
        let submission = self.commit_submission(&devices[by].address, pending);
        let outcome = self.submit(&devices[by], recorder, |endpoint| endpoint.submit_commit(&submission, now))?;
        let (outcome, sequence) = accepted_or_stale(outcome)?;
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
            self.note_fork();
            if !self.is_in_second_history(by) {
                self.commit_ordered(devices, by, pending, sequence, recorder)?;
            }
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
        self.endpoint.count_writes();
        self.endpoint.submit_commit(&self.commit_submission(sender, pending), now)
    }

    fn commit_submission(&self, sender: &DeviceId, pending: &PendingCommit) -> CommitSubmission {
        CommitSubmission {
            group: self.group.clone(),
            sender: sender.clone(),
            commit: pending.commit().to_vec(),
            welcome: pending.welcome().map(<[u8]>::to_vec),
            group_info: pending.group_info().map(<[u8]>::to_vec),
            roster_change: RosterChange {
                added: pending.added().cloned().collect(),
                removed: pending.removed().cloned().collect(),
            },
        }
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
        let group = self.group.clone();
        let outcome =
            self.submit(sender, recorder, |endpoint| endpoint.submit_proposal(&group, &sender.address, bytes, now))?;
        let (outcome, sequence) = accepted_or_stale(outcome)?;
        recorder.tell(TranscriptEvent::submitted(&sender.name, TrafficKind::Proposal, None, epoch, outcome, bytes));
        if outcome == SubmissionOutcome::Accepted && self.is_in_second_history(by) {
            self.note_fork();
        } else if outcome == SubmissionOutcome::Accepted && self.is_new(sequence) {
            self.note_fork();
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
        let EncryptedMessage { id, at, text, bytes, receipt } = message;
        let (sender, group) = (&devices[at.sender], self.group.clone());
        let outcome =
            self.submit(sender, recorder, |endpoint| endpoint.submit_message(&group, &sender.address, bytes, now))?;
        let (outcome, sequence) = accepted_or_stale(outcome)?;
        let kind = TrafficKind::Message;
        recorder.tell(TranscriptEvent::submitted(&sender.name, kind, Some(id), at.epoch, outcome, bytes));
        if outcome == SubmissionOutcome::Accepted {
            let in_first = !self.is_in_second_history(at.sender);
            let message = OrderedMessage {
                id: id.clone(),
                at: *at,
                text: text.clone(),
                kept_until: self.kept_until(now),
                receipt: receipt.clone(),
                in_first,
                forged: false,
            };
            match in_first {
                true => self.message_ordered(devices, message, bytes, sequence, recorder),
                false => {
                    let number = self.sent.push(message, bytes.len() as u64, sequence);
                    self.note_in_second(sequence, number);
                }
            }
            if let Some(number) = self.message_number(at.sender, sequence) {
                self.relay(devices, at.sender, number, bytes, now)?;
            }
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

    /// The time until which the service keeps an entry of this moment.
    pub(super) fn kept_until(&self, now: Timestamp) -> Timestamp {
        self.endpoint.time(now).plus(self.endpoint.retention().as_secs())
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
