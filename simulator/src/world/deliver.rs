//! Everything goes to everyone who is online, and is processed, until nobody has anything left to do.
//!
//! Members read and process side by side: they share nothing but the delivery service, which only reads. What each
//! comes back with is told in the order of the members.

use std::{collections::BTreeMap, mem};

use rayon::prelude::*;
use regrow_delivery_service::{Delivery, DeliveryKind, Sequence};
use regrow_engine::{Error, GroupId, Ignored, Lost, MessageId as MessageHash, Policy, ReceivedEvent, Timestamp};

use super::{
    Failed, World,
    courier::{Courier, Fate},
    device::{Device, Reading},
    event::Event,
    impersonate::{self, Forgery},
    post::Post,
    service::Sent,
};
use crate::{
    cost::Operation,
    scenario::{CrashPoint, FailCode, MessageId},
};

/// How many entries are read from the service at once.
const PAGE: usize = 64;

/// How often everybody takes up what is left to do, before that is called a bug.
const ROUNDS: u32 = 10_000;

/// What a delivery came to.
struct Happening {
    kind: DeliveryKind,
    sequence: u64,
    id: Option<MessageId>,
    meaning: String,
    /// The process died of it first, and has been started again.
    crashed: bool,
    new_epoch: bool,
    /// Whether it has erased what it had of the group, for it to be invited again.
    forgot: bool,
    /// What has changed on the device.
    change: Option<Met>,
    /// What should have come of it, if something else did.
    breach: Option<String>,
    /// Whether it is a thief's, and was noticed to be.
    detected: bool,
}

/// What a delivery has changed on a device, for the chronicle.
enum Met {
    Joined,
    Entered,
    Read(usize),
    /// The proposal that this is the hash of.
    Received(MessageHash),
}

/// What all devices may look at while they process.
struct Outside<'w, 's> {
    service: &'w Post<'s>,
    courier: &'w Courier,
    sent: &'w Sent,
    forged: &'w BTreeMap<Sequence, Forgery>,
    group: &'w GroupId,
    policy: &'w Policy,
    now: Timestamp,
}

impl<'t> World<'t> {
    /// Delivers, and lets those act who have something left to do, until there is nothing more.
    pub(super) fn deliver_everything(&mut self) -> Result<(), Failed> {
        for _ in 0..ROUNDS {
            self.deliver_to_all()?;
            let waiting = self.devices.iter().position(|device| device.online && device.resume);
            let Some(device) = waiting else {
                return self.replenish();
            };
            self.devices[device].resume = false;
            if let Some(parcel) = self.resume(device)? {
                self.tell(Event::Again { who: self.devices[device].name.clone() });
                self.carry_through(device, parcel)?;
            }
        }
        Err(Failed::new(FailCode::Stale, "the members do not come to rest"))
    }

    fn deliver_to_all(&mut self) -> Result<(), Failed> {
        let mut devices = mem::take(&mut self.devices);
        let outside = self.outside();
        let results: Vec<_> = devices
            .par_iter_mut()
            .map(|device| if device.online { device.catch_up(&outside, None) } else { Ok(Vec::new()) })
            .collect();
        self.devices = devices;
        for (device, result) in results.into_iter().enumerate() {
            self.note(device, result?);
        }
        Ok(())
    }

    /// Delivers to one device, which needs to know before it goes on.
    pub(super) fn deliver_to(&mut self, device: usize) -> Result<(), Failed> {
        self.deliver_until(device, None)
    }

    /// Delivers to one device what was ordered before this commit of its own: in the next epoch it could not read it.
    pub(super) fn deliver_before(&mut self, device: usize, commit: &[u8]) -> Result<(), Failed> {
        self.deliver_until(device, Some(commit))
    }

    fn deliver_until(&mut self, device: usize, commit: Option<&[u8]>) -> Result<(), Failed> {
        let mut devices = mem::take(&mut self.devices);
        let result = devices[device].catch_up(&self.outside(), commit);
        self.devices = devices;
        self.note(device, result?);
        Ok(())
    }

