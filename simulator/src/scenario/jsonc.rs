//! JSON with comments and trailing commas (JSONC).
//!
//! Spaces replace the bytes of comments and trailing commas. So each value keeps its place in the
//! text, and the reader of JSON does the rest.

use std::borrow::Cow;

/// A comment without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenComment {
    /// The offset of the comment's start.
    pub(super) offset: usize,
}

/// Replaces comments and trailing commas by spaces. The text keeps its length in bytes, its lines
/// and all other characters.
pub(super) fn without_comments(text: &str) -> Result<Cow<'_, str>, OpenComment> {
    let bytes = text.as_bytes();
    let mut blanks: Vec<(usize, usize)> = Vec::new();
    // A comma after a value, until the next value begins.
    let mut comma = None;
    // True if the last byte outside of comments and white space ends a value.
    let mut after_value = false;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, bytes.get(at + 1)) {
            (b'/', Some(b'/')) => {
                let length = bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
                blanks.push((at, at + length));
                at += length;
                continue;
            }
            (b'/', Some(b'*')) => {
                let length = text.get(at + 2..).and_then(|rest| rest.find("*/")).ok_or(OpenComment { offset: at })?;
                blanks.push((at, at + length + 4));
                at += length + 4;
                continue;
            }
            (b'"', _) => {
                at = end_of_text(bytes, at);
                (comma, after_value) = (None, true);
                continue;
            }
            (b',', _) => {
                comma = after_value.then_some(at);
                after_value = false;
            }
            (b']' | b'}', _) => {
                blanks.extend(comma.take().map(|comma| (comma, comma + 1)));
                after_value = true;
            }
            (b' ' | b'\t' | b'\n' | b'\r', _) => {}
            _ => {
                comma = None;
                after_value = byte.is_ascii_alphanumeric();
            }
        }
        at += 1;
    }
    Ok(if blanks.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(blanked(text, blanks)) })
}

/// The offset after the text that begins here.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The text with spaces in these ranges, which begin and end between two characters. Line breaks
/// stay.
fn blanked(text: &str, mut ranges: Vec<(usize, usize)>) -> String {
    // A comma before a comment is found after the comment.
    ranges.sort_unstable();
    let mut blanked = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end) in ranges {
        blanked.push_str(text.get(done..start).unwrap_or_default());
        for byte in text.as_bytes().get(start..end).unwrap_or_default() {
            blanked.push(if matches!(byte, b'\n' | b'\r') { char::from(*byte) } else { ' ' });
        }
        done = end;
    }
    blanked.push_str(text.get(done..).unwrap_or_default());
    blanked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[track_caller]
    fn assert_plain(text: &str, plain: &str) {
        assert_eq!(without_comments(text).unwrap(), plain);
    }

    #[test]
    fn comments_and_trailing_commas_become_spaces() {
        assert_plain("[1, // one\n2]", "[1,       \n2]");
        assert_plain("[1, /* é\n*/ 2]", "[1,      \n   2]");
        assert_plain(r#"{"a": 1,}"#, r#"{"a": 1 }"#);
        assert_plain("[[], {}, true, /* end */ ] // é", "[[], {}, true            ]      ");
    }

    #[test]
    fn texts_keep_their_slashes_and_commas() {
        for text in [r#"["// no", "/* no */", "a,]", "\"//", "\\"]"#, r#"["https://x.org"]"#] {
            assert!(matches!(without_comments(text), Ok(Cow::Borrowed(_))), "{text}");
        }
    }

    #[test]
    fn comma_without_a_value_stays() {
        for text in ["[,]", "{,}", "[1,,]", "[1],", ",", "[1 /"] {
            let plain = without_comments(text).unwrap();
            assert!(serde_json::from_str::<Value>(&plain).is_err(), "{text}: {plain}");
        }
    }

    #[test]
    fn comment_without_an_end_is_found() {
        assert_eq!(without_comments("[1, /* é ]"), Err(OpenComment { offset: 4 }));
        assert_eq!(without_comments("[] /*/"), Err(OpenComment { offset: 3 }));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            r#"[/*,\]}"\\]{0,6}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a/*,]{0,3}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Writes a value with a comment before each token, and with trailing commas.
    fn with_comments(value: &Value, comment: &str) -> String {
        let comma_after = |items: Vec<String>| {
            let all: String = items.iter().map(|item| format!("{item}{comment},{comment}")).collect();
            all
        };
        match value {
            Value::Array(items) => {
                let items = items.iter().map(|item| with_comments(item, comment)).collect();
                format!("{comment}[{comment}{}]{comment}", comma_after(items))
            }
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| {
                    format!("{}{comment}:{}", Value::from(name.as_str()), with_comments(value, comment))
                };
                format!("{comment}{{{comment}{}}}{comment}", comma_after(fields.iter().map(field).collect()))
            }
            leaf => leaf.to_string(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn json_is_its_own_plain_text(value in json()) {
            let text = value.to_string();
            prop_assert!(matches!(without_comments(&text), Ok(Cow::Borrowed(_))));
        }

        #[test]
        fn value_with_comments_is_read_as_the_value(value in json(), words in "[^*\n\r]{0,5}") {
            for comment in [format!("/*{words}*/"), format!("//{words}\n"), format!(" /*{words}\n*/ ")] {
                let text = with_comments(&value, &comment);
                let plain = without_comments(&text).unwrap();
                prop_assert_eq!(plain.len(), text.len());
                prop_assert_eq!(serde_json::from_str::<Value>(&plain).unwrap(), value.clone(), "{}", text);
            }
        }

        #[test]
        fn every_text_keeps_its_length_and_lines(text in "[\\[\\]{}/*,\"\\\\ a1é\n]{0,30}") {
            if let Ok(plain) = without_comments(&text) {
                prop_assert_eq!(plain.len(), text.len());
                let ends = |text: &str| text.match_indices('\n').map(|(at, _)| at).collect::<Vec<_>>();
                prop_assert_eq!(ends(&plain), ends(&text));
            }
        }
    }
}
