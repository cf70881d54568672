//! The application messages that the service has ordered.

use std::collections::BTreeMap;

use regrow_delivery_service::{Sequence, Timestamp};

use crate::{report::MessageTraffic, scenario::MessageId, world::window::MessagePosition};

/// An application message that the service has ordered.
pub(in crate::world) struct OrderedMessage {
    pub(in crate::world) id: MessageId,
    pub(in crate::world) at: MessagePosition,
    pub(in crate::world) text: Vec<u8>,
    pub(in crate::world) time: Timestamp,
    /// True if a thief has sent it in its sender's name.
    pub(in crate::world) forged: bool,
}

/// All ordered application messages, in their order.
#[derive(Default)]
pub(in crate::world) struct SentMessages {
    pub(in crate::world) list: Vec<OrderedMessage>,
    /// The bytes of the messages, and their deliveries so far.
    pub(in crate::world) traffic: MessageTraffic,
    by_id: BTreeMap<MessageId, usize>,
    by_sequence: BTreeMap<Sequence, usize>,
}

impl SentMessages {
    /// The index of the message with this name.
    pub(in crate::world) fn number(&self, id: &MessageId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The message of a log entry, with its index.
    pub(in crate::world) fn at(&self, sequence: Sequence) -> Option<(usize, &OrderedMessage)> {
        let number = *self.by_sequence.get(&sequence)?;
        Some((number, self.list.get(number)?))
    }

    /// A message of this size has reached a device.
    pub(in crate::world) fn delivered(&mut self, bytes: u64) {
        self.traffic.deliveries += 1;
        self.traffic.delivered_bytes += bytes;
    }

    pub(super) fn push(&mut self, message: OrderedMessage, size: u64, sequence: Sequence) {
        self.traffic.uploaded_bytes += size;
        let number = self.list.len();
        self.by_id.insert(message.id.clone(), number);
        self.by_sequence.insert(sequence, number);
        self.list.push(message);
    }
}
