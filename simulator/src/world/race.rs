//! Carries out a race: several devices submit for the same epoch.

use regrow_engine::GroupId;
use sha2::{Digest as _, Sha256};

use super::{
    attempt::Attempted,
    device::Device,
    state::World,
    step_failure::{StepFailure, unless_void},
    submission::Submission,
};
use crate::scenario::{Action, MemberName, Placed};

impl World<'_> {
    /// Has all contenders prepare in the same epoch, and then submit in an order from the seed.
    pub(super) fn race(&mut self, group: &GroupId, contenders: &[Placed<Action>]) -> Result<(), StepFailure> {
        let mut submissions = Vec::with_capacity(contenders.len());
        for contender in contenders {
            submissions.push(self.prepare(group, &contender.item)?);
        }
        submissions.sort_by_cached_key(|(device, _)| self.turn(*device));
        let mut losers = Vec::new();
        for (device, submission) in submissions {
            let attempted = self.attempt(device, submission);
            if let Attempted::Stale(stale) = unless_void(attempted, Attempted::Done)? {
                losers.push((device, stale));
            }
        }
        // A device sends nothing while proposals wait (RFC 9420, 12.4). So messages go first,
        // before a loser proposes again.
        losers.sort_by_key(|(_, submission)| !matches!(submission, Submission::Message(_)));
        for (device, submission) in losers {
            let again = self.make_again(device, submission);
            if let Some(submission) = unless_void(again, None)? {
                unless_void(self.carry_through(device, submission), ())?;
            }
            // If the intent was carried out, it is no longer open, and this changes nothing.
            self.recorder.costs.void(group, device);
        }
        Ok(())
    }

    /// The sort key of a device's turn. It follows from the seed and the race, not from the race's
    /// place in the scenario.
    fn turn(&self, device: usize) -> [u8; 32] {
        let Device { name, step, .. } = &self.devices[device];
        turn_in_race(self.seed, step, name)
    }
}

/// The sort key of a contender, in the race with this label.
pub(crate) fn turn_in_race(seed: u64, label: &str, name: &MemberName) -> [u8; 32] {
    Sha256::digest(format!("regrow race {seed} {label} {name}")).into()
}
