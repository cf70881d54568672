//! The conditions under which a commit can bring a leaf into a group (RFC 9420, 7.2, 7.3, 10.1).
//!
//! Every member refuses a commit as a whole if a leaf in it breaks one of these conditions.
//! Therefore the same function checks a proposal twice: when it arrives, and when a commit
//! includes it.

use openmls::{
    group::MlsGroup,
    prelude::{CredentialType, ExtensionType, KeyPackage, LeafNode, LeafNodeIndex, ProposalType, ProtocolVersion},
};
use openmls_traits::types::VerifiableCiphersuite;

use crate::{DeviceId, LeafFault, Refusal, identity::device_of_leaf};

/// A leaf that a commit would bring into a group.
#[derive(Clone, Copy)]
pub(crate) struct NewLeaf<'l> {
    leaf: &'l LeafNode,
    place: LeafSource<'l>,
}

#[derive(Clone, Copy)]
enum LeafSource<'l> {
    /// The leaf comes in this key package.
    Added(&'l KeyPackage),
    /// The leaf replaces the existing leaf at this index.
    Updated(LeafNodeIndex),
}

impl<'l> NewLeaf<'l> {
    /// Creates the leaf that an Add proposal with this key package brings.
    pub(crate) fn added(key_package: &'l KeyPackage) -> Self {
        Self { leaf: key_package.leaf_node(), place: LeafSource::Added(key_package) }
    }

    /// Creates the leaf that an Update proposal puts at this index.
    pub(crate) fn updated(leaf: &'l LeafNode, place: LeafNodeIndex) -> Self {
        Self { leaf, place: LeafSource::Updated(place) }
    }

    /// Checks that a commit can bring the leaf, together with the leaves `beside` it.
    pub(crate) fn check(&self, group: &MlsGroup, beside: &[NewLeaf<'_>]) -> Result<(), Refusal> {
        let device = device_of_leaf(self.leaf)?;
        if let LeafSource::Added(key_package) = self.place
            && key_package.ciphersuite() != group.ciphersuite()
        {
            return Err(Refusal::Ciphersuite(key_package.ciphersuite()));
        }
        if let Err(fault) = check_capabilities(self.leaf, group) {
            return Err(Refusal::Leaf { device, fault });
        }
        self.check_keys_of_members(&device, group)?;
        match beside.iter().find(|other| self.shares_key(other)) {
            Some(other) => Err(Refusal::KeyInUse { device, owner: device_of_leaf(other.leaf)? }),
            None => Ok(()),
        }
    }

    /// Compares the leaf's keys with those of the members (RFC 9420, 7.3).
    fn check_keys_of_members(&self, device: &DeviceId, group: &MlsGroup) -> Result<(), Refusal> {
        let own_place = if let LeafSource::Updated(place) = self.place { Some(place) } else { None };
        for (index, member) in group.treesync().full_leaves() {
            let same_encryption_key = member.encryption_key() == self.leaf.encryption_key();
            if own_place == Some(index) {
                if same_encryption_key {
                    return Err(Refusal::Leaf { device: device.clone(), fault: LeafFault::EncryptionKeyKept });
                }
                continue;
            }
            if same_encryption_key || member.signature_key() == self.leaf.signature_key() || self.init_key_is_of(member)
            {
                let owner = device_of_leaf(member)?;
                // A commit that adds a member again removes the member's former leaf.
                if owner != *device {
                    return Err(Refusal::KeyInUse { device: device.clone(), owner });
                }
            }
        }
        Ok(())
    }

    /// True if two leaves of one commit have a key in common. If there are two updates of one
    /// leaf, a commit contains only the last one.
    fn shares_key(&self, other: &NewLeaf<'_>) -> bool {
        if matches!((self.place, other.place), (LeafSource::Updated(one), LeafSource::Updated(other)) if one == other) {
            return false;
        }
        let same_init_key = match (self.place, other.place) {
            (LeafSource::Added(one), LeafSource::Added(other)) => one.hpke_init_key() == other.hpke_init_key(),
            _ => false,
        };
        same_init_key
            || self.leaf.encryption_key() == other.leaf.encryption_key()
            || self.leaf.signature_key() == other.leaf.signature_key()
            || self.init_key_is_of(other.leaf)
            || other.init_key_is_of(self.leaf)
    }

    /// True if the init key of the leaf's key package is the encryption key of `leaf`.
    fn init_key_is_of(&self, leaf: &LeafNode) -> bool {
        let LeafSource::Added(key_package) = self.place else { return false };
        *leaf.encryption_key() == key_package.hpke_init_key().key().clone().into()
    }
}

/// Checks the leaf's extensions and capabilities, as OpenMLS does for every leaf of a commit.
fn check_capabilities(leaf: &LeafNode, group: &MlsGroup) -> Result<(), LeafFault> {
    let capabilities = leaf.capabilities();
    let supports = |extension: ExtensionType| is_default(extension) || capabilities.extensions().contains(&extension);
    for extension in leaf.extensions().iter().map(|extension| extension.extension_type()) {
        if !is_valid_in_leaf(extension) {
            return Err(LeafFault::MisplacedExtension { extension: extension.into() });
        }
        if !supports(extension) {
            return Err(LeafFault::UndeclaredExtension { extension: extension.into() });
        }
    }
    if !capabilities.versions().contains(&ProtocolVersion::Mls10) {
        return Err(LeafFault::Version);
    }
    if !capabilities.ciphersuites().contains(&VerifiableCiphersuite::from(group.ciphersuite())) {
        return Err(LeafFault::Ciphersuite);
    }
    if !capabilities.credentials().contains(&CredentialType::Basic) {
        return Err(LeafFault::CredentialType);
    }
    let required = group.extensions().required_capabilities();
    let present = group.extensions().iter().map(|extension| extension.extension_type());
    let needed = required.into_iter().flat_map(|required| required.extension_types().iter().copied());
    if let Some(extension) = present.chain(needed).find(|extension| !supports(*extension)) {
        return Err(LeafFault::GroupExtension { extension: extension.into() });
    }
    let lacks_required = required.is_some_and(|required| {
        let lacks_proposal =
            |kind: &ProposalType| !is_default_proposal(*kind) && !capabilities.proposals().contains(kind);
        let lacks_credential = |kind: &CredentialType| !capabilities.credentials().contains(kind);
        required.proposal_types().iter().any(lacks_proposal) || required.credential_types().iter().any(lacks_credential)
    });
    if lacks_required { Err(LeafFault::RequiredCapability) } else { Ok(()) }
}

/// True if every client supports the extension without listing it (RFC 9420, 7.2).
fn is_default(extension: ExtensionType) -> bool {
    let is_misplaced = !is_valid_in_leaf(extension) && extension != ExtensionType::LastResort;
    extension == ExtensionType::ApplicationId || is_misplaced
}

/// True if a leaf may have an extension of this type (RFC 9420, 17.3).
fn is_valid_in_leaf(extension: ExtensionType) -> bool {
    !matches!(
        extension,
        ExtensionType::LastResort
            | ExtensionType::RatchetTree
            | ExtensionType::RequiredCapabilities
            | ExtensionType::ExternalPub
            | ExtensionType::ExternalSenders
    )
}

/// True if every client supports proposals of this type without listing it (RFC 9420, 7.2).
fn is_default_proposal(kind: ProposalType) -> bool {
    !matches!(kind, ProposalType::SelfRemove | ProposalType::Grease(_) | ProposalType::Custom(_))
}
