//! Makes texts of others safe for a terminal.

use std::fmt::Write as _;

use unicode_general_category::{GeneralCategory, get_general_category};

/// Characters that are blank although their category is one of letters, marks or symbols.
const BLANK: [char; 7] = [
    // COMBINING GRAPHEME JOINER, and the Hangul fillers.
    '\u{34f}', '\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}',
    // BRAILLE PATTERN BLANK and OBJECT REPLACEMENT CHARACTER.
    '\u{2800}', '\u{fffc}',
];

/// Escapes each character that a terminal would obey, reorder or hide.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match is_shown(character) {
            true => shown.push(character),
            // Writing to a string does not fail.
            false => _ = write!(shown, "{}", character.escape_unicode()),
        }
    }
    shown
}

fn is_shown(character: char) -> bool {
    use GeneralCategory as Category;
    let is_selector =
        matches!(character, '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}');
    let is_hidden = matches!(
        get_general_category(character),
        // Format characters are those of direction and of zero width.
        Category::Control
            | Category::Format
            | Category::LineSeparator
            | Category::ParagraphSeparator
            | Category::PrivateUse
            | Category::Surrogate
            | Category::Unassigned
    );
    !is_hidden && !is_selector && !BLANK.contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_characters_stay() {
        for text in ["Hello, Bob!", "größer", "e\u{301}", "שלום", "مرحبا", "日本語", "a\u{a0}b", "😀"] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn control_and_hidden_characters_are_escaped() {
        for character in [
            '\0',
            '\u{7}',
            '\u{8}',
            '\n',
            '\r',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{202a}',
            '\u{202e}',
            '\u{2028}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{2800}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{e0001}',
            '\u{e0100}',
        ] {
            let text = shown(&format!("a{character}b"));
            assert_eq!(text, format!("a\\u{{{:x}}}b", u32::from(character)));
        }
    }
}
