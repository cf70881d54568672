//! What the engine itself remembers of a group, beside what OpenMLS does.

use std::collections::BTreeMap;

use openmls::prelude::KeyPackage;
use serde::{Deserialize, Serialize};

use super::{
    agreement::History,
    commit::PendingCommit,
    freshness::Freshness,
    intent::{self, Intent},
};
use crate::{
    SignaturePublicKey,
    error::Error,
    names::{Epoch, MessageId, Timestamp},
    storage::{Kind, Scope, StorageError, Transaction},
};

/// For how many commits it is remembered that they were confirmed and have not come back.
const CONFIRMED: usize = 32;

/// The engine's record of a group.
pub(crate) type GroupRecord = RecordOf<Box<Membership>>;

/// The same, with a membership in another form: it is written from a reference, for the welcome and the group info that
/// wait in it are as large as the tree.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum RecordOf<M> {
    /// This device is a member.
    Member(M),
    /// It was removed by the commit that made this epoch. Nothing else of the group is stored.
    Removed(Epoch),
}

/// The groups that this device is a member of, and those that a waiting external commit would make it one of: whose
/// records they are, and what is remembered.
pub(crate) fn memberships(records: &Transaction<'_>) -> Result<Vec<(Scope, Membership)>, StorageError> {
    let mut memberships = Vec::new();
    for scope in Scope::all_groups(records)? {
        if let Some(GroupRecord::Member(membership)) = records.get(&scope.key(Kind::Group), Kind::Group)? {
            memberships.push((scope, *membership));
        }
    }
    Ok(memberships)
}

/// What is remembered while this device is a member.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Membership {
    /// The signature key of this device's leaf.
    pub(crate) signer: Option<SignaturePublicKey>,
    /// The commit that waits for the delivery service's answer.
    pub(crate) pending: Option<PendingCommit>,
    /// What the user wanted and what has not happened yet, oldest first.
    pub(crate) intents: Vec<Intent>,
    /// This epoch's own proposals, by the hash of the message, that the delivery service has not ordered yet. No
    /// commit of this device may refer to them: the others might never see them.
    pub(crate) unordered: BTreeMap<MessageId, Vec<u8>>,
    /// This epoch's own proposals that it has ordered.
    pub(crate) ordered: Vec<MessageId>,
    /// A proposal of this epoch was passed over because of the system's clock. A commit may refer to it.
    pub(crate) passed_over_by_clock: bool,
    /// When the members' leaves last got new keys.
    pub(crate) freshness: Freshness,
    /// How often this device's leaf has got new keys and kept its signature key.
    pub(crate) rotations: u32,
    /// What was agreed on in this epoch and in those before it.
    pub(crate) history: History,
    /// Another state of this device was used later than this one.
    pub(crate) rolled_back: bool,
    /// What was wanted while a commit was pending that does not do it. It joins the intents when that commit's fate is
    /// known.
    pub(crate) later: Vec<Intent>,
    /// The commits that this device has confirmed and that have not come back, by the epochs in which they were made, the
    /// oldest first. Another commit of such an epoch shows that the delivery service has not accepted the own one.
    pub(crate) confirmed: Vec<(Epoch, MessageId)>,
    /// When the past epochs ended whose message secrets are kept, the oldest first.
    pub(crate) ended: Vec<Timestamp>,
}

impl Membership {
    /// The signature keys that this group needs: the leaf's, and that of a commit which may become it.
    pub(crate) fn signature_keys(&self) -> impl Iterator<Item = &SignaturePublicKey> {
        self.signer.iter().chain(self.pending.iter().filter_map(|pending| pending.new_signature_key.as_ref()))
    }

    /// An own proposal has been made: the hash of its message, and its reference. Equal proposals have the same
    /// reference: one that is `known`, and does not wait, has been ordered, and so has this.
    pub(crate) fn propose(&mut self, id: MessageId, reference: Vec<u8>, known: bool) {
        match known && !self.unordered.values().any(|waiting| *waiting == reference) {
            true => self.ordered.push(id),
            false => _ = self.unordered.insert(id, reference),
        }
    }

    /// The delivery service has ordered the own proposal with that id, and with it all that are equal.
    pub(crate) fn order(&mut self, id: MessageId) {
        let Some(reference) = self.unordered.remove(&id) else { return };
        self.ordered.push(id);
        let equal = self.unordered.extract_if(.., |_, waiting| *waiting == reference);
        self.ordered.extend(equal.map(|(id, _)| id));
    }

    /// This device was told that its commit is accepted, and has not seen it in the order of the group.
    pub(crate) fn note_confirmed(&mut self, pending: &PendingCommit) {
        let surplus = (self.confirmed.len() + 1).saturating_sub(CONFIRMED);
        self.confirmed.drain(..surplus);
        self.confirmed.push((pending.epoch(), pending.id()));
    }

    /// All that is wanted, now or once the pending commit's fate is known.
    pub(crate) fn all_wishes(&self) -> impl Iterator<Item = &Intent> {
        self.intents.iter().chain(&self.later)
    }

    /// The key packages of those who are to be added.
    pub(crate) fn wanted_key_packages(&self) -> impl Iterator<Item = &KeyPackage> {
        self.all_wishes().flat_map(|wish| if let Intent::Add(key_packages) = wish { &key_packages[..] } else { &[] })
    }

    /// An epoch has ended, and with it every proposal and every commit that was made in it (RFC 9420, 12.4).
    pub(crate) fn end_epoch(&mut self) -> Result<(), Error> {
        self.pending = None;
        self.unordered.clear();
        self.ordered.clear();
        self.passed_over_by_clock = false;
        self.nothing_is_pending()
    }

    /// The commit that was pending is no more: what was wanted meanwhile is wanted now.
    pub(crate) fn nothing_is_pending(&mut self) -> Result<(), Error> {
        self.later.drain(..).try_for_each(|wish| intent::remember(&mut self.intents, wish))
    }
}

/// What this device has done in a group since its leaf got the keys that it has. A record of its own, for it is written
/// with every message that is sent.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Activity {
    /// The number of application messages that it has sent.
    pub(crate) sent: u32,
}
