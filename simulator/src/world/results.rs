//! Reports the results of a run: exposed messages, costs, and figures.

use std::collections::BTreeSet;

use super::{
    event::TranscriptEvent, known_key_packages::MadeKeyPackage, service_under_test::GroupRecord, state::World,
    thief_session::ThiefSession,
};
use crate::{
    adversary::{Exposure, Thief},
    report::{CompromiseFigures, Figures, GroupHealing, OpenedWelcome, StolenKeyPackage},
};

impl World<'_> {
    /// Writes to the transcript the messages that each thief can read, and the cost of every
    /// device's cryptography.
    pub(super) fn tell_results(&mut self) {
        let answers = self.thieves.answers_of_all(self.service.traffic(), &mut self.recorder.facts);
        for (thief, answers) in answers.iter().enumerate() {
            for (message, path) in &answers.exposure.messages {
                let Some(message) = self.service.sent.list.get(*message) else { continue };
                let (thief, id) = (self.thieves[thief].id.clone(), message.id.clone());
                self.recorder.tell(TranscriptEvent::Exposed { thief, id, path: path.to_string() });
            }
        }
        for (who, operation, counts) in self.recorder.facts.costs_of_all() {
            self.recorder.tell(TranscriptEvent::Cost { who: who.to_string(), operation, counts });
        }
    }

    pub(super) fn figures(&mut self) -> Figures {
        let mut exposed = BTreeSet::new();
        let mut compromises = Vec::with_capacity(self.thieves.len());
        let answers = self.thieves.answers_of_all(self.service.traffic(), &mut self.recorder.facts);
        for (number, answers) in answers.iter().enumerate() {
            let exposure = &answers.exposure;
            let thief = &self.thieves[number];
            exposed.extend(exposure.messages.keys().copied());
            let before = exposure.messages.range(..thief.messages).count() as u64;
            compromises.push(CompromiseFigures {
                id: thief.id.clone(),
                who: thief.who.clone(),
                scope: thief.scope,
                epoch: thief.groups.values().map(|group| group.epoch).sum(),
                time: thief.time,
                exposed_before: before,
                exposed_after: exposure.messages.len() as u64 - before,
                healed_after: self.healed_after(thief, exposure),
                groups: self.healings(thief, exposure),
                key_packages: self.stolen_key_packages(thief),
                authentication: self.thieves.session(&thief.id).and_then(ThiefSession::figures),
            });
        }
        let present = self.service.groups.values().filter_map(|group| group.rosters.last()).flatten();
        let rosters = self.service.groups.values().flat_map(|group| &group.rosters);
        Figures {
            members: present.collect::<BTreeSet<_>>().len() as u64,
            devices: rosters.flatten().collect::<BTreeSet<_>>().len() as u64,
            epochs: self.service.groups.values().map(GroupRecord::epoch).sum(),
            messages: self.service.sent.list.len() as u64,
            message_traffic: self.service.sent.traffic(),
            exposed: exposed.len() as u64,
            unordered_commits: self.recorder.unordered_commits(),
            costs: self.recorder.facts.costs(),
            contention: Box::new(self.recorder.costs.contention()),
            end: self.recorder.elapsed(),
            compromises,
        }
    }

    /// The healing of each group, if there are several.
    fn healings(&self, thief: &Thief, exposure: &Exposure) -> Vec<GroupHealing> {
        let several = self.service.groups.len() > 1;
        let groups = self.service.groups.iter().filter(|_| several);
        let healing = groups.map(|(id, group)| GroupHealing {
            group: group.name.clone(),
            healed_after: thief.healed_after(exposure, id, group.epoch()),
        });
        healing.collect()
    }

    /// The stolen key packages with which a thief opens welcomes.
    fn stolen_key_packages(&self, thief: &Thief) -> Vec<StolenKeyPackage> {
        let opened = self.recorder.facts.opened_welcomes(&thief.holdings);
        let stolen = opened.into_iter().map(|(MadeKeyPackage { number, last_resort }, welcomes)| {
            let opens = welcomes.into_iter().map(|(group, epoch)| OpenedWelcome {
                after_theft: epoch > thief.at_theft(&group).epoch,
                group: self.service.label(&group),
                epoch,
            });
            StolenKeyPackage { who: thief.who.clone(), number, last_resort, opens: opens.collect() }
        });
        stolen.collect()
    }

    /// The epochs until the slowest group has healed from a theft.
    pub(super) fn healed_after(&self, thief: &Thief, exposure: &Exposure) -> Option<u64> {
        let groups = self.service.groups.iter();
        let healed = groups.map(|(id, group)| thief.healed_after(exposure, id, group.epoch()));
        healed.reduce(|one, other| Some(one?.max(other?))).unwrap_or(Some(0))
    }
}
