//! OpenMLS's storage trait, implemented on a transaction. It maps each entity of OpenMLS to a
//! record.
//!
//! OpenMLS writes whole entities one by one, and the transaction collects these writes. A call
//! that fails in the middle, or a process that dies, leaves the store unchanged. OpenMLS needs
//! this: `process_message` advances the ratchets before the commit is merged, and
//! `merge_pending_commit` first deletes the pending commit.

use openmls_traits::storage::{CURRENT_VERSION, StorageProvider, traits};
use serde::{Serialize, de::DeserializeOwned};

use super::{RecordKind, RecordScope, StorageError, Transaction};

const V: u16 = CURRENT_VERSION;
type Result<T> = std::result::Result<T, StorageError>;

/// The replacement for OpenMLS's store of resumption PSKs: it has room for none.
///
/// Regrow supports neither resumption nor branching (RFC 9420, 11.2 and 11.3). A stored resumption
/// PSK would be a secret of a past epoch without any use. OpenMLS keeps 32 of them for the group's
/// creator and for an external joiner. Its configuration does not change that number.
///
/// A group that was created or joined is loaded from the store before its first use, because
/// OpenMLS's new group in memory has resumption PSKs. So none of them outlives the call that made
/// it. A feature that needs resumption PSKs has to change this first.
#[derive(Serialize)]
struct NoResumptionPsks {
    max_number_of_secrets: usize,
    resumption_psk: [(); 0],
    cursor: usize,
}

impl Transaction<'_> {
    fn key(&self, kind: RecordKind) -> Vec<u8> {
        self.scope().key(kind)
    }

    fn item_key(&self, kind: RecordKind, item: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
        Self::item_key_in(&self.scope(), kind, item)
    }

    fn item_key_in(scope: &RecordScope, kind: RecordKind, item: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
        let item =
            rmp_serde::to_vec(item).map_err(|e| StorageError::Encode { record: kind.name(), detail: e.to_string() })?;
        Ok(scope.item(kind, &item))
    }

    /// Adds an item after the other items of that kind. Items are read back in the order of their
    /// addition.
    fn append(&self, kind: RecordKind, value: &impl Serialize) -> Result<()> {
        let prefix = self.key(kind);
        let next = match self.keys(&prefix)?.last().and_then(|last| last[prefix.len()..].first_chunk::<4>()) {
            Some(last) => u32::from_be_bytes(*last).wrapping_add(1),
            None => 0,
        };
        self.put([&prefix[..], &next.to_be_bytes()].concat(), kind, value)
    }

    fn items<T: DeserializeOwned>(&self, kind: RecordKind) -> Result<Vec<(Vec<u8>, T)>> {
        let mut items = Vec::new();
        for key in self.keys(&self.key(kind))? {
            if let Some(value) = self.get(&key, kind)? {
                items.push((key, value));
            }
        }
        Ok(items)
    }
}

/// Implements the write, read and delete methods of an entity of which each group has one.
macro_rules! entity {
    ($kind:ident, $Entity:ident: $write:ident, $read:ident, $delete:ident) => {
        fn $write<G: traits::GroupId<V>, E: traits::$Entity<V>>(&self, _: &G, entity: &E) -> Result<()> {
            self.put(self.key(RecordKind::$kind), RecordKind::$kind, entity)
        }

        fn $read<G: traits::GroupId<V>, E: traits::$Entity<V>>(&self, _: &G) -> Result<Option<E>> {
            self.get(&self.key(RecordKind::$kind), RecordKind::$kind)
        }

        fn $delete<G: traits::GroupId<V>>(&self, _: &G) -> Result<()> {
            self.delete(self.key(RecordKind::$kind));
            Ok(())
        }
    };
}

