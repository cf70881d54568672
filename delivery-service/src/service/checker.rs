//! Decodes and verifies client bytes beside the store (`docs/decisions/0070`).

use std::sync::Arc;

use super::{DeliveryService, Rules};
use crate::{
    HandshakeMode,
    error::StoreError,
    handshake::{PresentState, wire::Frame},
    names::{DeviceId, GroupId, Timestamp},
    ordering::{
        Abort, Attempt, Submitted,
        commit::{self, CommitSubmission},
        creation::{self, Creation},
        group,
        key_package::{self, Conditions, UploadOutcome, VerifiedUpload},
        message, present, proposal,
    },
    outcome::{Outcome, RejectReason},
    store::Store,
};

impl<S: Store> DeliveryService<S> {
    /// Returns a checker of client bytes for this service: see [`Checker`].
    pub fn checker(&self) -> Checker {
        Checker { rules: Arc::clone(&self.rules) }
    }

    /// Orders a commit or a proposal that a [`Checker`] has checked, as
    /// [`submit_commit`](Self::submit_commit) and [`submit_proposal`](Self::submit_proposal) do. It
    /// verifies nothing itself: it returns a handshake that has no verdict for the group's present
    /// state, if its sender may submit it in this epoch. The caller gets the verdict from
    /// [`Checker::verify`], and orders the handshake again.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn order_checked(
        &self,
        mut handshake: CheckedHandshake,
        now: Timestamp,
    ) -> Result<Attempt<CheckedHandshake>, StoreError> {
        let group = handshake.group().clone();
        let attempt = self.handshake(&group, now, |tx, public_groups, context| match &mut handshake.0 {
            SubmissionKind::Commit { submission, decoded } => {
                commit::submit(tx, public_groups, context, submission, decoded)
            }
            SubmissionKind::Proposal { bytes, decoded } => {
                proposal::submit(tx, public_groups, context, bytes.submitted(), decoded)
            }
        })?;
        Ok(match attempt {
            Attempt::Settled(outcome) => Attempt::Settled(outcome),
            Attempt::Unverified(()) => Attempt::Unverified(handshake),
        })
    }

    /// Returns the present state of a group, in which a handshake is verified. `None` if the
    /// service sees no state: the group does not exist, or is opaque and its last commit came
    /// without a group info.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn present_group(&self, group: &GroupId) -> Result<Option<PresentGroup>, StoreError> {
        let present = self.store().transaction(|tx| {
            let record = group::load(tx, group)?.ok_or(RejectReason::UnknownGroup)?;
            present::present(tx, &self.rules.public_groups, group, &record)
        });
        match present {
            Ok(present) => Ok(Some(PresentGroup(present))),
            Err(Abort::Answer(_)) => Ok(None),
            Err(Abort::Failed(error)) => Err(error),
        }
    }

    /// Returns the present state of an assisted group, which costs no copy. `None` for every other
    /// group: see [`present_group`](Self::present_group).
    #[cfg(feature = "server")]
    pub(crate) fn public_group(&self, group: &GroupId) -> Result<Option<PresentGroup>, StoreError> {
        let mode =
            self.store().transaction(|tx| Ok::<_, StoreError>(group::load(tx, group)?.map(|record| record.mode)))?;
        if mode == Some(HandshakeMode::Assisted) { self.present_group(group) } else { Ok(None) }
    }

    /// Orders a handshake, and makes each verdict that it needs.
    pub(super) fn check_and_order(
        &self,
        mut handshake: CheckedHandshake,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let checker = self.checker();
        loop {
            handshake = match self.order_checked(handshake, now)? {
                Attempt::Settled(outcome) => return Ok(outcome),
                // For a group that has ended since, there is no verdict to make. The next attempt
                // rejects the handshake.
                Attempt::Unverified(handshake) => match self.present_group(handshake.group())? {
                    Some(present) => checker.verify(handshake, present),
                    None => handshake,
                },
            };
        }
    }

    /// Orders an application message that a checker has decoded, as
    /// [`submit_message`](Self::submit_message) does.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn send_checked(&self, message: CheckedMessage, now: Timestamp) -> Result<Outcome, StoreError> {
        let CheckedMessage { bytes, frame } = message;
        self.ordered(|tx| message::submit(tx, self.call(now), bytes.submitted(), frame))
    }

    /// Creates a group whose group info a checker has verified, as
    /// [`create_group`](Self::create_group) does.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn create_checked(&self, group: CheckedGroup, now: Timestamp) -> Result<Outcome, StoreError> {
        let CheckedGroup { bytes, creation } = group;
        self.handshake(&bytes.group, now, |tx, public_groups, context| {
            creation::create(tx, public_groups, context, bytes.submitted(), creation)
        })
    }

    /// Stores key packages that a checker has verified, as
    /// [`upload_key_packages`](Self::upload_key_packages) does.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn upload_checked(&self, checked: CheckedUpload, now: Timestamp) -> Result<UploadOutcome, StoreError> {
        let CheckedUpload { device, upload } = checked;
        self.store().transaction(|tx| key_package::upload(tx, self.call(now), &device, upload))
    }

    /// Stores key packages that a checker has verified, as
    /// [`replace_key_packages`](Self::replace_key_packages) does.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn replace_checked(&self, checked: CheckedUpload, now: Timestamp) -> Result<UploadOutcome, StoreError> {
        let CheckedUpload { device, upload } = checked;
        self.store().transaction(|tx| {
            key_package::withdraw(tx, &device, &upload)?;
            key_package::upload(tx, self.call(now), &device, upload)
        })
    }
}

