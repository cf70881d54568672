//! Verifies handshakes with OpenMLS before they are ordered. Assisted mode needs it for every
//! handshake, opaque mode for external commits. Nothing here changes the group.

use std::collections::{BTreeMap, BTreeSet};

use openmls::{
    framing::{ProcessedMessageContent, ProtocolMessage, Sender},
    group::{PublicGroup, QueuedProposal, StagedCommit},
    messages::{group_info::VerifiableGroupInfo, proposals::Proposal},
    prelude::{LeafNode, LeafNodeIndex, OpenMlsSignaturePublicKey, Verifiable as _},
};
use regrow_crypto::DefaultCrypto;
use regrow_protocol::mls;
use tls_codec::Serialize as _;

use super::{credential::basic_identity, profile, wire::KeyPackageRef};
use crate::{
    names::DeviceId,
    outcome::{RejectReason, RosterChange},
};

/// A commit that is valid in everything that the service can check.
pub(crate) struct VerifiedCommit {
    pub(super) staged: Box<StagedCommit>,
    /// The devices that the commit adds and removes.
    pub(crate) change: RosterChange,
    /// The removed devices that have proposed their own removal.
    pub(crate) left: BTreeSet<DeviceId>,
    /// The additions of the commit, by the references of their key packages. The welcome must be
    /// for exactly these key packages.
    pub(crate) additions: Additions,
    /// The committer's signature key in the new epoch.
    signature_key: OpenMlsSignaturePublicKey,
}

/// An Add proposal (RFC 9420, 12.1.1) of a commit.
pub(crate) struct AddedDevice {
    /// The added device.
    pub(crate) device: DeviceId,
    /// The member that proposed the addition. It is the committer if the proposal came with the
    /// commit.
    pub(crate) proposer: DeviceId,
}

/// Additions by the references of their key packages.
pub(crate) type Additions = BTreeMap<KeyPackageRef, AddedDevice>;

fn identity_at(group: &PublicGroup, leaf: LeafNodeIndex) -> Result<DeviceId, RejectReason> {
    let leaf = group.leaf(leaf).ok_or(RejectReason::ImpossibleRosterChange)?;
    basic_identity(leaf.credential())
}

/// Returns true if the message names the member leaf of this device as its sender. The signature is
/// not yet verified.
pub(crate) fn is_from_member(group: &PublicGroup, message: &ProtocolMessage, device: &DeviceId) -> bool {
    let ProtocolMessage::PublicMessage(public) = message else { return false };
    let Sender::Member(leaf) = public.sender() else { return false };
    identity_at(group, *leaf).is_ok_and(|identity| identity == *device)
}

fn keeps_identity(leaf: &LeafNode, device: &DeviceId) -> Result<(), RejectReason> {
    if basic_identity(leaf.credential())? == *device { Ok(()) } else { Err(RejectReason::UnacceptableCredential) }
}

/// Checks that a device that replaces its own leaf by an external commit has the signature key of
/// that leaf. RFC 9420, 12.4.3.2, leaves this decision to the application. A name alone proves
/// nothing, and a key that the member has replaced does not count any more.
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
    crypto: &DefaultCrypto,
    message: ProtocolMessage,
    sender: &DeviceId,
) -> Result<VerifiedCommit, RejectReason> {
    // OpenMLS consumes the message, and gives only the leaf of its path.
    let sent = match &message {
        ProtocolMessage::PublicMessage(public) => {
            public.tls_serialize_detached().map_err(|_| RejectReason::Malformed)?
        }
        ProtocolMessage::PrivateMessage(_) => return Err(RejectReason::WrongWireFormat),
    };
    let processed = group.process_message(crypto, message).map_err(|error| RejectReason::Invalid(error.to_string()))?;
    // OpenMLS has verified the signature with the key of the leaf that has this credential.
    if basic_identity(processed.credential())? != *sender {
        return Err(RejectReason::NotSignedBySender);
    }
    let from = processed.sender().clone();
    let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else {
        return Err(RejectReason::WrongContentType);
    };
    if let Some(leaf) = staged.update_path_leaf_node() {
        let keys = path_keys(&sent, leaf).ok_or(RejectReason::Malformed)?;
        if has_parent_with(&keys, group).ok_or(RejectReason::Malformed)? {
            return Err(RejectReason::Invalid("the path has a key that the tree already has".into()));
        }
    }
    let RosterEffect { change, left, additions } = roster_effect(group, crypto, &staged, &from, sender)?;
    let signer = match (staged.update_path_leaf_node(), &from) {
        (Some(leaf), _) => leaf,
        (None, Sender::Member(index)) => group.leaf(*index).ok_or(RejectReason::NotSignedBySender)?,
        (None, _) => return Err(RejectReason::Malformed),
    };
    let signature_key = OpenMlsSignaturePublicKey::from_signature_key(
        signer.signature_key().clone(),
        group.ciphersuite().signature_algorithm(),
    );
    Ok(VerifiedCommit { staged, change, left, additions, signature_key })
}

