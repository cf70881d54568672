//! The service's stream: each entry is verified, given to the engine, taken in and told.
//!
//! The engine stores what it has received before the cursor is kept, and knows it when it comes again: so a process that dies
//! in between reads the same page once more, and nothing is told twice or lost.

use std::{collections::BTreeSet, ops::Range, time::Duration};

use regrow_engine::{DeviceId, EpochChange, GroupId, JoinMessage, Lost, Proposed, Received, ReceivedEvent, UserId};

use super::{
    Event, Intent, Rejoin, Text,
    answers::decided,
    kept::{self, Answer, BadCommit, Changes, Out},
    machine::{Machine, Tree},
    request::Request,
};
use crate::{
    Delivery, DeliveryKind,
    api::{self, DeliveryPage},
    audit::Finding,
    envelope,
    error::{ConnectionError, Error, is_of_device},
    names::{Epoch, Sequence},
};

/// How often a welcome's ratchet tree is asked for before the device goes on without it. All groups wait for that.
const TREE_ATTEMPTS: u32 = 4;

impl Machine {
    /// A page was read: it is kept in memory, if the service stands by each of its entries.
    pub(super) fn fetch(&mut self, page: DeliveryPage) -> Result<(), Error> {
        if page.deliveries.is_empty() {
            return self.at_the_end();
        }
        let mut after = self.cursor;
        let mut fetched = Vec::with_capacity(page.deliveries.len());
        for delivery in &page.deliveries {
            let delivery = self.stood_by(delivery)?;
            if delivery.cursor <= after {
                return Err(protocol("the cursors do not grow"));
            }
            after = delivery.cursor;
            fetched.push(delivery);
        }
        self.fetched = fetched.into();
        Ok(())
    }

    /// The entry, if it is one and its receipt is signed by the service.
    fn stood_by(&self, delivery: &api::Delivery) -> Result<Delivery, Error> {
        let delivery = Delivery::try_from(delivery.clone()).map_err(|error| protocol(&error.to_string()))?;
        match delivery.receipt.verify(&self.service) {
            Ok(()) => Ok(delivery),
            Err(_) => Err(Error::ForgedReceipt { group: delivery.group.clone(), sequence: delivery.receipt.sequence }),
        }
    }

