//! What one client may cost the service.

use serde::{Deserialize, Serialize};

/// Limits on what clients send and on what is kept for them. [`Limits::default`] suits a chat product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest commit, proposal, message, welcome or group info, in bytes. Default 4 MiB: the group info of ten
    /// thousand members with its ratchet tree has about that. A key package has at most 32 KiB.
    pub max_body_bytes: usize,
    /// Devices in one group. Default 10,000: above it a group info no longer fits the default body size.
    pub max_devices_per_group: usize,
    /// Devices of one group that were removed from it and have not been added again, each of which is remembered so that
    /// it does not join by itself. Default 100,000: beyond it nobody joins that group by itself any more, for a device
    /// that was forgotten could.
    pub max_removed_devices_per_group: u64,
    /// Devices that one user has, removed ones not counted. Default 50: each has streams, sessions and key packages of its
    /// own.
    pub max_devices_per_user: u64,
    /// Entries of one user's list of devices. Default 10,000: a device that replaces its signature key each week makes 52 in a
    /// year. Beyond it devices can be removed and not added.
    pub max_device_list_entries: u64,
    /// Bytes that one group's log keeps for readers that have not acknowledged, welcomes included. Default 64 MiB. When it
    /// is full the oldest entries go, as with `max_queue_length`.
    pub max_queue_bytes: u64,
    /// Bytes of one user's devices that are kept: entries of all logs, and the last two group infos of each group. Default
    /// 1 GiB. The bytes of an entry come free when its readers have acknowledged it, or after the retention time. Those of
    /// a group info come free with the second commit after it, or with the end of the group.
    pub max_stored_bytes_per_user: u64,
    /// Groups that one user's devices have ended. Default 10,000: the name of each is kept for ever, so that nobody gives
    /// it to another group.
    pub max_ended_groups_per_user: u64,
    /// Key packages that wait for one device, the last-resort one not counted. Default 200: enough for a device that is
    /// away for months, and little enough to count them with every claim.
    pub max_key_packages_per_device: usize,
    /// Claims of a user's devices that no commit has used yet. Default 10,000: one commit may add as many devices as a
    /// group has.
    pub max_open_claims_per_user: u64,
    /// Claims of one user's devices on one device of another user, used or not, within a week. Default 5. Beyond the
    /// limit the service hands out only the last-resort key package, so that a stranger does not use up the others. A group that the device
    /// accepts takes away one used claim of the user that added it.
    pub max_open_claims_per_target: usize,
    /// Memberships of devices that a user has added and that have not accepted the group. Default 10,000: one commit may add
    /// as many devices as a group has. They do not count against the limit of groups of those devices.
    pub max_open_invitations_per_user: u64,
    /// Entries that one group's log keeps for readers that have not acknowledged. Default 100,000. When it is full the
    /// oldest entry goes: one device that never reads must not stop its group. The reader sees a gap in the sequence
    /// numbers, and can rejoin by external commit.
    pub max_queue_length: u64,
    /// Groups that one device is a member of and has accepted, and past ones that it has not read to the end. Default 5,000: each is
    /// named when a stream of the device begins.
    pub max_groups_per_device: usize,
    /// Proposals by reference in one epoch. Default 2,000: every member of a large group may propose an update, but the
    /// pending proposals of an assisted group are held in memory.
    pub max_proposals_per_epoch: u64,
    /// How many of the users that are asked about a commit, in percent, may be unable to process it before it is taken
    /// back: more than these, and at least two, and it is. Default 50: a majority, so that one hostile user in a group of
    /// four or more can neither block it with a bad commit nor take back a good one.
    pub rollback_percent: u8,
    /// Seconds for which an entry is kept for those who have not acknowledged it, and for which a resubmission is
    /// recognized. Default 30 days: a device that was away for longer rejoins. Counted from the moment of acceptance.
    pub retention_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 4 * 1024 * 1024,
            max_devices_per_group: 10_000,
            max_removed_devices_per_group: 100_000,
            max_devices_per_user: 50,
            max_device_list_entries: 10_000,
            max_queue_bytes: 64 * 1024 * 1024,
            max_stored_bytes_per_user: 1024 * 1024 * 1024,
            max_ended_groups_per_user: 10_000,
            max_key_packages_per_device: 200,
            max_open_claims_per_user: 10_000,
            max_open_claims_per_target: 5,
            max_open_invitations_per_user: 10_000,
            max_queue_length: 100_000,
            max_groups_per_device: 5_000,
            max_proposals_per_epoch: 2_000,
            rollback_percent: 50,
            retention_seconds: 30 * 24 * 60 * 60,
        }
    }
}
