//! A code that all members of an epoch share (RFC 9420, 8.7).

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::{digits, write_blocks};
use crate::EpochAuthenticator;

const LABEL: &[u8] = b"regrow group code 1";

/// Thirty digits that are equal for all members of the same epoch of the same group, and different
/// for everybody else. The members read them aloud in a call. Every commit changes the digits.
///
/// Equal digits show that the members are in the same group state. They do not show who the
/// members are: use a [`SafetyNumber`](crate::SafetyNumber) for that.
///
/// The digits are computed from SHA-256 over the ASCII text `regrow group code 1` and the [epoch
/// authenticator](crate::Group::epoch_authenticator). The conversion to digits is the same as for
/// a fingerprint in a safety number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupCode(String);

impl GroupCode {
    pub(crate) fn new(authenticator: &EpochAuthenticator) -> Self {
        let hash = Sha256::new().chain_update(LABEL).chain_update(authenticator.as_bytes()).finalize();
        Self(digits(&hash.into()))
    }

    /// Returns the thirty digits, without spaces.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupCode {
    /// Writes the digits in six blocks of five.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_blocks(f, &self.0)
    }
}
