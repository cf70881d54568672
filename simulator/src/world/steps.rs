//! Carries out one step of a scenario: sends each action to its module.

use std::time::Duration;

use super::{state::World, step_failure::StepFailure};
use crate::scenario::{Action, KeyPackageChange, MemberName, Placed, Proposal, Step};

impl World<'_> {
    /// Carries out a step. Other devices learn of it when the world [settles](World::settle).
    pub(super) fn step(&mut self, step: &Placed<Step>) -> Result<(), StepFailure> {
        match &step.item {
            Step::Do(action) => self.act(action),
            Step::Race(contenders) => self.race(contenders),
        }
    }

    fn act(&mut self, whole: &Action) -> Result<(), StepFailure> {
        let (_, id, action) = whole.parts();
        let name = whole.group();
        let group = &self.service.id_of(&name)?;
        match action {
            Action::Create { by, with } => self.create_group(&name, by, with, id),
            Action::Leave { who } | Action::Join { who } | Action::Rejoin { who } if who.len() != 1 => {
                self.one_after_the_other(whole, who)
            }
            Action::Propose { by, what: Proposal::Add(who) } if who.len() > 1 => {
                self.each(whole, who, |who| Action::Propose { by: by.clone(), what: Proposal::Add(who) })
            }
            Action::Propose { by, what: Proposal::Remove(who) } if who.len() > 1 => {
                self.each(whole, who, |who| Action::Propose { by: by.clone(), what: Proposal::Remove(who) })
            }
            Action::LinkDevice { by, who } => self.link_device(by, who),
            Action::LostDevice { by, who } => self.lost_device(by, who),
            Action::Offline { who } => self.set_online(who, false),
            Action::Online { who } => self.set_online(who, true),
            Action::KeyPackages { who, change } => {
                who.iter().try_for_each(|name| self.change_key_packages(name, *change))
            }
            Action::Hold(what) => {
                self.delivery_rules.hold(what);
                Ok(())
            }
            Action::Release(what) => {
                self.delivery_rules.release(what, self.devices.names());
                Ok(())
            }
            Action::Drop(what) => {
                self.delivery_rules.drop(what);
                Ok(())
            }
            Action::Duplicate(what) => {
                self.delivery_rules.repeat(what);
                Ok(())
            }
            Action::Crash { who, at } => {
                let device = self.devices.find(who)?;
                self.devices[device].arm(*at);
                Ok(())
            }
            Action::Compromise { who, id, scope } => self.compromise(who, id, *scope),
            Action::Impersonate { compromise, act, id } => self.impersonate(group, compromise, *act, id.as_ref()),
            Action::Network(change) => self.change_network(change),
            Action::Clock { who, change } => self.change_clocks(who, change),
            Action::Service(fault) => self.service_fault(fault),
            Action::Compare { who } => self.compare(who),
            Action::Lock { who } => self.lock(who),
            Action::Unlock { who, wrong_key } => self.unlock(who, *wrong_key),
            Action::Backup { who, id } => self.back_up(who, id),
            Action::Restore { who, from, wrong_passphrase } => self.restore(who, from, *wrong_passphrase),
            Action::Verify { by, who } => self.verify(group, by, who),
            Action::Authenticate { who, of, answer } => self.authenticate(who, of, *answer),
            Action::Upkeep { who } => self.upkeep(group, who),
            Action::Wait(time) => self.wait(*time),
            Action::Expect(_) | Action::InGroup { .. } | Action::Named { .. } => Ok(()),
            submitted => {
                let (device, submission) = self.prepare(group, submitted)?;
                self.devices[device].naming = id.cloned();
                self.carry_through(device, submission)
            }
        }
    }

    /// Carries out an action of several members, each in the epoch that the member before has made.
    fn one_after_the_other(&mut self, whole: &Action, who: &[MemberName]) -> Result<(), StepFailure> {
        for name in who {
            let who = vec![name.clone()];
            let action = match whole.unnamed() {
                Action::Leave { .. } => Action::Leave { who },
                Action::Join { .. } => Action::Join { who },
                _ => Action::Rejoin { who },
            };
            self.act(&action.like(whole))?;
            self.settle()?;
        }
        Ok(())
    }

    /// Carries out one action for each member, in the same epoch.
    fn each(
        &mut self,
        whole: &Action,
        who: &[MemberName],
        action: impl Fn(Vec<MemberName>) -> Action,
    ) -> Result<(), StepFailure> {
        who.iter().try_for_each(|name| self.act(&action(vec![name.clone()]).like(whole)))
    }

    fn set_online(&mut self, who: &[MemberName], online: bool) -> Result<(), StepFailure> {
        for name in who {
            let device = self.devices.find(name)?;
            self.devices[device].set_online(online, self.clock.elapsed());
            self.devices[device].inbox.open(self.clock.ms());
        }
        // A member may have been offline when the network healed.
        self.submit_waiting()
    }

    fn change_key_packages(&mut self, name: &MemberName, change: KeyPackageChange) -> Result<(), StepFailure> {
        let device = self.devices.find(name)?;
        self.refuse_if_offline(device)?;
        self.ask(device)?;
        let owner = &mut self.devices[device];
        self.key_packages.change(&self.service, owner, change, &self.clock, &mut self.recorder)
    }

    fn wait(&mut self, time: Duration) -> Result<(), StepFailure> {
        self.lock_idle_devices()?;
        self.clock.advance(time);
        self.lock_idle_devices()?;
        self.recorder.set_elapsed(self.clock.elapsed());
        self.service.expire(self.clock.now())?;
        self.key_packages.check_all(&self.devices);
        Ok(())
    }
}
