//! A code that all members of an epoch share (RFC 9420, 8.7).

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::{digits, write_blocks};
use crate::EpochAuthenticator;

const LABEL: &[u8] = b"regrow group code 1";

/// Thirty digits that are equal for all members of the same epoch of the same group, and for nobody else: to be read
/// aloud in a call. Every commit makes another.
///
/// It says that all who read the same digits are in the same group state, and nothing about who they are: that is what
/// a [`SafetyNumber`](crate::SafetyNumber) is for.
///
/// They are made of SHA-256 over the ASCII text `regrow group code 1` and the
/// [epoch authenticator](crate::Group::epoch_authenticator), as a safety number's are of a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupCode(String);

impl GroupCode {
    pub(crate) fn new(authenticator: &EpochAuthenticator) -> Self {
        let hash = Sha256::new().chain_update(LABEL).chain_update(authenticator.as_bytes()).finalize();
        Self(digits(&hash.into()))
    }

    /// The thirty digits, without spaces.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupCode {
    /// The digits in six blocks of five.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_blocks(f, &self.0)
    }
}
