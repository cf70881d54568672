//! The messages that each thief can read, with the reason.

use maud::{Markup, html};

use super::{
    scenario::{step_link, thief_mark},
    table::{Cell, SortableTable},
    text::{count, left_out, outside, shortened},
};
use crate::{
    report::{
        AuthenticationFigures, CompromiseFigures, Figures, RunRecord, reason,
        record::{MessageRecord, Reading, ThiefInGroup, ThiefRecord},
    },
    scenario::{GroupName, TheftScope},
};

/// The largest number of shown thieves. Each of them is a column.
const MAX_THIEVES: usize = 8;

/// The largest number of shown messages.
const MAX_MESSAGES: usize = 300;

/// The largest number of groups in the sentences about a thief.
const MAX_GROUPS: usize = 6;

/// The largest number of characters of one derivation.
const LONGEST_DERIVATION: usize = 300;

/// The thieves and the table of messages. [`None`] if nobody steals anything.
pub(super) fn section(id: &str, record: &RunRecord, figures: &Figures) -> Option<Markup> {
    if record.thieves.is_empty() {
        return None;
    }
    let thieves = &record.thieves[..record.thieves.len().min(MAX_THIEVES)];
    Some(html! {
        ul.thieves { @for (number, thief) in thieves.iter().enumerate() {
            (about(id, record, number, thief, figures.compromises.get(number)))
        } }
        @if record.thieves.len() > MAX_THIEVES { (left_out(html! {
            "The page shows the first " (MAX_THIEVES) " of " (count(record.thieves.len(), "thief"))
            ", because each of them is a column."
        })) }
        @if record.messages.is_empty() { p { "The scenario sends no message." } } @else {
            (table(id, record, thieves))
            @if record.messages.len() > MAX_MESSAGES { (left_out(html! {
                "The table has the first " (MAX_MESSAGES) " of " (count(record.messages.len(), "message"))
                ", because a longer table is not legible. The option " code { "--transcript" } " writes all of them."
            })) }
            p.note {
                "Open a cell for the reason. A readable message has the path from the stolen bytes to its key. "
                "The path is computed from the bytes, and its names are those of RFC 9420."
            }
        }
    })
}

fn about(
    id: &str,
    record: &RunRecord,
    number: usize,
    thief: &ThiefRecord,
    figures: Option<&CompromiseFigures>,
) -> Markup {
    let what = match thief.scope {
        TheftScope::Device => "device",
        TheftScope::Disk => "storage, without its key,",
        TheftScope::Backup => "latest backup, with its passphrase,",
    };
    html! {
        li {
            span.thief-mark { (thief_mark(number)) } " "
            strong { (outside(thief.id.as_str())) } ": " (outside(thief.who.as_str())) "’s " (what)
            " was stolen in step " (step_link(id, record, thief.step)) (epochs_at_theft(record, thief)) ". "
            @if let Some(figures) = figures {
                "The thief reads " (figures.exposed_before) " earlier and " (figures.exposed_after)
                " later " (if figures.exposed_before + figures.exposed_after == 1 { "message" } else { "messages" })
                ". " (healings(record, thief))
                @if let Some(acts) = &figures.authentication { " " (attempts(acts)) }
                @for stolen in &figures.key_packages {
                    p.note { "Note: " (outside(&stolen.seen())) ". Remedy: " (outside(&stolen.remedy())) "." }
                }
            }
        }
    }
}

/// The epoch of each group of the stolen device, as a part of a sentence.
fn epochs_at_theft(record: &RunRecord, thief: &ThiefRecord) -> Markup {
    let groups = shown_groups(record, thief);
    html! {
        @for (name, known) in groups.iter().take(MAX_GROUPS) {
            @match known.epoch {
                Some(epoch) => { ", in epoch " (epoch) (of_group(record, name)) }
                None if record.has_several_groups() => { ", before the group " (outside(name.as_str())) " existed" }
                None => { ", before the group existed" }
            }
        }
    }
}

