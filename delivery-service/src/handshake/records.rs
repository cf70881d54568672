//! OpenMLS's storage for one public group, over records in memory. The records are filled from the
//! store to load a group. Or they are gathered while a group changes, and written to the store in
//! the same transaction as the other changes.

use std::{cell::RefCell, collections::BTreeMap, ops::ControlFlow};

use openmls_traits::{
    public_storage::PublicStorageProvider,
    storage::{CURRENT_VERSION, traits},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::StoreError,
    names::{Epoch, GroupId},
    store::{Table, Transaction, key::Key},
};

const TREE: &[u8] = b"tree";
const CONTEXT: &[u8] = b"context";
const CONFIRMATION_TAG: &[u8] = b"confirmation_tag";
const INTERIM_TRANSCRIPT_HASH: &[u8] = b"interim_transcript_hash";
/// The names of queued proposals begin with this, and end with the proposal's reference.
const PROPOSAL: &[u8] = b"proposal/";

/// The records of one public group.
#[derive(Default)]
pub(super) struct GroupRecords {
    records: RefCell<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// True if the queued proposals in the store must be deleted.
    clears_proposals: RefCell<bool>,
}

/// An OpenMLS record cannot be encoded or decoded.
#[derive(Debug, thiserror::Error)]
#[error("a record of a public group cannot be encoded or decoded")]
pub(super) struct CodecError;

impl GroupRecords {
    /// Loads all records of a group in an epoch.
    pub(super) fn load(tx: &mut dyn Transaction, group: &GroupId, epoch: Epoch) -> Result<Self, StoreError> {
        let range = Key::epoch_of(group, epoch).everything_below();
        let name_at = range.start.len();
        let mut records = BTreeMap::new();
        tx.scan(Table::PublicGroups, &range.start..&range.end, &mut |key, value| {
            records.insert(key.get(name_at..).unwrap_or_default().to_vec(), value.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Self { records: RefCell::new(records), ..Self::default() })
    }

    /// Writes the gathered records of a group, which is now in this epoch. OpenMLS writes every
    /// record with a new epoch, so that no record of two epochs ago is left among them.
    pub(super) fn write(self, tx: &mut dyn Transaction, group: &GroupId, epoch: Epoch) -> Result<(), StoreError> {
        if self.clears_proposals.into_inner() {
            let range = Key::epoch_of(group, epoch).then_last(PROPOSAL).everything_below();
            let mut keys = Vec::new();
            tx.scan(Table::PublicGroups, &range.start..&range.end, &mut |key, _| {
                keys.push(key.to_vec());
                Ok(ControlFlow::Continue(()))
            })?;
            for key in keys {
                tx.delete(Table::PublicGroups, &key)?;
            }
        }
        for (name, value) in self.records.into_inner() {
            tx.put(Table::PublicGroups, Key::epoch_of(group, epoch).then_last(&name).as_bytes(), &value)?;
        }
        Ok(())
    }

    fn put(&self, name: &[u8], record: &impl Serialize) -> Result<(), CodecError> {
        let value = rmp_serde::to_vec(record).map_err(|_| CodecError)?;
        self.records.borrow_mut().insert(name.to_vec(), value);
        Ok(())
    }

    fn get<T: DeserializeOwned>(&self, name: &[u8]) -> Result<Option<T>, CodecError> {
        let records = self.records.borrow();
        records.get(name).map(|value| rmp_serde::from_slice(value).map_err(|_| CodecError)).transpose()
    }

    fn remove(&self, name: &[u8]) {
        self.records.borrow_mut().remove(name);
    }

    fn proposal_name(reference: &impl Serialize) -> Result<Vec<u8>, CodecError> {
        Ok([PROPOSAL, &rmp_serde::to_vec(reference).map_err(|_| CodecError)?].concat())
    }
}

/// One `GroupRecords` holds one group, so the group id in each call is not used.
impl PublicStorageProvider<CURRENT_VERSION> for GroupRecords {
    type PublicError = CodecError;

    fn write_tree<G: traits::GroupId<CURRENT_VERSION>, T: traits::TreeSync<CURRENT_VERSION>>(
        &self,
        _: &G,
        tree: &T,
    ) -> Result<(), CodecError> {
        self.put(TREE, tree)
    }

    fn write_interim_transcript_hash<
        G: traits::GroupId<CURRENT_VERSION>,
        H: traits::InterimTranscriptHash<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
        hash: &H,
    ) -> Result<(), CodecError> {
        self.put(INTERIM_TRANSCRIPT_HASH, hash)
    }

    fn write_context<G: traits::GroupId<CURRENT_VERSION>, C: traits::GroupContext<CURRENT_VERSION>>(
        &self,
        _: &G,
        context: &C,
    ) -> Result<(), CodecError> {
        self.put(CONTEXT, context)
    }

    fn write_confirmation_tag<G: traits::GroupId<CURRENT_VERSION>, T: traits::ConfirmationTag<CURRENT_VERSION>>(
        &self,
        _: &G,
        tag: &T,
    ) -> Result<(), CodecError> {
        self.put(CONFIRMATION_TAG, tag)
    }

    fn queue_proposal<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        P: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
        reference: &R,
        proposal: &P,
    ) -> Result<(), CodecError> {
        self.put(&Self::proposal_name(reference)?, &(reference, proposal))
    }

    fn queued_proposals<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        P: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
    ) -> Result<Vec<(R, P)>, CodecError> {
        let records = self.records.borrow();
        records
            .range(PROPOSAL.to_vec()..)
            .take_while(|(name, _)| name.starts_with(PROPOSAL))
            .map(|(_, value)| rmp_serde::from_slice(value).map_err(|_| CodecError))
            .collect()
    }

    fn tree<G: traits::GroupId<CURRENT_VERSION>, T: traits::TreeSync<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<Option<T>, CodecError> {
        self.get(TREE)
    }

    fn group_context<G: traits::GroupId<CURRENT_VERSION>, C: traits::GroupContext<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<Option<C>, CodecError> {
        self.get(CONTEXT)
    }

    fn interim_transcript_hash<
        G: traits::GroupId<CURRENT_VERSION>,
        H: traits::InterimTranscriptHash<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
    ) -> Result<Option<H>, CodecError> {
        self.get(INTERIM_TRANSCRIPT_HASH)
    }

    fn confirmation_tag<G: traits::GroupId<CURRENT_VERSION>, T: traits::ConfirmationTag<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<Option<T>, CodecError> {
        self.get(CONFIRMATION_TAG)
    }

    fn delete_tree<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Result<(), CodecError> {
        self.remove(TREE);
        Ok(())
    }

    fn delete_confirmation_tag<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Result<(), CodecError> {
        self.remove(CONFIRMATION_TAG);
        Ok(())
    }

    fn delete_context<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Result<(), CodecError> {
        self.remove(CONTEXT);
        Ok(())
    }

    fn delete_interim_transcript_hash<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Result<(), CodecError> {
        self.remove(INTERIM_TRANSCRIPT_HASH);
        Ok(())
    }

    fn remove_proposal<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        _: &G,
        reference: &R,
    ) -> Result<(), CodecError> {
        self.remove(&Self::proposal_name(reference)?);
        Ok(())
    }

    fn clear_proposal_queue<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<(), CodecError> {
        self.records.borrow_mut().retain(|name, _| !name.starts_with(PROPOSAL));
        self.clears_proposals.replace(true);
        Ok(())
    }
}
