//! The values that a file writes as words. Reading, writing and suggestions use the same list.

use std::fmt;

use serde::{Serialize, Serializer};

use regrow_engine::HandshakeMode;

use super::format::{
    Answer, Ciphersuite, CrashPoint, DueRotation, EventKind, ExpectScope, FailCode, Fidelity, KillPoint, Protocol,
    TheftScope, ThiefAction,
};

/// A value that a file writes as a word.
pub(crate) trait Word: Copy + PartialEq + 'static {
    /// Every value, with its word.
    const WORDS: &'static [(&'static str, Self)];
}

pub(super) fn word<T: Word>(value: T) -> &'static str {
    T::WORDS.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

impl Word for Ciphersuite {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519", Self::X25519Aes128GcmSha256Ed25519),
        ("MLS_128_DHKEMP256_AES128GCM_SHA256_P256", Self::P256Aes128GcmSha256P256),
        ("MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519", Self::X25519ChaCha20Poly1305Sha256Ed25519),
        ("MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519", Self::XWingChaCha20Poly1305Sha256Ed25519),
    ];
}

impl Word for Fidelity {
    const WORDS: &'static [(&'static str, Self)] = &[("real", Self::Real), ("model", Self::Model)];
}

impl Word for Protocol {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("mls", Self::Mls),
        ("mls_optional_paths", Self::MlsOptionalPaths),
        ("pairwise", Self::Pairwise),
        ("sender_keys", Self::SenderKeys),
        ("tainted_treekem", Self::TaintedTreekem),
        ("split_commits", Self::SplitCommits),
        ("partial_mls", Self::PartialMls),
        ("amortized_pq_combiner", Self::AmortizedPqCombiner),
    ];
}

impl Word for ExpectScope {
    const WORDS: &'static [(&'static str, Self)] = &[("step", Self::Step), ("run", Self::Run)];
}

impl Word for EventKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("joined", Self::Joined),
        ("removed", Self::Removed),
        ("lost", Self::Lost),
        ("commit", Self::Commit),
        ("member_added", Self::MemberAdded),
        ("member_removed", Self::MemberRemoved),
        ("new_key", Self::NewKey),
        ("no_longer_verified", Self::NoLongerVerified),
        ("data_changed", Self::DataChanged),
        ("proposal", Self::Proposal),
        ("refused", Self::Refused),
        ("invalid", Self::Invalid),
    ];
}

impl Word for HandshakeMode {
    const WORDS: &'static [(&'static str, Self)] = &[("assisted", Self::Assisted), ("opaque", Self::Opaque)];
}

impl Word for CrashPoint {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("before_submit", Self::BeforeSubmit),
        ("after_submit", Self::AfterSubmit),
        ("before_confirm", Self::BeforeConfirm),
        ("during_write", Self::DuringWrite),
    ];
}

impl Word for KillPoint {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("before_write", Self::BeforeWrite),
        ("within_transaction", Self::WithinTransaction),
        ("after_write", Self::AfterWrite),
    ];
}

impl Word for ThiefAction {
    const WORDS: &'static [(&'static str, Self)] =
        &[("send", Self::Send), ("commit", Self::Commit), ("rejoin", Self::Rejoin)];
}

impl Word for Answer {
    const WORDS: &'static [(&'static str, Self)] = &[("accept", Self::Accept), ("refuse", Self::Refuse)];
}

impl Word for DueRotation {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::Nothing), ("keys", Self::Keys), ("signature_key", Self::SignatureKey)];
}

impl Word for TheftScope {
    const WORDS: &'static [(&'static str, Self)] =
        &[("device", Self::Device), ("disk", Self::Disk), ("backup", Self::Backup)];
}

impl Word for FailCode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("not_a_member", Self::NotAMember),
        ("already_a_member", Self::AlreadyAMember),
        ("unknown_member", Self::UnknownMember),
        ("removed", Self::Removed),
        ("lost", Self::Lost),
        ("offline", Self::Offline),
        ("locked", Self::Locked),
        ("wrong_key", Self::WrongKey),
        ("mismatch", Self::Mismatch),
        ("refused", Self::Refused),
        ("proposals_wait", Self::ProposalsWait),
        ("nothing_to_commit", Self::NothingToCommit),
        ("commit_pending", Self::CommitPending),
        ("no_key_package", Self::NoKeyPackage),
        ("key_package_expired", Self::KeyPackageExpired),
        ("no_group_info", Self::NoGroupInfo),
        ("stale", Self::Stale),
        ("unavailable", Self::Unavailable),
        ("rejected", Self::Rejected),
        ("invalid_message", Self::InvalidMessage),
    ];
}

macro_rules! written_as_its_word {
    ($($name:ident),*) => {$(
        impl $name {
            /// The word for the value in a file.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                word(self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )*};
}

written_as_its_word!(Answer, ThiefAction, Ciphersuite, CrashPoint, KillPoint, TheftScope, FailCode, EventKind);
