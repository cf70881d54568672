//! An expectation in words, with the reason why it does not hold.

use super::{
    fail_code,
    located::Located,
    member, other_fields,
    story::{Story, names},
    terms::Terms,
    thief, way,
};
use crate::{
    report::{
        Cause, ExpectField, Goal, MessageStatus, reason,
        record::{Reading, StepEvent, StepEventKind, ThiefRecord},
    },
    scenario::{Expect, FailCode, GroupName, MemberName, MessageId, ReadingExpectation},
};

/// The largest number of listed epochs and events.
const MAX_LINES: usize = 8;

/// The expectation and the reason, one paragraph each.
pub(super) fn words(story: &Story<'_>, terms: &mut Terms, located: &Located<'_>) -> Vec<String> {
    time(located).into_iter().chain(result(story, terms, located)).collect()
}

fn result(story: &Story<'_>, terms: &mut Terms, located: &Located<'_>) -> Vec<String> {
    let failure = located.failure;
    match (failure.cause, failure.code) {
        (Cause::Step, Some(code)) => return failed_step(code),
        (Cause::Timeout, _) => return vec!["The scenario's `timeout` ended the run before this step.".to_owned()],
        (Cause::Warning, _) => {
            let words = "The scenario is `strict`, so a warning is a failure. The text after \"seen\" has the remedy.";
            return vec![words.to_owned()];
        }
        (Cause::Bug, _) => {
            return vec!["This is a fault of regrow. Please report it with the scenario file.".to_owned()];
        }
        (Cause::Expectation | Cause::Step, _) => {}
    }
    let subject = &failure.subject;
    if let Some(thief) = subject.thief.as_ref().and_then(|id| story.thief(id)) {
        return match &subject.message {
            Some(id) => thief_and_message(story, terms, located, thief, id),
            None => thief_alone(story, terms, located, thief),
        };
    }
    match subject.field {
        None | Some(ExpectField::Converged) => {}
        Some(field) => return other_fields::words(story, terms, located, field),
    }
    match (subject.members.first(), &subject.message, located.expect()) {
        (Some(who), Some(id), _) => member_and_message(story, terms, located, who, id),
        (Some(_), None, None) if located.step.is_none() && failure.expected.contains("process dies") => vec![
            "A `crash` step waits for the next operation that reaches its point. \
             Without such an operation it tests nothing."
                .to_owned(),
            "Move the `crash` step before an operation of the member, or leave it out.".to_owned(),
        ],
        (Some(_), None, _) => same_state(story, terms, located),
        (None, _, Some(expect)) if located.asks_for_a_failure() => should_fail(expect, failure.code),
        (None, _, Some(expect)) if expect.epoch.is_some() || expect.members.is_some() => {
            located.groups.first().map(|group| history(story, terms, group)).unwrap_or_default()
        }
        (None, _, None) if failure.place.is_none() => {
            vec!["This check belongs to every scenario. It protects the other results of the run.".to_owned()]
        }
        (None, _, _) => Vec::new(),
    }
}

fn member_and_message(
    story: &Story<'_>,
    terms: &mut Terms,
    located: &Located<'_>,
    who: &MemberName,
    id: &MessageId,
) -> Vec<String> {
    let mut words = Vec::new();
    match located.expect() {
        Some(expect) if asks_not_to_read(expect, id) => {
            words.push(format!("The step expects that {who} has not decrypted {id} {}.", when(located)));
        }
        Some(_) => words.push(format!("The step expects that {who} has decrypted {id} {}.", when(located))),
        None => words.push(
            "At the end of every scenario, each member has read every message of its membership that its settings let \
             it read, exactly once, and no other message."
                .to_owned(),
        ),
    }
    let Some((number, message)) = story.message(id) else {
        words.push(format!("The {} has not ordered {id}.", terms.word("delivery service")));
        return words;
    };
    words.push(format!("{}.", story.sent_words(message)));
    if let Some(status) = status(story, located, who, number) {
        words.push(member::reason(story, who, message, status));
    }
    words
}

/// The time in which an expectation has to be true.
fn when(located: &Located<'_>) -> String {
    located.bound().map_or_else(|| "at this moment".to_owned(), |bound| bound.to_string())
}

