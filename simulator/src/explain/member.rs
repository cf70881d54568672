//! The state of a member in words, and the reason why a member has not read a message.

use std::collections::BTreeMap;

use regrow_engine::Policy;

use super::{
    explanation::{ExplainedMember, StateLine},
    story::{Story, names},
    terms::Terms,
};
use crate::{
    report::{
        MemberState, MemberStates, MessageStatus, Unreadable,
        record::{MessageRecord, StepRecord},
    },
    scenario::{GroupName, MemberName},
};

/// The parts of a state, each with the word of the glossary that it needs.
const LABELS: [(&str, Option<&str>); 8] = [
    ("connection", None),
    ("epoch", Some("epoch")),
    ("members it sees", None),
    ("pending commit", Some("pending commit")),
    ("proposals", Some("proposal")),
    ("sent", None),
    ("read", None),
    ("not read", None),
];

/// The state of a member in a group around a step.
pub(super) fn explained(
    story: &Story<'_>,
    terms: &mut Terms,
    step: &StepRecord,
    states: &MemberStates,
    group: &GroupName,
) -> ExplainedMember {
    let (before, after) = (values(story, &states.before, group), values(story, &states.after, group));
    let same = before == after;
    let lines = LABELS.into_iter().zip(before).zip(after);
    let lines = lines.map(|(((label, word), before), after)| StateLine {
        label,
        after: Some(after).filter(|after| *after != before),
        before,
        note: word.and_then(|word| Some(format!("{word}: {}", terms.note(word)?))),
    });
    let moment = match same {
        true => format!("before and after {}", step.place),
        false => format!("before {}, then after it", step.place),
    };
    let named = story.record.has_several_groups().then(|| group.clone());
    ExplainedMember { who: states.who.clone(), group: named, moment, lines: lines.collect() }
}

/// The values of the parts of a state, in the order of [`LABELS`].
fn values(story: &Story<'_>, state: &MemberState, name: &GroupName) -> [String; 8] {
    let group = state.groups.get(name);
    let of_group = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let epoch = match group {
        Some(group) if group.lost => format!("{}; the device cannot go on, and has to rejoin", group.epoch),
        Some(group) => group.epoch.to_string(),
        None if state.locked => "not known: a locked device tells nothing".to_owned(),
        None => "none: the device is not in the group".to_owned(),
    };
    [
        match (state.online, state.locked) {
            (_, true) => "the device is locked",
            (true, false) => "online",
            (false, false) => "offline",
        }
        .to_owned(),
        epoch,
        of_group(group.map(|group| names(&group.members))),
        of_group(group.map(|group| if group.pending_commit { "one" } else { "none" }.to_owned())),
        of_group(group.map(|group| match group.proposals {
            0 => "none".to_owned(),
            count => format!("{count}, waiting for a commit"),
        })),
        listed(story, state, name, |status| *status == MessageStatus::Sent),
        listed(story, state, name, |status| *status == MessageStatus::Read),
        unread(story, state, name),
    ]
}

fn listed(story: &Story<'_>, state: &MemberState, group: &GroupName, is: impl Fn(&MessageStatus) -> bool) -> String {
    let messages = messages_of(story, state, group);
    let list: Vec<_> = messages.filter(|(_, status)| is(status)).map(|(message, _)| &message.id).collect();
    if list.is_empty() { "none".to_owned() } else { names(list) }
}

/// The messages of a group, each with its status at a member.
fn messages_of<'s>(
    story: &Story<'s>,
    state: &'s MemberState,
    group: &'s GroupName,
) -> impl Iterator<Item = (&'s MessageRecord, &'s MessageStatus)> {
    story.record.messages.iter().zip(&state.messages).filter(move |(message, _)| message.group == *group)
}

/// The messages that the member has not read, by their reasons.
fn unread(story: &Story<'_>, state: &MemberState, group: &GroupName) -> String {
    let mut reasons: BTreeMap<usize, (String, Vec<String>)> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    for (message, status) in messages_of(story, state, group) {
        let Some(reason) = short_reason(*status, message.epoch) else { continue };
        let at = order.iter().position(|known| *known == reason).unwrap_or_else(|| {
            order.push(reason.clone());
            order.len() - 1
        });
        reasons.entry(at).or_insert_with(|| (reason, Vec::new())).1.push(message.id.to_string());
    }
    if reasons.is_empty() {
        return "none".to_owned();
    }
    let told = reasons.into_values().map(|(reason, ids)| format!("{}: {reason}", names(ids)));
    told.collect::<Vec<_>>().join("; ")
}

