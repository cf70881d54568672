//! One group of which this device is a member: the operations on it and the queries about it.

mod agreement;
mod check;
pub(crate) mod commit;
pub(crate) mod data;
mod device_intents;
mod draft;
mod due;
pub(crate) mod external;
mod freshness;
pub(crate) mod intent;
mod leaf;
mod opened;
mod past;
mod path;
mod proposal;
pub(crate) mod receive;
pub(crate) mod record;
pub(crate) mod rejoin;
mod selection;
mod sent;
mod trust;
mod user;
mod verify;
pub(crate) mod welcome;

use std::collections::HashMap;

use openmls::{
    group::MlsGroup,
    prelude::{KeyPackage, LeafNodeIndex},
};
use tls_codec::Serialize as _;
use zeroize::Zeroizing;

pub use agreement::Agreement;
pub use commit::PendingCommit;
pub use data::MAX_GROUP_DATA_BYTES;
pub use device_intents::IntentStatus;
pub use due::{Due, Rotation};
pub use leaf::LeafFault;
pub use proposal::{Outgoing, ProposalMessage};
pub use selection::LeftOut;

use self::{
    intent::Intent,
    leaf::NewLeaf,
    record::{Activity, GroupRecord, MembershipRecord, RecordOf},
};
use crate::{
    Client, DeviceId, KeyPackageBytes, SignaturePublicKey, UserId,
    error::Error,
    identity::device_of_leaf,
    key_package,
    names::{self, Epoch, EpochAuthenticator, GroupId, Timestamp},
    provider::EngineCall,
    storage::RecordKind,
};

/// The maximum length of a message's text, in bytes. A device has several copies of the text in
/// memory while it encrypts or decrypts the message.
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// A member of a group, from its leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The device.
    pub device: DeviceId,
    /// The key that verifies the device's messages.
    pub signature_key: SignaturePublicKey,
    /// The index of the device's leaf in the ratchet tree (RFC 9420, 4.1). A blank leaf can be
    /// reused for another device.
    pub leaf_index: u32,
}

/// A group of which this device is a member. There is no such handle for a group that the device
/// has left or was removed from.
///
/// Changes of the group are returned as a [`PendingCommit`]. Send it to the delivery service. Then
/// [`confirm`](Client::confirm) it if the service has accepted it, or [`discard`](Client::discard)
/// it if not. The engine stores each intent until it has happened. [`resume`](Self::resume) makes
/// the next attempt.
pub struct Group<'c> {
    client: &'c mut Client,
    id: GroupId,
}

impl<'c> Group<'c> {
    pub(crate) fn new(client: &'c mut Client, id: GroupId) -> Self {
        Self { client, id }
    }

    /// Returns the group's identifier.
    pub fn id(&self) -> &GroupId {
        &self.id
    }

