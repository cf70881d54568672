//! The names that a scenario gives to members, messages and compromises.
//!
//! Each kind has its own type, so that a message cannot be looked up under a member's name. A name
//! is free text without white space. Inside of `repeat` it may contain `{i}`, which is replaced
//! when [`crate::scenario::WrittenStep`] is expanded.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Serialize, Serializer};

use super::turn::{at_turn, has_turn};

/// The number of the turn, in names and texts inside of a `repeat`. It can be a part of an
/// expression such as `{i+10}`.
pub const TURN: &str = "{i}";

/// The word for all members of the scenario, in a list of members. If a member has this name, it is
/// the name.
pub const EVERYBODY: &str = "everybody";

/// The word for all members of the scenario but the acting one, in a list of members. If a member
/// has this name, it is the name.
pub const OTHERS: &str = "others";

/// The length of the longest name, in characters. Names are columns of reports and parts of record
/// names.
pub const MAX_NAME_LENGTH: usize = 128;

/// The separator between a user and a device in the name of a member.
const DEVICE_SEPARATOR: char = '/';

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Makes a name without a check. The parser checks the names in a file.
            #[must_use]
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
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
    /// One of the scenario's `members`: a device. It need not be in a group.
    ///
    /// `alice/phone` is the device `phone` of the user `alice`. A name without a slash is a user
    /// with only one device.
    MemberName
}

impl MemberName {
    /// The user of the device.
    #[must_use]
    pub fn user(&self) -> &str {
        self.0.split_once(DEVICE_SEPARATOR).map_or(&*self.0, |(user, _)| user)
    }

    /// The name of the device, if the user has devices with names.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        self.0.split_once(DEVICE_SEPARATOR).map(|(_, device)| device)
    }
}

name! {
    /// The name of a user: the part of the names of its devices before the slash.
    UserName
}

name! {
    /// The name of a group. Steps that name no group act in the default one.
    GroupName
}

impl Default for GroupName {
    /// The group of the steps that name no group.
    fn default() -> Self {
        Self::new("group")
    }
}

name! {
    /// The id that a `send` gives to its message.
    MessageId
}

name! {
    /// The id that a `compromise` gives to its theft.
    CompromiseId
}

name! {
    /// The id that a `backup` gives to its backup.
    BackupId
}

macro_rules! repeated {
    ($($name:ident),*) => {$(
        impl $name {
            /// The name in this turn of a `repeat`.
            #[must_use]
            pub(crate) fn at_turn(&self, turn: u32) -> Self {
                if has_turn(&self.0) { Self(at_turn(&self.0, turn).into()) } else { self.clone() }
            }
        }
    )*};
}

repeated!(MemberName, UserName, GroupName, MessageId, CompromiseId, BackupId);
