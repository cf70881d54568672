//! The way into a group by a welcome.

use regrow_engine::{Error as EngineError, JoinMessage};

use super::state::Machine;
use crate::{
    Delivery,
    error::{Error, is_of_device},
    messenger::{
        event::{Event, Rejoin},
        group::InvitationState,
        records::InvitationAnswer,
    },
    names::Epoch,
};

impl Machine {
    /// Joins a group by a welcome. Returns the epoch of the ratchet tree that the join needs, if
    /// the machine has to fetch it from the service first.
    pub(super) fn welcome_read(&mut self, delivery: &Delivery) -> Result<Option<Epoch>, Error> {
        let id = delivery.group.clone();
        let now = self.now();
        let tree = self.welcome_tree.take().filter(|tree| tree.group == id);
        let welcome = match tree.as_ref().and_then(|tree| tree.bytes.as_deref()) {
            Some(tree) => JoinMessage::with_tree(&delivery.bytes, tree),
            None => JoinMessage::from(&delivery.bytes),
        };
        let result = match self.client.join(welcome, now) {
            // Either an earlier process has joined by this welcome and died before it stored that,
            // or the device was removed and has missed the removal.
            Err(EngineError::GroupExists { .. }) if self.epoch_of(&id)? != Some(delivery.receipt.epoch.0) => {
                self.client.forget(&id)?;
                self.client.join(welcome, now)
            }
            other => other,
        };
        let joined = match result {
            Ok(joined) => joined == id,
            Err(error) if is_of_device(&error) => return Err(error.into()),
            Err(EngineError::NeedsRatchetTree { epoch, .. }) if tree.is_none() => return Ok(Some(epoch)),
            Err(_) => self.epoch_of(&id)? == Some(delivery.receipt.epoch.0),
        };
        self.added(delivery, joined);
        Ok(None)
    }

    /// A member has added this device. `joined` is false if the welcome does not open.
    fn added(&mut self, delivery: &Delivery, joined: bool) {
        let id = delivery.group.clone();
        self.audit(&id, delivery);
        self.busy.insert(id.clone());
        self.key_packages.look_again();
        let by = delivery.sender.clone();
        let is_invited = joined && by.user() != self.device().user();
        let asks = is_invited && !(self.options.may_add)(&by, &id);
        let group = self.group(&id);
        group.facts_mut().joined = delivery.receipt.sequence.0;
        group.facts_mut().invitation = match (is_invited, asks) {
            (_, true) => InvitationState::Open { by: by.clone() },
            (true, false) => InvitationState::Answered(InvitationAnswer::Accept),
            (false, false) => InvitationState::None,
        };
        (group.resume_due, group.roster_unchecked) = (true, true);
        if joined {
            group.arrived();
            self.lists.look_again();
            let group = id;
            self.events.push_back(if asks { Event::Invited { group, by } } else { Event::Joined { group, by } });
        } else {
            // The roster and the tree have this device: it comes in by external commit.
            group.entry_read();
            self.rejoin(&id, Rejoin::Welcome);
        }
    }
}