    fn outside(&self) -> Outside<'_, 't> {
        Outside {
            service: &self.service,
            courier: &self.courier,
            sent: &self.sent,
            forged: &self.forged,
            group: &self.group,
            policy: &self.policy,
            now: self.clock,
        }
    }

    fn note(&mut self, device: usize, happenings: Vec<Happening>) {
        for happening in happenings {
            let to = self.devices[device].name.clone();
            if happening.crashed {
                self.tell(Event::Crashed { who: to.clone(), at: CrashPoint::DuringWrite });
            }
            let kind = match happening.kind {
                DeliveryKind::Welcome => "welcome",
                DeliveryKind::Commit => "commit",
                DeliveryKind::Proposal => "proposal",
                DeliveryKind::Message => "message",
                DeliveryKind::Rollback { .. } => "rollback",
            };
            let sequence = Sequence(happening.sequence);
            if happening.forgot {
                self.chronicle.forgot(device);
            }
            match happening.change {
                Some(Met::Joined) => self.chronicle.joined(device, sequence),
                Some(Met::Entered) => self.chronicle.entered(device, sequence),
                Some(Met::Read(number)) => self.chronicle.read(device, number),
                Some(Met::Received(proposal)) => self.chronicle.received(device, proposal),
                None => {}
            }
            let (sequence, id, meaning) = (happening.sequence, happening.id, happening.meaning);
            if let Some(expected) = happening.breach {
                let what = id.as_ref().map_or_else(|| format!("{kind} {sequence}"), |id| format!("{kind} {id}"));
                let failure = self.failure(format!("{to}, getting the {what}: {expected}"), meaning.clone());
                self.breaches.push(failure);
            }
            if happening.detected {
                self.note_detection(device, Sequence(sequence), &meaning);
            }
            self.tell(Event::Delivered { to, kind, sequence, id, meaning });
            if happening.new_epoch {
                self.tell_epoch(device);
            }
        }
    }
}

