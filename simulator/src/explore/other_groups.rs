//! Draws steps in other groups than the default one, and steps about users with several devices.
//!
//! The model of another group is the set of its members. Such a step comes only while nothing is on
//! its way, so that each member of the group is in its present state.

use std::collections::BTreeSet;

use super::{
    generator::Generator,
    model::{MemberNumber, Model},
};
use crate::scenario::{Action, GroupName, MemberName, UserName};

/// The names of the other groups.
const GROUPS: [&str; 2] = ["team", "family"];

impl Generator<'_> {
    /// Adds a step in another group, or creates one.
    pub(super) fn group_step(&mut self) -> Option<()> {
        let name = GroupName::new(self.rng.one(&GROUPS)?);
        let able: Vec<_> = self.model.able().collect();
        let action = match self.model.others.get(&name) {
            None => {
                let by = self.rng.one(&able)?;
                let others: Vec<_> = self.model.all().filter(|member| *member != by).collect();
                let with = self.rng.some(&others, 3);
                Action::Create { by: self.name(by), with: self.names(&with) }
            }
            Some(members) => {
                let acting: Vec<_> = able.into_iter().filter(|member| members.contains(member)).collect();
                let (members, outside): (Vec<_>, Vec<_>) =
                    self.model.all().partition(|member| self.model.others[&name].contains(member));
                let by = self.rng.one(&acting)?;
                self.action_elsewhere(by, &members, &outside)?
            }
        };
        self.act_if_permitted(action.in_group(Some(name)))
    }

    fn action_elsewhere(
        &mut self,
        by: MemberNumber,
        members: &[MemberNumber],
        outside: &[MemberNumber],
    ) -> Option<Action> {
        let name = self.name(by);
        Some(match self.rng.below(6) {
            0 => Action::Add { by: name, who: vec![self.rng.one(outside).map(|who| self.name(who))?] },
            1 => {
                let others: Vec<_> = members.iter().copied().filter(|member| *member != by).collect();
                Action::Remove { by: name, who: vec![self.rng.one(&others).map(|who| self.name(who))?] }
            }
            // The device would lose the older key of its leaf in the default group together with that
            // group, and could not rejoin.
            2 | 3 => Action::Update { by: name, signature_key: false },
            _ => self.message(by),
        })
    }

    /// Adds a step about a user, or about another device of a user. Rare occasions come first.
    pub(super) fn user_step(&mut self) -> Option<()> {
        let links = self.possible(|by, who| Action::LinkDevice { by, who });
        let adds = self.possible(|by, who| Action::AddUser { by, who: UserName::new(who.user()) });
        let removes = self.possible(|by, who| Action::RemoveUser { by, who: UserName::new(who.user()) });
        let losses = self.possible(|by, who| Action::LostDevice { by, who });
        let loses = self.rng.once_in(6);
        let kinds = [if loses { losses } else { Vec::new() }, links, adds, removes];
        let kinds: Vec<_> = kinds.into_iter().filter(|actions| !actions.is_empty()).collect();
        let actions = if self.rng.once_in(2) { kinds.into_iter().next()? } else { self.rng.one(&kinds)? };
        let action = self.rng.one(&actions)?;
        self.act(action);
        Some(())
    }

    /// The actions of one member about another that can be done now.
    fn possible(&self, make: impl Fn(MemberName, MemberName) -> Action) -> Vec<Action> {
        let pairs = self.model.able().flat_map(|by| self.model.all().map(move |who| (by, who)));
        let actions = pairs.map(|(by, who)| make(self.name(by), self.name(who)));
        actions.filter(|action| self.model.permits(action)).collect()
    }
}

impl Model {
    /// The devices that can act in all of their groups.
    pub(super) fn able(&self) -> impl Iterator<Item = MemberNumber> {
        self.online.iter().copied().filter(|member| !self.robbed.contains(member) && !self.lags(*member))
    }

    fn is_able(&self, member: MemberNumber) -> bool {
        self.able().any(|able| able == member)
    }

    /// The devices of a user, except the lost ones.
    pub(super) fn devices(&self, user: &UserName) -> Vec<MemberNumber> {
        self.all().filter(|member| self.names[*member].user() == user.as_str()).collect()
    }

    /// The devices of a user that are not in the default group.
    pub(super) fn missing_devices(&self, user: &UserName) -> Vec<MemberNumber> {
        self.devices(user).into_iter().filter(|member| !self.group.contains(member)).collect()
    }

    /// The members of each group in which the device is.
    fn groups_of(&self, member: MemberNumber) -> impl Iterator<Item = &BTreeSet<MemberNumber>> {
        std::iter::once(&self.group).chain(self.others.values()).filter(move |group| group.contains(&member))
    }

