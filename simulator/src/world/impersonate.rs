//! Carries out an `impersonate` step: a thief acts in a member's name.
//!
//! The thief's messages and commits go through the delivery service like a member's, and every
//! member processes them. Members read a forged message as far as their policy lets them. The
//! victim has to notice that another device acts in its name. A device that a thief has locked out
//! does nothing until it has rejoined.

use regrow_delivery_service::{Outcome, Sequence};
use regrow_engine::GroupId;

use super::{
    event::{TranscriptEvent, fingerprint},
    service_under_test::OrderedMessage,
    state::World,
    step_failure::StepFailure,
    thieves::Forgery,
    window::MessagePosition,
};
use crate::{
    adversary::{Thief, active::ForgedCommit, replay::Replay},
    cost::Operation,
    scenario::{CompromiseId, DEFAULT_MESSAGE_SIZE, MessageBody, MessageId, ThiefAction},
};

/// The outcome of a thief's attempt.
enum ForgeryOutcome {
    Ordered(Sequence),
    /// The service did not order it, or the thief could not make it.
    Refused(String),
}

/// The outcome of an attempt, with the submitted bytes if there are any.
type Forged = (ForgeryOutcome, Option<Vec<u8>>);

impl From<Outcome> for ForgeryOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accepted(receipt) => Self::Ordered(receipt.sequence),
            Outcome::Stale { current_epoch } => Self::Refused(format!("stale in epoch {}", current_epoch.0)),
            Outcome::Rejected(reason) => Self::Refused(format!("the delivery service refuses it: {reason}")),
        }
    }
}

