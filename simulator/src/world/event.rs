//! What the transcript says, and what a failure tells of it.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::service::Answer;
use crate::{
    adversary::TrafficKind,
    cost::{CostCounts, Operation},
    scenario::{Act, CompromiseId, CrashPoint, FailCode, MemberName, MessageId, TheftScope},
};

/// Something that happened. Bytes are given as their SHA-256, so that two transcripts are equal if and only if every
/// key and every ciphertext is.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// The group was made.
    Group { by: MemberName, group_info: String },
    /// Something was submitted to the delivery service, which answered.
    Submitted {
        by: MemberName,
        kind: TrafficKind,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        epoch: u64,
        answer: &'static str,
        bytes: usize,
        sha256: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        welcome: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        group_info: Option<String>,
    },
    /// Something came to a member.
    Delivered {
        to: MemberName,
        kind: &'static str,
        sequence: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        meaning: String,
    },
    /// A member's key packages were published.
    KeyPackages { of: MemberName, count: usize, sha256: String },
    /// A member's process died and was started again.
    Crashed { who: MemberName, at: CrashPoint },
    /// A member's wish had to be done again on a newer epoch.
    Again { who: MemberName },
    /// A member is in a new epoch.
    Epoch { who: MemberName, epoch: u64, authenticator: String },
    /// A device was stolen, or something of it: of a whole one, so many records. (What a storage's files look like is
    /// not the seed's alone.)
    Compromised {
        who: MemberName,
        id: CompromiseId,
        scope: TheftScope,
        #[serde(skip_serializing_if = "Option::is_none")]
        records: Option<usize>,
    },
    /// A thief acted in a member's name, or tried to.
    Impersonated {
        thief: CompromiseId,
        who: MemberName,
        act: Act,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        outcome: String,
        /// What it submitted, if it could make anything.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// Somebody noticed what a thief did.
    Detected { thief: CompromiseId, by: MemberName, how: String },
    /// A commit has its proposals in an order that is not the seed's.
    Unordered { by: MemberName },
    /// At the end: a message that a thief can read, and how its key follows from what was stolen.
    Exposed { thief: CompromiseId, id: MessageId, path: String },
    /// At the end: what a member's cryptography has cost, in what it did.
    Cost {
        who: String,
        operation: Operation,
        #[serde(flatten)]
        counts: CostCounts,
    },
    /// A step failed.
    Failed { code: FailCode, detail: String },
}

impl Event {
    pub(super) fn submitted(
        by: &MemberName,
        kind: TrafficKind,
        id: Option<&MessageId>,
        epoch: u64,
        answer: Answer,
        bytes: &[u8],
    ) -> Self {
        Self::Submitted {
            by: by.clone(),
            kind,
            id: id.cloned(),
            epoch,
            answer: answer.into(),
            bytes: bytes.len(),
            sha256: fingerprint(bytes),
            welcome: None,
            group_info: None,
        }
    }

    /// The event in a sentence, if it is one that a failure would tell.
    pub(super) fn line(&self) -> Option<String> {
        Some(match self {
            Self::Group { by, .. } => format!("{by} made the group"),
            Self::Submitted { by, kind, id, epoch, answer, .. } => {
                let id = id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
                format!("{by} submitted a {}{id} of epoch {epoch}: {answer}", kind.name())
            }
            Self::Delivered { to, kind, id: Some(id), meaning, .. } => format!("{to} got the {kind} {id}: {meaning}"),
            Self::Crashed { who, at } => format!("{who}'s process died ({at}) and started again"),
            Self::Again { who } => format!("{who} tries again on the new epoch"),
            Self::Compromised { who, id, scope: TheftScope::Device, .. } => format!("{who}'s device was stolen: {id}"),
            Self::Compromised { who, id, scope: TheftScope::Disk, .. } => format!("{who}'s storage was stolen: {id}"),
            Self::Impersonated { thief, who, act, outcome, .. } => {
                format!("the thief of {thief}, as {who}, tried to {act}: {outcome}")
            }
            Self::Detected { thief, by, how } => format!("{by} noticed the thief of {thief}: {how}"),
            Self::Failed { code, detail } => format!("failed with `{code}`: {detail}"),
            Self::Unordered { .. }
            | Self::Delivered { .. }
            | Self::KeyPackages { .. }
            | Self::Epoch { .. }
            | Self::Exposed { .. }
            | Self::Cost { .. } => {
                return None;
            }
        })
    }
}

impl From<Answer> for &'static str {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Accepted => "accepted",
            Answer::Stale => "stale",
        }
    }
}

/// The SHA-256 of some bytes, in hexadecimal.
pub(super) fn fingerprint(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
