//! The names of things: groups, devices, epochs, positions, moments. Each is its own type, so that one cannot be passed
//! for another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest group or device name, in bytes, that may enter the store. Names are part of many keys, so a long one
/// costs many times its length; 255 bytes hold any identifier that people or UUID libraries make.
pub const MAX_NAME_BYTES: usize = 255;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(with = "serde_bytes")] Vec<u8>);

        impl $name {
            /// A name of these bytes. Names longer than [`MAX_NAME_BYTES`] are refused where they would be stored.
            pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
                Self(bytes.into())
            }

            /// The name's bytes, as they stand in MLS messages.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// Whether the name is longer than [`MAX_NAME_BYTES`].
            pub fn is_too_long(&self) -> bool {
                self.0.len() > MAX_NAME_BYTES
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.as_bytes().to_vec())
            }
        }

        impl fmt::Display for $name {
            /// The name as text where it is printable text, else in hexadecimal.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match std::str::from_utf8(&self.0) {
                    Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => f.write_str(text),
                    _ => self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

name! {
    /// The identifier of a group (RFC 9420, 8.1), chosen by its creator and unique at one delivery service.
    GroupId
}

name! {
    /// One client of one user: exactly the identity in the basic credential of the device's leaf (RFC 9420, 5.3).
    /// The service does not look inside.
    DeviceId
}

name! {
    /// A user, who has one or more devices. The ordering rules know of devices alone.
    UserId
}

/// The number of an epoch (RFC 9420, 8.1): 0 when a group is created, one more with each accepted commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// The number of an entry in its group's log: 1 for the first, without gaps. A reader that sees a gap has missed entries
/// that the retention time or the queue's length limit took away. 0 stands for the group's creation, which is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// A position in a device's stream. Positions grow over all groups together, in the order in which entries were
/// accepted; what a device may not read leaves gaps. [`Cursor::START`] is before everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub u64);

impl Cursor {
    /// Before the first entry: what a device that has read nothing yet reads after.
    pub const START: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A moment, in seconds since the Unix epoch. The service has no clock: the caller says what time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment that many seconds later.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}