    /// Returns the epoch of this device in the group.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn epoch(&mut self) -> Result<Epoch, Error> {
        self.client.with_group(&self.id, |_, group| Ok(names::epoch(group.mls.epoch())))
    }

    /// Returns the members of the group, in the order of the leaves.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn roster(&mut self) -> Result<Vec<Member>, Error> {
        self.client.with_group(&self.id, |_, group| {
            let leaves = group.mls.treesync().full_leaves();
            leaves
                .map(|(leaf, node)| {
                    Ok(Member {
                        device: device_of_leaf(node)?,
                        signature_key: SignaturePublicKey::of(node),
                        leaf_index: leaf.u32(),
                    })
                })
                .collect()
        })
    }

    /// Returns a value that all members of this epoch share and nobody else knows (RFC 9420, 8.7).
    /// Members with equal values are in the same group state.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn epoch_authenticator(&mut self) -> Result<EpochAuthenticator, Error> {
        self.client.with_group(&self.id, |_, group| {
            Ok(EpochAuthenticator(group.mls.epoch_authenticator().as_slice().to_vec()))
        })
    }

    /// Derives a secret of `length` bytes for the application, bound to this epoch, `label` and
    /// `context` (RFC 9420, 8.5). All members of the epoch derive the same secret.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the length is more than the ciphersuite's KDF supports.
    pub fn export_secret(&mut self, label: &str, context: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.client.with_group(&self.id, |call, group| {
            let secret = group.mls.export_secret(&call.crypto, label, context, length);
            secret.map(Zeroizing::new).map_err(|e| Error::Invalid { detail: e.to_string() })
        })
    }

    /// Returns the current group info with the ratchet tree, signed by this device (RFC 9420,
    /// 12.4.3). Another device needs it to join by external commit. If the policy says so, each
    /// commit already comes with a group info.
    ///
    /// # Errors
    /// [`Error::CommitPending`] while a commit of this device is pending.
    pub fn group_info(&mut self) -> Result<Vec<u8>, Error> {
        self.client.with_group(&self.id, |call, group| group.group_info(call))
    }

    /// Returns the group's current ratchet tree, as in RFC 9420, 12.4.3.3. It is for a device that
    /// joins with a [message without the tree](crate::JoinMessage), if no delivery service has the
    /// tree.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn ratchet_tree(&mut self) -> Result<Vec<u8>, Error> {
        self.client.with_group(&self.id, |_, group| group.ratchet_tree())
    }

    /// Returns the commit that waits for the delivery service's answer, if there is one. After a
    /// restart, submit it again.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn pending(&mut self) -> Result<Option<PendingCommit>, Error> {
        self.client.with_group(&self.id, |_, group| Ok(group.membership().pending.clone()))
    }

    /// Adds the devices of these key packages, in one commit (RFC 9420, 12.1.1). If all of them
    /// must belong to one user, call [`add_user`](Self::add_user), which checks that.
    ///
    /// # Errors
    /// [`Error::AlreadyMember`] if a device is already in the group; [`Error::Malformed`] or
    /// [`Error::Invalid`] if a key package is malformed or not authentic;
    /// [`Error::CommitPending`]. [`Error::Refused`] if a key package is expired, is for another
    /// ciphersuite, has a key of another device, or is [not accepted](crate::Authenticate).
    pub fn add(&mut self, key_packages: &[KeyPackageBytes], now: Timestamp) -> Result<PendingCommit, Error> {
        self.client.used(now)?;
        self.intend(|call, group| {
            let members = leaves_by_identity(&group.mls);
            let mut verified: Vec<KeyPackage> = Vec::with_capacity(key_packages.len());
            for bytes in key_packages {
                let key_package = key_package::verify(&call.crypto, bytes, now)?;
                let device = device_of_leaf(key_package.leaf_node())?;
                if members.contains_key(device.to_identity().as_slice()) {
                    return Err(Error::AlreadyMember { device });
                }
                verified.push(key_package);
            }
            Ok(Intent::Add(verified))
        })
    }

    /// Removes these devices, in one commit (RFC 9420, 12.1.3). To remove a user, call
    /// [`remove_user`](Self::remove_user). To remove a lost device from all groups, call
    /// [`Client::remove_device`].
    ///
    /// # Errors
    /// [`Error::UnknownMember`] if a device is not in the group; [`Error::OwnRemoval`];
    /// [`Error::Refused`] if the application does not [permit](crate::Authenticate::may) the
    /// removal; [`Error::CommitPending`].
    pub fn remove(&mut self, devices: &[DeviceId]) -> Result<PendingCommit, Error> {
        let own = self.client.device.clone();
        self.intend(|_, group| {
            for device in devices {
                if *device == own {
                    return Err(Error::OwnRemoval);
                }
                if leaf_of(&group.mls, device).is_none() {
                    return Err(Error::UnknownMember { device: device.clone() });
                }
            }
            Ok(Intent::Remove(devices.to_vec()))
        })
    }

    /// Gives this device new keys, in a commit with a path (RFC 9420, 12.4). A thief with a copy
    /// of the device's state can no longer read the group's messages. The signature key stays: see
    /// [`rotate_signature_key`](Self::rotate_signature_key).
    ///
    /// # Errors
    /// [`Error::CommitPending`].
    pub fn update(&mut self) -> Result<PendingCommit, Error> {
        self.intend(|_, _| Ok(Intent::Update { signature_key: false }))
    }

    /// Like [`update`](Self::update), but also replaces the signature key of this device. A thief
    /// of the old signature key can no longer act as this device in this group. Users who have
    /// verified the device must verify it again.
    ///
    /// # Errors
    /// [`Error::CommitPending`].
    pub fn rotate_signature_key(&mut self) -> Result<PendingCommit, Error> {
        self.intend(|_, _| Ok(Intent::Update { signature_key: true }))
    }

    /// Commits the proposals of this epoch.
    ///
    /// # Errors
    /// [`Error::NothingToCommit`]; [`Error::CommitPending`].
    pub fn commit(&mut self) -> Result<PendingCommit, Error> {
        self.intend(|_, _| Ok(Intent::CommitProposals))
    }

    /// Makes the next attempt at the open intents. It returns the pending commit, or a new commit
    /// on the current epoch, or a new proposal to leave. [`None`] if nothing remains to do.
    ///
    /// # Errors
    /// [`Error::Refused`] if an intent is no longer accepted or permitted:
    /// [`abandon`](Self::abandon) the intents. [`Error::Storage`], [`Error::Internal`].
    pub fn resume(&mut self) -> Result<Option<Outgoing>, Error> {
        let (device, policy) = (self.client.device.clone(), self.client.policy.clone());
        self.client.with_group(&self.id, |call, group| {
            if let Some(pending) = &group.membership().pending {
                return Ok(Some(Outgoing::Commit(pending.clone())));
            }
            if let Some(commit) = group.commit_intents(call, &device, &policy)? {
                return Ok(Some(Outgoing::Commit(commit)));
            }
            Ok(group.propose_leaving_again(call)?.map(Outgoing::Proposal))
        })
    }

    /// Deletes the open intents and discards a pending commit. Use it for changes that the
    /// delivery service rejects and would reject again.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn abandon(&mut self) -> Result<(), Error> {
        self.client.with_group(&self.id, |call, group| {
            group.discard_pending(call)?;
            group.membership_mut().intents.clear();
            Ok(())
        })
    }

    /// Proposes to add a device. The next commit of any member carries it out.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn propose_add(&mut self, bytes: &KeyPackageBytes, now: Timestamp) -> Result<ProposalMessage, Error> {
        self.client.used(now)?;
        self.client.with_group(&self.id, |call, group| {
            let key_package = key_package::verify(&call.crypto, bytes, now)?;
            let device = device_of_leaf(key_package.leaf_node())?;
            if leaf_of(&group.mls, &device).is_some() {
                return Err(Error::AlreadyMember { device });
            }
            NewLeaf::added(&key_package).check(&group.mls, &[])?;
            group.propose_add(call, &key_package)
        })
    }

    /// Proposes to remove a device. The next commit of any member carries it out.
    ///
    /// # Errors
    /// [`Error::UnknownMember`]; [`Error::Refused`] as for [`remove`](Self::remove);
    /// [`Error::CommitPending`].
    pub fn propose_remove(&mut self, device: &DeviceId) -> Result<ProposalMessage, Error> {
        self.client.with_group(&self.id, |call, group| {
            let leaf = leaf_of(&group.mls, device).ok_or_else(|| Error::UnknownMember { device: device.clone() })?;
            group.propose_remove(call, leaf)
        })
    }

    /// Proposes new keys for this device's leaf. The next commit of another member carries it out.
    ///
    /// # Errors
    /// [`Error::Refused`] if the application does not [permit](crate::Authenticate::may) it;
    /// [`Error::CommitPending`].
    pub fn propose_update(&mut self) -> Result<ProposalMessage, Error> {
        self.client.with_group(&self.id, |call, group| group.propose_update(call))
    }

    /// Proposes to leave. The next commit of another member carries it out. The intent is stored
    /// until then: if an epoch ends without the removal, [`resume`](Self::resume) proposes it
    /// again.
    ///
    /// # Errors
    /// [`Error::Refused`] if the application does not [permit](crate::Authenticate::may) it;
    /// [`Error::CommitPending`].
    pub fn leave(&mut self) -> Result<ProposalMessage, Error> {
        self.client.with_group(&self.id, |call, group| {
            group.membership_mut().intents.push(Intent::Leave);
            group.propose_leaving(call)
        })
    }

    /// Encrypts an application message for the group (RFC 9420, 15). The message's key is erased
    /// before the call returns.
    ///
    /// If the delivery service answers that the epoch is over, catch up with the group and encrypt
    /// the text again.
    ///
    /// # Errors
    /// [`Error::ProposalsWait`] if this epoch has proposals, because a device that is about to be
    /// removed must not read the message; [`Error::TextLength`] if the text is longer than
    /// [`MAX_TEXT_BYTES`]; [`Error::RolledBack`]; [`Error::Storage`] if the ratchet could not be
    /// advanced on disk.
    pub fn send(&mut self, text: &[u8]) -> Result<Vec<u8>, Error> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::TextLength { bytes: text.len() });
        }
        self.client.used_untimed();
        self.client.with_group(&self.id, |call, group| {
            group.refuse_if_rolled_back()?;
            if group.mls.has_pending_proposals() {
                return Err(Error::ProposalsWait);
            }
            let key = group.signature_key(call)?;
            let message = group
                .mls
                .create_message(call, &key.signer(&call.crypto)?, text)
                .map_err(|e| Error::Internal { action: "encrypt a message", detail: e.to_string() })?;
            let activity = group.activity_mut();
            activity.sent = activity.sent.saturating_add(1);
            let bytes = message.to_bytes();
            let bytes = bytes.map_err(|e| Error::Internal { action: "encode a message", detail: e.to_string() })?;
            group.note_sent(call, &bytes)?;
            Ok(bytes)
        })
    }

    /// Stores the intent, and creates a commit that carries out all open intents.
    fn intend(
        &mut self,
        intent: impl FnOnce(&EngineCall<'_>, &GroupState) -> Result<Intent, Error>,
    ) -> Result<PendingCommit, Error> {
        let (device, policy) = (self.client.device.clone(), self.client.policy.clone());
        self.client.with_group(&self.id, |call, group| {
            group.refuse_if_pending()?;
            let intent = intent(call, group)?;
            group.commit_intent(call, &device, &policy, intent)
        })
    }
}

