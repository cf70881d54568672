//! The operations of each role, as the engine and OpenMLS 0.9 make them.
//!
//! Every count below is one that `regrow run --costs` measures on real devices.

use super::{
    messages::MessageSizes,
    suite::HASH,
    tree::{CostTree, HashWork, PathNode},
};
use crate::cost::CostCounts;

/// The operations of a key schedule (RFC 9420, 8): two extractions, the joiner secret, the epoch
/// secret, the eight secrets of the epoch, and the next init secret.
const KEY_SCHEDULE: u64 = 13;

/// The secrets of an epoch that follow from the epoch secret.
const EPOCH_SECRETS: u64 = 9;

/// The key and the nonce of a welcome, of a message, or of sender data.
const KEY_AND_NONCE: u64 = 2;

/// The bytes of a reuse guard (RFC 9420, 6.3.1).
const REUSE_GUARD: u64 = 4;

/// The references that a joiner computes of its key package: OpenMLS looks the key package up, and
/// deletes it.
const OWN_REFERENCES: u64 = 2;

/// True if OpenMLS verifies the parent hashes of each new tree once more, which it does in builds
/// with debug assertions.
const VERIFIES_AGAIN: bool = cfg!(debug_assertions);

/// The part of a handshake that is encrypted, if the group is opaque.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Framing {
    /// True if the handshake is a PrivateMessage.
    pub(crate) is_private: bool,
    /// True if the handshake has a membership tag: a PublicMessage of a member.
    pub(crate) has_tag: bool,
    /// The sender's derivations in the secret tree.
    pub(crate) sender_derivations: u64,
    /// The receivers' derivations in the secret tree.
    pub(crate) receiver_derivations: u64,
}

impl Framing {
    /// The operations of the sender, besides the signature.
    fn sealed(self) -> CostCounts {
        let private = u64::from(self.is_private);
        CostCounts {
            kdf: private * (self.sender_derivations + KEY_AND_NONCE),
            macs: u64::from(self.has_tag),
            aead_seals: 2 * private,
            random_bytes: private * REUSE_GUARD,
            ..CostCounts::default()
        }
    }

    /// The operations of a receiver, besides the verification.
    pub(crate) fn opened(self) -> CostCounts {
        let private = u64::from(self.is_private);
        CostCounts {
            kdf: private * (self.receiver_derivations + KEY_AND_NONCE),
            macs: u64::from(self.has_tag),
            aead_opens: 2 * private,
            ..CostCounts::default()
        }
    }
}

/// A commit, as far as its operations depend on it.
pub(crate) struct CommitShape<'c> {
    /// The tree after the commit.
    pub(crate) tree: &'c CostTree,
    /// The filtered direct path of the committer.
    pub(crate) path: &'c [PathNode],
    /// The number of nodes to which a path secret is sealed.
    pub(crate) sealed: u64,
    /// The hashes of references to the proposals that the commit contains itself.
    pub(crate) references: HashWork,
    /// The devices that the commit adds by proposals that it contains itself.
    pub(crate) added_by_value: u64,
    /// The hashes of references to the joiners' key packages.
    pub(crate) key_packages: HashWork,
    /// The size of the input of the confirmed transcript hash.
    pub(crate) transcript: u64,
    /// True if the commit comes with a group info.
    pub(crate) publishes: bool,
    /// True if the commit replaces the signature key.
    pub(crate) new_signature_key: bool,
    pub(crate) framing: Framing,
    /// False if the commit has no path. The engine's commits always have one.
    pub(crate) has_path: bool,
}

/// The operations of a receiver of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReceiverWork {
    /// The operations of a receiver, without the derivations along the path.
    pub(crate) fixed: CostCounts,
    /// The operations of a member that the commit removes.
    pub(crate) removed: CostCounts,
}

/// The operations that create a group, and make its first group info.
pub(crate) fn creation(tree: &CostTree) -> CostCounts {
    CostCounts {
        // The keys of the leaf, and of external commits.
        key_pairs: 2,
        signatures: 2,
        // OpenMLS derives the commit secret, too.
        kdf: KEY_SCHEDULE + 1,
        macs: 2,
        random_bytes: 3 * HASH,
        ..hashes(tree.hashing() + HashWork::of(MessageSizes::interim_transcript(0)))
    }
}

/// The operations of a proposal: its sender's, and a receiver's.
pub(crate) fn proposal(kind: ProposalKind, reference: u64, framing: Framing) -> (CostCounts, CostCounts) {
    let mut sender = CostCounts { signatures: 1, ..hashes(HashWork::of(reference)) };
    let mut receiver = CostCounts { verifications: 1, ..hashes(HashWork::of(reference)) };
    match kind {
        // The signatures of the key package and of its leaf.
        ProposalKind::Add => {
            sender.verifications += 2;
            receiver.verifications += 2;
        }
        ProposalKind::Remove => {}
        ProposalKind::Update => {
            sender.random_bytes += HASH;
            sender.key_pairs += 1;
            sender.signatures += 1;
            receiver.verifications += 1;
        }
    }
    sender += framing.sealed();
    receiver += framing.opened();
    (sender, receiver)
}

/// The kind of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProposalKind {
    Add,
    Remove,
    Update,
}

