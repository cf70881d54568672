//! What the service reads of MLS: the framing of every message, and in assisted mode the public group.
//!
//! Nothing here orders or stores entries. The ordering rules call in, and get a typed value or a reason to refuse.

mod beside;
mod followed;
mod profile;
mod records;
mod verify;
pub(crate) mod wire;

pub(crate) use self::{
    beside::{Handshake, Present, Verified},
    followed::{Followed, NewGroup},
    verify::{VerifiedCommit, basic_identity, verify_commit, verify_group_info, verify_proposal},
};
