//! The work that is due by the policies of the devices: does it, and checks expectations about it.

use regrow_engine::{DeviceId, Due, GroupId, Rotation};

use super::{event::of_group, expect::names, state::World, step_failure::StepFailure};
use crate::{
    cost::Operation,
    report::Failure,
    scenario::{Action, DueExpectation, DueRotation, MemberName},
};

/// An expected fact and the fact that is seen, in words.
type Difference = (String, String);

impl World<'_> {
    /// Has members do the work that is due, one after the other.
    pub(super) fn upkeep(&mut self, group: &GroupId, who: &[MemberName]) -> Result<(), StepFailure> {
        for name in who {
            let device = self.devices.find(name)?;
            let state = self.devices[device].in_group(group);
            let cannot_go_on = state.lost || state.locked_out;
            let member = &mut self.devices[device];
            if cannot_go_on || !member.keeps_up(group) || member.epoch(group).is_none() {
                continue;
            }
            let inactive = self.due(group, device)?.inactive;
            if !inactive.is_empty() {
                let who = self.names_of(&inactive);
                self.carry_out(group, &Action::Remove { by: name.clone(), who })?;
            }
            // The removal has replaced the keys of its committer.
            if let Some(rotation) = self.due(group, device)?.rotation {
                let signature_key = rotation == Rotation::SignatureKey;
                self.carry_out(group, &Action::Update { by: name.clone(), signature_key })?;
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, group: &GroupId, action: &Action) -> Result<(), StepFailure> {
        let (device, submission) = self.prepare(group, action)?;
        self.devices[device].naming = None;
        self.carry_through(device, submission)?;
        self.settle()
    }

    /// The work that is due in a group, by the policy and the clock of a device.
    fn due(&mut self, group: &GroupId, device: usize) -> Result<Due, StepFailure> {
        let now = self.now_of(device);
        let due = |client: &mut regrow_engine::Client| client.group(group)?.due(now);
        self.devices[device].persist(&mut self.recorder, Operation::Housekeeping, due)
    }

    /// The members with these devices, sorted.
    fn names_of(&self, devices: &[DeviceId]) -> Vec<MemberName> {
        let indexes = devices.iter().filter_map(|device| self.devices.index_of(device));
        let mut names: Vec<_> = indexes.map(|index| self.devices[index].name.clone()).collect();
        names.sort();
        names
    }

    /// The failures of an expectation about due work.
    pub(super) fn expect_due(&mut self, group: &GroupId, expected: &DueExpectation) -> Vec<Failure> {
        let mut failures = Vec::new();
        for name in &expected.who {
            let differences = self.due_differences(group, name, expected).unwrap_or_else(|failure| {
                vec![(format!("the device of {name} tells which work is due"), failure.detail)]
            });
            let differences = differences.into_iter();
            failures.extend(differences.map(|(it, seen)| self.recorder.failure(it, seen).about_member(name)));
        }
        failures
    }

    fn due_differences(
        &mut self,
        group: &GroupId,
        name: &MemberName,
        expected: &DueExpectation,
    ) -> Result<Vec<Difference>, StepFailure> {
        let DueExpectation { rotation, inactive, key_packages, .. } = expected;
        let device = self.devices.find(name)?;
        let mut differences = Vec::new();
        if rotation.is_some() || inactive.is_some() {
            let due = self.due(group, device)?;
            differences.extend(rotation.and_then(|wanted| rotation_differs(name, wanted, due.rotation)));
            let removal = |who: &[MemberName]| match who {
                [] => format!("no removal is due for {name}"),
                who => format!("the removal of {} is due for {name}", names(who)),
            };
            let found = self.names_of(&due.inactive);
            let differs = |wanted: &Vec<MemberName>| {
                let mut wanted = wanted.clone();
                wanted.sort();
                (wanted != found).then(|| (removal(&wanted), removal(&found)))
            };
            differences.extend(inactive.as_ref().and_then(differs));
            let in_group = of_group(self.service.label(group).as_ref());
            differences.iter_mut().for_each(|(it, _)| *it += &in_group);
        }
        if let Some(wanted) = *key_packages {
            let device = &self.devices[device];
            let left = self.service.endpoint.key_packages_left(&device.address, self.clock.now())?.left;
            let missing = device.client.key_packages_due(left);
            let publication = |count: usize| format!("{name} has to publish {count} key packages");
            let wanted = wanted as usize;
            differences.extend((missing != wanted).then(|| (publication(wanted), publication(missing))));
        }
        Ok(differences)
    }
}

fn rotation_differs(name: &MemberName, wanted: DueRotation, due: Option<Rotation>) -> Option<Difference> {
    let due = match due {
        None => DueRotation::Nothing,
        Some(Rotation::Keys) => DueRotation::Keys,
        Some(Rotation::SignatureKey) => DueRotation::SignatureKey,
    };
    let words = |rotation: DueRotation| match rotation {
        DueRotation::Nothing => format!("no new keys of {name} are due"),
        DueRotation::Keys => format!("new keys of {name} are due"),
        DueRotation::SignatureKey => format!("new keys and a new signature key of {name} are due"),
    };
    (due != wanted).then(|| (words(wanted), words(due)))
}
