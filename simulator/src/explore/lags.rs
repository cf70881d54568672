//! The generator's model of the network: the members that lag behind the group, and therefore do
//! nothing that could fail.

use std::collections::BTreeSet;

use super::model::{MemberNumber, Model};
use crate::scenario::{Action, Delivery, MemberName, MessageId, NetworkChange};

/// The time, in seconds, after which everything has arrived over any network of the generator.
pub(super) const REST: u64 = 60 * 60;

/// The disturbances of the network.
#[derive(Default)]
pub(super) struct Disturbance {
    /// True if the conditions of a connection are not perfect.
    disturbed: bool,
    /// True if something may be on its way.
    restless: bool,
    /// The members that may not know yet that they are in the group.
    fresh: BTreeSet<MemberNumber>,
    /// The members that are cut off.
    pub(super) cut: BTreeSet<MemberNumber>,
    /// Those of them that were in the group at that time.
    isolated: BTreeSet<MemberNumber>,
    /// Those of them whose commit waits.
    queued: BTreeSet<MemberNumber>,
    /// The rules that hold messages or handshakes back.
    holds: Vec<Delivery>,
    /// The held handshake.
    held: Option<MessageId>,
    /// The members from which it is held back.
    behind: BTreeSet<MemberNumber>,
}

impl Disturbance {
    /// Everything has arrived.
    pub(super) fn come_to_rest(&mut self) {
        self.restless = false;
        self.fresh.clear();
    }

    /// These members read the log over connections that may be slow.
    pub(super) fn lag_if_disturbed(&mut self, who: &[MemberNumber]) {
        if self.disturbed {
            self.restless = true;
            self.fresh.extend(who);
        }
    }

    pub(super) fn hold(&mut self, what: &Delivery) {
        self.holds.push(what.clone());
    }

    pub(super) fn release(&mut self, what: &Delivery) {
        if self.held.as_ref() == Some(&what.id) {
            self.held = None;
            self.behind.clear();
        }
    }
}

impl Model {
    /// True if the connections are perfect, and nobody is cut off.
    pub(super) fn is_undisturbed(&self) -> bool {
        !self.disturbance.disturbed && self.disturbance.cut.is_empty()
    }

    /// True if all connected members are in the group's present state after each step.
    pub(super) fn is_calm(&self) -> bool {
        self.is_undisturbed() && self.disturbance.held.is_none()
    }

    /// True if nothing is on its way to a connected member.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.disturbance.restless
    }

    /// True if no proposal waits, and no member is leaving or robbed. Then a member that lags misses
    /// no event that would make its next action fail.
    pub(super) fn is_quiet(&self) -> bool {
        !self.something_waits() && self.leaving.is_empty() && self.robbed.is_empty()
    }

    /// True if the member may not know the group's present state.
    pub(super) fn lags(&self, member: MemberNumber) -> bool {
        let Disturbance { fresh, cut, behind, .. } = &self.disturbance;
        fresh.contains(&member) || cut.contains(&member) || behind.contains(&member)
    }

    /// The members that are cut off, and can prepare something.
    pub(super) fn isolated(&self) -> impl Iterator<Item = MemberNumber> {
        let Disturbance { isolated, .. } = &self.disturbance;
        isolated.iter().copied().filter(move |member| self.online.contains(member))
    }

    /// True if a commit of the member waits until the network heals.
    pub(super) fn has_queued(&self, member: MemberNumber) -> bool {
        self.disturbance.queued.contains(&member)
    }

    /// The handshake that is held back.
    pub(super) fn held_handshake(&self) -> Option<MessageId> {
        self.disturbance.held.clone()
    }

    pub(super) fn permits_network(&self, change: &NetworkChange) -> bool {
        if change.heal {
            return true;
        }
        let Some(sides) = &change.partition else { return self.is_quiet() && self.is_calm() };
        let cut = self.members(&cut_off(sides));
        let some_stay = self.present().iter().any(|member| !cut.contains(member));
        self.is_quiet() && self.is_calm() && some_stay && cut.iter().all(|member| self.online.contains(member))
    }

    pub(super) fn change_network(&mut self, change: &NetworkChange) {
        if change.heal {
            // The generator heals all connections at once, so everything arrives.
            let Disturbance { holds, held, behind, .. } = std::mem::take(&mut self.disturbance);
            self.disturbance = Disturbance { holds, held, behind, ..Disturbance::default() };
        } else if let Some(sides) = &change.partition {
            self.disturbance.cut = self.members(&cut_off(sides)).into_iter().collect();
            self.disturbance.isolated = self.disturbance.cut.intersection(&self.group).copied().collect();
            for member in self.disturbance.cut.clone() {
                self.away[member] = 0;
            }
        } else {
            self.disturbance.disturbed = true;
        }
    }

    /// Takes an action of a member that is cut off: it changes the group when the network heals.
    /// False if the action is none.
    pub(super) fn queue(&mut self, action: &Action) -> bool {
        let alone = |by: &MemberName| self.disturbance.cut.contains(&self.member(by));
        match action.unnamed() {
            Action::Update { by, .. } if alone(by) => {
                let by = self.member(by);
                self.disturbance.queued.insert(by);
                true
            }
            Action::Send { by, .. } => alone(by),
            _ => false,
        }
    }

    /// Notes the members that an action leaves behind.
    pub(super) fn note_lags(&mut self, action: &Action, before: &BTreeSet<MemberNumber>) {
        if self.disturbance.disturbed && !action.submitters().is_empty() {
            let joined: Vec<_> = self.group.difference(before).copied().collect();
            self.disturbance.lag_if_disturbed(&joined);
        }
        let Some(id) = action.handshake_id() else { return };
        let Some(rule) = self.disturbance.holds.iter().find(|rule| rule.id == *id) else { return };
        let held: Vec<_> = match &rule.to {
            Some(names) => self.members(names),
            None => self.all().collect(),
        };
        let concerned = held.into_iter().filter(|member| before.contains(member) || self.group.contains(member));
        let by = action.submitters().first().map(|by| self.member(by));
        let behind: Vec<_> = concerned.filter(|member| Some(*member) != by).collect();
        self.disturbance.held = Some(id.clone());
        self.disturbance.behind.extend(behind);
    }
}

/// The members that a partition cuts off.
fn cut_off(sides: &[Vec<MemberName>]) -> Vec<MemberName> {
    sides.iter().skip(1).flatten().cloned().collect()
}
