//! What assisted mode checks of a handshake, with OpenMLS, before it is ordered. Nothing here changes the group.

use std::collections::BTreeSet;

use openmls::{
    credentials::{BasicCredential, Credential},
    framing::{ProcessedMessageContent, ProtocolMessage, Sender},
    group::{PublicGroup, QueuedProposal, StagedCommit},
    messages::{group_info::VerifiableGroupInfo, proposals::Proposal},
    prelude::{LeafNode, LeafNodeIndex, OpenMlsSignaturePublicKey, Verifiable as _},
};
use openmls_rust_crypto::RustCrypto;

use crate::{
    names::DeviceId,
    outcome::{RejectReason, RosterChange},
};

/// A commit of which everything that the service can check is right.
pub(crate) struct VerifiedCommit {
    pub(super) staged: Box<StagedCommit>,
    /// Whom it adds and removes.
    pub(crate) change: RosterChange,
    /// Those of the removed who asked for it themselves.
    pub(crate) left: BTreeSet<DeviceId>,
    /// The references of the key packages that it adds: whom the welcome must be for.
    pub(crate) added_key_packages: BTreeSet<Vec<u8>>,
    /// The committer's signature key in the new epoch.
    signature_key: OpenMlsSignaturePublicKey,
}

/// The device that a leaf belongs to.
pub(crate) fn basic_identity(credential: &Credential) -> Result<DeviceId, RejectReason> {
    BasicCredential::try_from(credential.clone())
        .map(|credential| DeviceId::new(credential.identity()))
        .map_err(|_| RejectReason::UnacceptableCredential)
}

fn identity_at(group: &PublicGroup, leaf: LeafNodeIndex) -> Result<DeviceId, RejectReason> {
    let leaf = group.leaf(leaf).ok_or(RejectReason::ImpossibleRosterChange)?;
    basic_identity(leaf.credential())
}

fn keeps_identity(leaf: &LeafNode, device: &DeviceId) -> Result<(), RejectReason> {
    if basic_identity(leaf.credential())? == *device { Ok(()) } else { Err(RejectReason::UnacceptableCredential) }
}

/// Checks that who replaces its own leaf from outside has that leaf's signature key. RFC 9420, 12.4.3.2, leaves it to
/// the application who may; a name alone proves nothing, and a key that the member has replaced is no longer its own.
fn keeps_signature_key(
    group: &PublicGroup,
    replaced: LeafNodeIndex,
    staged: &StagedCommit,
) -> Result<(), RejectReason> {
    let before = group.leaf(replaced).map(LeafNode::signature_key);
    let after = staged.update_path_leaf_node().map(LeafNode::signature_key);
    if before.is_some() && before == after { Ok(()) } else { Err(RejectReason::SignatureKeyChanged) }
}

/// Checks a commit of a member or of an external joiner (RFC 9420, 12.4.2).
pub(crate) fn verify_commit(
    group: &PublicGroup,
    crypto: &RustCrypto,
    message: ProtocolMessage,
    sender: &DeviceId,
) -> Result<VerifiedCommit, RejectReason> {
    let processed = group.process_message(crypto, message).map_err(|error| RejectReason::Invalid(error.to_string()))?;
    // The credential is that of the leaf whose key the signature was verified with.
    if basic_identity(processed.credential())? != *sender {
        return Err(RejectReason::NotSignedBySender);
    }
    let from = processed.sender().clone();
    let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else {
        return Err(RejectReason::WrongContentType);
    };
    let RosterEffect { change, left, added_key_packages } = roster_effect(group, crypto, &staged, &from, sender)?;
    let signer = match (staged.update_path_leaf_node(), &from) {
        (Some(leaf), _) => leaf,
        (None, Sender::Member(index)) => group.leaf(*index).ok_or(RejectReason::NotSignedBySender)?,
        (None, _) => return Err(RejectReason::Malformed),
    };
    let signature_key = OpenMlsSignaturePublicKey::from_signature_key(
        signer.signature_key().clone(),
        group.ciphersuite().signature_algorithm(),
    );
    Ok(VerifiedCommit { staged, change, left, added_key_packages, signature_key })
}