/// The time that an expectation has, and the checks in it.
fn time(located: &Located<'_>) -> Option<String> {
    let bound = located.bound()?;
    Some(format!(
        "The expectations of this step have to become true together {bound}. \
         They were checked at the step, and after each later step in this time. \
         Below is the state before and after the step of the last check."
    ))
}

/// The status of a message at a member after the step.
fn status(story: &Story<'_>, located: &Located<'_>, who: &MemberName, number: usize) -> Option<MessageStatus> {
    let step = story.step_record(located.position?)?;
    let states = step.members.iter().find(|states| states.who == *who)?;
    states.after.messages.get(number).copied()
}

fn asks_not_to_read(expect: &Expect, id: &MessageId) -> bool {
    if let Some(exactly) = &expect.exactly {
        return !exactly.contains(id);
    }
    match &expect.reading {
        Some(ReadingExpectation::Member { cannot_read, .. } | ReadingExpectation::Thief { cannot_read, .. }) => {
            cannot_read.contains(id)
        }
        _ => false,
    }
}

fn thief_and_message(
    story: &Story<'_>,
    terms: &mut Terms,
    located: &Located<'_>,
    thief: &ThiefRecord,
    id: &MessageId,
) -> Vec<String> {
    let name = terms.first("thief", format!("thief of {}", thief.id));
    let mut words = match located.expect() {
        Some(expect) if asks_not_to_read(expect, id) => {
            vec![format!("The step expects that the {name} cannot read {id}.")]
        }
        Some(_) => vec![format!("The step expects that the {name} can read {id} {}.", when(located))],
        None => vec![format!(
            "At the end of every scenario, the {name} can read exactly the messages \
             that RFC 9420 and the settings predict. \
             A difference is a fault in a device, in the service or in the simulator."
        )],
    };
    words.push(format!("`{}` is the theft of {}'s device in {}.", thief.id, thief.who, story.step_words(thief.step)));
    words.push(
        "A thief can read a message if the message's key follows from the stolen bytes and all traffic.".to_owned(),
    );
    let Some((number, message)) = story.message(id) else { return words };
    words.push(format!("{}.", story.sent_words(message)));
    match thief.messages.get(number) {
        Some(Reading::Read { .. }) => {
            let cause = way::cause(story, thief, &Goal::Message(id.clone())).unwrap_or_default();
            let note = cause.contains("commit").then(|| terms.note("commit")).flatten();
            let note = note.map(|meaning| format!(" (commit: {meaning})")).unwrap_or_default();
            words.push(format!("The thief can read {id}. {cause}{note}. All steps follow below."));
        }
        Some(Reading::Hidden { obstacle }) => {
            words.push(format!("The thief cannot read {id}. {}", reason::hidden(thief, message, *obstacle)));
        }
        None => {}
    }
    words
}

fn thief_alone(story: &Story<'_>, terms: &mut Terms, located: &Located<'_>, thief: &ThiefRecord) -> Vec<String> {
    let is_about_acts = matches!(
        located.expect().and_then(|expect| expect.reading.as_ref()),
        Some(ReadingExpectation::Thief { .. }) if !located.failure.expected.contains("healed")
    );
    if is_about_acts {
        return acts(story, terms);
    }
    let mut words = vec![format!(
        "A group has healed in the first {} after the theft from which on the {} knows no {}.",
        terms.word("epoch"),
        terms.first("thief", format!("thief of {}", thief.id)),
        terms.word("epoch secret"),
    )];
    let Some(group) = located.groups.first() else { return words };
    let (known, now) = (thief.groups.get(group), story.epoch(group));
    let at_theft = known.and_then(|known| known.epoch);
    words.push(match at_theft {
        Some(epoch) => {
            format!("The theft was in {}, in epoch {epoch}{}.", story.step_words(thief.step), story.of_group(group))
        }
        None => {
            format!("The theft was in {}, before {} existed.", story.step_words(thief.step), story.group_words(group))
        }
    });
    let after = (at_theft.unwrap_or_default()..=now).filter_map(|epoch| {
        let known = if known.is_some_and(|known| known.epochs.contains_key(&epoch)) {
            "The thief knows secrets of this epoch."
        } else {
            "The thief knows no secret of this epoch."
        };
        Some(format!("{} {known}", story.epoch_sentence(group, epoch)?))
    });
    words.extend(last_lines(after.collect()));
    words.push(thief::healing(story, thief, group));
    if known.is_some_and(|known| known.device_epoch == Some(now)) {
        words.push(format!("{}'s device itself was in epoch {now} when it was stolen.", thief.who));
    }
    words.extend(reason::without_keys(thief.scope).map(str::to_owned));
    if known.is_some_and(|known| known.healed_after.is_some()) {
        return words;
    }
    words.push(format!(
        "A {}{} heals if no stolen key opens its {}: an `update` of {}, or the removal of {}'s device.",
        terms.word("commit"),
        story.of_group(group),
        terms.word("update path"),
        thief.who,
        thief.who
    ));
    words
}

