//! The meaning of an event, and the reasons why a device has not told it.

use crate::scenario::{EventKind, Expect, ExpectScope};

/// The event in words.
pub(super) fn words(event: EventKind, expect: Option<&Expect>) -> Vec<String> {
    let mut words = vec![format!("`{event}`: {}", event.meaning())];
    words.extend(event.subject().map(|subject| format!("`about` is {subject}.")));
    words.push(
        "A device tells its application an event when it processes the entry. \
         A device that is offline, locked or cut off does it in the later step in which it reads the entry."
            .to_owned(),
    );
    let asked = expect.iter().flat_map(|expect| &expect.events).find(|asked| asked.event == event);
    if asked.is_some_and(|asked| asked.of == ExpectScope::Step) {
        words
            .push("Only the last step before the `expect` counts. With `\"of\": \"run\"`, all steps count.".to_owned());
    }
    words
}
