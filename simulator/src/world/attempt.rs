//! One attempt of a device: it makes a submission, submits it, and confirms it or starts again.
//!
//! ```text
//! make -> submit -> accepted -> confirm -> done
//!   ^        |
//!   |        +----> stale: the epoch is over
//!   +--- catch up <---+
//!
//! crash at any point -> restart -> recover -> submit
//! ```
//!
//! The functions stand in this order.

use regrow_engine::{Client, Error, GroupId, JoinMessage, Outgoing, PendingCommit, ProposalMessage};

use super::{
    device_group::DeviceGroup,
    event::TranscriptEvent,
    state::World,
    step_failure::StepFailure,
    submission::{EncryptedMessage, Submission, SubmissionOutcome, WantedProposal},
    told_events::ToldEvent,
    window::MessagePosition,
};
use crate::{
    cost::{ChangeCounts, CostCounts, Operation},
    scenario::{CrashPoint, FailCode, MessageId},
};

/// The number of attempts before a submission is given up. Members cannot get in each other's way
/// more often than that.
const ATTEMPTS: u32 = 1000;

/// The state of a submission after one attempt.
pub(super) enum Attempted {
    /// The service has accepted it, or nothing is left to do.
    Done,
    /// Its epoch is over.
    Stale(Submission),
}