/// Decodes and verifies the bytes of clients while the service does other things. Most of the work
/// is for signatures and trees, and needs no store. A checker reads the public groups that the
/// service has in memory.
///
/// ```
/// # use regrow_delivery_service::{
/// #     Attempt, CommitSubmission, DeliveryService, Outcome, SqliteStore, StoreError, Timestamp,
/// # };
/// # fn order(service: &DeliveryService<SqliteStore>, submission: CommitSubmission, now: Timestamp)
/// # -> Result<Outcome, StoreError> {
/// // On another thread, while others use the service:
/// let checker = service.checker();
/// let mut commit = checker.check_commit(submission);
/// loop {
///     // The service takes a verdict, or says that it needs one.
///     commit = match service.order_checked(commit, now)? {
///         Attempt::Settled(outcome) => return Ok(outcome),
///         Attempt::Unverified(commit) => match service.present_group(commit.group())? {
///             Some(present) => checker.verify(commit, present),
///             None => commit,
///         },
///     };
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Checker {
    rules: Arc<Rules>,
}

impl Checker {
    /// Decodes a commit, and verifies it if it is of a member of an assisted group in memory. It
    /// does not fail: the outcome names a fault when the commit is
    /// [ordered](DeliveryService::order_checked).
    pub fn check_commit(&self, submission: CommitSubmission) -> CheckedHandshake {
        let Rules { crypto, limits, public_groups, .. } = &*self.rules;
        let mut decoded = commit::DecodedCommit::of(&submission, limits);
        decoded.verify_of_member(public_groups, crypto, &submission);
        CheckedHandshake(SubmissionKind::Commit { submission, decoded: Box::new(decoded) })
    }

    /// Decodes a proposal, and verifies it like [`check_commit`](Self::check_commit).
    pub fn check_proposal(&self, group: GroupId, sender: DeviceId, proposal: Vec<u8>) -> CheckedHandshake {
        let Rules { crypto, limits, public_groups, .. } = &*self.rules;
        let bytes = ClientBytes { group, sender, bytes: proposal };
        let decoded = proposal::check(public_groups, crypto, limits, bytes.submitted());
        CheckedHandshake(SubmissionKind::Proposal { bytes, decoded })
    }

