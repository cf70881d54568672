//! Delivers log entries to devices, and records the results.
//!
//! Devices read and process in parallel. They share only the delivery service, and read it. The
//! world records the results in the order of the devices.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use rayon::prelude::*;
use regrow_delivery_service::{Cursor, Delivery, DeliveryKind, Sequence, StoreError};
use regrow_engine::{Error, GroupId, MessageId as MessageHash, Policy, ReceivedEvent, Timestamp};

use super::{
    cost_recorder::{DeliveryCost, DeliveryRole},
    delivery_check::{ArrivingDelivery, DeliveryResult, describe, is_noticed},
    delivery_rules::{DeliveryRule, DeliveryRules},
    device::{Device, ReadStatus},
    device_group::PresentEpoch,
    event::{TranscriptEvent, of_group},
    service_under_test::{Endpoint, ServiceUnderTest, Treatment},
    state::World,
    step_failure::StepFailure,
    thieves::Forgeries,
};
use crate::{
    cost::Operation,
    report::progress::Progress,
    scenario::{CrashPoint, MessageId},
};

/// The number of entries that a device reads from the service at once.
const PAGE: usize = 64;

/// The world's record of one delivery.
struct Delivered {
    group: GroupId,
    kind: DeliveryKind,
    sequence: Sequence,
    id: Option<MessageId>,
    /// The result in words.
    meaning: String,
    /// True if the process crashed during the delivery, and has been started again.
    crashed: bool,
    /// True if the device is in a new epoch.
    new_epoch: bool,
    /// True if the device erased its state of the group before it joined again.
    forgot: bool,
    change: Option<StateChange>,
    /// The expectation that the result breaks.
    breach: Option<&'static str>,
    /// True if a thief submitted the entry, and the device noticed it.
    detected: bool,
    cost: DeliveryCost,
}

/// The world's record of the deliveries that one device has processed together.
#[derive(Default)]
struct CaughtUp {
    deliveries: Vec<Delivered>,
    /// The device's epochs after them, in the groups in which one of them made the epoch.
    epochs: BTreeMap<GroupId, PresentEpoch>,
}

/// The change that a delivery made on a device, for the fact recorder.
enum StateChange {
    Joined,
    Entered,
    Read(usize),
    /// The device received the proposal with this hash.
    Received(MessageHash),
}

/// The parts of the world that all devices read while they process.
struct DeliveryContext<'w, 's> {
    service: &'w ServiceUnderTest<'s>,
    rules: &'w DeliveryRules,
    forged: &'w Forgeries,
    policy: &'w Policy,
    progress: &'w Progress,
    now: Timestamp,
    /// The number of devices that keep their group in memory.
    keep: usize,
}

