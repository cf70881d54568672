//! The outbox: texts and proposals that wait to be sent, and texts that may have to be sent again.

use std::ops::Range;

use regrow_engine::{Error as EngineError, GroupId, ProposalMessage};

use super::state::Machine;
use crate::{
    Delivery,
    api::Accepted,
    envelope,
    error::{ConnectionError, Error},
    messenger::{
        app_data::{self, Changes},
        event::{Event, Text},
        problem::{decided, is_other_epoch, is_outside},
        records::{EncodedMessage, OutboxItem, OutboxText},
        request::GroupRequest,
    },
    names::Sequence,
};

/// Moves the text of that outbox item to the sent texts: the service has ordered it. The store
/// keeps it for as long as the service can take its epoch back.
fn ordered(id: &GroupId, name: &str, text: OutboxText, epoch: u64, sequence: Sequence) -> Result<Changes, Error> {
    let sealed = EncodedMessage { epoch, bytes: Vec::new().into() };
    let item = OutboxItem { text: Some(text), sealed: Some(sealed), ordered: Some(sequence) };
    Changes::default().outbox_item(name, None)?.outbox_item(&app_data::sent_at(id, sequence), Some(&item))
}

impl Machine {
    /// Returns the next submission from the outbox, encrypted in the present epoch.
    pub(super) fn next_from_outbox(&mut self, id: &GroupId, epoch: u64) -> Result<Option<GroupRequest>, Error> {
        let suspended = self.is_suspended(id);
        for name in app_data::waiting(&self.client, id)? {
            let Some(item) = app_data::outbox_item(&self.client, &name)? else { continue };
            let present = item.sealed.filter(|sealed| sealed.epoch == epoch);
            match (item.text, present) {
                (None, Some(sealed)) => return Ok(Some(GroupRequest::Proposal(name, sealed))),
                // The proposal has ended with its epoch. If it is still wanted, the engine makes
                // another.
                (None, None) => {
                    Changes::default().outbox_item(&name, None)?.write(&mut self.client)?;
                    self.group(id).resume_due = true;
                }
                (Some(_), _) if suspended => {}
                (Some(_), Some(sealed)) => return Ok(Some(GroupRequest::Message(name, sealed))),
                (Some(text), None) => return self.encrypt(id, epoch, name, text),
            }
        }
        Ok(None)
    }

    fn encrypt(
        &mut self,
        id: &GroupId,
        epoch: u64,
        name: String,
        text: OutboxText,
    ) -> Result<Option<GroupRequest>, Error> {
        let envelope = envelope::seal(text.nonce, self.receipt(id).as_ref(), &text.bytes);
        let bytes = match self.client.group(id)?.send(&envelope) {
            Ok(bytes) => bytes,
            // RFC 9420, 12.4: a member that a proposal removes must not read on. A commit comes
            // first.
            Err(EngineError::ProposalsWait) => {
                let now = self.monotonic();
                self.group(id).first_proposal_at.get_or_insert(now);
                return Ok(None);
            }
            Err(error @ EngineError::Restored { .. }) => return self.refuse(id, None, error).map(|()| None),
            Err(error) => return Err(error.into()),
        };
        let sealed = EncodedMessage { epoch, bytes: bytes.into() };
        let item = OutboxItem { text: Some(text), sealed: Some(sealed.clone()), ordered: None };
        Changes::default().outbox_item(&name, Some(&item))?.write(&mut self.client)?;
        Ok(Some(GroupRequest::Message(name, sealed)))
    }

    /// Puts a proposal of the engine into the outbox.
    pub(super) fn add_to_outbox(&mut self, id: &GroupId, proposal: &ProposalMessage) -> Result<(), Error> {
        self.with_proposal(id, proposal)?.write(&mut self.client)
    }

    /// The changes that put a proposal into the outbox.
    pub(super) fn with_proposal(&self, id: &GroupId, proposal: &ProposalMessage) -> Result<Changes, Error> {
        let sealed = EncodedMessage { epoch: proposal.epoch().0, bytes: proposal.as_bytes().to_vec().into() };
        let item = OutboxItem { text: None, sealed: Some(sealed), ordered: None };
        Changes::default().outbox_item(&app_data::next_waiting(&self.client, id)?, Some(&item))
    }

