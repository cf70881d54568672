//! What has to hold: what a scenario asks for, and what every scenario promises at its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use regrow_delivery_service::Limits;

use super::{World, device::Reading, event::Event, impersonate::Hands, service::Message};
use crate::{
    adversary::{Answers, Disagreement},
    oracle::Holdings,
    report::{CompromiseFigures, Failure, Figures},
    scenario::{CompromiseId, Expect, MemberName, MessageId, ReadingExpectation as Asked},
};

impl World<'_> {
    /// All that does not hold of what is asked for.
    pub(super) fn expect(&mut self, expect: &Expect) -> Vec<Failure> {
        let mut failures = Vec::new();
        if let Some(epoch) = expect.epoch.filter(|epoch| *epoch != self.service_epoch()) {
            failures.push(
                self.failure(
                    format!("the group is in epoch {epoch}"),
                    format!("it is in epoch {}", self.service_epoch()),
                ),
            );
        }
        if let Some(expected) = &expect.members {
            let present: BTreeSet<_> = self.roster().into_iter().map(|device| &self.devices[device].name).collect();
            if present != expected.iter().collect() {
                failures.push(
                    self.failure(
                        format!("the members are {}", names(expected)),
                        format!("they are {}", names(present)),
                    ),
                );
            }
        }
        if expect.converged {
            failures.extend(self.divergence());
        }
        match &expect.reading {
            Some(Asked::Member { who, reads, cannot_read }) => {
                for name in who {
                    failures.extend(self.member_reads(name, reads, cannot_read));
                }
            }
            Some(Asked::Thief { compromise, reads, cannot_read, heals_within, accepted, detected }) => {
                failures.extend(self.thief_reads(compromise, reads, cannot_read, *heals_within));
                failures.extend(self.thief_acted(compromise, *accepted, *detected));
            }
            None => {}
        }
        failures
    }

    /// What the end of every scenario promises, and what was seen to be broken on the way.
    pub(super) fn invariants(&mut self) -> Vec<Failure> {
        let mut failures = std::mem::take(&mut self.breaches);
        failures.extend(self.crashes_left());
        failures.extend(self.divergence());
        failures.extend(self.missing_messages());
        failures.extend(self.foreign_reading());
        failures.extend(self.disagreements());
        failures
    }

    /// Tells what every thief can read and how, and what every member's cryptography has cost.
    pub(super) fn tell_results(&mut self) {
        for thief in 0..self.thieves.len() {
            for (message, path) in &self.answers(thief).exposure.messages {
                let Some(message) = self.sent.messages.get(*message) else { continue };
                let (thief, id) = (self.thieves[thief].id.clone(), message.id.clone());
                self.tell(Event::Exposed { thief, id, path: path.to_string() });
            }
        }
        for (who, operation, counts) in self.chronicle.costs_of_all() {
            self.tell(Event::Cost { who: who.to_string(), operation, counts });
        }
    }

    pub(super) fn figures(&mut self) -> Figures {
        let epochs = self.service_epoch();
        let mut exposed = BTreeSet::new();
        let mut compromises = Vec::with_capacity(self.thieves.len());
        for number in 0..self.thieves.len() {
            let answers = self.answers(number);
            let exposure = &answers.exposure;
            let thief = &self.thieves[number];
            exposed.extend(exposure.messages.keys().copied());
            let before = exposure.messages.range(..thief.messages).count() as u64;
            compromises.push(CompromiseFigures {
                id: thief.id.clone(),
                who: thief.who.clone(),
                scope: thief.scope,
                exposed_before: before,
                exposed_after: exposure.messages.len() as u64 - before,
                healed_after: thief.healed_after(exposure.reach, epochs),
                authentication: self.hands.get(&thief.id).and_then(Hands::figures),
            });
        }
        Figures {
            members: self.roster().len() as u64,
            epochs,
            messages: self.sent.messages.len() as u64,
            exposed: exposed.len() as u64,
            unordered_commits: self.unordered_commits,
            costs: self.chronicle.costs(),
            compromises,
        }
    }

    /// Online members that are not in the same state as the others, or not in the service's epoch.
    fn divergence(&mut self) -> Vec<Failure> {
        let (group, epoch, roster) = (self.group.clone(), self.service_epoch(), self.roster());
        let mut states: BTreeMap<_, Vec<MemberName>> = BTreeMap::new();
        let expected: BTreeSet<_> = roster.iter().map(|index| self.devices[*index].name.as_str().to_owned()).collect();
        let mut failures = Vec::new();
        // Whom a thief has locked out knows it, and is not with the others until it has rejoined.
        let present = |index: &usize| self.devices[*index].online && !self.devices[*index].ousted;
        for index in roster.iter().copied().filter(present).collect::<Vec<_>>() {
            let device = &mut self.devices[index];
            let (name, own) = (device.name.clone(), device.epoch(&group));
            if own != Some(epoch) {
                let seen = own.map_or("not in the group".to_owned(), |own| format!("in epoch {own}"));
                failures.push((format!("{name} is in epoch {epoch}, like the service"), format!("{name} is {seen}")));
            }
            let listed = device.client.group(&group).and_then(|mut group| group.roster()).map(|members| {
                members.into_iter().map(|member| member.device.user().to_string()).collect::<BTreeSet<_>>()
            });
            if own.is_some() && listed.is_ok_and(|listed| listed != expected) {
                failures.push((format!("{name} and the service see the same members"), "they do not".to_owned()));
            }
            states.entry(self.devices[index].authenticator(&group)).or_default().push(name);
        }
        if states.len() > 1 {
            // The largest first: who is not with the others is what one looks for.
            let mut states: Vec<_> = states.into_values().collect();
            states.sort_by_key(|members| std::cmp::Reverse(members.len()));
            let groups: Vec<_> = states.iter().map(names).collect();
            failures.push((
                "all online members hold the same epoch authenticator".to_owned(),
                format!("there are {} states: {}", groups.len(), groups.join(" / ")),
            ));
        }
        failures.into_iter().map(|(expected, seen)| self.failure(expected, seen)).collect()
    }

    fn member_reads(&self, name: &MemberName, reads: &[MessageId], cannot_read: &[MessageId]) -> Vec<Failure> {
        let Some(device) = self.by_name.get(name).and_then(|index| self.devices.get(*index)) else {
            return vec![self.failure(format!("{name} is a member"), "there is no such member")];
        };
        let has_read = |id: &MessageId| {
            self.sent.number(id).is_some_and(|number| {
                let message = &self.sent.messages[number];
                device.fates.get(&number) == Some(&Reading::Read)
                    || message.at.sender == device.index && !message.forged
            })
        };
        let mut failures = Vec::new();
        for id in reads.iter().filter(|id| !has_read(id)) {
            failures.push(self.failure(format!("{name} has read {id}"), format!("{name} has not")));
        }
        for id in cannot_read.iter().filter(|id| has_read(id)) {
            failures.push(self.failure(format!("{name} has not read {id}"), format!("{name} has")));
        }
        failures
    }

    fn thief_reads(
        &mut self,
        id: &CompromiseId,
        reads: &[MessageId],
        cannot_read: &[MessageId],
        heals_within: Option<u64>,
    ) -> Vec<Failure> {
        let Some(position) = self.thieves.iter().position(|thief| thief.id == *id) else {
            return vec![self.failure(format!("there is a compromise {id}"), "there is none")];
        };
        let epoch = self.service_epoch();
        let answers = self.answers(position);
        let exposed = &answers.exposure.messages;
        let thief = &self.thieves[position];
        let key = |id: &MessageId| exposed.get(&self.sent.number(id)?);
        let mut failures = Vec::new();
        for message in reads.iter().filter(|message| key(message).is_none()) {
            let number = self.sent.number(message);
            let why = number.map(|number| self.chronicle.why(&thief.holdings, number)).unwrap_or_default();
            failures.push(self.failure(
                format!("the thief of {id} can read {message}"),
                format!("nothing that was stolen leads to its key: {}", why.join("; ")),
            ));
        }
        for message in cannot_read {
            if let Some(path) = key(message) {
                failures.push(self.failure(
                    format!("the thief of {id} cannot read {message}"),
                    format!("what was stolen leads to its key: {path}"),
                ));
            }
        }
        if let Some(within) = heals_within {
            let healed = thief.healed_after(answers.exposure.reach, epoch);
            if healed.is_none_or(|healed| healed > within) {
                let seen = match healed {
                    Some(healed) => format!("it took {}: until then the thief could follow", count(healed)),
                    None => "the thief still follows the group".to_owned(),
                };
                failures.push(self.failure(format!("{id} has healed within {}", count(within)), seen));
            }
        }
        failures
    }

    /// What the thief of this number can read now, and where the ways of finding that out do not agree.
    fn answers(&mut self, thief: usize) -> Arc<Answers> {
        match &self.thieves[thief].answers {
            Some((seen, answers)) if *seen == self.traffic.len() => return answers.clone(),
            _ => {}
        }
        self.observe(thief);
        self.chronicle.see_tapes();
        let thief = &mut self.thieves[thief];
        let answers = self.chronicle.answers(&thief.stolen, &thief.holdings, thief.replay.readable());
        let answers = Arc::new(answers);
        thief.answers = Some((self.traffic.len(), answers.clone()));
        answers
    }

    /// What answers that do not agree are as failures.
    pub(super) fn disagreement_failures(&self, thief: &str, disagreements: &[Disagreement]) -> Vec<Failure> {
        let failure = |finding: &Disagreement| {
            let message = self.sent.messages.get(finding.message).map_or("a message", |message| message.id.as_str());
            self.failure(format!("for {thief}, {message} {}", finding.expected), finding.seen.clone())
        };
        disagreements.iter().map(failure).collect()
    }

    /// Answers to what a thief can read that do not agree.
    fn disagreements(&mut self) -> Vec<Failure> {
        let mut failures: Vec<_> = self
            .chronicle
            .impossible()
            .into_iter()
            .map(|impossible| self.failure("what happens is possible by RFC 9420", impossible))
            .collect();
        for number in 0..self.thieves.len() {
            let answers = self.answers(number);
            let thief = format!("the thief of {}", self.thieves[number].id);
            failures.extend(self.disagreement_failures(&thief, &answers.disagreements));
        }
        // What one of them finds, all of them find.
        if failures.is_empty() && self.thieves.len() > 1 {
            let disagreements = self.pooled().disagreements;
            failures.extend(self.disagreement_failures("all thieves together", &disagreements));
        }
        failures
    }

    /// What all thieves can read together. A key that is useless to one of them may be what another lacks: an old leaf's
    /// opens the commit that healed somebody else.
    fn pooled(&mut self) -> Answers {
        self.chronicle.see_tapes();
        let stolen: Vec<_> = self.thieves.iter().flat_map(|thief| thief.stolen.iter().cloned()).collect();
        let mut holdings = Holdings::default();
        self.thieves.iter().for_each(|thief| holdings.pool(&thief.holdings));
        let replayed = self.thieves.iter().flat_map(|thief| thief.replay.readable()).copied().collect();
        self.chronicle.answers(&stolen, &holdings, &replayed)
    }

    /// Messages that did not come to somebody who was a member when they were sent, while the service kept them.
    fn missing_messages(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        let kept = |message: &&Message| message.time.0 + Limits::default().retention_seconds > self.clock.0;
        for (number, message) in self.sent.messages.iter().enumerate().filter(|(_, message)| kept(message)) {
            let Some(readers) = self.rosters.get(message.at.epoch as usize) else { continue };
            for index in readers.iter().filter(|index| **index != message.at.sender) {
                let device = &self.devices[*index];
                if device.online && !device.fates.contains_key(&number) {
                    failures.push(self.failure(
                        format!("{} has every message of its membership", device.name),
                        format!("{} never came to it", message.id),
                    ));
                }
            }
        }
        failures
    }

    /// Messages that were read by somebody who was not a member when they were sent: members, and thieves.
    fn foreign_reading(&mut self) -> Vec<Failure> {
        let mut failures = Vec::new();
        for device in &self.devices {
            let read = device.fates.iter().filter(|(_, reading)| **reading == Reading::Read);
            for (number, _) in read {
                failures.extend(self.foreign(*number, device.index, &format!("{}", device.name)));
            }
        }
        for number in 0..self.thieves.len() {
            let answers = self.answers(number);
            let exposure = &answers.exposure;
            let (device, id) = (self.thieves[number].device, self.thieves[number].id.clone());
            for message in exposure.messages.keys() {
                failures.extend(self.foreign(*message, device, &format!("the thief of {id}")));
            }
        }
        failures
    }

    fn foreign(&self, number: usize, device: usize, who: &str) -> Option<Failure> {
        let message = self.sent.messages.get(number)?;
        let members = self.rosters.get(message.at.epoch as usize)?;
        if members.contains(&device) {
            return None;
        }
        Some(self.failure(
            format!("nobody reads what was sent in an epoch that {} was not a member in", self.devices[device].name),
            format!("{who} reads {}, of epoch {}", message.id, message.at.epoch),
        ))
    }
}

fn count(epochs: u64) -> String {
    if epochs == 1 { "1 epoch".into() } else { format!("{epochs} epochs") }
}

fn names<'n>(names: impl IntoIterator<Item = &'n MemberName>) -> String {
    let names: Vec<_> = names.into_iter().map(MemberName::as_str).collect();
    if names.is_empty() { "nobody".into() } else { names.join(", ") }
}
