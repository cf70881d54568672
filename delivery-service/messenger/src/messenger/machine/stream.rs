//! The service's stream: the machine verifies each entry, gives it to the engine, and stores its
//! effects.
//!
//! The engine stores its results before the cursor is stored, and recognizes a repeated entry. A
//! process that dies in between reads the same page again; nothing is reported twice or lost.

use std::time::Duration;

use regrow_engine::{Error as EngineError, GroupId, Received, ReceivedEvent};

use super::state::{Machine, WelcomeTree};
use crate::{
    Delivery, DeliveryKind,
    api::{self, DeliveryPage},
    error::{ConnectionError, Error},
    messenger::{
        app_data::Changes,
        event::{Event, Rejoin},
        intent::Intent,
        problem::decided,
        records::BadCommit,
        request::Request,
    },
    names::Epoch,
};

/// The number of attempts to fetch a welcome's ratchet tree before the device goes on without it.
/// All groups wait for that.
const TREE_ATTEMPTS: u32 = 4;

impl Machine {
    /// The request for the next page. [`None`] if a page waits to be processed.
    pub(in crate::messenger) fn next_read(&self, wait: Duration) -> Option<Request> {
        let request = || Request::Deliveries { after: self.cursor, limit: self.options.page, wait };
        self.fetched.is_empty().then(request)
    }

    /// Takes a page into memory, if the service has signed each of its entries.
    pub(super) fn page_read(&mut self, page: DeliveryPage) -> Result<(), Error> {
        if page.deliveries.is_empty() {
            return self.stream_ended();
        }
        let mut after = self.cursor;
        let mut fetched = Vec::with_capacity(page.deliveries.len());
        for delivery in &page.deliveries {
            let delivery = self.signed_delivery(delivery)?;
            if delivery.cursor <= after {
                return Err(protocol("the cursors do not grow"));
            }
            after = delivery.cursor;
            fetched.push(delivery);
        }
        self.fetched = fetched.into();
        Ok(())
    }

    /// Decodes a delivery, and verifies the service's signature on its receipt.
    fn signed_delivery(&self, delivery: &api::Delivery) -> Result<Delivery, Error> {
        let delivery = Delivery::try_from(delivery.clone()).map_err(|error| protocol(&error.to_string()))?;
        match delivery.receipt.verify(&self.service) {
            Ok(()) => Ok(delivery),
            Err(_) => Err(Error::ForgedReceipt { group: delivery.group.clone(), sequence: delivery.receipt.sequence }),
        }
    }

