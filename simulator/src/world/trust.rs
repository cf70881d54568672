//! Safety numbers, the answers of applications about keys, and the expectations on group data and
//! verified members.

use std::collections::BTreeSet;

use regrow_engine::{Client, Comparison, GroupId, SafetyNumber, UserId};

use super::{
    event::{TranscriptEvent, of_group},
    expect::names,
    state::World,
    step_failure::StepFailure,
};
use crate::{
    cost::Operation,
    report::Failure,
    scenario::{Answer, FailCode, MemberName, VerifiedExpectation},
};

impl World<'_> {
    /// Has a member compare its safety number with each of these members.
    pub(super) fn verify(&mut self, group: &GroupId, by: &MemberName, who: &[MemberName]) -> Result<(), StepFailure> {
        who.iter().try_for_each(|who| self.compare_numbers(group, by, who))
    }

    /// Two members scan each other's codes. The delivery service has no part in it.
    fn compare_numbers(&mut self, group: &GroupId, by: &MemberName, who: &MemberName) -> Result<(), StepFailure> {
        let both = [self.devices.find(by)?, self.devices.find(who)?];
        let users = both.map(|device| self.devices[device].address.user().clone());
        let own = self.safety_number(group, both[0], &users[1])?;
        let other = self.safety_number(group, both[1], &users[0])?;
        let equal = own.compare(&other.to_qr_payload()) == Comparison::Match;
        self.recorder.tell(TranscriptEvent::Compared { by: by.clone(), who: who.clone(), equal });
        if !equal {
            let detail = format!("{by} and {who} see different safety numbers");
            return Err(StepFailure::new(FailCode::Mismatch, detail));
        }
        self.mark_as_verified(group, both[0], &users[1], &own)?;
        self.mark_as_verified(group, both[1], &users[0], &other)
    }

    fn safety_number(&mut self, group: &GroupId, device: usize, user: &UserId) -> Result<SafetyNumber, StepFailure> {
        self.refuse_if_locked(device)?;
        let number = |client: &mut Client| client.group(group)?.safety_number(user);
        self.devices[device].persist(&mut self.recorder, Operation::Housekeeping, number)
    }

    fn mark_as_verified(
        &mut self,
        group: &GroupId,
        device: usize,
        user: &UserId,
        number: &SafetyNumber,
    ) -> Result<(), StepFailure> {
        let verify = |client: &mut Client| client.group(group)?.verify_user(user, number);
        self.devices[device].persist(&mut self.recorder, Operation::Housekeeping, verify)
    }

    /// Changes the answers of applications about new keys.
    pub(super) fn authenticate(
        &mut self,
        who: &[MemberName],
        of: &[MemberName],
        answer: Answer,
    ) -> Result<(), StepFailure> {
        let users: Vec<_> =
            self.devices.indexes(of)?.into_iter().map(|of| self.devices[of].address.user().clone()).collect();
        for name in who {
            let device = self.devices.find(name)?;
            users.iter().for_each(|user| self.devices[device].answers.answer(user, answer));
            self.recorder.tell(TranscriptEvent::Answers { who: name.clone(), of: of.to_vec(), answer });
        }
        Ok(())
    }

    /// The failures of an expectation on the group data of all connected members.
    pub(super) fn expect_data(&mut self, group: &GroupId, expected: &str) -> Vec<Failure> {
        let in_group = of_group(self.service.label(group).as_ref());
        let mut failures = Vec::new();
        for device in self.service.roster(group) {
            if !self.devices[device].keeps_up(group) || self.devices[device].is_locked_out(group) {
                continue;
            }
            let data = self.devices[device].client.group(group).and_then(|mut group| group.data());
            let data = data.map(|data| String::from_utf8_lossy(&data).into_owned());
            if data.as_deref().ok() != Some(expected) {
                let name = &self.devices[device].name;
                let seen = data.map_or_else(|error| error.to_string(), |data| format!("it is `{data}`"));
                let failure =
                    self.recorder.failure(format!("the group data of {name}{in_group} is `{expected}`"), seen);
                failures.push(failure.about_member(name));
            }
        }
        failures
    }

    /// The failure of an expectation on verified members, if it does not hold.
    pub(super) fn expect_verified(&mut self, group: &GroupId, expected: &VerifiedExpectation) -> Option<Failure> {
        let VerifiedExpectation { by, who } = expected;
        let device = self.devices.find(by).ok()?;
        let verified = self.devices[device].client.group(group).and_then(|mut group| group.verified_users());
        let seen = match verified {
            Ok(users) => {
                // A user is verified with all of its devices.
                let wanted: BTreeSet<_> = who.iter().map(MemberName::user).collect();
                if wanted == users.iter().map(UserId::as_str).collect() {
                    return None;
                }
                let users: Vec<_> = users.iter().map(UserId::as_str).collect();
                if users.is_empty() {
                    "it has verified nobody".to_owned()
                } else {
                    format!("it has verified {}", users.join(", "))
                }
            }
            Err(error) => error.to_string(),
        };
        let in_group = of_group(self.service.label(group).as_ref());
        Some(self.recorder.failure(format!("{by} has verified {}{in_group}", names(who)), seen).about_member(by))
    }
}
