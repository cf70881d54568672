//! The public groups that the service follows (RFC 9420, 6.2: handshakes as PublicMessages). A group is loaded from the
//! store when it is first needed, and then kept in memory: decoding the tree of a large group costs as much as checking
//! a commit.

use std::collections::HashMap;

use openmls::{
    group::{ProposalStore, PublicGroup, QueuedProposal},
    messages::group_info::VerifiableGroupInfo,
};
use openmls_rust_crypto::RustCrypto;
use tls_codec::Serialize as _;

use super::{VerifiedCommit, basic_identity, records::Records};
use crate::{
    error::StoreError,
    names::{DeviceId, Epoch, GroupId},
    ordering::Halt,
    outcome::RejectReason,
    store::{Table, Transaction},
};

/// The most groups kept in memory. At a megabyte for a thousand members this bounds memory at about 100 MB; a group that
/// is not among them costs a decoding, no more.
const KEPT_IN_MEMORY: usize = 100;

/// The public groups in memory.
///
/// A group in memory is changed before its transaction is committed. So whoever calls [`Followed::merge`],
/// [`Followed::queue`] or [`Followed::start`] must call [`Followed::forget`] if that transaction fails.
#[derive(Default)]
pub(crate) struct Followed {
    groups: HashMap<GroupId, Kept>,
    uses: u64,
}

struct Kept {
    group: PublicGroup,
    last_used: u64,
}

impl Followed {
    /// Starts to follow a group from the group info of its epoch 0, in which its creator must be alone.
    pub(crate) fn start(
        &mut self,
        tx: &mut dyn Transaction,
        crypto: &RustCrypto,
        id: &GroupId,
        creator: &DeviceId,
        group_info: VerifiableGroupInfo,
    ) -> Result<(), Halt> {
        let records = Records::default();
        let group = from_group_info(crypto, group_info, &records)?;
        let mut members = group.members();
        let alone = match (members.next(), members.next()) {
            (Some(member), None) => basic_identity(&member.credential)? == *creator,
            _ => false,
        };
        if !alone {
            return Err(RejectReason::NotSignedBySender.into());
        }
        drop(members);
        records.write(tx, id, Epoch(0))?;
        self.keep(id, group);
        Ok(())
    }

    /// The group, which is in `epoch` according to the ordering rules.
    pub(crate) fn group(
        &mut self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        epoch: Epoch,
    ) -> Result<&mut PublicGroup, StoreError> {
        let in_memory = self.groups.get(id).is_some_and(|kept| is_in(&kept.group, epoch));
        if !in_memory {
            let group = load(tx, id, epoch)?;
            if !is_in(&group, epoch) {
                return Err(StoreError::Corrupt(Table::PublicGroups));
            }
            self.keep(id, group);
        }
        self.uses += 1;
        let kept = self.groups.get_mut(id).ok_or(StoreError::Corrupt(Table::PublicGroups))?;
        kept.last_used = self.uses;
        Ok(&mut kept.group)
    }

    /// Moves the group from `epoch` to the one that a verified commit begins. What is stored of `epoch` stays.
    pub(crate) fn merge(
        &mut self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        epoch: Epoch,
        commit: VerifiedCommit,
    ) -> Result<(), StoreError> {
        let records = Records::default();
        self.group(tx, id, epoch)?
            .merge_commit(&records, *commit.staged)
            .map_err(|_| StoreError::Corrupt(Table::PublicGroups))?;
        records.write(tx, id, Epoch(epoch.0 + 1))
    }

    /// Queues a verified proposal, for a commit of this epoch to refer to.
    pub(crate) fn queue(
        &mut self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        epoch: Epoch,
        proposal: QueuedProposal,
    ) -> Result<(), StoreError> {
        let records = Records::default();
        self.group(tx, id, epoch)?
            .add_proposal(&records, proposal)
            .map_err(|_| StoreError::Corrupt(Table::PublicGroups))?;
        records.write(tx, id, epoch)
    }

    /// The ratchet tree (RFC 9420, 12.4.3.3) of an epoch of the group, which is in the epoch `present`: of that one, or of the
    /// one before. `None` for any other.
    pub(crate) fn ratchet_tree(
        &mut self,
        tx: &mut dyn Transaction,
        id: &GroupId,
        present: Epoch,
        epoch: Epoch,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let tree = if epoch == present {
            self.group(tx, id, epoch)?.export_ratchet_tree()
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
    pub(crate) fn forget(&mut self, id: &GroupId) {
        self.groups.remove(id);
    }

    fn keep(&mut self, id: &GroupId, group: PublicGroup) {
        if self.groups.len() >= KEPT_IN_MEMORY
            && let Some(oldest) = self.groups.iter().min_by_key(|(_, kept)| kept.last_used).map(|(id, _)| id.clone())
        {
            self.groups.remove(&oldest);
        }
        self.uses += 1;
        self.groups.insert(id.clone(), Kept { group, last_used: self.uses });
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

fn is_in(group: &PublicGroup, epoch: Epoch) -> bool {
    group.group_context().epoch().as_u64() == epoch.0
}
