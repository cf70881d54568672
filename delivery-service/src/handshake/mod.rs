//! Reads MLS messages and verifies handshakes: the framing of every message, and the public groups
//! of assisted mode.
//!
//! Nothing here orders a submission. The ordering rules and [`Checker`](crate::Checker) call this
//! module, and get a typed value or a reason to reject.
//!
//! A module uses only itself and the modules above it in this table.
//!
//! | module | rule |
//! | --- | --- |
//! | `wire` | decodes MLSMessages; reads the fields that need no key |
//! | `credential` | the device that a credential names |
//! | `profile` | rejects proposals and extensions that the devices do not support |
//! | `records` | OpenMLS's storage for the state of one public group |
//! | `verify` | verifies a commit, a proposal or a group info in a public group |
//! | `public_groups` | the public groups in memory and in the store, and their versions |
//! | `verdict` | a decoded handshake, and the verdict on it for one state of a group |

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
