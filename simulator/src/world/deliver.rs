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
use regrow_engine::{Error, GroupId, JoinMessage, MessageId as MessageHash, ReceivedEvent, Timestamp};

use super::{
    clock::VirtualClock,
    cost_recorder::{DeliveryCost, DeliveryRole},
    delivery_check::{ArrivingDelivery, DeliveryResult, describe, is_noticed},
    delivery_rules::DeliveryRules,
    device::Device,
    device_group::PresentEpoch,
    devices::Devices,
    event::{TranscriptEvent, of_group},
    network::{Network, Reading},
    service_under_test::{Endpoint, ServiceUnderTest},
    state::World,
    step_failure::StepFailure,
    thieves::Forgeries,
    told_events::ToldEvent,
};
use crate::{
    cost::Operation,
    report::progress::Progress,
    scenario::{CrashPoint, MessageId},
};

/// The world's record of one delivery.
pub(super) struct Delivered {
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
    /// The number of past epochs that the device has kept, if others were too old before the change.
    kept: Option<usize>,
    /// The expectation that the result breaks.
    breach: Option<&'static str>,
    /// True if a thief submitted the entry, and the device noticed it.
    detected: bool,
    /// The events that the device told its application, if an `expect` asks for events.
    told: Vec<ToldEvent>,
    /// The cost. [`None`] if the entry waits for a handshake, and the device tries again.
    cost: Option<DeliveryCost>,
}

/// The world's record of the deliveries that one device has processed together.
#[derive(Default)]
pub(super) struct CaughtUp {
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
pub(super) struct DeliveryContext<'w, 's> {
    pub(super) service: &'w ServiceUnderTest<'s>,
    pub(super) rules: &'w DeliveryRules,
    pub(super) network: &'w Network,
    forged: &'w Forgeries,
    progress: &'w Progress,
    /// True if an `expect` asks for events.
    tells: bool,
    clock: &'w VirtualClock,
    /// The time by the service's clock.
    pub(super) now: Timestamp,
    /// The same time, in milliseconds since the scenario began.
    pub(super) ms: u64,
    /// The number of devices that keep their group in memory.
    keep: usize,
}

/// The manner in which a delivery reaches a device.
#[derive(Clone, Copy)]
pub(super) struct Arrived {
    /// True if it may arrive after later entries.
    pub(super) late: bool,
    /// True if a handshake before it is missing, so that the device cannot process it yet.
    pub(super) early: bool,
    /// True if the device has had the entry before.
    pub(super) copy: bool,
}

impl<'t> World<'t> {
    /// Delivers to all devices that are connected.
    pub(super) fn deliver_to_all(&mut self) -> Result<(), StepFailure> {
        self.lock_idle_devices()?;
        let (context, devices) = self.delivery_context();
        let devices = devices.as_mut_slice().par_iter_mut();
        let catch_up = |device: &mut Device| match device.is_connected() {
            true => device.catch_up(&context, Reading::default()),
            false => Ok(CaughtUp::default()),
        };
        let results: Vec<_> = devices.map(catch_up).collect();
        for (device, result) in results.into_iter().enumerate() {
            self.record(device, result?);
        }
        Ok(())
    }

    /// Delivers to one device, which asks the service because it has to be up to date before it
    /// continues.
    pub(super) fn deliver_to(&mut self, device: usize) -> Result<(), StepFailure> {
        self.deliver_until(device, Reading { until: None, fetches: true })
    }

    /// Delivers to one device the entries before its own commit. In the next epoch the device could
    /// not read them.
    pub(super) fn deliver_before(&mut self, device: usize, commit: &[u8]) -> Result<(), StepFailure> {
        self.deliver_until(device, Reading { until: Some(commit), fetches: true })
    }

    fn deliver_until(&mut self, device: usize, reading: Reading<'_>) -> Result<(), StepFailure> {
        if self.devices[device].partitioned {
            return Ok(());
        }
        let (context, devices) = self.delivery_context();
        let caught_up = devices[device].catch_up(&context, reading)?;
        self.record(device, caught_up);
        Ok(())
    }