/// The acts of the thieves, and the members that noticed them.
fn acts(story: &Story<'_>, terms: &mut Terms) -> Vec<String> {
    let mut words = vec![format!(
        "`accepted` asks if the {} ordered the thief's last act. `detected` asks if a member has noticed the thief.",
        terms.word("delivery service")
    )];
    let is_act = |event: &StepEvent| matches!(event.kind, StepEventKind::Forgery | StepEventKind::Detected);
    words.extend(last_lines(story.events(None, is_act)));
    words
}

/// All members have the same state.
fn same_state(story: &Story<'_>, terms: &mut Terms, located: &Located<'_>) -> Vec<String> {
    let mut words = vec![
        format!(
            "All online members{} have to be in the same {}, with the same members and the same keys. \
             Then each member can read \
             the messages of the others.",
            located.groups.first().map(|group| story.of_group(group)).unwrap_or_default(),
            terms.word("epoch")
        ),
        "Members differ if a commit, a proposal or a welcome did not reach one of them, \
         or if a device or the service has a fault."
            .to_owned(),
    ];
    if located.failure.expected.contains("epoch authenticator") {
        words.push(format!(
            "Members with the same {} have the same state. A `/` stands between the members of two states.",
            terms.word("epoch authenticator")
        ));
    }
    words
}

/// A step has failed, and no `expect` asked for it.
fn failed_step(code: FailCode) -> Vec<String> {
    let [cause, remedy] = fail_code::words(code);
    let expects =
        format!("If the step should fail, write {{ \"expect\": {{ \"fails\": \"{code}\" }} }} directly after it.");
    vec![
        "A step has to succeed, unless an `expect` with `fails` comes directly after it.".to_owned(),
        format!("`{code}`: {cause} {remedy} {expects}"),
    ]
}

/// The step before has not failed with the expected code.
fn should_fail(expect: &Expect, seen: Option<FailCode>) -> Vec<String> {
    let result = if seen.is_some() { "it failed with another code" } else { "it succeeded" };
    let mut words =
        vec![format!("The step before this one has to fail, and {result}. Below is the state before and after it.")];
    for code in expect.fails.into_iter().chain(seen) {
        let [cause, _] = fail_code::words(code);
        words.push(format!("`{code}` means: {cause}"));
    }
    words
}

/// The epochs of a group, each with the commit that made it.
fn history(story: &Story<'_>, terms: &mut Terms, group: &GroupName) -> Vec<String> {
    let of_group = match story.record.has_several_groups() {
        true => story.of_group(group),
        false => " of the run".to_owned(),
    };
    let mut words = vec![format!(
        "Each {} that the {} orders begins the next {}. These are the epochs{of_group}:",
        terms.word("commit"),
        terms.word("delivery service"),
        terms.word("epoch")
    )];
    let epochs = (0..=story.epoch(group)).filter_map(|epoch| story.epoch_sentence(group, epoch));
    words.extend(last_lines(epochs.collect()));
    let joined = story.epochs(group).last().map(|epoch| {
        let leaves = epoch.tree.leaves().iter().flatten();
        names(leaves.filter_map(|leaf| story.record.members.get(leaf.device.0)))
    });
    words.extend(joined.map(|members| format!("The members of the last epoch are {members}.")));
    words
}

/// The last lines of a list, and the number of the others.
pub(super) fn last_lines(lines: Vec<String>) -> Vec<String> {
    let left_out = lines.len().saturating_sub(MAX_LINES);
    let note = (left_out > 0).then(|| format!("({left_out} earlier ones are left out.)"));
    note.into_iter().chain(lines.into_iter().skip(left_out)).collect()
}
