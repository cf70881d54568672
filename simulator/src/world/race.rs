//! Carries out a race: several devices submit for the same epoch.

use sha2::{Digest as _, Sha256};

use super::{
    attempt::Attempted,
    device::Device,
    state::World,
    step_failure::{StepFailure, unless_void},
    submission::Submission,
};
use crate::scenario::{Action, MemberName, MessageId, Placed};

/// A prepared submission of a device.
pub(super) struct Contender {
    pub(super) device: usize,
    /// The name of the handshake, if it has one.
    pub(super) id: Option<MessageId>,
    pub(super) submission: Submission,
}

impl World<'_> {
    /// Has all contenders prepare in the present epochs of their groups, and then submit in an order
    /// from the seed.
    pub(super) fn race(&mut self, contenders: &[Placed<Action>]) -> Result<(), StepFailure> {
        let mut prepared = Vec::with_capacity(contenders.len());
        for Placed { item: action, .. } in contenders {
            let group = self.service.id_of(&action.group())?;
            let (device, submission) = self.prepare(&group, action)?;
            prepared.push(Contender { device, id: action.handshake_id().cloned(), submission });
        }
        prepared.sort_by_cached_key(|contender| self.turn(contender.device));
        self.compete(prepared)
    }

    /// Submits in this order. Then the losers try again.
    pub(super) fn compete(&mut self, contenders: Vec<Contender>) -> Result<(), StepFailure> {
        let mut losers = Vec::new();
        for Contender { device, id, submission } in contenders {
            self.devices[device].naming.clone_from(&id);
            let attempted = self.attempt(device, submission);
            if let Attempted::Stale(stale) = unless_void(attempted, Attempted::Done)? {
                losers.push(Contender { device, id, submission: stale });
            }
        }
        // A device sends nothing while proposals wait (RFC 9420, 12.4). So messages go first,
        // before a loser proposes again.
        losers.sort_by_key(|loser| !matches!(loser.submission, Submission::Message(_)));
        for Contender { device, id, submission } in losers {
            self.devices[device].naming = id;
            let group = submission.group().clone();
            let again = self.make_again(device, submission);
            if let Some(submission) = unless_void(again, None)? {
                unless_void(self.carry_through(device, submission), ())?;
            }
            // If the intent was carried out, it is no longer open, and this changes nothing.
            self.recorder.costs.void(&group, device);
        }
        Ok(())
    }

    /// The sort key of a device's turn. It follows from the seed and the race, not from the race's
    /// place in the scenario.
    pub(super) fn turn(&self, device: usize) -> [u8; 32] {
        let Device { name, step, .. } = &self.devices[device];
        turn_in_race(self.seed, step, name)
    }
}

/// The sort key of a contender, in the race with this label.
pub(crate) fn turn_in_race(seed: u64, label: &str, name: &MemberName) -> [u8; 32] {
    Sha256::digest(format!("regrow race {seed} {label} {name}")).into()
}
