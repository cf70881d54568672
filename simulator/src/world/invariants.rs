//! Checks the invariants that hold at the end of every scenario.

use std::collections::{BTreeMap, BTreeSet};

use regrow_engine::{DeviceId, GroupId};

use super::{
    cut_off::CutOff,
    device::{Device, ReadStatus},
    event::of_group,
    expect::names,
    service_under_test::OrderedMessage,
    state::World,
};
use crate::{
    adversary::Disagreement,
    report::Failure,
    scenario::{CompromiseId, MemberName},
};

impl World<'_> {
    /// Returns a failure for each invariant that is broken now, and for each breach during the
    /// steps.
    pub(super) fn invariants(&mut self) -> Vec<Failure> {
        let mut failures = self.recorder.take_breaches();
        failures.extend(self.crashes_left());
        failures.extend(self.interruptions_left());
        failures.extend(self.divergence());
        failures.extend(self.former_devices_left());
        failures.extend(self.missing_messages());
        failures.extend(self.foreign_reading());
        failures.extend(self.disagreements());
        failures
    }

    /// Armed crashes that did not happen.
    fn crashes_left(&self) -> Vec<Failure> {
        let armed = self.devices.iter().filter_map(|device| Some((device, device.armed()?)));
        armed
            .map(|(device, at)| {
                self.recorder
                    .failure(format!("{}'s process dies at `{at}`", device.name), "no operation reached that point")
                    .about_member(&device.name)
            })
            .collect()
    }

    /// Armed interruptions of a submission that did not happen.
    fn interruptions_left(&self) -> Vec<Failure> {
        let armed = &self.service.interruptions;
        let kill = armed.armed_kill().map(|at| format!("the delivery service dies at `{at}`"));
        let losses = armed.armed_losses().map(|device| format!("an answer to {} is lost", self.devices[device].name));
        let expected = kill.into_iter().chain(losses);
        expected.map(|expected| self.recorder.failure(expected, "no submission met it")).collect()
    }

    /// Online members that differ from the others in a group, or from the service, in epoch, roster
    /// or state.
    fn divergence(&mut self) -> Vec<Failure> {
        let groups: Vec<_> = self.service.groups.keys().cloned().collect();
        groups.iter().flat_map(|group| self.divergence_in(group)).collect()
    }

    pub(super) fn divergence_in(&mut self, group: &GroupId) -> Vec<Failure> {
        let (epoch, roster) = (self.service.epoch(group), self.service.roster(group));
        let keep = self.loaded_groups.devices(self.service.member_count());
        let mut states: BTreeMap<_, Vec<MemberName>> = BTreeMap::new();
        let expected: BTreeSet<_> = roster.iter().map(|index| self.devices[*index].address.clone()).collect();
        let mut failures = Vec::new();
        for index in roster {
            let device = &mut self.devices[index];
            // A device that a thief has locked out knows it, and differs until it has rejoined. A
            // device that the service has cut off differs as long as the scenario names it.
            let is_excused = device.is_locked_out(group) || device.in_group(group).cut_off.is_excused();
            if !device.keeps_up(group) || is_excused {
                continue;
            }
            let (name, own) = (device.name.clone(), device.epoch(group));
            if own != Some(epoch) {
                let seen = own.map_or("not in the group".to_owned(), |own| format!("in epoch {own}"));
                let seen = format!("{name} is {seen}{}", self.why_behind(group, index));
                let expected = format!("{name} is in epoch {epoch}, like the service");
                failures.push(self.recorder.failure(expected, seen).about_member(&name));
            }
            let device = &mut self.devices[index];
            if own.is_some() && listed_members(device, group).is_some_and(|listed| listed != expected) {
                let expected = format!("{name} and the service see the same members");
                failures.push(self.recorder.failure(expected, "they do not").about_member(&name));
            }
            states.entry(device.authenticator(group)).or_default().push(name);
            device.unload_groups(keep);
        }
        if states.len() > 1 {
            // The largest state comes first, because a reader looks for the devices that differ.
            let mut states: Vec<_> = states.into_values().collect();
            states.sort_by_key(|members| std::cmp::Reverse(members.len()));
            let groups: Vec<_> = states.iter().map(names).collect();
            let failure = self.recorder.failure(
                "all online members hold the same epoch authenticator",
                format!("there are {} states: {}", groups.len(), groups.join(" / ")),
            );
            // One member of each state is enough to see the difference.
            let one_of_each = states.iter().filter_map(|members| members.first());
            failures.push(one_of_each.fold(failure, Failure::about_member));
        }
        let label = self.service.label(group);
        let in_group = |failure: Failure| {
            let expected = failure.expected.clone() + &of_group(label.as_ref());
            Failure { expected, ..failure }.about_group(&label.clone().unwrap_or_default())
        };
        failures.into_iter().map(in_group).collect()
    }

    /// Messages that did not reach a device that was a member when they were sent, while the
    /// service kept them.
    fn missing_messages(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        let expired = self.service.expired_until;
        // Members of the second history are cut off, and miss its messages in the first one.
        let kept = |message: &&OrderedMessage| message.in_first && message.kept_until > expired;
        let messages = self.service.sent.list.iter().enumerate();
        for (number, message) in messages.filter(|(_, message)| kept(message)) {
            let rosters = self.service.groups.get(&message.group).map(|group| &group.rosters);
            let readers = rosters.and_then(|rosters| rosters.get(message.at.epoch as usize));
            let Some(readers) = readers else { continue };
            for index in readers.iter().filter(|index| **index != message.at.sender) {
                let device = &self.devices[*index];
                let status = device.read_status.get(&number);
                let is_missing = matches!(status, None | Some(ReadStatus::CutOff));
                let cut_off = device.groups.get(&message.group).map(|state| &state.cut_off);
                let is_excused = cut_off.is_some_and(|cut_off| cut_off.excuses(number));
                if device.keeps_up(&message.group) && is_missing && !is_excused {
                    let hint = cut_off.map(CutOff::hint).unwrap_or_default();
                    let failure = self.recorder.failure(
                        format!("{} has every message of its membership", device.name),
                        format!("{} was not delivered to it{hint}", message.id),
                    );
                    failures.push(failure.about_member(&device.name).about_message(&message.id));
                }
            }
        }
        failures
    }

    /// Messages that a device or a thief read although the device was not a member when they were
    /// sent.
    fn foreign_reading(&mut self) -> Vec<Failure> {
        let mut failures = Vec::new();
        for device in self.devices.iter() {
            let read = device.read_status.iter().filter(|(_, status)| **status == ReadStatus::Read);
            for (number, _) in read {
                failures.extend(self.foreign(*number, device.index, None));
            }
        }
        let answers = self.thieves.answers_of_all(self.service.traffic(), &mut self.recorder.facts);
        for (thief, answers) in answers.iter().enumerate() {
            let (device, id) = (self.thieves[thief].device, &self.thieves[thief].id);
            for message in answers.exposure.messages.keys() {
                failures.extend(self.foreign(*message, device, Some(id)));
            }
        }
        failures
    }

    /// The failure if a device, or a thief of it, has read a message of an epoch in which the device was
    /// not a member.
    fn foreign(&self, number: usize, device: usize, thief: Option<&CompromiseId>) -> Option<Failure> {
        let who = thief.map_or_else(|| self.devices[device].name.to_string(), |id| format!("the thief of {id}"));
        let message = self.service.sent.list.get(number)?;
        if !message.in_first {
            // The rosters are those of the first history.
            return None;
        }
        if self.service.was_member(device, &message.group, message.at.epoch)? {
            return None;
        }
        let failure = self.recorder.failure(
            format!("{who} reads no message of an epoch in which {} was not a member", self.devices[device].name),
            format!(
                "{who} reads {}, of epoch {}{}",
                message.id,
                message.at.epoch,
                of_group(self.service.label(&message.group).as_ref())
            ),
        );
        let failure = failure.about_message(&message.id);
        Some(match thief {
            Some(thief) => failure.about_thief(thief),
            None => failure.about_member(&self.devices[device].name),
        })
    }

    /// Disagreements between the tape, the oracle and the replay, and facts that the oracle
    /// refuses.
    fn disagreements(&mut self) -> Vec<Failure> {
        let impossible = self.recorder.facts.impossible().into_iter();
        let mut failures: Vec<_> =
            impossible.map(|fact| self.recorder.failure("every fact is possible by RFC 9420", fact)).collect();
        let answers = self.thieves.answers_of_all(self.service.traffic(), &mut self.recorder.facts);
        for (number, answers) in answers.iter().enumerate() {
            let id = &self.thieves[number].id;
            let of_thief = self.disagreement_failures(&format!("the thief of {id}"), &answers.disagreements);
            failures.extend(of_thief.into_iter().map(|failure| failure.about_thief(id)));
        }
        // A disagreement of one thief is also one of all thieves together.
        if failures.is_empty() && self.thieves.len() > 1 {
            let disagreements = self.thieves.pooled_answers(&mut self.recorder.facts).disagreements;
            failures.extend(self.disagreement_failures("all thieves together", &disagreements));
        }
        failures
    }

    /// The failures that report a thief's disagreements.
    pub(super) fn disagreement_failures(&self, thief: &str, disagreements: &[Disagreement]) -> Vec<Failure> {
        let failure = |it: &Disagreement| {
            let message = self.service.sent.list.get(it.message).map(|message| &message.id);
            let name = message.map_or("a message", |id| id.as_str());
            let failure = self.recorder.failure(format!("for {thief}, {name} {}", it.expected), it.seen.clone());
            message.iter().fold(failure, |failure, id| failure.about_message(id))
        };
        disagreements.iter().map(failure).collect()
    }
}

/// The devices in the group, as a device's engine lists them.
fn listed_members(device: &mut Device, group: &GroupId) -> Option<BTreeSet<DeviceId>> {
    let members = device.client.group(group).and_then(|mut group| group.roster()).ok()?;
    Some(members.into_iter().map(|member| member.device).collect())
}
