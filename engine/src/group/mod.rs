//! One group as this device is a member of it: what can be done in it, and what can be asked of it.

mod agreement;
mod check;
pub(crate) mod commit;
pub(crate) mod data;
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
mod wish;

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
pub use due::{Due, Rotation};
pub use leaf::LeafFault;
pub use proposal::{Outgoing, ProposalMessage};
pub use selection::LeftOut;
pub use wish::Wish;

use self::{
    intent::Intent,
    leaf::NewLeaf,
    record::{Activity, GroupRecord, Membership, RecordOf},
};
use crate::{
    Client, DeviceId, KeyPackageBytes, SignaturePublicKey, UserId,
    error::Error,
    identity::device_of_leaf,
    key_package,
    names::{self, Epoch, EpochAuthenticator, GroupId, Timestamp},
    provider::Call,
    storage::Kind,
};

/// The longest text of one message, in bytes. A device has some copies of it in memory while it encrypts or decrypts it.
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// A member of a group, as its leaf names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The device.
    pub device: DeviceId,
    /// The key that verifies its messages.
    pub signature_key: SignaturePublicKey,
    /// Its leaf's index in the ratchet tree (RFC 9420, 4.1): leaves are reused once they are blank.
    pub leaf_index: u32,
}

/// A group that this device is a member of. A group that it has left, or was removed from, has no such handle.
///
/// What changes the group comes as a [`PendingCommit`]: send it to the delivery service, and then
/// [`confirm`](Client::confirm) it if it was accepted, or [`discard`](Client::discard) it if not. What was wanted is
/// remembered until it has happened; [`resume`](Self::resume) makes the next attempt.
pub struct Group<'c> {
    client: &'c mut Client,
    id: GroupId,
}

impl<'c> Group<'c> {
    pub(crate) fn new(client: &'c mut Client, id: GroupId) -> Self {
        Self { client, id }
    }

    /// The group's identifier.
    pub fn id(&self) -> &GroupId {
        &self.id
    }

