//! The change of epochs: the records that belong to one epoch, and their deletion at its end.

use super::{GroupState, intent::Intent, plan::plan};
use crate::{
    call::EngineCall,
    error::Error,
    names::{self, Timestamp},
    storage::RecordKind,
};

impl GroupState {
    /// Deletes the records of the old epoch. The group is already in the new epoch.
    pub(crate) fn end_epoch(&mut self, call: &EngineCall<'_>, now: Timestamp) -> Result<(), Error> {
        self.note_end(now);
        // The key pairs of update proposals that were not committed. The key pairs of committed
        // ones are now among the epoch's keys.
        call.records.delete_all(&call.records.scope().key(RecordKind::EncryptionKey))?;
        if self.member_state().pending.as_ref().is_some_and(|pending| pending.new_signature_key.is_some()) {
            self.unsaved.sweep_signature_keys = true;
        }
        self.forget_sent(call)?;
        self.note_epoch();
        let membership = self.member_state_mut();
        membership.end_epoch()?;
        membership.intents.retain(|intent| !matches!(intent, Intent::CommitProposals));
        // Another member's commit may have fulfilled some intents. For example, a device that was
        // removed and comes back later must not be removed again.
        let mut intents = std::mem::take(&mut membership.intents);
        let planned = plan(&mut intents, &self.mls);
        self.member_state_mut().intents = intents;
        planned.map(|_| ())
    }

    /// Records the authenticator hash of a new epoch.
    pub(crate) fn note_epoch(&mut self) {
        let epoch = names::epoch(self.mls.epoch());
        let authenticator = self.mls.epoch_authenticator().as_slice().to_vec();
        self.member_state_mut().history.note(epoch, &authenticator);
    }
}