    /// True if the step can be done now, for a step in another group, or about all groups. `None`
    /// for every other step.
    pub(super) fn permits_in_all_groups(&self, action: &Action) -> Option<bool> {
        let (group, _, plain) = action.parts();
        let other = group.filter(|group| **group != GroupName::default());
        let is_about_users = matches!(
            plain,
            Action::AddUser { .. } | Action::RemoveUser { .. } | Action::LinkDevice { .. } | Action::LostDevice { .. }
        );
        if other.is_none() && !is_about_users {
            return None;
        }
        let settled = self.is_calm() && self.is_at_rest();
        Some(
            settled
                && match other {
                    Some(group) => self.permits_elsewhere(group, plain),
                    None => self.is_quiet() && self.permits_about_user(plain),
                },
        )
    }

    fn permits_elsewhere(&self, group: &GroupName, action: &Action) -> bool {
        let known = self.others.get(group);
        let is_member = |member: MemberNumber| known.is_some_and(|members| members.contains(&member));
        let addable =
            |member: MemberNumber| !is_member(member) && !self.lost.contains(&member) && self.key_packages(member) > 0;
        match action {
            Action::Create { by, with } => {
                let with = self.members(with);
                let by = self.member(by);
                known.is_none() && self.is_able(by) && with.into_iter().all(|member| member != by && addable(member))
            }
            Action::Add { by, who } | Action::Remove { by, who } => {
                let by = self.member(by);
                let fits = |member: MemberNumber| match action {
                    Action::Add { .. } => addable(member),
                    _ => is_member(member) && member != by,
                };
                is_member(by) && self.is_able(by) && self.members(who).into_iter().all(fits)
            }
            Action::Update { by, .. } | Action::Send { by, .. } => {
                is_member(self.member(by)) && self.is_able(self.member(by))
            }
            _ => false,
        }
    }

    fn permits_about_user(&self, action: &Action) -> bool {
        let acts = |by: MemberNumber| self.group.contains(&by) && self.is_able(by);
        match action {
            Action::AddUser { by, who } => {
                let missing = self.missing_devices(who);
                acts(self.member(by))
                    && !missing.is_empty()
                    && missing.into_iter().all(|device| self.key_packages(device) > 0)
            }
            Action::RemoveUser { by, who } => {
                let by = self.member(by);
                let devices = self.devices(who);
                acts(by) && !devices.contains(&by) && devices.iter().any(|device| self.group.contains(device))
            }
            Action::LinkDevice { by, who } => {
                let (linker, linked) = (self.member(by), self.member(who));
                let missing = self.groups_of(linker).filter(|group| !group.contains(&linked)).count();
                // A member that has withdrawn its key packages publishes no more of them.
                let left = self.key_packages(linked);
                let publishes = missing <= left || left > 0 && self.online.contains(&linked);
                self.is_able(linker)
                    && by.user() == who.user()
                    && linker != linked
                    && !self.lost.contains(&linked)
                    && missing > 0
                    && publishes
            }
            Action::LostDevice { by, who } => {
                let (by, lost) = (self.member(by), self.member(who));
                // A member of each group removes the device at once.
                let mut groups = self.groups_of(lost);
                by != lost
                    && self.is_able(by)
                    && !self.lost.contains(&lost)
                    && groups.all(|group| group.iter().any(|member| *member != lost && self.is_able(*member)))
            }
            _ => false,
        }
    }

    /// Applies a step in another group. False if the step is in the default group, or in none.
    pub(super) fn apply_elsewhere(&mut self, action: &Action) -> bool {
        let (Some(group), _, plain) = action.parts() else { return false };
        if *group == GroupName::default() {
            return false;
        }
        let mut members = self.others.remove(group).unwrap_or_default();
        match plain {
            Action::Create { by, with: added } | Action::Add { by, who: added } => {
                members.insert(self.member(by));
                for added in self.members(added) {
                    self.claim(added);
                    members.insert(added);
                }
            }
            Action::Remove { who, .. } => {
                let removed = self.members(who);
                members.retain(|member| !removed.contains(member));
            }
            _ => {}
        }
        self.others.insert(group.clone(), members);
        true
    }

    /// Adds a device to all groups of another one.
    pub(super) fn link(&mut self, linker: MemberNumber, linked: MemberNumber) {
        if self.group.contains(&linker) && !self.group.contains(&linked) {
            self.claim(linked);
            self.commit(linker, &[linked], &[]);
        }
        let mut claimed = 0;
        for members in self.others.values_mut().filter(|members| members.contains(&linker)) {
            claimed += usize::from(members.insert(linked));
        }
        (0..claimed).for_each(|_| self.claim(linked));
    }

    /// Removes a lost device from all groups.
    pub(super) fn lose(&mut self, lost: MemberNumber) {
        if self.group.remove(&lost) {
            self.begin_epoch();
        }
        for members in self.others.values_mut() {
            members.remove(&lost);
        }
        self.online.remove(&lost);
        self.locked.remove(&lost);
        self.lost.insert(lost);
    }
}
