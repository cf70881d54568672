//! The protocols beside the engine's, priced by the same rows.
//!
//! Each module has the source of its protocol. `docs/baselines.md` has the assumptions.
//!
//! | module | protocol |
//! | --- | --- |
//! | `optional_paths` | MLS with a path only where RFC 9420 requires one |
//! | `split_commits` | MLS with commits that the service splits |
//! | `partial_mls` | MLS with members that do not hold the ratchet tree |

pub(crate) mod optional_paths;
pub(crate) mod partial_mls;
pub(crate) mod split_commits;

use super::{
    group::CostGroup,
    group_model::{Creation, GroupModel},
};
use crate::scenario::Protocol;

/// The group of a protocol that a device has just created.
pub(crate) fn create(protocol: Protocol, creation: Creation<'_>) -> Box<dyn GroupModel + '_> {
    match protocol {
        _ => Box::new(CostGroup::create(creation)),
    }
}
