//! Rollbacks: the service takes back a commit and the proposals after it. Messages stay in the log.

use regrow_engine::{Error as EngineError, GroupId};

use super::state::Machine;
use crate::{
    Delivery,
    error::Error,
    messenger::event::{Event, Rejoin},
    names::Sequence,
};

impl Machine {
    /// Takes in a rollback. `voided` is the first void entry.
    pub(super) fn rollback_read(&mut self, delivery: &Delivery, voided: Sequence) -> Result<(), Error> {
        let id = delivery.group.clone();
        let (restored, own) = (delivery.receipt.epoch.0, self.epoch_of(&id)?);
        let was_removed = matches!(self.client.group(&id), Err(EngineError::Removed { .. }));
        if own.is_none() && !was_removed && !self.groups.contains_key(&id) {
            return Ok(());
        }
        self.audit(&id, delivery);
        if let Some(pending) = self.external_commit(&id)? {
            self.client.discard(pending)?;
        }
        self.busy.insert(id.clone());
        let group = self.group(&id);
        group.rolled_back();
        (group.service_epoch, group.resume_due) = (None, true);
        if Sequence(group.facts().joined) >= voided {
            return self.addition_rolled_back(id, voided);
        }
        group.facts_mut().delivered.void_after(restored);
        self.send_again(&id, restored, voided..delivery.receipt.sequence)?;
        let followed = own.is_none_or(|own| own > restored);
        self.events.push_back(Event::RolledBack { group: id.clone(), commit: voided, followed });
        if followed {
            self.rejoin(&id, Rejoin::RolledBack);
        }
        Ok(())
    }

    /// The void commit had added this device, which is no longer in the group.
    fn addition_rolled_back(&mut self, id: GroupId, voided: Sequence) -> Result<(), Error> {
        self.client.forget(&id)?;
        self.drop_group(&id)?;
        self.events.push_back(Event::RolledBack { group: id.clone(), commit: voided, followed: true });
        self.events.push_back(Event::Removed { group: id, by: None });
        Ok(())
    }
}
