//! One group of which this device is a member.

mod agreement;
mod check;
mod commit;
pub(crate) mod create;
mod data;
pub(crate) mod data_extension;
mod device_intents;
mod draft;
mod due;
mod epoch;
pub(crate) mod external;
mod freshness;
mod handle;
mod history;
mod intent;
mod leaf_changes;
pub(crate) mod leaves;
mod left_out;
mod new_leaf;
mod opened;
mod past;
mod path;
mod pending_commit;
mod plan;
mod proposal;
mod proposal_effect;
pub(crate) mod receive;
pub(crate) mod record;
pub(crate) mod rejoin;
mod selection;
mod sent;
pub(crate) mod state;
mod trust;
mod user;
mod verify;
pub(crate) mod welcome;

pub use device_intents::IntentStatus;
pub use due::{Due, Rotation};
pub use handle::{Group, Member};
pub use history::Agreement;
pub use left_out::LeftOut;
pub use pending_commit::PendingCommit;
pub use proposal::{Outgoing, ProposalMessage};

pub(crate) use state::GroupState;