impl World<'_> {
    /// Delivers to all devices that are online.
    pub(super) fn deliver_to_all(&mut self) -> Result<(), StepFailure> {
        let (service, rules, forged) = (&self.service, &self.delivery_rules, &self.thieves.forged);
        let keep = self.loaded_groups.devices(service.member_count());
        let (policy, progress, now) = (&self.policy, &*self.progress, self.clock.now());
        let context = DeliveryContext { service, rules, forged, policy, progress, now, keep };
        let devices = self.devices.as_mut_slice().par_iter_mut();
        let results: Vec<_> = devices
            .map(|device| if device.online { device.catch_up(&context, None) } else { Ok(CaughtUp::default()) })
            .collect();
        for (device, result) in results.into_iter().enumerate() {
            self.record(device, result?);
        }
        Ok(())
    }

    /// Delivers to one device, which has to be up to date before it continues.
    pub(super) fn deliver_to(&mut self, device: usize) -> Result<(), StepFailure> {
        self.deliver_until(device, None)
    }

    /// Delivers to one device the entries before its own commit. In the next epoch the device could
    /// not read them.
    pub(super) fn deliver_before(&mut self, device: usize, commit: &[u8]) -> Result<(), StepFailure> {
        self.deliver_until(device, Some(commit))
    }

    fn deliver_until(&mut self, device: usize, commit: Option<&[u8]>) -> Result<(), StepFailure> {
        let (service, rules, forged) = (&self.service, &self.delivery_rules, &self.thieves.forged);
        let keep = self.loaded_groups.devices(service.member_count());
        let (policy, progress, now) = (&self.policy, &*self.progress, self.clock.now());
        let context = DeliveryContext { service, rules, forged, policy, progress, now, keep };
        let caught_up = self.devices[device].catch_up(&context, commit)?;
        self.record(device, caught_up);
        Ok(())
    }

    fn record(&mut self, device: usize, caught_up: CaughtUp) {
        let CaughtUp { deliveries, epochs } = caught_up;
        // The records of costs and facts know one history.
        let in_second = self.service.is_in_second_history(device);
        let findings_of = device;
        for delivered in deliveries {
            let Delivered { group, kind, sequence, id, meaning, crashed, new_epoch, .. } = delivered;
            let Delivered { forgot, change, breach, detected, cost, .. } = delivered;
            let label = self.service.label(&group);
            let (device, recorder) = (&mut self.devices[device], &mut self.recorder);
            if !in_second {
                recorder.costs.delivered(&group, sequence, kind, cost);
            }
            if kind == DeliveryKind::Message {
                self.service.sent.delivered(cost.bytes);
            }
            let to = device.name.clone();
            if crashed {
                recorder.tell(TranscriptEvent::Crashed { who: to.clone(), at: CrashPoint::DuringWrite });
            }
            let kind = kind_name(kind);
            if forgot {
                recorder.facts.forgot(device.index, &group);
            }
            match change.filter(|_| !in_second) {
                Some(StateChange::Joined) => recorder.facts.joined(device.index, &group, sequence),
                Some(StateChange::Entered) => recorder.facts.entered(device.index, &group, sequence),
                Some(StateChange::Read(number)) => recorder.facts.read(device.index, number),
                Some(StateChange::Received(proposal)) => recorder.facts.received(device.index, proposal),
                None => {}
            }
            if let Some(expected) = breach {
                let what = id.as_ref().map_or_else(|| format!("{kind} {}", sequence.0), |id| format!("{kind} {id}"));
                let what = what + &of_group(label.as_ref());
                let expected = format!("{to}: delivery of the {what}: {expected}");
                recorder.breach_at(&to, id.as_ref(), expected, meaning.clone());
            }
            if detected {
                self.thieves.detect(&group, sequence, &to, &meaning, recorder);
            }
            let event =
                TranscriptEvent::Delivered { to, kind, group: label.clone(), sequence: sequence.0, id, meaning };
            recorder.tell(event);
            if let Some(present) = epochs.get(&group).filter(|_| new_epoch) {
                device.tell_epoch(&group, label, present, recorder);
            }
        }
        self.note_findings_of(findings_of);
    }
}

