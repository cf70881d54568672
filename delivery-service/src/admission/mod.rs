//! Who comes in: the devices that the service knows, their sessions, and the invitations to register one.
//!
//! As with the ordering rules, every function works within a transaction that its caller opened. Whether a device has
//! proved its key, and whether an issuer's token is good, is for the caller to establish: here is what is kept of it.
//! Only hashes of tokens come here, so that whoever reads the store cannot use them.

pub(crate) mod deadline;
pub(crate) mod device;
pub(crate) mod device_list;
pub(crate) mod expiry;
pub(crate) mod invitation;
pub(crate) mod session;
pub(crate) mod user;
pub(crate) mod wake_up;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    device::{KnownUser, Registration},
    device_list::{Appended, ListedEntries},
    invitation::{InvitationId, NotAnInvitation, OpenInvitation},
    session::StoredSession,
    user::{DeviceRecords, MembershipRecord, RemovedUser, UserRecords},
};
pub use crate::device_list::DeviceKey;

/// SHA-256 of a token: of a session, or of an invitation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl fmt::Debug for TokenHash {
    /// Not the hash: it stands for who may do what.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}
