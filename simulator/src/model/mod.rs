//! The cost model: what each entry of the log costs, without cryptography.
//!
//! The model plays the same scenarios as the [world](crate::world), and gives the same rows of
//! costs, but it computes sizes and counts only. Its tree has totals for each subtree, so a commit
//! costs as much as its path is long, and groups can have a million members. The real engine proves
//! the model: for random scenarios, both give the same rows.
//!
//! | module | content |
//! | --- | --- |
//! | `run` | plays the steps of a scenario; `prepare` makes the submissions, and `attempt` submits them |
//! | `commit_plan` | the content of a commit: intents and waiting proposals |
//! | `group_model` | the interface of all protocols, and their common parts |
//! | `baseline` | the protocols beside the engine's |
//! | `group` | the group of MLS: members, and the costs of each entry; `commit`, `framing` and `late` are its parts |
//! | `draft` | a commit before its order: changes, sizes and work |
//! | `tree` | the ratchet tree, with the totals of each subtree |
//! | `secret_tree` | the derivations in the secret tree |
//! | `work` | the operations of each role |
//! | `messages` | the sizes of messages |
//! | `suite` | the sizes of keys, signatures and ciphertexts |
//! | `encoding` | the sizes of vectors |

mod baseline;
mod commit_plan;
mod draft;
mod encoding;
mod group;
mod group_model;
mod messages;
mod run;
mod secret_tree;
mod suite;
mod tree;
mod work;

pub use run::run;

pub(crate) use run::run_watched;
pub(crate) use tree::{CostTree, LeafIndex, NodeSizes};

/// The columns of costs that the model leaves empty: the format of the service's store is the
/// service's own.
pub const EMPTY_COLUMNS: [&str; 1] = ["stored_bytes"];
