//! The group's record: its mode, its epoch, and the counts that change with every entry.

use openmls_rust_crypto::RustCrypto;
use regrow_protocol::mls;
use serde::{Deserialize, Serialize};

use super::{
    Attempt, Call, Halt, Submitted, ending, log, membership,
    roster::{self, Arrival},
    tally::Tally,
};
use crate::{
    HandshakeMode,
    error::StoreError,
    handshake::{Followed, Handshake, NewGroup, Present, Verified, wire},
    limits::Limits,
    names::{DeviceId, Epoch, GroupId, Sequence},
    outcome::{Outcome, RejectReason},
    receipt::ChainHash,
    service::effect::Effect,
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
    created_from: [u8; 32],
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
    /// The group infos that are kept of the group, with the parity of the epoch of each.
    pub(crate) fn group_infos(&self) -> impl Iterator<Item = (u64, &KeptGroupInfo)> {
        (0..).zip(&self.group_infos).filter_map(|(parity, kept)| Some((parity, kept.as_ref()?)))
    }

    /// Whether the commit that began the present epoch came with a group info.
    fn has_group_info(&self) -> bool {
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

/// The group info of a new group, decoded and verified. It needs no store.
pub(crate) struct Creation {
    mode: HandshakeMode,
    created_from: [u8; 32],
    head: ChainHash,
    /// In assisted mode, the group that the service will follow.
    verified: Result<Option<NewGroup>, RejectReason>,
}

impl Creation {
    /// Verifies the group info of epoch 0. A fault is for [`create`] to name.
    pub(crate) fn verify(crypto: &RustCrypto, limits: &Limits, submitted: Submitted<'_>, mode: HandshakeMode) -> Self {
        let Submitted { group: id, sender: creator, bytes } = submitted;
        let verified = || {
            let group_info = wire::group_info(bytes, limits)?;
            if !wire::is_of(&group_info, id, Epoch(0)) || !wire::has_tree(&group_info) {
                return Err(RejectReason::GroupInfoMismatch);
            }
            match mode {
                HandshakeMode::Opaque => Ok(None),
                // The leaves of others are not even verified.
                HandshakeMode::Assisted if mls::has_at_most(bytes, 1) == Some(false) => {
                    Err(RejectReason::NotSignedBySender)
                }
                HandshakeMode::Assisted => NewGroup::verify(crypto, creator, group_info).map(Some),
            }
        };
        let (created_from, head) = (wire::hash(bytes), ChainHash::of_creation(id, bytes));
        Self { mode, created_from, head, verified: verified() }
    }
}

/// Creates a group from the group info of its epoch 0, in which its creator is alone.
pub(crate) fn create(
    tx: &mut dyn Transaction,
    followed: &Followed,
    call: Call<'_>,
    submitted: Submitted<'_>,
    creation: Creation,
) -> Result<Outcome, Halt> {
    let Submitted { group: id, sender: creator, bytes } = submitted;
    let Creation { mode, created_from, head, verified } = creation;
    let (epoch, sequence) = (Epoch(0), Sequence(0));
    let accepted = Outcome::Accepted(call.key.sign(id, sequence, epoch, head));
    if let Some(group) = load(tx, id)? {
        let is_same = group.mode == mode && group.creator == *creator && group.created_from == created_from;
        return if is_same { Ok(accepted) } else { Err(RejectReason::GroupExists.into()) };
    }
    if ending::is_ended(tx, id)? {
        return Err(RejectReason::GroupEnded.into());
    }
    membership::check_group_count(tx, call.limits, creator)?;
    Tally::check_bytes(tx, call.limits, creator.user(), bytes.len())?;
    if let Some(new) = verified? {
        followed.start(tx, id, new)?;
    }
    let mut group = Group {
        mode,
        epoch,
        sequence,
        queued: 0,
        proposals: 0,
        removed: 0,
        removed_beyond_limit: false,
        head,
        bytes: 0,
        group_infos: [None, None],
        creator: creator.clone(),
        created_from,
    };
    replace_group_info(tx, id, &mut group, creator, Some(bytes))?;
    save(tx, id, &group)?;
    let first_entry = log::end(tx)?.next();
    roster::join(tx, call, id, creator, first_entry, Arrival::Created, None)?;
    call.effects.note(Effect::Readers(id.clone(), vec![creator.clone()]));
    Ok(accepted)
}

/// The group info of the current epoch, if its commit came with one. That of the epoch before is kept beside it, for the
/// last commit may be taken back.
pub(crate) fn group_info(tx: &mut dyn Transaction, id: &GroupId, epoch: Epoch) -> Result<Option<Vec<u8>>, StoreError> {
    tx.get(Table::GroupInfos, Key::epoch_of(id, epoch).as_bytes())
}

/// The verdict on a handshake in the group's present state. A handshake without a verdict costs no look at that state.
pub(crate) fn verdict<T: Verified>(
    tx: &mut dyn Transaction,
    followed: &Followed,
    id: &GroupId,
    group: &Group,
    handshake: &mut Handshake<T>,
) -> Result<T, Halt<Attempt<()>>> {
    let unverified = || Halt::answer(Attempt::Unverified(()));
    if !handshake.has_verdict() {
        let is_seen = group.mode == HandshakeMode::Assisted || group.has_group_info();
        return Err(if is_seen { unverified() } else { RejectReason::NoGroupInfo.into() });
    }
    let present = present(tx, followed, id, group)?;
    Ok(handshake.take_verdict(&present).ok_or_else(unverified)??)
}

/// The group's present state, as far as the service sees it.
pub(crate) fn present(
    tx: &mut dyn Transaction,
    followed: &Followed,
    id: &GroupId,
    group: &Group,
) -> Result<Present, Halt> {
    match group.mode {
        HandshakeMode::Assisted => Ok(Present::Followed(followed.group(tx, id, group.epoch)?)),
        HandshakeMode::Opaque => {
            let group_info = group_info(tx, id, group.epoch)?.ok_or(RejectReason::NoGroupInfo)?;
            Ok(Present::Described(group_info))
        }
    }
}

/// The ratchet tree of the group's present epoch, or of the one before, if the service follows the group.
pub(crate) fn ratchet_tree(
    tx: &mut dyn Transaction,
    followed: &Followed,
    id: &GroupId,
    epoch: Epoch,
) -> Result<Option<Vec<u8>>, StoreError> {
    match load(tx, id)? {
        Some(group) if group.mode == HandshakeMode::Assisted => followed.ratchet_tree(tx, id, group.epoch, epoch),
        _ => Ok(None),
    }
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
