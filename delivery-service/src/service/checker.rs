//! Client bytes that are decoded and checked beside the store (`docs/decisions/0038`).

use std::sync::Arc;

use super::{DeliveryService, Rules};
use crate::{
    error::StoreError,
    handshake::wire::Frame,
    names::{DeviceId, GroupId, Timestamp},
    ordering::{
        Submitted,
        commit::{self, CommitSubmission},
        group::{self, Creation, HandshakeMode},
        key_package::{self, Conditions, Upload, VerifiedUpload},
        message, proposal,
    },
    outcome::{Outcome, RejectReason},
    store::Store,
};

impl<S: Store> DeliveryService<S> {
    /// Checks the bytes of clients for this service, beside it: see [`Checker`].
    pub fn checker(&self) -> Checker {
        Checker { rules: Arc::clone(&self.rules) }
    }

    /// Orders a commit that may have been checked before, as [`submit_commit`](Self::submit_commit) does: what was found
    /// counts if the group is as it was then, and otherwise it is checked now.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn submit_checked(&self, commit: CheckedCommit, now: Timestamp) -> Result<Outcome, StoreError> {
        let CheckedCommit { submission, decoded } = commit;
        self.handshake(&submission.group, now, |tx, followed, call| {
            commit::submit(tx, followed, call, &submission, decoded)
        })
    }

    /// Orders a proposal that may have been checked before, as [`submit_proposal`](Self::submit_proposal) does.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn propose_checked(&self, proposal: CheckedProposal, now: Timestamp) -> Result<Outcome, StoreError> {
        let CheckedProposal { own, decoded } = proposal;
        self.handshake(&own.group, now, |tx, followed, call| {
            proposal::submit(tx, followed, call, own.submitted(), decoded)
        })
    }

    /// Orders an application message that was decoded before, as [`submit_message`](Self::submit_message) does.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn send_checked(&self, message: CheckedMessage, now: Timestamp) -> Result<Outcome, StoreError> {
        let CheckedMessage { own, frame } = message;
        self.ordered(|tx| message::submit(tx, self.call(now), own.submitted(), frame))
    }

    /// Creates a group whose group info was verified before, as [`create_group`](Self::create_group) does.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn create_checked(&self, group: CheckedGroup, now: Timestamp) -> Result<Outcome, StoreError> {
        let CheckedGroup { own, creation } = group;
        self.handshake(&own.group, now, |tx, followed, call| {
            group::create(tx, followed, call, own.submitted(), creation)
        })
    }

    /// Stores key packages that were checked before, as [`upload_key_packages`](Self::upload_key_packages) does.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn upload_checked(&self, checked: CheckedUpload, now: Timestamp) -> Result<Upload, StoreError> {
        let CheckedUpload { device, upload } = checked;
        self.store().transaction(|tx| key_package::upload(tx, self.call(now), &device, upload))
    }

    /// Stores key packages that were checked before, as [`replace_key_packages`](Self::replace_key_packages) does.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn replace_checked(&self, checked: CheckedUpload, now: Timestamp) -> Result<Upload, StoreError> {
        let CheckedUpload { device, upload } = checked;
        self.store().transaction(|tx| {
            key_package::withdraw(tx, &device, &upload)?;
            key_package::upload(tx, self.call(now), &device, upload)
        })
    }
}

/// Decodes and checks the bytes of clients while the service does other things. Signatures and trees are most of the work
/// for them, and take no store. It knows the groups that the service has in memory.
///
/// ```
/// # use regrow_delivery_service::{CommitSubmission, DeliveryService, Limits, ServiceKey, SqliteStore, Timestamp};
/// # fn order(service: &DeliveryService<SqliteStore>, submission: CommitSubmission, now: Timestamp)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let checker = service.checker();
/// let commit = std::thread::spawn(move || checker.check_commit(submission)).join().unwrap();
/// let outcome = service.submit_checked(commit, now)?;
/// # let _ = outcome;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Checker {
    rules: Arc<Rules>,
}

impl Checker {
    /// Checks a commit as far as it can be done now. It does not fail: what cannot be checked, or is wrong, is looked at when the
    /// commit is [submitted](DeliveryService::submit_checked), which has the answer.
    pub fn check_commit(&self, submission: CommitSubmission) -> CheckedCommit {
        let Rules { crypto, limits, followed, .. } = &*self.rules;
        let mut decoded = commit::Decoded::of(&submission, limits);
        decoded.verify(followed, crypto, &submission);
        CheckedCommit { submission, decoded }
    }

    /// Checks a proposal likewise.
    pub fn check_proposal(&self, group: GroupId, sender: DeviceId, proposal: Vec<u8>) -> CheckedProposal {
        let Rules { crypto, limits, followed, .. } = &*self.rules;
        let own = Own { group, sender, bytes: proposal };
        let decoded = proposal::check_beside(followed, crypto, limits, own.submitted());
        CheckedProposal { own, decoded }
    }

    /// Decodes an application message.
    pub fn check_message(&self, group: GroupId, sender: DeviceId, message: Vec<u8>) -> CheckedMessage {
        let frame = Frame::read(&message, &self.rules.limits);
        CheckedMessage { own: Own { group, sender, bytes: message }, frame }
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
        let own = Own { group, sender: creator, bytes: group_info };
        let creation = Creation::verify(crypto, limits, own.submitted(), mode);
        CheckedGroup { own, creation }
    }

    /// Checks key packages of `device`. Those that are wrong are named in the answer to the upload.
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

/// Bytes of a client, and where they belong.
struct Own {
    group: GroupId,
    sender: DeviceId,
    bytes: Vec<u8>,
}

impl Own {
    fn submitted(&self) -> Submitted<'_> {
        Submitted { group: &self.group, sender: &self.sender, bytes: &self.bytes }
    }
}

/// A proposal that a [`Checker`] has looked at.
pub struct CheckedProposal {
    own: Own,
    decoded: proposal::Decoded,
}

impl CheckedProposal {
    /// Whether it is right, for the group as it was.
    pub fn is_right(&self) -> bool {
        self.decoded.as_ref().is_ok_and(|handshake| handshake.found_right().is_some())
    }
}

/// An application message that a [`Checker`] has decoded.
pub struct CheckedMessage {
    own: Own,
    frame: Result<Frame, RejectReason>,
}

/// A new group whose group info a [`Checker`] has verified.
pub struct CheckedGroup {
    own: Own,
    creation: Creation,
}

/// A commit that a [`Checker`] has looked at.
pub struct CheckedCommit {
    submission: CommitSubmission,
    decoded: commit::Decoded,
}

impl CheckedCommit {
    /// The commit.
    pub fn submission(&self) -> &CommitSubmission {
        &self.submission
    }

    /// Whether all of it is right, for the group as it was.
    pub fn is_right(&self) -> bool {
        self.decoded.is_right(&self.submission)
    }
}
