//! Follows the membership through the written steps of a scenario, for the generators after them.

use rustc_hash::FxHashMap;

use super::group::Group;
use crate::scenario::{Action, GroupName, MemberName, Proposal, Step, devices_of};

/// The group, the numbers of the names, and the proposals that wait.
#[derive(Clone, Debug)]
pub(crate) struct Roster<'a> {
    pub(crate) group: Group,
    names: &'a [MemberName],
    numbers: FxHashMap<&'a str, u32>,
    adds: Vec<u32>,
    removes: Vec<u32>,
}

impl<'a> Roster<'a> {
    pub(crate) fn new(names: &'a [MemberName]) -> Self {
        let numbers = names.iter().map(MemberName::as_str).zip(0..).collect();
        Self { group: Group::new(names.len()), names, numbers, adds: Vec::new(), removes: Vec::new() }
    }

    /// Applies a step, as far as the names tell its effect. A step of a device that is not in the
    /// group has no effect: it fails. The generators continue the default group only.
    pub(crate) fn apply(&mut self, step: &Step) {
        match step {
            Step::Do(action) => self.action(action),
            Step::Race(contenders) => contenders.iter().for_each(|contender| self.action(&contender.item)),
        }
    }

    fn action(&mut self, action: &Action) {
        if action.group() != GroupName::default() {
            return;
        }
        match action.unnamed() {
            Action::Create { by, with } => {
                self.enter(std::slice::from_ref(by));
                self.enter(with);
            }
            Action::Add { by, who } if self.acts(by) => {
                self.commit();
                self.enter(who);
            }
            Action::Remove { by, who } if self.acts(by) => {
                self.removes.extend(numbers(&self.numbers, who));
                self.commit();
            }
            Action::AddUser { by, who } if self.acts(by) => {
                self.commit();
                let devices: Vec<_> = devices_of(self.names, who).cloned().collect();
                self.enter(&devices);
            }
            Action::RemoveUser { by, who } if self.acts(by) => {
                let devices: Vec<_> = devices_of(self.names, who).cloned().collect();
                self.removes.extend(numbers(&self.numbers, &devices));
                self.commit();
            }
            Action::LinkDevice { by, who } if self.acts(by) => {
                self.commit();
                self.enter(std::slice::from_ref(who));
            }
            Action::LostDevice { who, .. } => {
                self.removes.extend(numbers(&self.numbers, std::slice::from_ref(who)));
                self.commit();
            }
            Action::Update { by, .. } | Action::Commit { by } if self.acts(by) => self.commit(),
            Action::Leave { who } => self.removes.extend(numbers(&self.numbers, who)),
            Action::Propose { by, what } if self.acts(by) => match what {
                Proposal::Add(who) => self.adds.extend(numbers(&self.numbers, who)),
                Proposal::Remove(who) => self.removes.extend(numbers(&self.numbers, who)),
                Proposal::Update => {}
            },
            Action::Join { who } | Action::Rejoin { who } => self.enter(who),
            Action::Offline { who } => self.set_online(who, false),
            Action::Online { who } => self.set_online(who, true),
            _ => {}
        }
    }

    fn acts(&self, by: &MemberName) -> bool {
        self.numbers.get(by.as_str()).is_some_and(|member| self.group.is_able(*member))
    }

    fn enter(&mut self, who: &[MemberName]) {
        numbers(&self.numbers, who).for_each(|member| self.group.enter(member));
    }

    fn set_online(&mut self, who: &[MemberName], online: bool) {
        numbers(&self.numbers, who).for_each(|member| self.group.set_online(member, online));
    }

    fn commit(&mut self) {
        std::mem::take(&mut self.removes).into_iter().for_each(|member| self.group.remove(member));
        std::mem::take(&mut self.adds).into_iter().for_each(|member| self.group.enter(member));
    }
}

fn numbers(numbers: &FxHashMap<&str, u32>, who: &[MemberName]) -> impl Iterator<Item = u32> {
    who.iter().filter_map(|name| numbers.get(name.as_str()).copied())
}
