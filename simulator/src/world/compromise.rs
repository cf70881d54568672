//! Carries out a `compromise` step: a thief steals a device, its storage or its backup.

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
        // The thief has randomness of its own, and its crypto calls are recorded like a member's.
        let seeded = SeededCrypto::new(self.seed, &format!("thief {id}"))
            .with_ciphersuite(self.policy.ciphersuite)
            .sharing(self.shared_results.clone());
        let crypto = Arc::new(Layered(seeded));
        let log = self.recorder.facts.log_of_thief(id);
        let taped = Arc::new(Layered(Taped::new(crypto.clone(), log.clone())));
        // The thief's own store has no lock.
        let policy = Policy { lock_after: None, ..(*self.devices[device].policy).clone() };
        // A locked device has no secret in memory, and a thief gets only its sealed files.
        let scope = match scope {
            TheftScope::Device if self.devices[device].client.is_locked() => TheftScope::Disk,
            scope => scope,
        };
        let state = match scope {
            TheftScope::Device => self.devices[device].steal()?,
            TheftScope::Disk => self.devices[device].steal_files()?,
            TheftScope::Backup => self.steal_backup(device, id, crypto.clone(), policy.clone())?,
        };
        let records = match &state {
            StolenState::Device(snapshot) => Some(snapshot.records().len()),
            StolenState::Disk(_) | StolenState::Backup(_) => None,
        };
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
            // A thief without the storage key holds no secret, and a backup has none.
            TheftScope::Disk | TheftScope::Backup => HeldSecrets::default(),
        };
        let groups = self.service.groups.iter().map(|(id, group)| {
            let device_epoch = match scope {
                TheftScope::Device => self.devices[device].epoch(id),
                TheftScope::Disk | TheftScope::Backup => None,
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