/// A group in memory: its OpenMLS state and its engine state.
pub(crate) struct GroupState {
    pub(crate) mls: MlsGroup,
    membership: MembershipRecord,
    activity: Activity,
    /// The changes of a call that must be written or undone when the call ends.
    pub(crate) unsaved: UnsavedChanges,
}

/// The changes of a group by a call, without OpenMLS's own writes.
#[derive(Default)]
pub(crate) struct UnsavedChanges {
    /// The membership's record has changed.
    membership: bool,
    /// The activity's record has changed.
    activity: bool,
    /// Signature keys may have lost their last use.
    pub(crate) sweep_signature_keys: bool,
    /// The first epoch in which this device is no longer a member.
    pub(crate) removed: Option<Epoch>,
    /// The state in memory may be newer than the stored state. Load the group again before the
    /// next use.
    pub(crate) reload: bool,
}

impl GroupState {
    pub(crate) fn new(mls: MlsGroup, membership: MembershipRecord) -> Self {
        Self { mls, membership, activity: Activity::default(), unsaved: UnsavedChanges::default() }
    }

    /// Loads the group of the transaction's scope, with the engine's records.
    pub(crate) fn load(call: &EngineCall<'_>, id: &GroupId) -> Result<Self, Error> {
        let record = call.records.get(&call.records.scope().key(RecordKind::Group), RecordKind::Group)?;
        match record {
            None => Err(Error::UnknownGroup { group: id.clone() }),
            Some(GroupRecord::Removed(epoch)) => Err(Error::Removed { group: id.clone(), epoch }),
            Some(GroupRecord::Member(membership)) => {
                let activity =
                    call.records.get(&call.records.scope().key(RecordKind::Activity), RecordKind::Activity)?;
                let group = Self::new(load_mls(call, id)?, *membership);
                Ok(Self { activity: activity.unwrap_or_default(), ..group })
            }
        }
    }

