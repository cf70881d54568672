//! Has members check the delivery service, and records their findings.

use std::collections::BTreeSet;

use regrow_engine::{DeviceId, GroupId};

use super::{
    event::{TranscriptEvent, of_group},
    member_checks::{Finding, MemberChecks, NewFinding},
    state::World,
    step_failure::StepFailure,
};
use crate::{
    report::Failure,
    scenario::{Evidence, EvidenceExpectation, Finders, MemberName},
};

impl World<'_> {
    /// Members compare their latest receipts and their epoch authenticators of each group, without
    /// the service. They show each other the proofs that they find.
    pub(super) fn compare(&mut self, who: &[MemberName]) -> Result<(), StepFailure> {
        let members = self.devices.indexes(who)?;
        for member in &members {
            self.refuse_if_offline(*member)?;
        }
        for group in self.service.groups.keys().cloned().collect::<Vec<_>>() {
            self.compare_in(&group, &members);
            self.show_proofs(&group, &members);
        }
        self.note_findings();
        Ok(())
    }

    fn compare_in(&mut self, group: &GroupId, members: &[usize]) {
        let mut told = Vec::with_capacity(members.len());
        for member in members {
            let device = &mut self.devices[*member];
            let state = device.epoch(group).zip(device.authenticator(group));
            told.push((*member, device.checks.as_ref().and_then(|checks| checks.latest(group)), state));
        }
        for (member, _, own) in &told {
            let Some(checks) = &mut self.devices[*member].checks else { continue };
            for (_, receipt, state) in told.iter().filter(|(teller, ..)| teller != member) {
                receipt.iter().for_each(|receipt| checks.compare(receipt));
                if let (Some((epoch, own)), Some((other_epoch, other))) = (own, state)
                    && epoch == other_epoch
                    && own != other
                {
                    checks.authenticator_differs(group, *epoch);
                }
            }
        }
    }

    fn show_proofs(&mut self, group: &GroupId, members: &[usize]) {
        let checks_of = |member: &usize| Some((*member, self.devices[*member].checks.as_ref()?));
        let proofs = |(member, checks): (usize, &MemberChecks)| (member, checks.proofs(group));
        let shown: Vec<_> = members.iter().filter_map(checks_of).map(proofs).collect();
        for (member, own) in &shown {
            let others = shown.iter().filter(|(finder, _)| finder != member).flat_map(|(_, proofs)| proofs);
            let Some(checks) = &mut self.devices[*member].checks else { continue };
            others.filter(|proof| !own.contains(proof)).for_each(|proof| checks.shown(proof));
        }
    }

    /// Has every online member compare the service's roster of each new epoch with its own.
    pub(super) fn compare_rosters(&mut self) -> Result<(), StepFailure> {
        for group in self.service.groups.keys().cloned().collect::<Vec<_>>() {
            for device in 0..self.devices.len() {
                self.compare_roster(&group, device)?;
            }
        }
        self.note_findings();
        Ok(())
    }

    fn compare_roster(&mut self, group: &GroupId, index: usize) -> Result<(), StepFailure> {
        let keep = self.loaded_groups.devices(self.service.member_count());
        let device = &mut self.devices[index];
        let compared = match &device.checks {
            Some(checks) if device.online && checks.compares_rosters() => checks.compared_rosters.get(group).copied(),
            _ => return Ok(()),
        };
        let Some(epoch) = device.epoch(group).filter(|epoch| compared != Some(*epoch)) else { return Ok(()) };
        let told = self.service.told_roster(index, group)?;
        let Some(told) = told.filter(|told| told.epoch.0 == epoch) else { return Ok(()) };
        let own = device.client.group(group).and_then(|mut group| group.roster())?;
        device.unload_groups(keep);
        let own: BTreeSet<_> = own.into_iter().map(|member| member.device).collect();
        let detail = self.difference(&told.devices, &own);
        if let Some(checks) = &mut self.devices[index].checks {
            checks.compared_rosters.insert(group.clone(), epoch);
            if let Some(detail) = detail {
                checks.roster_differs(group, detail);
            }
        }
        Ok(())
    }

    /// The members that the service's roster adds and hides, in words. [`None`] if the rosters are
    /// equal.
    fn difference(&self, told: &BTreeSet<DeviceId>, own: &BTreeSet<DeviceId>) -> Option<String> {
        let names = |devices: Vec<&DeviceId>| {
            let names: Vec<_> = devices.into_iter().map(|device| self.devices.name_of(device)).collect();
            if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
        };
        let (added, hidden) = (told.difference(own).collect(), own.difference(told).collect());
        (told != own).then(|| format!("the service's roster adds {}, and hides {}", names(added), names(hidden)))
    }

    /// Has every online member that has read its stream to the end report entries that did not
    /// come.
    pub(super) fn report_early_ends(&mut self) {
        for group in self.service.groups.keys() {
            for device in self.devices.as_mut_slice() {
                let is_member = device.online && device.checks.is_some() && device.epoch(group).is_some();
                if let Some(checks) = device.checks.as_mut().filter(|_| is_member) {
                    checks.stream_ended(group);
                }
            }
        }
        self.note_findings();
    }

    /// Records the new findings of all members, in their order.
    pub(super) fn note_findings(&mut self) {
        (0..self.devices.len()).for_each(|device| self.note_findings_of(device));
    }

    /// Records the new findings of a member. A finding against an honest service is a breach.
    pub(super) fn note_findings_of(&mut self, index: usize) {
        let new = self.devices[index].checks.as_mut().map(MemberChecks::take_new).unwrap_or_default();
        for NewFinding { group, what, detail } in new {
            let device = &mut self.devices[index];
            let (by, epoch) = (device.name.clone(), device.epoch(&group).unwrap_or_default());
            let label = self.service.label(&group);
            let began = self.service.lies.began().map(|began| began.get(&group).copied().unwrap_or_default());
            // An honest service may delete an entry after its retention time.
            if began.is_none() && !(what == Evidence::Gap && device.in_group(&group).missed) {
                let expected = format!("{by} finds nothing against an honest service{}", of_group(label.as_ref()));
                self.recorder.breach_in(label.as_ref(), expected, detail.clone());
            }
            let after = epoch.saturating_sub(began.unwrap_or(epoch));
            let found = TranscriptEvent::Found { by, what: what.field(), group: label, epoch, detail: detail.clone() };
            self.recorder.tell(found);
            if let Some(checks) = &mut self.devices[index].checks {
                checks.findings.push(Finding { group, what, after, detail });
            }
        }
    }

    /// Returns a failure for each member that has not found the expected evidence, or for each that
    /// has found evidence that no member may find. With a group, only findings there count.
    pub(super) fn evidence(&self, expected: &EvidenceExpectation, only: Option<&GroupId>) -> Vec<Failure> {
        let what = expected.what;
        let in_group = of_group(only.and_then(|group| self.service.label(group)).as_ref());
        let findings = |device: usize| {
            let checks = self.devices[device].checks.as_ref();
            let found = checks.into_iter().flat_map(|checks| &checks.findings);
            found.filter(|finding| finding.what == what && only.is_none_or(|group| finding.group == *group))
        };
        let Some(Finders { by, within }) = &expected.found else {
            let finders = (0..self.devices.len()).filter_map(|device| Some((device, findings(device).next()?)));
            let failure = |(device, finding): (usize, &Finding)| {
                let seen = format!("{} has: {}", self.devices[device].name, finding.detail);
                self.recorder.failure(format!("no member has found {what}{in_group}"), seen)
            };
            return finders.map(failure).collect();
        };
        let most = within.unwrap_or(u64::MAX);
        let mut failures = Vec::new();
        for name in by {
            let Ok(device) = self.devices.find(name) else { continue };
            let earliest = findings(device).map(|finding| finding.after).min();
            let seen = match earliest {
                Some(after) if after <= most => continue,
                Some(after) => format!("{name} has found it after {after}"),
                None => format!("{name} has not"),
            };
            let within = within.map(|within| format!(" within {within} epochs")).unwrap_or_default();
            failures.push(self.recorder.failure(format!("{name} has found {what}{in_group}{within}"), seen));
        }
        failures
    }

    /// Names members as cut off. Returns a failure for each that is not.
    pub(super) fn name_cut_off(&mut self, group: &GroupId, who: &[MemberName]) -> Vec<Failure> {
        let mut failures = Vec::new();
        for name in who {
            let Ok(device) = self.devices.find(name) else { continue };
            if !self.devices[device].in_group(group).cut_off.name() {
                let expected =
                    format!("the delivery service has cut {name} off{}", of_group(self.service.label(group).as_ref()));
                failures.push(self.recorder.failure(expected, "it has not, or the member has followed again"));
            }
        }
        failures
    }
}
