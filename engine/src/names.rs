//! Names of groups, epochs, times and messages. Each has its own type, so the compiler rejects a
//! mix-up.

use std::fmt;

pub(crate) use regrow_protocol::{Epoch, GroupId, InvalidGroupId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Converts a group identifier from an MLS message or from OpenMLS's state.
pub(crate) fn group_id(id: &openmls::group::GroupId) -> Result<GroupId, InvalidGroupId> {
    GroupId::new(id.as_slice())
}

/// Converts a group identifier to OpenMLS's type.
pub(crate) fn to_mls(id: &GroupId) -> openmls::group::GroupId {
    openmls::group::GroupId::from_slice(id.as_bytes())
}

/// Converts an epoch from OpenMLS's type.
pub(crate) fn epoch(epoch: openmls::group::GroupEpoch) -> Epoch {
    Epoch(epoch.as_u64())
}

/// The identifier of a message to a group: the SHA-256 hash of its bytes. The same message has the
/// same identifier at each member, and at each delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(#[serde(with = "serde_bytes")] [u8; 32]);

impl MessageId {
    /// Computes the identifier of the MLSMessage with these bytes.
    pub fn of(message: &[u8]) -> Self {
        Self(Sha256::digest(message).into())
    }

    /// Returns the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageId(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// A secret value for comparisons only. Two members have the same value if and only if they are in
/// the same epoch of the same group (RFC 9420, 8.7).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochAuthenticator(pub(crate) Vec<u8>);

impl EpochAuthenticator {
    /// Creates the value from the bytes that another member has shown.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes to show or to compare.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for EpochAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochAuthenticator(..)")
    }
}
