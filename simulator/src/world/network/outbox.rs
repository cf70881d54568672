//! The submissions of members that are cut off from the service. They wait until the members are
//! connected again.

use crate::{
    scenario::MessageId,
    world::{event::TranscriptEvent, race::Contender, state::World, step_failure::StepFailure, submission::Submission},
};

/// The waiting submissions, the oldest first.
#[derive(Default)]
pub(in crate::world) struct Outbox(Vec<Contender>);

impl World<'_> {
    /// Keeps a submission until the device is connected again.
    pub(in crate::world) fn submit_later(&mut self, device: usize, submission: Submission) {
        let id: Option<MessageId> = self.devices[device].naming.clone();
        self.recorder.tell(TranscriptEvent::Waits { who: self.devices[device].name.clone() });
        self.outbox.0.push(Contender { device, id, submission });
    }

    /// Submits everything that waits on connected devices. The devices race, in an order from the
    /// seed.
    pub(in crate::world) fn submit_waiting(&mut self) -> Result<(), StepFailure> {
        let (mut ready, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.outbox.0).into_iter().partition(|it| self.devices[it.device].is_connected());
        self.outbox.0 = waiting;
        // The order of one device's submissions stays.
        ready.sort_by_cached_key(|contender| self.turn(contender.device));
        self.compete(ready)
    }
}
