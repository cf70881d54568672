//! The engine's own records of a group, beside OpenMLS's records.

use std::collections::BTreeMap;

use openmls::prelude::KeyPackage;
use serde::{Deserialize, Serialize};

use super::{
    PendingCommit,
    freshness::Freshness,
    history::History,
    intent::{self, Intent},
};
use crate::{
    SignaturePublicKey,
    error::Error,
    names::{Epoch, MessageId, Timestamp},
    storage::{RecordKind, RecordScope, StorageError, Transaction},
};

/// The maximum number of recorded commits that were confirmed and have not come back.
const CONFIRMED: usize = 32;

/// The engine's record of a group.
pub(crate) type GroupRecord = RecordOf<Box<MemberState>>;

/// The engine's record of a group, generic over the form of the membership. It is written from a
/// reference, without a copy, because the pending welcome and group info in it are as large as the
/// tree.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum RecordOf<M> {
    /// This device is a member.
    Member(M),
    /// This device was removed by the commit that created this epoch. Nothing else of the group is
    /// stored.
    Removed(Epoch),
}

/// Returns the membership records and scopes of all groups of this device. It includes groups that
/// a pending external commit would join.
pub(crate) fn member_states(records: &Transaction<'_>) -> Result<Vec<(RecordScope, MemberState)>, StorageError> {
    let mut member_states = Vec::new();
    for scope in records.group_scopes()? {
        if let Some(GroupRecord::Member(membership)) = records.get(&scope.key(RecordKind::Group), RecordKind::Group)? {
            member_states.push((scope, *membership));
        }
    }
    Ok(member_states)
}

/// The engine's record of a group while this device is a member.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct MemberState {
    /// The signature key of this device's leaf.
    pub(crate) signer: Option<SignaturePublicKey>,
    /// The commit that waits for the delivery service's answer.
    pub(crate) pending: Option<PendingCommit>,
    /// The open intents, oldest first.
    pub(crate) intents: Vec<Intent>,
    /// This device's proposals of this epoch that the delivery service has not ordered, by the
    /// hash of the message. No commit of this device may refer to them, because the other members
    /// might never see them.
    pub(crate) unordered: BTreeMap<MessageId, Vec<u8>>,
    /// This device's proposals of this epoch that the service has ordered.
    pub(crate) ordered: Vec<MessageId>,
    /// True if a proposal of this epoch was ignored because of the system's clock. A commit may
    /// refer to it.
    pub(crate) passed_over_by_clock: bool,
    /// The times when the members' leaves last got new keys.
    pub(crate) freshness: Freshness,
    /// The number of times that this device's leaf got new keys and kept its signature key.
    pub(crate) rotations: u32,
    /// The epoch authenticator hashes of this epoch and of earlier epochs.
    pub(crate) history: History,
    /// True if a newer state of this device has been in use: this state is restored or copied.
    pub(crate) storage_restored: bool,
    /// Intents that were added while another commit was pending. They join `intents` when the
    /// outcome of that commit is known.
    pub(crate) later: Vec<Intent>,
    /// The commits that this device has confirmed and that have not come back, with their epochs,
    /// the oldest first. Another commit of such an epoch shows that the delivery service has not
    /// accepted this device's commit.
    pub(crate) confirmed: Vec<(Epoch, MessageId)>,
    /// The end times of the past epochs whose message secrets are kept, the oldest first.
    pub(crate) ended: Vec<Timestamp>,
}

impl MemberState {
    /// Returns the signature keys that this group needs: the leaf's key, and the new key of a
    /// pending commit.
    pub(crate) fn signature_keys(&self) -> impl Iterator<Item = &SignaturePublicKey> {
        self.signer.iter().chain(self.pending.iter().filter_map(|pending| pending.new_signature_key.as_ref()))
    }

    /// Records an own proposal, with the hash of its message and its reference. Equal proposals
    /// have the same reference. If the reference is `known` and not waiting, the earlier equal
    /// proposal has been ordered, so this proposal counts as ordered too.
    pub(crate) fn propose(&mut self, id: MessageId, reference: Vec<u8>, known: bool) {
        match known && !self.unordered.values().any(|waiting| *waiting == reference) {
            true => self.ordered.push(id),
            false => _ = self.unordered.insert(id, reference),
        }
    }

    /// Records that the delivery service has ordered this device's proposal with that id. Equal
    /// proposals count as ordered too.
    pub(crate) fn order(&mut self, id: MessageId) {
        let Some(reference) = self.unordered.remove(&id) else { return };
        self.ordered.push(id);
        let equal = self.unordered.extract_if(.., |_, waiting| *waiting == reference);
        self.ordered.extend(equal.map(|(id, _)| id));
    }

    /// Records a confirmed commit that this device has not yet seen in the group's order.
    pub(crate) fn note_confirmed(&mut self, pending: &PendingCommit) {
        let surplus = (self.confirmed.len() + 1).saturating_sub(CONFIRMED);
        self.confirmed.drain(..surplus);
        self.confirmed.push((pending.epoch(), pending.id()));
    }

    /// Returns all intents, including the intents that wait for the pending commit's outcome.
    pub(crate) fn all_intents(&self) -> impl Iterator<Item = &Intent> {
        self.intents.iter().chain(&self.later)
    }

    /// Returns the key packages of all intents to add devices.
    pub(crate) fn wanted_key_packages(&self) -> impl Iterator<Item = &KeyPackage> {
        self.all_intents()
            .flat_map(|intent| if let Intent::Add(key_packages) = intent { &key_packages[..] } else { &[] })
    }

    /// Deletes the epoch's proposals and pending commit, which are invalid after the epoch (RFC
    /// 9420, 12.4).
    pub(crate) fn end_epoch(&mut self) -> Result<(), Error> {
        self.pending = None;
        self.unordered.clear();
        self.ordered.clear();
        self.passed_over_by_clock = false;
        self.nothing_is_pending()
    }

    /// Moves the waiting intents to `intents`, after the pending commit is gone.
    pub(crate) fn nothing_is_pending(&mut self) -> Result<(), Error> {
        self.later.drain(..).try_for_each(|intent| intent::remember(&mut self.intents, intent))
    }
}

/// This device's activity in a group since its leaf got its current keys. It is a separate record,
/// because it is written with every sent message.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Activity {
    /// The number of sent application messages.
    pub(crate) sent: u32,
}
