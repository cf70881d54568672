//! The profile of MLS that Regrow's devices speak: everything else is refused, by devices and by the service.
//!
//! RFC 9420 lets groups use other credentials, proposals and extensions than these. A device that meets them in an
//! ordered commit cannot follow the group any more, so the service refuses them before it orders anything.

use crate::names::Timestamp;

/// The types of the proposals that a commit may have (RFC 9420, 17.4): add, update, remove, external_init and
/// group_context_extensions. The last may change nothing but the group's data.
pub const PROPOSAL_TYPES: [u16; 5] = [1, 2, 3, 6, 7];

/// The type of every credential: basic (RFC 9420, 17.5). Its identity is that of a [`DeviceId`](crate::DeviceId).
pub const CREDENTIAL_TYPE: u16 = 1;

/// The types of the extensions that a group context may have (RFC 9420, 17.3): required_capabilities, and the group's data.
pub const GROUP_CONTEXT_EXTENSIONS: [u16; 2] = [3, GROUP_DATA_EXTENSION];

/// The type of the extension that a group's data is in, for private use (RFC 9420, 17.3).
pub const GROUP_DATA_EXTENSION: u16 = 0xF752;

/// The version of the content of that extension, its first byte.
pub const GROUP_DATA_VERSION: u8 = 1;

/// The type of the extension of a key package that a [`UsePeriod`] is in, for private use (RFC 9420, 17.3).
pub const USE_PERIOD_EXTENSION: u16 = 0xF753;

const DAY: u64 = 24 * 60 * 60;

/// The longest [use period](UsePeriod) of a key package, in seconds. Every device has the same bound, for a member
/// that refuses a commit by a bound of its own falls out of the group.
pub const MAX_USE_SECONDS: u64 = 400 * DAY;

/// The longest lifetime of a key package without a use period, in seconds (RFC 9420, 7.2).
pub const MAX_LIFETIME_SECONDS: u64 = 30 * DAY + MAX_USE_SECONDS + 365 * DAY;

/// The period in which a key package is used: made, handed out and added to groups.
///
/// Members compare the lifetime in the leaf (RFC 9420, 7.2) with their clocks when they read the commit that adds it,
/// late or by a wrong clock. So that lifetime is much wider, and those who add a device keep to this period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsePeriod {
    /// The moment at which the key package was made.
    pub made: Timestamp,
    /// The first moment at which the key package is used no more.
    pub until: Timestamp,
}

impl UsePeriod {
    /// Reads the content of the [extension](USE_PERIOD_EXTENSION). [`None`] for any other content.
    pub fn read(content: &[u8]) -> Option<Self> {
        let (made, until) = content.split_first_chunk()?;
        let moment = |bytes: [u8; 8]| Timestamp(u64::from_be_bytes(bytes));
        Some(Self { made: moment(*made), until: moment(until.try_into().ok()?) })
    }

    /// The content of the extension: both moments, in seconds since the Unix epoch.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.made.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.until.0.to_be_bytes());
        bytes
    }

    /// Whether the period lies within the lifetime and is not longer than [`MAX_USE_SECONDS`].
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
