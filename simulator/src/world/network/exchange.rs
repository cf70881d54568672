//! A request of a device and the service's answer, on their ways through the network.

use std::time::Duration;

use crate::{
    scenario::FailCode,
    world::{
        state::World,
        step_failure::StepFailure,
        submission::{Submission, SubmissionOutcome},
    },
};

impl World<'_> {
    /// Submits until the device has an answer. A lost request or answer makes the device submit the
    /// same bytes again, and the service gives the same outcome again.
    pub(in crate::world) fn exchange(
        &mut self,
        device: usize,
        submission: &Submission,
    ) -> Result<SubmissionOutcome, StepFailure> {
        let mut known: Option<SubmissionOutcome> = None;
        for attempt in 0.. {
            let trip = self.network.trip(device, &self.devices[device].name, attempt);
            self.pass_ms(trip.out);
            if !trip.arrives {
                continue;
            }
            for _ in 0..=usize::from(trip.twice) {
                let outcome = self.submit(device, submission)?;
                let (group, now) = (submission.group(), self.clock.ms());
                if let Some(record) = self.service.groups.get(group) {
                    self.network.note_ordered(group, record.last_sequence, now);
                }
                if known.is_some_and(|known| known == SubmissionOutcome::Accepted && outcome != known) {
                    let expected = format!("{}: the service repeats its outcome", self.devices[device].name);
                    self.recorder
                        .breach(expected, format!("it has accepted the same bytes, and is `{}` now", outcome.name()));
                }
                known = Some(known.unwrap_or(outcome));
            }
            self.pass_ms(trip.back);
            if let Some(outcome) = known.filter(|_| trip.answered) {
                return Ok(outcome);
            }
        }
        Err(StepFailure::new(FailCode::Offline, "the delivery service does not answer"))
    }

    /// Refuses a step that needs an answer of the service first.
    pub(in crate::world) fn refuse_if_cut_off(&self, device: usize) -> Result<(), StepFailure> {
        let device = &self.devices[device];
        if device.partitioned {
            let detail = format!("{} is cut off from the delivery service until `heal`", device.name);
            return Err(StepFailure::new(FailCode::Offline, detail));
        }
        Ok(())
    }

    /// Lets a device ask the service for something. Fails if the device is cut off.
    pub(in crate::world) fn ask(&mut self, device: usize) -> Result<(), StepFailure> {
        self.refuse_if_cut_off(device)?;
        for attempt in 0.. {
            let trip = self.network.trip(device, &self.devices[device].name, attempt);
            self.pass_ms(trip.out);
            if trip.arrives {
                self.pass_ms(trip.back);
                if trip.answered {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Lets virtual time pass on the way through the network.
    pub(super) fn pass_ms(&mut self, ms: u64) {
        if ms > 0 {
            self.clock.advance(Duration::from_millis(ms));
            self.recorder.set_elapsed(self.clock.elapsed());
        }
    }
}
