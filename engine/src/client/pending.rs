//! The commits of a device that wait for the delivery service's answer.

use super::Client;
use crate::{
    EpochChange, PendingCommit,
    error::Error,
    group::{external, record::member_states},
    key_erasure,
    names::Timestamp,
    storage::RecordScope,
};

impl Client {
    /// Returns the commits in all groups that wait for the delivery service's answer. After a
    /// restart, submit them again.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn pending(&self) -> Result<Vec<PendingCommit>, Error> {
        Ok(member_states(&self.records()?)?.into_iter().filter_map(|(_, membership)| membership.pending).collect())
    }

    /// Confirms a commit that the delivery service has accepted. The group enters the commit's
    /// epoch.
    ///
    /// # Errors
    /// [`Error::NotPending`] if the commit was confirmed or discarded before, or another commit
    /// has won.
    pub fn confirm(&mut self, pending: PendingCommit, now: Timestamp) -> Result<EpochChange, Error> {
        self.used(now)?;
        let id = pending.group.clone();
        if pending.external {
            let call = self.call(RecordScope::Joining(id.clone()))?;
            Self::refuse_unless_pending(&external::pending(&call, &id)?, &pending)?;
            drop(call);
            return self.confirm_external(&pending, now);
        }
        let (device, policy) = (self.device.clone(), self.policy.clone());
        self.with_group(&id, |call, group| {
            if group.member_state().pending.as_ref() != Some(&pending) {
                return Err(Error::NotPending);
            }
            let change = group.confirm_pending(call, &device, now)?;
            group.member_state_mut().note_confirmed(&pending);
            group.expire_epochs(call, &policy, now)?;
            Ok(change)
        })
    }

    /// Discards a commit that the delivery service has not accepted and will not accept. The
    /// commit's keys are erased, but its intents remain. Catch up with the group, and then call
    /// [`Group::resume`](crate::Group::resume). (To repeat an external commit, create a new one
    /// from a current group info.)
    ///
    /// # Errors
    /// [`Error::NotPending`] if the commit was confirmed or discarded before, or another commit
    /// has won.
    pub fn discard(&mut self, pending: PendingCommit) -> Result<(), Error> {
        let id = pending.group.clone();
        if pending.external {
            let call = self.call(RecordScope::Joining(id.clone()))?;
            Self::refuse_unless_pending(&external::pending(&call, &id)?, &pending)?;
            call.records.delete_all(&RecordScope::Joining(id).prefix())?;
            key_erasure::sweep_signature_keys(&call.records)?;
            return self.apply(call);
        }
        self.with_group(&id, |call, group| {
            if group.member_state().pending.as_ref() != Some(&pending) {
                return Err(Error::NotPending);
            }
            group.discard_pending(call)
        })
    }

    fn confirm_external(&mut self, pending: &PendingCommit, now: Timestamp) -> Result<EpochChange, Error> {
        let id = pending.group();
        let call = self.call(RecordScope::Joining(id.clone()))?;
        let (mut group, change) = self.whole(&call, |call| external::confirm(call, id, &self.device, now))?;
        group.member_state_mut().note_confirmed(pending);
        group.finish(&call)?;
        self.apply(call)?;
        self.groups.insert(id.clone(), group);
        Ok(change)
    }

    fn refuse_unless_pending(stored: &Option<PendingCommit>, given: &PendingCommit) -> Result<(), Error> {
        if stored.as_ref() == Some(given) { Ok(()) } else { Err(Error::NotPending) }
    }
}
