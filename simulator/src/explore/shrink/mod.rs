//! Finds the smallest scenario that still fails in the same way. The shrinker removes steps,
//! members and settings, and replaces values by their defaults.
//!
//! The random values of a device in a step do not depend on the other steps. A failure therefore
//! mostly remains when another step is removed.

mod smaller;

use std::collections::BTreeSet;

use crate::scenario::{GroupSettings, Placed, RunSettings, Scenario, WrittenStep, read_with, write};

/// A shrunk scenario, and the number of runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest scenario that was found.
    pub scenario: Scenario,
    /// The number of scenarios that were run.
    pub runs: u32,
}

/// Makes a scenario smaller as long as `fails` says that it still fails in the same way. Runs at
/// most `most` scenarios, and only those that `may_be_taken` accepts.
///
/// `scenario` itself has to fail, which is not checked again. Each candidate for `fails` has been
/// written and read: it is a valid scenario, and its steps have the places that they have in its
/// file.
pub fn shrink(
    scenario: &Scenario,
    most: u32,
    may_be_taken: impl Fn(&Scenario) -> bool,
    fails: impl FnMut(&Scenario) -> bool,
) -> Shrunk {
    let tried = BTreeSet::new();
    let mut shrinker = Shrinker { smallest: scenario.clone(), tried, left: most, may_be_taken, fails };
    loop {
        let before = shrinker.smallest.clone();
        shrinker.remove_steps();
        shrinker.remove_members();
        shrinker.simplify_steps();
        shrinker.simplify_settings();
        if shrinker.smallest == before {
            return Shrunk { scenario: shrinker.smallest, runs: most - shrinker.left };
        }
    }
}

struct Shrinker<M, F> {
    smallest: Scenario,
    /// The texts of the scenarios that were run.
    tried: BTreeSet<String>,
    left: u32,
    may_be_taken: M,
    fails: F,
}

impl<M: Fn(&Scenario) -> bool, F: FnMut(&Scenario) -> bool> Shrinker<M, F> {
    /// Replaces the smallest scenario by the candidate, if the candidate is valid and still fails.
    fn take(&mut self, candidate: &Scenario) -> bool {
        let text = write(candidate);
        if self.left == 0 || self.tried.contains(&text) {
            return false;
        }
        let trace = candidate.trace.as_ref();
        let traces = |_: &str| trace.map(|trace| trace.history.clone()).ok_or_else(String::new);
        let candidate = read_with(&text, &traces).ok().filter(&self.may_be_taken);
        let Some(candidate) = candidate else { return false };
        self.tried.insert(text);
        self.left -= 1;
        let takes = (self.fails)(&candidate);
        if takes {
            self.smallest = candidate;
        }
        takes
    }

    fn take_steps(&mut self, steps: Vec<Placed<WrittenStep>>) -> bool {
        let steps = smaller::sensible(steps);
        self.take(&Scenario { steps, ..self.smallest.clone() })
    }

    fn take_settings(&mut self, change: impl FnOnce(&mut GroupSettings)) {
        let mut candidate = self.smallest.clone();
        change(&mut candidate.group);
        self.take(&candidate);
    }

    /// Removes steps: first half of them at once, then fewer and fewer, and single steps in the
    /// end. The last steps go first, because no other step depends on them.
    fn remove_steps(&mut self) {
        let mut length = (self.smallest.steps.len() / 2).max(1);
        loop {
            let mut end = self.smallest.steps.len();
            while end > 0 {
                let start = end.saturating_sub(length);
                let mut steps = self.smallest.steps.clone();
                steps.drain(start..end);
                self.take_steps(steps);
                // Other steps may be gone, too, because they made no sense without the removed
                // steps.
                end = start.min(self.smallest.steps.len());
            }
            if length == 1 {
                return;
            }
            length /= 2;
        }
    }

    /// Removes members, together with their actions and the actions of others on them.
    fn remove_members(&mut self) {
        for name in self.smallest.members.clone().into_iter().rev() {
            let mut candidate = self.smallest.clone();
            candidate.members.retain(|member| *member != name);
            candidate.policies.iter_mut().for_each(|policy| policy.who.retain(|member| *member != name));
            candidate.policies.retain(|policy| !policy.who.is_empty());
            candidate.steps = smaller::sensible(smaller::without_member(&candidate.steps, &name));
            self.take(&candidate);
        }
    }