/// Returns the public keys of a commit's path, with the key of its leaf. It reads them from the
/// PublicMessage of the commit.
fn path_keys(message: &[u8], leaf: &LeafNode) -> Option<Vec<Vec<u8>>> {
    let leaf = leaf.tls_serialize_detached().ok()?;
    let keys = mls::path_keys(mls::commit(message)?, &leaf)?;
    Some(keys.into_iter().map(<[u8]>::to_vec).collect())
}

/// Returns true if a parent in the tree has one of the keys. RFC 9420, 12.4.2, requires new keys in
/// a path. OpenMLS compares them only with the leaves, and members could not merge such a commit.
fn has_parent_with(keys: &[Vec<u8>], group: &PublicGroup) -> Option<bool> {
    let mut node = Vec::new();
    for (_, parent) in group.treesync().full_parents() {
        node.clear();
        parent.tls_serialize(&mut node).ok()?;
        let key = mls::encryption_key(&node)?;
        if keys.iter().any(|known| known == key) {
            return Some(true);
        }
    }
    Some(false)
}

/// The effect of a commit on the roster.
#[derive(Default)]
struct RosterEffect {
    change: RosterChange,
    left: BTreeSet<DeviceId>,
    additions: Additions,
}

/// Returns the devices that a commit adds and removes, and the key packages of the added devices.
/// Rejects a commit that would make the roster ambiguous: it changes the identity of a leaf, or
/// adds a device twice.
fn roster_effect(
    group: &PublicGroup,
    crypto: &DefaultCrypto,
    staged: &StagedCommit,
    from: &Sender,
    sender: &DeviceId,
) -> Result<RosterEffect, RejectReason> {
    let RosterEffect { mut change, mut left, mut additions } = RosterEffect::default();
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
        profile::check_proposal(queued.proposal())?;
        match queued.proposal() {
            Proposal::Add(proposal) => {
                let key_package = proposal.key_package();
                let device = basic_identity(key_package.leaf_node().credential())?;
                add(device.clone())?;
                let reference =
                    key_package.hash_ref(crypto).map_err(|error| RejectReason::Invalid(error.to_string()))?;
                let Sender::Member(proposer) = queued.sender() else {
                    return Err(RejectReason::ExternalSender);
                };
                let proposer = identity_at(group, *proposer)?;
                additions.insert(reference.as_slice().to_vec(), AddedDevice { device, proposer });
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
            Proposal::Update(proposal) => {
                let Sender::Member(leaf) = queued.sender() else {
                    return Err(RejectReason::ExternalSender);
                };
                keeps_identity(proposal.leaf_node(), &identity_at(group, *leaf)?)?;
            }
            _ => {}
        }
    }
    Ok(RosterEffect { change, left, additions })
}

/// Verifies a proposal by reference (RFC 9420, 12.1). The verification of the commit that refers to
/// it finds proposals that do not go together.
pub(crate) fn verify_proposal(
    group: &PublicGroup,
    crypto: &DefaultCrypto,
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
    profile::check_proposal(proposal.proposal())?;
    if let Proposal::Update(update) = proposal.proposal() {
        keeps_identity(update.leaf_node(), sender)?;
    }
    Ok(*proposal)
}

