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
        record::{MessageRecord, Reading, ThiefRecord},
    },
    scenario::TheftScope,
};

/// The largest number of shown thieves. Each of them is a column.
const MAX_THIEVES: usize = 8;

/// The largest number of shown messages.
const MAX_MESSAGES: usize = 300;

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
            " was stolen in step " (step_link(id, record, thief.step)) ", in epoch " (thief.epoch) ". "
            @if let Some(figures) = figures {
                "The thief reads " (figures.exposed_before) " earlier and " (figures.exposed_after)
                " later " (if figures.exposed_before + figures.exposed_after == 1 { "message" } else { "messages" })
                ". " strong { (healing(figures.healed_after)) } "."
                @if let Some(acts) = &figures.authentication { " " (attempts(acts)) }
                @for stolen in &figures.key_packages {
                    p.note { "Note: " (outside(&stolen.seen())) ". Remedy: " (outside(&stolen.remedy())) "." }
                }
            }
        }
    }
}

fn healing(healed_after: Option<u64>) -> String {
    match healed_after {
        None => "The group has not healed".to_owned(),
        Some(0) => "The thief knows no epoch secret".to_owned(),
        Some(epochs) => format!("The group has healed after {}", count(epochs as usize, "epoch")),
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
    table.text_column("message").text_column("sender").number_column("sent in step").number_column("epoch");
    for (number, thief) in thieves.iter().enumerate() {
        table.text_column(format!("{} {}", thief_mark(number), thief.id));
    }
    for (number, message) in record.messages.iter().take(MAX_MESSAGES).enumerate() {
        let step = message.step.map_or(0, |step| step as u64);
        let cells = [
            Cell::text(message.id.as_str()),
            sender(message),
            Cell::markup(step_link(id, record, message.step)).sorted_by(step),
            Cell::number(message.epoch),
        ];
        let readings = thieves.iter().map(|thief| Cell::markup(reading(thief, number, message)));
        table.row(cells.into_iter().chain(readings));
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
