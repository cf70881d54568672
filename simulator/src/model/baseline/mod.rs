//! The protocols beside the engine's, priced by the same rows.
//!
//! Each module has the source of its protocol. `docs/baselines.md` has the assumptions.
//!
//! | module | protocol |
//! | --- | --- |
//! | `optional_paths` | MLS with a path only where RFC 9420 requires one |
//! | `split_commits` | MLS with commits that the service splits |
//! | `partial_mls` | MLS with members that do not hold the ratchet tree |
//! | `amortized_pq_combiner` | a traditional and a post-quantum MLS session |
//! | `tainted_treekem`, `tainted_tree` | Tainted TreeKEM, and its tree |
//! | `pairwise` | a Double Ratchet session for each pair of members |
//! | `sender_keys` | a sender key of each member |
//! | `signal_messages`, `signal_roster`, `event_counts` | the sizes and sessions of the last two |

mod amortized_pq_combiner;
mod event_counts;
pub(crate) mod optional_paths;
mod pairwise;
pub(crate) mod partial_mls;
mod sender_keys;
mod signal_messages;
mod signal_roster;
pub(crate) mod split_commits;
mod tainted_tree;
mod tainted_treekem;

use self::{
    amortized_pq_combiner::Combiner, pairwise::Pairwise, sender_keys::SenderKeys, tainted_treekem::TaintedTreekem,
};
use super::{
    group::CostGroup,
    group_model::{Creation, GroupModel},
};
use crate::scenario::Protocol;

/// The group of a protocol that a device has just created.
pub(crate) fn create(protocol: Protocol, creation: Creation<'_>) -> Box<dyn GroupModel + '_> {
    match protocol {
        Protocol::Mls | Protocol::MlsOptionalPaths | Protocol::SplitCommits | Protocol::PartialMls => {
            Box::new(CostGroup::create(creation))
        }
        Protocol::AmortizedPqCombiner => Box::new(Combiner::create(creation)),
        Protocol::TaintedTreekem => Box::new(TaintedTreekem::create(creation)),
        Protocol::SenderKeys => Box::new(SenderKeys::create(&creation)),
        Protocol::Pairwise => Box::new(Pairwise::create(&creation)),
    }
}