    /// The stream has no more entries: a device that is not in the service's epoch has missed a
    /// commit.
    fn stream_ended(&mut self) -> Result<(), Error> {
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            let group = self.group(&id);
            let Some(epoch) = group.service_epoch.take() else { continue };
            let recovers = group.rejoins().is_some() || group.bad_commit().is_some();
            if !recovers && self.epoch_of(&id)?.is_some_and(|own| own != epoch) {
                self.rejoin(&id, Rejoin::Missed);
                self.save(&[&id], Changes::default())?;
            } else {
                self.group(&id).may_submit_again();
                self.busy.insert(id);
            }
        }
        Ok(())
    }

    /// Processes fetched entries. Returns the request for the ratchet tree that a welcome lacks.
    ///
    /// One call processes one run of entries: each time the engine receives, it forgets its last
    /// results.
    ///
    /// # Errors
    /// A failure of the device itself. The device reads the entries again.
    pub(in crate::messenger) fn process_fetched(&mut self) -> Result<Option<Request>, Error> {
        let result = self.process_run();
        if result.is_err() {
            self.fetched.clear();
        }
        result.map(|tree| tree.map(|(group, epoch)| Request::WelcomeTree(group, epoch)))
    }

    /// Takes in the ratchet tree of a welcome. If the device cannot fetch it, the device goes on
    /// without it: it rejoins by external commit.
    pub(super) fn welcome_tree_read(
        &mut self,
        group: GroupId,
        response: Result<api::RatchetTree, ConnectionError>,
    ) -> Result<(), Error> {
        let bytes = match decided(response) {
            Ok(decided) => decided.ok().map(|tree| tree.ratchet_tree.0),
            Err(error) if self.tree_failures < TREE_ATTEMPTS => {
                self.tree_failures += 1;
                return Err(error);
            }
            Err(_) => None,
        };
        self.tree_failures = 0;
        self.welcome_tree = Some(WelcomeTree { group, bytes });
        Ok(())
    }

    fn process_run(&mut self) -> Result<Option<(GroupId, Epoch)>, Error> {
        let run = self.next_run();
        let Some(last) = run.last() else { return Ok(None) };
        self.unsettled = true;
        match &run[..] {
            [welcome @ Delivery { kind: DeliveryKind::Welcome, .. }] => match self.welcome_read(welcome) {
                Ok(None) => {}
                Ok(Some(epoch)) => {
                    self.fetched.push_front(welcome.clone());
                    return Ok(Some((welcome.group.clone(), epoch)));
                }
                Err(error) => self.entry_failed(welcome, error)?,
            },
            [rollback @ Delivery { kind: DeliveryKind::Rollback { voided }, .. }] => {
                if let Err(error) = self.rollback_read(rollback, *voided) {
                    self.entry_failed(rollback, error)?;
                }
            }
            run => {
                let bytes: Vec<&[u8]> = run.iter().map(|delivery| &delivery.bytes[..]).collect();
                let results = self.client.receive_all(&bytes, self.now())?;
                for (delivery, result) in run.iter().zip(results) {
                    if let Err(error) = self.entry_read(delivery, result) {
                        self.entry_failed(delivery, error)?;
                    }
                }
            }
        }
        let ids: Vec<GroupId> = run.iter().map(|delivery| delivery.group.clone()).collect();
        self.save(&ids.iter().collect::<Vec<_>>(), Changes::default().cursor(last.cursor)?)?;
        self.cursor = last.cursor;
        Ok(None)
    }

    /// Takes the next run of fetched entries. A welcome or a rollback is a run of its own.
    fn next_run(&mut self) -> Vec<Delivery> {
        let by_itself =
            |delivery: &Delivery| matches!(delivery.kind, DeliveryKind::Welcome | DeliveryKind::Rollback { .. });
        let length = match self.fetched.front() {
            Some(first) if by_itself(first) => 1,
            _ => self.fetched.iter().take_while(|delivery| !by_itself(delivery)).count(),
        };
        self.fetched.drain(..length).collect()
    }

    /// An entry could not be processed: its group rejoins, and the other groups go on.
    ///
    /// # Errors
    /// The error, if it is the device's and not the group's.
    fn entry_failed(&mut self, delivery: &Delivery, error: Error) -> Result<(), Error> {
        if error.is_of_device() {
            return Err(error);
        }
        self.report_unreadable(&delivery.group, delivery, error.to_string());
        self.rejoin(&delivery.group, Rejoin::Failed);
        Ok(())
    }

    /// Takes in the engine's result for an entry.
    fn entry_read(&mut self, delivery: &Delivery, result: Result<Received, EngineError>) -> Result<(), Error> {
        let id = delivery.group.clone();
        // An entry of a group that this device has left.
        if !self.groups.contains_key(&id) {
            return Ok(());
        }
        self.audit(&id, delivery);
        let group = self.group(&id);
        group.entry_read();
        let (bad, rejoins) = (group.bad_commit(), group.rejoins().is_some());
        self.busy.insert(id.clone());
        let is_commit = delivery.kind == DeliveryKind::Commit;
        match result {
            Ok(Received { event: ReceivedEvent::Lost(lost), .. }) if lost.is_reportable() => {
                self.cannot_follow(&id, delivery, lost.to_string());
            }
            Ok(Received { event: ReceivedEvent::Own, .. }) if delivery.kind == DeliveryKind::Message => {
                self.own_message_read(&id, delivery)?;
            }
            Ok(received) => self.report_received(received)?,
            Err(EngineError::UnknownGroup { .. } | EngineError::Removed { .. }) => {}
            Err(_) if rejoins => {}
            // A text of the void epoch. Its sender sends it again.
            Err(EngineError::FutureEpoch { current, .. }) if self.is_void(delivery, current.0) => {}
            Err(EngineError::FutureEpoch { .. }) => match bad {
                None => self.rejoin(&id, Rejoin::Missed),
                // A member has gone on from the commit, so that the service does not take it back
                // any more.
                Some(sequence) if is_commit && delivery.receipt.sequence > sequence => {
                    self.rejoin(&id, Rejoin::BadCommit);
                }
                Some(_) => {}
            },
            Err(error) if is_commit => self.cannot_follow(&id, delivery, error.to_string()),
            Err(error) => {
                self.report_unreadable(&id, delivery, error.to_string());
                if delivery.kind == DeliveryKind::Message {
                    self.rotate_after_gap(&id);
                }
            }
        }
        Ok(())
    }

    /// True if a fetched rollback voids the entry and leads to the epoch that this device is in:
    /// then the device has missed no commit.
    fn is_void(&self, delivery: &Delivery, own: u64) -> bool {
        let mut rollbacks = self.rollbacks(&delivery.group);
        rollbacks.any(|(voided, rollback)| voided <= delivery.receipt.sequence && rollback.receipt.epoch.0 == own)
    }

    /// The service has ordered a commit that this device cannot carry out.
    fn cannot_follow(&mut self, id: &GroupId, delivery: &Delivery, reason: String) {
        let (now, monotonic) = (self.now(), self.monotonic());
        let sequence = delivery.receipt.sequence;
        let bad = BadCommit { sequence, since: now.0, reported: false };
        let group = self.group(id);
        if !group.meet_bad_commit(bad, monotonic) {
            return;
        }
        let waits = group.bad_commit().is_some();
        let sender = delivery.sender.clone();
        self.events.push_back(Event::BadCommit { group: id.clone(), sequence, sender, reason });
        if !waits {
            self.rejoin(id, Rejoin::BadCommit);
        }
    }

    /// Rotates keys after a message that came after a gap and cannot be read.
    ///
    /// Its sender may have gone further than the policy lets this device follow (RFC 9420, 9.1).
    /// New keys begin a new epoch, in which all senders begin anew.
    fn rotate_after_gap(&mut self, id: &GroupId) {
        if self.group(id).facts().has_gap {
            self.group(id).facts_mut().has_gap = false;
            self.push_intent(id, Intent::Rotate { signature_key: false });
        }
    }

    fn report_unreadable(&mut self, id: &GroupId, delivery: &Delivery, reason: String) {
        let sender = delivery.sender.clone();
        self.events.push_back(Event::Unreadable { group: id.clone(), sender, reason });
    }
}

fn protocol(detail: &str) -> Error {
    ConnectionError::Protocol { detail: detail.to_owned() }.into()
}
