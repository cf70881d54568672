//! OpenMLS's storage trait, on a transaction: which of its entities is which record.
//!
//! OpenMLS writes whole entities one by one. The transaction gathers them, so a call that fails half-way, or a process
//! that dies, leaves the store as it was: `process_message` advances the ratchets before the commit is merged, and
//! `merge_pending_commit` first says that nothing is pending any more.

use openmls_traits::storage::{CURRENT_VERSION, StorageProvider, traits};
use serde::{Serialize, de::DeserializeOwned};

use super::{Kind, Scope, StorageError, Transaction};

const V: u16 = CURRENT_VERSION;
type Result<T> = std::result::Result<T, StorageError>;

/// What is stored in place of OpenMLS's store of resumption PSKs: room for none.
///
/// Regrow offers neither resumption nor branching (RFC 9420, 11.2 and 11.3), so a kept resumption PSK is a secret of a
/// past epoch that nobody needs. OpenMLS keeps 32 of them for a group's creator and for an external joiner, whatever
/// it is configured to.
#[derive(Serialize)]
struct NoResumptionPsks {
    max_number_of_secrets: usize,
    resumption_psk: [(); 0],
    cursor: usize,
}

impl Transaction<'_> {
    fn key(&self, kind: Kind) -> Vec<u8> {
        self.scope().key(kind)
    }

    fn item_key(&self, kind: Kind, item: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
        Self::item_key_in(&self.scope(), kind, item)
    }

    fn item_key_in(scope: &Scope, kind: Kind, item: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
        let item =
            rmp_serde::to_vec(item).map_err(|e| StorageError::Encode { record: kind.name(), detail: e.to_string() })?;
        Ok(scope.item(kind, &item))
    }

    /// Adds an item to those of that kind, which are read back in the order of their addition.
    fn append(&self, kind: Kind, value: &impl Serialize) -> Result<()> {
        let prefix = self.key(kind);
        let next = match self.keys(&prefix)?.last().and_then(|last| last[prefix.len()..].first_chunk::<4>()) {
            Some(last) => u32::from_be_bytes(*last).wrapping_add(1),
            None => 0,
        };
        self.put([&prefix[..], &next.to_be_bytes()].concat(), kind, value)
    }

    fn items<T: DeserializeOwned>(&self, kind: Kind) -> Result<Vec<(Vec<u8>, T)>> {
        let mut items = Vec::new();
        for key in self.keys(&self.key(kind))? {
            if let Some(value) = self.get(&key, kind)? {
                items.push((key, value));
            }
        }
        Ok(items)
    }
}