/// The healing of each group of the stolen device, one sentence each.
fn healings(record: &RunRecord, thief: &ThiefRecord) -> Markup {
    let groups = shown_groups(record, thief);
    html! {
        @if groups.is_empty() { strong { "The thief knows no epoch secret" } "." }
        @for (number, (name, known)) in groups.iter().take(MAX_GROUPS).enumerate() {
            @if number > 0 { " " }
            strong { (healing(record, name, known.healed_after)) } "."
        }
        @if groups.len() > MAX_GROUPS {
            " " span.left-out { (count(groups.len() - MAX_GROUPS, "more group")) }
        }
    }
}

/// The groups of which the thief has secrets. A run with one group has only this one.
fn shown_groups<'r>(record: &RunRecord, thief: &'r ThiefRecord) -> Vec<(&'r GroupName, &'r ThiefInGroup)> {
    let is_shown = |known: &ThiefInGroup| known.has_secrets() || !record.has_several_groups();
    thief.groups.iter().filter(|(_, known)| is_shown(known)).collect()
}

fn of_group(record: &RunRecord, name: &GroupName) -> Markup {
    html! { @if record.has_several_groups() { " of the group " (outside(name.as_str())) } }
}

fn healing(record: &RunRecord, name: &GroupName, healed_after: Option<u64>) -> Markup {
    let group = html! { "The group" @if record.has_several_groups() { " " (outside(name.as_str())) } };
    match healed_after {
        None => html! { (group) " has not healed" },
        Some(0) => html! { "The thief knows no epoch secret" (of_group(record, name)) },
        Some(epochs) => html! { (group) " has healed after " (count(epochs as usize, "epoch")) },
    }
}

fn attempts(acts: &AuthenticationFigures) -> Markup {
    html! {
        "It tried " (count(acts.attempts as usize, "time")) " to act in the member’s name, and the service accepted "
        (acts.accepted) "."
    }
}

fn table(id: &str, record: &RunRecord, thieves: &[ThiefRecord]) -> Markup {
    let mut table = SortableTable::new("Messages, and the thieves that can read them");
    table.text_column("message").text_column("sender").number_column("sent in step");
    if record.has_several_groups() {
        table.text_column("group");
    }
    table.number_column("epoch");
    for (number, thief) in thieves.iter().enumerate() {
        table.text_column(format!("{} {}", thief_mark(number), thief.id));
    }
    for (number, message) in record.messages.iter().take(MAX_MESSAGES).enumerate() {
        let step = message.step.map_or(0, |step| step as u64);
        let cells = [
            Cell::text(message.id.as_str()),
            sender(message),
            Cell::markup(step_link(id, record, message.step)).sorted_by(step),
        ];
        let group = record.has_several_groups().then(|| Cell::text(message.group.as_str()));
        let readings = thieves.iter().map(|thief| Cell::markup(reading(thief, number, message)));
        table.row(cells.into_iter().chain(group).chain([Cell::number(message.epoch)]).chain(readings));
    }
    table.markup()
}

fn sender(message: &MessageRecord) -> Cell {
    Cell::markup(html! {
        (outside(message.sender.as_str())) @if message.forged { " " span.mark.theft { "forged by a thief" } }
    })
}

fn reading(thief: &ThiefRecord, number: usize, message: &MessageRecord) -> Markup {
    match thief.messages.get(number) {
        Some(Reading::Read { path }) => {
            let (class, word) = match number < thief.messages_before {
                true => ("exposed-before", "read, sent before the theft"),
                false => ("exposed-after", "read, sent after the theft"),
            };
            html! { details.reading {
                summary { span.swatch.(class) {} (word) }
                ol.path { @for step in path { li { (shortened(step, LONGEST_DERIVATION)) } } }
            } }
        }
        Some(Reading::Hidden { obstacle }) => html! { details.reading {
            summary { span.swatch.hidden {} "not read" }
            p { (reason::hidden(thief, message, *obstacle)) }
        } },
        None => html! {},
    }
}
