//! The sizes of messages, as the engine makes them (RFC 9420, 6 to 12).
//!
//! Sizes have the unit byte. A size contains the length before a vector if the name of its function
//! names the vector's content, for example a leaf node or a group context.

use super::{
    encoding::vector,
    suite::{HASH, SuiteSizes, TAG},
    tree::NodeSizes,
};

/// The version and the wire format before each message (RFC 9420, 6).
pub(crate) const MLS_MESSAGE: u64 = 4;

/// The wire format alone.
const WIRE_FORMAT: u64 = 2;

/// The type of a proposal, of an extension, of a credential; a version; a ciphersuite.
const TYPE: u64 = 2;

/// The capabilities of the engine's leaves, without the ciphersuites: one version, three extensions,
/// no proposals, one credential type (RFC 9420, 7.2).
const OTHER_CAPABILITIES: u64 = (1 + 2) + (1 + 3 * 2) + 1 + (1 + 2);

/// The lifetime in the leaf of a key package: two times.
const LIFETIME: u64 = 16;

/// The extension of the engine's key packages: the period of use, two times.
const USE_PERIOD: u64 = TYPE + 1 + 16;

/// The extensions of a group context: the required capabilities, with one extension type.
const REQUIRED_CAPABILITIES: u64 = TYPE + 1 + (1 + 2) + 1 + 1;

/// The identifier of a simulated group.
pub(crate) const GROUP_ID: u64 = 5;

/// The sender data in a PrivateMessage: leaf index, generation, reuse guard (RFC 9420, 6.3.2).
const SENDER_DATA: u64 = 12;

/// The label before a proposal of which OpenMLS makes a reference, although the commit contains the
/// proposal itself.
const OWN_PROPOSAL_LABEL: u64 = "Internal OpenMLS ProposalRef Label".len() as u64;

/// The origin of a leaf node (RFC 9420, 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafSource {
    KeyPackage,
    Update,
    /// The leaf has a parent hash, which is empty if the path has no nodes.
    Commit {
        has_path: bool,
    },
}

/// The sender of a handshake (RFC 9420, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Member,
    /// A device that joins by external commit.
    NewMember,
}

/// The sizes of the messages of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageSizes {
    pub(crate) suite: SuiteSizes,
    /// Messages of members are PrivateMessages. Otherwise handshakes are PublicMessages.
    pub(crate) opaque: bool,
    /// PrivateMessages are padded to a multiple of this number; 0 is no padding.
    pub(crate) padding: u64,
    /// Extensions of the group context, besides the required capabilities.
    pub(crate) context_extensions: u64,
    /// The identifiers of pre-shared keys in the secrets for a joiner.
    pub(crate) psk_identifiers: u64,
}

/// The parts of a welcome that not every protocol has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WelcomeParts {
    /// True if the commit has a path, so that each joiner gets a path secret.
    pub(crate) path_secret: bool,
    /// The bytes of the tree in the welcome, without their length.
    pub(crate) encoded: Option<u64>,
}

impl MessageSizes {
    /// The sizes of the parts of a parent node.
    pub(crate) fn node_sizes(&self) -> NodeSizes {
        NodeSizes { public_key: vector(self.suite.public_key), hash: vector(HASH) }
    }

    /// A leaf node (RFC 9420, 7.2) with a basic credential.
    pub(crate) fn leaf_node(&self, identity: u64, source: LeafSource) -> u64 {
        let source = match source {
            LeafSource::KeyPackage => LIFETIME,
            LeafSource::Update => 0,
            LeafSource::Commit { has_path } => vector(if has_path { HASH } else { 0 }),
        };
        let no_extensions = 1;
        vector(self.suite.public_key)
            + vector(self.suite.signature_key)
            + TYPE
            + vector(identity)
            + vector(self.suite.capabilities * TYPE)
            + OTHER_CAPABILITIES
            + 1
            + source
            + no_extensions
            + vector(self.suite.signature)
    }

    /// A key package (RFC 9420, 10).
    fn key_package(&self, identity: u64) -> u64 {
        let leaf = self.leaf_node(identity, LeafSource::KeyPackage);
        2 * TYPE + vector(self.suite.public_key) + leaf + vector(USE_PERIOD) + vector(self.suite.signature)
    }

    /// The input of the hash that refers to a key package (RFC 9420, 5.2).
    pub(crate) fn key_package_reference(&self, identity: u64) -> u64 {
        reference("MLS 1.0 KeyPackage Reference", self.key_package(identity))
    }

    /// An Add proposal (RFC 9420, 12.1.1).
    pub(crate) fn add(&self, identity: u64) -> u64 {
        TYPE + self.key_package(identity)
    }

    /// An Update proposal (RFC 9420, 12.1.2).
    pub(crate) fn update(&self, identity: u64) -> u64 {
        TYPE + self.leaf_node(identity, LeafSource::Update)
    }

    /// A Remove proposal (RFC 9420, 12.1.3).
    pub(crate) fn remove() -> u64 {
        TYPE + 4
    }

    /// An ExternalInit proposal (RFC 9420, 12.1.6).
    pub(crate) fn external_init(&self) -> u64 {
        TYPE + vector(self.suite.encapsulated)
    }

    /// The input of the hash by which OpenMLS refers to a proposal that a commit contains.
    pub(crate) fn own_proposal_reference(proposal: u64) -> u64 {
        reference("MLS 1.0 Proposal Reference", OWN_PROPOSAL_LABEL + proposal)
    }