impl Device {
    /// Processes what is new for it, and what was held back and is let go; up to this commit, if there is one.
    fn catch_up(&mut self, outside: &Outside<'_, '_>, until: Option<&[u8]>) -> Result<Vec<Happening>, Failed> {
        let mut happenings = Vec::new();
        'pages: loop {
            let page = outside.service.read(&self.address, self.cursor, PAGE);
            let page = page.map_err(|e| Failed::new(FailCode::Rejected, e))?;
            let Some(last) = page.last().map(|delivery| delivery.cursor) else { break };
            for delivery in page {
                if until.is_some_and(|commit| delivery.kind == DeliveryKind::Commit && delivery.bytes[..] == *commit) {
                    break 'pages;
                }
                let cursor = delivery.cursor;
                self.take(delivery, false, outside, &mut happenings)?;
                self.cursor = cursor;
            }
            let acknowledged = outside.service.acknowledge(&self.address, last);
            acknowledged.map_err(|e| Failed::new(FailCode::Rejected, e))?;
        }
        for delivery in mem::take(&mut self.held) {
            self.take(delivery, true, outside, &mut happenings)?;
        }
        if happenings.iter().any(|happening| matches!(happening.change, Some(Met::Joined))) {
            let accepted = outside.service.accept(outside.group, &self.address, outside.now);
            accepted.map_err(|e| Failed::new(FailCode::Rejected, e))?;
        }
        Ok(happenings)
    }

    /// Takes one delivery from the courier, in its turn or late; or has it held or lost on the way.
    fn take(
        &mut self,
        delivery: Delivery,
        late: bool,
        outside: &Outside<'_, '_>,
        happenings: &mut Vec<Happening>,
    ) -> Result<(), Failed> {
        if !late {
            self.note_entry(&delivery, outside.now.0);
        }
        let message = outside.sent.at(delivery.receipt.sequence);
        let own = delivery.sender == self.address;
        let fate = match message {
            Some((_, message)) if !own => outside.courier.fate(&message.id, &self.name),
            _ => Fate::Delivered,
        };
        if let (Some(reading), Some((number, _))) = (fate.into(), message) {
            self.fates.insert(number, reading);
            if fate == Fate::Held {
                self.held.push(delivery);
            }
            return Ok(());
        }
        happenings.push(self.process(&delivery, late, outside)?);
        if fate == Fate::Twice {
            happenings.push(self.process(&delivery, late, outside)?);
        }
        Ok(())
    }

    /// Gives a delivery to the engine, and compares what comes of it with what should.
    fn process(&mut self, delivery: &Delivery, late: bool, outside: &Outside<'_, '_>) -> Result<Happening, Failed> {
        let message = outside.sent.at(delivery.receipt.sequence).filter(|_| delivery.kind == DeliveryKind::Message);
        let own = delivery.sender == self.address;
        let epoch = self.epoch(outside.group);
        let forgot = self.ousted && delivery.kind == DeliveryKind::Welcome;
        let mut crashed = false;
        let operation = match delivery.kind {
            DeliveryKind::Welcome => Operation::Join,
            DeliveryKind::Commit => Operation::ReceiveCommit,
            DeliveryKind::Proposal => Operation::ReceiveProposal,
            DeliveryKind::Message => Operation::ReceiveMessage,
            DeliveryKind::Rollback { .. } => {
                let problem = "the delivery service takes back a commit, which no member has reported";
                return Err(Failed::new(FailCode::Rejected, problem));
            }
        };
        let mark = self.mark_if_mortal();
        let result = loop {
            self.log.begin(operation);
            let result = match delivery.kind {
                DeliveryKind::Welcome => self.accept_invitation(delivery, outside).map(|()| None),
                _ => self.client.receive(&delivery.bytes, outside.now).map(|received| Some(received.event)),
            };
            // What it has read is the application's now, and nobody finds it on the device.
            let result = result.and_then(|event| self.client.acknowledge().map(|()| event));
            if !matches!(result, Err(Error::Storage(_))) || !self.died_writing() {
                break result;
            }
            crashed = true;
            self.restart().map_err(super::act::failed)?;
            mark.iter().for_each(|mark| self.log.go_back(mark));
        };
        let meaning = match &result {
            Ok(None) => "joined".to_owned(),
            Ok(Some(meaning)) => describe(meaning),
            Err(error) => format!("error: {error}"),
        };
        let new_epoch = match &result {
            Ok(None) => {
                let joined = self.epoch(outside.group).unwrap_or_default();
                self.joined(joined);
                true
            }
            Ok(Some(ReceivedEvent::Commit(change))) => {
                self.resume |= change.resume;
                if change.added().any(|added| added == self.client.device()) {
                    self.joined(change.epoch.0);
                }
                true
            }
            _ => false,
        };
        let change = match (&result, message) {
            (Ok(None), _) => Some(Met::Joined),
            (Ok(Some(ReceivedEvent::Commit(_) | ReceivedEvent::Removed { .. })), _) => Some(Met::Entered),
            (Ok(Some(ReceivedEvent::Message(_))), Some((number, _))) => Some(Met::Read(number)),
            (Ok(Some(ReceivedEvent::Proposal { .. })), _) => Some(Met::Received(MessageHash::of(&delivery.bytes))),
            _ => None,
        };
        let forgery = outside.forged.get(&delivery.receipt.sequence);
        let detected = forgery.is_some() && impersonate::is_noticed(&result, self.client.device());
        let breach = match message {
            _ if forgery.is_some_and(|forgery| forgery.device == self.index) => {
                self.meets_forgery(delivery.kind, epoch, &result)
            }
            Some((number, sent)) if !own => {
                // Who takes everything in its turn is in the epoch of the message when it comes.
                let may = epoch.filter(|epoch| *epoch >= sent.at.epoch).is_some_and(|epoch| {
                    self.window.reads(sent.at, if late { epoch } else { sent.at.epoch }, outside.policy)
                });
                let before = self.fates.get(&number) == Some(&Reading::Read);
                if !before {
                    self.fates.insert(number, if may { Reading::Read } else { Reading::Unreadable });
                }
                match &result {
                    Ok(Some(ReceivedEvent::Message(read))) if may && *read.text == sent.text => None,
                    Ok(Some(ReceivedEvent::Message(_))) if may => Some("the text that was sent"),
                    Ok(Some(ReceivedEvent::Message(_))) => Some("nothing that can be read: its keys should be gone"),
                    Ok(Some(ReceivedEvent::Ignored(Ignored::AlreadyRead | Ignored::TooOld))) if !may => None,
                    Err(Error::UnknownGroup { .. } | Error::Removed { .. }) if epoch.is_none() => None,
                    Err(Error::FutureEpoch { .. }) if self.missed || self.ousted => None,
                    // Beyond the limit it cannot be told from a forgery: it is refused as such.
                    Err(Error::Invalid { .. } | Error::Gap)
                        if self.window.is_too_far_ahead(sent.at, outside.policy) =>
                    {
                        None
                    }
                    _ if may => Some("it is read"),
                    _ => Some("it is recognized as read before, or as too old"),
                }
            }
            _ => match &result {
                // The member and the thief count alike: where the one has been read, the other cannot be.
                Ok(Some(ReceivedEvent::Lost(_))) if forgery.is_some() => {
                    self.ousted = true;
                    None
                }
                Ok(Some(ReceivedEvent::Lost(_))) => Some("it is processed"),
                Ok(_) => None,
                // Its state is lost, and it has not rejoined yet.
                Err(Error::UnknownGroup { .. }) if epoch.is_none() => None,
                Err(Error::Removed { .. }) if self.ousted => None,
                // It says so, and has to rejoin.
                Err(Error::FutureEpoch { .. }) if self.missed || self.ousted => None,
                Err(_) => Some("it is processed"),
            },
        };
        Ok(Happening {
            kind: delivery.kind,
            sequence: delivery.receipt.sequence.0,
            id: message.map(|(_, message)| message.id.clone()),
            meaning,
            crashed,
            new_epoch,
            forgot,
            change,
            breach: breach.map(str::to_owned),
            detected,
        })
    }
}