impl CommitShape<'_> {
    /// The operations of the committer. Key packages of a new attempt were verified before.
    pub(crate) fn committer(&self, verifies_key_packages: bool) -> CostCounts {
        let nodes = self.path.len() as u64;
        let joiners = self.key_packages.hashes;
        let welcomes = u64::from(joiners > 0);
        let publishes = u64::from(self.publishes);
        let path = u64::from(self.has_path);
        let mut counts = CostCounts {
            hpke_seals: self.sealed + joiners,
            key_pairs: path + nodes + publishes,
            signature_keys: u64::from(self.new_signature_key),
            // The leaf, the commit, and the group infos.
            signatures: path + 1 + welcomes + publishes,
            verifications: if verifies_key_packages { 2 * self.added_by_value } else { 0 },
            // The welcome secret is derived with or without a welcome.
            kdf: 2 * nodes + KEY_SCHEDULE + 1 + welcomes * KEY_AND_NONCE,
            // The confirmation tag.
            macs: 1,
            aead_seals: welcomes,
            random_bytes: path * 2 * HASH,
            ..hashes(self.hashing() + self.transcripts() + self.key_packages)
        };
        counts += self.framing.sealed();
        counts
    }

    /// The operations of an external committer, on the tree before its commit.
    pub(crate) fn external_committer(&self, before: &TreeBefore) -> CostCounts {
        let mut counts = self.committer(false);
        counts.hpke_exports += 1;
        counts.verifications += before.members + 1;
        counts.kdf += EPOCH_SECRETS;
        counts += hashes(before.joining);
        counts
    }

    /// The operations of the receivers.
    pub(crate) fn receivers(&self, is_external: bool) -> ReceiverWork {
        let external = u64::from(is_external);
        let mut removed = CostCounts {
            // The commit, its leaf, and the key packages in it.
            verifications: u64::from(self.has_path) + 1 + 2 * self.added_by_value,
            ..hashes(self.hashing())
        };
        removed += self.framing.opened();
        let mut fixed = removed;
        fixed += CostCounts {
            hpke_opens: u64::from(self.has_path),
            hpke_exports: external,
            key_pairs: external,
            kdf: KEY_SCHEDULE,
            macs: 1,
            ..hashes(self.transcripts())
        };
        ReceiverWork { fixed, removed }
    }

    /// The hashes that the committer and the receivers have in common.
    fn hashing(&self) -> HashWork {
        let mut work = self.references + self.tree.hashing() + self.tree.hashing();
        for (position, node) in self.path.iter().enumerate() {
            let is_top = position + 1 == self.path.len();
            work += node.hashing + HashWork::of(self.tree.parent_hash_input(!is_top));
        }
        work + verified_again(self.tree)
    }

    /// The hashes of the transcript.
    pub(crate) fn transcripts(&self) -> HashWork {
        HashWork::of(self.transcript) + HashWork::of(MessageSizes::interim_transcript(1))
    }
}

/// The group in which an external committer joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeBefore {
    members: u64,
    /// The hashes of joining: the parent hashes, the tree hash, and the transcript.
    joining: HashWork,
}

impl TreeBefore {
    /// The group with this tree, in this epoch.
    pub(crate) fn of(tree: &CostTree, epoch: u64) -> Self {
        let interim = HashWork::of(MessageSizes::interim_transcript(epoch));
        let joining = tree.verification() + verified_again(tree) + tree.hashing() + interim;
        Self { members: tree.totals().members, joining }
    }
}

/// The derivations of a member that learns the path secrets of this number of nodes: the key pair
/// of each node, and the next path secret.
pub(crate) fn along_path(nodes: u64) -> CostCounts {
    CostCounts { kdf: 2 * nodes, key_pairs: nodes, ..CostCounts::default() }
}

/// The operations of a joiner, without those that depend on its leaf and its key package: the
/// derivations [along its path](along_path), and the bytes of its two references.
pub(crate) fn joiner(tree: &CostTree) -> CostCounts {
    let interim = HashWork::of(MessageSizes::interim_transcript(1));
    let references = HashWork { hashes: OWN_REFERENCES, bytes: 0 };
    CostCounts {
        hpke_opens: 1,
        // Each leaf, and the group info.
        verifications: tree.totals().members + 1,
        // The extraction, the welcome secret with its key and nonce, and the epoch secret.
        kdf: 1 + 1 + KEY_AND_NONCE + 1 + EPOCH_SECRETS,
        macs: 1,
        aead_opens: 1,
        ..hashes(references + tree.verification() + verified_again(tree) + tree.hashing() + interim)
    }
}

/// The bytes that a joiner hashes to refer to its own key package.
pub(crate) fn own_references(key_package_reference: u64) -> u64 {
    OWN_REFERENCES * key_package_reference
}

/// The operations of an application message: its sender's, and a receiver's.
pub(crate) fn message(framing: Framing) -> (CostCounts, CostCounts) {
    let (mut sender, mut receiver) = (framing.sealed(), framing.opened());
    sender.signatures += 1;
    receiver.verifications += 1;
    (sender, receiver)
}

/// The verification that only builds with debug assertions make.
fn verified_again(tree: &CostTree) -> HashWork {
    if VERIFIES_AGAIN { tree.verification() } else { HashWork::default() }
}

/// Hashes alone.
pub(crate) fn hashes(work: HashWork) -> CostCounts {
    CostCounts { hashes: work.hashes, hashed_bytes: work.bytes, ..CostCounts::default() }
}
