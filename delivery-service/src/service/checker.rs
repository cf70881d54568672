//! Commits and key packages that are checked beside the store (`docs/decisions/0038`).

use std::sync::Arc;

use super::{DeliveryService, Rules};
use crate::{
    error::StoreError,
    names::{DeviceId, Timestamp},
    ordering::{
        commit::{self, CommitSubmission, FoundRight},
        key_package::{self, Conditions, Upload, VerifiedUpload},
    },
    outcome::Outcome,
    store::Store,
};

impl<S: Store> DeliveryService<S> {
    /// Checks commits and key packages for this service, beside it: see [`Checker`].
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
        let CheckedCommit { submission, found } = commit;
        self.handshake(&submission.group, now, |tx, followed, call| {
            commit::submit(tx, followed, call, &submission, found)
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

/// Checks commits and key packages while the service does other things. Signatures and trees are most of the work for them,
/// and take no store. It knows the groups that the service has in memory.
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
        let found = commit::check_beside(followed, crypto, limits, &submission);
        CheckedCommit { submission, found }
    }
}

impl Checker {
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

/// A commit that a [`Checker`] has looked at.
pub struct CheckedCommit {
    submission: CommitSubmission,
    found: Option<FoundRight>,
}

impl CheckedCommit {
    /// The commit.
    pub fn submission(&self) -> &CommitSubmission {
        &self.submission
    }

    /// Whether all of it is right, for the group as it was.
    pub fn is_right(&self) -> bool {
        self.found.is_some()
    }
}
