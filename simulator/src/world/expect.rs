//! What has to hold: what a scenario asks for, and what every scenario promises at its end.

use std::collections::{BTreeMap, BTreeSet};

use regrow_delivery_service::Limits;

use super::{World, device::Reading, service::Message};
use crate::{
    adversary::Thief,
    report::{CompromiseFigures, Failure, Figures},
    scenario::{CompromiseId, Expect, MemberName, MessageId, Reading as Asked, Scope},
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
            Some(Asked::Thief { compromise, reads, cannot_read, heals_within }) => {
                failures.extend(self.thief_reads(compromise, reads, cannot_read, *heals_within));
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
        failures
    }

    pub(super) fn figures(&mut self) -> Figures {
        let epochs = self.service_epoch();
        let mut exposed = BTreeSet::new();
        let mut compromises = Vec::with_capacity(self.thieves.len());
        for thief in &mut self.thieves {
            thief.observe(&self.traffic);
            exposed.extend(thief.readable().iter().copied());
            let before = thief.readable().range(..thief.messages).count() as u64;
            compromises.push(CompromiseFigures {
                id: thief.id.clone(),
                who: thief.who.clone(),
                scope: Scope::Device,
                exposed_before: before,
                exposed_after: thief.readable().len() as u64 - before,
                healed_after: thief.healed_after(epochs),
            });
        }
        Figures {
            members: self.roster().len() as u64,
            epochs,
            messages: self.sent.messages.len() as u64,
            exposed: exposed.len() as u64,
            unordered_commits: self.unordered_commits,
            compromises,
        }
    }

    /// Online members that are not in the same state as the others, or not in the service's epoch.
    fn divergence(&mut self) -> Vec<Failure> {
        let (group, epoch, roster) = (self.group.clone(), self.service_epoch(), self.roster());
        let mut states: BTreeMap<_, Vec<MemberName>> = BTreeMap::new();
        let expected: BTreeSet<_> = roster.iter().map(|index| self.devices[*index].name.as_str().to_owned()).collect();
        let mut failures = Vec::new();
        for index in roster.iter().copied().filter(|index| self.devices[*index].online).collect::<Vec<_>>() {
            let device = &mut self.devices[index];
            let (name, own) = (device.name.clone(), device.epoch(&group));
            if own != Some(epoch) {
                let seen = own.map_or("not in the group".to_owned(), |own| format!("in epoch {own}"));
                failures.push((format!("{name} is in epoch {epoch}, like the service"), format!("{name} is {seen}")));
            }
            let listed = device.client.group(&group).and_then(|mut group| group.roster()).map(|members| {
                members.into_iter().map(|member| member.device.user().to_owned()).collect::<BTreeSet<_>>()
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
                device.fates.get(&number) == Some(&Reading::Read)
                    || self.sent.messages[number].at.sender == device.index
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
        self.thieves[position].observe(&self.traffic);
        let thief = &self.thieves[position];
        let can_read = |id: &MessageId| self.sent.number(id).is_some_and(|number| thief.readable().contains(&number));
        let mut failures = Vec::new();
        for message in reads.iter().filter(|message| !can_read(message)) {
            failures.push(self.failure(
                format!("the thief of {id} can read {message}"),
                "the replay of what was stolen does not read it",
            ));
        }
        for message in cannot_read.iter().filter(|message| can_read(message)) {
            failures.push(
                self.failure(
                    format!("the thief of {id} cannot read {message}"),
                    "the replay of what was stolen reads it",
                ),
            );
        }
        if let Some(within) = heals_within {
            let healed = thief.healed_after(epoch);
            if healed.is_none_or(|healed| healed > within) {
                let seen = match healed {
                    Some(healed) => format!("it took {}: until then the replay could follow", count(healed)),
                    None => "the replay still follows the group".to_owned(),
                };
                failures.push(self.failure(format!("{id} has healed within {}", count(within)), seen));
            }
        }
        failures
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
        let traffic = &self.traffic;
        self.thieves.iter_mut().for_each(|thief: &mut Thief| thief.observe(traffic));
        for thief in &self.thieves {
            for number in thief.readable() {
                failures.extend(self.foreign(*number, thief.device, &format!("the thief of {}", thief.id)));
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
