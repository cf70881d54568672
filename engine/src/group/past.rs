//! Past epochs' message secrets (RFC 9420, 9), which are kept for messages that come late, and erased when they are old.
//!
//! OpenMLS keeps so many of them, and would tell their age by the system's clock. The engine has none: it remembers when
//! each epoch ended, by the times that it was told.

use std::time::SystemTime;

use openmls::group::{PastEpochDeletion, PastEpochDeletionPolicy};

use super::{GroupState, record::Membership};
use crate::{Policy, error::Error, names::Timestamp, provider::Call};

impl Membership {
    /// How many of the past epochs that are kept ended too long ago: the oldest ones. An epoch that ended before one that
    /// is too old is so as well, whatever the clock said.
    pub(crate) fn old_epochs(&self, policy: &Policy, now: Timestamp) -> usize {
        let Some(limit) = policy.past_epoch_age else { return 0 };
        let is_old = |ended: &Timestamp| now.0.saturating_sub(ended.0) >= limit.get();
        self.ended.iter().rposition(is_old).map_or(0, |last| last + 1)
    }

    /// Whether an epoch ended after `now`: the clock was ahead.
    pub(crate) fn has_future_epochs(&self, now: Timestamp) -> bool {
        self.ended.iter().any(|ended| *ended > now)
    }
}

impl GroupState {
    /// An epoch has ended, and its message secrets are kept if this device wants any.
    pub(crate) fn note_end(&mut self, now: Timestamp) {
        let most = match self.mls.past_epoch_deletion_policy() {
            PastEpochDeletionPolicy::MaxEpochs(most) => *most,
            PastEpochDeletionPolicy::KeepAll => usize::MAX,
        };
        let ended = &mut self.membership_mut().ended;
        ended.push(now);
        ended.drain(..ended.len().saturating_sub(most));
    }

    /// Erases the message secrets of past epochs that ended too long ago; of how many.
    pub(crate) fn expire_epochs(&mut self, call: &Call<'_>, policy: &Policy, now: Timestamp) -> Result<usize, Error> {
        if self.membership().has_future_epochs(now) {
            // The clock was ahead: the epochs are as if they had ended now, and not kept until it is as late again.
            self.membership_mut().ended.iter_mut().for_each(|ended| *ended = (*ended).min(now));
        }
        let old = self.membership().old_epochs(policy, now);
        if old == 0 {
            return Ok(0);
        }
        let ended = &mut self.membership_mut().ended;
        ended.drain(..old);
        let deletion = match ended.len() {
            0 => PastEpochDeletion::delete_all(),
            // Nothing is older than that: only the number counts.
            kept => PastEpochDeletion::before_timestamp(SystemTime::UNIX_EPOCH).max_past_epochs(kept),
        };
        self.mls
            .delete_past_epoch_secrets(call, deletion)
            .map_err(|e| Error::Internal { action: "erase past epochs", detail: e.to_string() })?;
        Ok(old)
    }
}
