//! Texts in the form that XML 1.0 needs.

use std::borrow::Cow;

/// A text for an attribute, where a reader would take line ends for spaces.
pub(super) fn attribute(text: &str) -> String {
    escaped(text).replace('\n', "&#10;").replace('\t', "&#9;").replace('\r', "&#13;")
}

/// A text for an element. Characters that XML 1.0 cannot contain become the replacement character.
pub(super) fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => Cow::Borrowed("&amp;"),
            '<' => Cow::Borrowed("&lt;"),
            '>' => Cow::Borrowed("&gt;"),
            '"' => Cow::Borrowed("&quot;"),
            '\n' | '\t' | '\r' => Cow::Owned(c.to_string()),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => Cow::Borrowed("\u{fffd}"),
            c => Cow::Owned(c.to_string()),
        })
        .collect()
}