    /// The epoch that this device is in.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn epoch(&mut self) -> Result<Epoch, Error> {
        self.client.with_group(&self.id, |_, group| Ok(names::epoch(group.mls.epoch())))
    }

    /// Who is in the group, in the order of the leaves.
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

    /// A value that all members of this epoch share and nobody else knows (RFC 9420, 8.7): members whose values are
    /// equal are in the same group state.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn epoch_authenticator(&mut self) -> Result<EpochAuthenticator, Error> {
        self.client.with_group(&self.id, |_, group| {
            Ok(EpochAuthenticator(group.mls.epoch_authenticator().as_slice().to_vec()))
        })
    }

    /// A secret of `length` bytes for the application's own use, bound to this epoch, `label` and `context` (RFC 9420,
    /// 8.5). All members of the epoch derive the same.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the length is beyond what the ciphersuite's KDF can give.
    pub fn export_secret(&mut self, label: &str, context: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.client.with_group(&self.id, |call, group| {
            let secret = group.mls.export_secret(&call.crypto, label, context, length);
            secret.map(Zeroizing::new).map_err(|e| Error::Invalid { detail: e.to_string() })
        })
    }

    /// The group's current group info with its ratchet tree, signed by this device (RFC 9420, 12.4.3): what another
    /// device needs to join by external commit. Commits carry one by themselves if the policy says so.
    ///
    /// # Errors
    /// [`Error::CommitPending`] while a commit of this device waits.
    pub fn group_info(&mut self) -> Result<Vec<u8>, Error> {
        self.client.with_group(&self.id, |call, group| group.group_info(call))
    }

    /// The group's current ratchet tree, as RFC 9420, 12.4.3.3, has it: for a device that joins with a
    /// [message without it](crate::JoinMessage), where no delivery service has it.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn ratchet_tree(&mut self) -> Result<Vec<u8>, Error> {
        self.client.with_group(&self.id, |_, group| group.ratchet_tree())
    }

    /// The commit that waits for the delivery service's answer, if there is one: after a restart, submit it again.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn pending(&mut self) -> Result<Option<PendingCommit>, Error> {
        self.client.with_group(&self.id, |_, group| Ok(group.membership().pending.clone()))
    }

    /// Adds the devices whose key packages these are, in one commit (RFC 9420, 12.1.1). Where all of them are to be one
    /// user's, [`add_user`](Self::add_user) makes sure of it.
    ///
    /// # Errors
    /// [`Error::AlreadyMember`] if one of them is in the group; [`Error::Malformed`], [`Error::Invalid`] or
    /// [`Error::Refused`] if a key package is not one, not authentic, expired, for another ciphersuite, with a key that
    /// somebody else has, or [not accepted](crate::Authenticate); [`Error::CommitPending`].
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

    /// Removes these devices, in one commit (RFC 9420, 12.1.3). A user is removed with
    /// [`remove_user`](Self::remove_user), and a lost device from all groups with [`Client::remove_device`].
    ///
    /// # Errors
    /// [`Error::UnknownMember`] if one of them is not in the group; [`Error::OwnRemoval`]; [`Error::Refused`] if the
    /// application does not [permit](crate::Authenticate::may) it; [`Error::CommitPending`].
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

    /// Gives this device fresh keys, in a commit with a path (RFC 9420, 12.4): whoever held its state cannot read on.
    /// The signature key stays: see [`rotate_signature_key`](Self::rotate_signature_key).
    ///
    /// # Errors
    /// [`Error::CommitPending`].
    pub fn update(&mut self) -> Result<PendingCommit, Error> {
        self.intend(|_, _| Ok(Intent::Update { signature_key: false }))
    }

    /// Like [`update`](Self::update), and with a new signature key, which becomes the device's: whoever held the old
    /// one can no longer act as this device in this group. Peers that verified the device have to verify it again.
    ///
    /// # Errors
    /// [`Error::CommitPending`].
    pub fn rotate_signature_key(&mut self) -> Result<PendingCommit, Error> {
        self.intend(|_, _| Ok(Intent::Update { signature_key: true }))
    }

    /// Commits to what has been proposed.
    ///
    /// # Errors
    /// [`Error::NothingToCommit`]; [`Error::CommitPending`].
    pub fn commit(&mut self) -> Result<PendingCommit, Error> {
        self.intend(|_, _| Ok(Intent::CommitProposals))
    }

    /// The next attempt at what was wanted and has not happened: the commit that is pending, or a new one on the
    /// present epoch, or a new proposal to leave. [`None`] if there is nothing left to do.
    ///
    /// # Errors
    /// [`Error::Refused`] if what was wanted is not accepted or permitted any more: [`abandon`](Self::abandon) it.
    /// [`Error::Storage`], [`Error::Internal`].
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

    /// Forgets what was wanted and has not happened; a commit that is pending is discarded. For what the delivery
    /// service rejects, and would reject again.
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

    /// Proposes to add a device; somebody's next commit does it.
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

    /// Proposes to remove a device; somebody's next commit does it.
    ///
    /// # Errors
    /// [`Error::UnknownMember`]; [`Error::Refused`] as for [`remove`](Self::remove); [`Error::CommitPending`].
    pub fn propose_remove(&mut self, device: &DeviceId) -> Result<ProposalMessage, Error> {
        self.client.with_group(&self.id, |call, group| {
            let leaf = leaf_of(&group.mls, device).ok_or_else(|| Error::UnknownMember { device: device.clone() })?;
            group.propose_remove(call, leaf)
        })
    }

    /// Proposes fresh keys for this device's leaf; somebody else's next commit puts them in place.
    ///
    /// # Errors
    /// [`Error::Refused`] if the application does not [permit](crate::Authenticate::may) it; [`Error::CommitPending`].
    pub fn propose_update(&mut self) -> Result<ProposalMessage, Error> {
        self.client.with_group(&self.id, |call, group| group.propose_update(call))
    }

    /// Proposes to leave; somebody else's next commit does it. The wish is kept until then: if an epoch ends without
    /// it, [`resume`](Self::resume) proposes it again.
    ///
    /// # Errors
    /// [`Error::Refused`] if the application does not [permit](crate::Authenticate::may) it; [`Error::CommitPending`].
    pub fn leave(&mut self) -> Result<ProposalMessage, Error> {
        self.client.with_group(&self.id, |call, group| {
            group.membership_mut().intents.push(Intent::Leave);
            group.propose_leaving(call)
        })
    }

    /// Encrypts an application message for the group (RFC 9420, 15). Its key is erased before this returns.
    ///
    /// If the delivery service says that the epoch is over, encrypt the text again once this device has caught up.
    ///
    /// # Errors
    /// [`Error::ProposalsWait`] if something has been proposed in this epoch: who is to be removed must not read on;
    /// [`Error::TextLength`] if the text is longer than [`MAX_TEXT_BYTES`];
    /// [`Error::RolledBack`]; [`Error::Storage`] if the ratchet could not be advanced on disk.
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

    /// Remembers what is wanted, and makes the commit that does it, with all else that is still wanted.
    fn intend(
        &mut self,
        intent: impl FnOnce(&Call<'_>, &GroupState) -> Result<Intent, Error>,
    ) -> Result<PendingCommit, Error> {
        let (device, policy) = (self.client.device.clone(), self.client.policy.clone());
        self.client.with_group(&self.id, |call, group| {
            group.refuse_if_pending()?;
            let intent = intent(call, group)?;
            group.commit_wish(call, &device, &policy, intent)
        })
    }
}