/// The three methods of an entity of which a group has one.
macro_rules! entity {
    ($kind:ident, $Entity:ident: $write:ident, $read:ident, $delete:ident) => {
        fn $write<G: traits::GroupId<V>, E: traits::$Entity<V>>(&self, _: &G, entity: &E) -> Result<()> {
            self.put(self.key(Kind::$kind), Kind::$kind, entity)
        }

        fn $read<G: traits::GroupId<V>, E: traits::$Entity<V>>(&self, _: &G) -> Result<Option<E>> {
            self.get(&self.key(Kind::$kind), Kind::$kind)
        }

        fn $delete<G: traits::GroupId<V>>(&self, _: &G) -> Result<()> {
            self.delete(self.key(Kind::$kind));
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
    entity!(MessageSecrets, MessageSecrets: write_message_secrets, message_secrets, delete_message_secrets);
    entity!(OwnLeafIndex, LeafNodeIndex: write_own_leaf_index, own_leaf_index, delete_own_leaf_index);
    entity!(EpochSecrets, GroupEpochSecrets:
        write_group_epoch_secrets, group_epoch_secrets, delete_group_epoch_secrets);

    fn write_group_state<E: traits::GroupState<V>, G: traits::GroupId<V>>(&self, _: &G, state: &E) -> Result<()> {
        self.put(self.key(Kind::GroupState), Kind::GroupState, state)
    }

    fn group_state<E: traits::GroupState<V>, G: traits::GroupId<V>>(&self, _: &G) -> Result<Option<E>> {
        self.get(&self.key(Kind::GroupState), Kind::GroupState)
    }

    fn delete_group_state<G: traits::GroupId<V>>(&self, _: &G) -> Result<()> {
        self.delete(self.key(Kind::GroupState));
        Ok(())
    }

    fn write_resumption_psk_store<G: traits::GroupId<V>, E: traits::ResumptionPskStore<V>>(
        &self,
        _: &G,
        _: &E,
    ) -> Result<()> {
        let none = NoResumptionPsks { max_number_of_secrets: 0, resumption_psk: [], cursor: 0 };
        self.put(self.key(Kind::ResumptionPsks), Kind::ResumptionPsks, &none)
    }

    fn resumption_psk_store<G: traits::GroupId<V>, E: traits::ResumptionPskStore<V>>(
        &self,
        _: &G,
    ) -> Result<Option<E>> {
        self.get(&self.key(Kind::ResumptionPsks), Kind::ResumptionPsks)
    }

    fn delete_all_resumption_psk_secrets<G: traits::GroupId<V>>(&self, _: &G) -> Result<()> {
        self.delete(self.key(Kind::ResumptionPsks));
        Ok(())
    }

    fn append_own_leaf_node<G: traits::GroupId<V>, E: traits::LeafNode<V>>(&self, _: &G, leaf: &E) -> Result<()> {
        self.append(Kind::OwnLeafNode, leaf)
    }

    fn own_leaf_nodes<G: traits::GroupId<V>, E: traits::LeafNode<V>>(&self, _: &G) -> Result<Vec<E>> {
        Ok(self.items(Kind::OwnLeafNode)?.into_iter().map(|(_, leaf)| leaf).collect())
    }

    fn delete_own_leaf_nodes<G: traits::GroupId<V>>(&self, _: &G) -> Result<()> {
        self.delete_all(&self.key(Kind::OwnLeafNode))
    }

    fn queue_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>, E: traits::QueuedProposal<V>>(
        &self,
        _: &G,
        reference: &R,
        proposal: &E,
    ) -> Result<()> {
        self.append(Kind::Proposal, &(reference, proposal))
    }

    fn queued_proposals<G: traits::GroupId<V>, R: traits::ProposalRef<V>, E: traits::QueuedProposal<V>>(
        &self,
        _: &G,
    ) -> Result<Vec<(R, E)>> {
        Ok(self.items(Kind::Proposal)?.into_iter().map(|(_, item)| item).collect())
    }

    fn queued_proposal_refs<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(&self, _: &G) -> Result<Vec<R>> {
        let items = self.items::<(R, serde::de::IgnoredAny)>(Kind::Proposal)?;
        Ok(items.into_iter().map(|(_, (reference, _))| reference).collect())
    }

    fn remove_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(&self, _: &G, reference: &R) -> Result<()> {
        let wanted = self.item_key(Kind::Proposal, reference)?;
        for (key, (stored, _)) in self.items::<(R, serde::de::IgnoredAny)>(Kind::Proposal)? {
            if self.item_key(Kind::Proposal, &stored)? == wanted {
                self.delete(key);
            }
        }
        Ok(())
    }

    fn clear_proposal_queue<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(&self, _: &G) -> Result<()> {
        self.delete_all(&self.key(Kind::Proposal))
    }

    // A key pair of an update proposal: the group's, so that it goes when the epoch or the group does.
    fn write_encryption_key_pair<K: traits::EncryptionKey<V>, E: traits::HpkeKeyPair<V>>(
        &self,
        public_key: &K,
        key_pair: &E,
    ) -> Result<()> {
        self.put(self.item_key(Kind::EncryptionKey, public_key)?, Kind::EncryptionKey, key_pair)
    }

    fn encryption_key_pair<E: traits::HpkeKeyPair<V>, K: traits::EncryptionKey<V>>(
        &self,
        public_key: &K,
    ) -> Result<Option<E>> {
        self.get(&self.item_key(Kind::EncryptionKey, public_key)?, Kind::EncryptionKey)
    }

    fn delete_encryption_key_pair<K: traits::EncryptionKey<V>>(&self, public_key: &K) -> Result<()> {
        self.delete(self.item_key(Kind::EncryptionKey, public_key)?);
        Ok(())
    }

    fn write_encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>, E: traits::HpkeKeyPair<V>>(
        &self,
        _: &G,
        epoch: &K,
        leaf_index: u32,
        key_pairs: &[E],
    ) -> Result<()> {
        self.put(self.item_key(Kind::EpochKeys, &(epoch, leaf_index))?, Kind::EpochKeys, key_pairs)
    }

    fn encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>, E: traits::HpkeKeyPair<V>>(
        &self,
        _: &G,
        epoch: &K,
        leaf_index: u32,
    ) -> Result<Vec<E>> {
        let pairs = self.get(&self.item_key(Kind::EpochKeys, &(epoch, leaf_index))?, Kind::EpochKeys)?;
        Ok(pairs.unwrap_or_default())
    }

    fn delete_encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>>(
        &self,
        _: &G,
        epoch: &K,
        leaf_index: u32,
    ) -> Result<()> {
        self.delete(self.item_key(Kind::EpochKeys, &(epoch, leaf_index))?);
        Ok(())
    }

    // Key packages, signature keys and PSKs are the device's: they outlive groups.
    fn write_key_package<R: traits::HashReference<V>, E: traits::KeyPackage<V>>(
        &self,
        reference: &R,
        key_package: &E,
    ) -> Result<()> {
        self.put(Self::item_key_in(&Scope::Device, Kind::KeyPackage, reference)?, Kind::KeyPackage, key_package)
    }

    fn key_package<R: traits::HashReference<V>, E: traits::KeyPackage<V>>(&self, reference: &R) -> Result<Option<E>> {
        self.get(&Self::item_key_in(&Scope::Device, Kind::KeyPackage, reference)?, Kind::KeyPackage)
    }

    fn delete_key_package<R: traits::HashReference<V>>(&self, reference: &R) -> Result<()> {
        self.delete(Self::item_key_in(&Scope::Device, Kind::KeyPackage, reference)?);
        Ok(())
    }

    fn write_signature_key_pair<K: traits::SignaturePublicKey<V>, E: traits::SignatureKeyPair<V>>(
        &self,
        public_key: &K,
        key_pair: &E,
    ) -> Result<()> {
        self.put(Self::item_key_in(&Scope::Device, Kind::SignatureKey, public_key)?, Kind::SignatureKey, key_pair)
    }

    fn signature_key_pair<K: traits::SignaturePublicKey<V>, E: traits::SignatureKeyPair<V>>(
        &self,
        public_key: &K,
    ) -> Result<Option<E>> {
        self.get(&Self::item_key_in(&Scope::Device, Kind::SignatureKey, public_key)?, Kind::SignatureKey)
    }

    fn delete_signature_key_pair<K: traits::SignaturePublicKey<V>>(&self, public_key: &K) -> Result<()> {
        self.delete(Self::item_key_in(&Scope::Device, Kind::SignatureKey, public_key)?);
        Ok(())
    }

    fn write_psk<K: traits::PskId<V>, E: traits::PskBundle<V>>(&self, id: &K, psk: &E) -> Result<()> {
        self.put(Self::item_key_in(&Scope::Device, Kind::Psk, id)?, Kind::Psk, psk)
    }

    fn psk<E: traits::PskBundle<V>, K: traits::PskId<V>>(&self, id: &K) -> Result<Option<E>> {
        self.get(&Self::item_key_in(&Scope::Device, Kind::Psk, id)?, Kind::Psk)
    }

    fn delete_psk<K: traits::PskId<V>>(&self, id: &K) -> Result<()> {
        self.delete(Self::item_key_in(&Scope::Device, Kind::Psk, id)?);
        Ok(())
    }
}
