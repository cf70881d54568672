//! The delivery service under test: submissions to it, its outcomes, and everything that it has
//! ordered.
//!
//! An adversary sees the ordered traffic. The `endpoint` is the service itself: the ordering code
//! in this process, or a server over the network.

mod endpoint;
mod group_record;
mod interruptions;
mod lies;
mod local;
#[cfg(feature = "remote")]
mod remote;
mod second_history;
mod sent_messages;
mod shared_disk;
mod write_counter;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use regrow_delivery_service::{
    CommitSubmission, Delivery, DeviceId, HandshakeMode, Outcome, Receipt, RejectReason, Roster, RosterChange,
    Sequence, StoreError, Timestamp,
};
use regrow_engine::{GroupId, PendingCommit, ProposalMessage};

use super::{
    cost_recorder::OrderedBy,
    device::Device,
    devices::Devices,
    event::{TranscriptEvent, fingerprint, of_group},
    recorder::Recorder,
    step_failure::StepFailure,
    submission::{EncryptedMessage, SubmissionOutcome},
};
use crate::{
    adversary::{Traffic, TrafficKind},
    scenario::{FailCode, GroupName, MessageId},
};

pub(super) use endpoint::Endpoint;
pub use endpoint::{UnusableService, check_service};
pub(super) use group_record::GroupRecord;
pub(super) use lies::{FalseRoster, Positions, StreamLie, Treatment};
pub(super) use sent_messages::{OrderedMessage, SentMessages};
pub(super) use shared_disk::SharedDisk;
pub(super) use write_counter::{WriteCounter, WrittenBytes};

use interruptions::Interruptions;
use lies::ServiceLies;
use local::LocalService;
use second_history::{SecondHistory, WaitingMessage};

