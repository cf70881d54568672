//! Makes the record of a run from the steps, the oracle, and the thieves' answers.

use std::collections::{BTreeMap, BTreeSet};

use regrow_engine::GroupId;

use super::{state::World, step_recorder::RecordedSteps};
use crate::{
    adversary::{self, Derivation, Thief},
    oracle::{DeviceNumber, EpochId, KeyPair, OrderedEpoch, Reach, Secret},
    report::{
        Goal,
        record::{
            CommitRecord, EpochKnowledge, EpochRecord, MessageRecord, Reading, RunRecord, ThiefInGroup, ThiefRecord,
        },
    },
    scenario::{CompromiseId, GroupName, MemberName, Scenario},
};

impl World<'_> {
    /// Makes the record of the run so far.
    pub(super) fn take_record(&mut self, scenario: &Scenario) -> RunRecord {
        let derivations = self.derivations();
        let steps = self.take_steps();
        let messages = self.message_records(&steps);
        let thieves = self.thief_records(&steps);
        let groups = self.service.groups.iter();
        let groups = groups.map(|(id, group)| (group.name.clone(), self.epoch_records(id, &group.name, &steps)));
        let groups = groups.collect();
        let RecordedSteps { steps, .. } = steps;
        let (about, members) = (scenario.about.clone(), scenario.members.clone());
        RunRecord { about, members, steps, groups, messages, thieves, derivations }
    }

    /// The derivations that the focus of the run names, as far as the thieves know the secrets.
    fn derivations(&self) -> BTreeMap<(CompromiseId, Goal), Derivation> {
        let mut derivations = BTreeMap::new();
        for thief in self.thieves.iter() {
            let wanted = self.recorder.steps.focus().derivations.iter().filter(|(id, _)| *id == thief.id);
            let known = |goal: &Goal| match goal {
                Goal::Message(id) => self.service.sent.number(id).map(adversary::Goal::Message),
                Goal::Epoch(group, epoch) => Some(adversary::Goal::Epoch(self.service.id_of(group).ok()?, *epoch)),
            };
            let (wanted, goals): (Vec<_>, Vec<_>) = wanted.filter_map(|it| Some((it, known(&it.1)?))).unzip();
            let found = self.recorder.facts.derivations(&thief.stolen, &goals);
            derivations.extend(wanted.into_iter().zip(found).filter_map(|(it, found)| Some((it.clone(), found?))));
        }
        derivations
    }

    fn message_records(&self, steps: &RecordedSteps) -> Vec<MessageRecord> {
        let records = self.service.sent.list.iter().map(|message| MessageRecord {
            id: message.id.clone(),
            group: self.service.label(&message.group).unwrap_or_default(),
            sender: self.devices[message.at.sender].name.clone(),
            forged: message.forged,
            epoch: message.at.epoch,
            step: steps.sent.get(&message.id).copied(),
        });
        records.collect()
    }

    fn epoch_records(&self, group: &GroupId, name: &GroupName, steps: &RecordedSteps) -> Vec<EpochRecord> {
        let epochs = self.recorder.facts.oracle(group).ordered_epochs().zip(0..);
        let records = epochs.map(|(OrderedEpoch { tree, commit, .. }, number): (_, u64)| {
            let entered = steps.entered.get(&(name.clone(), number)).cloned().unwrap_or_default();
            // The committer enters the epoch in the step that makes it.
            let step = entered.values().min().copied();
            let commit = commit.map(|(by, what, path)| {
                let (by, forged_by) = self.maker(by);
                CommitRecord {
                    by,
                    forged_by,
                    adds: what.adds.iter().filter_map(|(device, _)| self.member(*device)).collect(),
                    removes: what.removes.iter().filter_map(|device| self.member(*device)).collect(),
                    updates: what.updates.iter().filter_map(|(device, _)| self.member(*device)).collect(),
                    external: what.external,
                    path: path.clone(),
                }
            });
            EpochRecord { tree: tree.clone(), commit, step, entered }
        });
        records.collect()
    }

    fn member(&self, device: DeviceNumber) -> Option<MemberName> {
        (device.0 < self.devices.len()).then(|| self.devices[device.0].name.clone())
    }

    /// The member with this number, or the thief that acts in a member's name.
    fn maker(&self, device: DeviceNumber) -> (MemberName, Option<CompromiseId>) {
        match device.0.checked_sub(self.devices.len()) {
            Some(thief) => (self.thieves[thief].who.clone(), Some(self.thieves[thief].id.clone())),
            None => (self.devices[device.0].name.clone(), None),
        }
    }

    fn thief_records(&mut self, steps: &RecordedSteps) -> Vec<ThiefRecord> {
        let answers = self.thieves.answers_of_all(self.service.traffic(), &mut self.recorder.facts);
        let facts = &self.recorder.facts;
        let records = answers.iter().enumerate().map(|(number, answers)| {
            let thief: &Thief = &self.thieves[number];
            let reaches: BTreeMap<&GroupId, Reach<'_>> = facts.reaches(&thief.holdings);
            let obstacle = |index: usize| {
                let (group, message) = facts.number_of(index)?;
                reaches.get(group)?.obstacle(message)
            };
            let reading = |index: usize| match answers.exposure.messages.get(&index) {
                Some(path) => Reading::Read { path: path.steps().collect() },
                None => Reading::Hidden { obstacle: obstacle(index) },
            };
            let groups = self.service.groups.iter().map(|(id, group)| {
                let at_theft = thief.groups.get(id).copied();
                let epochs: Vec<EpochId> = facts.oracle(id).ordered_epochs().map(|ordered| ordered.epoch).collect();
                let reach = reaches.get(id);
                let known = ThiefInGroup {
                    epoch: at_theft.map(|at_theft| at_theft.epoch),
                    device_epoch: at_theft.and_then(|at_theft| at_theft.device_epoch),
                    keys: reach.map(private_keys).unwrap_or_default(),
                    epochs: reach.map(|reach| known_epochs(reach, &epochs)).unwrap_or_default(),
                    healed_after: thief.healed_after(&answers.exposure, id, group.epoch()),
                };
                (group.name.clone(), known)
            });
            ThiefRecord {
                id: thief.id.clone(),
                who: thief.who.clone(),
                scope: thief.scope,
                step: steps.thefts.get(number).copied(),
                messages_before: thief.messages,
                messages: (0..self.service.sent.list.len()).map(reading).collect(),
                groups: groups.collect(),
            }
        });
        records.collect()
    }
}

fn private_keys(reach: &Reach<'_>) -> BTreeSet<KeyPair> {
    let keys = reach.secrets().filter_map(|secret| match secret {
        Secret::PrivateKey(key) => Some(key),
        _ => None,
    });
    keys.collect()
}

fn known_epochs(reach: &Reach<'_>, epochs: &[EpochId]) -> BTreeMap<u64, EpochKnowledge> {
    let known = (0..).zip(epochs).filter_map(|(number, epoch): (u64, _)| {
        let knowledge = match (reach.knows(Secret::Encryption(*epoch)), reach.knows(Secret::Init(*epoch))) {
            (true, _) => EpochKnowledge::All,
            (false, true) => EpochKnowledge::Rest,
            (false, false) => return None,
        };
        Some((number, knowledge))
    });
    known.collect()
}
