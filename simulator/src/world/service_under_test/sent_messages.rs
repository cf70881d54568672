//! The application messages that the service has ordered.

use std::collections::BTreeMap;

use regrow_delivery_service::{Receipt, Timestamp};
use regrow_engine::GroupId;

use crate::{report::MessageTraffic, scenario::MessageId, world::window::MessagePosition};

/// An application message that the service has ordered.
pub(in crate::world) struct OrderedMessage {
    pub(in crate::world) id: MessageId,
    pub(in crate::world) group: GroupId,
    pub(in crate::world) at: MessagePosition,
    pub(in crate::world) text: Vec<u8>,
    /// The time until which the service keeps it for devices that have not read it.
    pub(in crate::world) kept_until: Timestamp,
    /// The sender's latest receipt. In a product it is in the plaintext; here it is beside the
    /// message, so that the sizes do not depend on it.
    pub(in crate::world) receipt: Option<Box<Receipt>>,
    /// True if the message is in the first history, which is the only one of an honest service.
    pub(in crate::world) in_first: bool,
    /// True if a thief has sent it in its sender's name.
    pub(in crate::world) forged: bool,
}

/// All ordered application messages of all groups, in their order.
#[derive(Default)]
pub(in crate::world) struct SentMessages {
    pub(in crate::world) list: Vec<OrderedMessage>,
    /// The bytes of the messages of each group, and their deliveries so far.
    traffic: BTreeMap<GroupId, MessageTraffic>,
    by_id: BTreeMap<MessageId, usize>,
}

impl SentMessages {
    /// The index of the message with this name.
    pub(in crate::world) fn number(&self, id: &MessageId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// A message of the second history is in the first one as well.
    pub(super) fn note_in_first(&mut self, number: usize) {
        if let Some(message) = self.list.get_mut(number) {
            message.in_first = true;
        }
    }

    /// The bytes of the messages of a group, and their deliveries so far.
    pub(in crate::world) fn traffic_of(&self, group: &GroupId) -> MessageTraffic {
        self.traffic.get(group).copied().unwrap_or_default()
    }

    /// The bytes of all messages, and their deliveries so far.
    pub(in crate::world) fn traffic(&self) -> MessageTraffic {
        self.traffic.values().fold(MessageTraffic::default(), |sum, group| MessageTraffic {
            uploaded_bytes: sum.uploaded_bytes + group.uploaded_bytes,
            deliveries: sum.deliveries + group.deliveries,
            delivered_bytes: sum.delivered_bytes + group.delivered_bytes,
        })
    }

    /// A message of this size has reached a device.
    pub(in crate::world) fn delivered(&mut self, group: &GroupId, bytes: u64) {
        let traffic = self.traffic.entry(group.clone()).or_default();
        traffic.deliveries += 1;
        traffic.delivered_bytes += bytes;
    }

    /// Adds a message. Returns its index.
    pub(super) fn push(&mut self, message: OrderedMessage, size: u64) -> usize {
        self.traffic.entry(message.group.clone()).or_default().uploaded_bytes += size;
        let number = self.list.len();
        self.by_id.insert(message.id.clone(), number);
        self.list.push(message);
        number
    }
}