    /// The parts of the world that devices read while they process, and the devices.
    fn delivery_context(&mut self) -> (DeliveryContext<'_, 't>, &mut Devices) {
        let context = DeliveryContext {
            service: &self.service,
            rules: &self.delivery_rules,
            network: &self.network,
            forged: &self.thieves.forged,
            progress: &self.progress,
            tells: self.told.is_active(),
            clock: &self.clock,
            now: self.clock.now(),
            ms: self.clock.ms(),
            keep: self.loaded_groups.devices(self.service.member_count()),
        };
        (context, &mut self.devices)
    }

    fn record(&mut self, device: usize, caught_up: CaughtUp) {
        let CaughtUp { deliveries, epochs } = caught_up;
        // The records of costs and facts know one history.
        let in_second = self.service.is_in_second_history(device);
        let findings_of = device;
        for delivered in deliveries {
            let Delivered { group, kind, sequence, id, meaning, crashed, new_epoch, .. } = delivered;
            let Delivered { forgot, change, kept, breach, detected, told, cost, .. } = delivered;
            self.told.tell(device, &group, told);
            let label = self.service.label(&group);
            let (device, recorder) = (&mut self.devices[device], &mut self.recorder);
            if let Some(cost) = cost.filter(|_| !in_second) {
                recorder.costs.delivered(&group, sequence, kind, cost);
            }
            if let Some(cost) = cost.filter(|_| kind == DeliveryKind::Message) {
                self.service.sent.delivered(&group, cost.bytes);
            }
            let to = device.name.clone();
            if crashed {
                recorder.tell(TranscriptEvent::Crashed { who: to.clone(), at: CrashPoint::DuringWrite });
            }
            let kind = kind_name(kind);
            if forgot {
                recorder.facts.forgot(device.index, &group);
            }
            if let Some(kept) = kept.filter(|_| !in_second) {
                recorder.facts.past_erased(device.index, &group, kept);
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
                recorder.breach_at(&to, label.as_ref(), id.as_ref(), expected, meaning.clone());
            }
            if let Some(thief) = detected.then(|| self.thieves.detect(&group, sequence)).flatten() {
                let (group, by, how) = (label.clone(), to.clone(), meaning.clone());
                recorder.tell(TranscriptEvent::Detected { thief, group, by, how });
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
    /// Ends the processing of deliveries.
    pub(super) fn end_catching_up(
        &mut self,
        context: &DeliveryContext<'_, '_>,
        is_complete: bool,
        deliveries: Vec<Delivered>,
    ) -> Result<CaughtUp, StepFailure> {
        let endpoint = context.service.endpoint_of(self.index);
        let joined = deliveries.iter().filter(|delivered| matches!(delivered.change, Some(StateChange::Joined)));
        self.unaccepted.extend(joined.map(|delivered| delivered.group.clone()));
        for group in mem::take(&mut self.unaccepted) {
            match endpoint.accept(&group, &self.address, context.now) {
                Err(StoreError::DiskFull) => _ = self.unaccepted.insert(group),
                accepted => accepted?,
            }
        }
        if is_complete {
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
    pub(super) fn acknowledge(&mut self, endpoint: &Endpoint<'_>, up_to: Cursor) -> Result<(), StepFailure> {
        match endpoint.acknowledge(&self.address, up_to) {
            Err(StoreError::DiskFull) => self.unacknowledged = Some(up_to),
            acknowledged => _ = acknowledged?,
        }
        Ok(())
    }

    /// Gives a delivery to the engine, and compares the result with the expected one.
    pub(super) fn process(
        &mut self,
        delivery: &Delivery,
        arrived: Arrived,
        context: &DeliveryContext<'_, '_>,
    ) -> Result<Delivered, StepFailure> {
        let (group, sequence) = (&delivery.group, delivery.receipt.sequence);
        let policy = self.policy.clone();
        let message = context.service.message_at(self.index, group, sequence);
        let message = message.filter(|_| delivery.kind == DeliveryKind::Message);
        let forgery = context.forged.get(group, sequence);
        let epoch = self.epoch(group);
        let arrival = ArrivingDelivery { delivery, message, forgery, arrived, epoch, policy: &policy };
        // Keys that the device saw in its own work are no event.
        self.answers.take_shown();
        let forgot = self.is_locked_out(group) && delivery.kind == DeliveryKind::Welcome;
        let (result, crashed) = self.receive(delivery, context)?;
        // A call that fails erases nothing.
        let now = self.clock.now(context.clock);
        let is_processed = epoch.is_some() && matches!(result, Ok(Some(_)));
        let kept = is_processed.then(|| self.in_group(group).window.expire(now, &policy)).flatten();
        if let (Ok(Some(ReceivedEvent::Message(_))), Some((_, message))) = (&result, message)
            && let (Some(checks), Some(receipt)) = (&mut self.checks, &message.receipt)
        {
            checks.compare(receipt);
        }
        let counts = self.log.present();
        let new_epoch = self.enter_epoch(group, &result, now);
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
        let told = match context.tells && !arrived.early {
            true => ToldEvent::of_delivery(&result, delivery, self.answers.take_shown()),
            false => Vec::new(),
        };
        Ok(Delivered {
            cost: (!arrived.early).then_some(DeliveryCost { role, bytes: delivery.bytes.len() as u64, counts }),
            group: group.clone(),
            kind: delivery.kind,
            sequence,
            id: context.service.name_of(self.index, group, sequence).cloned(),
            meaning: if arrived.early {
                "waits for its epoch".to_owned()
            } else {
                describe(&result, context.service.endpoint.suffix())
            },
            crashed,
            new_epoch,
            forgot,
            change,
            kept,
            told,
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
        let now = self.clock.now(context.clock);
        let mark = self.mark_if_crash_armed();
        let mut crashed = false;
        loop {
            self.log.begin(operation);
            let result = match delivery.kind {
                DeliveryKind::Welcome => self.join(delivery, now, context).map(|()| None),
                _ => self.client.receive(&delivery.bytes, now).map(|received| Some(received.event)),
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
    fn join(&mut self, welcome: &Delivery, now: Timestamp, context: &DeliveryContext<'_, '_>) -> Result<(), Error> {
        if self.is_locked_out(&welcome.group) {
            self.client.forget(&welcome.group)?;
        }
        let replaces_another = self.replaces_another(&welcome.group)?;
        let joined = match self.client.join(&welcome.bytes, now) {
            Err(Error::NeedsRatchetTree { group, epoch }) => {
                let endpoint = context.service.endpoint_of(self.index);
                let kept = self.welcome_trees.remove(&(group.clone(), epoch));
                let fetched = || endpoint.ratchet_tree(&group, &self.address, epoch).ok().flatten();
                let tree = kept.or_else(fetched).ok_or(Error::NeedsRatchetTree { group, epoch })?;
                self.client.join(JoinMessage::with_tree(&welcome.bytes, &tree), now)
            }
            joined => joined,
        };
        joined?;
        self.in_group(&welcome.group).resume |= replaces_another;
        Ok(())
    }

    /// Updates the device's view of a group. True if the device is in a new epoch.
    fn enter_epoch(&mut self, group: &GroupId, result: &DeliveryResult, now: Timestamp) -> bool {
        match result {
            Ok(None) => {
                let joined = self.epoch(group).unwrap_or_default();
                self.in_group(group).joined(joined);
                true
            }
            Ok(Some(ReceivedEvent::Removed { epoch, .. })) => {
                let state = self.in_group(group);
                state.reached = epoch.0;
                state.window.left();
                false
            }
            Ok(Some(ReceivedEvent::Commit(change))) => {
                let added = change.added().any(|added| added == self.client.device());
                let policy = self.policy.clone();
                let state = self.in_group(group);
                state.window.epoch_ended(change.epoch.0.saturating_sub(1), now, &policy);
                state.resume |= change.resume;
                state.reached = change.epoch.0;
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
