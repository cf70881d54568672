//! The steps of a scenario and their events, as a table.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{
    scenario::{step_id, step_number},
    table::{Cell, SortableTable},
    text::{count, left_out, names, outside, shortened, virtual_time},
};
use crate::report::{
    Failure, RunRecord,
    record::{DeliveryRecord, StepEvent, StepEventKind, StepRecord},
};

/// The largest number of shown steps: the first and the last ones. A failure is at the end.
const MAX_STEPS: usize = 600;

/// The largest number of characters of a step. A text of a message can have a million.
const LONGEST_STEP: usize = 300;

/// The largest number of shown events of a step. A race of a hundred members has hundreds.
const MAX_EVENTS: usize = 12;

/// The largest number of shown results of deliveries of a step.
const MAX_DELIVERIES: usize = 12;

/// The largest number of characters of an event.
const LONGEST_EVENT: usize = 300;

/// The table of the steps. [`None`] if no step began.
pub(super) fn section(id: &str, record: &RunRecord, failures: &[Failure]) -> Option<Markup> {
    if record.steps.is_empty() {
        return None;
    }
    let failed: BTreeSet<usize> = failures
        .iter()
        .filter_map(|failure| failure.place.as_ref())
        .filter_map(|place| record.steps.iter().rposition(|step| step.place == *place))
        .collect();
    let mut table = SortableTable::new("Steps in the order of the run");
    table.number_column("step").number_column("line").text_column("as in the file").text_column("events");
    table.number_column("epoch after").number_column("virtual time").text_column("offline after");
    let total = record.steps.len();
    let half = MAX_STEPS / 2;
    let is_shown = |number: usize| total <= MAX_STEPS || number < half || number >= total - half;
    for (number, step) in record.steps.iter().enumerate().filter(|(number, _)| is_shown(*number)) {
        table.row_with_id(
            step_id(id, number),
            [
                Cell::markup(html! { (step_number(&step.place)) }).sorted_by(number as u64),
                Cell::number(step.place.line.into()),
                Cell::markup(html! { code.step { (shortened(&step.text, LONGEST_STEP)) } }),
                Cell::markup(events(step, failed.contains(&number))),
                epoch(id, step.epoch),
                Cell::markup(html! { (virtual_time(step.time)) }).sorted_by(step.time),
                Cell::markup(names(step.offline.iter().map(|name| name.as_str()))),
            ],
        );
    }
    Some(html! {
        @if total > MAX_STEPS { (left_out(html! {
            "The table has the first " (half) " and the last " (half) " of " (count(total, "step"))
            ", because a longer table is not legible. The option " code { "--transcript" } " writes all events."
        })) }
        (table.markup())
    })
}

/// The epoch, as a link to its tree.
fn epoch(id: &str, epoch: Option<u64>) -> Cell {
    match epoch {
        Some(epoch) => Cell::markup(html! { a href={ "#" (id) "-epoch-" (epoch) } { (epoch) } }).sorted_by(epoch),
        None => Cell::optional(None),
    }
}

fn events(step: &StepRecord, has_failed: bool) -> Markup {
    let more = step.events.len().saturating_sub(MAX_EVENTS);
    html! {
        ul.events {
            @if has_failed { li { (mark("failed", "✗ failed here")) } }
            @for event in step.events.iter().take(MAX_EVENTS) { (one(event)) }
            @if more > 0 { li.left-out { (count(more, "more event")) } }
        }
        @if !step.deliveries.is_empty() { (deliveries(&step.deliveries)) }
    }
}

fn one(event: &StepEvent) -> Markup {
    let (class, word) = match event.kind {
        StepEventKind::Created => ("accepted", "created"),
        StepEventKind::Accepted => ("accepted", "accepted"),
        StepEventKind::Message => ("message", "message"),
        StepEventKind::Stale => ("stale", "stale"),
        StepEventKind::Again => ("again", "again"),
        StepEventKind::Crash => ("crash", "crash"),
        StepEventKind::Device => ("again", "device"),
        StepEventKind::Theft => ("theft", "theft"),
        StepEventKind::Forgery => ("theft", "forgery"),
        StepEventKind::Detected => ("detected", "detected"),
        StepEventKind::Failed => ("stale", "error"),
        StepEventKind::Held => ("accepted", "✓ holds"),
    };
    html! { li { (mark(class, word)) " " (shortened(&event.text, LONGEST_EVENT)) } }
}

fn mark(class: &str, word: &str) -> Markup {
    html! { span.mark.(class) { (word) } }
}

/// The results of deliveries, which a reader opens.
fn deliveries(deliveries: &[DeliveryRecord]) -> Markup {
    let number: usize = deliveries.iter().map(|delivery| delivery.to.len()).sum();
    let more = deliveries.len().saturating_sub(MAX_DELIVERIES);
    let noun = if number == 1 { "delivery" } else { "deliveries" };
    html! {
        details.deliveries {
            summary { (super::text::grouped(number as u64)) " " (noun) }
            ul {
                @for DeliveryRecord { entry, meaning, to } in deliveries.iter().take(MAX_DELIVERIES) {
                    li {
                        (outside(entry)) " → " (names(to.iter().map(|name| name.as_str()))) ": "
                        (shortened(meaning, LONGEST_EVENT))
                    }
                }
                @if more > 0 { li.left-out { (count(more, "more result")) } }
            }
        }
    }
}