impl World<'_> {
    /// Lets a thief try to act in a group. A refusal is no failure of the step, because an expectation may ask
    /// for it.
    pub(super) fn impersonate(
        &mut self,
        group: &GroupId,
        compromise: &CompromiseId,
        act: ThiefAction,
        id: Option<&MessageId>,
    ) -> Result<(), StepFailure> {
        let thief = self.thieves.find(compromise);
        let thief = thief.ok_or_else(|| StepFailure::rejected(format!("there is no {compromise}")))?;
        let device = self.thieves[thief].device;
        let after = self.service.epoch(group).saturating_sub(self.thieves[thief].at_theft(group).epoch);
        let (outcome, made) = match act {
            _ if self.devices[device].is_lost => unable("the delivery service has removed the device"),
            ThiefAction::Send => self.forge_message(group, thief, id)?,
            ThiefAction::Commit | ThiefAction::Rejoin => self.forge_commit(group, thief, act)?,
        };
        let (accepted, outcome) = match outcome {
            ForgeryOutcome::Ordered(sequence) => {
                self.thieves.forged.insert(group, sequence, Forgery { thief: compromise.clone(), device });
                (true, "accepted".to_owned())
            }
            ForgeryOutcome::Refused(why) => (false, why),
        };
        if let Some(session) = self.thieves.session_mut(compromise) {
            session.record_attempt(act, after, accepted);
        }
        self.recorder.tell(TranscriptEvent::Impersonated {
            thief: compromise.clone(),
            who: self.devices[device].name.clone(),
            act,
            group: self.service.label(group),
            id: id.cloned(),
            outcome,
            sha256: made.as_deref().map(fingerprint),
        });
        Ok(())
    }

    fn forge_message(&mut self, group: &GroupId, thief: usize, id: Option<&MessageId>) -> Result<Forged, StepFailure> {
        let (compromise, sender) = (self.thieves[thief].id.clone(), self.thieves[thief].device);
        let number = self.thieves.session(&compromise).map_or(0, |session| session.attempts()) + 1;
        // A name in a scenario file has no spaces, so this one is unique.
        let id = id.cloned().unwrap_or_else(|| MessageId::new(format!("{number} of the thief of {compromise}")));
        let text = self.text(&id, &MessageBody::Size(DEFAULT_MESSAGE_SIZE));
        let Some(stolen) = self.stolen_device(thief, Operation::Send) else { return Ok(unable("it runs no device")) };
        let (epoch, bytes) = match stolen.send(group, &text) {
            Ok(made) => made,
            Err(error) => return Ok(unable(error)),
        };
        self.recorder.facts.encrypted(self.thieves[thief].number, group, &bytes);
        let session = self.thieves.session_mut(&compromise);
        let generation = session.map_or(0, |session| session.take_generation(group, epoch));
        let now = self.clock.now();
        let outcome = self.service.offer_message(group, &self.devices[sender].address, &bytes, now);
        let outcome = ForgeryOutcome::from(outcome.map_err(StepFailure::broken)?);
        if let ForgeryOutcome::Ordered(sequence) = outcome {
            let at = MessagePosition { sender, epoch, generation };
            let (group, kept_until) = (group.clone(), self.service.kept_until(now));
            let message =
                OrderedMessage { id, group, at, text, kept_until, receipt: None, in_first: true, forged: true };
            self.service.message_ordered(&self.devices, message, &bytes, sequence, &mut self.recorder);
        }
        Ok((outcome, Some(bytes)))
    }

    fn forge_commit(&mut self, group: &GroupId, thief: usize, act: ThiefAction) -> Result<Forged, StepFailure> {
        let info = match act {
            ThiefAction::Rejoin => self.service.endpoint.group_info(group).map_err(StepFailure::broken)?,
            ThiefAction::Commit | ThiefAction::Send => None,
        };
        let operation = if info.is_some() { Operation::ExternalCommit } else { Operation::Commit };
        let Some(stolen) = self.stolen_device(thief, operation) else { return Ok(unable("it runs no device")) };
        let made = match (act, &info) {
            (ThiefAction::Rejoin, None) => return Ok(unable("the delivery service has no group info")),
            (ThiefAction::Rejoin, Some(info)) => stolen.rejoin(group, info),
            _ => self.thieves.commit_in_order(thief, group),
        };
        let forged: ForgedCommit = match made {
            Ok(forged) => forged,
            Err(error) => return Ok(unable(error)),
        };
        let pending = forged.pending.clone();
        let Thief { device: sender, number, .. } = self.thieves[thief];
        self.note_prepared(number, &pending);
        let outcome = self.service.offer_commit(&self.devices[sender].address, &pending, self.clock.now());
        let outcome = ForgeryOutcome::from(outcome.map_err(StepFailure::broken)?);
        match outcome {
            ForgeryOutcome::Ordered(sequence) => {
                self.service.commit_ordered(&self.devices, sender, &pending, sequence, &mut self.recorder)?;
                self.enter_forged_epoch(thief, forged)?;
            }
            ForgeryOutcome::Refused(_) => {
                if let Some(stolen) = self.stolen_device(thief, Operation::Housekeeping) {
                    stolen.refused(forged).map_err(StepFailure::broken)?;
                }
                self.recorder.facts.discarded(number, &pending);
            }
        }
        Ok((outcome, Some(pending.commit().to_vec())))
    }

    /// Lets a thief enter the epoch that its commit has made. The thief then also holds the new
    /// state of its own device.
    fn enter_forged_epoch(&mut self, thief: usize, forged: ForgedCommit) -> Result<(), StepFailure> {
        let number = self.thieves[thief].number;
        let (group, commit) = (forged.pending.group().clone(), forged.pending.commit().to_vec());
        let Some(stolen) = self.stolen_device(thief, Operation::Confirm) else { return Ok(()) };
        stolen.ordered(forged).map_err(StepFailure::broken)?;
        let own = stolen.snapshot().map_err(StepFailure::broken)?;
        let (epoch, authenticator) = stolen.epoch(&group).map_err(StepFailure::broken)?;
        self.recorder.facts.confirmed(number, &commit);
        self.recorder.facts.epoch(&group, epoch, authenticator.as_bytes());
        let holdings = self.recorder.facts.holdings(number);
        self.thieves[thief].enters(&group, epoch, &own, &holdings);
        Ok(())
    }

    fn stolen_device(&mut self, thief: usize, operation: Operation) -> Option<&mut Replay> {
        self.thieves.run_stolen_device(thief, operation, self.service.traffic(), &mut self.recorder.facts)
    }
}

fn unable(why: impl ToString) -> Forged {
    (ForgeryOutcome::Refused(format!("it cannot make it: {}", why.to_string())), None)
}