    /// There is nothing more to be read: whoever should be in another epoch has missed what leads there.
    fn at_the_end(&mut self) -> Result<(), Error> {
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            let state = self.group(&id);
            let elsewhere = state.elsewhere.take();
            if state.record.rejoin.is_some() && elsewhere.is_some() {
                state.waits = false;
                self.busy.insert(id);
                continue;
            }
            let Some(epoch) = elsewhere else { continue };
            if self.epoch_of(&id)?.is_some_and(|own| own != epoch) && self.group(&id).record.bad.is_none() {
                self.rejoin(&id, Rejoin::Missed);
                self.save(&[&id], Changes::default())?;
            } else {
                self.group(&id).waits = false;
                self.busy.insert(id);
            }
        }
        Ok(())
    }

    /// The request that reads on.
    pub(super) fn read_on(&self, wait: Duration) -> Request {
        Request::Deliveries { after: self.cursor, limit: self.options.page, wait }
    }

    /// Takes in fetched entries. Returns the request for the ratchet tree that a welcome among them lacks.
    ///
    /// One call takes in one run of entries: each time the engine receives, it lets go of its last results.
    ///
    /// # Errors
    /// A failure of the device itself. The entries are read again.
    pub(super) fn take(&mut self) -> Result<Option<Request>, Error> {
        let result = self.take_run();
        if result.is_err() {
            self.fetched.clear();
        }
        result.map(|tree| tree.map(|(group, epoch)| Request::WelcomeTree(group, epoch)))
    }

    /// The service was asked for the ratchet tree of a welcome. If it cannot be got, the device joins without: it
    /// rejoins by external commit.
    pub(super) fn welcome_tree(
        &mut self,
        group: GroupId,
        answer: Result<api::RatchetTree, ConnectionError>,
    ) -> Result<(), Error> {
        let bytes = match decided(answer) {
            Ok(decided) => decided.ok().map(|tree| tree.ratchet_tree.0),
            Err(error) if self.tree_failures < TREE_ATTEMPTS => {
                self.tree_failures += 1;
                return Err(error);
            }
            Err(_) => None,
        };
        self.tree_failures = 0;
        self.tree = Some(Tree { group, bytes });
        Ok(())
    }

    fn take_run(&mut self) -> Result<Option<(GroupId, Epoch)>, Error> {
        let by_itself =
            |delivery: &Delivery| matches!(delivery.kind, DeliveryKind::Welcome | DeliveryKind::Rollback { .. });
        let Some(first) = self.fetched.front() else { return Ok(None) };
        let length = match by_itself(first) {
            true => 1,
            false => self.fetched.iter().take_while(|delivery| !by_itself(delivery)).count(),
        };
        let run: Vec<Delivery> = self.fetched.drain(..length).collect();
        self.unsettle();
        match &run[..] {
            [welcome @ Delivery { kind: DeliveryKind::Welcome, .. }] => match self.take_welcome(welcome) {
                Ok(None) => {}
                Ok(Some(epoch)) => {
                    self.fetched.push_front(welcome.clone());
                    return Ok(Some((welcome.group.clone(), epoch)));
                }
                Err(error) => self.not_taken_in(welcome, error)?,
            },
            [rollback @ Delivery { kind: DeliveryKind::Rollback { voided }, .. }] => {
                if let Err(error) = self.take_rollback(rollback, *voided) {
                    self.not_taken_in(rollback, error)?;
                }
            }
            run => {
                let bytes: Vec<&[u8]> = run.iter().map(|delivery| &delivery.bytes[..]).collect();
                let results = self.client.receive_all(&bytes, self.now())?;
                for (delivery, result) in run.iter().zip(results) {
                    if let Err(error) = self.take_in(delivery, result) {
                        self.not_taken_in(delivery, error)?;
                    }
                }
            }
        }
        let Some(last) = run.last() else { return Ok(None) };
        let ids: Vec<GroupId> = run.iter().map(|delivery| delivery.group.clone()).collect();
        self.save(&ids.iter().collect::<Vec<_>>(), Changes::default().cursor(last.cursor)?)?;
        self.cursor = last.cursor;
        Ok(None)
    }

    /// An entry could not be taken in: its group rejoins, and the other groups go on.
    ///
    /// # Errors
    /// The error, if it is the device's and not the group's.
    fn not_taken_in(&mut self, delivery: &Delivery, error: Error) -> Result<(), Error> {
        if error.is_of_device() {
            return Err(error);
        }
        self.cannot_read(&delivery.group, delivery, error.to_string());
        self.rejoin(&delivery.group, Rejoin::Failed);
        Ok(())
    }

    /// An entry was given to the engine.
    fn take_in(&mut self, delivery: &Delivery, result: Result<Received, regrow_engine::Error>) -> Result<(), Error> {
        use regrow_engine::Error as Fault;
        let id = delivery.group.clone();
        // An entry of a group that this device has left.
        if !self.groups.contains_key(&id) {
            return Ok(());
        }
        self.audit(&id, delivery);
        let state = self.group(&id);
        (state.waits, state.stranded) = (false, false);
        let (bad, rejoins) = (state.record.bad.as_ref().map(|bad| bad.sequence), state.record.rejoin.is_some());
        self.busy.insert(id.clone());
        let is_commit = delivery.kind == DeliveryKind::Commit;
        match result {
            Ok(Received { event: ReceivedEvent::Lost(lost), .. }) if lost.is_reportable() => {
                self.cannot_follow(&id, delivery, lost.to_string())
            }
            Ok(Received { event: ReceivedEvent::Own, .. }) if delivery.kind == DeliveryKind::Message => {
                self.read_back(&id, delivery)?;
            }
            Ok(received) => self.tell(received)?,
            Err(Fault::UnknownGroup { .. } | Fault::Removed { .. }) => {}
            Err(_) if rejoins => {}
            // A text of the void epoch, which its sender sends again.
            Err(Fault::FutureEpoch { current, .. }) if self.is_void(delivery, current.0) => {}
            Err(Fault::FutureEpoch { .. }) => match bad {
                None => self.rejoin(&id, Rejoin::Missed),
                // Somebody has gone on from it, so that it is not taken back any more.
                Some(sequence) if is_commit && delivery.receipt.sequence > sequence => {
                    self.rejoin(&id, Rejoin::BadCommit);
                }
                Some(_) => {}
            },
            Err(error) if is_commit => self.cannot_follow(&id, delivery, error.to_string()),
            Err(error) => {
                self.cannot_read(&id, delivery, error.to_string());
                if delivery.kind == DeliveryKind::Message {
                    self.rotate_after_gap(&id);
                }
            }
        }
        Ok(())
    }

    fn audit(&mut self, id: &GroupId, delivery: &Delivery) {
        let state = self.group(id);
        state.changed = true;
        let rejoins = state.record.rejoin.is_some();
        let mut findings = state.record.audit.read(delivery);
        // A device that rejoins was told of the gap. A fetched rollback explains that the entries which it voids are missing.
        findings.retain(|finding| match finding {
            Finding::Gap { after, .. } => {
                !rejoins && self.rollbacks(id).all(|(voided, _)| voided.0 > after.0.saturating_add(1))
            }
            Finding::Equivocation(_) | Finding::Broken { .. } => true,
        });
        self.found(id, findings);
    }

    /// The rollbacks of a group that are fetched and not taken in yet: each with the first entry that it voids, and itself.
    fn rollbacks(&self, id: &GroupId) -> impl Iterator<Item = (Sequence, &Delivery)> {
        self.fetched.iter().filter(move |delivery| delivery.group == *id).filter_map(|delivery| match delivery.kind {
            DeliveryKind::Rollback { voided } => Some((voided, delivery)),
            _ => None,
        })
    }

    /// Whether a fetched rollback voids the entry and leads to the epoch that this device is in: then it has missed no commit.
    fn is_void(&self, delivery: &Delivery, own: u64) -> bool {
        let mut rollbacks = self.rollbacks(&delivery.group);
        rollbacks.any(|(voided, rollback)| voided <= delivery.receipt.sequence && rollback.receipt.epoch.0 == own)
    }

    /// A commit was ordered that this device cannot carry out.
    fn cannot_follow(&mut self, id: &GroupId, delivery: &Delivery, reason: String) {
        let (now, monotonic) = (self.now(), self.monotonic());
        let sequence = delivery.receipt.sequence;
        let state = self.group(id);
        if state.record.rejoin.is_some() || state.record.bad.as_ref().is_some_and(|bad| bad.sequence >= sequence) {
            return;
        }
        state.record.bad = Some(BadCommit { sequence, since: now.0, reported: false });
        state.bad_since = Some(monotonic);
        state.changed = true;
        let sender = delivery.sender.clone();
        self.ready.push_back(Event::BadCommit { group: id.clone(), sequence, sender, reason });
    }

    /// Entries are missing, and a message that came after them cannot be read: its sender may have gone further than the
    /// policy lets this device follow (RFC 9420, 9.1). New keys begin a new epoch, in which all senders begin anew.
    fn rotate_after_gap(&mut self, id: &GroupId) {
        let state = self.group(id);
        if std::mem::take(&mut state.record.has_gap) {
            state.changed = true;
            self.push_intent(id, Intent::Rotate { signature_key: false });
        }
    }

    fn cannot_read(&mut self, id: &GroupId, delivery: &Delivery, reason: String) {
        let sender = delivery.sender.clone();
        self.ready.push_back(Event::Unreadable { group: id.clone(), sender, reason });
    }

    /// Tells a result of the engine's, of this process or of an earlier one.
    pub(super) fn tell(&mut self, received: Received) -> Result<(), Error> {
        let Received { group: id, id: message, event } = received;
        let now = self.monotonic();
        match event {
            ReceivedEvent::Message(text) => match envelope::open(&id, &text.text) {
                Some(opened) => {
                    // One that the service has not signed is a member's invention, and says nothing of the service.
                    if let Some(receipt) = opened.receipt.filter(|receipt| receipt.verify(&self.service).is_ok()) {
                        self.hear(&id, &receipt);
                    }
                    let (sender, epoch, text) = (text.sender, text.epoch, Text(opened.text));
                    let state = self.group(&id);
                    state.changed = true;
                    if state.record.delivered.admits(&sender, opened.id, message, epoch.0) {
                        self.ready.push_back(Event::Message { group: id, id: message, sender, epoch, text });
                    }
                }
                None => {
                    let reason = "it is not in the envelope that this program knows".to_owned();
                    self.ready.push_back(Event::Unreadable { group: id, sender: text.sender, reason });
                }
            },
            ReceivedEvent::Proposal { by, change } => {
                let state = self.group(&id);
                state.proposals_since.get_or_insert(now);
                if let Proposed::Remove(device) = &change {
                    state.leaving.insert(device.clone());
                    if *device == by {
                        state.left.insert(by.clone());
                    }
                }
                self.ready.push_back(Event::Proposed { group: id, by, change });
            }
            ReceivedEvent::Commit(change) => {
                let own = self.device().clone();
                let state = self.group(&id);
                (state.elsewhere, state.proposals_since) = (None, None);
                (state.record.has_gap, state.changed) = (false, true);
                state.record.delivered.enter(change.epoch.0);
                state.leaving.clear();
                let left = std::mem::take(&mut state.left);
                state.check_roster = true;
                state.resume |= change.resume;
                // Nothing of the epochs before can be taken back any more.
                self.forget_sent(&id, change.epoch.0)?;
                let state = self.group(&id);
                if change.by == own && change.added().any(|device| *device == own) {
                    (state.record.rejoin, state.record.bad, state.changed) = (None, None, true);
                    self.ready.push_back(Event::Rejoined { group: id.clone() });
                }
                if change.by == own {
                    self.look_at_signature_key()?;
                } else {
                    change.added().filter(|device| **device != own).for_each(|device| self.look_at_added(&id, device));
                }
                self.remember_removed(&id, &change, &left)?;
                self.ready.push_back(Event::Changed { group: id, change });
            }
            ReceivedEvent::Removed { by, .. } => {
                self.drop_group(&id)?;
                self.ready.push_back(Event::Removed { group: id, by: Some(by) });
            }
            ReceivedEvent::Lost(Lost::RolledBack) => self.rejoin(&id, Rejoin::Restored),
            ReceivedEvent::Lost(Lost::Clock { .. } | Lost::Fork { .. }) => self.rejoin(&id, Rejoin::Missed),
            // Met again when its entry is: the cursor stands before it.
            ReceivedEvent::Lost(Lost::Commit { .. } | Lost::Unsupported(_))
            | ReceivedEvent::Own
            | ReceivedEvent::Ignored(_) => {}
        }
        Ok(())
    }

    /// The devices that the group has removed while their users stayed are not added again with their users.
    fn remember_removed(&mut self, id: &GroupId, change: &EpochChange, left: &BTreeSet<DeviceId>) -> Result<(), Error> {
        let users: BTreeSet<UserId> = match self.client.group(id) {
            Ok(mut group) => group.roster()?.into_iter().map(|member| member.device.user().clone()).collect(),
            Err(_) => return Ok(()),
        };
        let state = self.group(id);
        let is_removal = |device: &&DeviceId| users.contains(device.user()) && !left.contains(*device);
        state.record.banned.extend(change.removed().filter(is_removal).cloned());
        change.added().for_each(|device| _ = state.record.banned.remove(device));
        Ok(())
    }

    fn forget_sent(&mut self, id: &GroupId, epoch: u64) -> Result<(), Error> {
        let mut changes = Changes::default();
        for name in kept::sent(&self.client, id)? {
            let sealed = kept::out(&self.client, &name)?.and_then(|out| out.sealed);
            if sealed.is_none_or(|sealed| sealed.epoch < epoch) {
                changes = changes.out(&name, None)?;
            }
        }
        changes.keep(&mut self.client)
    }

    /// This device was added to a group. Returns the epoch whose ratchet tree it takes to join, if the service is still to be
    /// asked for it.
    fn take_welcome(&mut self, delivery: &Delivery) -> Result<Option<Epoch>, Error> {
        use regrow_engine::Error as Fault;
        let id = delivery.group.clone();
        let now = self.now();
        let tree = self.tree.take().filter(|tree| tree.group == id);
        let welcome = match tree.as_ref().and_then(|tree| tree.bytes.as_deref()) {
            Some(tree) => JoinMessage::with_tree(&delivery.bytes, tree),
            None => JoinMessage::from(&delivery.bytes),
        };
        let result = match self.client.join(welcome, now) {
            // It is in the group already by this welcome, and the process had died before it could write that down; or
            // it was removed, and has missed that.
            Err(Fault::GroupExists { .. }) if self.epoch_of(&id)? != Some(delivery.receipt.epoch.0) => {
                self.client.forget(&id)?;
                self.client.join(welcome, now)
            }
            other => other,
        };
        let joined = match result {
            Ok(joined) => joined == id,
            Err(error) if is_of_device(&error) => return Err(error.into()),
            Err(Fault::NeedsRatchetTree { epoch, .. }) if tree.is_none() => return Ok(Some(epoch)),
            Err(_) => self.epoch_of(&id)? == Some(delivery.receipt.epoch.0),
        };
        self.audit(&id, delivery);
        self.busy.insert(id.clone());
        self.key_packages.look_again();
        let is_invited = joined && delivery.sender.user() != self.device().user();
        let asks = is_invited && !(self.options.may_add)(&delivery.sender, &id);
        let state = self.group(&id);
        (state.record.joined, state.changed) = (delivery.receipt.sequence.0, true);
        state.record.answer = (is_invited && !asks).then_some(Answer::Accept);
        state.record.invited_by = asks.then(|| delivery.sender.clone());
        (state.waits, state.stranded, state.resume, state.check_roster) = (false, false, true, true);
        if joined {
            (state.record.rejoin, state.record.bad) = (None, None);
            self.lists.look_again();
            let (group, by) = (id, delivery.sender.clone());
            self.ready.push_back(if asks { Event::Invited { group, by } } else { Event::Joined { group, by } });
        } else {
            // It is on the roster, and has the key of its leaf there: it comes in by another door.
            self.rejoin(&id, Rejoin::Welcome);
        }
        Ok(None)
    }

    /// A commit was taken back, and everything after it.
    fn take_rollback(&mut self, delivery: &Delivery, voided: Sequence) -> Result<(), Error> {
        let id = delivery.group.clone();
        let (restored, own) = (delivery.receipt.epoch.0, self.epoch_of(&id)?);
        let was_removed = matches!(self.client.group(&id), Err(regrow_engine::Error::Removed { .. }));
        if own.is_none() && !was_removed && !self.groups.contains_key(&id) {
            return Ok(());
        }
        self.audit(&id, delivery);
        if let Some(pending) = self.external_commit(&id)? {
            self.client.discard(pending)?;
        }
        self.busy.insert(id.clone());
        let state = self.group(&id);
        (state.waits, state.stranded, state.elsewhere, state.resume) = (false, false, None, true);
        (state.record.bad, state.bad_since, state.changed) = (None, None, true);
        if state.record.rejoin == Some(Rejoin::BadCommit) {
            state.record.rejoin = None;
        }
        let (joined, group) = (Sequence(state.record.joined), id.clone());
        if joined >= voided {
            self.client.forget(&id)?;
            self.drop_group(&id)?;
            self.ready.push_back(Event::RolledBack { group, commit: voided, followed: true });
            self.ready.push_back(Event::Removed { group: id, by: None });
            return Ok(());
        }
        self.group(&id).record.delivered.void_after(restored);
        self.send_again(&id, restored, voided..delivery.receipt.sequence)?;
        let followed = own.is_none_or(|own| own > restored);
        self.ready.push_back(Event::RolledBack { group, commit: voided, followed });
        if followed {
            self.rejoin(&id, Rejoin::RolledBack);
        }
        Ok(())
    }

    /// The texts that were sent in the void epoch wait again. Each has its identifier still, so that members who have read it
    /// do not read it twice.
    fn send_again(&mut self, id: &GroupId, restored: u64, voided: Range<Sequence>) -> Result<(), Error> {
        // A message that was encrypted in the void epoch can be read in no other, not even in one of the same number.
        for name in kept::waiting(&self.client, id)? {
            let Some(out) = kept::out(&self.client, &name)? else { continue };
            if out.sealed.is_some_and(|sealed| sealed.epoch > restored) {
                let again = out.text.map(|text| Out { text: Some(text), sealed: None, ordered: None });
                Changes::default().out(&name, again.as_ref())?.keep(&mut self.client)?;
            }
        }
        for name in kept::sent(&self.client, id)? {
            let Some(out) = kept::out(&self.client, &name)? else { continue };
            if out.ordered.is_some_and(|sequence| voided.contains(&sequence)) {
                let again = Out { text: out.text, sealed: None, ordered: None };
                let waiting = kept::next_out(&self.client, id)?;
                Changes::default().out(&name, None)?.out(&waiting, Some(&again))?.keep(&mut self.client)?;
            }
        }
        Ok(())
    }

    /// The epoch that this device is in, if it is in the group.
    pub(super) fn epoch_of(&mut self, id: &GroupId) -> Result<Option<u64>, Error> {
        match self.client.group(id) {
            Ok(mut group) => Ok(Some(group.epoch()?.0)),
            Err(regrow_engine::Error::UnknownGroup { .. } | regrow_engine::Error::Removed { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn protocol(detail: &str) -> Error {
    ConnectionError::Protocol { detail: detail.to_owned() }.into()
}
