//! Where the service's records are kept: a few tables of ordered keys and values, changed in transactions.
//!
//! The store knows nothing of groups or epochs. All rules, and what a key means, are in the modules that order; so a
//! store is short, and another one (a server's database) is easy to write and to trust.

pub(crate) mod key;
mod sqlite;

use std::ops::{ControlFlow, Range};

pub use self::sqlite::SqliteStore;
use crate::error::StoreError;

/// A store whose records change in transactions: all of one's changes are kept, or none.
///
/// Transactions are serializable: each sees what those before it did, and nothing of those beside it.
pub trait Store: Send + Sync {
    /// Runs `work` in one transaction. Its changes are durable when this returns `Ok`; after `Err`, whether from `work`
    /// or from the store, none of them has happened.
    ///
    /// # Errors
    ///
    /// What `work` returned, or the store's own failure.
    fn transaction<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E>;
}

/// What can be done within one transaction. Each call fails with [`StoreError`] if the store does.
pub trait Transaction {
    /// The value under `key`, if there is one.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Sets the value under `key`.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Deletes `key`. Returns whether it was there.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError>;

    /// Shows every key in `range`, in ascending order of bytes, with its value, until `visit` breaks off. A range that
    /// ends before it starts is empty.
    ///
    /// # Errors
    ///
    /// The store failed, or `visit` did.
    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError>;
}

/// What [`Transaction::scan`] shows keys and values to.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'a;

/// The tables, and the keys in each. A name in a key is preceded by its length, and numbers are big-endian, so that keys
/// sort by name and then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// name of a counter: the last number that it gave out.
    Counters,
    /// group: mode, epoch, counts.
    Groups,
    /// group: the group info of the current epoch.
    GroupInfos,
    /// group, name of a record: OpenMLS's state of the public group.
    PublicGroups,
    /// group, cursor: an entry of the log.
    Log,
    /// group, cursor: the welcome that came with a commit.
    Welcomes,
    /// group, hash of the bytes: the answer that was given.
    Answers,
    /// deadline, cursor: the group and the hash, when an entry and its answer are to go.
    Deadlines,
    /// group, device: where the current membership began.
    Members,
    /// group, device: a device that others removed, and that nobody has added again.
    Removed,
    /// device, group, cursor: one membership, from that cursor on.
    Memberships,
    /// group, cursor, device, cursor: who has yet to acknowledge from the first cursor on; the key of the membership.
    Unread,
    /// device, number: a key package.
    KeyPackages,
    /// device, number: the last-resort key package.
    LastResorts,
    /// device, hash: a key package that was uploaded, whether or not it still waits.
    KeyPackagesSeen,
    /// deadline, number: the device and the hash, when a key package expires.
    KeyPackageDeadlines,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 16] = [
        Self::Counters,
        Self::Groups,
        Self::GroupInfos,
        Self::PublicGroups,
        Self::Log,
        Self::Welcomes,
        Self::Answers,
        Self::Deadlines,
        Self::Members,
        Self::Removed,
        Self::Memberships,
        Self::Unread,
        Self::KeyPackages,
        Self::LastResorts,
        Self::KeyPackagesSeen,
        Self::KeyPackageDeadlines,
    ];

    /// The table's name: lower case, with underscores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Groups => "groups",
            Self::GroupInfos => "group_infos",
            Self::PublicGroups => "public_groups",
            Self::Log => "log",
            Self::Welcomes => "welcomes",
            Self::Answers => "answers",
            Self::Deadlines => "deadlines",
            Self::Members => "members",
            Self::Removed => "removed",
            Self::Memberships => "memberships",
            Self::Unread => "unread",
            Self::KeyPackages => "key_packages",
            Self::LastResorts => "last_resorts",
            Self::KeyPackagesSeen => "key_packages_seen",
            Self::KeyPackageDeadlines => "key_package_deadlines",
        }
    }
}
