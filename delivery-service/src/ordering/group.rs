//! The group's record: its mode, its epoch, and the counts that change with every entry.

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
    /// The last entry's number.
    pub(crate) sequence: Sequence,
    /// Entries in the log.
    pub(crate) queued: u64,
    /// Proposals in this epoch.
    pub(crate) proposals: u64,
    /// Devices that are remembered as removed.
    pub(crate) removed: u64,
    /// A device was removed that is not remembered, because there are too many.
    pub(crate) removed_beyond_limit: bool,
    /// The hash of the log's chain.
    pub(crate) head: ChainHash,
    /// Bytes of the entries in the log, welcomes included.
    pub(crate) bytes: u64,
    /// The group infos that are kept of the group, by the parity of their epochs.
    group_infos: [Option<KeptGroupInfo>; 2],
    /// Who created the group, and from what: to recognize the same request.
    #[serde(with = "identity")]
    creator: DeviceId,
    #[serde(with = "serde_bytes")]
    created_from: Hash,
}

/// A group info that counts for the user whose device sent it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeptGroupInfo {
    #[serde(with = "identity")]
    pub(crate) sender: DeviceId,
    pub(crate) size: u64,
}

impl KeptGroupInfo {
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

    /// The group infos that are kept of the group, with the parity of the epoch of each.
    pub(crate) fn group_infos(&self) -> impl Iterator<Item = (u64, &KeptGroupInfo)> {
        (0..).zip(&self.group_infos).filter_map(|(parity, kept)| Some((parity, kept.as_ref()?)))
    }

    /// Whether the commit that began the present epoch came with a group info.
    pub(crate) fn has_group_info(&self) -> bool {
        self.group_infos().any(|(parity, _)| parity == self.epoch.0 % 2)
    }

    /// Puts back what an epoch has changed. What counts entries goes on.
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

/// The group info of the current epoch, if its commit came with one. That of the epoch before is kept beside it, for the
/// last commit may be taken back.
pub(crate) fn group_info(tx: &mut dyn Transaction, id: &GroupId, epoch: Epoch) -> Result<Option<Vec<u8>>, StoreError> {
    tx.get(Table::GroupInfos, Key::epoch_of(id, epoch).as_bytes())
}

/// Replaces the group info of the epoch before the last one by that of the group's present epoch, which `sender` has sent.
/// The caller saves `group`.
pub(crate) fn replace_group_info(
    tx: &mut dyn Transaction,
    id: &GroupId,
    group: &mut Group,
    sender: &DeviceId,
    group_info: Option<&[u8]>,
) -> Result<(), StoreError> {
    let key = Key::epoch_of(id, group.epoch);
    let kept = group_info.map(|bytes| KeptGroupInfo { sender: sender.clone(), size: bytes.len() as u64 });
    if let Some(kept) = &kept {
        kept.tally().add(tx, kept.size)?;
    }
    let [even, odd] = &mut group.group_infos;
    let place = if group.epoch.0.is_multiple_of(2) { even } else { odd };
    if let Some(former) = std::mem::replace(place, kept) {
        former.tally().subtract(tx, former.size)?;
    }
    match group_info {
        Some(bytes) => tx.put(Table::GroupInfos, key.as_bytes(), bytes),
        None => tx.delete(Table::GroupInfos, key.as_bytes()).map(drop),
    }
}

/// Stops to count the group infos of a group that ends.
pub(crate) fn discount_group_infos(tx: &mut dyn Transaction, group: &Group) -> Result<(), StoreError> {
    group.group_infos().try_for_each(|(_, kept)| kept.tally().subtract(tx, kept.size))
}
