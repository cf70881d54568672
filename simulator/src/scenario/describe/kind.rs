//! The kinds of values in a scenario file.

use super::{super::word::Word, Object, object::listed};

/// The kind of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// The number of the format.
    Format,
    /// A name.
    Name,
    /// One name, a list of names, or a row of numbered names.
    Names,
    /// The same, or an empty list: a step without names does nothing, and an expectation holds.
    AnyNames,
    /// A list of names, with the least and the largest number of names.
    NameList(usize, usize),
    /// A text of one line.
    Line,
    /// Any text, of at most this number of bytes.
    Text(u32),
    /// A whole number within limits, both included.
    Number(u64, u64),
    /// A decimal number within limits, both included.
    Decimal(&'static str, &'static str),
    /// True or false.
    Truth,
    /// Only true.
    True,
    /// One of the words of a type: `Kind::Word(words::<CrashPoint>)`.
    Word(fn() -> Vec<&'static str>),
    /// Only this text.
    Only(&'static str),
    /// A duration of at least one second.
    Duration,
    /// A duration that may be zero.
    Instant,
    /// A difference with its sign, such as `+3d`.
    Difference,
    /// A rate, such as `30/d`.
    Rate,
    /// An object.
    Object(&'static Object),
    /// A list of values, at least one.
    List(&'static Kind),
    /// A list of steps, at least one.
    Steps,
    /// A value of one of these kinds. No value is of two of them.
    Either(&'static [Kind]),
}

/// The words of a type, in their order.
pub(crate) fn words<T: Word>() -> Vec<&'static str> {
    T::WORDS.iter().map(|(word, _)| *word).collect()
}

impl Kind {
    /// True if the kind has several forms, and one of them is an object or a list.
    pub(super) fn has_structure(self) -> bool {
        let is_structure = |kind: &Self| matches!(kind, Self::Object(_) | Self::List(_) | Self::NameList(..));
        matches!(self, Self::Either(kinds) if kinds.iter().any(is_structure))
    }

    /// True if a value of this type of JSON can be of this kind.
    pub(super) fn admits(self, json: &str) -> bool {
        match self {
            Self::Format | Self::Number(..) | Self::Decimal(..) => json == "a number",
            Self::Truth | Self::True => json == "true or false",
            Self::NameList(..) | Self::List(_) | Self::Steps => json == "a list",
            Self::Object(_) => json == "an object",
            Self::Names | Self::AnyNames => ["a text", "a list", "an object"].contains(&json),
            Self::Either(kinds) => kinds.iter().any(|kind| kind.admits(json)),
            _ => json == "a text",
        }
    }

    /// The value in the error of a wrong type, such as "an object with `to`".
    pub(super) fn expected(self) -> String {
        match self {
            Self::Format | Self::Number(..) | Self::Decimal(..) => "a number".to_owned(),
            Self::Truth => "true or false".to_owned(),
            Self::True => "true".to_owned(),
            Self::Names | Self::AnyNames => "a name or a list of names".to_owned(),
            Self::NameList(..) => "a list of names".to_owned(),
            Self::List(_) | Self::Steps => "a list".to_owned(),
            Self::Word(words) => format!("one of {}", listed(&words(), "and")),
            Self::Only(word) => format!("`{word}`"),
            Self::Duration | Self::Instant => r#"a duration such as "3d""#.to_owned(),
            Self::Rate => r#"a rate such as "30/d""#.to_owned(),
            Self::Object(object) => object.expected(),
            Self::Either(kinds) => kinds.iter().map(|kind| kind.expected()).collect::<Vec<_>>().join(", or "),
            Self::Name | Self::Line | Self::Text(_) | Self::Difference => "a text".to_owned(),
        }
    }

    /// The limits of a number; no limits for every other kind.
    pub(super) fn limits(self) -> (u64, u64) {
        match self {
            Self::Number(least, most) => (least, most),
            _ => (0, u64::MAX),
        }
    }
}