impl World<'_> {
    /// Makes a commit. The same scenario and seed give the same commit, byte for byte.
    pub(super) fn make_commit(
        &mut self,
        device: usize,
        make: impl Fn(&mut Client) -> Result<PendingCommit, Error>,
    ) -> Result<PendingCommit, StepFailure> {
        let pending = self.devices[device].make_in_order(&mut self.recorder, make, |pending| pending.changes())?;
        self.note_made(device, &pending);
        Ok(pending)
    }

    /// Makes the external commit by which a device joins a group in its present epoch.
    pub(super) fn make_external_commit(
        &mut self,
        group: &GroupId,
        device: usize,
    ) -> Result<PendingCommit, StepFailure> {
        self.ask(device)?;
        let info = self.service.endpoint_of(device).group_info(group)?;
        let missing = || {
            let detail = "the delivery service has no group info; set `publish_group_info` of the `group` to true";
            StepFailure::new(FailCode::NoGroupInfo, detail)
        };
        let info = info.ok_or_else(missing)?;
        let endpoint = self.service.endpoint_of(device);
        let join = |client: &mut Client| match client.join_external(&info) {
            Err(Error::NeedsRatchetTree { group, epoch }) => {
                let tree = endpoint.ratchet_tree(&group, client.device(), epoch);
                let tree = tree.ok().flatten().ok_or(Error::NeedsRatchetTree { group, epoch })?;
                client.join_external(JoinMessage::with_tree(&info, &tree))
            }
            joined => joined,
        };
        let pending = self.devices[device].persist(&mut self.recorder, Operation::ExternalCommit, join)?;
        self.note_made(device, &pending);
        Ok(pending)
    }

    /// Makes a proposal.
    pub(super) fn make_proposal(
        &mut self,
        group: &GroupId,
        device: usize,
        what: WantedProposal,
    ) -> Result<Submission, StepFailure> {
        let now = self.now_of(device);
        let proposal = self.devices[device].persist(&mut self.recorder, Operation::Proposal, |client| {
            let mut group = client.group(group)?;
            match &what {
                WantedProposal::Add(key_package) => group.propose_add(key_package, now),
                WantedProposal::Remove(member) => group.propose_remove(member),
                WantedProposal::Update => group.propose_update(),
                WantedProposal::Leave => match group.resume()? {
                    // The engine still has the intent, if its last proposal came too late.
                    Some(Outgoing::Proposal(proposal)) => Ok(proposal),
                    _ => group.leave(),
                },
            }
        })?;
        Ok(self.note_proposed(group, device, proposal, what))
    }

    /// Encrypts an application message.
    pub(super) fn make_message(
        &mut self,
        group: &GroupId,
        device: usize,
        id: MessageId,
        text: Vec<u8>,
    ) -> Result<Submission, StepFailure> {
        let sender = &mut self.devices[device];
        let (epoch, bytes) = sender.persist(&mut self.recorder, Operation::Send, |client| {
            let mut group = client.group(group)?;
            Ok((group.epoch()?.0, group.send(&text)?))
        })?;
        self.recorder.facts.encrypted(device, group, &bytes);
        let receipt = sender.checks.as_ref().and_then(|checks| checks.latest(group)).map(Box::new);
        let generation = sender.in_group(group).generations.take(epoch);
        let at = MessagePosition { sender: device, epoch, generation };
        Ok(Submission::Message(EncryptedMessage { id, group: group.clone(), at, text, bytes, receipt }))
    }

    /// Makes the commit or proposal for the intents that the engine still has in a group.
    pub(super) fn make_from_intents(
        &mut self,
        group: &GroupId,
        device: usize,
    ) -> Result<Option<Submission>, StepFailure> {
        // The intents wait until the device has rejoined.
        let DeviceGroup { lost, locked_out, .. } = *self.devices[device].in_group(group);
        if lost || locked_out || self.devices[device].epoch(group).is_none() {
            return Ok(None);
        }
        let next = self.devices[device].make_in_order(
            &mut self.recorder,
            |client| client.group(group)?.resume(),
            |next| match next {
                Some(Outgoing::Commit(pending)) => pending.changes(),
                _ => &[],
            },
        )?;
        Ok(match next {
            Some(Outgoing::Commit(pending)) => {
                self.note_made(device, &pending);
                Some(Submission::Commit(pending))
            }
            Some(Outgoing::Proposal(proposal)) => {
                Some(self.note_proposed(group, device, proposal, WantedProposal::Leave))
            }
            None => None,
        })
    }

    /// Records a commit that a device has just made, and the counts of its making.
    fn note_made(&mut self, device: usize, pending: &PendingCommit) {
        self.note_made_with(device, pending, self.devices[device].log.present());
    }

    /// Records a commit that a device has just made, with these counts of its making.
    pub(super) fn note_made_with(&mut self, device: usize, pending: &PendingCommit, counts: CostCounts) {
        self.recorder.costs.made(pending.commit(), counts, ChangeCounts::of(pending.changes()));
        self.note_prepared(device, pending);
    }

    /// Records a proposal that a device has just made, and the counts of its making.
    fn note_proposed(
        &mut self,
        group: &GroupId,
        device: usize,
        proposal: ProposalMessage,
        what: WantedProposal,
    ) -> Submission {
        let (bytes, counts) = (proposal.as_bytes(), self.devices[device].log.present());
        self.recorder.costs.made(bytes, counts, what.changes());
        self.recorder.facts.proposed(device, group, bytes, matches!(what, WantedProposal::Update));
        Submission::Proposal(group.clone(), proposal, what)
    }

    /// Records a commit that a device, or a thief, has made.
    pub(super) fn note_prepared(&mut self, number: usize, pending: &PendingCommit) {
        let devices = &self.devices;
        self.recorder.facts.prepared(number, pending, |id| devices.index_of(id));
    }

    /// Submits until the service accepts, or until nothing is left to do.
    pub(super) fn carry_through(&mut self, device: usize, submission: Submission) -> Result<(), StepFailure> {
        let mut submission = submission;
        for _ in 0..ATTEMPTS {
            let Attempted::Stale(stale) = self.attempt(device, submission)? else { return Ok(()) };
            let Some(next) = self.make_again(device, stale)? else { return Ok(()) };
            submission = next;
        }
        Err(StepFailure::new(FailCode::Stale, format!("given up after {ATTEMPTS} attempts")))
    }

    /// Submits once, through each armed crash.
    pub(super) fn attempt(&mut self, device: usize, submission: Submission) -> Result<Attempted, StepFailure> {
        if self.crashes_at(device, CrashPoint::BeforeSubmit)? {
            return self.recover(device, submission);
        }
        if self.devices[device].partitioned {
            self.submit_later(device, submission);
            return Ok(Attempted::Done);
        }
        let outcome = match self.exchange(device, &submission) {
            Ok(outcome) => outcome,
            Err(failure) => return self.give_up(device, &submission, failure),
        };
        for point in [CrashPoint::AfterSubmit, CrashPoint::BeforeConfirm] {
            if self.crashes_at(device, point)? {
                return self.recover(device, submission);
            }
        }
        if let (Some(receipt), Some(checks)) = (self.service.take_receipt(), &mut self.devices[device].checks) {
            checks.compare(&receipt);
        }
        self.note_findings_of(device);
        match (outcome, submission) {
            (SubmissionOutcome::Stale, submission) => {
                if let Submission::Commit(pending) = &submission {
                    self.recorder.costs.lost(device, self.clock.elapsed(), pending);
                }
                Ok(Attempted::Stale(submission))
            }
            (SubmissionOutcome::Accepted, Submission::Commit(pending)) => self.confirm(device, pending),
            (SubmissionOutcome::Accepted, _) => Ok(Attempted::Done),
        }
    }

    /// Submits once, and the service answers.
    pub(super) fn submit(&mut self, device: usize, submission: &Submission) -> Result<SubmissionOutcome, StepFailure> {
        let (devices, recorder, now) = (&self.devices, &mut self.recorder, self.clock.now());
        match submission {
            Submission::Commit(pending) => self.service.submit_commit(devices, device, pending, now, recorder),
            Submission::Proposal(group, proposal, _) => {
                self.service.submit_proposal(group, devices, device, proposal, now, recorder)
            }
            Submission::Message(message) => self.service.submit_message(devices, message, now, recorder),
        }
    }

    /// Merges a commit that the service has accepted. The device enters the new epoch.
    fn confirm(&mut self, device: usize, pending: PendingCommit) -> Result<Attempted, StepFailure> {
        self.deliver_before(device, pending.commit())?;
        let (now, group, committer) = (self.now_of(device), pending.group().clone(), &mut self.devices[device]);
        committer.log.begin(Operation::Confirm);
        match committer.client.confirm(pending.clone(), now) {
            Ok(change) => {
                self.recorder.costs.confirmed(pending.commit(), committer.log.present());
                if self.told.is_active() {
                    self.told.tell(device, &group, ToldEvent::of_own_commit(&change, pending.is_external()));
                }
                self.recorder.facts.confirmed(device, pending.commit());
                if pending.is_external() {
                    committer.in_group(&group).joined(change.epoch.0);
                } else {
                    let policy = committer.policy.clone();
                    let window = &mut committer.in_group(&group).window;
                    window.epoch_ended(change.epoch.0.saturating_sub(1), now, &policy);
                    if let Some(kept) = window.expire(now, &policy) {
                        self.recorder.facts.past_erased(device, &group, kept);
                    }
                }
                committer.in_group(&group).resume |= change.resume;
                committer.in_group(&group).reached = change.epoch.0;
                if let Some(present) = committer.present_epoch(&group) {
                    committer.tell_epoch(&group, self.service.label(&group), &present, &mut self.recorder);
                }
                Ok(Attempted::Done)
            }
            Err(Error::Storage(_)) if committer.crashed_writing() => {
                committer.crash_and_restart(&mut self.recorder, CrashPoint::DuringWrite)?;
                self.recover(device, Submission::Commit(pending))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Catches up, and makes a stale submission again. [`None`] if nothing is left to do.
    pub(super) fn make_again(
        &mut self,
        device: usize,
        submission: Submission,
    ) -> Result<Option<Submission>, StepFailure> {
        self.ask(device)?;
        self.deliver_to(device)?;
        if self.devices[device].is_behind(submission.group()) {
            let detail = "the handshake that ended the epoch is held back from the device";
            let failure = StepFailure::new(FailCode::Stale, detail);
            return self.give_up(device, &submission, failure).map(|_| None);
        }
        self.refuse_without_progress(device, &submission)?;
        let (who, group) = (self.devices[device].name.clone(), self.service.label(submission.group()));
        self.recorder.tell(TranscriptEvent::Again { who, group });
        match submission {
            Submission::Commit(pending) if pending.is_external() => {
                self.discard(device, &pending)?;
                let group = pending.group();
                if self.devices[device].epoch(group).is_some() {
                    // A member has added the device in the meantime.
                    self.recorder.costs.void(group, device);
                    return Ok(None);
                }
                self.make_external_commit(group, device).map(|pending| Some(Submission::Commit(pending)))
            }
            Submission::Commit(pending) => {
                let next = self.pending_or_next(pending.group(), device)?;
                if next.is_none() {
                    self.recorder.costs.void(pending.group(), device);
                }
                Ok(next)
            }
            Submission::Proposal(group, _, what) => self.make_proposal(&group, device, what).map(Some),
            Submission::Message(EncryptedMessage { group, id, text, .. }) => {
                self.make_message(&group, device, id, text).map(Some)
            }
        }
    }

    /// Fails if the device is still in the epoch of a stale submission: the entries that lead out of
    /// this epoch do not come.
    fn refuse_without_progress(&mut self, device: usize, submission: &Submission) -> Result<(), StepFailure> {
        let (group, epoch) = match submission {
            Submission::Commit(pending) if pending.is_external() => return Ok(()),
            Submission::Commit(pending) => (pending.group(), pending.epoch().0),
            Submission::Proposal(group, proposal, _) => (group, proposal.epoch().0),
            Submission::Message(message) => (&message.group, message.at.epoch),
        };
        if self.devices[device].epoch(group) != Some(epoch) {
            return Ok(());
        }
        let cut_off = self.devices[device].in_group(group).cut_off.is_now();
        let missed = !cut_off && self.has_lost_entries(group, device);
        let behind = &mut self.devices[device];
        behind.in_group(group).missed |= missed;
        if let Some(checks) = &mut behind.checks {
            checks.epoch_is_over(group, epoch);
        }
        self.note_findings_of(device);
        let name = &self.devices[device].name;
        let detail = format!("{name} is still in epoch {epoch}, and the delivery service is in a later one");
        let failure = StepFailure::new(FailCode::Stale, detail + &self.why_behind(group, device));
        match self.give_up(device, submission, failure) {
            Err(failure) => Err(failure),
            Ok(_) => Ok(()),
        }
    }

    /// Discards an external commit whose epoch is over.
    fn discard(&mut self, device: usize, pending: &PendingCommit) -> Result<(), StepFailure> {
        let discard = |client: &mut Client| match client.discard(pending.clone()) {
            Err(Error::NotPending) => Ok(()),
            other => other,
        };
        self.devices[device].persist(&mut self.recorder, Operation::Housekeeping, discard)?;
        self.recorder.facts.discarded(device, pending);
        Ok(())
    }

    /// The pending commit of a device in a group, or the submission for its remaining intents there.
    fn pending_or_next(&mut self, group: &GroupId, device: usize) -> Result<Option<Submission>, StepFailure> {
        let pending =
            self.devices[device].persist(&mut self.recorder, Operation::Housekeeping, |client| client.pending())?;
        match pending.into_iter().find(|pending| pending.group() == group) {
            Some(pending) => Ok(Some(Submission::Commit(pending))),
            None => self.make_from_intents(group, device),
        }
    }

    /// True if the process crashes at this point. The process is running again afterwards.
    pub(super) fn crashes_at(&mut self, device: usize, point: CrashPoint) -> Result<bool, StepFailure> {
        let crashes = self.devices[device].crashes_at(point);
        if crashes {
            self.devices[device].crash_and_restart(&mut self.recorder, point)?;
        }
        Ok(crashes)
    }

    /// Catches up after a crash, and submits again. The service repeats an outcome that the device
    /// missed.
    fn recover(&mut self, device: usize, submission: Submission) -> Result<Attempted, StepFailure> {
        self.deliver_to(device)?;
        match submission {
            Submission::Commit(pending) => match self.pending_or_next(pending.group(), device)? {
                Some(next) => self.attempt(device, next),
                None => Ok(Attempted::Done),
            },
            // The application has kept the bytes, and submits them again.
            submission => self.attempt(device, submission),
        }
    }

    /// Drops the intent of a rejected commit, so that the intent does not block the next one. Keeps
    /// a proposal that the service could not store, because the engine counts on it.
    fn give_up(
        &mut self,
        device: usize,
        submission: &Submission,
        failure: StepFailure,
    ) -> Result<Attempted, StepFailure> {
        if let Submission::Proposal(group, proposal, what) = submission
            && failure.code == FailCode::Unavailable
        {
            self.devices[device].unsent.push(Submission::Proposal(group.clone(), proposal.clone(), what.clone()));
        }
        if let Submission::Commit(pending) = submission {
            let drop_intent = |client: &mut Client| match pending.is_external() {
                true => client.discard(pending.clone()),
                false => client.group(pending.group())?.abandon(),
            };
            self.devices[device].persist(&mut self.recorder, Operation::Housekeeping, drop_intent)?;
            self.recorder.facts.discarded(device, pending);
        }
        Err(failure)
    }
}