/// The reason why a member has not read a message, in a few words.
pub(super) fn short_reason(status: MessageStatus, epoch: u64) -> Option<String> {
    Some(match status {
        MessageStatus::Sent | MessageStatus::Read => return None,
        MessageStatus::Unreadable(Unreadable::ErasedEpoch) => format!("the keys of epoch {epoch} were erased"),
        MessageStatus::Unreadable(Unreadable::BehindWindow) => "outside of the ratchet window, too late".to_owned(),
        MessageStatus::Unreadable(Unreadable::AheadOfWindow) => "outside of the ratchet window, too early".to_owned(),
        MessageStatus::Unreadable(Unreadable::ReadBefore) => "the key was used before".to_owned(),
        MessageStatus::Unreadable(Unreadable::NotInEpoch) => format!("its device was not in epoch {epoch}"),
        MessageStatus::NotAMember => format!("not a member in epoch {epoch}"),
        MessageStatus::Held => "held back by a `hold`".to_owned(),
        MessageStatus::Dropped => "lost by a `drop`".to_owned(),
        MessageStatus::Offline => "not delivered: the member is offline".to_owned(),
        MessageStatus::Locked => "not delivered: the device is locked".to_owned(),
        MessageStatus::Withheld => "not delivered: the delivery service keeps entries back".to_owned(),
        MessageStatus::OtherHistory => "not delivered: the delivery service shows another history".to_owned(),
        MessageStatus::Missing => "not delivered".to_owned(),
    })
}

/// The reason why a member has not read a message, or the step in which it did.
pub(super) fn reason(story: &Story<'_>, who: &MemberName, message: &MessageRecord, status: MessageStatus) -> String {
    let (id, epoch, of_group) = (&message.id, message.epoch, story.of_group(&message.group));
    let (settings, defaults) = (story.scenario.policy_of(who), Policy::default());
    match status {
        MessageStatus::Sent => format!("{who} sent {id} itself."),
        MessageStatus::Read => format!("{who} read {id} in {}.", read_in(story, who, message)),
        MessageStatus::Unreadable(Unreadable::ErasedEpoch) => format!(
            "{id} is of epoch {epoch}{of_group}, and reached {who} in a later epoch. A member keeps the keys of {} past epochs \
             (`past_epochs`), so the keys of epoch {epoch} were erased (RFC 9420, 9.2).",
            settings.past_epochs.map_or(defaults.past_epochs, |count| count as usize)
        ),
        MessageStatus::Unreadable(Unreadable::BehindWindow) => format!(
            "{id} reached {who} after too many later messages of {}. A member keeps the unused keys of the last {} \
             messages of a sender (`out_of_order`), so the key of {id} was erased (RFC 9420, 9.2).",
            message.sender,
            settings.out_of_order.unwrap_or(defaults.out_of_order)
        ),
        MessageStatus::Unreadable(Unreadable::AheadOfWindow) => {
            format!(
                "Too many earlier messages of {} did not reach {who}, so the engine refuses {id} (RFC 9420, 15.3).",
                message.sender
            )
        }
        MessageStatus::Unreadable(Unreadable::ReadBefore) => format!(
            "{who} has used the key of {id} before. A key opens one message, \
             and the member erases it at once (RFC 9420, 9.2)."
        ),
        MessageStatus::Unreadable(Unreadable::NotInEpoch) if story.is_member(&message.group, epoch, who) => format!(
            "{id} is of epoch {epoch}{of_group}, and the device of {who} was not in that epoch: it had not followed \
             the commit that made the epoch."
        ),
        MessageStatus::Unreadable(Unreadable::NotInEpoch) | MessageStatus::NotAMember => {
            let entered = first_epoch(story, who, &message.group).filter(|first| *first > epoch).map(|first| {
                format!(
                    " {who} entered the group in epoch {first}. \
                         The keys of an earlier epoch do not follow from it (RFC 9420, 8)."
                )
            });
            format!(
                "{id} is of epoch {epoch}{of_group}, and {who} was not a member in that epoch.{}",
                entered.unwrap_or_default()
            )
        }
        MessageStatus::Held => format!("A `hold` keeps {id} back from {who}. A `release` delivers it."),
        MessageStatus::Dropped => format!("A `drop` lost the delivery of {id} to {who}."),
        MessageStatus::Offline => format!("{who} is offline, and has not got {id} yet. An `online` step delivers it."),
        MessageStatus::Locked => {
            format!("The device of {who} is locked, and has not got {id} yet. An `unlock` step delivers it.")
        }
        MessageStatus::Withheld => format!(
            "The delivery service keeps entries back from {who}, because a `service` step told it so. \
             So {who} has not got {id}. A `release` of the service delivers it."
        ),
        MessageStatus::OtherHistory => format!(
            "The delivery service shows two histories, because a `service` step told it so. \
             {id} is not in the history that {who} sees."
        ),
        MessageStatus::Missing => format!("{id} was not delivered to {who}."),
    }
}

/// The step in which a member read a message, in words.
fn read_in(story: &Story<'_>, who: &MemberName, message: &MessageRecord) -> String {
    let entry = format!("message {}", message.id);
    let is_reading = |step: &StepRecord| {
        let read =
            |delivery: &&crate::report::record::DeliveryRecord| delivery.entry == entry && delivery.meaning == "read";
        step.deliveries.iter().filter(read).any(|delivery| delivery.to.contains(who))
    };
    story.step_words(story.record.steps.iter().position(is_reading))
}

/// The first epoch of the group that the member entered.
fn first_epoch(story: &Story<'_>, who: &MemberName, group: &GroupName) -> Option<u64> {
    let epochs = story.epochs(group).iter().zip(0..);
    epochs.filter(|(epoch, _)| epoch.entered.contains_key(who)).map(|(_, number)| number).next()
}
