//! The steps of a scenario and their events, as a table.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{
    scenario::{epoch_id, step_id, step_number},
    table::{Cell, SortableTable},
    text::{count, left_out, names, outside, shortened, virtual_time},
};
use crate::{
    report::{
        Failure, RunRecord,
        record::{DeliveryRecord, StepEvent, StepEventKind, StepRecord},
    },
    scenario::GroupName,
};

/// The largest number of shown steps: the first and the last ones. A failure is at the end.
const MAX_STEPS: usize = 600;

/// The largest number of characters of a step. A text of a message can have a million.
const LONGEST_STEP: usize = 300;

/// The largest number of shown events of a step. A race of a hundred members has hundreds.
const MAX_EVENTS: usize = 12;

/// The largest number of shown results of deliveries of a step.
const MAX_DELIVERIES: usize = 12;

/// The largest number of groups whose epochs stand beside a step.
const MAX_GROUPS: usize = 6;

/// The largest number of characters of a group's name beside a step.
const LONGEST_GROUP: usize = 24;

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
                Cell::markup(events(step, failed.contains(&number), record.has_several_groups())),
                epochs(id, record, step),
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

/// The epoch of each group after the step, as links to their trees. The table sorts the cell by the
/// sum of the epochs: the number of commits until then.
fn epochs(id: &str, record: &RunRecord, step: &StepRecord) -> Cell {
    if step.epochs.is_empty() {
        return Cell::optional(None);
    }
    let link = |group: &GroupName, epoch: u64| {
        let name = record.has_several_groups().then(|| html! { (shortened(group.as_str(), LONGEST_GROUP)) " " });
        html! { a href={ "#" (epoch_id(id, record, group, epoch)) } { @if let Some(name) = name { (name) } (epoch) } }
    };
    let shown = step.epochs.iter().take(MAX_GROUPS).enumerate();
    let more = step.epochs.len().saturating_sub(MAX_GROUPS);
    let links = html! {
        @for (number, (group, epoch)) in shown { @if number > 0 { br; } (link(group, *epoch)) }
        @if more > 0 { br; span.left-out { (count(more, "more group")) } }
    };
    Cell::markup(links).sorted_by(step.epochs.values().sum())
}

fn events(step: &StepRecord, has_failed: bool, with_groups: bool) -> Markup {
    let more = step.events.len().saturating_sub(MAX_EVENTS);
    html! {
        ul.events {
            @if has_failed { li { (mark("failed", "✗ failed here")) } }
            @for event in step.events.iter().take(MAX_EVENTS) { (one(event)) }
            @if more > 0 { li.left-out { (count(more, "more event")) } }
        }
        @if !step.deliveries.is_empty() { (deliveries(&step.deliveries, with_groups)) }
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
fn deliveries(deliveries: &[DeliveryRecord], with_groups: bool) -> Markup {
    let number: usize = deliveries.iter().map(|delivery| delivery.to.len()).sum();
    let more = deliveries.len().saturating_sub(MAX_DELIVERIES);
    let noun = if number == 1 { "delivery" } else { "deliveries" };
    html! {
        details.deliveries {
            summary { (super::text::grouped(number as u64)) " " (noun) }
            ul {
                @for DeliveryRecord { group, entry, meaning, to } in deliveries.iter().take(MAX_DELIVERIES) {
                    li {
                        (outside(entry)) @if with_groups { " in " (outside(group.as_str())) } " → " (names(to.iter().map(|name| name.as_str()))) ": "
                        (shortened(meaning, LONGEST_EVENT))
                    }
                }
                @if more > 0 { li.left-out { (count(more, "more result")) } }
            }
        }
    }
}
