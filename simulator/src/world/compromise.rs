//! Carries out a `compromise` step: a thief steals a device or its storage.

use std::sync::Arc;

use regrow_engine::Layered;

use super::{
    event::TranscriptEvent, randomness::SeededCrypto, state::World, step_failure::StepFailure,
    thief_session::ThiefSession,
};
use crate::{
    adversary::{StolenState, Taped, Thief, run_stolen},
    oracle::Holdings,
    scenario::{CompromiseId, MemberName, TheftScope},
};

impl World<'_> {
    pub(super) fn compromise(
        &mut self,
        who: &MemberName,
        id: &CompromiseId,
        scope: TheftScope,
    ) -> Result<(), StepFailure> {
        let device = self.devices.find(who)?;
        let state = self.devices[device].steal(scope)?;
        let records = match &state {
            StolenState::Device(snapshot) => Some(snapshot.records().len()),
            StolenState::Disk(_) => None,
        };
        // The thief has randomness of its own, and its crypto calls are recorded like a member's.
        let seeded = SeededCrypto::new(self.seed, &format!("thief {id}"))
            .with_ciphersuite(self.policy.ciphersuite)
            .sharing(self.shared_results.clone());
        let crypto = Arc::new(Layered(seeded));
        let log = self.recorder.facts.log_of_thief(id);
        let taped = Arc::new(Layered(Taped::new(crypto.clone(), log.clone())));
        let replay = run_stolen(&state, taped, self.policy.clone(), self.service.group().clone());
        let replay = replay.map_err(StepFailure::broken)?;
        let session = ThiefSession::new(crypto, log, self.devices[device].generations);
        let number = self.devices.len() + self.thieves.len();
        self.recorder.tell(TranscriptEvent::Compromised { who: who.clone(), id: id.clone(), scope, records });
        let (device_epoch, holdings) = match scope {
            TheftScope::Device => {
                self.recorder.facts.stolen(device, number);
                (self.devices[device].epoch(), self.recorder.facts.holdings(device))
            }
            // A thief without the storage key holds no secret.
            TheftScope::Disk => (None, Holdings::default()),
        };
        let thief = Thief {
            id: id.clone(),
            who: who.clone(),
            device,
            scope,
            epoch: self.service.epoch(),
            time: self.recorder.elapsed(),
            device_epoch,
            messages: self.service.sent.list.len(),
            number,
            stolen: state.stolen_bytes(),
            holdings,
            replay,
            seen: 0,
            answers: None,
        };
        self.thieves.push(thief, Some(session));
        Ok(())
    }
}
