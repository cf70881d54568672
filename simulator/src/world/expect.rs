//! Checks the expectations of an `expect` step.

use std::collections::BTreeSet;

use regrow_engine::GroupId;

use super::{device::ReadStatus, event::of_group, state::World};
use crate::{
    report::{ExpectField, Failure},
    scenario::{CompromiseId, Expect, GroupName, MemberName, MessageId, ReadingExpectation},
};

impl World<'_> {
    /// Returns a failure for each expectation that does not hold.
    /// The expectations are about the group that the step names, or about the default one.
    pub(super) fn expect(&mut self, named: Option<&GroupName>, expect: &Expect) -> Vec<Failure> {
        let mut failures = Vec::new();
        let Ok(group) = self.service.id_of(&named.cloned().unwrap_or_default()) else {
            return vec![self.recorder.failure("the group has a name", "its name is too long")];
        };
        let only = named.map(|_| &group);
        let present = self.service.epoch(&group);
        let of_group = of_group(self.service.label(&group).as_ref());
        if let Some(epoch) = expect.epoch.filter(|epoch| *epoch != present) {
            let expected = format!("the group is in epoch {epoch}{of_group}");
            let seen = format!("it is in epoch {present}");
            failures.push(self.recorder.failure(expected, seen));
        }
        if let Some(expected) = &expect.members {
            let roster = self.service.roster(&group);
            let present: BTreeSet<_> = roster.into_iter().map(|device| &self.devices[device].name).collect();
            if present != expected.iter().collect() {
                let expected = format!("the members{of_group} are {}", names(expected));
                let seen = format!("they are {}", names(present));
                failures.push(self.recorder.failure(expected, seen));
            }
        }
        let of = |field: ExpectField| move |failure: Failure| failure.of_field(field);
        failures.extend(self.name_cut_off(&group, &expect.cut_off).into_iter().map(of(ExpectField::CutOff)));
        if expect.converged {
            failures.extend(self.divergence_in(&group).into_iter().map(of(ExpectField::Converged)));
        }
        let exactly = expect.exactly.as_ref().map(|ids| (ids, self.all_messages_but(ids, only)));
        match &expect.reading {
            Some(ReadingExpectation::Member { who, reads, cannot_read }) => {
                for name in who {
                    failures.extend(self.member_reads(name, reads, cannot_read));
                    if let Some((reads, others)) = &exactly {
                        failures.extend(self.member_reads(name, reads, others));
                    }
                }
            }
            Some(ReadingExpectation::Thief {
                compromise,
                reads,
                cannot_read,
                healed,
                heals_within,
                accepted,
                detected,
            }) => {
                failures.extend(self.thief_reads(compromise, reads, cannot_read));
                if let Some((reads, others)) = &exactly {
                    failures.extend(self.thief_reads(compromise, reads, others));
                }
                failures.extend(self.thief_healed(&group, compromise, *healed));
                failures.extend(self.thief_heals(&group, compromise, *heals_within));
                failures.extend(self.thief_acted(compromise, *accepted, *detected));
            }
            None => {}
        }
        let data = expect.data.iter().flat_map(|data| self.expect_data(&group, data));
        failures.extend(data.map(of(ExpectField::Data)));
        let verified = expect.verified.iter().filter_map(|verified| self.expect_verified(&group, verified));
        failures.extend(verified.map(of(ExpectField::Verified)));
        let due = expect.due.iter().flat_map(|due| self.expect_due(&group, due));
        failures.extend(due.map(of(ExpectField::Due)));
        failures.extend(expect.events.iter().flat_map(|event| self.expect_event(only, event)));
        failures.extend(expect.costs.iter().flat_map(|costs| self.expect_costs(named, costs)));
        for evidence in &expect.evidence {
            let found = self.evidence(evidence, only).into_iter();
            failures.extend(found.map(of(ExpectField::Evidence(evidence.what))));
        }
        failures
    }

    /// The messages that were sent so far, in all groups or only in one, without these.
    fn all_messages_but(&self, ids: &[MessageId], only: Option<&GroupId>) -> Vec<MessageId> {
        let ids: BTreeSet<_> = ids.iter().collect();
        let sent = self.service.sent.list.iter();
        let sent = sent.filter(|message| only.is_none_or(|group| message.group == *group)).map(|message| &message.id);
        sent.filter(|id| !ids.contains(id)).cloned().collect()
    }

    fn member_reads(&self, name: &MemberName, reads: &[MessageId], cannot_read: &[MessageId]) -> Vec<Failure> {
        let recorder = &self.recorder;
        let Ok(device) = self.devices.find(name).map(|index| &self.devices[index]) else {
            return vec![recorder.failure(format!("{name} is a member"), "there is no such member")];
        };
        let sent = &self.service.sent;
        let has_read = |id: &MessageId| {
            sent.number(id).is_some_and(|number| {
                let message = &sent.list[number];
                device.read_status.get(&number) == Some(&ReadStatus::Read)
                    || message.at.sender == device.index && !message.forged
            })
        };
        let mut failures = Vec::new();
        for id in reads.iter().filter(|id| !has_read(id)) {
            let failure = recorder.failure(format!("{name} has read {id}"), format!("{name} has not"));
            failures.push(failure.about_member(name).about_message(id));
        }
        for id in cannot_read.iter().filter(|id| has_read(id)) {
            let failure = recorder.failure(format!("{name} has not read {id}"), format!("{name} has"));
            failures.push(failure.about_member(name).about_message(id));
        }
        failures
    }

    fn thief_reads(&mut self, id: &CompromiseId, reads: &[MessageId], cannot_read: &[MessageId]) -> Vec<Failure> {
        let Some(thief) = self.thieves.find(id) else {
            return vec![self.recorder.failure(format!("there is a compromise {id}"), "there is none")];
        };
        let answers = self.thieves.answers(thief, self.service.traffic(), &mut self.recorder.facts);
        let (sent, recorder) = (&self.service.sent, &self.recorder);
        let derivation = |id: &MessageId| answers.exposure.messages.get(&sent.number(id)?);
        let mut failures = Vec::new();
        for message in reads.iter().filter(|message| derivation(message).is_none()) {
            let number = sent.number(message);
            let holdings = &self.thieves[thief].holdings;
            let why = number.map(|number| recorder.facts.why(holdings, number)).unwrap_or_default();
            let failure = recorder.failure(
                format!("the thief of {id} can read {message}"),
                format!("the stolen bytes do not lead to its key: {}", why.join("; ")),
            );
            failures.push(failure.about_thief(id).about_message(message));
        }
        for message in cannot_read {
            if let Some(path) = derivation(message) {
                let failure = recorder.failure(
                    format!("the thief of {id} cannot read {message}"),
                    format!("the stolen bytes lead to its key: {path}"),
                );
                failures.push(failure.about_thief(id).about_message(message));
            }
        }
        failures
    }

    fn thief_healed(&mut self, group: &GroupId, id: &CompromiseId, expected: Option<bool>) -> Option<Failure> {
        let (thief, expected) = (self.thieves.find(id)?, expected?);
        let answers = self.thieves.answers(thief, self.service.traffic(), &mut self.recorder.facts);
        let healed = self.thieves[thief].healed_after(&answers.exposure, group, self.service.epoch(group));
        let words =
            ["the thief still has secrets of the present epoch", "the thief has no secret of the present epoch"];
        let [is, other] = if expected { ["has healed", words[0]] } else { ["has not healed", words[1]] };
        let of_group = of_group(self.service.label(group).as_ref());
        let failure = || self.recorder.failure(format!("the group {is} from {id}{of_group}"), other).about_thief(id);
        (healed.is_some() != expected).then(failure)
    }

    fn thief_heals(&mut self, group: &GroupId, id: &CompromiseId, within: Option<u64>) -> Option<Failure> {
        let (thief, within) = (self.thieves.find(id)?, within?);
        let answers = self.thieves.answers(thief, self.service.traffic(), &mut self.recorder.facts);
        let seen = match self.thieves[thief].healed_after(&answers.exposure, group, self.service.epoch(group)) {
            Some(healed) if healed <= within => return None,
            Some(healed) => format!("it healed after {}", count(healed)),
            None => "the thief still has secrets of the present epoch".to_owned(),
        };
        let of_group = of_group(self.service.label(group).as_ref());
        let expected = format!("{id} has healed within {}{of_group}", count(within));
        Some(self.recorder.failure(expected, seen).about_thief(id))
    }

    fn thief_acted(&self, compromise: &CompromiseId, accepted: Option<bool>, detected: Option<bool>) -> Vec<Failure> {
        let Some(session) = self.thieves.session(compromise) else { return Vec::new() };
        let mut failures = Vec::new();
        let last = session.last_accepted();
        if accepted.is_some_and(|expected| expected != last) {
            let words = ["is not accepted", "is accepted"];
            let failure = self.recorder.failure(
                format!("the last action of the thief of {compromise} {}", words[usize::from(!last)]),
                format!("it {}", words[usize::from(last)]),
            );
            failures.push(failure.about_thief(compromise));
        }
        let noticed = session.is_detected();
        if detected.is_some_and(|expected| expected != noticed) {
            let words = ["nobody has noticed", "somebody has noticed"];
            let failure = self.recorder.failure(
                format!("{} the thief of {compromise}", words[usize::from(!noticed)]),
                words[usize::from(noticed)],
            );
            failures.push(failure.about_thief(compromise));
        }
        failures
    }
}

fn count(epochs: u64) -> String {
    if epochs == 1 { "1 epoch".into() } else { format!("{epochs} epochs") }
}

pub(super) fn names<'n>(names: impl IntoIterator<Item = &'n MemberName>) -> String {
    let names: Vec<_> = names.into_iter().map(MemberName::as_str).collect();
    if names.is_empty() { "nobody".into() } else { names.join(", ") }
}