impl Device {
    /// Joins by a welcome. What it has of a group that a thief has locked it out of stands in the way.
    fn accept_invitation(&mut self, welcome: &Delivery, outside: &Outside<'_, '_>) -> Result<(), Error> {
        if self.ousted {
            self.client.forget(outside.group)?;
        }
        self.client.join(&welcome.bytes, outside.now).map(drop)
    }
}

fn describe(meaning: &ReceivedEvent) -> String {
    match meaning {
        ReceivedEvent::Message(_) => "read".into(),
        ReceivedEvent::Proposal { .. } => "proposal queued".into(),
        ReceivedEvent::Commit(change) => format!("epoch {}", change.epoch),
        ReceivedEvent::Removed { by, epoch } => format!("removed by {} in epoch {epoch}", by.user()),
        ReceivedEvent::Own => "its own".into(),
        ReceivedEvent::Lost(Lost::Commit { detail }) => format!("cannot go on: {detail}"),
        ReceivedEvent::Lost(lost @ (Lost::Clock { .. } | Lost::Unsupported(_) | Lost::Fork { .. })) => {
            format!("cannot go on: {lost}")
        }
        ReceivedEvent::Lost(Lost::RolledBack) => "cannot go on: its state is a copy".into(),
        ReceivedEvent::Ignored(Ignored::PastEpoch) => "ignored: of a past epoch".into(),
        ReceivedEvent::Ignored(Ignored::AlreadyRead) => "ignored: read before".into(),
        ReceivedEvent::Ignored(Ignored::Clock) => "ignored: not valid by the clock".into(),
        ReceivedEvent::Ignored(Ignored::TooOld) => "ignored: its keys are gone".into(),
    }
}
