//! Explains a failure.

use std::collections::BTreeSet;

use super::{
    expectation,
    explanation::ExplainedFailure,
    located::{Located, MAX_GROUPS, MAX_MEMBERS},
    member,
    story::Story,
    terms::Terms,
    way,
};
use crate::{
    report::{Failure, Goal},
    scenario::{CompromiseId, GroupName, MemberName},
};

/// The parts that an earlier failure has shown.
#[derive(Default)]
pub(super) struct Shown {
    members: BTreeSet<(usize, MemberName, GroupName)>,
    ways: BTreeSet<(CompromiseId, Goal)>,
    events: Vec<String>,
}

/// Explains a failure.
pub(super) fn explained(
    story: &Story<'_>,
    terms: &mut Terms,
    shown: &mut Shown,
    failure: &Failure,
) -> ExplainedFailure {
    let located = Located::new(story, failure);
    let mut explained = ExplainedFailure::begin(failure);
    let step = failure.place.as_ref().and_then(|place| story.step_record(story.position(place)?));
    explained.step = step.map(|step| step.text.clone());
    let goal = located.goal(story);
    if goal.is_some() {
        // The path in one line is part of the way below.
        explained.seen = failure.seen.split(": ").next().unwrap_or_default().to_owned();
    }
    explained.words = expectation::words(story, terms, &located);
    if let Some((position, step)) = located.position.and_then(|at| Some((at, story.step_record(at)?))) {
        for states in step.members.iter().filter(|states| located.members.contains(&states.who)) {
            for group in located.groups.iter().take(MAX_GROUPS) {
                if shown.members.insert((position, states.who.clone(), group.clone())) {
                    explained.members.push(member::explained(story, terms, step, states, group));
                }
            }
        }
    }
    explained.more_members = located.members.len().saturating_sub(MAX_MEMBERS);
    explained.more_groups = located.groups.len().saturating_sub(MAX_GROUPS);
    if let Some((thief, goal)) = goal.filter(|goal| shown.ways.insert(goal.clone())) {
        explained.ways =
            story.thief(&thief).and_then(|thief| way::way(story, terms, thief, &goal)).into_iter().collect();
    }
    if shown.events == failure.events {
        explained.events.clear();
    } else {
        shown.events.clone_from(&failure.events);
    }
    explained
}
