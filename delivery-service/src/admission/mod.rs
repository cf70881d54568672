//! Admission: the devices that the service knows, their sessions, and the invitations to register a
//! device.
//!
//! As with the ordering rules, every function works within a transaction that its caller opened.
//! The caller also checks the proof of a device's key, and the token of an issuer. This module only
//! has the records. It receives only hashes of tokens, so that a reader of the store cannot use the
//! tokens.
//!
//! | module | rule |
//! | --- | --- |
//! | `device` | registers and removes devices; a name is given once |
//! | `device_list` | the signed lists of users' devices |
//! | `user` | the records of a user, and the removal of a user |
//! | `invitation` | invitations to register a device |
//! | `session` | the sessions of a device |
//! | `deadline` | the deadlines of sessions and invitations |
//! | `expiry` | deletes expired sessions and invitations |
//! | `wake_up` | the addresses that the server calls to wake devices |

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

/// The SHA-256 of a session's token or of an invitation's token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl fmt::Debug for TokenHash {
    /// Hides the hash, because it stands for a right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}
