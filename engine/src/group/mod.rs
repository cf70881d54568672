//! One group of which this device is a member.
//!
//! `state` is a group in memory, and `handle` is the application's access to it. `create`,
//! `welcome` and `external` make the state, `receive` processes messages, and `commit` and
//! `proposal` make them. The module does no I/O; the calls of [`Client`](crate::Client) use it.
//!
//! # The states of a group
//!
//! A commit of this device waits until the delivery service has ordered or refused it. The state of
//! the group determines the possible calls. A restart changes no state.
//!
//! | state | meaning |
//! | --- | --- |
//! | operational | The device is a member. No commit is pending, and no intent is open. |
//! | open | No commit is pending, but an intent is open. |
//! | pending | A commit of this device is pending. |
//! | later | A commit is pending, and an intent has been added after it. |
//! | joining | An external commit of this device is pending. |
//! | restored | The device is a member, but its storage is a restored older state or a copy. |
//! | removed | Another member has removed the device. Only this fact is stored. |
//! | outside | The device was never a member, or it has forgotten the group. |
//!
//! In the tables, a cell has the state after the call, or the error of the call. After an error the
//! state is the same as before. A device that rejoins has its old group until the external commit
//! is confirmed. Until then, calls on the old group have the results of the old group's state. The
//! column *joining* is for a device that was never a member.
//!
//! | operation | operational | open | pending | later |
//! | --- | --- | --- | --- | --- |
//! | add, remove, update, commit | pending | pending | `CommitPending` | `CommitPending` |
//! | remove a device from all groups | pending | pending | later | later |
//! | propose | operational | open | `CommitPending` | `CommitPending` |
//! | leave | open | open | `CommitPending` | `CommitPending` |
//! | send | operational | open | pending | later |
//! | receive a message | operational | open | pending | later |
//! | receive a commit | operational | open | open | open |
//! | receive the own removal | removed | removed | removed | removed |
//! | receive the own commit | restored | restored | operational | open |
//! | confirm | `NotPending` | `NotPending` | operational | open |
//! | discard | `NotPending` | `NotPending` | open | open |
//! | resume | operational | pending | pending | later |
//! | abandon | operational | operational | operational | operational |
//! | get the group info | operational | open | `CommitPending` | `CommitPending` |
//! | join by external commit | joining | joining | joining | joining |
//! | join by welcome | `GroupExists` | `GroupExists` | `GroupExists` | `GroupExists` |
//! | forget | outside | outside | outside | outside |
//!
//! | operation | joining | restored | removed |
//! | --- | --- | --- | --- |
//! | add, remove, update, commit | `UnknownGroup` | `Restored` | `Removed` |
//! | remove a device from all groups | joining | `Restored` | removed |
//! | propose | `UnknownGroup` | `Restored` | `Removed` |
//! | leave | `UnknownGroup` | `Restored` | `Removed` |
//! | send | `UnknownGroup` | `Restored` | `Removed` |
//! | receive a message | `UnknownGroup` | restored | `Removed` |
//! | receive a commit | `UnknownGroup` | restored | `Removed` |
//! | receive the own removal | `UnknownGroup` | removed | `Removed` |
//! | receive the own commit | operational | restored | `Removed` |
//! | confirm | operational | `NotPending` | `Removed` |
//! | discard | outside | `NotPending` | `Removed` |
//! | resume | `UnknownGroup` | `Restored` | `Removed` |
//! | abandon | `UnknownGroup` | restored | `Removed` |
//! | get the group info | `UnknownGroup` | restored | `Removed` |
//! | join by external commit | joining | joining | joining |
//! | join by welcome | joining | `GroupExists` | operational |
//! | forget | outside | outside | outside |
//!
//! Notes on the cells:
//!
//! - The first row is also true for a new signature key, for group data and for the devices of a
//!   user. These calls also fail for other reasons, such as `UnknownMember`.
//! - A message is not sent while proposals of the epoch wait (`ProposalsWait`).
//! - A received commit of another member ends a pending commit. Its intents stay open, unless the
//!   received commit fulfills them.
//! - The own commit that comes back confirms the pending commit. An own commit that is not pending
//!   was discarded before, or another copy of the device has made it. A commit that the device has
//!   confirmed before has no effect.
//! - A commit that cannot be carried out ([`Lost`](crate::Lost)) changes no state, except
//!   [`Lost::Restored`](crate::Lost::Restored). A confirmed external commit ends the state
//!   *restored*.
//! - If a group of a joining device appears by a welcome, the external commit stays pending.
//! - A removal from all groups skips the groups of which the device is not a member. Its errors are
//!   reported for each group.
//! - The column *restored* is for a device without a pending commit. A commit that was pending
//!   before can be confirmed or discarded, and the device stays restored.
//!
//! The test `engine/tests/it/group_states.rs` reads these tables and proves each cell. The tests
//! `external.rs` and `recovery.rs` beside it prove the statements on devices that rejoin.

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
