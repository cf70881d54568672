//! What the service reads of MLS: the framing of every message, and in assisted mode the public group.
//!
//! Nothing here orders or stores entries. The ordering rules call in, and get a typed value or a reason to refuse.

mod credential;
mod profile;
mod public_groups;
mod records;
mod verdict;
mod verify;
pub(crate) mod wire;

pub(crate) use self::{
    credential::basic_identity,
    public_groups::{NewPublicGroup, PublicGroups},
    verdict::{DecodedHandshake, PresentState, VerdictKind},
    verify::{VerifiedCommit, verify_commit, verify_group_info, verify_proposal},
};
