//! The second history of a service that equivocates: a second service with the same key, over a
//! copy of the store.
//!
//! Some members see only the second history, and the service orders their submissions only there.
//! While both histories are in the same epoch, the service also orders each application message in
//! the other history, so that members miss nothing: it waits there for the next message of a member
//! of that history. So each history begins with the messages of its own members. After the first
//! commit, the two groups have different keys.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use regrow_delivery_service::{Cursor, DeviceId, Outcome, Sequence, StoreError, Timestamp};
use regrow_engine::GroupId;

use super::{Endpoint, ServiceUnderTest};
use crate::world::{devices::Devices, step_failure::StepFailure};

/// A message of one history that the service has not yet ordered in the other.
pub(super) struct WaitingMessage {
    pub(super) number: usize,
    pub(super) group: GroupId,
    pub(super) sender: DeviceId,
    pub(super) bytes: Vec<u8>,
}

/// The second history, and the devices that see it.
pub(in crate::world) struct SecondHistory<'s> {
    endpoint: Endpoint<'s>,
    /// The devices, with their positions in the first history at the moment of the split.
    positions: BTreeMap<usize, Cursor>,
    /// The messages of this history, by their entries.
    messages: BTreeMap<GroupId, BTreeMap<Sequence, usize>>,
    /// The groups in which a handshake was ordered since the split.
    forked: BTreeSet<GroupId>,
    for_first: VecDeque<WaitingMessage>,
    for_second: VecDeque<WaitingMessage>,
}

impl<'s> ServiceUnderTest<'s> {
    /// Begins the second history.
    pub(in crate::world) fn equivocate(&mut self, devices: &Devices, to: &[usize]) -> Result<(), StoreError> {
        self.second = Some(SecondHistory {
            endpoint: self.endpoint.copy()?,
            positions: to.iter().map(|device| (*device, devices[*device].cursor)).collect(),
            messages: self.groups.iter().map(|(id, group)| (id.clone(), group.messages.clone())).collect(),
            forked: BTreeSet::new(),
            for_first: VecDeque::new(),
            for_second: VecDeque::new(),
        });
        Ok(())
    }

    /// Shows a device the first history again. Returns its position there.
    pub(in crate::world) fn leave_second_history(&mut self, device: usize) -> Option<Cursor> {
        let second = self.second.as_mut()?;
        let position = second.positions.remove(&device);
        if second.positions.is_empty() {
            self.second = None;
        }
        position
    }

    /// True if the device sees the second history.
    pub(in crate::world) fn is_in_second_history(&self, device: usize) -> bool {
        self.second.as_ref().is_some_and(|second| second.positions.contains_key(&device))
    }

    /// The service that the device sees.
    pub(in crate::world) fn endpoint_of(&self, device: usize) -> &Endpoint<'s> {
        match &self.second {
            Some(second) if second.positions.contains_key(&device) => &second.endpoint,
            _ => &self.endpoint,
        }
    }

    /// The number of the application message in an entry that the device sees.
    pub(super) fn message_number(&self, device: usize, group: &GroupId, sequence: Sequence) -> Option<usize> {
        let messages = match &self.second {
            Some(second) if second.positions.contains_key(&device) => second.messages.get(group)?,
            _ => &self.groups.get(group)?.messages,
        };
        messages.get(&sequence).copied()
    }

    /// Records a handshake: from now on, the members of one history cannot read messages of the
    /// other.
    pub(super) fn note_fork(&mut self, group: &GroupId) {
        if let Some(second) = &mut self.second {
            second.forked.insert(group.clone());
        }
    }

    /// Records the entry of a message in the second history.
    pub(super) fn note_in_second(&mut self, group: &GroupId, sequence: Sequence, number: usize) {
        if let Some(second) = &mut self.second {
            second.messages.entry(group.clone()).or_default().insert(sequence, number);
        }
    }

    /// Has a message wait for the other history, and orders the messages that wait for this one.
    pub(super) fn relay(&mut self, by: usize, message: WaitingMessage, now: Timestamp) -> Result<(), StepFailure> {
        let in_second = self.is_in_second_history(by);
        let Some(second) = self.second.as_mut().filter(|second| !second.forked.contains(&message.group)) else {
            return Ok(());
        };
        let due = if in_second {
            second.for_first.push_back(message);
            std::mem::take(&mut second.for_second)
        } else {
            second.for_second.push_back(message);
            std::mem::take(&mut second.for_first)
        };
        for WaitingMessage { number, group, sender, bytes } in due {
            let endpoint = self.endpoint_of(by);
            let Outcome::Accepted(receipt) = endpoint.submit_message(&group, &sender, &bytes, now)? else { continue };
            if in_second {
                self.note_in_second(&group, receipt.sequence, number);
                continue;
            }
            let kept_until = self.kept_until(now);
            if let Some(record) = self.groups.get_mut(&group) {
                record.is_new(receipt.sequence, kept_until);
                record.messages.insert(receipt.sequence, number);
                self.sent.note_in_first(number);
            }
        }
        Ok(())
    }

    /// Deletes expired records of both histories.
    pub(in crate::world) fn expire(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.endpoint.is_disk_full() {
            return Ok(());
        }
        self.endpoint.expire(now)?;
        self.expired_until = self.expired_until.max(self.endpoint.time(now));
        if let Some(second) = &self.second {
            second.endpoint.expire(now)?;
        }
        Ok(())
    }
}
