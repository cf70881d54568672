//! The messages that a thief can read, each with the reason.

use super::{
    explanation::{ExplainedReading, ExplainedThief},
    story::Story,
    terms::Terms,
    way,
};
use crate::report::{
    Focus, Goal, StolenKeyPackage, reason,
    record::{Reading, ThiefRecord},
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
    let theft = way::theft(story, terms, thief);
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
        healing: healing(story, thief),
    }
}

fn told(stolen: &StolenKeyPackage) -> String {
    format!("Note: {}. Remedy: {}.", stolen.seen(), stolen.remedy())
}

/// The healing in a sentence.
pub(super) fn healing(story: &Story<'_>, thief: &ThiefRecord) -> String {
    match story.figures(&thief.id).and_then(|figures| figures.healed_after) {
        None => format!("The group has not healed: the thief has secrets of epoch {}, the present one.", story.epoch()),
        Some(0) => "The thief knows no epoch secret.".to_owned(),
        Some(epochs) => format!(
            "The group has healed after {epochs} epoch{}: from epoch {} on, the thief knows no epoch secret.",
            if epochs == 1 { "" } else { "s" },
            thief.epoch + epochs
        ),
    }
}
