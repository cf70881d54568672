//! A device catches up: it reads the log, and processes the entries that have arrived.

use std::mem;

use regrow_delivery_service::{Delivery, DeliveryKind};
use regrow_engine::GroupId;

use super::{connection::ArrivalTimes, inbox::InboxEntry};
use crate::world::{
    deliver::{Arrived, CaughtUp, Delivered, DeliveryContext},
    delivery_rules::DeliveryRule,
    device::{Device, ReadStatus},
    fault_injection::EarlyEntry,
    service_under_test::Treatment,
    step_failure::StepFailure,
};

/// The number of entries that a device reads from the service at once.
const PAGE: usize = 64;

/// The extent of a reading.
#[derive(Clone, Copy, Default)]
pub(in crate::world) struct Reading<'c> {
    /// The commit before which the reading ends.
    pub(in crate::world) until: Option<&'c [u8]>,
    /// True if the device asks the service. Then it gets the entries that are still on their way.
    pub(in crate::world) fetches: bool,
}

/// What happened to an entry that a device took.
enum Taken {
    Processed,
    Kept(Box<InboxEntry>),
    Gone,
}

impl Device {
    /// Processes the deliveries that have arrived: new ones, and released ones.
    pub(in crate::world) fn catch_up(
        &mut self,
        context: &DeliveryContext<'_, '_>,
        reading: Reading<'_>,
    ) -> Result<CaughtUp, StepFailure> {
        let endpoint = context.service.endpoint_of(self.index);
        let mut deliveries = Vec::new();
        if let Some(up_to) = self.unacknowledged.take() {
            self.acknowledge(endpoint, up_to)?;
        }
        'pages: loop {
            let page = endpoint.read(&self.address, self.cursor, PAGE)?;
            let Some(last) = page.last().map(|delivery| delivery.cursor) else { break };
            for delivery in page {
                let is_commit = delivery.kind == DeliveryKind::Commit;
                if reading.until.is_some_and(|commit| is_commit && delivery.bytes[..] == *commit) {
                    break 'pages;
                }
                let cursor = delivery.cursor;
                match context.service.treatment(self.index, &delivery) {
                    Treatment::EndStream => break 'pages,
                    Treatment::KeepBack if delivery.sender != self.address => self.kept_back.push(delivery),
                    Treatment::Deliver | Treatment::KeepBack => self.read_entry(delivery, context, &mut deliveries)?,
                    Treatment::DeliverAllReversed => {
                        let kept = mem::take(&mut self.kept_back).into_iter().rev();
                        for delivery in std::iter::once(delivery).chain(kept) {
                            self.take_reversed(delivery, context, &mut deliveries)?;
                        }
                    }
                }
                self.cursor = cursor;
            }
            self.acknowledge(endpoint, last)?;
        }
        if reading.fetches {
            self.inbox.fetch(context.ms);
        }
        self.process_inbox(context, &mut deliveries)?;
        self.end_catching_up(context, reading.until.is_none(), deliveries)
    }

    /// Takes an entry that the service has just sent. It may still be on its way.
    fn read_entry(
        &mut self,
        delivery: Delivery,
        context: &DeliveryContext<'_, '_>,
        delivered: &mut Vec<Delivered>,
    ) -> Result<(), StepFailure> {
        let (retention, expired) = (context.service.least_retention(), context.service.expired_until.0);
        self.in_group(&delivery.group).note_entry(&delivery, retention, expired);
        self.check_receipt(&delivery);
        let not_before = self.inbox.last_arrival;
        let ArrivalTimes { first, overtaken, second } =
            context.network.arrival(self.index, &self.name, &delivery, (self.inbox.open_since, context.ms), not_before);
        if !overtaken {
            self.inbox.last_arrival = first;
        }
        if let Some(second) = second {
            self.inbox.push(InboxEntry::new(delivery.clone(), second, true));
        }
        let entry = InboxEntry::new(delivery, first, false);
        if first > context.ms {
            return self.keep(entry, context);
        }
        self.fetch_lost_before(&entry, context);
        if self.has_to_wait(&entry, context) {
            return self.keep(entry, context);
        }
        match self.take(entry, false, context, delivered)? {
            Taken::Kept(entry) => self.keep(*entry, context),
            Taken::Processed | Taken::Gone => Ok(()),
        }
    }

    /// Keeps an entry that the device cannot process yet. The service keeps the tree of a welcome
    /// until the welcome is acknowledged, so the device takes the tree now.
    fn keep(&mut self, entry: InboxEntry, context: &DeliveryContext<'_, '_>) -> Result<(), StepFailure> {
        let Delivery { kind, group, receipt, .. } = &entry.delivery;
        if *kind == DeliveryKind::Welcome {
            let tree = context.service.endpoint_of(self.index).ratchet_tree(group, &self.address, receipt.epoch)?;
            self.welcome_trees.extend(tree.map(|tree| ((group.clone(), receipt.epoch), tree)));
        }
        self.inbox.push(entry);
        Ok(())
    }

    /// Compares the receipt of an entry of the stream with those before it. A delivery that is lost
    /// or overtaken on its way is no false receipt: the device waits for it.
    pub(in crate::world) fn check_receipt(&mut self, delivery: &Delivery) {
        if let Some(checks) = &mut self.checks {
            checks.read(delivery);
        }
    }

    /// Takes an entry that the service sends in a false order. The device trusts the order.
    fn take_reversed(
        &mut self,
        delivery: Delivery,
        context: &DeliveryContext<'_, '_>,
        delivered: &mut Vec<Delivered>,
    ) -> Result<(), StepFailure> {
        self.check_receipt(&delivery);
        let entry = InboxEntry::new(delivery, context.ms, false);
        if let Taken::Kept(entry) = self.take(entry, true, context, delivered)? {
            self.inbox.push(*entry);
        }
        Ok(())
    }

    /// Processes the entries of the inbox that have arrived and need not wait any longer.
    fn process_inbox(
        &mut self,
        context: &DeliveryContext<'_, '_>,
        delivered: &mut Vec<Delivered>,
    ) -> Result<(), StepFailure> {
        let mut index = 0;
        while let Some(entry) = self.inbox.entries.get(index) {
            if entry.lost || entry.at > context.ms {
                index += 1;
                continue;
            }
            let entry = entry.clone();
            if self.fetch_lost_before(&entry, context) {
                index = 0;
                continue;
            }
            if self.has_to_wait(&entry, context) {
                if context.network.early_entry == EarlyEntry::IsSkipped {
                    self.inbox.entries.remove(index);
                    continue;
                }
                self.try_early(index, context, delivered)?;
                index += 1;
                continue;
            }
            self.inbox.entries.remove(index);
            let is_handshake = entry.is_handshake();
            match self.take(entry, true, context, delivered)? {
                Taken::Kept(entry) => {
                    self.inbox.entries.insert(index, *entry);
                    index += 1;
                }
                // Other entries may have waited for this one.
                Taken::Processed if is_handshake => index = 0,
                Taken::Processed | Taken::Gone => {}
            }
        }
        Ok(())
    }

    /// A device that gets an entry sees by its number which earlier ones it has lost, and fetches
    /// them. True if there are any.
    fn fetch_lost_before(&mut self, entry: &InboxEntry, context: &DeliveryContext<'_, '_>) -> bool {
        let arrives = match self.rule(&entry.delivery, context) {
            DeliveryRule::Hold => false,
            DeliveryRule::Drop => entry.fetched,
            DeliveryRule::Deliver | DeliveryRule::Repeat => true,
        };
        arrives && self.inbox.fetch_before(entry.delivery.cursor)
    }

    /// True if the device lacks a handshake that the entry needs.
    fn has_to_wait(&self, entry: &InboxEntry, context: &DeliveryContext<'_, '_>) -> bool {
        context.network.early_entry != EarlyEntry::IsProcessed
            && self.inbox.blocks(entry, self.reached(&entry.delivery.group))
    }

    /// Gives a message to the engine before its epoch has begun on the device. The engine must
    /// refuse it, and read it later.
    fn try_early(
        &mut self,
        index: usize,
        context: &DeliveryContext<'_, '_>,
        delivered: &mut Vec<Delivered>,
    ) -> Result<(), StepFailure> {
        let Some(entry) = self.inbox.entries.get_mut(index).filter(|entry| !entry.tried && !entry.is_handshake())
        else {
            return Ok(());
        };
        let delivery = entry.delivery.clone();
        let rule = self.rule(&delivery, context);
        if matches!(rule, DeliveryRule::Deliver | DeliveryRule::Repeat) {
            self.inbox.entries[index].tried = true;
            let arrived = Arrived { late: true, early: true, copy: false };
            delivered.push(self.process(&delivery, arrived, context)?);
        }
        Ok(())
    }

    /// The rule of the scenario for a delivery.
    fn rule(&self, delivery: &Delivery, context: &DeliveryContext<'_, '_>) -> DeliveryRule {
        match context.service.name_of(self.index, &delivery.group, delivery.receipt.sequence) {
            Some(id) if delivery.sender != self.address => context.rules.rule(id, &self.name),
            _ => DeliveryRule::Deliver,
        }
    }

    /// Takes one delivery, in order or late, and applies the delivery rules to it.
    fn take(
        &mut self,
        mut entry: InboxEntry,
        late: bool,
        context: &DeliveryContext<'_, '_>,
        delivered: &mut Vec<Delivered>,
    ) -> Result<Taken, StepFailure> {
        let message = context.service.message_at(self.index, &entry.delivery.group, entry.sequence());
        let message = message.filter(|_| !entry.is_handshake());
        let rule = self.rule(&entry.delivery, context);
        match (rule, message) {
            (DeliveryRule::Drop, Some((number, _))) => {
                self.read_status.insert(number, ReadStatus::Dropped);
                return Ok(Taken::Gone);
            }
            // The service keeps a handshake, so the device can fetch it.
            (DeliveryRule::Drop, None) if !entry.fetched => {
                entry.lost = true;
                return Ok(Taken::Kept(Box::new(entry)));
            }
            (DeliveryRule::Hold, message) => {
                if let Some((number, _)) = message {
                    self.read_status.insert(number, ReadStatus::Held);
                }
                entry.held = true;
                return Ok(Taken::Kept(Box::new(entry)));
            }
            (DeliveryRule::Deliver | DeliveryRule::Drop | DeliveryRule::Repeat, _) => {}
        }
        let arrived = Arrived { late, early: false, copy: entry.copy };
        delivered.push(self.process(&entry.delivery, arrived, context)?);
        if rule == DeliveryRule::Repeat {
            delivered.push(self.process(&entry.delivery, Arrived { copy: true, ..arrived }, context)?);
        }
        Ok(Taken::Processed)
    }

    /// The epoch of a group that the device has reached.
    fn reached(&self, group: &GroupId) -> u64 {
        self.groups.get(group).map_or(0, |group| group.reached)
    }

    /// True if the device can be in a group's present state: it is connected, and no handshake is
    /// held back from it.
    pub(in crate::world) fn keeps_up(&self, group: &GroupId) -> bool {
        self.is_connected() && !self.is_behind(group)
    }

    /// True if the device works, it reaches the service, and the service reaches it.
    pub(in crate::world) fn is_connected(&self) -> bool {
        self.online && !self.partitioned && !self.client.is_locked()
    }

    /// True if a handshake is held back that the device needs to go on in a group.
    pub(in crate::world) fn is_behind(&self, group: &GroupId) -> bool {
        self.inbox.holds_handshake(group, self.reached(group))
    }
}
