//! The events of the transcript, and their texts in failures.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::submission::SubmissionOutcome;
use crate::{
    adversary::TrafficKind,
    cost::{CostCounts, Operation},
    scenario::{
        Answer, BackupId, CompromiseId, CrashPoint, FailCode, GroupName, MemberName, MessageId, TheftScope, ThiefAction,
    },
};

/// One event of a run.
///
/// Bytes appear as their SHA-256. So two transcripts are equal only if every key and every
/// ciphertext is equal. An event of a group names it, unless it is the group of the steps that name
/// no group.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum TranscriptEvent {
    /// A device created the group.
    Group {
        by: MemberName,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
        group_info: String,
    },
    /// A device submitted something, and the delivery service answered.
    Submitted {
        by: MemberName,
        kind: TrafficKind,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
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
    /// A delivery reached a device.
    Delivered {
        to: MemberName,
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
        sequence: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        meaning: String,
    },
    /// A device published key packages. `count` counts those for one use.
    KeyPackages {
        of: MemberName,
        count: usize,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        last_resort: bool,
        sha256: String,
    },
    /// A device withdrew all its key packages.
    KeyPackagesWithdrawn { of: MemberName },
    /// The service refused key packages of a device whose clock is wrong.
    KeyPackagesRefused { of: MemberName, why: String },
    /// A device is cut off from the service, and submits later.
    Waits { who: MemberName },
    /// The process of a device crashed and started again.
    Crashed { who: MemberName, at: CrashPoint },
    /// A device was locked, by its user or because nobody used it.
    Locked { who: MemberName, idle: bool },
    /// The user of a device unlocked it.
    Unlocked { who: MemberName },
    /// A device made a backup.
    BackedUp { who: MemberName, id: BackupId, bytes: usize, sha256: String },
    /// A device was restored from a backup. It is in none of the backup's groups yet.
    Restored { who: MemberName, from: BackupId, groups: usize },
    /// Two members compared their safety numbers.
    Compared { by: MemberName, who: MemberName, equal: bool },
    /// The application of a device changed its answer about the keys of members.
    Answers { who: MemberName, of: Vec<MemberName>, answer: Answer },
    /// The delivery service began or ended a fault or a lie.
    Service {
        fault: &'static str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        who: Vec<MemberName>,
    },
    /// The delivery service did not answer a submission. The device submits it again.
    Unanswered {
        by: MemberName,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
        cause: &'static str,
    },
    /// A member found evidence against the delivery service.
    Found {
        by: MemberName,
        what: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
        epoch: u64,
        detail: String,
    },
    /// A device was reported as lost, and the delivery service has removed it.
    LostDevice { by: MemberName, who: MemberName },
    /// A device has to make its change again on a newer epoch.
    Again {
        who: MemberName,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
    },
    /// A device is in a new epoch.
    Epoch {
        who: MemberName,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
        epoch: u64,
        authenticator: String,
    },
    /// A thief stole a device, its storage or its backup.
    ///
    /// `records` counts the records of a whole device. The files of a storage do not follow from
    /// the seed alone, so the event tells nothing of them.
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
        act: ThiefAction,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        outcome: String,
        /// The hash of the submission, if the thief could make one.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// A device noticed an action of a thief.
    Detected {
        thief: CompromiseId,
        by: MemberName,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<GroupName>,
        how: String,
    },
    /// A commit has its proposals in an order that does not follow from the seed.
    Unordered { by: MemberName },
    /// At the end: a message that a thief can read, and the derivation of its key.
    Exposed { thief: CompromiseId, id: MessageId, path: String },
    /// At the end: the cost of one operation on one device.
    Cost {
        who: String,
        operation: Operation,
        #[serde(flatten)]
        counts: CostCounts,
    },
    /// A step failed.
    Failed { code: FailCode, detail: String },
}

