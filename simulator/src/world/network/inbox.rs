//! The deliveries that have been sent to a device, and have not reached its engine.
//!
//! A delivery waits here because it is on its way, because a rule of the scenario holds it back, or
//! because an earlier handshake is missing. A device notices a missing handshake by the numbers of
//! the service's receipts. It processes handshakes in the order of the log, and a message when it
//! arrives. A message of an epoch that has not begun on the device waits for the commit.

use regrow_delivery_service::{Cursor, Delivery, DeliveryKind, Sequence};
use regrow_engine::GroupId;

/// A delivery that waits.
#[derive(Clone)]
pub(in crate::world) struct InboxEntry {
    pub(in crate::world) delivery: Delivery,
    /// The time of its arrival, in milliseconds.
    pub(super) at: u64,
    /// True if it is the second delivery of the entry.
    pub(super) copy: bool,
    /// True if a rule holds it back.
    pub(super) held: bool,
    /// True if the delivery is lost. The device fetches the entry when it notices the loss.
    pub(super) lost: bool,
    /// True if the device has fetched the entry after a loss.
    pub(super) fetched: bool,
    /// True if the device has had the message before its epoch.
    pub(super) tried: bool,
}

impl InboxEntry {
    pub(super) fn new(delivery: Delivery, at: u64, copy: bool) -> Self {
        Self { delivery, at, copy, held: false, lost: false, fetched: false, tried: false }
    }

    pub(super) fn sequence(&self) -> Sequence {
        self.delivery.receipt.sequence
    }

    pub(super) fn is_handshake(&self) -> bool {
        self.delivery.kind != DeliveryKind::Message
    }

    fn epoch(&self) -> u64 {
        made_in(&self.delivery)
    }
}

/// The epoch in which an entry was made. A welcome belongs to the epoch of its commit.
pub(in crate::world) fn made_in(delivery: &Delivery) -> u64 {
    let after = delivery.receipt.epoch.0;
    match delivery.kind {
        DeliveryKind::Commit | DeliveryKind::Welcome => after.saturating_sub(1),
        DeliveryKind::Proposal | DeliveryKind::Message | DeliveryKind::Rollback { .. } => after,
    }
}

/// The waiting deliveries of a device, in the order of their arrival.
#[derive(Clone, Default)]
pub(in crate::world) struct Inbox {
    pub(super) entries: Vec<InboxEntry>,
    /// The arrival of the last entry that came in order.
    pub(super) last_arrival: u64,
    /// The time since which the connection exists, in milliseconds.
    pub(super) open_since: u64,
}

impl Inbox {
    pub(super) fn push(&mut self, entry: InboxEntry) {
        let place = self.entries.partition_point(|other| other.at <= entry.at);
        self.entries.insert(place, entry);
    }

    /// True if the entry has to wait: an earlier handshake is missing on a device that has reached
    /// this epoch.
    pub(super) fn blocks(&self, entry: &InboxEntry, reached: u64) -> bool {
        let group = &entry.delivery.group;
        let missing = |other: &&InboxEntry| {
            other.is_handshake() && other.delivery.group == *group && !other.copy && other.epoch() >= reached
        };
        let first = self.entries.iter().filter(missing).map(InboxEntry::sequence).min();
        let Some(first) = first else { return false };
        if entry.is_handshake() { first < entry.sequence() } else { entry.epoch() > reached }
    }

    /// True if a rule holds a handshake back that a device in this epoch has not processed.
    pub(in crate::world) fn holds_handshake(&self, group: &GroupId, reached: u64) -> bool {
        let holds = |entry: &InboxEntry| entry.held && entry.is_handshake() && entry.delivery.group == *group;
        self.entries.iter().any(|entry| holds(entry) && entry.epoch() >= reached)
    }

    /// The handshakes that a rule holds back.
    pub(in crate::world) fn held_handshakes(&self) -> impl Iterator<Item = &Delivery> {
        let held = self.entries.iter().filter(|entry| entry.held && entry.is_handshake() && !entry.copy);
        held.map(|entry| &entry.delivery)
    }

    /// True if a welcome waits.
    pub(in crate::world) fn has_welcome(&self) -> bool {
        self.entries.iter().any(|entry| entry.delivery.kind == DeliveryKind::Welcome && !entry.copy)
    }

    /// Takes a delivery that comes late, and arrives now.
    pub(in crate::world) fn keep(&mut self, delivery: Delivery, now: u64) {
        self.push(InboxEntry::new(delivery, now, false));
    }

    /// The connection of the device exists since now.
    pub(in crate::world) fn open(&mut self, now: u64) {
        self.open_since = now;
    }

    /// The device has got a later entry of its stream, and fetches the lost ones before it. True if
    /// there are any.
    pub(super) fn fetch_before(&mut self, later: Cursor) -> bool {
        let mut some = false;
        for entry in self.entries.iter_mut().filter(|entry| entry.lost && entry.delivery.cursor < later) {
            (entry.lost, entry.fetched, some) = (false, true, true);
        }
        some
    }

    /// The device fetches all entries that the service has: those on their way, and the lost ones.
    pub(super) fn fetch(&mut self, now: u64) {
        for entry in &mut self.entries {
            if entry.lost {
                (entry.lost, entry.fetched) = (false, true);
            }
            entry.at = entry.at.min(now);
        }
        self.last_arrival = self.last_arrival.min(now);
        // Several entries arrive at once now, in the order of the log.
        self.entries.sort_by_key(|entry| (entry.at, entry.delivery.cursor, entry.copy));
    }

    /// The time at which the last entry arrives that is on its way after `now`. Lost entries arrive
    /// at once, if the device fetches them.
    pub(super) fn on_its_way(&self, now: u64) -> Option<u64> {
        let waits = self.entries.iter().filter(|entry| !entry.held && (entry.lost || entry.at > now));
        waits.map(|entry| entry.at.max(now)).max()
    }
}
