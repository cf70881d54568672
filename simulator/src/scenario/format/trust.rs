//! The trust of members in each other's keys.

use crate::scenario::name::MemberName;

/// The answer of an application to the question if a key belongs to a device (RFC 9420, 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// The key belongs to the device.
    Accept,
    /// The key does not belong to the device, as far as the application knows.
    Refuse,
}

/// The members that a member has verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedExpectation {
    /// The member that has verified them.
    pub by: MemberName,
    /// The verified members of the group, and no others.
    pub who: Vec<MemberName>,
}
