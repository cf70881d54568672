//! The step, the members and the secrets that a failure concerns.

use std::collections::BTreeSet;

use serde_json::Value;

use super::story::Story;
use crate::{
    report::{Failure, Focus, Goal, record::Reading},
    scenario::{Bound, Expect, MemberName, Step},
};

/// The largest number of members that a failure shows. More members seldom tell more.
pub(super) const MAX_MEMBERS: usize = 5;

/// A failure with its step.
pub(super) struct Located<'a> {
    pub(super) failure: &'a Failure,
    /// The position of the step in the record. A failure at the end has the last step.
    pub(super) position: Option<usize>,
    /// The step, unless the failure is at the end.
    pub(super) step: Option<Step>,
    /// The members that the failure concerns.
    pub(super) members: Vec<MemberName>,
}

impl<'a> Located<'a> {
    pub(super) fn new(story: &Story<'_>, failure: &'a Failure) -> Self {
        let step = failure.place.as_ref().and_then(|place| story.step(place));
        let at = match failure.last_check.as_ref().or(failure.place.as_ref()) {
            Some(place) => story.position(place),
            None => story.record.steps.len().checked_sub(1),
        };
        let mut located = Self { failure, position: at, step, members: Vec::new() };
        if located.asks_for_a_failure() {
            // The step that should have failed is the one before.
            located.position = at.and_then(|at| at.checked_sub(1));
        }
        located.members = located.concerned(story);
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
        if subject.figure.is_some() {
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

    /// Adds the parts of the run that the explanation of the failure needs.
    pub(super) fn add_to(&self, story: &Story<'_>, focus: &mut Focus) {
        focus.steps.extend(self.position);
        focus.members.extend(self.members.iter().take(MAX_MEMBERS).cloned());
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
                let latest = *thief.epochs.keys().next_back()?;
                // The stolen device itself was in that epoch.
                (thief.device_epoch != Some(latest)).then_some(Goal::Epoch(latest))?
            }
        };
        Some((thief.id.clone(), goal))
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