/// Checks that a group info is for the epoch that the commit begins, and is signed by the
/// committer. The group context has the group, the epoch, the tree hash, the transcript hash and
/// the extensions (RFC 9420, 8.1). The external public key and the confirmation tag stay unchecked,
/// because only members can check them.
pub(crate) fn verify_group_info(
    crypto: &DefaultCrypto,
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::cell::RefCell;

    use openmls::{
        group::ProposalStore,
        prelude::{
            BasicCredential, Ciphersuite, CredentialWithKey, KeyPackage, MlsGroup, MlsMessageBodyIn, MlsMessageIn,
            MlsMessageOut, OpenMlsProvider, PURE_PLAINTEXT_WIRE_FORMAT_POLICY,
        },
    };
    use openmls_basic_credential::SignatureKeyPair;
    use openmls_rust_crypto::{MemoryStorage, OpenMlsRustCrypto};
    use openmls_traits::{random::OpenMlsRand, types::CryptoError};
    use tls_codec::DeserializeBytes as _;

    use super::{super::records::GroupRecords, *};

    const CIPHERSUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

    /// Randomness that begins with the same bytes each time. The first drawn bytes become the first
    /// path secret (RFC 9420, 7.4).
    struct Repeating<'r>(&'r openmls_rust_crypto::RustCrypto, RefCell<Option<Vec<u8>>>);

    impl OpenMlsRand for Repeating<'_> {
        type Error = CryptoError;

        fn random_array<const N: usize>(&self) -> Result<[u8; N], CryptoError> {
            self.random_vec(N).map(|bytes| bytes.try_into().unwrap())
        }

        fn random_vec(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
            let first = self.1.borrow_mut().take_if(|first| first.len() == len);
            first.map_or_else(|| self.0.random_vec(len).map_err(|_| CryptoError::InsufficientRandomness), Ok)
        }
    }

    struct Alice {
        provider: OpenMlsRustCrypto,
        signer: SignatureKeyPair,
        group: MlsGroup,
    }

    fn device(user: &str) -> DeviceId {
        DeviceId::new(user, "phone").unwrap()
    }

    fn credential(name: &str, signer: &SignatureKeyPair) -> CredentialWithKey {
        CredentialWithKey {
            credential: BasicCredential::new(device(name).to_identity()).into(),
            signature_key: signer.public().into(),
        }
    }

    fn body(message: &MlsMessageOut) -> MlsMessageBodyIn {
        MlsMessageIn::tls_deserialize_exact_bytes(&message.to_bytes().unwrap()).unwrap().extract()
    }

    impl Alice {
        /// Creates a group of Alice and Bob.
        fn new() -> Self {
            let provider = OpenMlsRustCrypto::default();
            let [signer, bobs] = [(); 2].map(|()| SignatureKeyPair::new(CIPHERSUITE.signature_algorithm()).unwrap());
            let mut group = MlsGroup::builder()
                .ciphersuite(CIPHERSUITE)
                .with_wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
                .build(&provider, &signer, credential("alice", &signer))
                .unwrap();
            let bob = KeyPackage::builder().build(CIPHERSUITE, &provider, &bobs, credential("bob", &bobs)).unwrap();
            group.add_members(&provider, &signer, std::slice::from_ref(bob.key_package())).unwrap();
            group.merge_pending_commit(&provider).unwrap();
            Self { provider, signer, group }
        }

        /// Returns the public group that the service would track.
        fn public(&self) -> PublicGroup {
            let Self { provider, signer, group } = self;
            let info = group.export_group_info(provider.crypto(), signer, true).unwrap();
            let MlsMessageBodyIn::GroupInfo(info) = body(&info) else { panic!("not a group info") };
            let tree = group.export_ratchet_tree().into();
            let records = GroupRecords::default();
            PublicGroup::from_external(provider.crypto(), &records, tree, info, ProposalStore::new()).unwrap().0
        }

        fn update(&mut self, path_secret: &[u8]) -> ProtocolMessage {
            let Self { provider, signer, group } = self;
            let rand = Repeating(provider.crypto(), RefCell::new(Some(path_secret.to_vec())));
            let builder = group.commit_builder().force_self_update(true);
            let built = builder.load_psks::<MemoryStorage>(provider.storage()).unwrap();
            let bundle =
                built.build(&rand, provider.crypto(), signer, |_| true).unwrap().stage_commit(provider).unwrap();
            let MlsMessageBodyIn::PublicMessage(commit) = body(bundle.commit()) else { panic!("not public") };
            commit.into()
        }
    }

    #[test]
    fn path_with_a_key_of_the_tree_is_rejected() {
        let (mut alice, crypto, sender) = (Alice::new(), DefaultCrypto::default(), device("alice"));
        let commit = alice.update(&[1; 32]);
        assert!(verify_commit(&alice.public(), &crypto, commit, &sender).is_ok());
        alice.group.merge_pending_commit(&alice.provider).unwrap();

        let again = alice.update(&[1; 32]);
        let verified = verify_commit(&alice.public(), &crypto, again, &sender);
        assert!(matches!(&verified, Err(RejectReason::Invalid(why)) if why.contains("the tree already has")));

        alice.group.clear_pending_commit(alice.provider.storage()).unwrap();
        let other = alice.update(&[2; 32]);
        assert!(verify_commit(&alice.public(), &crypto, other, &sender).is_ok());
    }
}
