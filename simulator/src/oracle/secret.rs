//! The names of secrets. A secret is named by its origin, because RFC 9420 derives or draws each
//! secret once.

use std::fmt;

use super::history::{CommitId, EpochId, KeyPackageId, ProposalId};

/// An HPKE key pair, named by its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPair {
    /// The init key of a key package (RFC 9420, 10).
    Init(KeyPackageId),
    /// The leaf key of a key package, and of the leaf that it adds.
    KeyPackageLeaf(KeyPackageId),
    /// The first leaf key in a new group.
    CreatorLeaf,
    /// The leaf key of an update proposal (RFC 9420, 12.1.2).
    UpdateLeaf(ProposalId),
    /// The committer's leaf key in the path of a commit (RFC 9420, 7.6).
    PathLeaf(CommitId),
    /// The key of a parent node in the path of a commit, counted from the committer's leaf.
    PathNode(CommitId, usize),
}

/// A secret, named by its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Secret {
    /// The private key of a key pair.
    PrivateKey(KeyPair),
    /// The path secret of a node in the path of a commit, counted from the committer's leaf (RFC
    /// 9420, 7.4).
    Path(CommitId, usize),
    /// The commit secret, which follows from the path secrets of a commit (RFC 9420, 7.4).
    Commit(CommitId),
    /// The init secret that an epoch passes to the next (RFC 9420, 8).
    Init(EpochId),
    /// The external secret of an epoch, from which the private key for external commits follows
    /// (RFC 9420, 8.3).
    External(EpochId),
    /// The init secret that an external commit conveys. It replaces the init secret of the epoch
    /// before.
    ExternalInit(CommitId),
    /// The joiner secret of the epoch that a commit makes (RFC 9420, 8).
    Joiner(CommitId),
    /// The encryption secret of an epoch: the root of its secret tree (RFC 9420, 9).
    Encryption(EpochId),
}

impl fmt::Display for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init(key_package) => write!(f, "the init key of {key_package}"),
            Self::KeyPackageLeaf(key_package) => write!(f, "the leaf key of {key_package}"),
            Self::CreatorLeaf => write!(f, "the creator's first leaf key"),
            Self::UpdateLeaf(proposal) => write!(f, "the leaf key of {proposal}"),
            Self::PathLeaf(commit) => write!(f, "the leaf key of {commit}"),
            Self::PathNode(commit, position) => write!(f, "the key of node {position} in the path of {commit}"),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateKey(key) => key.fmt(f),
            Self::Path(commit, position) => write!(f, "path secret {position} of {commit}"),
            Self::Commit(commit) => write!(f, "the commit secret of {commit}"),
            Self::Init(epoch) => write!(f, "the init secret of {epoch}"),
            Self::External(epoch) => write!(f, "the external secret of {epoch}"),
            Self::ExternalInit(commit) => write!(f, "the external init secret of {commit}"),
            Self::Joiner(commit) => write!(f, "the joiner secret of {commit}"),
            Self::Encryption(epoch) => write!(f, "the encryption secret of {epoch}"),
        }
    }
}
