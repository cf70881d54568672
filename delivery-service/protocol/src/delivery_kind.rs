//! The kinds of entries in a group's log and in a device's stream.

use crate::names::Sequence;

/// The kind of log entry that a delivery contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryKind {
    /// The welcome (RFC 9420, 12.4.3.1) for this device. It replaces the commit that added the
    /// device.
    Welcome,
    /// A commit. A device that joins by external commit also reads its own commit, as the first
    /// entry of its membership.
    Commit,
    /// A proposal by reference.
    Proposal,
    /// An application message.
    Message,
    /// A rollback: the service has taken back a commit that members could not process.
    ///
    /// The commit and the proposals up to this entry are void and deleted. The messages stay, for
    /// the devices that had processed the commit. The group is in the epoch before the commit
    /// again, with that epoch's roster. A device that had processed the commit rejoins by external
    /// commit. A device that the commit had added is not a member.
    Rollback {
        /// The number of the commit.
        voided: Sequence,
    },
}
