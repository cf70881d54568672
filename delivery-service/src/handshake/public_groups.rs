//! The public groups that the service tracks (RFC 9420, 6.2: handshakes as PublicMessages). The
//! service loads a group from the store when it first needs it, and then keeps it in memory. To
//! decode the tree of a large group costs as much as to verify a commit.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use openmls::{
    group::{ProposalStore, PublicGroup, QueuedProposal},
    messages::group_info::VerifiableGroupInfo,
};
use regrow_crypto::DefaultCrypto;
use tls_codec::Serialize as _;

use super::{credential::basic_identity, profile, records::GroupRecords, verify::VerifiedCommit};
use crate::{
    error::StoreError,
    names::{DeviceId, Epoch, GroupId},
    outcome::RejectReason,
    store::{Table, Transaction},
};

/// The maximum total weight of the public groups in memory. A member weighs 1, which is about a
/// kilobyte.
const MAX_WEIGHT: usize = 100_000;

/// The weight of a group besides its members: about four kilobytes.
const WEIGHT_OF_A_GROUP: usize = 4;

/// The public groups in memory.
///
/// A group in memory changes before its transaction is committed. So the caller of
/// [`PublicGroups::merge`], [`PublicGroups::queue`] or [`PublicGroups::start`] must call
/// [`PublicGroups::forget`] if that transaction fails.
#[derive(Default)]
pub(crate) struct PublicGroups(Mutex<CachedGroups>);

#[derive(Default)]
struct CachedGroups {
    loaded: HashMap<GroupId, CachedGroup>,
    /// The groups by the number of their last use. The first group is the next one to drop.
    by_use: BTreeMap<u64, GroupId>,
    weight: usize,
    /// The last number of a use or a state.
    count: u64,
}

struct CachedGroup {
    state: PublicGroupState,
    used: u64,
    weight: usize,
}

/// The version of a state of a public group. No other state of any group has the same version while
/// the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupVersion {
    /// The number of the state, with its queued proposals.
    pub(crate) state: u64,
    /// The number of the epoch. States that differ only in their queued proposals have the same
    /// number.
    pub(crate) epoch: u64,
}

/// A public group in one state.
#[derive(Clone)]
pub(crate) struct PublicGroupState {
    pub(crate) group: Arc<PublicGroup>,
    pub(crate) version: GroupVersion,
}

/// A public group in its epoch 0 that the service does not track yet.
pub(crate) struct NewPublicGroup {
    group: PublicGroup,
    records: GroupRecords,
}

impl NewPublicGroup {
    /// Verifies the group info of a group in which the creator must be the only member.
    pub(crate) fn verify(
        crypto: &DefaultCrypto,
        creator: &DeviceId,
        group_info: VerifiableGroupInfo,
    ) -> Result<Self, RejectReason> {
        let records = GroupRecords::default();
        profile::check_extensions(group_info.group_context().extensions())?;
        let group = from_group_info(crypto, group_info, &records)?;
        let mut members = group.members();
        let alone = match (members.next(), members.next()) {
            (Some(member), None) => basic_identity(&member.credential)? == *creator,
            _ => false,
        };
        if !alone {
            return Err(RejectReason::NotSignedBySender);
        }
        drop(members);
        Ok(Self { group, records })
    }
}

impl CachedGroups {
    fn count_up(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn get(&mut self, id: &GroupId) -> Option<PublicGroupState> {
        let now = self.count_up();
        let loaded = self.loaded.get_mut(id)?;
        self.by_use.remove(&loaded.used);
        self.by_use.insert(now, id.clone());
        loaded.used = now;
        Some(loaded.state.clone())
    }

    fn remove(&mut self, id: &GroupId) -> Option<PublicGroupState> {
        let CachedGroup { state, used, weight } = self.loaded.remove(id)?;
        self.by_use.remove(&used);
        self.weight -= weight;
        Some(state)
    }

    /// Puts a group into memory in a new state. The state is in the epoch of this number, or else
    /// in a new epoch.
    fn insert(&mut self, id: &GroupId, group: PublicGroup, epoch: Option<u64>) -> PublicGroupState {
        self.remove(id);
        let (used, number) = (self.count_up(), self.count_up());
        let weight = WEIGHT_OF_A_GROUP + group.members().count();
        let version = GroupVersion { state: number, epoch: epoch.unwrap_or(number) };
        let state = PublicGroupState { group: Arc::new(group), version };
        self.loaded.insert(id.clone(), CachedGroup { state: state.clone(), used, weight });
        self.by_use.insert(used, id.clone());
        self.weight += weight;
        // This group stays, however large it is: its verdicts count in this state.
        while self.weight > MAX_WEIGHT
            && self.loaded.len() > 1
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.remove(&oldest);
        }
        state
    }
}

impl PublicGroups {
    /// Starts to track a group in its epoch 0.
    pub(crate) fn start(&self, tx: &mut dyn Transaction, id: &GroupId, new: NewPublicGroup) -> Result<(), StoreError> {
        new.records.write(tx, id, Epoch(0))?;
        self.groups().insert(id, new.group, None);
        Ok(())
    }

    /// Returns the group, which is in `epoch` according to the ordering rules.
    pub(crate) fn group(
        &self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        epoch: Epoch,
    ) -> Result<PublicGroupState, StoreError> {
        if let Some(loaded) = self.in_memory(id)
            && is_in(&loaded.group, epoch)
        {
            return Ok(loaded);
        }
        let group = load_in(tx, id, epoch)?;
        Ok(self.groups().insert(id, group, None))
    }

