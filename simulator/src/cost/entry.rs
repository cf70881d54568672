//! The costs of one entry of the delivery service's log.

use regrow_engine::Change;

use super::{CostCounts, CountSpread, PathShape, TreeShape};
use crate::scenario::{GroupName, MemberName};

/// The costs of the creation of the group, of an ordered handshake, or of a welcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryCost {
    /// The group of the entry.
    pub group: GroupName,
    /// The number of the entry in the group's log. A welcome has the number of its commit, and the
    /// creation of the group has 0.
    pub sequence: u64,
    /// The epoch in which the entry was made; for a welcome, the epoch into which it leads.
    pub epoch: u64,
    /// The virtual seconds from the beginning of the scenario to the order of the entry.
    pub time: u64,
    /// The kind of the entry.
    pub kind: EntryKind,
    /// The member in whose name the entry was submitted.
    pub who: MemberName,
    /// The changes to the membership. Not set for the creation and for a welcome.
    pub changes: Option<ChangeCounts>,
    /// The ratchet tree after the entry. Not set if no member has entered its epoch.
    pub tree: Option<TreeShape>,
    /// The members after the entry, in a protocol without a ratchet tree.
    pub members: Option<u64>,
    /// The path of a commit. Not set for other entries.
    pub path: Option<PathShape>,
    /// The sizes of the messages.
    pub bytes: EntryBytes,
    /// The bytes at the service.
    pub service: ServiceBytes,
    /// The counts of the device that made the entry. Not set for a welcome, whose costs belong to
    /// its commit, and for an entry that a thief made.
    pub committer: Option<CostCounts>,
    /// The counts of the other members that processed a handshake.
    pub receivers: CountSpread,
    /// The counts of the devices that joined by a welcome.
    pub joiners: CountSpread,
}

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// The creation of the group.
    Create,
    /// A proposal by reference.
    Proposal,
    /// A commit of a member.
    Commit,
    /// An external commit.
    ExternalCommit,
    /// The welcome that came with the commit before it.
    Welcome,
}

/// The numbers of changes that a handshake makes or proposes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// Devices that it adds. An external joiner adds itself.
    pub adds: u64,
    /// Devices that it removes. A device that rejoins removes its old leaf.
    pub removes: u64,
    /// Update proposals.
    pub updates: u64,
}

/// The sizes of the messages of an entry, in bytes. A size is not set if there is no such message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryBytes {
    /// The commit.
    pub commit: Option<u64>,
    /// The update path in the commit. Also not set if the commit is a PrivateMessage.
    pub update_path: Option<u64>,
    /// The proposal.
    pub proposal: Option<u64>,
    /// The welcome for all joiners.
    pub welcome: Option<u64>,
    /// The largest welcome that the service delivered to one joiner.
    pub welcome_for_one: Option<u64>,
    /// The group info.
    pub group_info: Option<u64>,
}

/// The bytes of an entry at the delivery service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceBytes {
    /// The messages that the service received.
    pub uploaded: u64,
    /// The keys and values that the service wrote to its store. Not set for a service over the
    /// network.
    pub stored: Option<u64>,
    /// The number of deliveries.
    pub deliveries: u64,
    /// The messages that the service delivered.
    pub delivered: u64,
}

impl EntryKind {
    /// The name of the kind in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Proposal => "proposal",
            Self::Commit => "commit",
            Self::ExternalCommit => "external_commit",
            Self::Welcome => "welcome",
        }
    }
}

impl ChangeCounts {
    /// Counts the changes of a commit.
    pub(crate) fn of(changes: &[Change]) -> Self {
        let mut counts = Self::default();
        for change in changes {
            match change {
                Change::Added(_) => counts.adds += 1,
                Change::Removed(_) => counts.removes += 1,
                Change::Updated(_) => counts.updates += 1,
                Change::Data(_) => {}
            }
        }
        counts
    }
}

impl EntryCost {
    /// An entry that has cost nothing so far.
    pub(crate) fn new(sequence: u64, epoch: u64, time: u64, kind: EntryKind, who: &MemberName) -> Self {
        Self {
            group: GroupName::default(),
            sequence,
            epoch,
            time,
            kind,
            who: who.clone(),
            changes: None,
            tree: None,
            members: None,
            path: None,
            bytes: EntryBytes::default(),
            service: ServiceBytes::default(),
            committer: None,
            receivers: CountSpread::default(),
            joiners: CountSpread::default(),
        }
    }
}
