//! The record of a group: its mode, its epoch, and the counts that change with every entry. The
//! file also has the rules for the last two group infos.

use serde::{Deserialize, Serialize};

use super::tally::Tally;
use crate::{
    HandshakeMode,
    error::StoreError,
    handshake::wire::Hash,
    names::{DeviceId, Epoch, GroupId, Sequence},
    receipt::ChainHash,
    store::{
        Table, Transaction, identity,
        key::{self, Key},
    },
};

/// The encoding of a handshake mode in the store.
#[derive(Serialize, Deserialize)]
#[serde(remote = "HandshakeMode")]
enum StoredHandshakeMode {
    Assisted,
    Opaque,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    #[serde(with = "StoredHandshakeMode")]
    pub(crate) mode: HandshakeMode,
    pub(crate) epoch: Epoch,
    /// The number of the last entry.
    pub(crate) sequence: Sequence,
    /// The number of entries in the log.
    pub(crate) queued: u64,
    /// The number of proposals in this epoch.
    pub(crate) proposals: u64,
    /// The number of devices that the service remembers as removed.
    pub(crate) removed: u64,
    /// True if the service has not remembered a removed device, because there were too many.
    pub(crate) removed_beyond_limit: bool,
    /// The hash of the last entry in the hash chain.
    pub(crate) head: ChainHash,
    /// The bytes of the entries in the log, with their welcomes.
    pub(crate) bytes: u64,
    /// The stored group infos, by the parity of their epochs.
    group_infos: [Option<StoredGroupInfo>; 2],
    /// The device that created the group. With `created_from`, it identifies a repeated request.
    #[serde(with = "identity")]
    creator: DeviceId,
    #[serde(with = "serde_bytes")]
    created_from: Hash,
}

/// A stored group info. Its bytes count for the user of the device that sent it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredGroupInfo {
    #[serde(with = "identity")]
    pub(crate) sender: DeviceId,
    pub(crate) size: u64,
}

impl StoredGroupInfo {
    fn tally(&self) -> Tally<'_> {
        Tally::Bytes(self.sender.user())
    }
}

impl Group {
    /// Returns a group in its epoch 0, without entries. `created_from` is the hash of its first
    /// group info.
    pub(crate) fn new(mode: HandshakeMode, head: ChainHash, creator: &DeviceId, created_from: Hash) -> Self {
        Self {
            mode,
            epoch: Epoch(0),
            sequence: Sequence(0),
            queued: 0,
            proposals: 0,
            removed: 0,
            removed_beyond_limit: false,
            head,
            bytes: 0,
            group_infos: [None, None],
            creator: creator.clone(),
            created_from,
        }
    }

    /// Returns true if this device has created the group in this mode from a group info with this
    /// hash.
    pub(crate) fn is_created_by(&self, creator: &DeviceId, mode: HandshakeMode, from: &Hash) -> bool {
        self.mode == mode && self.creator == *creator && self.created_from == *from
    }

    /// Returns the stored group infos, each with the parity of its epoch.
    pub(crate) fn group_infos(&self) -> impl Iterator<Item = (u64, &StoredGroupInfo)> {
        (0..).zip(&self.group_infos).filter_map(|(parity, stored)| Some((parity, stored.as_ref()?)))
    }

    /// Returns true if the commit that began the present epoch came with a group info.
    pub(crate) fn has_group_info(&self) -> bool {
        self.group_infos().any(|(parity, _)| parity == self.epoch.0 % 2)
    }

    /// Restores the values that an epoch has changed. The counts of entries stay.
    pub(crate) fn return_to(&mut self, before: &Self) {
        self.epoch = before.epoch;
        self.proposals = before.proposals;
        self.removed = before.removed;
        self.removed_beyond_limit = before.removed_beyond_limit;
    }
}

pub(crate) fn load(tx: &mut dyn Transaction, id: &GroupId) -> Result<Option<Group>, StoreError> {
    key::get(tx, Table::Groups, &Key::group(id))
}

pub(crate) fn save(tx: &mut dyn Transaction, id: &GroupId, group: &Group) -> Result<(), StoreError> {
    key::put(tx, Table::Groups, &Key::group(id), group)
}

/// Returns the group info of the current epoch, if its commit came with one. The store also has the
/// group info of the epoch before, because the last commit may be taken back.
pub(crate) fn group_info(tx: &mut dyn Transaction, id: &GroupId, epoch: Epoch) -> Result<Option<Vec<u8>>, StoreError> {
    tx.get(Table::GroupInfos, Key::epoch_of(id, epoch).as_bytes())
}

/// Replaces the group info of the epoch before the last one by the group info of the present epoch,
/// which `sender` has sent. The caller saves `group`.
pub(crate) fn replace_group_info(
    tx: &mut dyn Transaction,
    id: &GroupId,
    group: &mut Group,
    sender: &DeviceId,
    group_info: Option<&[u8]>,
) -> Result<(), StoreError> {
    let key = Key::epoch_of(id, group.epoch);
    let stored = group_info.map(|bytes| StoredGroupInfo { sender: sender.clone(), size: bytes.len() as u64 });
    if let Some(stored) = &stored {
        stored.tally().add(tx, stored.size)?;
    }
    let [even, odd] = &mut group.group_infos;
    let place = if group.epoch.0.is_multiple_of(2) { even } else { odd };
    if let Some(former) = std::mem::replace(place, stored) {
        former.tally().subtract(tx, former.size)?;
    }
    match group_info {
        Some(bytes) => tx.put(Table::GroupInfos, key.as_bytes(), bytes),
        None => tx.delete(Table::GroupInfos, key.as_bytes()).map(drop),
    }
}

/// Subtracts the bytes of the group infos from the tallies, because the group ends.
pub(crate) fn discount_group_infos(tx: &mut dyn Transaction, group: &Group) -> Result<(), StoreError> {
    group.group_infos().try_for_each(|(_, stored)| stored.tally().subtract(tx, stored.size))
}
