//! Carries out a `compromise` step: a thief steals a device or its storage.

use std::{collections::BTreeMap, sync::Arc};

use regrow_engine::{Layered, Policy};

use super::{
    event::TranscriptEvent, randomness::SeededCrypto, state::World, step_failure::StepFailure,
    thief_session::ThiefSession,
};
use crate::{
    adversary::{GroupAtTheft, HeldSecrets, StolenState, Taped, Thief, run_stolen},
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
        // A locked device has no secret in memory, and a thief gets only its sealed files.
        let scope = if self.devices[device].client.is_locked() { TheftScope::Disk } else { scope };
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
        // The thief's own store has no lock.
        let policy = Policy { lock_after: None, ..(*self.devices[device].policy).clone() };
        let replay = run_stolen(&state, taped, policy);
        let replay = replay.map_err(StepFailure::broken)?;
        let generations = self.devices[device].groups.iter().map(|(id, group)| (id.clone(), group.generations));
        let session = ThiefSession::new(crypto, log, generations.collect());
        let number = self.devices.len() + self.thieves.len();
        self.recorder.tell(TranscriptEvent::Compromised { who: who.clone(), id: id.clone(), scope, records });
        let holdings = match scope {
            TheftScope::Device => {
                self.recorder.facts.stolen(device, number);
                self.recorder.facts.holdings(device)
            }
            // A thief without the storage key holds no secret.
            TheftScope::Disk => HeldSecrets::default(),
        };
        let groups = self.service.groups.iter().map(|(id, group)| {
            let device_epoch = match scope {
                TheftScope::Device => self.devices[device].epoch(id),
                TheftScope::Disk => None,
            };
            (id.clone(), GroupAtTheft { epoch: group.epoch(), device_epoch })
        });
        let thief = Thief {
            id: id.clone(),
            who: who.clone(),
            device,
            scope,
            groups: groups.collect(),
            entered: BTreeMap::new(),
            time: self.recorder.elapsed(),
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
