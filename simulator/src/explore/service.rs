//! Draws faults of the delivery service, and lies at the end of a scenario.

use std::{collections::BTreeSet, time::Duration};

use super::{
    generator::Generator,
    model::{MemberNumber, REFUSED},
    weights::StepKind,
};
use crate::scenario::{
    Action, ClockJump, Evidence, EvidenceExpectation, Expect, Finders, KillPoint, MemberName, ServiceFault,
};

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

const KILL_POINTS: [KillPoint; 3] = [KillPoint::BeforeWrite, KillPoint::WithinTransaction, KillPoint::AfterWrite];

impl Generator<'_> {
    /// Adds a fault of an honest service, with the steps that meet it.
    pub(super) fn service_fault(&mut self) -> Option<()> {
        match self.rng.below(6) {
            0 => self.act(Action::Service(ServiceFault::Restart)),
            1 => {
                let at = self.rng.one(&KILL_POINTS)?;
                self.interrupted(|_| ServiceFault::Kill(at))?;
            }
            2 => self.interrupted(|by| ServiceFault::LoseReply(vec![by]))?,
            3 => self.refused()?,
            4 => {
                let days = self.rng.one(&[7, 60])?;
                let retention = ServiceFault::Retention(Duration::from_secs(days * DAY));
                self.act_if_permitted(Action::Service(retention))?;
            }
            _ => {
                let (by, back) = (self.rng.one(&[HOUR, DAY, 3 * DAY])?, self.rng.once_in(2));
                let jump = ClockJump { back, by: Duration::from_secs(by) };
                self.act_if_permitted(Action::Service(ServiceFault::Clock(jump)))?;
            }
        }
        Some(())
    }

    /// Adds an interruption, and a submission that meets it.
    fn interrupted(&mut self, fault: impl FnOnce(MemberName) -> ServiceFault) -> Option<()> {
        let by = self.rng.one(&self.model.present())?;
        let action = self.any_submission(by)?;
        let fault = fault(self.name(by));
        self.act(Action::Service(fault));
        self.act(action);
        Some(())
    }

    /// Adds a full disk, and a submission that the service refuses.
    fn refused(&mut self) -> Option<()> {
        let by = self.rng.one(&self.model.present())?;
        let kind = if self.rng.once_in(2) { StepKind::Send } else { StepKind::Update };
        let action = self.submission(kind, by).filter(|action| self.model.permits_refusal(action))?;
        self.act(Action::Service(ServiceFault::DiskFull(true)));
        self.act(action);
        self.act(Action::Expect(Box::new(Expect { fails: Some(REFUSED), ..Expect::default() })));
        self.act(Action::Service(ServiceFault::DiskFull(false)));
        Some(())
    }

    /// Ends some scenarios with lies of the service that the members have to find.
    pub(super) fn lies(&mut self) {
        if self.weights.of(StepKind::Service) > 0 {
            if self.rng.once_in(3) {
                self.false_roster();
            }
            // The oracle has one history, so a scenario with a theft has one.
            if self.compromises == 0 && self.rng.once_in(2) {
                self.equivocation();
            }
        }
    }

    fn false_roster(&mut self) -> Option<()> {
        let present = self.model.present();
        let to = self.rng.one(&present)?;
        let others: Vec<_> = self.model.group.iter().copied().filter(|member| *member != to).collect();
        let outside: Vec<_> = self.model.all().filter(|member| !self.model.group.contains(member)).collect();
        let (add, hide) = match self.rng.one(&outside) {
            Some(outsider) if self.rng.once_in(2) => (vec![self.name(outsider)], Vec::new()),
            _ => {
                let hidden = self.rng.one(&others)?;
                (Vec::new(), vec![self.name(hidden)])
            }
        };
        let to = vec![self.name(to)];
        self.act(Action::Service(ServiceFault::FalseRoster { to: to.clone(), add, hide }));
        self.act(found(Evidence::RosterLie, to.clone()));
        self.act(Action::Service(ServiceFault::Release(to)));
        Some(())
    }

    /// Adds two histories with the same messages in another order. Two members compare them.
    fn equivocation(&mut self) -> Option<()> {
        let present = self.model.present();
        let all_act = present.len() == self.model.group.len();
        (all_act && present.len() > 1 && !self.model.something_waits()).then_some(())?;
        let second = self.rng.some(&present, present.len() - 1);
        (!second.is_empty()).then_some(())?;
        let members: BTreeSet<MemberNumber> = second.iter().copied().collect();
        let first: Vec<_> = present.into_iter().filter(|member| !members.contains(member)).collect();
        let both = [self.rng.one(&first)?, self.rng.one(&second)?];
        let to = self.names(&second);
        self.act(Action::Service(ServiceFault::Equivocate { to: to.clone() }));
        for by in both {
            let send = self.submission(StepKind::Send, by)?;
            self.act(send);
        }
        let compare = self.names(&both);
        self.act(Action::Compare { who: compare.clone() });
        self.act(found(Evidence::Equivocation, compare));
        self.act(Action::Expect(Box::new(Expect { cut_off: to, ..Expect::default() })));
        Some(())
    }
}

/// The expectation that these members have found evidence in the epoch of the lie.
fn found(what: Evidence, by: Vec<MemberName>) -> Action {
    let found = Some(Finders { by, within: Some(0) });
    let evidence = vec![EvidenceExpectation { what, found }];
    Action::Expect(Box::new(Expect { evidence, ..Expect::default() }))
}
