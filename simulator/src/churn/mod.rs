//! Churn: a membership history that is generated from the seed, as ordinary steps.
//!
//! | module | content |
//! | --- | --- |
//! | `arrivals` | when new members join |
//! | `stay` | how long a member stays |
//! | `activity` | when messages are sent, and by which member |
//! | `updates` | when a member refreshes its keys |
//! | `presence` | when a member is offline |
//! | `committer` | which member commits a change |
//! | `ratchet_tree` | the member with the cheapest path |
//! | `batching` | direct commits, or proposals that wait for a commit |
//! | `latency` | which changes race |
//! | `generator` | joins all of them: generates the steps of a churn, event by event |
//! | `generator::changes` | carries out changes by commits, races and proposals |
//! | `roster` | follows the membership through the written steps |
//! | `group`, `weights` | the members of the group; a weighted choice among them |
//! | `timeline`, `schedule`, `instant` | the steps with waits between them; scheduled events; times |
//! | `draws`, `quantity` | random draws; decimal numbers and rates |
//!
//! A generator is lazy. Its memory grows with the members, and not with the steps. An event takes
//! time that grows with the logarithm of the members.

use std::time::Duration;

mod activity;
mod arrivals;
mod batching;
mod committer;
mod draws;
mod generator;
mod group;
mod instant;
mod latency;
mod presence;
mod quantity;
mod ratchet_tree;
mod roster;
mod schedule;
mod stay;
mod timeline;
mod updates;
mod weights;

pub use activity::Messages;
pub use arrivals::RatePiece;
pub use batching::{Commits, MAX_BATCH, MAX_PROPOSAL_WAIT};
pub use committer::CommitterPolicy;
pub use presence::{MAX_OFFLINE, Presence};
pub use quantity::{Decimal, MAX_DECIMAL, Rate};
pub use stay::StayLength;
pub use updates::Updates;

pub(crate) use draws::Draws;
pub(crate) use generator::ChurnSteps;
pub(crate) use group::Group;
pub(crate) use instant::Instant;
pub(crate) use roster::Roster;
pub(crate) use timeline::Timeline;
pub(crate) use updates::UpdateClock;

/// The largest number of events of a churn. A churn without a smaller limit ends here.
pub const MAX_CHURN_EVENTS: u64 = 10_000_000;

/// The settings of a step `churn`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Churn {
    /// The number of first members. Set exactly if the churn creates the group.
    pub initial: Option<u32>,
    /// The virtual time after which the churn ends.
    pub time: Option<Duration>,
    /// The number of commits after which the churn ends.
    pub epochs: Option<u64>,
    /// The number of events after which the churn ends: joins, leaves, updates, messages, and
    /// changes of presence.
    pub events: Option<u64>,
    /// The rates of joins, in order of time. Without a piece, nobody joins.
    pub joins: Vec<RatePiece>,
    /// The time for which a member stays.
    pub stay: StayLength,
    /// The messages, if there are any.
    pub messages: Option<Messages>,
    /// The rules for updates.
    pub updates: Updates,
    /// The member that commits a change.
    pub committer: CommitterPolicy,
    /// Direct commits, or proposals.
    pub commits: Commits,
    /// The online and offline periods. Not set if all members are always online.
    pub presence: Option<Presence>,
    /// The time in which changes race. Not set if no changes race.
    pub latency: Option<Duration>,
}
