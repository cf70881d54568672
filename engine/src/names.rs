//! The names of things: groups, epochs, moments, messages. Each is its own type, so that one cannot be passed for another.

use std::fmt;

pub(crate) use regrow_protocol::{Epoch, GroupId, InvalidGroupId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A group's identifier as it stands in an MLS message or in OpenMLS's state.
pub(crate) fn group_id(id: &openmls::group::GroupId) -> Result<GroupId, InvalidGroupId> {
    GroupId::new(id.as_slice())
}

/// The identifier as OpenMLS has it.
pub(crate) fn to_mls(id: &GroupId) -> openmls::group::GroupId {
    openmls::group::GroupId::from_slice(id.as_bytes())
}

/// An epoch as OpenMLS has it.
pub(crate) fn epoch(epoch: openmls::group::GroupEpoch) -> Epoch {
    Epoch(epoch.as_u64())
}

/// What a message to a group is known by: the SHA-256 hash of its bytes. The same message has the same identifier at each
/// member, and each time it is delivered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId([u8; 32]);

impl MessageId {
    /// The identifier of the MLSMessage with these bytes.
    pub fn of(message: &[u8]) -> Self {
        Self(Sha256::digest(message).into())
    }

    /// The hash.
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

/// A secret that is only worth comparing: it is equal for two members if and only if they hold the same epoch of the
/// same group (RFC 9420, 8.7).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochAuthenticator(pub(crate) Vec<u8>);

impl EpochAuthenticator {
    /// What another member showed.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes to show or to compare.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for EpochAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochAuthenticator(..)")
    }
}
