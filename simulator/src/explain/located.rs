//! The step, the members and the secrets that a failure concerns.

use std::collections::BTreeSet;

use serde_json::Value;

use super::story::Story;
use crate::{
    report::{
        ExpectField, Failure, Focus, Goal,
        record::{EpochRecord, Reading},
    },
    scenario::{Action, Bound, Expect, GroupName, MemberName, Step},
};

/// The largest number of members that a failure shows. More members seldom tell more.
pub(super) const MAX_MEMBERS: usize = 5;

/// The largest number of groups that a failure shows.
pub(super) const MAX_GROUPS: usize = 3;

/// A failure with its step.
pub(super) struct Located<'a> {
    pub(super) failure: &'a Failure,
    /// The position of the step in the record. A failure at the end has the last step.
    pub(super) position: Option<usize>,
    /// The step, unless the failure is at the end.
    pub(super) step: Option<Step>,
    /// The members that the failure concerns.
    pub(super) members: Vec<MemberName>,
    /// The groups that the failure concerns.
    pub(super) groups: Vec<GroupName>,
}

impl<'a> Located<'a> {
    pub(super) fn new(story: &Story<'_>, failure: &'a Failure) -> Self {
        let step = failure.place.as_ref().and_then(|place| story.step(place));
        let at = match failure.last_check.as_ref().or(failure.place.as_ref()) {
            Some(place) => story.position(place),
            None => story.record.steps.len().checked_sub(1),
        };
        let mut located = Self { failure, position: at, step, members: Vec::new(), groups: Vec::new() };
        if located.asks_for_a_failure() {
            // The step that should have failed is the one before.
            located.position = at.and_then(|at| at.checked_sub(1));
        }
        located.members = located.concerned(story);
        located.groups = located.concerned_groups(story);
        located
    }

    /// The expectations of the step, if it is an `expect`.
    pub(super) fn expect(&self) -> Option<&Expect> {
        self.step.as_ref()?.expect()
    }

    /// The time in which the expectations of the step have to become true, if they have time.
    pub(super) fn bound(&self) -> Option<Bound> {
        self.failure.last_check.as_ref()?;
        self.expect()?.bound
    }

    /// True if the step before should have failed, and succeeded or failed in another way.
    pub(super) fn asks_for_a_failure(&self) -> bool {
        let expects_it = self.expect().is_some_and(|expect| expect.fails.is_some());
        // The same step can also have other expectations.
        expects_it && self.failure.expected.starts_with("the step before fails")
    }

    /// The members that the failure names. A failure about costs concerns no others. Without any,
    /// those that the step names; without any, all members of the group.
    fn concerned(&self, story: &Story<'_>) -> Vec<MemberName> {
        let subject = &self.failure.subject;
        let mut members = subject.members.clone();
        members.extend(subject.thief.iter().filter_map(|id| Some(story.thief(id)?.who.clone())));
        if matches!(subject.field, Some(ExpectField::Costs(_))) {
            // The states of other members have no part in the costs.
            return members;
        }
        if members.is_empty() {
            let step = self.position.filter(|_| self.step.is_some()).and_then(|at| story.step_record(at));
            let texts = step.map(|step| texts(&step.text)).unwrap_or_default();
            members = story.record.members.iter().filter(|name| texts.contains(name.as_str())).cloned().collect();
        }
        if members.is_empty() { story.record.members.clone() } else { members }
    }

    /// The group of the failure or of its message; without both, the groups in which the step acts;
    /// without any, all groups in which the members of the failure were.
    fn concerned_groups(&self, story: &Story<'_>) -> Vec<GroupName> {
        if let Some(group) = story.only_group() {
            return vec![group];
        }
        let subject = &self.failure.subject;
        let of_message = || Some(story.message(subject.message.as_ref()?)?.1.group.clone());
        if let Some(group) = subject.group.clone().or_else(of_message) {
            return vec![group];
        }
        let acting = match self.asks_for_a_failure() {
            true => self.position.and_then(|at| story.step(&story.step_record(at)?.place)),
            false => self.step.clone(),
        };
        let known = |group: &GroupName| story.record.groups.contains_key(group);
        let named: BTreeSet<_> = acting.iter().flat_map(groups_of).filter(known).collect();
        if !named.is_empty() {
            return named.into_iter().collect();
        }
        let was_in = |(_, epochs): &(&GroupName, &Vec<EpochRecord>)| {
            let mut entered = epochs.iter().flat_map(|epoch| epoch.entered.keys());
            entered.any(|member| self.members.contains(member))
        };
        story.record.groups.iter().filter(was_in).map(|(group, _)| group.clone()).collect()
    }

    /// Adds the parts of the run that the explanation of the failure needs.
    pub(super) fn add_to(&self, story: &Story<'_>, focus: &mut Focus) {
        focus.steps.extend(self.position);
        focus.members.extend(self.members.iter().take(MAX_MEMBERS).cloned());
        focus.groups.extend(self.groups.iter().take(MAX_GROUPS).cloned());
        if let Some((thief, goal)) = self.goal(story) {
            focus.derivations.insert((thief, goal));
        }
    }

    /// The secret whose derivation explains the failure.
    pub(super) fn goal(&self, story: &Story<'_>) -> Option<(crate::scenario::CompromiseId, Goal)> {
        let subject = &self.failure.subject;
        let thief = story.thief(subject.thief.as_ref()?)?;
        let goal = match &subject.message {
            Some(id) => {
                let (number, _) = story.message(id)?;
                matches!(thief.messages.get(number), Some(Reading::Read { .. })).then(|| Goal::Message(id.clone()))?
            }
            None => {
                let group = self.groups.first()?;
                let known = thief.groups.get(group)?;
                let latest = *known.epochs.keys().next_back()?;
                // The stolen device itself was in that epoch.
                (known.device_epoch != Some(latest)).then(|| Goal::Epoch(group.clone(), latest))?
            }
        };
        Some((thief.id.clone(), goal))
    }
}

/// The groups in which a step acts. Empty for a step that concerns devices or the service.
fn groups_of(step: &Step) -> Vec<GroupName> {
    let acts = |action: &&Action| {
        let of_default = matches!(
            action.unnamed(),
            Action::Create { .. } | Action::Impersonate { .. } | Action::Upkeep { .. } | Action::Expect(_)
        );
        action.parts().0.is_some() || of_default || !action.submitters().is_empty()
    };
    match step {
        Step::Do(action) => Some(action).filter(acts).map(Action::group).into_iter().collect(),
        Step::Race(actions) => actions.iter().map(|action| action.item.group()).collect(),
    }
}

/// All texts in a step as a file would have it.
fn texts(step: &str) -> BTreeSet<String> {
    fn add(value: &Value, texts: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => _ = texts.insert(text.clone()),
            Value::Array(values) => values.iter().for_each(|value| add(value, texts)),
            Value::Object(fields) => fields.values().for_each(|value| add(value, texts)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    if let Ok(value) = serde_json::from_str(step) {
        add(&value, &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_names_its_members() {
        let found =
            texts(r#"{ "race": [{ "add": { "by": "alice", "who": ["bob"] } }, { "leave": { "who": "carol" } }] }"#);
        assert_eq!(found, ["alice", "bob", "carol"].map(str::to_owned).into());
        assert!(texts("no JSON").is_empty());
    }
}