    /// The input of the hash that refers to a proposal message (RFC 9420, 5.2).
    pub(crate) fn proposal_reference(&self, proposal: u64) -> u64 {
        let content = WIRE_FORMAT + framed(Sender::Member, proposal) + vector(self.suite.signature);
        reference("MLS 1.0 Proposal Reference", content)
    }

    /// A proposal in the list of a commit (RFC 9420, 12.4).
    pub(crate) fn listed(proposal: u64) -> u64 {
        1 + proposal
    }

    /// A reference to a proposal in the list of a commit.
    pub(crate) fn listed_reference() -> u64 {
        1 + vector(HASH)
    }

    /// The node of an update path (RFC 9420, 7.6), with a path secret for each of these keys.
    pub(crate) fn path_node(&self, sealed: u64) -> u64 {
        vector(self.suite.public_key) + vector(sealed * self.path_secret())
    }

    /// A sealed path secret: an HPKECiphertext (RFC 9420, 7.6).
    pub(crate) fn path_secret(&self) -> u64 {
        vector(self.suite.encapsulated) + vector(HASH + TAG)
    }

    /// An update path, with the sum of its [nodes](Self::path_node).
    pub(crate) fn update_path(&self, identity: u64, nodes: u64) -> u64 {
        self.leaf_node(identity, LeafSource::Commit { has_path: nodes > 0 }) + vector(nodes)
    }

    /// The content of a commit: the list of proposals, and an update path.
    pub(crate) fn commit_content(proposals: u64, update_path: u64) -> u64 {
        vector(proposals) + 1 + update_path
    }

    /// A proposal or a commit, an MLSMessage.
    pub(crate) fn handshake(&self, sender: Sender, content: u64, is_commit: bool) -> u64 {
        let confirmation = if is_commit { vector(HASH) } else { 0 };
        let authentication = vector(self.suite.signature) + confirmation;
        match sender {
            Sender::Member if self.opaque => self.private_message(content + authentication),
            Sender::Member => MLS_MESSAGE + framed(sender, content) + authentication + vector(HASH),
            Sender::NewMember => MLS_MESSAGE + framed(sender, content) + authentication,
        }
    }

    /// An application message with this text, an MLSMessage.
    pub(crate) fn application(&self, text: u64) -> u64 {
        self.private_message(vector(text) + vector(self.suite.signature))
    }

    /// A PrivateMessage (RFC 9420, 6.3). OpenMLS pads the ciphertext, and not the plaintext.
    fn private_message(&self, plaintext: u64) -> u64 {
        let sealed = plaintext + TAG;
        let sealed = if self.padding > 0 { sealed.next_multiple_of(self.padding) } else { sealed };
        let no_authenticated_data = 1;
        MLS_MESSAGE + vector(GROUP_ID) + 8 + 1 + no_authenticated_data + vector(SENDER_DATA + TAG) + vector(sealed)
    }

    /// The input of the confirmed transcript hash (RFC 9420, 8.2).
    pub(crate) fn confirmed_transcript(&self, sender: Sender, content: u64) -> u64 {
        HASH + WIRE_FORMAT + framed(sender, content) + vector(self.suite.signature)
    }

    /// The input of the interim transcript hash.
    pub(crate) fn interim_transcript(epoch: u64) -> u64 {
        (if epoch > 0 { HASH } else { 0 }) + vector(HASH)
    }

    /// A GroupInfo (RFC 9420, 12.4.3) with the ratchet tree. `encoded` is the tree without its
    /// length.
    fn group_info_content(&self, epoch: u64, encoded: Option<u64>, external_public_key: bool) -> u64 {
        let transcript = if epoch > 0 { HASH } else { 0 };
        let extensions = vector(REQUIRED_CAPABILITIES + self.context_extensions);
        let context = 2 * TYPE + vector(GROUP_ID) + 8 + vector(HASH) + vector(transcript) + extensions;
        let tree = encoded.map_or(0, |encoded| TYPE + vector(vector(encoded)));
        let public_key = if external_public_key { TYPE + vector(vector(self.suite.public_key)) } else { 0 };
        context + vector(tree + public_key) + vector(HASH) + 4 + vector(self.suite.signature)
    }

    /// A published group info, an MLSMessage.
    pub(crate) fn group_info(&self, epoch: u64, encoded: u64) -> u64 {
        MLS_MESSAGE + self.group_info_content(epoch, Some(encoded), true)
    }

    /// A welcome for this number of joiners, an MLSMessage (RFC 9420, 12.4.3.1).
    pub(crate) fn welcome(&self, joiners: u64, epoch: u64, parts: WelcomeParts) -> u64 {
        let path_secret = 1 + if parts.path_secret { vector(HASH) } else { 0 };
        // The joiner secret, the path secret, and the pre-shared keys.
        let secrets = vector(HASH) + path_secret + vector(self.psk_identifiers);
        let secrets = vector(HASH) + vector(self.suite.encapsulated) + vector(secrets + TAG);
        let group_info = self.group_info_content(epoch, parts.encoded, false) + TAG;
        MLS_MESSAGE + TYPE + vector(joiners * secrets) + vector(group_info)
    }
}

/// A FramedContent (RFC 9420, 6) with this content, without authenticated data.
fn framed(sender: Sender, content: u64) -> u64 {
    let sender = match sender {
        Sender::Member => 1 + 4,
        Sender::NewMember => 1,
    };
    let no_authenticated_data = 1;
    vector(GROUP_ID) + 8 + sender + no_authenticated_data + 1 + content
}

/// The input of a RefHash (RFC 9420, 5.2).
fn reference(label: &str, value: u64) -> u64 {
    vector(label.len() as u64) + vector(value)
}
