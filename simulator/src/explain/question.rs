//! The message and the thief that a reader asks about.

use super::{explanation::Answer, member, story::Story, terms::Terms, way};
use crate::{
    report::{
        Focus, Goal, reason,
        record::{MessageRecord, Reading, ThiefRecord},
    },
    scenario::{CompromiseId, MessageId, fields},
};

/// The largest number of messages and thieves in the answers.
const MAX_ANSWERS: usize = 20;

/// The message and the thief that a reader asks about. Without both, the reader asks for the failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The message. Without it, the question is about all messages.
    pub message: Option<MessageId>,
    /// The thief. Without it, the question is about all thieves and members.
    pub thief: Option<CompromiseId>,
}

/// The reason why a run cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotExplain {
    /// The scenario runs on the cost model.
    #[error("the cost model has no keys and no messages; set `fidelity` to `real`, or leave it out")]
    Model,
    /// The run has no such message.
    #[error("{}", unknown("message", "was sent", name, near))]
    UnknownMessage {
        /// The name in the question.
        name: String,
        /// The names that the run has.
        near: Vec<String>,
    },
    /// The run has no such compromise.
    #[error("{}", unknown("compromise", "happened", name, near))]
    UnknownThief {
        /// The name in the question.
        name: String,
        /// The names that the run has.
        near: Vec<String>,
    },
}

fn unknown(what: &str, happened: &str, name: &str, known: &[String]) -> String {
    if known.is_empty() {
        return format!("no {what} {happened} in this run, so there is no {what} `{}`", fields::shown(name));
    }
    let known: Vec<_> = known.iter().take(MAX_ANSWERS).map(String::as_str).collect();
    fields::unknown(what, name, &known)
}

impl Question {
    /// True if the reader asks for nothing in particular.
    pub(super) fn is_open(&self) -> bool {
        self.message.is_none() && self.thief.is_none()
    }

    /// Checks the names, and adds the parts of the run that the answers need.
    pub(super) fn add_to(&self, story: &Story<'_>, focus: &mut Focus) -> Result<(), CannotExplain> {
        let record = story.record;
        if let Some(id) = self.message.as_ref().filter(|id| story.message(id).is_none()) {
            let near = record.messages.iter().map(|message| message.id.to_string()).collect();
            return Err(CannotExplain::UnknownMessage { name: id.to_string(), near });
        }
        if let Some(id) = self.thief.as_ref().filter(|id| story.thief(id).is_none()) {
            let near = record.thieves.iter().map(|thief| thief.id.to_string()).collect();
            return Err(CannotExplain::UnknownThief { name: id.to_string(), near });
        }
        for (number, message) in self.messages(story) {
            let read = self.thieves(story).filter(|thief| is_read(thief, number));
            focus.derivations.extend(read.map(|thief| (thief.id.clone(), Goal::Message(message.id.clone()))));
        }
        if self.asks_for_members() {
            focus.steps.extend(record.steps.len().checked_sub(1));
            focus.members.extend(record.members.iter().take(MAX_ANSWERS).cloned());
        }
        Ok(())
    }

    /// The answers, one for each message.
    pub(super) fn answers(&self, story: &Story<'_>, terms: &mut Terms) -> Vec<Answer> {
        self.messages(story).map(|(number, message)| self.answer(story, terms, number, message)).collect()
    }

    fn answer(&self, story: &Story<'_>, terms: &mut Terms, number: usize, message: &MessageRecord) -> Answer {
        let mut members = Vec::new();
        if self.asks_for_members() {
            let states = story.record.steps.last().map(|step| &step.members).into_iter().flatten();
            let told = states.filter_map(|states| {
                Some(member::reason(story, &states.who, message, *states.after.messages.get(number)?))
            });
            members.extend(told);
        }
        let (mut ways, mut hidden) = (Vec::new(), Vec::new());
        for thief in self.thieves(story) {
            match thief.messages.get(number) {
                Some(Reading::Read { .. }) => {
                    ways.extend(way::way(story, terms, thief, &Goal::Message(message.id.clone())));
                }
                Some(Reading::Hidden { obstacle }) => hidden.push(format!(
                    "The {} cannot read {}. {}",
                    terms.first("thief", format!("thief of {}", thief.id)),
                    message.id,
                    reason::hidden(thief, message, *obstacle)
                )),
                None => {}
            }
        }
        Answer { message: message.id.clone(), sent: format!("{}.", story.sent_words(message)), members, ways, hidden }
    }

    /// True if the answers also say which members have read a message.
    fn asks_for_members(&self) -> bool {
        self.message.is_some() && self.thief.is_none()
    }

    fn messages<'s>(&'s self, story: &Story<'s>) -> impl Iterator<Item = (usize, &'s MessageRecord)> + use<'s> {
        let messages = story.record.messages.iter().enumerate();
        messages.filter(|(_, message)| self.message.as_ref().is_none_or(|id| *id == message.id)).take(MAX_ANSWERS)
    }

    fn thieves<'s>(&'s self, story: &Story<'s>) -> impl Iterator<Item = &'s ThiefRecord> + use<'s> {
        let thieves = story.record.thieves.iter();
        thieves.filter(|thief| self.thief.as_ref().is_none_or(|id| *id == thief.id)).take(MAX_ANSWERS)
    }
}

fn is_read(thief: &ThiefRecord, number: usize) -> bool {
    matches!(thief.messages.get(number), Some(Reading::Read { .. }))
}