impl StorageProvider<V> for Transaction<'_> {
    type Error = StorageError;

    entity!(JoinConfig, MlsGroupJoinConfig: write_mls_join_config, mls_group_join_config, delete_group_config);
    entity!(Tree, TreeSync: write_tree, tree, delete_tree);
    entity!(InterimTranscriptHash, InterimTranscriptHash:
        write_interim_transcript_hash, interim_transcript_hash, delete_interim_transcript_hash);
    entity!(GroupContext, GroupContext: write_context, group_context, delete_context);
    entity!(ConfirmationTag, ConfirmationTag: write_confirmation_tag, confirmation_tag, delete_confirmation_tag);
    // Message secrets: the ratchets. Writing them after a message erases the used key.
    entity!(MessageSecrets, MessageSecrets: write_message_secrets, message_secrets, delete_message_secrets);
    entity!(OwnLeafIndex, LeafNodeIndex: write_own_leaf_index, own_leaf_index, delete_own_leaf_index);
    entity!(EpochSecrets, GroupEpochSecrets:
        write_group_epoch_secrets, group_epoch_secrets, delete_group_epoch_secrets);

    fn write_group_state<E: traits::GroupState<V>, G: traits::GroupId<V>>(&self, _: &G, state: &E) -> Result<()> {
        self.put(self.key(RecordKind::GroupState), RecordKind::GroupState, state)
    }

    fn group_state<E: traits::GroupState<V>, G: traits::GroupId<V>>(&self, _: &G) -> Result<Option<E>> {
        self.get(&self.key(RecordKind::GroupState), RecordKind::GroupState)
    }

    fn delete_group_state<G: traits::GroupId<V>>(&self, _: &G) -> Result<()> {
        self.delete(self.key(RecordKind::GroupState));
        Ok(())
    }

    fn write_resumption_psk_store<G: traits::GroupId<V>, E: traits::ResumptionPskStore<V>>(
        &self,
        _: &G,
        _: &E,
    ) -> Result<()> {
        let none = NoResumptionPsks { max_number_of_secrets: 0, resumption_psk: [], cursor: 0 };
        self.put(self.key(RecordKind::ResumptionPsks), RecordKind::ResumptionPsks, &none)
    }

    fn resumption_psk_store<G: traits::GroupId<V>, E: traits::ResumptionPskStore<V>>(
        &self,
        _: &G,
    ) -> Result<Option<E>> {
        self.get(&self.key(RecordKind::ResumptionPsks), RecordKind::ResumptionPsks)
    }

    fn delete_all_resumption_psk_secrets<G: traits::GroupId<V>>(&self, _: &G) -> Result<()> {
        self.delete(self.key(RecordKind::ResumptionPsks));
        Ok(())
    }

    fn append_own_leaf_node<G: traits::GroupId<V>, E: traits::LeafNode<V>>(&self, _: &G, leaf: &E) -> Result<()> {
        self.append(RecordKind::OwnLeafNode, leaf)
    }

    fn own_leaf_nodes<G: traits::GroupId<V>, E: traits::LeafNode<V>>(&self, _: &G) -> Result<Vec<E>> {
        Ok(self.items(RecordKind::OwnLeafNode)?.into_iter().map(|(_, leaf)| leaf).collect())
    }

    fn delete_own_leaf_nodes<G: traits::GroupId<V>>(&self, _: &G) -> Result<()> {
        self.delete_all(&self.key(RecordKind::OwnLeafNode))
    }

    fn queue_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>, E: traits::QueuedProposal<V>>(
        &self,
        _: &G,
        reference: &R,
        proposal: &E,
    ) -> Result<()> {
        self.append(RecordKind::Proposal, &(reference, proposal))
    }

    fn queued_proposals<G: traits::GroupId<V>, R: traits::ProposalRef<V>, E: traits::QueuedProposal<V>>(
        &self,
        _: &G,
    ) -> Result<Vec<(R, E)>> {
        Ok(self.items(RecordKind::Proposal)?.into_iter().map(|(_, item)| item).collect())
    }

    fn queued_proposal_refs<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(&self, _: &G) -> Result<Vec<R>> {
        let items = self.items::<(R, serde::de::IgnoredAny)>(RecordKind::Proposal)?;
        Ok(items.into_iter().map(|(_, (reference, _))| reference).collect())
    }

    fn remove_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(&self, _: &G, reference: &R) -> Result<()> {
        let wanted = self.item_key(RecordKind::Proposal, reference)?;
        for (key, (stored, _)) in self.items::<(R, serde::de::IgnoredAny)>(RecordKind::Proposal)? {
            if self.item_key(RecordKind::Proposal, &stored)? == wanted {
                self.delete(key);
            }
        }
        Ok(())
    }

    fn clear_proposal_queue<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(&self, _: &G) -> Result<()> {
        self.delete_all(&self.key(RecordKind::Proposal))
    }

    // The key pair of an update proposal. It belongs to the group, so it is deleted with the epoch
    // or with the group.
    fn write_encryption_key_pair<K: traits::EncryptionKey<V>, E: traits::HpkeKeyPair<V>>(
        &self,
        public_key: &K,
        key_pair: &E,
    ) -> Result<()> {
        self.put(self.item_key(RecordKind::EncryptionKey, public_key)?, RecordKind::EncryptionKey, key_pair)
    }

    fn encryption_key_pair<E: traits::HpkeKeyPair<V>, K: traits::EncryptionKey<V>>(
        &self,
        public_key: &K,
    ) -> Result<Option<E>> {
        self.get(&self.item_key(RecordKind::EncryptionKey, public_key)?, RecordKind::EncryptionKey)
    }

    fn delete_encryption_key_pair<K: traits::EncryptionKey<V>>(&self, public_key: &K) -> Result<()> {
        self.delete(self.item_key(RecordKind::EncryptionKey, public_key)?);
        Ok(())
    }

    fn write_encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>, E: traits::HpkeKeyPair<V>>(
        &self,
        _: &G,
        epoch: &K,
        leaf_index: u32,
        key_pairs: &[E],
    ) -> Result<()> {
        self.put(self.item_key(RecordKind::EpochKeys, &(epoch, leaf_index))?, RecordKind::EpochKeys, key_pairs)
    }

    fn encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>, E: traits::HpkeKeyPair<V>>(
        &self,
        _: &G,
        epoch: &K,
        leaf_index: u32,
    ) -> Result<Vec<E>> {
        let pairs = self.get(&self.item_key(RecordKind::EpochKeys, &(epoch, leaf_index))?, RecordKind::EpochKeys)?;
        Ok(pairs.unwrap_or_default())
    }

    fn delete_encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>>(
        &self,
        _: &G,
        epoch: &K,
        leaf_index: u32,
    ) -> Result<()> {
        self.delete(self.item_key(RecordKind::EpochKeys, &(epoch, leaf_index))?);
        Ok(())
    }

    // Key packages, signature keys and PSKs belong to the device: they exist longer than groups.
    fn write_key_package<R: traits::HashReference<V>, E: traits::KeyPackage<V>>(
        &self,
        reference: &R,
        key_package: &E,
    ) -> Result<()> {
        self.put(
            Self::item_key_in(&RecordScope::Device, RecordKind::KeyPackage, reference)?,
            RecordKind::KeyPackage,
            key_package,
        )
    }

    fn key_package<R: traits::HashReference<V>, E: traits::KeyPackage<V>>(&self, reference: &R) -> Result<Option<E>> {
        self.get(&Self::item_key_in(&RecordScope::Device, RecordKind::KeyPackage, reference)?, RecordKind::KeyPackage)
    }

    fn delete_key_package<R: traits::HashReference<V>>(&self, reference: &R) -> Result<()> {
        self.delete(Self::item_key_in(&RecordScope::Device, RecordKind::KeyPackage, reference)?);
        Ok(())
    }

    fn write_signature_key_pair<K: traits::SignaturePublicKey<V>, E: traits::SignatureKeyPair<V>>(
        &self,
        public_key: &K,
        key_pair: &E,
    ) -> Result<()> {
        self.put(
            Self::item_key_in(&RecordScope::Device, RecordKind::SignatureKey, public_key)?,
            RecordKind::SignatureKey,
            key_pair,
        )
    }

    fn signature_key_pair<K: traits::SignaturePublicKey<V>, E: traits::SignatureKeyPair<V>>(
        &self,
        public_key: &K,
    ) -> Result<Option<E>> {
        self.get(
            &Self::item_key_in(&RecordScope::Device, RecordKind::SignatureKey, public_key)?,
            RecordKind::SignatureKey,
        )
    }

    fn delete_signature_key_pair<K: traits::SignaturePublicKey<V>>(&self, public_key: &K) -> Result<()> {
        self.delete(Self::item_key_in(&RecordScope::Device, RecordKind::SignatureKey, public_key)?);
        Ok(())
    }

    fn write_psk<K: traits::PskId<V>, E: traits::PskBundle<V>>(&self, id: &K, psk: &E) -> Result<()> {
        self.put(Self::item_key_in(&RecordScope::Device, RecordKind::Psk, id)?, RecordKind::Psk, psk)
    }

    fn psk<E: traits::PskBundle<V>, K: traits::PskId<V>>(&self, id: &K) -> Result<Option<E>> {
        self.get(&Self::item_key_in(&RecordScope::Device, RecordKind::Psk, id)?, RecordKind::Psk)
    }

    fn delete_psk<K: traits::PskId<V>>(&self, id: &K) -> Result<()> {
        self.delete(Self::item_key_in(&RecordScope::Device, RecordKind::Psk, id)?);
        Ok(())
    }
}
