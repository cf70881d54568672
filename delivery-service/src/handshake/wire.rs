//! Decodes MLSMessages (RFC 9420, 6), and reads the fields of a message that need no key.

use openmls::{
    framing::{ContentType, MlsMessageBodyIn, MlsMessageIn, ProtocolMessage, Sender},
    messages::group_info::VerifiableGroupInfo,
    prelude::{KeyPackageIn, RatchetTreeIn},
};
use regrow_protocol::mls;
use sha2::{Digest as _, Sha256};
use tls_codec::Deserialize as _;

use crate::{
    limits::Limits,
    names::{Epoch, GroupId},
    outcome::RejectReason,
};

/// The SHA-256 of submitted bytes.
pub(crate) type Hash = [u8; 32];

/// The reference of a key package (RFC 9420, 5.2).
pub(crate) type KeyPackageRef = Vec<u8>;

/// Returns the SHA-256 of submitted bytes. The service recognizes resubmitted bytes by it.
pub(crate) fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The size in bytes from which the elements of a message are counted before it is decoded. A
/// decoded list of empty elements takes 24 times its bytes.
const COUNTED_FROM_BYTES: usize = 64 * 1024;

/// The maximum number of list elements in one message, for each device that a group may have. A
/// tree has up to four nodes for each device, and a commit has a proposal and a ciphertext.
const ELEMENTS_PER_DEVICE: usize = 4;

fn message(bytes: &[u8], limits: &Limits) -> Result<MlsMessageBodyIn, RejectReason> {
    if bytes.len() > limits.max_body_bytes {
        return Err(RejectReason::TooLarge { limit: limits.max_body_bytes });
    }
    let proposals = usize::try_from(limits.max_proposals_per_epoch).unwrap_or(usize::MAX);
    let most = limits.max_devices_per_group.saturating_mul(ELEMENTS_PER_DEVICE).saturating_add(proposals);
    if bytes.len() >= COUNTED_FROM_BYTES && mls::has_at_most(bytes, most) != Some(true) {
        return Err(RejectReason::Malformed);
    }
    let message = MlsMessageIn::tls_deserialize_exact(bytes).map_err(|_| RejectReason::Malformed)?;
    Ok(message.extract())
}

/// Decodes a message to a group: a PublicMessage or a PrivateMessage.
pub(crate) fn protocol_message(bytes: &[u8], limits: &Limits) -> Result<ProtocolMessage, RejectReason> {
    match message(bytes, limits)? {
        MlsMessageBodyIn::PublicMessage(message) => Ok(message.into()),
        MlsMessageBodyIn::PrivateMessage(message) => Ok(message.into()),
        _ => Err(RejectReason::Malformed),
    }
}

/// The frame of a message to a group: the fields that need no key, and the hash of the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) hash: Hash,
    group: Vec<u8>,
    pub(crate) epoch: Epoch,
    pub(crate) content_type: ContentType,
    pub(crate) is_public: bool,
    /// True if the sender is not a member, or does not send as a member.
    pub(crate) is_external: bool,
    /// True if the message is an external commit: of a device that is not a member, or that gives
    /// up its old leaf (RFC 9420, 12.4.3.2).
    pub(crate) is_external_commit: bool,
}

impl Frame {
    /// Returns the frame of a message that was decoded from these bytes.
    pub(crate) fn of(bytes: &[u8], message: &ProtocolMessage) -> Self {
        let sender = match message {
            ProtocolMessage::PublicMessage(public) => Some(public.sender()),
            ProtocolMessage::PrivateMessage(_) => None,
        };
        let content_type = message.content_type();
        Self {
            hash: hash(bytes),
            group: message.group_id().as_slice().to_vec(),
            epoch: Epoch(message.epoch().as_u64()),
            content_type,
            is_public: sender.is_some(),
            is_external: message.is_external(),
            is_external_commit: content_type == ContentType::Commit && matches!(sender, Some(Sender::NewMemberCommit)),
        }
    }

    /// Decodes a message and returns its frame.
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, RejectReason> {
        Ok(Self::of(bytes, &protocol_message(bytes, limits)?))
    }

    /// Returns true if the message names this group.
    pub(crate) fn is_of(&self, group: &GroupId) -> bool {
        self.group == group.as_bytes()
    }
}

pub(crate) fn group_info(bytes: &[u8], limits: &Limits) -> Result<VerifiableGroupInfo, RejectReason> {
    match message(bytes, limits)? {
        MlsMessageBodyIn::GroupInfo(group_info) => Ok(group_info),
        _ => Err(RejectReason::Malformed),
    }
}

pub(crate) fn key_package(bytes: &[u8], limits: &Limits) -> Result<KeyPackageIn, RejectReason> {
    match message(bytes, limits)? {
        MlsMessageBodyIn::KeyPackage(key_package) => Ok(key_package),
        _ => Err(RejectReason::Malformed),
    }
}

/// Checks that these bytes are a welcome.
pub(crate) fn check_welcome(bytes: &[u8], limits: &Limits) -> Result<(), RejectReason> {
    match message(bytes, limits)? {
        MlsMessageBodyIn::Welcome(_) => Ok(()),
        _ => Err(RejectReason::Malformed),
    }
}

/// Returns true if a group info names this group and epoch.
pub(crate) fn is_of(group_info: &VerifiableGroupInfo, group: &GroupId, epoch: Epoch) -> bool {
    group_info.group_id().as_slice() == group.as_bytes() && group_info.epoch().as_u64() == epoch.0
}

/// Returns true if a group info has the ratchet tree (RFC 9420, 12.4.3.3). In an opaque group, a
/// joiner can get the tree only from the group info.
pub(crate) fn has_tree(group_info: &VerifiableGroupInfo) -> bool {
    group_info.extensions().ratchet_tree().is_some()
}

/// Returns true if these bytes are a ratchet tree.
pub(crate) fn is_ratchet_tree(bytes: &[u8]) -> bool {
    RatchetTreeIn::tls_deserialize_exact(bytes).is_ok()
}
