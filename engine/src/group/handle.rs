//! The handle of a group: the operations on it and the queries about it.
//!
//! The application gets the handle from its [`Client`]. Other files of this folder add the
//! operations on users, on group data, for comparisons and for due work.

use zeroize::Zeroizing;

use super::{
    Outgoing, PendingCommit, ProposalMessage,
    intent::Intent,
    leaves::{leaf_of, leaves_by_identity},
    new_leaf::NewLeaf,
    state::GroupState,
};
use crate::{
    Client, DeviceId, KeyPackageBytes, SignaturePublicKey,
    call::EngineCall,
    error::Error,
    identity::device_of_leaf,
    key_package,
    limits::MAX_TEXT_BYTES,
    names::{self, Epoch, EpochAuthenticator, GroupId, Timestamp},
};

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
    pub(super) client: &'c mut Client,
    pub(super) id: GroupId,
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
        self.client.with_group(&self.id, |_, group| Ok(group.member_state().pending.clone()))
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
            let verified = key_package::verify_all(&call.crypto, key_packages, now)?;
            for key_package in &verified {
                let device = device_of_leaf(key_package.leaf_node())?;
                if members.contains_key(device.to_identity().as_slice()) {
                    return Err(Error::AlreadyMember { device });
                }
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
            if let Some(pending) = &group.member_state().pending {
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
            group.member_state_mut().intents.clear();
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
            group.member_state_mut().intents.push(Intent::Leave);
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
    /// [`MAX_TEXT_BYTES`]; [`Error::Restored`]; [`Error::Storage`] if the ratchet could not be
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
    pub(super) fn intend(
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