impl TranscriptEvent {
    pub(super) fn submitted(
        by: &MemberName,
        kind: TrafficKind,
        group: Option<GroupName>,
        id: Option<&MessageId>,
        epoch: u64,
        answer: SubmissionOutcome,
        bytes: &[u8],
    ) -> Self {
        Self::Submitted {
            by: by.clone(),
            kind,
            group,
            id: id.cloned(),
            epoch,
            answer: answer.name(),
            bytes: bytes.len(),
            sha256: fingerprint(bytes),
            welcome: None,
            group_info: None,
        }
    }

    /// The event in a sentence; [`None`] for an event that failures do not list.
    pub(super) fn line(&self) -> Option<String> {
        Some(match self {
            Self::Group { by, group, .. } => match group {
                Some(group) => format!("{by} made the group {group}"),
                None => format!("{by} made the group"),
            },
            Self::Submitted { by, kind, group, id, epoch, answer, .. } => {
                let id = id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
                format!("{by} submitted a {}{id} of epoch {epoch}{}: {answer}", kind.name(), of_group(group.as_ref()))
            }
            Self::Delivered { to, kind, group, id: Some(id), meaning, .. } => {
                format!("{to} got the {kind} {id}{}: {meaning}", of_group(group.as_ref()))
            }
            Self::Crashed { who, at } => format!("{who}'s process died ({at}) and started again"),
            Self::KeyPackagesRefused { of, why } => format!("the service refused {of}'s key packages: {why}"),
            Self::KeyPackagesWithdrawn { of } => format!("{of} withdrew all key packages"),
            Self::Waits { who } => format!("{who} is cut off, and submits later"),
            Self::Locked { who, idle: false } => format!("{who}'s device was locked"),
            Self::Locked { who, idle: true } => format!("{who}'s device locked itself, because nobody used it"),
            Self::Unlocked { who } => format!("{who}'s device was unlocked"),
            Self::BackedUp { who, id, .. } => format!("{who} made the backup {id}"),
            Self::Restored { who, from, groups } => {
                format!("{who} was restored from the backup {from} (groups to rejoin: {groups})")
            }
            Self::Compared { by, who, equal } => {
                let numbers = if *equal { "the same safety number" } else { "different safety numbers" };
                format!("{by} and {who} saw {numbers}")
            }
            Self::Answers { who, of, answer } => {
                let of: Vec<_> = of.iter().map(MemberName::as_str).collect();
                format!("the application of {who} will {answer} new keys of {}", of.join(", "))
            }
            Self::Service { fault, who } if who.is_empty() => format!("the scenario told the service: `{fault}`"),
            Self::Service { fault, who } => {
                let who: Vec<_> = who.iter().map(MemberName::as_str).collect();
                format!("the scenario told the service: `{fault}` ({})", who.join(", "))
            }
            Self::Unanswered { by, group, cause } => format!("{by} got no answer{}: {cause}", of_group(group.as_ref())),
            Self::Found { by, group, detail, .. } => format!("{by} found{}: {detail}", of_group(group.as_ref())),
            Self::LostDevice { by, who } => format!("{by} reported {who} as lost, and the service removed it"),
            Self::Again { who, group } => format!("{who} tries again on the new epoch{}", of_group(group.as_ref())),
            Self::Compromised { who, id, scope: TheftScope::Device, .. } => format!("{who}'s device was stolen: {id}"),
            Self::Compromised { who, id, scope: TheftScope::Disk, .. } => format!("{who}'s storage was stolen: {id}"),
            Self::Compromised { who, id, scope: TheftScope::Backup, .. } => {
                format!("{who}'s backup and its passphrase were stolen: {id}")
            }
            Self::Impersonated { thief, who, act, group, outcome, .. } => {
                format!("the thief of {thief}, as {who}, tried to {act}{}: {outcome}", of_group(group.as_ref()))
            }
            Self::Detected { thief, by, group, how } => {
                format!("{by} noticed the thief of {thief}{}: {how}", of_group(group.as_ref()))
            }
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

/// The group in a sentence, if it has a name.
pub(super) fn of_group(group: Option<&GroupName>) -> String {
    group.map(|group| format!(" in {group}")).unwrap_or_default()
}

/// The SHA-256 of some bytes, in hexadecimal.
pub(super) fn fingerprint(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
