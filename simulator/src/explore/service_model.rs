//! The generator's model of the delivery service: its disk, its clock, its retention, and its lies.

use std::collections::BTreeSet;

use super::model::{MOST_AWAY, MemberNumber, REFUSED};
use crate::scenario::{Action, ClockJump, Evidence, EvidenceExpectation, Expect, MemberName, ServiceFault};

const DAY: u64 = 24 * 60 * 60;

/// The largest error of the service's clock, in seconds. It is less than the rest of the time for
/// which key packages are usable.
const MOST_WRONG: i64 = 5 * DAY as i64;

/// The state of the service.
pub(super) struct ServiceModel {
    /// The longest time that a device may be offline, in seconds.
    pub(super) most_away: u64,
    disk_full: bool,
    /// True if the step before was a submission that the service refused.
    refused: bool,
    /// The seconds by which the service's clock is ahead.
    ahead: i64,
    told_false_roster: BTreeSet<MemberNumber>,
    second_history: BTreeSet<MemberNumber>,
    /// The members that have sent a message since the histories split.
    speakers: BTreeSet<MemberNumber>,
    /// The members that have compared the histories since both are different.
    compared: BTreeSet<MemberNumber>,
}

impl Default for ServiceModel {
    fn default() -> Self {
        Self {
            most_away: MOST_AWAY,
            disk_full: false,
            refused: false,
            ahead: 0,
            told_false_roster: BTreeSet::new(),
            second_history: BTreeSet::new(),
            speakers: BTreeSet::new(),
            compared: BTreeSet::new(),
        }
    }
}

impl ServiceModel {
    /// True if the service refuses every submission.
    pub(super) fn refuses(&self) -> bool {
        self.disk_full
    }

    /// True if this step can come now, as far as the service is concerned.
    pub(super) fn permits(&self, action: &Action, member: impl Fn(&MemberName) -> MemberNumber) -> bool {
        if let Action::Expect(expect) = action {
            return self.permits_expectation(expect, member);
        }
        let is_lie_in_force = !self.second_history.is_empty();
        match action {
            // A refused submission has an expectation after it.
            _ if self.refused => false,
            Action::Send { .. } | Action::Compare { .. } => true,
            _ if is_lie_in_force => false,
            Action::Update { .. } | Action::Service(ServiceFault::DiskFull(false)) => true,
            _ if self.disk_full => false,
            Action::Service(ServiceFault::Clock(jump)) => (self.ahead + seconds(jump)).abs() <= MOST_WRONG,
            _ => true,
        }
    }

    fn permits_expectation(&self, expect: &Expect, member: impl Fn(&MemberName) -> MemberNumber) -> bool {
        let refusal = match expect.fails {
            Some(code) => self.refused && code == REFUSED,
            None => !self.refused,
        };
        let knows = |EvidenceExpectation { what, found }: &EvidenceExpectation| {
            let finders = match what {
                Evidence::Equivocation => &self.compared,
                Evidence::RosterLie => &self.told_false_roster,
                Evidence::Gap => return false,
            };
            found.iter().flat_map(|found| &found.by).all(|name| finders.contains(&member(name)))
        };
        refusal
            && expect.evidence.iter().all(knows)
            && expect.cut_off.iter().all(|name| self.second_history.contains(&member(name)))
    }

    /// Applies a step. Returns the seconds that pass at the service.
    pub(super) fn apply(&mut self, action: &Action, member: impl Fn(&MemberName) -> MemberNumber) -> u64 {
        self.refused = self.disk_full && !action.submitters().is_empty();
        let all = |names: &[MemberName]| names.iter().map(&member).collect::<BTreeSet<_>>();
        match action {
            Action::Send { by, .. } => drop(self.speakers.insert(member(by))),
            Action::Compare { who } => {
                let who = all(who);
                let differ = self.speakers.iter().any(|speaker| self.second_history.contains(speaker))
                    && self.speakers.iter().any(|speaker| !self.second_history.contains(speaker));
                let both = who.iter().any(|one| self.second_history.contains(one))
                    && who.iter().any(|one| !self.second_history.contains(one));
                if differ && both {
                    self.compared.extend(who);
                }
            }
            Action::Service(fault) => match fault {
                ServiceFault::DiskFull(full) => self.disk_full = *full,
                ServiceFault::Retention(time) => {
                    // A device is away for a part of the retention time.
                    self.most_away = self.most_away.min(time.as_secs() / 2);
                }
                ServiceFault::Clock(jump) => {
                    self.ahead += seconds(jump);
                    return if jump.back { 0 } else { jump.by.as_secs() };
                }
                ServiceFault::FalseRoster { to, .. } => self.told_false_roster.extend(all(to)),
                ServiceFault::Equivocate { to } => {
                    self.second_history = all(to);
                    self.speakers.clear();
                }
                _ => {}
            },
            _ => {}
        }
        0
    }
}

fn seconds(jump: &ClockJump) -> i64 {
    let by = i64::try_from(jump.by.as_secs()).unwrap_or(i64::MAX / 2);
    if jump.back { -by } else { by }
}