    /// Returns the group, if it is in memory.
    pub(crate) fn in_memory(&self, id: &GroupId) -> Option<PublicGroupState> {
        self.groups().get(id)
    }

    /// Moves the group from `epoch` to the epoch that a verified commit begins. The records of
    /// `epoch` stay in the store.
    pub(crate) fn merge(
        &self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        epoch: Epoch,
        commit: VerifiedCommit,
    ) -> Result<(), StoreError> {
        let records = GroupRecords::default();
        let (mut group, _) = self.take(tx, id, epoch)?;
        group.merge_commit(&records, *commit.staged).map_err(|_| StoreError::Corrupt(Table::PublicGroups))?;
        records.write(tx, id, Epoch(epoch.0 + 1))?;
        self.groups().insert(id, group, None);
        Ok(())
    }

    /// Queues a verified proposal, so that a commit of this epoch can refer to it.
    pub(crate) fn queue(
        &self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        epoch: Epoch,
        proposal: QueuedProposal,
    ) -> Result<(), StoreError> {
        let records = GroupRecords::default();
        let (mut group, number) = self.take(tx, id, epoch)?;
        group.add_proposal(&records, proposal).map_err(|_| StoreError::Corrupt(Table::PublicGroups))?;
        records.write(tx, id, epoch)?;
        self.groups().insert(id, group, number);
        Ok(())
    }

    /// Takes the group out of memory to change it. Returns it, and the number of its epoch if it
    /// was in memory. The caller puts the group back.
    fn take(
        &self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        epoch: Epoch,
    ) -> Result<(PublicGroup, Option<u64>), StoreError> {
        let taken = self.groups().remove(id).filter(|loaded| is_in(&loaded.group, epoch));
        let number = taken.as_ref().map(|loaded| loaded.version.epoch);
        // The verification of another handshake may use the group at this moment.
        let group = match taken.and_then(|loaded| Arc::into_inner(loaded.group)) {
            Some(group) => group,
            None => load_in(tx, id, epoch)?,
        };
        Ok((group, number))
    }

    /// Returns the ratchet tree (RFC 9420, 12.4.3.3) of `epoch`, if that is the group's present
    /// epoch or the epoch before. `None` for any other epoch.
    pub(crate) fn ratchet_tree(
        &self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        present: Epoch,
        epoch: Epoch,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let tree = if epoch == present {
            self.group(tx, id, epoch)?.group.export_ratchet_tree()
        } else if epoch.0.checked_add(1) == Some(present.0) {
            // After a rollback, the records of another epoch are in its place.
            let before = load(tx, id, epoch)?;
            if !is_in(&before, epoch) {
                return Ok(None);
            }
            before.export_ratchet_tree()
        } else {
            return Ok(None);
        };
        tree.tls_serialize_detached().map(Some).map_err(|_| StoreError::Corrupt(Table::PublicGroups))
    }

    /// Drops the group from memory, because only the store is right.
    pub(crate) fn forget(&self, id: &GroupId) {
        self.groups().remove(id);
    }

    /// Drops all groups from memory.
    pub(crate) fn forget_all(&self) {
        let mut groups = self.groups();
        *groups = CachedGroups { count: groups.count, ..CachedGroups::default() };
    }

    fn groups(&self) -> MutexGuard<'_, CachedGroups> {
        // A lock holder does nothing that can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the public group that a group info describes, with its tree verified (RFC 9420,
/// 12.4.3.3). The service does not track this group.
pub(crate) fn public_group_of(
    crypto: &DefaultCrypto,
    group_info: VerifiableGroupInfo,
) -> Result<PublicGroup, RejectReason> {
    from_group_info(crypto, group_info, &GroupRecords::default())
}

fn from_group_info(
    crypto: &DefaultCrypto,
    group_info: VerifiableGroupInfo,
    records: &GroupRecords,
) -> Result<PublicGroup, RejectReason> {
    let tree = group_info.extensions().ratchet_tree().ok_or(RejectReason::GroupInfoMismatch)?.ratchet_tree().clone();
    PublicGroup::from_external(crypto, records, tree, group_info, ProposalStore::new())
        .map(|(group, _)| group)
        .map_err(|error| RejectReason::Invalid(error.to_string()))
}

fn load(tx: &mut dyn Transaction, id: &GroupId, epoch: Epoch) -> Result<PublicGroup, StoreError> {
    let records = GroupRecords::load(tx, id, epoch)?;
    PublicGroup::load(&records, &openmls::group::GroupId::from_slice(id.as_bytes()))
        .ok()
        .flatten()
        .ok_or(StoreError::Corrupt(Table::PublicGroups))
}

/// Loads the group, which must be in that epoch.
fn load_in(tx: &mut dyn Transaction, id: &GroupId, epoch: Epoch) -> Result<PublicGroup, StoreError> {
    Some(load(tx, id, epoch)?).filter(|group| is_in(group, epoch)).ok_or(StoreError::Corrupt(Table::PublicGroups))
}

fn is_in(group: &PublicGroup, epoch: Epoch) -> bool {
    group.group_context().epoch().as_u64() == epoch.0
}