/// What a commit does to the roster.
#[derive(Default)]
struct RosterEffect {
    change: RosterChange,
    left: BTreeSet<DeviceId>,
    added_key_packages: BTreeSet<Vec<u8>>,
}

/// Whom a commit adds and removes, and the key packages of those it adds. Refuses what leaves the roster without a
/// meaning: a leaf that changes its identity, or a device twice.
fn roster_effect(
    group: &PublicGroup,
    crypto: &RustCrypto,
    staged: &StagedCommit,
    from: &Sender,
    sender: &DeviceId,
) -> Result<RosterEffect, RejectReason> {
    let RosterEffect { mut change, mut left, mut added_key_packages } = RosterEffect::default();
    let mut add = |device: DeviceId| {
        if change.added.insert(device) { Ok(()) } else { Err(RejectReason::ImpossibleRosterChange) }
    };
    if let Some(leaf) = staged.update_path_leaf_node() {
        keeps_identity(leaf, sender)?;
    }
    if matches!(from, Sender::NewMemberCommit) {
        add(sender.clone())?;
    }
    for queued in staged.queued_proposals() {
        match queued.proposal() {
            Proposal::Add(proposal) => {
                let key_package = proposal.key_package();
                add(basic_identity(key_package.leaf_node().credential())?)?;
                let reference =
                    key_package.hash_ref(crypto).map_err(|error| RejectReason::Invalid(error.to_string()))?;
                added_key_packages.insert(reference.as_slice().to_vec());
            }
            Proposal::Remove(proposal) => {
                let removed = identity_at(group, proposal.removed())?;
                if matches!(from, Sender::NewMemberCommit) && removed == *sender {
                    keeps_signature_key(group, proposal.removed(), staged)?;
                }
                if *queued.sender() == Sender::Member(proposal.removed()) {
                    left.insert(removed.clone());
                }
                change.removed.insert(removed);
            }
            Proposal::SelfRemove => {
                let Sender::Member(leaf) = queued.sender() else {
                    return Err(RejectReason::ExternalSender);
                };
                let removed = identity_at(group, *leaf)?;
                left.insert(removed.clone());
                change.removed.insert(removed);
            }
            Proposal::Update(proposal) => {
                let Sender::Member(leaf) = queued.sender() else {
                    return Err(RejectReason::ExternalSender);
                };
                keeps_identity(proposal.leaf_node(), &identity_at(group, *leaf)?)?;
            }
            _ => {}
        }
    }
    Ok(RosterEffect { change, left, added_key_packages })
}

/// Checks a proposal by reference (RFC 9420, 12.1). Whether it can be committed together with others is checked with
/// the commit that refers to it.
pub(crate) fn verify_proposal(
    group: &PublicGroup,
    crypto: &RustCrypto,
    message: ProtocolMessage,
    sender: &DeviceId,
) -> Result<QueuedProposal, RejectReason> {
    let processed = group.process_message(crypto, message).map_err(|error| RejectReason::Invalid(error.to_string()))?;
    if !matches!(processed.sender(), Sender::Member(_)) {
        return Err(RejectReason::ExternalSender);
    }
    if basic_identity(processed.credential())? != *sender {
        return Err(RejectReason::NotSignedBySender);
    }
    let ProcessedMessageContent::ProposalMessage(proposal) = processed.into_content() else {
        return Err(RejectReason::WrongContentType);
    };
    if let Proposal::Update(update) = proposal.proposal() {
        keeps_identity(update.leaf_node(), sender)?;
    }
    Ok(*proposal)
}

/// Checks that a group info is of the epoch that the commit begins, and from the committer. The group context has the
/// group, the epoch, the tree hash, the transcript hash and the extensions (RFC 9420, 8.1). What only members can know
/// is wrong, that is the external public key and the confirmation tag, stays unchecked.
pub(crate) fn verify_group_info(
    crypto: &RustCrypto,
    commit: &VerifiedCommit,
    group_info: &VerifiableGroupInfo,
) -> Result<(), RejectReason> {
    let is_of_this_epoch = group_info.group_context() == commit.staged.group_context();
    if is_of_this_epoch && group_info.verify_no_out(crypto, &commit.signature_key).is_ok() {
        Ok(())
    } else {
        Err(RejectReason::GroupInfoMismatch)
    }
}
