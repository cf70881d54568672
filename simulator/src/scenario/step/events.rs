//! The expectation on the events that a device tells its application.

use super::super::{
    describe::{Described, Field, Kind, Object, words},
    fields::{At, FileReader},
    format::{EventExpectation, EventKind, ExpectScope},
    word::word,
};

/// The largest number of times. No step delivers more entries to one device.
const MAX_TIMES: u64 = 1_000_000;

pub(super) const EVENT: Object = Object::new(&[
    Field::required("to", Kind::Names, "The members whose devices tell the event, each of them."),
    Field::required("event", Kind::Word(words::<EventKind>), "The event, by its name in the table of events."),
    Field::optional("about", Kind::Names, "The members that the event is about. It is told about each of them."),
    Field::optional("times", Kind::Number(0, MAX_TIMES), "Exactly this number of times. 0: it is not told."),
    Field::with_default(
        "step",
        "of",
        Kind::Word(words::<ExpectScope>),
        "`step`: the events of the last step before this `expect`, which is no step itself. `run`: the events of all steps \
         until here.",
    ),
]);

/// Reads the expectations of an `expect`.
pub(super) fn events<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>) -> Vec<EventExpectation> {
    let Some(at) = fields.get("events") else { return Vec::new() };
    let Some(elements) = at.elements() else {
        reader.wrong_type(&at, "a list of objects with `to` and `event`");
        return Vec::new();
    };
    if elements.is_empty() {
        reader.note(&at, "expected at least one event, found an empty list");
    }
    elements.into_iter().filter_map(|at| event(reader, at)).collect()
}

fn event<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<EventExpectation> {
    let fields = reader.described(at, &EVENT)?;
    let (to, event) = (fields.members(reader, "to"), fields.word::<EventKind>(reader, "event"));
    let (about, times) = (fields.members(reader, "about"), fields.small(reader, "times"));
    let of = fields.word(reader, "of").unwrap_or_default();
    let event = event?;
    if let Some(at) = fields.get("about").filter(|_| event.subject().is_none()) {
        reader.note(&at, format!("`{}` is about no other member; leave `about` out", word(event)));
    }
    Some(EventExpectation { to: to?, event, about, times, of })
}