    pub(crate) fn membership(&self) -> &MembershipRecord {
        &self.membership
    }

    pub(crate) fn membership_mut(&mut self) -> &mut MembershipRecord {
        self.unsaved.membership = true;
        &mut self.membership
    }

    pub(crate) fn activity_mut(&mut self) -> &mut Activity {
        self.unsaved.activity = true;
        &mut self.activity
    }

    /// Writes the call's changes to the engine's own records.
    pub(crate) fn finish(&mut self, call: &EngineCall<'_>) -> Result<UnsavedChanges, Error> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let scope = call.records.scope();
        if let Some(epoch) = unsaved.removed {
            // Without this deletion, a thief of the device could still read the group's last
            // epoch.
            call.records.delete_all(&scope.prefix())?;
            call.records.put(scope.key(RecordKind::Group), RecordKind::Group, &GroupRecord::Removed(epoch))?;
        } else if unsaved.membership {
            call.records.put(scope.key(RecordKind::Group), RecordKind::Group, &RecordOf::Member(&self.membership))?;
        }
        if unsaved.activity && unsaved.removed.is_none() {
            let key = scope.key(RecordKind::Activity);
            match self.activity.sent {
                0 => call.records.delete(key),
                _ => call.records.put(key, RecordKind::Activity, &self.activity)?,
            }
        }
        if unsaved.sweep_signature_keys || unsaved.removed.is_some() {
            key_package::sweep_signature_keys(&call.records)?;
        }
        Ok(unsaved)
    }

