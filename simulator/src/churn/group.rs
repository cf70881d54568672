//! The membership of the group during the generation of its history.

use std::collections::BTreeMap;

use super::weights::Weights;

/// One stay of a member in the group. A member that comes back has another stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stay {
    /// The number of the member in the scenario, from 0.
    pub(crate) member: u32,
    /// The number of the stay, from 1.
    pub(crate) number: u32,
}

/// The state of one member.
#[derive(Clone, Copy, Debug)]
struct Person {
    in_group: bool,
    /// True if the member wants to leave, and waits for the commit that removes it.
    leaving: bool,
    online: bool,
    stays: u32,
    /// The number of the member's last action in the history; 0 if it has not acted.
    acted: u64,
}

/// The members of the group, and those that can act: a member is able to act while it is online and
/// does not want to leave.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    people: Vec<Person>,
    size: u32,
    leaving: u32,
    able: Weights,
    /// The able members that have acted, by the number of their last action.
    recent: BTreeMap<u64, u32>,
    actions: u64,
    /// The members whose ability to act may have changed.
    changed: Vec<u32>,
}

impl Group {
    /// An empty group of a scenario with this number of members.
    pub(crate) fn new(members: usize) -> Self {
        let person = Person { in_group: false, leaving: false, online: true, stays: 0, acted: 0 };
        Self {
            people: vec![person; members],
            size: 0,
            leaving: 0,
            able: Weights::new(members),
            recent: BTreeMap::new(),
            actions: 0,
            changed: Vec::new(),
        }
    }

    /// The number of members in the group.
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// The number of members that stay in the group after all removals.
    pub(crate) fn staying(&self) -> u32 {
        self.size - self.leaving
    }

    /// The number of members that can act.
    pub(crate) fn able(&self) -> u64 {
        self.able.total()
    }

    pub(crate) fn is_able(&self, member: u32) -> bool {
        let person = &self.people[member as usize];
        person.in_group && person.online && !person.leaving
    }

    pub(crate) fn is_member(&self, member: u32) -> bool {
        self.people[member as usize].in_group
    }

    pub(crate) fn is_online(&self, member: u32) -> bool {
        self.people[member as usize].online
    }

    /// True if the member was in the group at any time.
    pub(crate) fn was_member(&self, member: u32) -> bool {
        self.people[member as usize].stays > 0
    }

    /// True if the stay has not ended, and the member does not want to end it.
    pub(crate) fn lasts(&self, stay: Stay) -> bool {
        let person = &self.people[stay.member as usize];
        person.in_group && !person.leaving && person.stays == stay.number
    }

    /// The present stay of a member.
    pub(crate) fn stay(&self, member: u32) -> Stay {
        Stay { member, number: self.people[member as usize].stays }
    }

    /// The members of the group, in the order of the scenario.
    pub(crate) fn members(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.people).filter(|(_, person)| person.in_group).map(|(member, _)| member)
    }

    /// The able member at a position below [`able`](Self::able).
    pub(crate) fn pick(&self, position: u64) -> Option<u32> {
        self.able.pick(position)
    }

    /// The able member that acted last.
    pub(crate) fn last_active(&self) -> Option<u32> {
        self.recent.last_key_value().map(|(_, member)| *member)
    }

    pub(crate) fn enter(&mut self, member: u32) {
        if !self.is_member(member) {
            self.size += 1;
            let person = &mut self.people[member as usize];
            (person.in_group, person.leaving, person.acted) = (true, false, 0);
            person.stays += 1;
            self.refresh(member);
        }
    }

    /// Notes that a member wants to leave.
    pub(crate) fn want_to_leave(&mut self, member: u32) {
        let person = &mut self.people[member as usize];
        if person.in_group && !person.leaving {
            person.leaving = true;
            self.leaving += 1;
            self.refresh(member);
        }
    }

    pub(crate) fn remove(&mut self, member: u32) {
        let person = &mut self.people[member as usize];
        if person.in_group {
            self.size -= 1;
            self.leaving -= u32::from(person.leaving);
            (person.in_group, person.leaving) = (false, false);
            self.refresh(member);
        }
    }

    pub(crate) fn set_online(&mut self, member: u32, online: bool) {
        self.people[member as usize].online = online;
        self.refresh(member);
    }

    /// Notes that a member has acted.
    pub(crate) fn acted(&mut self, member: u32) {
        self.actions += 1;
        let before = std::mem::replace(&mut self.people[member as usize].acted, self.actions);
        self.recent.remove(&before);
        if self.is_able(member) {
            self.recent.insert(self.actions, member);
        }
    }

    /// Takes the members whose ability to act may have changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.changed)
    }

    fn refresh(&mut self, member: u32) {
        let (able, acted) = (self.is_able(member), self.people[member as usize].acted);
        self.able.set(member, u64::from(able));
        if acted > 0 {
            if able {
                self.recent.insert(acted, member);
            } else {
                self.recent.remove(&acted);
            }
        }
        self.changed.push(member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_online_members_that_stay_can_act() {
        let mut group = Group::new(4);
        for member in [0, 2, 3] {
            group.enter(member);
        }
        group.set_online(2, false);
        group.want_to_leave(3);
        assert_eq!((group.size(), group.staying(), group.able()), (3, 2, 1));
        assert_eq!(group.pick(0), Some(0));
        group.remove(3);
        group.set_online(2, true);
        assert_eq!((group.size(), group.staying(), group.able()), (2, 2, 2));
    }

    #[test]
    fn member_that_acted_last_and_can_still_act_is_known() {
        let mut group = Group::new(3);
        (0..3).for_each(|member| group.enter(member));
        assert_eq!(group.last_active(), None);
        for member in [1, 2, 0, 2] {
            group.acted(member);
        }
        assert_eq!(group.last_active(), Some(2));
        group.set_online(2, false);
        assert_eq!(group.last_active(), Some(0));
        group.remove(0);
        assert_eq!(group.last_active(), Some(1));
        group.set_online(2, true);
        assert_eq!(group.last_active(), Some(2));
    }

    #[test]
    fn stay_ends_with_the_removal() {
        let mut group = Group::new(2);
        group.enter(1);
        let first = group.stay(1);
        assert!(group.lasts(first));
        group.remove(1);
        group.enter(1);
        let second = group.stay(1);
        assert!(!group.lasts(first) && group.lasts(second));
        group.want_to_leave(1);
        assert!(!group.lasts(second) && group.was_member(1));
    }
}
