//! The message secrets of past epochs (RFC 9420, 9). They are kept for late messages, and erased
//! when they are too old.
//!
//! OpenMLS limits the number of past epochs, and would measure their age by the system's clock.
//! The engine has no clock, so it records the end time of each epoch from the times that the
//! caller passes.

use std::time::SystemTime;

use openmls::group::{PastEpochDeletion, PastEpochDeletionPolicy};

use super::{GroupState, record::MemberState};
use crate::{Policy, call::EngineCall, error::Error, names::Timestamp};

impl MemberState {
    /// Returns how many of the kept past epochs are too old: the oldest ones. An epoch before one
    /// that is too old is also too old, whatever time was recorded for it.
    pub(crate) fn old_epochs(&self, policy: &Policy, now: Timestamp) -> usize {
        let Some(limit) = policy.past_epoch_age else { return 0 };
        let is_old = |ended: &Timestamp| now.0.saturating_sub(ended.0) >= limit.get();
        self.ended.iter().rposition(is_old).map_or(0, |last| last + 1)
    }

    /// True if a recorded end time is after `now`. Then the clock was ahead.
    pub(crate) fn has_future_epochs(&self, now: Timestamp) -> bool {
        self.ended.iter().any(|ended| *ended > now)
    }
}

impl GroupState {
    /// Records the end of an epoch. Its message secrets are kept if the policy asks for that.
    pub(crate) fn note_end(&mut self, now: Timestamp) {
        let most = match self.mls.past_epoch_deletion_policy() {
            PastEpochDeletionPolicy::MaxEpochs(most) => *most,
            PastEpochDeletionPolicy::KeepAll => usize::MAX,
        };
        let ended = &mut self.member_state_mut().ended;
        ended.push(now);
        ended.drain(..ended.len().saturating_sub(most));
    }

    /// Erases the message secrets of past epochs that are too old, and returns the number of these
    /// epochs.
    pub(crate) fn expire_epochs(
        &mut self,
        call: &EngineCall<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<usize, Error> {
        if self.member_state().has_future_epochs(now) {
            // The clock was ahead. These epochs now count as ended at `now`. Otherwise they would
            // be kept until the clock reaches the recorded times.
            self.member_state_mut().ended.iter_mut().for_each(|ended| *ended = (*ended).min(now));
        }
        let old = self.member_state().old_epochs(policy, now);
        if old == 0 {
            return Ok(0);
        }
        let ended = &mut self.member_state_mut().ended;
        ended.drain(..old);
        let deletion = match ended.len() {
            0 => PastEpochDeletion::delete_all(),
            // No epoch is older than that time, so only the maximum number has an effect.
            kept => PastEpochDeletion::before_timestamp(SystemTime::UNIX_EPOCH).max_past_epochs(kept),
        };
        self.mls
            .delete_past_epoch_secrets(call, deletion)
            .map_err(|e| Error::Internal { action: "erase past epochs", detail: e.to_string() })?;
        Ok(old)
    }
}
