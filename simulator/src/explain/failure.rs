//! Explains a failure.

use std::collections::BTreeSet;

use super::{
    expectation,
    explanation::ExplainedFailure,
    located::{Located, MAX_GROUPS, MAX_MEMBERS},
    member,
    story::{Story, names},
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
    let of_thief_and_message = failure.subject.thief.is_some() && failure.subject.message.is_some();
    if goal.is_some() || of_thief_and_message && located.expect().is_some() {
        // The way below or the sentences tell the rest.
        explained.seen = failure.seen.split(": ").next().unwrap_or_default().to_owned();
    }
    explained.words = expectation::words(story, terms, &located);
    let mut above = Vec::new();
    if let Some((position, step)) = located.position.and_then(|at| Some((at, story.step_record(at)?))) {
        for states in step.members.iter().filter(|states| located.members.contains(&states.who)) {
            for group in located.groups.iter().take(MAX_GROUPS) {
                if shown.members.insert((position, states.who.clone(), group.clone())) {
                    explained.members.push(member::explained(story, terms, step, states, group));
                } else if !above.contains(&&states.who) {
                    above.push(&states.who);
                }
            }
        }
    }
    if !above.is_empty() && !explained.members.is_empty() {
        explained.words.push(format!("An earlier failure above shows the state of {}.", names(above)));
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
        explained.notes = notes(terms, &failure.events);
    }
    explained
}

/// The meanings of words in events, if the reader has not seen them.
fn notes(terms: &mut Terms, events: &[String]) -> Vec<String> {
    let is_used = |word: &&&str| events.iter().any(|event| event.contains(&format!("submitted a {word}")));
    let used: Vec<_> = ["commit", "proposal"].iter().filter(is_used).collect();
    used.into_iter().filter_map(|word| Some(format!("{word}: {}", terms.note(word)?))).collect()
}
