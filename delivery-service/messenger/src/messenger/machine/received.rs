//! The engine's results for the application: messages, proposals and new epochs.

use std::collections::BTreeSet;

use regrow_engine::{
    ApplicationMessage, DeviceId, EpochChange, GroupId, Lost, MessageId, Proposed, Received, ReceivedEvent, UserId,
};

use super::state::Machine;
use crate::{
    envelope,
    error::Error,
    messenger::event::{Event, Rejoin, Text},
};

impl Machine {
    /// Reports a result of the engine, of this process or of an earlier one.
    pub(super) fn report_received(&mut self, received: Received) -> Result<(), Error> {
        let Received { group: id, id: message, event } = received;
        match event {
            ReceivedEvent::Message(text) => self.message_received(id, message, text),
            ReceivedEvent::Proposal { by, change } => self.proposal_received(id, by, change),
            ReceivedEvent::Commit(change) => self.commit_received(id, change)?,
            ReceivedEvent::Removed { by, .. } => {
                self.drop_group(&id)?;
                self.events.push_back(Event::Removed { group: id, by: Some(by) });
            }
            ReceivedEvent::Lost(Lost::Restored) => self.rejoin(&id, Rejoin::Restored),
            ReceivedEvent::Lost(Lost::Clock { .. } | Lost::Fork { .. }) => self.rejoin(&id, Rejoin::Missed),
            // The device meets these again with their entry: the cursor stands before it.
            ReceivedEvent::Lost(Lost::Commit { .. } | Lost::Unsupported(_))
            | ReceivedEvent::Own
            | ReceivedEvent::Ignored(_) => {}
        }
        Ok(())
    }

    fn message_received(&mut self, id: GroupId, message: MessageId, text: ApplicationMessage) {
        let Some(opened) = envelope::open(&id, &text.text) else {
            let reason = "it is not in the envelope that this program knows".to_owned();
            self.events.push_back(Event::Unreadable { group: id, sender: text.sender, reason });
            return;
        };
        // A receipt without the service's signature is a member's invention, and no evidence.
        if let Some(receipt) = opened.receipt.filter(|receipt| receipt.verify(&self.service).is_ok()) {
            self.compare_receipt(&id, &receipt);
        }
        let (sender, epoch, text) = (text.sender, text.epoch, Text(opened.text));
        if self.group(&id).facts_mut().delivered.admits(&sender, opened.id, message, epoch.0) {
            self.events.push_back(Event::Message { group: id, id: message, sender, epoch, text });
        }
    }

    fn proposal_received(&mut self, id: GroupId, by: DeviceId, change: Proposed) {
        let now = self.monotonic();
        let group = self.group(&id);
        group.first_proposal_at.get_or_insert(now);
        if let Proposed::Remove(device) = &change {
            group.proposed_removals.insert(device.clone());
            if *device == by {
                group.leavers.insert(by.clone());
            }
        }
        self.events.push_back(Event::Proposed { group: id, by, change });
    }

    /// A commit has begun a new epoch.
    fn commit_received(&mut self, id: GroupId, change: EpochChange) -> Result<(), Error> {
        let own = self.device().clone();
        let group = self.group(&id);
        (group.service_epoch, group.first_proposal_at) = (None, None);
        group.facts_mut().has_gap = false;
        group.facts_mut().delivered.enter(change.epoch.0);
        group.proposed_removals.clear();
        let leavers = std::mem::take(&mut group.leavers);
        group.roster_unchecked = true;
        group.resume_due |= change.resume;
        self.forget_sent(&id, change.epoch.0)?;
        if change.by == own && change.added().any(|device| *device == own) {
            self.group(&id).arrived();
            self.events.push_back(Event::Rejoined { group: id.clone() });
        }
        if change.by == own {
            self.look_at_signature_key()?;
        } else {
            change.added().filter(|device| **device != own).for_each(|device| self.look_at_added(&id, device));
        }
        self.remember_removed(&id, &change, &leavers)?;
        self.events.push_back(Event::Changed { group: id, change });
        Ok(())
    }

    /// Remembers the devices that the group has removed while their users stayed: an intent to add
    /// the user does not add them again.
    fn remember_removed(
        &mut self,
        id: &GroupId,
        change: &EpochChange,
        leavers: &BTreeSet<DeviceId>,
    ) -> Result<(), Error> {
        let users: BTreeSet<UserId> = match self.client.group(id) {
            Ok(mut group) => group.roster()?.into_iter().map(|member| member.device.user().clone()).collect(),
            Err(_) => return Ok(()),
        };
        let banned = &mut self.group(id).facts_mut().banned;
        let is_removal = |device: &&DeviceId| users.contains(device.user()) && !leavers.contains(*device);
        banned.extend(change.removed().filter(is_removal).cloned());
        change.added().for_each(|device| _ = banned.remove(device));
        Ok(())
    }
}
