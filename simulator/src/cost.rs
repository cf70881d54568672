//! The costs of a run: crypto operations and bytes.
//!
//! The counts are exact: the same scenario and seed give the same counts. They contain no times.
//!
//! | module | content |
//! | --- | --- |
//! | this one | the number of each crypto operation in each call of a device |
//! | `contention` | commits that lost a race, and the delays behind them |
//! | `entry` | the costs of one entry of the service's log |
//! | `limits` | compares the costs with the limits of an `expect` |
//! | `spread` | the smallest, mean and largest counts of several devices |
//! | `public_tree` | the shape of a ratchet tree, and of a commit's path in it |
//! | `update_path` | the size of the update path in a commit |

mod contention;
mod entry;
pub(crate) mod limits;
pub(crate) mod public_tree;
mod spread;
pub(crate) mod update_path;

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use serde::Serialize;

pub(crate) use self::contention::Contention;
pub use self::{
    contention::ContentionFigures,
    entry::{ChangeCounts, EntryBytes, EntryCost, EntryKind, ServiceBytes},
    public_tree::{PathShape, TreeShape},
    spread::{CountSpread, Spread},
};

/// The operation of a device at the time of a crypto call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Making the device, starting its process again, and other work that no step asks for.
    #[default]
    Housekeeping,
    /// Making key packages.
    KeyPackages,
    /// Making the group.
    Create,
    /// Making a commit, or making it again after a lost race.
    Commit,
    /// Making an external commit.
    ExternalCommit,
    /// Entering the epoch of an own commit.
    Confirm,
    /// Making a proposal by reference.
    Proposal,
    /// Encrypting an application message.
    Send,
    /// Joining by a welcome.
    Join,
    /// Receiving a commit of another member.
    ReceiveCommit,
    /// Receiving a proposal.
    ReceiveProposal,
    /// Receiving an application message of another member.
    ReceiveMessage,
    /// Recognizing an own message that the service delivers back.
    Echo,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Housekeeping => "doing other work",
            Self::KeyPackages => "making key packages",
            Self::Create => "making the group",
            Self::Commit => "committing",
            Self::ExternalCommit => "joining by external commit",
            Self::Confirm => "confirming a commit",
            Self::Proposal => "proposing",
            Self::Send => "sending",
            Self::Join => "joining by welcome",
            Self::ReceiveCommit => "receiving a commit",
            Self::ReceiveProposal => "receiving a proposal",
            Self::ReceiveMessage => "receiving a message",
            Self::Echo => "recognizing an own message",
        })
    }
}

/// The number of crypto operations, and of the bytes that they processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CostCounts {
    /// The number of engine calls that made them.
    pub calls: u64,
    /// HPKE encryptions (RFC 9180), of path secrets and group secrets.
    pub hpke_seals: u64,
    /// HPKE decryptions.
    pub hpke_opens: u64,
    /// HPKE secret exports, on either side: external commits.
    pub hpke_exports: u64,
    /// HPKE key pairs derived.
    pub key_pairs: u64,
    /// Signature key pairs made.
    pub signature_keys: u64,
    /// Signatures made.
    pub signatures: u64,
    /// Signatures verified.
    pub verifications: u64,
    /// HKDF extractions and expansions.
    pub kdf: u64,
    /// HMACs: confirmation and membership tags.
    pub macs: u64,
    /// AEAD encryptions.
    pub aead_seals: u64,
    /// AEAD decryptions that were tried.
    pub aead_opens: u64,
    /// Hashes: of the tree, the transcript, references.
    pub hashes: u64,
    /// Bytes hashed.
    pub hashed_bytes: u64,
    /// Random bytes drawn.
    pub random_bytes: u64,
    /// Diffie-Hellman agreements outside of HPKE, on either side: X3DH and the Double Ratchet. Real
    /// devices make none.
    #[serde(skip_serializing_if = "is_zero")]
    pub dh: u64,
    /// KEM encapsulations and decapsulations outside of HPKE: PQXDH. Real devices make none.
    #[serde(skip_serializing_if = "is_zero")]
    pub kem: u64,
}

/// True for a count that transcripts leave out, so that those of real devices stay the same.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The number of counts that were known when the order of the columns was fixed. Later counts have
/// their columns at the end of the row.
pub const FIRST_COUNTS: usize = 14;

impl CostCounts {
    /// The counts by the names that reports give them, without the number of engine calls.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 16] {
        [
            ("hpke_seals", self.hpke_seals),
            ("hpke_opens", self.hpke_opens),
            ("hpke_exports", self.hpke_exports),
            ("key_pairs", self.key_pairs),
            ("signature_keys", self.signature_keys),
            ("signatures", self.signatures),
            ("verifications", self.verifications),
            ("kdf", self.kdf),
            ("macs", self.macs),
            ("aead_seals", self.aead_seals),
            ("aead_opens", self.aead_opens),
            ("hashes", self.hashes),
            ("hashed_bytes", self.hashed_bytes),
            ("random_bytes", self.random_bytes),
            ("dh", self.dh),
            ("kem", self.kem),
        ]
    }

    /// The public-key operations: of HPKE, signatures, key pairs, Diffie-Hellman and KEMs.
    #[must_use]
    pub fn public_key_operations(&self) -> u64 {
        self.hpke_seals
            + self.hpke_opens
            + self.hpke_exports
            + self.key_pairs
            + self.signature_keys
            + self.signatures
            + self.verifications
            + self.dh
            + self.kem
    }

    /// The counts of several devices that each have these counts.
    pub(crate) fn times(self, devices: u64) -> Self {
        self.combined(self, |count, _| count * devices)
    }

    /// Combines each count with the same count of the other.
    fn combined(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            calls: combine(self.calls, other.calls),
            hpke_seals: combine(self.hpke_seals, other.hpke_seals),
            hpke_opens: combine(self.hpke_opens, other.hpke_opens),
            hpke_exports: combine(self.hpke_exports, other.hpke_exports),
            key_pairs: combine(self.key_pairs, other.key_pairs),
            signature_keys: combine(self.signature_keys, other.signature_keys),
            signatures: combine(self.signatures, other.signatures),
            verifications: combine(self.verifications, other.verifications),
            kdf: combine(self.kdf, other.kdf),
            macs: combine(self.macs, other.macs),
            aead_seals: combine(self.aead_seals, other.aead_seals),
            aead_opens: combine(self.aead_opens, other.aead_opens),
            hashes: combine(self.hashes, other.hashes),
            hashed_bytes: combine(self.hashed_bytes, other.hashed_bytes),
            random_bytes: combine(self.random_bytes, other.random_bytes),
            dh: combine(self.dh, other.dh),
            kem: combine(self.kem, other.kem),
        }
    }
}

impl AddAssign for CostCounts {
    fn add_assign(&mut self, other: Self) {
        *self = self.combined(other, |sum, count| sum + count);
    }
}

/// The costs of each operation.
pub type Costs = BTreeMap<Operation, CostCounts>;
