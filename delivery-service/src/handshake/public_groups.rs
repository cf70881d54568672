//! The public groups that the service follows (RFC 9420, 6.2: handshakes as PublicMessages). A group is loaded from the
//! store when it is first needed, and then kept in memory: decoding the tree of a large group costs as much as checking
//! a commit.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use openmls::{
    group::{ProposalStore, PublicGroup, QueuedProposal},
    messages::group_info::VerifiableGroupInfo,
};
use openmls_rust_crypto::RustCrypto;
use tls_codec::Serialize as _;

use super::{credential::basic_identity, profile, records::Records, verify::VerifiedCommit};
use crate::{
    error::StoreError,
    names::{DeviceId, Epoch, GroupId},
    outcome::RejectReason,
    store::{Table, Transaction},
};

/// How much is kept in memory: a member takes about as much as a kilobyte, and a group as four.
const KEPT_IN_MEMORY: usize = 100_000;

/// What a group counts for beside its members.
const WEIGHT_OF_A_GROUP: usize = 4;

/// The public groups in memory.
///
/// A group in memory is changed before its transaction is committed. So whoever calls [`PublicGroups::merge`],
/// [`PublicGroups::queue`] or [`PublicGroups::start`] must call [`PublicGroups::forget`] if that transaction fails.
#[derive(Default)]
pub(crate) struct PublicGroups(Mutex<LoadedGroups>);

#[derive(Default)]
struct LoadedGroups {
    kept: HashMap<GroupId, LoadedGroup>,
    /// By when each was last used: the first is the one to go.
    by_use: BTreeMap<u64, GroupId>,
    weight: usize,
    /// Goes up with every use and every state.
    count: u64,
}

struct LoadedGroup {
    state: PublicGroupState,
    used: u64,
    weight: usize,
}

/// The version of a state of a followed group. No other state, of whatever group, has them while the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupVersion {
    /// The state, with the proposals that are queued.
    pub(crate) state: u64,
    /// The epoch: all states have it that differ in their queued proposals only.
    pub(crate) epoch: u64,
}

/// A group in one of its states.
#[derive(Clone)]
pub(crate) struct PublicGroupState {
    pub(crate) group: Arc<PublicGroup>,
    pub(crate) version: GroupVersion,
}

/// A group in its epoch 0 that nobody follows yet.
pub(crate) struct NewPublicGroup {
    group: PublicGroup,
    records: Records,
}

