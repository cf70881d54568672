//! The messenger's stored records, as data types. [`app_data`](super::app_data) reads and writes
//! them.
//!
//! Names and order of the serialized fields are the stored format: they do not change.

use std::{
    borrow::Cow,
    collections::{BTreeSet, VecDeque},
};

use regrow_engine::DeviceId;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{delivered::DeliveredTexts, event::Rejoin, intent::Intent};
use crate::{audit::Audit, device_list::DeviceList, envelope::TextNonce, names::Sequence};

/// The service that this device is registered with, and the device's key for it.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct Account {
    /// The seed of the device's transport key.
    #[serde(with = "serde_bytes")]
    pub(super) seed: [u8; 32],
    /// The service's public key.
    #[serde(with = "serde_bytes")]
    pub(super) service: [u8; 32],
    /// True if the service has confirmed the registration.
    pub(super) registered: bool,
}

/// Key packages that the device has made and the service has not confirmed yet.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct PendingUpload {
    pub(super) key_packages: Vec<ByteBuf>,
    pub(super) last_resort: Option<ByteBuf>,
    /// The public signature key in their leaves.
    pub(super) signature_key: ByteBuf,
    /// True if they replace all others at the service.
    pub(super) replaces: bool,
}

/// The key packages at the service: the device has uploaded all of them since `since`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PublishedKeyPackages {
    /// The public signature key in their leaves.
    pub(super) signature_key: ByteBuf,
    /// The time when all earlier key packages were withdrawn, in seconds since the Unix epoch.
    pub(super) since: u64,
}

/// The answer to an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum InvitationAnswer {
    Accept,
    Decline,
}

/// The list of a user's devices, up to the last entry that this device has read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KnownList {
    pub(super) list: DeviceList,
    /// The number of the accepted beginning of the list: the first beginning that was seen, or a
    /// later one that a person has accepted.
    pub(super) accepted: u64,
}

impl KnownList {
    /// The reason why a person has to accept the list before its devices are added. [`None`] if the
    /// list is accepted.
    pub(super) fn unaccepted(&self) -> Option<String> {
        let user = self.list.user();
        if self.list.number() == 0 {
            return Some(format!("{user} has no list of devices"));
        }
        let is_new = self.list.begun() > self.accepted;
        is_new.then(|| format!("{user} has begun a new list of devices, for which no former device vouches: accept it"))
    }
}

/// A pending change of the list of this user's devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ListIntent {
    /// Add the device of this card. The text is the card's text form.
    Link(String),
    /// Remove the device, from the list and from the service.
    Remove(DeviceId),
    /// Begin the list anew, with this device alone.
    BeginAnew,
}

/// A commit that this device cannot follow.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct BadCommit {
    pub(super) sequence: Sequence,
    /// The time when this device read the commit, in seconds since the Unix epoch.
    pub(super) since: u64,
    /// True if this device has reported the commit to the service.
    pub(super) reported: bool,
}

/// A text or a proposal that waits to be sent, or a text that was sent in the present epoch.
#[derive(Serialize, Deserialize)]
pub(super) struct OutboxItem {
    /// The text. [`None`] for a proposal.
    pub(super) text: Option<OutboxText>,
    /// The encoded MLSMessage, once the engine has made it.
    pub(super) sealed: Option<EncodedMessage>,
    /// The sequence that the service has given to it.
    pub(super) ordered: Option<Sequence>,
}

impl OutboxItem {
    /// A text that the engine has to encrypt in the present epoch.
    pub(super) fn unsealed(text: OutboxText) -> Self {
        Self { text: Some(text), sealed: None, ordered: None }
    }
}

/// A text of this device, and its nonce. Each repetition of the text has the same nonce.
#[derive(Serialize, Deserialize)]
pub(super) struct OutboxText {
    pub(super) nonce: TextNonce,
    #[serde(with = "byte_string")]
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// An encoded MLSMessage and its epoch.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct EncodedMessage {
    pub(super) epoch: u64,
    pub(super) bytes: ByteBuf,
}

/// The record of a group. It borrows its parts while it is written, and owns them when it was read.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StoredGroup<'a> {
    pub(super) audit: Cow<'a, Audit>,
    pub(super) joined: u64,
    /// The group info that the service creates the group from.
    pub(super) creating: Option<Cow<'a, ByteBuf>>,
    pub(super) rejoin: Option<Rejoin>,
    pub(super) bad: Option<Cow<'a, BadCommit>>,
    #[serde(rename = "wishes")]
    pub(super) intents: Cow<'a, VecDeque<Intent>>,
    pub(super) banned: Cow<'a, BTreeSet<DeviceId>>,
    pub(super) invited_by: Option<Cow<'a, DeviceId>>,
    pub(super) answer: Option<InvitationAnswer>,
    pub(super) suspended: bool,
    pub(super) has_gap: bool,
    pub(super) delivered: Cow<'a, DeliveredTexts>,
}

/// Serializes a text as a byte string.
mod byte_string {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use serde_bytes::{ByteBuf, Bytes};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(text: &Zeroizing<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        Bytes::new(text).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<Vec<u8>>, D::Error> {
        Ok(Zeroizing::new(ByteBuf::deserialize(from)?.into_vec()))
    }
}
