//! The limits on the service's cost for one client.

use serde::{Deserialize, Serialize};

/// Limits on the size of submissions and on the stored records of clients. [`Limits::default`]
/// suits a chat product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest commit, proposal, message, welcome or group info, in bytes. Default 4 MiB, about
    /// the size of the group info of ten thousand members with its ratchet tree. A key package has
    /// at most 32 KiB.
    pub max_body_bytes: usize,
    /// Devices in one group. Default 10,000: the group info of a larger group does not fit into the
    /// default body size.
    pub max_devices_per_group: usize,
    /// Devices of one group that were removed and not added again. Each is remembered, so that it
    /// does not join by external commit. Default 100,000. Beyond the limit, no device can join that
    /// group by external commit any more: a removed device that the service has not remembered
    /// could join otherwise.
    pub max_removed_devices_per_group: u64,
    /// Devices of one user, without removed ones. Default 50: each has streams, sessions and key
    /// packages of its own.
    pub max_devices_per_user: u64,
    /// Entries of one user's device list. Default 10,000: a device that replaces its signature key
    /// each week makes 52 entries in a year. Beyond the limit, devices can be removed and not
    /// added.
    pub max_device_list_entries: u64,
    /// Bytes that one group's log keeps for readers that have not acknowledged them, with the
    /// welcomes. Default 64 MiB. A full log drops its oldest entries, as with `max_queue_length`.
    pub max_queue_bytes: u64,
    /// Stored bytes of one user's devices: entries of all logs, and the last two group infos of
    /// each group. Default 1 GiB. The bytes of an entry are free after its readers have
    /// acknowledged it, or after the retention time. The bytes of a group info are free after the
    /// second commit after it, or after the end of the group.
    pub max_stored_bytes_per_user: u64,
    /// Groups that one user's devices have ended. Default 10,000: the service keeps the name of
    /// each for ever, so that no device gives it to another group.
    pub max_ended_groups_per_user: u64,
    /// Key packages that wait for one device, without the last-resort one. Default 200: enough for
    /// a device that is away for months, and few enough to count them with every claim.
    pub max_key_packages_per_device: usize,
    /// Claims of a user's devices that no commit has used yet. Default 10,000: one commit may add
    /// as many devices as a group has.
    pub max_open_claims_per_user: u64,
    /// Claims of one user's devices on one device of another user, used or not, within a week.
    /// Default 5. Beyond the limit the service hands out only the last-resort key package, so that
    /// a stranger does not use up the others. When the device accepts a group, one used claim of
    /// the user that added it does not count any more.
    pub max_open_claims_per_target: usize,
    /// Memberships of devices that a user has added and that have not accepted the group. Default
    /// 10,000: one commit may add as many devices as a group has. They do not count against the
    /// limit of groups of those devices.
    pub max_open_invitations_per_user: u64,
    /// Entries that one group's log keeps for readers that have not acknowledged them. Default
    /// 100,000. A full log drops its oldest entry: a device that never reads must not stop its
    /// group. The reader sees a gap in the sequence numbers, and can rejoin by external commit.
    pub max_queue_length: u64,
    /// Groups that one device is a member of and has accepted, and past groups that it has not read
    /// to the end. Default 5,000: each is named when a stream of the device begins.
    pub max_groups_per_device: usize,
    /// Proposals by reference in one epoch. Default 2,000: every member of a large group may
    /// propose an update, but the service holds the pending proposals of an assisted group in
    /// memory.
    pub max_proposals_per_epoch: u64,
    /// The percentage of the asked users that may report a commit without a rollback. If more users
    /// than this, and at least two, cannot process the commit, the service takes it back. Default
    /// 50, a majority. So in a group of four or more users, one hostile user cannot block the group
    /// with a bad commit. It cannot take back a good commit either.
    pub rollback_percent: u8,
    /// The time in seconds for which an entry is kept for devices that have not acknowledged it,
    /// and for which a resubmission is recognized. Default 30 days: a device that was away for
    /// longer rejoins. The time begins with the acceptance.
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
