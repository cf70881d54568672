//! Texts from outside, numbers, and lists of names.

use maud::{Markup, html};

use crate::report::{matrix::cut, terminal::plain};

/// The largest number of names in a list. A list of a thousand members tells nobody anything.
const LISTED_NAMES: usize = 12;

/// A text from outside, without control characters. The element keeps letters that are written from
/// right to left from changing the order of the text around it.
#[must_use]
pub fn outside(text: &str) -> Markup {
    html! { bdi { (plain(text)) } }
}

/// A text from outside with at most this number of characters.
#[must_use]
pub fn shortened(text: &str, most: usize) -> Markup {
    outside(&cut(text, most))
}

/// A list of names. It ends with the number of names that it leaves out.
#[must_use]
pub fn names<'n>(names: impl IntoIterator<Item = &'n str>) -> Markup {
    let names: Vec<&str> = names.into_iter().collect();
    let shown = if names.len() > LISTED_NAMES + 1 { LISTED_NAMES } else { names.len() };
    let left_out = names.len() - shown;
    html! {
        @for (number, name) in names.iter().take(shown).enumerate() {
            @if number > 0 { (if left_out == 0 && number + 1 == shown { " and " } else { ", " }) }
            (outside(name))
        }
        @if left_out > 0 { " and " (grouped(left_out as u64)) " more" }
    }
}

/// A list of names as plain text, for a place that has no elements.
pub(super) fn plain_names<'n>(names: impl IntoIterator<Item = &'n str>, most: usize) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown = if names.len() > most + 1 { most } else { names.len() };
    let mut text = names.iter().take(shown).map(|name| plain(name)).collect::<Vec<_>>().join(", ");
    if shown < names.len() {
        text += &format!(" and {} more", grouped((names.len() - shown) as u64));
    }
    text
}

/// A number with commas between groups of three digits: `12,345`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things in words: `1 step`, `2 steps`.
#[must_use]
pub fn count(number: usize, one: &str) -> String {
    format!("{} {one}{}", grouped(number as u64), if number == 1 { "" } else { "s" })
}

/// A virtual time in words: `1 d 2 h`, `90 s`.
pub(super) fn virtual_time(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in UNITS {
        if rest >= length {
            parts.push(format!("{} {unit}", rest / length));
            rest %= length;
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

/// A note that a part is left out, with the reason.
pub(super) fn left_out(text: impl maud::Render) -> Markup {
    html! { p.left-out { (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_escaped_and_isolated() {
        let hostile = "</bdi><script>\u{1b}[31m\"&";
        assert_eq!(outside(hostile).0, "<bdi>&lt;/bdi&gt;&lt;script&gt; [31m&quot;&amp;</bdi>");
    }

    #[test]
    fn lists_of_names_are_bounded() {
        let many: Vec<String> = (0..20).map(|number| format!("m{number}")).collect();
        assert!(names(many.iter().map(String::as_str)).0.ends_with("<bdi>m11</bdi> and 8 more"));
        assert_eq!(names(["a", "b", "c"]).0, "<bdi>a</bdi>, <bdi>b</bdi> and <bdi>c</bdi>");
        assert_eq!(plain_names(["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(plain_names(["a", "b", "c"], 2), "a, b, c");
    }

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 90, 86_400, 93_784].map(virtual_time), ["0 s", "1 min 30 s", "1 d", "1 d 2 h 3 min 4 s"]);
        assert_eq!([count(1, "step"), count(1_000, "step")], ["1 step", "1,000 steps"]);
    }
}
