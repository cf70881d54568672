//! Interruptions of one submission: the service's process dies, or its answer is lost. The device
//! submits the same bytes again.

use std::collections::BTreeSet;

use regrow_delivery_service::{GroupId, Outcome, StoreError};

use super::{Endpoint, ServiceUnderTest};
use crate::{
    scenario::KillPoint,
    world::{device::Device, event::TranscriptEvent, recorder::Recorder, step_failure::StepFailure},
};

/// The interruptions that the next submissions meet.
#[derive(Default)]
pub(in crate::world) struct Interruptions {
    kill: Option<KillPoint>,
    /// The devices whose next answer is lost.
    lost_replies: BTreeSet<usize>,
}

impl Interruptions {
    pub(in crate::world) fn kill(&mut self, at: KillPoint) {
        self.kill = Some(at);
    }

    pub(in crate::world) fn lose_reply(&mut self, device: usize) {
        self.lost_replies.insert(device);
    }

    /// The point at which the process still has to die.
    pub(in crate::world) fn armed_kill(&self) -> Option<KillPoint> {
        self.kill
    }

    /// The devices that still have to lose an answer.
    pub(in crate::world) fn armed_losses(&self) -> impl Iterator<Item = usize> + '_ {
        self.lost_replies.iter().copied()
    }
}

/// The words for an interruption in transcripts.
fn cause(kill: Option<KillPoint>) -> &'static str {
    match kill {
        Some(KillPoint::BeforeWrite) => "the service died before it wrote",
        Some(KillPoint::WithinTransaction) => "the service died within its transaction",
        Some(KillPoint::AfterWrite) => "the service died before it answered",
        None => "the answer was lost",
    }
}

impl ServiceUnderTest<'_> {
    /// Submits, through an interruption if one is armed. After an interruption the device submits
    /// the same bytes again, and the service has to give the same answer.
    pub(super) fn submit(
        &mut self,
        group: &GroupId,
        sender: &Device,
        recorder: &mut Recorder<'_>,
        offer: impl Fn(&Endpoint<'_>) -> Result<Outcome, StoreError>,
    ) -> Result<Outcome, StepFailure> {
        let outcome = self.submit_interrupted(group, sender, recorder, offer)?;
        if let Outcome::Accepted(receipt) = &outcome {
            self.receipt = Some(receipt.clone());
        }
        Ok(outcome)
    }

    fn submit_interrupted(
        &mut self,
        group: &GroupId,
        sender: &Device,
        recorder: &mut Recorder<'_>,
        offer: impl Fn(&Endpoint<'_>) -> Result<Outcome, StoreError>,
    ) -> Result<Outcome, StepFailure> {
        if self.is_in_second_history(sender.index) {
            return Ok(offer(self.endpoint_of(sender.index))?);
        }
        self.endpoint.count_writes();
        let loses = self.interruptions.lost_replies.remove(&sender.index);
        let kill = self.interruptions.kill.take();
        let first = match kill {
            Some(KillPoint::BeforeWrite) => None,
            Some(KillPoint::WithinTransaction) => match self.endpoint.die_within_transaction(&offer)? {
                None => None,
                Some(outcome) => {
                    // The submission wrote nothing, so the next one meets the interruption.
                    self.interruptions.kill = kill;
                    if loses {
                        self.interruptions.lose_reply(sender.index);
                    }
                    return Ok(outcome);
                }
            },
            Some(KillPoint::AfterWrite) => Some(offer(&self.endpoint)?),
            None if loses => Some(offer(&self.endpoint)?),
            None => return Ok(offer(&self.endpoint)?),
        };
        if kill.is_some() {
            self.endpoint.restart()?;
        }
        let (by, label) = (sender.name.clone(), self.label(group));
        recorder.tell(TranscriptEvent::Unanswered { by, group: label.clone(), cause: cause(kill) });
        let again = offer(&self.endpoint)?;
        if let Some(first) = first.filter(|first| *first != again) {
            let (expected, seen) = ("the same bytes get the same answer again", both(&first, &again));
            recorder.breach_in(label.as_ref(), format!("{}: {expected}", sender.name), seen);
        }
        Ok(again)
    }
}

/// Two answers in words.
fn both(first: &Outcome, again: &Outcome) -> String {
    let words = |outcome: &Outcome| match outcome {
        Outcome::Accepted(receipt) => format!("accepted as entry {}", receipt.sequence.0),
        Outcome::Stale { current_epoch } => format!("stale in epoch {}", current_epoch.0),
        Outcome::Rejected(reason) => format!("refused: {reason}"),
    };
    format!("first {}, then {}", words(first), words(again))
}