    /// Verifies a handshake in the present state of its group.
    /// [`order_checked`](DeliveryService::order_checked) reports a fault.
    pub fn verify(&self, handshake: CheckedHandshake, present: PresentGroup) -> CheckedHandshake {
        let Rules { crypto, limits, .. } = &*self.rules;
        let (CheckedHandshake(mut kind), PresentGroup(present)) = (handshake, present);
        match &mut kind {
            SubmissionKind::Commit { submission, decoded } => decoded.verify_in(present, crypto, limits, submission),
            SubmissionKind::Proposal { bytes, decoded } => {
                proposal::verify_in(decoded, present, crypto, limits, bytes.submitted());
            }
        }
        CheckedHandshake(kind)
    }

    /// Decodes an application message.
    pub fn check_message(&self, group: GroupId, sender: DeviceId, message: Vec<u8>) -> CheckedMessage {
        let frame = Frame::read(&message, &self.rules.limits);
        CheckedMessage { bytes: ClientBytes { group, sender, bytes: message }, frame }
    }

    /// Verifies the group info of a new group.
    pub fn check_group(
        &self,
        group: GroupId,
        creator: DeviceId,
        mode: HandshakeMode,
        group_info: Vec<u8>,
    ) -> CheckedGroup {
        let Rules { crypto, limits, .. } = &*self.rules;
        let bytes = ClientBytes { group, sender: creator, bytes: group_info };
        let creation = Creation::verify(crypto, limits, bytes.submitted(), mode);
        CheckedGroup { bytes, creation }
    }

    /// Verifies key packages of `device`. The answer to the upload names the invalid ones.
    pub fn check_upload(
        &self,
        device: &DeviceId,
        key_packages: Vec<Vec<u8>>,
        last_resort: Option<Vec<u8>>,
        now: Timestamp,
    ) -> CheckedUpload {
        let Rules { crypto, limits, .. } = &*self.rules;
        let upload = key_package::verify_all(Conditions { crypto, limits, now }, device, key_packages, last_resort);
        CheckedUpload { device: device.clone(), upload }
    }
}

/// Key packages of one device that a [`Checker`] has verified, and the faults of the others.
pub struct CheckedUpload {
    device: DeviceId,
    upload: VerifiedUpload,
}

/// Bytes of a client, with their group and their sender.
struct ClientBytes {
    group: GroupId,
    sender: DeviceId,
    bytes: Vec<u8>,
}

impl ClientBytes {
    fn submitted(&self) -> Submitted<'_> {
        Submitted { group: &self.group, sender: &self.sender, bytes: &self.bytes }
    }
}

/// A commit or a proposal that a [`Checker`] has decoded.
pub struct CheckedHandshake(SubmissionKind);

enum SubmissionKind {
    Commit { submission: CommitSubmission, decoded: Box<commit::DecodedCommit> },
    Proposal { bytes: ClientBytes, decoded: proposal::DecodedProposal },
}

impl CheckedHandshake {
    /// Returns the group.
    pub fn group(&self) -> &GroupId {
        match &self.0 {
            SubmissionKind::Commit { submission, .. } => &submission.group,
            SubmissionKind::Proposal { bytes, .. } => &bytes.group,
        }
    }

    /// Returns true if the handshake has a good verdict, for the group as it was then.
    pub fn has_good_verdict(&self) -> bool {
        match &self.0 {
            SubmissionKind::Commit { submission, decoded } => decoded.has_good_verdict(submission),
            SubmissionKind::Proposal { decoded, .. } => {
                decoded.as_ref().is_ok_and(|handshake| handshake.good_verdict().is_some())
            }
        }
    }
}

/// The present state of a group, in which a [`Checker`] verifies a handshake.
pub struct PresentGroup(PresentState);

/// An application message that a [`Checker`] has decoded.
pub struct CheckedMessage {
    bytes: ClientBytes,
    frame: Result<Frame, RejectReason>,
}

/// A new group whose group info a [`Checker`] has verified.
pub struct CheckedGroup {
    bytes: ClientBytes,
    creation: Creation,
}
