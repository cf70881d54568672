//! The kinds of values in a scenario file.

use super::{super::word::Word, Object};

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
    /// The limits of a number; no limits for every other kind.
    pub(super) fn limits(self) -> (u64, u64) {
        match self {
            Self::Number(least, most) => (least, most),
            _ => (0, u64::MAX),
        }
    }
}
