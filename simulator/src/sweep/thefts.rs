//! Random thefts in a run: each one steals the device of a random member of the group at a random
//! time.
//!
//! The choices come from the run's seed, in a stream of their own. So the other randomness of the
//! run is the same with and without thefts.

use std::collections::BTreeSet;

use crate::choices::Choices;
use crate::scenario::{
    Action, CompromiseId, GroupName, MemberName, Place, Placed, Proposal, Scenario, Step, TheftScope, WrittenStep,
    devices_of,
};

/// The scenario with this number of thefts, with all of its steps written out. Each theft comes
/// after the creation of the group.
pub(super) fn with_thefts(scenario: &Scenario, count: u32, seed: u64) -> Scenario {
    let steps: Vec<Placed<Step>> = scenario.expand_with_seed(seed).collect();
    let mut choices = Choices::new(&format!("regrow sweep thefts {seed}"));
    let creates = |step: &Step| match step {
        Step::Do(action) => matches!(action.unnamed(), Action::Create { .. }),
        Step::Race(_) => false,
    };
    let created = steps.iter().position(|step| creates(&step.item));
    // A theft is between two steps, or after the last one. An expectation of a failure must follow
    // its step directly.
    let places: Vec<usize> = (created.map_or(0, |create| create + 1)..=steps.len())
        .filter(|place| steps.get(*place).is_none_or(|next| !expects_failure(&next.item)))
        .collect();
    let mut thefts: Vec<usize> = (0..count).filter_map(|_| places.get(choices.index(places.len())).copied()).collect();
    thefts.sort_unstable();

    let taken: BTreeSet<String> = steps.iter().filter_map(|step| compromise(&step.item)).collect();
    let mut ids = (1_u64..).map(|number| format!("theft{number}")).filter(|id| !taken.contains(id));
    let mut thefts = thefts.into_iter().peekable();
    let mut all = Vec::with_capacity(steps.len() + count as usize);
    let mut roster = Roster { known: &scenario.members, present: Vec::new() };
    let mut place = Place { number: "end".into(), path: "steps".into(), line: 1, turn: None };
    let end = steps.len();
    let mut steps = steps.into_iter();
    for index in 0..=end {
        while thefts.next_if_eq(&index).is_some() {
            let members = roster.members();
            let who = members.get(choices.index(members.len())).map(|who| (*who).clone());
            let (Some(who), Some(id)) = (who, ids.next()) else { break };
            let theft = Action::Compromise { who, id: CompromiseId::new(id), scope: TheftScope::Device };
            all.push(Placed { place: place.clone(), item: WrittenStep::Do(theft) });
        }
        let Some(step) = steps.next() else { break };
        roster.follow(&step.item);
        place = step.place.clone();
        all.push(written(step));
    }
    Scenario { steps: all, trace: None, ..scenario.clone() }
}

/// The members of all groups, as far as they follow from the steps. A proposal counts at once.
struct Roster<'s> {
    /// All members of the scenario.
    known: &'s [MemberName],
    /// The members of the groups, in the order in which they came.
    present: Vec<(MemberName, GroupName)>,
}

impl Roster<'_> {
    fn follow(&mut self, step: &Step) {
        match step {
            Step::Do(action) => self.act(action),
            Step::Race(contenders) => contenders.iter().for_each(|contender| self.act(&contender.item)),
        }
    }

    /// The members, each once, in the order in which they came.
    fn members(&self) -> Vec<&MemberName> {
        let mut seen = BTreeSet::new();
        self.present.iter().map(|(member, _)| member).filter(|member| seen.insert(*member)).collect()
    }

    fn act(&mut self, action: &Action) {
        let group = action.group();
        match action.unnamed() {
            Action::Create { by, with } => {
                self.add(&group, std::slice::from_ref(by));
                self.add(&group, with);
            }
            Action::Add { who, .. } | Action::Join { who } | Action::Propose { what: Proposal::Add(who), .. } => {
                self.add(&group, who);
            }
            Action::Remove { who, .. }
            | Action::Leave { who }
            | Action::Propose { what: Proposal::Remove(who), .. } => {
                self.present.retain(|(member, of)| *of != group || !who.contains(member));
            }
            Action::AddUser { who, .. } => {
                let devices: Vec<_> = devices_of(self.known, who).cloned().collect();
                self.add(&group, &devices);
            }
            Action::RemoveUser { who, .. } => {
                self.present.retain(|(member, of)| *of != group || member.user() != who.as_str());
            }
            Action::LinkDevice { by, who } => {
                let groups = self.present.iter().filter(|(member, _)| member == by).map(|(_, group)| group.clone());
                for group in groups.collect::<Vec<_>>() {
                    self.add(&group, std::slice::from_ref(who));
                }
            }
            Action::LostDevice { who, .. } => self.present.retain(|(member, _)| member != who),
            _ => {}
        }
    }

    fn add(&mut self, group: &GroupName, who: &[MemberName]) {
        for name in who {
            let member = (name.clone(), group.clone());
            if !self.present.contains(&member) {
                self.present.push(member);
            }
        }
    }
}

fn expects_failure(step: &Step) -> bool {
    step.expect().is_some_and(|expect| expect.fails.is_some())
}

fn compromise(step: &Step) -> Option<String> {
    match step {
        Step::Do(Action::Compromise { id, .. }) => Some(id.as_str().to_owned()),
        _ => None,
    }
}

/// A step of a run, as a step of a file.
fn written(step: Placed<Step>) -> Placed<WrittenStep> {
    let item = match step.item {
        Step::Do(action) => WrittenStep::Do(action),
        Step::Race(contenders) => {
            let contender = |one: Placed<Action>| Placed { place: one.place, item: WrittenStep::Do(one.item) };
            WrittenStep::Race(contenders.into_iter().map(contender).collect())
        }
    };
    Placed { place: step.place, item }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::read;

    fn scenario() -> Scenario {
        read(
            r#"{"regrow": 1, "name": "n", "members": ["a", "b"], "steps": [
                {"create": {"by": "a", "with": "b"}},
                {"repeat": {"times": 4, "steps": [{"update": {"by": "a"}}]}},
                {"remove": {"by": "b", "who": "b"}}, {"expect": {"fails": "rejected"}}]}"#,
        )
        .unwrap()
    }

    fn kinds(scenario: &Scenario) -> Vec<&'static str> {
        let name = |step: Placed<Step>| match step.item {
            Step::Do(action) => action.name(),
            Step::Race(_) => "race",
        };
        scenario.expand().map(name).collect()
    }

    #[test]
    fn thefts_come_after_the_creation_and_never_before_an_expected_failure() {
        let mut places = BTreeSet::new();
        for seed in 0..200 {
            let kinds = kinds(&with_thefts(&scenario(), 3, seed));
            assert_eq!(kinds.iter().filter(|kind| **kind == "compromise").count(), 3);
            assert_eq!(kinds[0], "create");
            let expect = kinds.iter().position(|kind| *kind == "expect").unwrap();
            assert_eq!(kinds[expect - 1], "remove");
            places.extend(kinds.iter().enumerate().filter(|(_, kind)| **kind == "compromise").map(|(at, _)| at));
        }
        assert!(places.len() >= 7, "{places:?}");
    }

    #[test]
    fn the_seed_decides_the_thefts() {
        let thefts = |seed| with_thefts(&scenario(), 5, seed);
        assert_eq!(thefts(1), thefts(1));
        assert_ne!(thefts(1), thefts(2));
    }
}