    /// Deletes the records of the old epoch. The group is already in the new epoch.
    pub(crate) fn end_epoch(&mut self, call: &EngineCall<'_>, now: Timestamp) -> Result<(), Error> {
        self.note_end(now);
        // The key pairs of update proposals that were not committed. The key pairs of committed
        // ones are now among the epoch's keys.
        call.records.delete_all(&call.records.scope().key(RecordKind::EncryptionKey))?;
        if self.membership.pending.as_ref().is_some_and(|pending| pending.new_signature_key.is_some()) {
            self.unsaved.sweep_signature_keys = true;
        }
        self.forget_sent(call)?;
        self.note_epoch();
        let membership = self.membership_mut();
        membership.end_epoch()?;
        membership.intents.retain(|intent| !matches!(intent, Intent::CommitProposals));
        // Another member's commit may have fulfilled some intents. For example, a device that was
        // removed and comes back later must not be removed again.
        let mut intents = std::mem::take(&mut membership.intents);
        let planned = intent::plan(&mut intents, &self.mls);
        self.membership_mut().intents = intents;
        planned.map(|_| ())
    }

    pub(crate) fn refuse_if_pending(&self) -> Result<(), Error> {
        match &self.membership.pending {
            Some(pending) => Err(Error::CommitPending { epoch: pending.epoch() }),
            None => Ok(()),
        }
    }

    pub(crate) fn refuse_if_rolled_back(&self) -> Result<(), Error> {
        match self.membership.rolled_back {
            true => Err(Error::RolledBack { group: names::group_id(self.mls.group_id())? }),
            false => Ok(()),
        }
    }

    /// Returns the key that signs this device's leaf in this group.
    pub(crate) fn signature_key(&self, call: &EngineCall<'_>) -> Result<crate::identity::SignatureKey, Error> {
        let leaf = self
            .mls
            .own_leaf_node()
            .ok_or_else(|| Error::Internal { action: "find the own leaf", detail: "the tree has none".into() })?;
        key_package::signature_key(&call.records, leaf.signature_key().as_slice())
    }

    pub(crate) fn ratchet_tree(&self) -> Result<Vec<u8>, Error> {
        let tree = self.mls.export_ratchet_tree().tls_serialize_detached();
        tree.map_err(|e| Error::Internal { action: "encode the ratchet tree", detail: e.to_string() })
    }

    pub(crate) fn group_info(&self, call: &EngineCall<'_>) -> Result<Vec<u8>, Error> {
        self.refuse_if_pending()?;
        let internal = |detail: String| Error::Internal { action: "make a group info", detail };
        let key = self.signature_key(call)?;
        let info = self.mls.export_group_info(&call.crypto, &key.signer(&call.crypto)?, true);
        info.map_err(|e| internal(e.to_string()))?.to_bytes().map_err(|e| internal(e.to_string()))
    }
}

/// Loads OpenMLS's state of the group in the transaction's scope.
pub(crate) fn load_mls(call: &EngineCall<'_>, id: &GroupId) -> Result<MlsGroup, Error> {
    MlsGroup::load(&call.records, &names::to_mls(id))?.ok_or_else(|| {
        Error::Storage(crate::storage::StorageError::Damaged {
            record: RecordKind::Group.name(),
            detail: "incomplete".into(),
        })
    })
}

/// Returns the device of a leaf; [`None`] if the leaf is blank.
pub(crate) fn device_at(group: &MlsGroup, leaf: LeafNodeIndex) -> Result<Option<DeviceId>, Error> {
    Ok(group.public_group().leaf(leaf).map(device_of_leaf).transpose()?)
}

/// Returns the leaves of all members, by the identity in their credential. (To parse a thousand
/// names costs more than to compare the encoded identities.)
pub(crate) fn leaves_by_identity(group: &MlsGroup) -> HashMap<&[u8], LeafNodeIndex> {
    group.treesync().full_leaves().map(|(leaf, node)| (node.credential().serialized_content(), leaf)).collect()
}

/// Returns the leaves of that user's devices.
pub(crate) fn leaves_of_user(group: &MlsGroup, user: &UserId) -> Result<Vec<LeafNodeIndex>, Error> {
    let mut leaves = Vec::new();
    for (leaf, node) in group.treesync().full_leaves() {
        if device_of_leaf(node)?.user() == user {
            leaves.push(leaf);
        }
    }
    Ok(leaves)
}

/// Returns the leaf of that device, if it is a member.
pub(crate) fn leaf_of(group: &MlsGroup, device: &DeviceId) -> Option<LeafNodeIndex> {
    let identity = device.to_identity();
    let mut leaves = group.treesync().full_leaves();
    leaves.find(|(_, node)| node.credential().serialized_content() == identity).map(|(leaf, _)| leaf)
}