/// A group in memory: OpenMLS's state of it and the engine's.
pub(crate) struct GroupState {
    pub(crate) mls: MlsGroup,
    membership: Membership,
    activity: Activity,
    /// What a call has done that has to be written, or undone, when it ends.
    pub(crate) outcome: Outcome,
}

/// What a call did to a group beside OpenMLS's own writes.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The membership's record has changed.
    membership: bool,
    /// The activity's record has changed.
    activity: bool,
    /// Signature keys may have lost their last use.
    pub(crate) sweep_signature_keys: bool,
    /// This device is no member any more, from this epoch on.
    pub(crate) removed: Option<Epoch>,
    /// The state in memory may be ahead of what is stored: load it again before it is used.
    pub(crate) reload: bool,
}

impl GroupState {
    pub(crate) fn new(mls: MlsGroup, membership: Membership) -> Self {
        Self { mls, membership, activity: Activity::default(), outcome: Outcome::default() }
    }

    /// Loads the group of the transaction's scope.
    pub(crate) fn load(call: &Call<'_>, id: &GroupId) -> Result<Self, Error> {
        let record = call.records.get(&call.records.scope().key(Kind::Group), Kind::Group)?;
        match record {
            None => Err(Error::UnknownGroup { group: id.clone() }),
            Some(GroupRecord::Removed(epoch)) => Err(Error::Removed { group: id.clone(), epoch }),
            Some(GroupRecord::Member(membership)) => {
                let activity = call.records.get(&call.records.scope().key(Kind::Activity), Kind::Activity)?;
                let group = Self::new(load_mls(call, id)?, *membership);
                Ok(Self { activity: activity.unwrap_or_default(), ..group })
            }
        }
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    pub(crate) fn membership_mut(&mut self) -> &mut Membership {
        self.outcome.membership = true;
        &mut self.membership
    }

    pub(crate) fn activity_mut(&mut self) -> &mut Activity {
        self.outcome.activity = true;
        &mut self.activity
    }

    /// Writes what the call has changed beside OpenMLS's own records.
    pub(crate) fn finish(&mut self, call: &Call<'_>) -> Result<Outcome, Error> {
        let outcome = std::mem::take(&mut self.outcome);
        let scope = call.records.scope();
        if let Some(epoch) = outcome.removed {
            // The group's last epoch would otherwise stay readable to whoever takes the device.
            call.records.delete_all(&scope.prefix())?;
            call.records.put(scope.key(Kind::Group), Kind::Group, &GroupRecord::Removed(epoch))?;
        } else if outcome.membership {
            call.records.put(scope.key(Kind::Group), Kind::Group, &RecordOf::Member(&self.membership))?;
        }
        if outcome.activity && outcome.removed.is_none() {
            let key = scope.key(Kind::Activity);
            match self.activity.sent {
                0 => call.records.delete(key),
                _ => call.records.put(key, Kind::Activity, &self.activity)?,
            }
        }
        if outcome.sweep_signature_keys || outcome.removed.is_some() {
            key_package::sweep_signature_keys(&call.records)?;
        }
        Ok(outcome)
    }

    /// The group is in a new epoch: what belonged to the old one goes.
    pub(crate) fn end_epoch(&mut self, call: &Call<'_>, now: Timestamp) -> Result<(), Error> {
        self.note_end(now);
        // Key pairs of update proposals that nobody committed; a committed one is among the epoch's keys by now.
        call.records.delete_all(&call.records.scope().key(Kind::EncryptionKey))?;
        if self.membership.pending.as_ref().is_some_and(|pending| pending.new_signature_key.is_some()) {
            self.outcome.sweep_signature_keys = true;
        }
        self.forget_sent(call)?;
        self.note_epoch();
        let membership = self.membership_mut();
        membership.end_epoch()?;
        membership.intents.retain(|intent| !matches!(intent, Intent::CommitProposals));
        // What another has done is done: a device that is removed and comes back is not to be removed again.
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

    /// The key that this device's leaf in this group is signed with.
    pub(crate) fn signature_key(&self, call: &Call<'_>) -> Result<crate::identity::SignatureKey, Error> {
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

    pub(crate) fn group_info(&self, call: &Call<'_>) -> Result<Vec<u8>, Error> {
        self.refuse_if_pending()?;
        let internal = |detail: String| Error::Internal { action: "make a group info", detail };
        let key = self.signature_key(call)?;
        let info = self.mls.export_group_info(&call.crypto, &key.signer(&call.crypto)?, true);
        info.map_err(|e| internal(e.to_string()))?.to_bytes().map_err(|e| internal(e.to_string()))
    }
}

/// OpenMLS's state of the group of the transaction's scope.
pub(crate) fn load_mls(call: &Call<'_>, id: &GroupId) -> Result<MlsGroup, Error> {
    MlsGroup::load(&call.records, &names::to_mls(id))?.ok_or_else(|| {
        Error::Storage(crate::storage::StorageError::Damaged {
            record: Kind::Group.name(),
            detail: "incomplete".into(),
        })
    })
}

/// Whose leaf it is; [`None`] if it is blank.
pub(crate) fn device_at(group: &MlsGroup, leaf: LeafNodeIndex) -> Result<Option<DeviceId>, Error> {
    Ok(group.public_group().leaf(leaf).map(device_of_leaf).transpose()?)
}

/// All members' leaves, by the identity in their credential. (Reading a thousand names costs more than comparing them.)
pub(crate) fn leaves_by_identity(group: &MlsGroup) -> HashMap<&[u8], LeafNodeIndex> {
    group.treesync().full_leaves().map(|(leaf, node)| (node.credential().serialized_content(), leaf)).collect()
}

/// The leaves of that user's devices.
pub(crate) fn leaves_of_user(group: &MlsGroup, user: &UserId) -> Result<Vec<LeafNodeIndex>, Error> {
    let mut leaves = Vec::new();
    for (leaf, node) in group.treesync().full_leaves() {
        if device_of_leaf(node)?.user() == user {
            leaves.push(leaf);
        }
    }
    Ok(leaves)
}

/// The leaf of that device, if it is a member.
pub(crate) fn leaf_of(group: &MlsGroup, device: &DeviceId) -> Option<LeafNodeIndex> {
    let identity = device.to_identity();
    let mut leaves = group.treesync().full_leaves();
    leaves.find(|(_, node)| node.credential().serialized_content() == identity).map(|(leaf, _)| leaf)
}