    /// Takes in the outcome of a proposal.
    pub(super) fn proposal_submitted(
        &mut self,
        id: &GroupId,
        name: &str,
        response: Result<Accepted, ConnectionError>,
    ) -> Result<(), Error> {
        match decided(response)? {
            Ok(accepted) => {
                self.accept_receipt(id, &accepted.receipt)?;
            }
            Err(problem) if is_other_epoch(&problem) => {
                self.service_is_in_other_epoch(id, &problem);
                self.group(id).resume_due = true;
            }
            Err(problem) => {
                let reason = problem.to_string();
                self.events.push_back(Event::Refused { group: id.clone(), intent: None, reason });
            }
        }
        self.save(&[id], Changes::default().outbox_item(name, None)?)
    }

    /// Takes in the outcome of a message.
    pub(super) fn message_submitted(
        &mut self,
        id: &GroupId,
        name: &str,
        sealed: &EncodedMessage,
        response: Result<Accepted, ConnectionError>,
    ) -> Result<(), Error> {
        let Some(text) = app_data::outbox_item(&self.client, name)?.and_then(|item| item.text) else { return Ok(()) };
        let changes = match decided(response)? {
            Ok(accepted) => {
                let receipt = self.accept_receipt(id, &accepted.receipt)?;
                ordered(id, name, text, sealed.epoch, receipt.sequence)?
            }
            // The device encrypts the text again after it has read the newer entries.
            Err(problem) if is_other_epoch(&problem) => {
                self.service_is_in_other_epoch(id, &problem);
                Changes::default().outbox_item(name, Some(&OutboxItem::unsealed(text)))?
            }
            Err(problem) if is_outside(&problem) => {
                self.group(id).await_entry();
                Changes::default()
            }
            Err(problem) => {
                let (group, reason) = (id.clone(), problem.to_string());
                self.events.push_back(Event::Undeliverable { group, text: Text(text.bytes), reason });
                Changes::default().outbox_item(name, None)?
            }
        };
        self.save(&[id], changes)
    }

    /// A message of this device has come in the stream, so that the service has ordered it. If the
    /// response was lost, the message's text still waits in the outbox.
    pub(super) fn own_message_read(&mut self, id: &GroupId, delivery: &Delivery) -> Result<(), Error> {
        for name in app_data::waiting(&self.client, id)? {
            let Some(OutboxItem { text: Some(text), sealed, .. }) = app_data::outbox_item(&self.client, &name)? else {
                continue;
            };
            // The device encrypts texts one after the other: only the first can be under way.
            let Some(sealed) = sealed.filter(|sealed| sealed.bytes == delivery.bytes) else { return Ok(()) };
            return ordered(id, &name, text, sealed.epoch, delivery.receipt.sequence)?.write(&mut self.client);
        }
        Ok(())
    }

    /// Deletes the sent texts of epochs before this one, which the service cannot take back any
    /// more.
    pub(super) fn forget_sent(&mut self, id: &GroupId, epoch: u64) -> Result<(), Error> {
        let mut changes = Changes::default();
        for name in app_data::sent(&self.client, id)? {
            let sealed = app_data::outbox_item(&self.client, &name)?.and_then(|item| item.sealed);
            if sealed.is_none_or(|sealed| sealed.epoch < epoch) {
                changes = changes.outbox_item(&name, None)?;
            }
        }
        changes.write(&mut self.client)
    }

    /// Puts the texts of the void epoch back into the outbox.
    ///
    /// Each text keeps its identifier, so that members who have read it do not read it twice.
    pub(super) fn send_again(&mut self, id: &GroupId, restored: u64, voided: Range<Sequence>) -> Result<(), Error> {
        // A message of the void epoch is readable in no other epoch, even if the number is the
        // same.
        for name in app_data::waiting(&self.client, id)? {
            let Some(item) = app_data::outbox_item(&self.client, &name)? else { continue };
            if item.sealed.is_some_and(|sealed| sealed.epoch > restored) {
                let again = item.text.map(OutboxItem::unsealed);
                Changes::default().outbox_item(&name, again.as_ref())?.write(&mut self.client)?;
            }
        }
        for name in app_data::sent(&self.client, id)? {
            let Some(item) = app_data::outbox_item(&self.client, &name)? else { continue };
            if item.ordered.is_some_and(|sequence| voided.contains(&sequence)) {
                let again = OutboxItem { text: item.text, sealed: None, ordered: None };
                let waiting = app_data::next_waiting(&self.client, id)?;
                let changes = Changes::default().outbox_item(&name, None)?;
                changes.outbox_item(&waiting, Some(&again))?.write(&mut self.client)?;
            }
        }
        Ok(())
    }
}
