//! The change of a member's key packages at the delivery service: the step `key_packages`.

use std::time::Duration;

/// The change of a member's key packages at the delivery service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPackageChange {
    /// Withdraws all key packages. The member publishes none until its next change.
    Withdraw,
    /// Publishes new key packages.
    Publish(KeyPackagePublication),
}

/// New key packages of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyPackagePublication {
    /// True if the member withdraws all others.
    pub renew: bool,
    /// The number of one-time key packages. Not set: by the policy with `renew`, and else none.
    pub count: Option<u32>,
    /// True if there is a new last-resort key package. Not set: true if the member has one, and
    /// renews it.
    pub last_resort: Option<bool>,
    /// The time in which the new key packages can be used; by default the policy's.
    pub lifetime: Option<Duration>,
}

impl KeyPackageChange {
    /// The change that replaces all key packages by as many as the policy says.
    pub const RENEWAL: Self =
        Self::Publish(KeyPackagePublication { renew: true, count: None, last_resort: None, lifetime: None });
}
