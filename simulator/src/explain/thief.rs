//! The messages that a thief can read, each with the reason.

use super::{
    explanation::{ExplainedReading, ExplainedThief},
    story::{Story, capital},
    terms::Terms,
    way,
};
use crate::{
    report::{
        Focus, Goal, StolenKeyPackage, reason,
        record::{Reading, ThiefRecord},
    },
    scenario::GroupName,
};

/// The largest number of messages of a thief. More rows are not legible.
const MAX_MESSAGES: usize = 40;

/// Adds the derivations that the summaries of all thieves need.
pub(super) fn add_to(story: &Story<'_>, focus: &mut Focus) {
    for thief in &story.record.thieves {
        let messages = story.record.messages.iter().zip(&thief.messages).take(MAX_MESSAGES);
        let read = messages.filter(|(_, reading)| matches!(reading, Reading::Read { .. }));
        focus.derivations.extend(read.map(|(message, _)| (thief.id.clone(), Goal::Message(message.id.clone()))));
    }
}

/// The summary of a thief.
pub(super) fn summary(story: &Story<'_>, terms: &mut Terms, thief: &ThiefRecord) -> ExplainedThief {
    let groups = known_groups(story, thief);
    let theft = way::theft(story, terms, thief, &groups);
    let messages = story.record.messages.iter().zip(&thief.messages).take(MAX_MESSAGES);
    let messages = messages.map(|(message, reading)| ExplainedReading {
        message: message.id.clone(),
        read: matches!(reading, Reading::Read { .. }),
        sent: story.sent_words(message),
        why: match reading {
            Reading::Read { .. } => way::cause(story, thief, &Goal::Message(message.id.clone())).unwrap_or_default(),
            Reading::Hidden { obstacle } => reason::hidden(thief, message, *obstacle),
        },
    });
    ExplainedThief {
        thief: thief.id.clone(),
        theft,
        messages: messages.collect(),
        key_packages: story.stolen_key_packages(thief).iter().map(told).collect(),
        more_messages: story.record.messages.len().saturating_sub(MAX_MESSAGES),
        healing: healings(story, thief, &groups),
    }
}

fn told(stolen: &StolenKeyPackage) -> String {
    format!("Note: {}. Remedy: {}.", stolen.seen(), stolen.remedy())
}

/// The groups of which the thief knows secrets, or the only group of the run.
fn known_groups(story: &Story<'_>, thief: &ThiefRecord) -> Vec<GroupName> {
    let known = thief.groups.iter().filter(|(_, known)| known.has_secrets()).map(|(group, _)| group.clone());
    story.only_group().map_or_else(|| known.collect(), |group| vec![group])
}

/// The healing of each group, one sentence each.
fn healings(story: &Story<'_>, thief: &ThiefRecord, groups: &[GroupName]) -> String {
    if groups.is_empty() {
        return "The thief knows no epoch secret of any group.".to_owned();
    }
    groups.iter().map(|group| healing(story, thief, group)).collect::<Vec<_>>().join(" ")
}

/// The healing of a group in a sentence.
pub(super) fn healing(story: &Story<'_>, thief: &ThiefRecord, group: &GroupName) -> String {
    let known = thief.groups.get(group);
    let (subject, at_theft) = (capital(&story.group_words(group)), known.and_then(|known| known.epoch));
    match known.map_or(Some(0), |known| known.healed_after) {
        None => {
            format!("{subject} has not healed: the thief has secrets of epoch {}, the present one.", story.epoch(group))
        }
        Some(0) => format!("The thief knows no epoch secret{}.", story.of_group(group)),
        Some(epochs) => format!(
            "{subject} has healed after {epochs} epoch{}: from epoch {} on, the thief knows no epoch secret.",
            if epochs == 1 { "" } else { "s" },
            at_theft.unwrap_or_default() + epochs
        ),
    }
}
