//! A symbolic model of RFC 9420 that predicts which messages a thief can read. The model knows the
//! facts that happened, and no bytes.
//!
//! The [`Oracle`] is told every [`Fact`] as it happens. It names each secret and follows it: the
//! devices that have it, its erasure, and the secrets that follow from it and the traffic. It
//! shares no code with the engine and uses no cryptography. Therefore the two can be compared,
//! message by message. If OpenMLS keeps a secret that it should have erased, the oracle does not
//! keep it.
//!
//! | module | content | RFC 9420 |
//! | --- | --- | --- |
//! | `history` | the facts | |
//! | `apply_fact` | applies each fact to the model | 12 |
//! | `tree_math`, `tree` | the ratchet tree | 4, 7, appendix C |
//! | `path` | the path of a commit, and the receivers of its path secrets | 7.4 to 7.6, 12.3 |
//! | `secret_tree` | ratchets and the keys that are kept | 9 |
//! | `secret` | the names of secrets | |
//! | `made` | commits, proposals and messages | |
//! | `model` | the state of the model | |
//! | `device`, `holdings` | the secrets of a device and of a snapshot | 9.2, 14 |
//! | `reach` | the secrets that follow from a snapshot | 7.4, 8, 8.3, 12.4.3 |
//! | `obstacle` | the reason why a thief cannot read a message | 8, 9 |
//! | `epochs` | the ordered epochs and their trees | |

mod apply_fact;
mod device;
mod epochs;
mod history;
mod holdings;
mod made;
mod model;
mod obstacle;
mod path;
mod reach;
mod secret;
mod secret_tree;
mod tree;
mod tree_math;

#[cfg(test)]
mod tests;

pub use self::{
    epochs::OrderedEpoch,
    history::{
        Commit, CommitId, DeviceNumber, EpochId, Fact, KeyPackageId, MessageNumber, ProposalId, ProposalKind,
        RetentionPolicy,
    },
    holdings::Holdings,
    model::{Impossible, Oracle},
    obstacle::Obstacle,
    path::{PathNode, UpdatePath},
    reach::Reach,
    secret::{KeyPair, Secret},
    secret_tree::{Ratchet, RatchetKind, SecretTree},
    tree::{Leaf, Parent, Tree},
    tree_math::{LeafIndex, NodeIndex},
};
