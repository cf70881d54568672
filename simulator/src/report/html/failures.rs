//! The expectations that did not hold, with the events before them.

use maud::{Markup, html};

use super::{
    scenario::{step_id, step_number},
    text::{count, left_out, shortened},
};
use crate::{
    report::{Failure, RunRecord, Warning},
    scenario::Place,
};

/// The largest number of shown failures. After the first failures, the others seldom tell more.
const MAX_FAILURES: usize = 50;

/// The largest number of characters of a fact.
const LONGEST_FACT: usize = 2_000;

/// The failures of a run.
pub(super) fn list(id: &str, failures: &[Failure], record: Option<&RunRecord>) -> Markup {
    html! {
        @for (number, failure) in failures.iter().take(MAX_FAILURES).enumerate() {
            // Several failures at one place have the same events.
            @let repeats = failures.get(number + 1).is_some_and(|next| next.events == failure.events);
            article.failure {
                h3 { "Failed at " (place(id, failure.place.as_ref(), record)) }
                dl {
                    div { dt { "expected" } dd { (shortened(&failure.expected, LONGEST_FACT)) } }
                    div { dt { "seen" } dd { (shortened(&failure.seen, LONGEST_FACT)) } }
                    @if let Some(code) = &failure.code { div { dt { "code" } dd { code { (code.as_str()) } } } }
                }
                @if !failure.events.is_empty() && !repeats {
                    p { "The last events before it:" }
                    ol.recent { @for event in &failure.events { li { (shortened(event, LONGEST_FACT)) } } }
                }
            }
        }
        @if failures.len() > MAX_FAILURES {
            (left_out(html! {
                "The page shows " (MAX_FAILURES) " of " (count(failures.len(), "failure")) ". The option "
                code { "--json" } " writes all of them."
            }))
        }
    }
}

/// The warnings of a run.
pub(super) fn warnings(id: &str, warnings: &[Warning], record: Option<&RunRecord>) -> Markup {
    html! {
        @for warning in warnings.iter().take(MAX_FAILURES) {
            article.warning {
                h3 { "Warning at " (place(id, warning.place.as_ref(), record)) }
                dl {
                    div { dt { "seen" } dd { (shortened(&warning.seen, LONGEST_FACT)) } }
                    div { dt { "remedy" } dd { (shortened(&warning.remedy, LONGEST_FACT)) } }
                }
            }
        }
        @if warnings.len() > MAX_FAILURES {
            (left_out(html! {
                "The page shows " (MAX_FAILURES) " of " (count(warnings.len(), "warning")) ". The option "
                code { "--json" } " writes all of them."
            }))
        }
    }
}

/// The place of a failure or a warning, as a link to its step.
fn place(id: &str, place: Option<&Place>, record: Option<&RunRecord>) -> Markup {
    let Some(place) = place else { return html! { "the end of the scenario" } };
    let step = record.and_then(|record| record.steps.iter().rposition(|step| step.place == *place));
    let words = html! { "step " (step_number(place)) };
    html! {
        @if let Some(step) = step { a href={ "#" (step_id(id, step)) } { (words) } } @else { (words) }
        ", line " (place.line) " of the file"
        @if let Some(turn) = place.turn { ", turn " (turn) }
    }
}
