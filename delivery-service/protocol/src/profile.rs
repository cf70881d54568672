//! The profile of MLS that Regrow's devices use. Devices and the service refuse everything outside
//! it.
//!
//! RFC 9420 allows other credentials, proposals and extensions. A device that meets one of them in
//! an ordered commit can no longer follow the group. Therefore the service refuses them before it
//! orders anything.
//!
//! In an opaque group the service cannot look into a member's commit. There a device that reads an
//! ordered commit outside the profile names the cause (`Lost::Unsupported` in the engine) and
//! reports the commit. No Regrow device can carry it out, so the members can have it taken back.
//!
//! A later version of the profile separates old devices from new ones, and needs new groups
//! (`docs/decisions/0063`).

use crate::names::Timestamp;

/// The proposal types that a commit may have (RFC 9420, 17.4): add, update, remove, external_init
/// and group_context_extensions. A group_context_extensions proposal may change only the group
/// data.
pub const PROPOSAL_TYPES: [u16; 5] = [1, 2, 3, 6, 7];

/// The credential type of every leaf: basic (RFC 9420, 17.5). Its identity is the identity of a
/// [`DeviceId`](crate::DeviceId).
pub const CREDENTIAL_TYPE: u16 = 1;

/// The extension types that a group context may have (RFC 9420, 17.3): required_capabilities and
/// the group data.
pub const GROUP_CONTEXT_EXTENSIONS: [u16; 2] = [3, GROUP_DATA_EXTENSION];

/// The type of the extension that contains the group data. It is a private-use type (RFC 9420,
/// 17.3).
pub const GROUP_DATA_EXTENSION: u16 = 0xF752;

/// The version of the group data extension's content. It is the first byte of the content.
pub const GROUP_DATA_VERSION: u8 = 1;

/// The type of the key package extension that contains a [`UsePeriod`]. It is a private-use type
/// (RFC 9420, 17.3).
pub const USE_PERIOD_EXTENSION: u16 = 0xF753;

const DAY: u64 = 24 * 60 * 60;

/// The longest [use period](UsePeriod) of a key package, in seconds. Every device has the same
/// limit: a member with a limit of its own would refuse commits that the others accept, and lose
/// the group.
pub const MAX_USE_SECONDS: u64 = 400 * DAY;

/// The longest lifetime of a key package without a use period, in seconds (RFC 9420, 7.2).
pub const MAX_LIFETIME_SECONDS: u64 = 30 * DAY + MAX_USE_SECONDS + 365 * DAY;

/// The period in which a device makes a key package, the service hands it out, and members add it
/// to groups.
///
/// Members compare the lifetime in the leaf (RFC 9420, 7.2) with their clocks when they read the
/// commit that adds it. They may read it late or have a wrong clock. So that lifetime is much
/// longer, and devices that add the key package use it only in this period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsePeriod {
    /// The time at which the key package was made.
    pub made: Timestamp,
    /// The end of the period: from this time on, the key package is not used.
    pub until: Timestamp,
}

impl UsePeriod {
    /// Reads the content of the [extension](USE_PERIOD_EXTENSION). Returns [`None`] for any other
    /// content.
    pub fn read(content: &[u8]) -> Option<Self> {
        let (made, until) = content.split_first_chunk()?;
        let moment = |bytes: [u8; 8]| Timestamp(u64::from_be_bytes(bytes));
        Some(Self { made: moment(*made), until: moment(until.try_into().ok()?) })
    }

    /// Returns the content of the extension: both times, in seconds since the Unix epoch.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.made.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.until.0.to_be_bytes());
        bytes
    }

    /// Returns true if the period lies within the lifetime and is not longer than
    /// [`MAX_USE_SECONDS`].
    pub fn is_acceptable(self, not_before: Timestamp, not_after: Timestamp) -> bool {
        let length = self.until.0.checked_sub(self.made.0);
        let is_short = length.is_some_and(|length| length <= MAX_USE_SECONDS);
        is_short && not_before <= self.made && self.until <= not_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_period_is_read_back() {
        let period = UsePeriod { made: Timestamp(7), until: Timestamp(1 << 40) };
        let bytes = period.to_bytes();
        assert_eq!(UsePeriod::read(&bytes), Some(period));
        assert!((0..bytes.len()).all(|length| UsePeriod::read(&bytes[..length]).is_none()));
        assert_eq!(UsePeriod::read(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn a_use_period_beyond_the_lifetime_is_not_acceptable() {
        let period = UsePeriod { made: Timestamp(100), until: Timestamp(200) };
        assert!(period.is_acceptable(Timestamp(100), Timestamp(200)));
        assert!(!period.is_acceptable(Timestamp(101), Timestamp(200)));
        assert!(!period.is_acceptable(Timestamp(100), Timestamp(199)));
        let long = UsePeriod { made: Timestamp(0), until: Timestamp(MAX_USE_SECONDS + 1) };
        assert!(!long.is_acceptable(Timestamp(0), Timestamp(u64::MAX)));
        let backwards = UsePeriod { made: Timestamp(200), until: Timestamp(100) };
        assert!(!backwards.is_acceptable(Timestamp(0), Timestamp(u64::MAX)));
    }
}