impl Device {
    /// Processes new deliveries and released ones; up to this commit, if there is one.
    fn catch_up(&mut self, context: &DeliveryContext<'_, '_>, until: Option<&[u8]>) -> Result<CaughtUp, StepFailure> {
        let endpoint = context.service.endpoint_of(self.index);
        let mut deliveries = Vec::new();
        if let Some(up_to) = self.unacknowledged.take() {
            self.acknowledge(endpoint, up_to)?;
        }
        'pages: loop {
            let page = endpoint.read(&self.address, self.cursor, PAGE)?;
            let Some(last) = page.last().map(|delivery| delivery.cursor) else { break };
            for delivery in page {
                if until.is_some_and(|commit| delivery.kind == DeliveryKind::Commit && delivery.bytes[..] == *commit) {
                    break 'pages;
                }
                let cursor = delivery.cursor;
                match context.service.treatment(self.index, &delivery) {
                    Treatment::EndStream => break 'pages,
                    Treatment::KeepBack if delivery.sender != self.address => self.kept_back.push(delivery),
                    Treatment::Deliver | Treatment::KeepBack => self.take(delivery, false, context, &mut deliveries)?,
                    Treatment::DeliverAllReversed => {
                        self.take(delivery, true, context, &mut deliveries)?;
                        for kept in mem::take(&mut self.kept_back).into_iter().rev() {
                            self.take(kept, true, context, &mut deliveries)?;
                        }
                    }
                }
                self.cursor = cursor;
            }
            self.acknowledge(endpoint, last)?;
        }
        for delivery in mem::take(&mut self.held) {
            self.take(delivery, true, context, &mut deliveries)?;
        }
        let joined = deliveries.iter().filter(|delivered| matches!(delivered.change, Some(StateChange::Joined)));
        self.unaccepted.extend(joined.map(|delivered| delivered.group.clone()));
        for group in mem::take(&mut self.unaccepted) {
            match endpoint.accept(&group, &self.address, context.now) {
                Err(StoreError::DiskFull) => _ = self.unaccepted.insert(group),
                accepted => accepted?,
            }
        }
        if until.is_none() {
            for (id, group) in &mut self.groups {
                if !context.service.is_stream_false(self.index, id) {
                    group.cut_off.caught_up(context.service.sent.list.len());
                }
            }
        }
        let new_epochs = deliveries.iter().filter(|delivered| delivered.new_epoch);
        let groups: BTreeSet<_> = new_epochs.map(|delivered| &delivered.group).collect();
        let epochs = groups.into_iter().filter_map(|group| Some((group.clone(), self.present_epoch(group)?))).collect();
        self.unload_groups(context.keep);
        Ok(CaughtUp { deliveries, epochs })
    }

    /// Acknowledges deliveries. If the service's disk is full, the device tries again later.
    fn acknowledge(&mut self, endpoint: &Endpoint<'_>, up_to: Cursor) -> Result<(), StepFailure> {
        match endpoint.acknowledge(&self.address, up_to) {
            Err(StoreError::DiskFull) => self.unacknowledged = Some(up_to),
            acknowledged => _ = acknowledged?,
        }
        Ok(())
    }

    /// Takes one delivery, in order or late, and applies the delivery rules to it.
    fn take(
        &mut self,
        delivery: Delivery,
        late: bool,
        context: &DeliveryContext<'_, '_>,
        delivered: &mut Vec<Delivered>,
    ) -> Result<(), StepFailure> {
        if !late {
            let (retention, expired) = (context.service.least_retention(), context.service.expired_until.0);
            self.in_group(&delivery.group).note_entry(&delivery, retention, expired);
        }
        if let Some(checks) = &mut self.checks {
            checks.read(&delivery);
        }
        let message = context.service.message_at(self.index, &delivery.group, delivery.receipt.sequence);
        let own = delivery.sender == self.address;
        let (rule, number) = match message {
            Some((number, message)) if !own => (context.rules.rule(&message.id, &self.name), number),
            _ => (DeliveryRule::Deliver, 0),
        };
        match rule {
            DeliveryRule::Drop => _ = self.read_status.insert(number, ReadStatus::Dropped),
            DeliveryRule::Hold => {
                self.read_status.insert(number, ReadStatus::Held);
                self.held.push(delivery);
            }
            DeliveryRule::Deliver => delivered.push(self.process(&delivery, late, context)?),
            DeliveryRule::Repeat => {
                delivered.push(self.process(&delivery, late, context)?);
                delivered.push(self.process(&delivery, late, context)?);
            }
        }
        Ok(())
    }

    /// Gives a delivery to the engine, and compares the result with the expected one.
    fn process(
        &mut self,
        delivery: &Delivery,
        late: bool,
        context: &DeliveryContext<'_, '_>,
    ) -> Result<Delivered, StepFailure> {
        let (group, sequence) = (&delivery.group, delivery.receipt.sequence);
        let message = context.service.message_at(self.index, group, sequence);
        let message = message.filter(|_| delivery.kind == DeliveryKind::Message);
        let forgery = context.forged.get(group, sequence);
        let epoch = self.epoch(group);
        let arrival = ArrivingDelivery { delivery, message, forgery, late, epoch, policy: context.policy };
        let forgot = self.is_locked_out(group) && delivery.kind == DeliveryKind::Welcome;
        let (result, crashed) = self.receive(delivery, context)?;
        if let (Ok(Some(ReceivedEvent::Message(_))), Some((_, message))) = (&result, message)
            && let (Some(checks), Some(receipt)) = (&mut self.checks, &message.receipt)
        {
            checks.compare(receipt);
        }
        let counts = self.log.present();
        let new_epoch = self.enter_epoch(group, &result);
        let change = match (&result, message) {
            (Ok(None), _) => {
                context.progress.join();
                Some(StateChange::Joined)
            }
            (Ok(Some(ReceivedEvent::Commit(_) | ReceivedEvent::Removed { .. })), _) => Some(StateChange::Entered),
            (Ok(Some(ReceivedEvent::Message(_))), Some((number, _))) => Some(StateChange::Read(number)),
            (Ok(Some(ReceivedEvent::Proposal { .. })), _) => {
                Some(StateChange::Received(MessageHash::of(&delivery.bytes)))
            }
            _ => None,
        };
        let role = role(change.as_ref(), delivery.sender == self.address);
        Ok(Delivered {
            cost: DeliveryCost { role, bytes: delivery.bytes.len() as u64, counts },
            group: group.clone(),
            kind: delivery.kind,
            sequence,
            id: message.map(|(_, message)| message.id.clone()),
            meaning: describe(&result),
            crashed,
            new_epoch,
            forgot,
            change,
            detected: forgery.is_some() && is_noticed(&result, self.client.device()),
            breach: self.broken_expectation(&arrival, &result),
        })
    }

    /// Gives a delivery to the engine until no crash interrupts it. The flag tells if one did.
    fn receive(
        &mut self,
        delivery: &Delivery,
        context: &DeliveryContext<'_, '_>,
    ) -> Result<(DeliveryResult, bool), StepFailure> {
        let is_own = delivery.sender == self.address;
        let operation = match delivery.kind {
            DeliveryKind::Welcome => Operation::Join,
            DeliveryKind::Commit | DeliveryKind::Proposal | DeliveryKind::Message if is_own => Operation::Echo,
            DeliveryKind::Commit => Operation::ReceiveCommit,
            DeliveryKind::Proposal => Operation::ReceiveProposal,
            DeliveryKind::Message => Operation::ReceiveMessage,
            DeliveryKind::Rollback { .. } => {
                let problem = "the delivery service takes back a commit, which no member has reported";
                return Err(StepFailure::rejected(problem));
            }
        };
        let mark = self.mark_if_crash_armed();
        let mut crashed = false;
        loop {
            self.log.begin(operation);
            let result = match delivery.kind {
                DeliveryKind::Welcome => self.join(delivery, context.now).map(|()| None),
                _ => self.client.receive(&delivery.bytes, context.now).map(|received| Some(received.event)),
            };
            // The application has the text now, and a thief does not find it on the device.
            let result = result.and_then(|event| self.client.acknowledge().map(|()| event));
            if is_own && matches!(result, Ok(Some(ReceivedEvent::Commit(_)))) {
                // The device had not read the service's answer to its commit.
                self.log.relabel(Operation::Confirm);
            }
            if !matches!(result, Err(Error::Storage(_))) || !self.crashed_writing() {
                return Ok((result, crashed));
            }
            crashed = true;
            self.restart()?;
            mark.iter().for_each(|mark| self.log.go_back(mark));
        }
    }

    /// Joins by a welcome. A device that a thief has locked out first erases its old state of the
    /// group.
    fn join(&mut self, welcome: &Delivery, now: Timestamp) -> Result<(), Error> {
        if self.is_locked_out(&welcome.group) {
            self.client.forget(&welcome.group)?;
        }
        self.client.join(&welcome.bytes, now).map(drop)
    }

    /// Updates the device's view of a group. True if the device is in a new epoch.
    fn enter_epoch(&mut self, group: &GroupId, result: &DeliveryResult) -> bool {
        match result {
            Ok(None) => {
                let joined = self.epoch(group).unwrap_or_default();
                self.in_group(group).joined(joined);
                true
            }
            Ok(Some(ReceivedEvent::Commit(change))) => {
                let added = change.added().any(|added| added == self.client.device());
                let state = self.in_group(group);
                state.resume |= change.resume;
                if added {
                    state.joined(change.epoch.0);
                }
                true
            }
            _ => false,
        }
    }
}

/// The part of a device in a delivery that made this change, or none. The entry is its own if the
/// service names the device as the sender.
fn role(change: Option<&StateChange>, own: bool) -> DeliveryRole {
    match change {
        Some(StateChange::Joined) => DeliveryRole::Joiner,
        Some(StateChange::Entered) if own => DeliveryRole::Committer,
        Some(StateChange::Entered | StateChange::Received(_)) => DeliveryRole::Receiver,
        Some(StateChange::Read(_)) | None => DeliveryRole::Bystander,
    }
}

/// The kind's name in transcripts.
fn kind_name(kind: DeliveryKind) -> &'static str {
    match kind {
        DeliveryKind::Welcome => "welcome",
        DeliveryKind::Commit => "commit",
        DeliveryKind::Proposal => "proposal",
        DeliveryKind::Message => "message",
        DeliveryKind::Rollback { .. } => "rollback",
    }
}
