//! Writes the expectation on events.

use super::{LineFields, service::names};
use crate::scenario::{
    format::{EventExpectation, ExpectScope},
    word::word,
};

/// A list of objects on one line.
pub(super) fn events(expected: &[EventExpectation]) -> String {
    let events: Vec<_> = expected.iter().map(event).collect();
    format!("[{}]", events.join(", "))
}

fn event(expected: &EventExpectation) -> String {
    let EventExpectation { to, event, about, times, of } = expected;
    let mut fields = LineFields::default();
    names(&mut fields, "to", to);
    fields.text("event", event.as_str());
    if let Some(about) = about {
        names(&mut fields, "about", about);
    }
    if let Some(times) = times {
        fields.add("times", times);
    }
    if *of != ExpectScope::default() {
        fields.text("of", word(*of));
    }
    fields.object()
}
