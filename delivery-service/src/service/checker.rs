//! Commits that are checked beside the store (`docs/decisions/0038`).

use std::sync::Arc;

use super::{DeliveryService, Rules};
use crate::{
    error::StoreError,
    names::Timestamp,
    ordering::commit::{self, CommitSubmission, FoundRight},
    outcome::Outcome,
    store::Store,
};

impl<S: Store> DeliveryService<S> {
    /// Checks commits for this service, beside it: see [`CommitChecker`].
    pub fn commit_checker(&self) -> CommitChecker {
        CommitChecker { rules: Arc::clone(&self.rules) }
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
}

/// Checks commits while the service does other things: signatures and trees are most of the work of ordering one, and take no
/// store. It knows the groups that the service has in memory.
///
/// ```
/// # use regrow_delivery_service::{CommitSubmission, DeliveryService, Limits, ServiceKey, SqliteStore, Timestamp};
/// # fn order(service: &DeliveryService<SqliteStore>, submission: CommitSubmission, now: Timestamp)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let checker = service.commit_checker();
/// let commit = std::thread::spawn(move || checker.check(submission)).join().unwrap();
/// let outcome = service.submit_checked(commit, now)?;
/// # let _ = outcome;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CommitChecker {
    rules: Arc<Rules>,
}

impl CommitChecker {
    /// Checks a commit as far as it can be done now. It does not fail: what cannot be checked, or is wrong, is looked at when the
    /// commit is [submitted](DeliveryService::submit_checked), which has the answer.
    pub fn check(&self, submission: CommitSubmission) -> CheckedCommit {
        let Rules { crypto, limits, followed, .. } = &*self.rules;
        let found = commit::check_beside(followed, crypto, limits, &submission);
        CheckedCommit { submission, found }
    }
}

/// A commit that a [`CommitChecker`] has looked at.
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