    /// Makes each step simpler.
    fn simplify_steps(&mut self) {
        let mut index = 0;
        while let Some(step) = self.smallest.steps.get(index) {
            let taken = smaller::simpler(&step.item).into_iter().any(|item| {
                let mut steps = self.smallest.steps.clone();
                steps[index].item = item;
                self.take_steps(steps)
            });
            // Tries a simpler step again, because it may become even simpler.
            index += usize::from(!taken);
        }
    }

    /// Removes the settings, and replaces the seed by 0.
    fn simplify_settings(&mut self) {
        self.take_settings(|group| *group = GroupSettings::default());
        self.take_settings(|group| group.ciphersuite = None);
        self.take_settings(|group| group.handshake = None);
        self.take_settings(|group| group.policy.past_epochs = None);
        self.take_settings(|group| group.policy.out_of_order = None);
        self.take_settings(|group| group.policy.padding = None);
        self.take_settings(|group| group.policy.publish_group_info = None);
        self.take(&Scenario { policies: Vec::new(), ..self.smallest.clone() });
        self.take(&Scenario { run: RunSettings::default(), ..self.smallest.clone() });
        self.take(&Scenario { seed: 0, ..self.smallest.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Action, Step, read};

    fn scenario(steps: &str) -> Scenario {
        let text = format!(
            r#"{{ "regrow": 1, "name": "n", "seed": 9, "group": {{ "padding": 5, "past_epochs": 1 }},
                 "members": ["alice", "bob", "carol", "dave"],
                 "steps": [ {{ "create": {{ "by": "alice", "with": ["bob", "carol"] }} }}, {steps} ] }}"#
        );
        read(&text).unwrap()
    }

    const STEPS: &str = r#"
        { "hold": { "id": "m1", "for": ["bob", "carol"] } },
        { "send": { "by": "carol", "id": "m1", "size": 7 } },
        { "race": [ { "update": { "by": "alice", "signature_key": true } }, { "send": { "by": "bob", "id": "m2" } },
                    { "leave": { "who": "carol" } } ] },
        { "release": { "id": "m1" } },
        { "wait": "7d" },
        { "add": { "by": "alice", "who": ["dave", "carol"] } }"#;

    fn actions(scenario: &Scenario) -> Vec<Action> {
        let actions = scenario.expand().flat_map(|step| match step.item {
            Step::Do(action) => vec![action],
            Step::Race(contenders) => contenders.into_iter().map(|contender| contender.item).collect(),
        });
        actions.collect()
    }

    /// The shrunk scenario, if a scenario fails when it contains this kind of step.
    fn left_of(name: &str) -> String {
        let shrunk = shrink(
            &scenario(STEPS),
            1000,
            |_| true,
            |scenario| actions(scenario).iter().any(|action| action.name() == name),
        );
        write(&shrunk.scenario)
    }

    #[test]
    fn irrelevant_parts_are_removed() {
        let left = left_of("leave");
        assert_eq!(
            left,
            "{\n  \"regrow\": 1,\n  \"name\": \"n\",\n  \"seed\": 0,\n  \"members\": [\"alice\", \"carol\"],\n  \"steps\": \
             [\n    { \"create\": { \"by\": \"alice\" } },\n    { \"leave\": { \"who\": \"carol\" } }\n  ]\n}\n"
        );
    }

    #[test]
    fn delivery_rules_stay_with_their_messages() {
        let left = left_of("release");
        assert!(left.contains(r#"{ "hold": { "id": "m1" } }"#), "{left}");
        assert!(left.contains(r#""id": "m1" } }"#), "{left}");
        assert_eq!(read(&left).unwrap().steps.len(), 4, "{left}");
    }

    #[test]
    fn fields_become_their_defaults() {
        assert!(left_of("wait").contains(r#""wait": "1s""#));
        assert!(!left_of("update").contains("signature_key"));
        assert!(!left_of("send").contains("size"));
    }

    #[test]
    fn shrinking_ends_after_the_given_number_of_runs() {
        let mut runs = 0;
        let shrunk = shrink(
            &scenario(STEPS),
            5,
            |_| true,
            |_| {
                runs += 1;
                true
            },
        );
        assert_eq!((runs, shrunk.runs), (5, 5));
    }

    #[test]
    fn scenario_without_a_smaller_one_is_unchanged() {
        let before = scenario(STEPS);
        assert_eq!(shrink(&before, 1000, |_| true, |_| false).scenario, before);
    }
}
