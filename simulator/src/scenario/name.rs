//! The names that a scenario gives to members, messages and compromises.
//!
//! Each kind is a type of its own, so that a message cannot be looked up under a member's name. A name is free text
//! without white space; inside `repeat` it may hold `{i}`, which [`crate::scenario::Node`] replaces when it is expanded.

use std::{borrow::Borrow, fmt};

use serde::Serialize;

/// What stands for the number of the turn in the names and texts inside a `repeat`.
pub const TURN: &str = "{i}";

/// The longest name, in characters: names are columns of reports and parts of record names, not documents.
pub const MAX_NAME_LENGTH: usize = 128;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a name as it is. Whether a name of a file is well-formed is the parser's to decide.
            #[must_use]
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name in this turn of a `repeat`.
            #[must_use]
            pub(crate) fn at_turn(&self, turn: u32) -> Self {
                Self(at_turn(&self.0, turn))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// One of the scenario's `members`: a user with one device. Whether it is in the group at some time is another
    /// question.
    MemberName
}

name! {
    /// What a `send` calls its message.
    MessageId
}

name! {
    /// What a `compromise` calls what it takes.
    CompromiseId
}

/// A text with every `{i}` replaced by the turn.
pub(crate) fn at_turn(text: &str, turn: u32) -> String {
    text.replace(TURN, &turn.to_string())
}