/// The service, and the record of all that it has ordered.
pub(super) struct ServiceUnderTest<'s> {
    pub(super) endpoint: Endpoint<'s>,
    /// The groups that have been created.
    pub(super) groups: BTreeMap<GroupId, GroupRecord>,
    /// All ordered entries of all groups, as an adversary sees them.
    traffic: Vec<Traffic>,
    pub(super) sent: SentMessages,
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
    pub(super) fn new(endpoint: Endpoint<'s>) -> Self {
        let least_retention = endpoint.retention().as_secs();
        Self {
            endpoint,
            groups: BTreeMap::new(),
            traffic: Vec::new(),
            sent: SentMessages::default(),
            interruptions: Interruptions::default(),
            lies: ServiceLies::default(),
            second: None,
            receipt: None,
            least_retention,
            expired_until: Timestamp(0),
        }
    }

    /// The identifier of the group with this name.
    pub(super) fn id_of(&self, group: &GroupName) -> Result<GroupId, StepFailure> {
        GroupId::new(format!("{group}{}", self.endpoint.suffix())).map_err(StepFailure::broken)
    }

    /// The epoch of a group at the service.
    pub(super) fn epoch(&self, group: &GroupId) -> u64 {
        self.groups.get(group).map_or(0, GroupRecord::epoch)
    }

    /// The members of a group in its present epoch.
    pub(super) fn roster(&self, group: &GroupId) -> BTreeSet<usize> {
        self.groups.get(group).map(GroupRecord::roster).unwrap_or_default()
    }

    /// The number of members in the present epochs of all groups together.
    pub(super) fn member_count(&self) -> usize {
        self.groups.values().filter_map(|group| group.rosters.last()).map(BTreeSet::len).sum()
    }

    /// True if the device was a member in that epoch of a group; [`None`] if the epoch does not
    /// exist.
    pub(super) fn was_member(&self, device: usize, group: &GroupId, epoch: u64) -> Option<bool> {
        Some(self.groups.get(group)?.rosters.get(epoch as usize)?.contains(&device))
    }

    /// The name of a group. [`None`] for the group of the steps that name no group.
    pub(super) fn label(&self, group: &GroupId) -> Option<GroupName> {
        self.groups.get(group)?.label().cloned()
    }

    pub(super) fn traffic(&self) -> &[Traffic] {
        &self.traffic
    }

    /// The sequence of the latest log entry of a group.
    pub(super) fn last_sequence(&self, group: &GroupId) -> Sequence {
        self.groups.get(group).map_or(Sequence(0), |group| group.last_sequence)
    }

    /// The latest log entry of each group.
    pub(super) fn positions(&self) -> Positions {
        self.groups.iter().map(|(id, group)| (id.clone(), group.last_sequence)).collect()
    }

    /// The present epoch of each group.
    pub(super) fn epochs(&self) -> BTreeMap<GroupId, u64> {
        self.groups.iter().map(|(id, group)| (id.clone(), group.epoch())).collect()
    }

    /// The roster of a group that the service tells this device.
    pub(super) fn told_roster(&self, device: usize, group: &GroupId) -> Result<Option<Roster>, StoreError> {
        let roster = self.endpoint_of(device).roster(group)?;
        Ok(roster.map(|roster| self.lies.told_roster(device, roster)))
    }

    /// The treatment of an entry on its way to a device.
    pub(super) fn treatment(&self, device: usize, delivery: &Delivery) -> Treatment {
        self.lies.treatment(device, &delivery.group, delivery.receipt.sequence)
    }

    /// True if the service still lies about the entries of a group to a device.
    pub(super) fn is_stream_false(&self, device: usize, group: &GroupId) -> bool {
        self.lies.is_stream_false(device, group, self.last_sequence(group))
    }

    /// The application message in an entry that the device sees, with its index.
    pub(super) fn message_at(
        &self,
        device: usize,
        group: &GroupId,
        sequence: Sequence,
    ) -> Option<(usize, &OrderedMessage)> {
        let number = self.message_number(device, group, sequence)?;
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

    /// Creates a group.
    pub(super) fn create_group(
        &mut self,
        name: &GroupName,
        devices: &Devices,
        by: usize,
        group_info: &[u8],
        now: Timestamp,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        let (id, creator) = (self.id_of(name)?, &devices[by]);
        let mode: HandshakeMode = creator.handshake_mode();
        let outcome = self.submit(&id, creator, recorder, |endpoint| {
            endpoint.create_group(&id, &creator.address, mode, group_info, now)
        })?;
        accepted_or_stale(outcome)?;
        if !self.groups.contains_key(&id) {
            self.groups.insert(id.clone(), GroupRecord::new(name.clone(), by));
            recorder.costs.group_created(&id, &self.ordered_by(&id, creator, recorder.elapsed()), group_info);
        }
        recorder.tell(TranscriptEvent::Group {
            by: creator.name.clone(),
            group: self.label(&id),
            group_info: fingerprint(group_info),
        });
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
        let submission = commit_submission(&devices[by].address, pending);
        let offer = |endpoint: &Endpoint<'_>| endpoint.submit_commit(&submission, now);
        let outcome = self.submit(pending.group(), &devices[by], recorder, offer)?;
        let (outcome, sequence) = accepted_or_stale(outcome)?;
        recorder.tell(TranscriptEvent::Submitted {
            by: devices[by].name.clone(),
            kind: TrafficKind::Commit,
            group: self.label(pending.group()),
            id: devices[by].naming.clone(),
            epoch: pending.epoch().0,
            answer: outcome.name(),
            bytes: pending.commit().len(),
            sha256: fingerprint(pending.commit()),
            welcome: pending.welcome().map(fingerprint),
            group_info: pending.group_info().map(fingerprint),
        });
        if outcome == SubmissionOutcome::Accepted {
            self.name_handshake(pending.group(), sequence, &devices[by]);
            self.note_fork(pending.group());
            if !self.is_in_second_history(by) {
                self.commit_ordered(devices, by, pending, sequence, self.kept_until(now), recorder)?;
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
        self.endpoint.submit_commit(&commit_submission(sender, pending), now)
    }

    /// Records a commit that the service has ordered. A known entry changes nothing.
    pub(super) fn commit_ordered(
        &mut self,
        devices: &Devices,
        by: usize,
        pending: &PendingCommit,
        sequence: Sequence,
        kept_until: Timestamp,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        let group = pending.group();
        if !self.is_new(group, sequence, kept_until) {
            return Ok(());
        }
        recorder.costs.commit_ordered(&self.ordered_by(group, &devices[by], recorder.elapsed()), sequence, pending);
        self.begin_epoch(group, devices, recorder)?;
        recorder.facts.commit_ordered(sequence, pending);
        let (epoch, sender) = (pending.epoch().0, devices[by].client.device());
        self.traffic.push(Traffic::new(group, TrafficKind::Commit, epoch, None, pending.commit()).sent_by(sender));
        if let Some(welcome) = pending.welcome() {
            let entry = Traffic::new(group, TrafficKind::Welcome, epoch + 1, None, welcome);
            self.traffic.push(entry.sent_by(sender));
        }
        Ok(())
    }

    pub(super) fn submit_proposal(
        &mut self,
        group: &GroupId,
        devices: &Devices,
        by: usize,
        proposal: &ProposalMessage,
        now: Timestamp,
        recorder: &mut Recorder<'_>,
    ) -> Result<SubmissionOutcome, StepFailure> {
        let (sender, bytes, epoch) = (&devices[by], proposal.as_bytes(), proposal.epoch().0);
        let outcome = self
            .submit(group, sender, recorder, |endpoint| endpoint.submit_proposal(group, &sender.address, bytes, now))?;
        let (outcome, sequence) = accepted_or_stale(outcome)?;
        let (kind, label) = (TrafficKind::Proposal, self.label(group));
        let id = sender.naming.as_ref();
        recorder.tell(TranscriptEvent::submitted(&sender.name, kind, label, id, epoch, outcome, bytes));
        if outcome == SubmissionOutcome::Accepted {
            self.name_handshake(group, sequence, sender);
        }
        if outcome == SubmissionOutcome::Accepted && self.is_in_second_history(by) {
            self.note_fork(group);
        } else if outcome == SubmissionOutcome::Accepted && self.is_new(group, sequence, self.kept_until(now)) {
            self.note_fork(group);
            let ordered_by = self.ordered_by(group, sender, recorder.elapsed());
            recorder.costs.proposal_ordered(group, &ordered_by, sequence, epoch, bytes);
            recorder.facts.proposal_ordered(by, bytes);
            let entry = Traffic::new(group, TrafficKind::Proposal, epoch, None, bytes);
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
        let EncryptedMessage { id, group, at, text, bytes, receipt } = message;
        let sender = &devices[at.sender];
        let outcome = self
            .submit(group, sender, recorder, |endpoint| endpoint.submit_message(group, &sender.address, bytes, now))?;
        let (outcome, sequence) = accepted_or_stale(outcome)?;
        let (kind, label) = (TrafficKind::Message, self.label(group));
        recorder.tell(TranscriptEvent::submitted(&sender.name, kind, label, Some(id), at.epoch, outcome, bytes));
        if outcome == SubmissionOutcome::Accepted {
            let in_first = !self.is_in_second_history(at.sender);
            let message = OrderedMessage {
                id: id.clone(),
                group: group.clone(),
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
                    let number = self.sent.push(message, bytes.len() as u64);
                    self.note_in_second(group, sequence, number);
                }
            }
            if let Some(number) = self.message_number(at.sender, group, sequence) {
                let sender = sender.address.clone();
                let message = WaitingMessage { number, group: group.clone(), sender, bytes: bytes.clone() };
                self.relay(at.sender, message, now)?;
            }
        }
        Ok(outcome)
    }

    /// Submits an encrypted application message in the name of a device, and records nothing.
    pub(super) fn offer_message(
        &self,
        group: &GroupId,
        sender: &DeviceId,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        self.endpoint.submit_message(group, sender, bytes, now)
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
        if !self.is_new(&message.group, sequence, message.kept_until) {
            return;
        }
        if self.sent.number(&message.id).is_some() {
            recorder.breach("the service orders each message once", format!("it has ordered {} twice", message.id));
        }
        let (number, epoch) = (self.sent.list.len(), message.at.epoch);
        let sender = devices[message.at.sender].client.device();
        let entry = Traffic::new(&message.group, TrafficKind::Message, epoch, Some(number), bytes);
        self.traffic.push(entry.sent_by(sender));
        recorder.facts.message_ordered(number, bytes, &message.text);
        if let Some(group) = self.groups.get_mut(&message.group) {
            group.messages.insert(sequence, number);
        }
        self.sent.push(message, bytes.len() as u64);
    }

    /// Records the name that the scenario gives to a handshake.
    fn name_handshake(&mut self, group: &GroupId, sequence: Sequence, maker: &Device) {
        if let (Some(id), Some(group)) = (&maker.naming, self.groups.get_mut(group)) {
            group.handshakes.insert(sequence, id.clone());
        }
    }

    /// The name of the message or handshake in a log entry of a group, as this device reads it.
    pub(super) fn name_of(&self, reader: usize, group: &GroupId, sequence: Sequence) -> Option<&MessageId> {
        let message = self.message_at(reader, group, sequence).map(|(_, message)| &message.id);
        message.or_else(|| self.groups.get(group)?.handshakes.get(&sequence))
    }

    /// True if the service may have deleted an entry of the group after this one, because its time is
    /// over.
    pub(super) fn may_have_deleted_after(&self, group: &GroupId, sequence: u64) -> bool {
        let group = self.groups.get(group);
        group.is_some_and(|group| group.may_have_deleted_after(Sequence(sequence), self.expired_until))
    }

    /// The time until which the service keeps an entry of this moment.
    pub(super) fn kept_until(&self, now: Timestamp) -> Timestamp {
        self.endpoint.time(now).plus(self.endpoint.retention().as_secs())
    }

    /// The moment and the sender of the entry that the service has just ordered.
    fn ordered_by<'d>(&self, group: &GroupId, sender: &'d Device, time: u64) -> OrderedBy<'d> {
        OrderedBy {
            group: self.label(group).unwrap_or_default(),
            time,
            who: &sender.name,
            device: &sender.address,
            number: sender.index,
            written: self.endpoint.written(),
        }
    }

    /// True if the log entry of a group was unknown.
    fn is_new(&mut self, group: &GroupId, sequence: Sequence, kept_until: Timestamp) -> bool {
        self.groups.get_mut(group).is_some_and(|group| group.is_new(sequence, kept_until))
    }

    /// Reads the roster of a new epoch of a group from the service.
    pub(super) fn begin_epoch(
        &mut self,
        group: &GroupId,
        devices: &Devices,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), StepFailure> {
        let lost = || StepFailure::rejected("the service has lost the group");
        let roster = self.endpoint.roster(group)?.ok_or_else(lost)?;
        let record = self.groups.get_mut(group).ok_or_else(lost)?;
        let members = devices.iter().filter(|device| roster.devices.contains(&device.address));
        record.rosters.push(members.map(|device| device.index).collect());
        if record.epoch() != roster.epoch.0 {
            recorder.breach_in(
                record.label(),
                format!("one commit makes one epoch{}", of_group(record.label())),
                format!("the service is in epoch {} after {} commits", roster.epoch.0, record.epoch()),
            );
        }
        Ok(())
    }
}

fn commit_submission(sender: &DeviceId, pending: &PendingCommit) -> CommitSubmission {
    CommitSubmission {
        group: pending.group().clone(),
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