impl NewPublicGroup {
    /// Verifies the group info of a group in which its creator must be alone.
    pub(crate) fn verify(
        crypto: &RustCrypto,
        creator: &DeviceId,
        group_info: VerifiableGroupInfo,
    ) -> Result<Self, RejectReason> {
        let records = Records::default();
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

impl LoadedGroups {
    fn count_up(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn get(&mut self, id: &GroupId) -> Option<PublicGroupState> {
        let now = self.count_up();
        let kept = self.kept.get_mut(id)?;
        self.by_use.remove(&kept.used);
        self.by_use.insert(now, id.clone());
        kept.used = now;
        Some(kept.state.clone())
    }

    fn remove(&mut self, id: &GroupId) -> Option<PublicGroupState> {
        let LoadedGroup { state, used, weight } = self.kept.remove(id)?;
        self.by_use.remove(&used);
        self.weight -= weight;
        Some(state)
    }

    /// Keeps a group in a new state. The state is in the epoch of this number, or else in a new one.
    fn keep(&mut self, id: &GroupId, group: PublicGroup, epoch: Option<u64>) -> PublicGroupState {
        self.remove(id);
        let (used, number) = (self.count_up(), self.count_up());
        let weight = WEIGHT_OF_A_GROUP + group.members().count();
        let version = GroupVersion { state: number, epoch: epoch.unwrap_or(number) };
        let state = PublicGroupState { group: Arc::new(group), version };
        self.kept.insert(id.clone(), LoadedGroup { state: state.clone(), used, weight });
        self.by_use.insert(used, id.clone());
        self.weight += weight;
        // The group itself stays, however large: its verdicts count in this state.
        while self.weight > KEPT_IN_MEMORY
            && self.kept.len() > 1
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.remove(&oldest);
        }
        state
    }
}

impl PublicGroups {
    /// Starts to follow a group in its epoch 0.
    pub(crate) fn start(&self, tx: &mut dyn Transaction, id: &GroupId, new: NewPublicGroup) -> Result<(), StoreError> {
        new.records.write(tx, id, Epoch(0))?;
        self.groups().keep(id, new.group, None);
        Ok(())
    }

    /// The group, which is in `epoch` according to the ordering rules.
    pub(crate) fn group(
        &self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        epoch: Epoch,
    ) -> Result<PublicGroupState, StoreError> {
        if let Some(following) = self.in_memory(id)
            && is_in(&following.group, epoch)
        {
            return Ok(following);
        }
        let group = load_in(tx, id, epoch)?;
        Ok(self.groups().keep(id, group, None))
    }

    /// The group as it is in memory, if it is.
    pub(crate) fn in_memory(&self, id: &GroupId) -> Option<PublicGroupState> {
        self.groups().get(id)
    }

    /// Moves the group from `epoch` to the one that a verified commit begins. What is stored of `epoch` stays.
    pub(crate) fn merge(
        &self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        epoch: Epoch,
        commit: VerifiedCommit,
    ) -> Result<(), StoreError> {
        let records = Records::default();
        let (mut group, _) = self.take(tx, id, epoch)?;
        group.merge_commit(&records, *commit.staged).map_err(|_| StoreError::Corrupt(Table::PublicGroups))?;
        records.write(tx, id, Epoch(epoch.0 + 1))?;
        self.groups().keep(id, group, None);
        Ok(())
    }

    /// Queues a verified proposal, for a commit of this epoch to refer to.
    pub(crate) fn queue(
        &self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        epoch: Epoch,
        proposal: QueuedProposal,
    ) -> Result<(), StoreError> {
        let records = Records::default();
        let (mut group, number) = self.take(tx, id, epoch)?;
        group.add_proposal(&records, proposal).map_err(|_| StoreError::Corrupt(Table::PublicGroups))?;
        records.write(tx, id, epoch)?;
        self.groups().keep(id, group, number);
        Ok(())
    }

    /// The group, to be changed, and the number of its epoch if the group was in memory. The group is not in memory until
    /// it is kept again.
    fn take(
        &self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        epoch: Epoch,
    ) -> Result<(PublicGroup, Option<u64>), StoreError> {
        let taken = self.groups().remove(id).filter(|following| is_in(&following.group, epoch));
        let number = taken.as_ref().map(|following| following.version.epoch);
        // A check of another handshake may use the group at this moment.
        let group = match taken.and_then(|following| Arc::into_inner(following.group)) {
            Some(group) => group,
            None => load_in(tx, id, epoch)?,
        };
        Ok((group, number))
    }

    /// The ratchet tree (RFC 9420, 12.4.3.3) of an epoch of the group, which is in the epoch `present`: of that one, or of the
    /// one before. `None` for any other.
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
            // Another one is in its place after a commit was taken back.
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

    /// Drops what is in memory of a group: the store is what counts.
    pub(crate) fn forget(&self, id: &GroupId) {
        self.groups().remove(id);
    }

    /// Drops everything that is in memory.
    pub(crate) fn forget_all(&self) {
        let mut groups = self.groups();
        *groups = LoadedGroups { count: groups.count, ..LoadedGroups::default() };
    }

    fn groups(&self) -> MutexGuard<'_, LoadedGroups> {
        // Nothing that can panic is done with it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The public group that a group info describes, with its tree verified (RFC 9420, 12.4.3.3), for this once.
pub(crate) fn public_group_of(
    crypto: &RustCrypto,
    group_info: VerifiableGroupInfo,
) -> Result<PublicGroup, RejectReason> {
    from_group_info(crypto, group_info, &Records::default())
}

fn from_group_info(
    crypto: &RustCrypto,
    group_info: VerifiableGroupInfo,
    records: &Records,
) -> Result<PublicGroup, RejectReason> {
    let tree = group_info.extensions().ratchet_tree().ok_or(RejectReason::GroupInfoMismatch)?.ratchet_tree().clone();
    PublicGroup::from_external(crypto, records, tree, group_info, ProposalStore::new())
        .map(|(group, _)| group)
        .map_err(|error| RejectReason::Invalid(error.to_string()))
}

fn load(tx: &mut dyn Transaction, id: &GroupId, epoch: Epoch) -> Result<PublicGroup, StoreError> {
    let records = Records::load(tx, id, epoch)?;
    PublicGroup::load(&records, &openmls::group::GroupId::from_slice(id.as_bytes()))
        .ok()
        .flatten()
        .ok_or(StoreError::Corrupt(Table::PublicGroups))
}

/// The group, which has to be in that epoch.
fn load_in(tx: &mut dyn Transaction, id: &GroupId, epoch: Epoch) -> Result<PublicGroup, StoreError> {
    Some(load(tx, id, epoch)?).filter(|group| is_in(group, epoch)).ok_or(StoreError::Corrupt(Table::PublicGroups))
}

fn is_in(group: &PublicGroup, epoch: Epoch) -> bool {
    group.group_context().epoch().as_u64() == epoch.0
}
