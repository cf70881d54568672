//! Brings the world to rest after a step.

use regrow_engine::GroupId;

use super::{event::TranscriptEvent, state::World, step_failure::StepFailure};
use crate::scenario::FailCode;

/// The number of rounds after which the world counts as restless, which is a bug.
const ROUNDS: u32 = 10_000;

impl World<'_> {
    /// Delivers, and has devices take up their remaining intents, until no device has any left.
    /// Then replaces the used key packages.
    pub(super) fn settle(&mut self) -> Result<(), StepFailure> {
        for _ in 0..ROUNDS {
            self.deliver_to_all()?;
            if self.service.endpoint.is_disk_full() {
                // The devices do the rest later.
                return self.check_service();
            }
            if self.submit_unsent()? {
                continue;
            }
            if self.remove_lost()? {
                continue;
            }
            let Some((device, group)) = self.intent_left() else {
                let (service, clock) = (&self.service, &self.clock);
                self.key_packages.replenish(service, &mut self.devices, clock, &mut self.recorder)?;
                return self.check_service();
            };
            self.devices[device].in_group(&group).resume = false;
            self.devices[device].naming = None;
            if let Some(submission) = self.make_from_intents(&group, device)? {
                let (who, group) = (self.devices[device].name.clone(), self.service.label(&group));
                self.recorder.tell(TranscriptEvent::Again { who, group });
                self.carry_through(device, submission)?;
            }
        }
        Err(StepFailure::new(FailCode::Stale, "the members do not come to rest"))
    }

    /// The first device that is connected and has intents left, and their group.
    fn intent_left(&self) -> Option<(usize, GroupId)> {
        let mut connected = self.devices.iter().filter(|device| device.is_connected());
        connected.find_map(|device| Some((device.index, device.group_to_resume()?.clone())))
    }

    /// Submits the proposals that the service could not store before. True if there were any.
    fn submit_unsent(&mut self) -> Result<bool, StepFailure> {
        let mut unsent = Vec::new();
        for device in self.devices.as_mut_slice().iter_mut().filter(|device| device.is_connected()) {
            unsent.extend(device.unsent.drain(..).map(|submission| (device.index, submission)));
        }
        let some = !unsent.is_empty();
        for (device, submission) in unsent {
            self.carry_through(device, submission)?;
        }
        Ok(some)
    }

    /// Has the members check the service, if they check it in this scenario.
    fn check_service(&mut self) -> Result<(), StepFailure> {
        if self.checks_service {
            self.compare_rosters()?;
            self.report_early_ends();
        }
        Ok(())
    }
}
