//! Predicts the messages that a member's policy lets it read, from message positions alone.
//!
//! The world compares the engine with this prediction, delivery by delivery. The prediction knows
//! no keys and shares no code with the engine.

use std::collections::{BTreeMap, BTreeSet};

use regrow_engine::{Policy, Timestamp};

use crate::report::Unreadable;

/// The position of an application message: its sender, its epoch, and its generation there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MessagePosition {
    pub(super) sender: usize,
    pub(super) epoch: u64,
    /// The generation of the message's key (RFC 9420, 9.1).
    pub(super) generation: u32,
}

/// The messages that one member has read and can still read, since it joined.
#[derive(Default)]
pub(super) struct Window {
    /// The first epoch of the member, since it joined or rejoined.
    since: u64,
    senders: BTreeMap<(u64, usize), SenderGenerations>,
    /// The past epochs that the member keeps, the oldest first, and the time of each end.
    ended: Vec<(u64, Timestamp)>,
    /// The first epoch that is not too old.
    young: u64,
}

/// The generations of one sender in one epoch.
#[derive(Default)]
struct SenderGenerations {
    /// The generation after the latest that was read.
    head: u32,
    read: BTreeSet<u32>,
}

impl Window {
    /// Starts anew: the member is in the group from this epoch on, and has no older keys.
    pub(super) fn joined(&mut self, epoch: u64) {
        *self = Self { since: epoch, ..Self::default() };
    }

    /// The member has entered the next epoch at this time of its clock.
    pub(super) fn epoch_ended(&mut self, epoch: u64, now: Timestamp, policy: &Policy) {
        self.ended.push((epoch, now));
        self.ended.drain(..self.ended.len().saturating_sub(policy.past_epochs));
    }

    /// The member is out of the group, or has forgotten it. It keeps no past epoch.
    pub(super) fn left(&mut self) {
        self.ended.clear();
    }

    /// Erases the past epochs that are too old. Returns the number of kept epochs, if there were
    /// such epochs. A time that is ahead of the member's clock counts as now.
    pub(super) fn expire(&mut self, now: Timestamp, policy: &Policy) -> Option<usize> {
        let limit = policy.past_epoch_age?;
        self.ended.iter_mut().for_each(|(_, ended)| *ended = (*ended).min(now));
        let last = self.ended.iter().rposition(|(_, ended)| now.0 - ended.0 >= limit.get())?;
        self.young = self.ended[last].0 + 1;
        self.ended.drain(..=last);
        Some(self.ended.len())
    }

    /// The member, in epoch `now`, reads the message. The message counts as read then.
    ///
    /// # Errors
    /// The reason why the member cannot read the message.
    pub(super) fn read(&mut self, at: MessagePosition, now: u64, policy: &Policy) -> Result<(), Unreadable> {
        let kept = now.saturating_sub(policy.past_epochs as u64).max(self.since).max(self.young);
        self.senders.retain(|(epoch, _), _| *epoch >= kept);
        if at.epoch < self.since || at.epoch > now {
            return Err(Unreadable::NotInEpoch);
        }
        if at.epoch < kept {
            return Err(Unreadable::ErasedEpoch);
        }
        let too_far_ahead = self.is_too_far_ahead(at, policy);
        let sender = self.senders.entry((at.epoch, at.sender)).or_default();
        let too_late = sender.head.saturating_sub(at.generation) > policy.out_of_order;
        if too_far_ahead {
            return Err(Unreadable::AheadOfWindow);
        }
        if sender.read.contains(&at.generation) {
            return Err(Unreadable::ReadBefore);
        }
        if too_late {
            return Err(Unreadable::BehindWindow);
        }
        sender.read.insert(at.generation);
        sender.head = sender.head.max(at.generation + 1);
        Ok(())
    }

    /// True if so many of the sender's earlier messages are missing that the engine refuses this
    /// one.
    pub(super) fn is_too_far_ahead(&self, at: MessagePosition, policy: &Policy) -> bool {
        let head = self.senders.get(&(at.epoch, at.sender)).map_or(0, |sender| sender.head);
        at.generation.saturating_sub(head) > policy.max_forward
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, generation: u32) -> MessagePosition {
        MessagePosition { sender: 0, epoch, generation }
    }

    #[test]
    fn late_messages_are_read_within_the_tolerance_and_once() {
        let policy = Policy { out_of_order: 2, ..Policy::default() };
        let mut window = Window::default();
        assert_eq!(window.read(at(0, 3), 0, &policy), Ok(()));
        let behind = window.read(at(0, 1), 0, &policy);
        assert_eq!(behind, Err(Unreadable::BehindWindow), "three behind the head, with a tolerance of two");
        assert_eq!(window.read(at(0, 2), 0, &policy), Ok(()));
        assert_eq!(window.read(at(0, 2), 0, &policy), Err(Unreadable::ReadBefore));
    }

    #[test]
    fn past_epochs_are_read_as_far_as_they_are_kept() {
        let policy = Policy { past_epochs: 1, ..Policy::default() };
        let mut window = Window::default();
        window.joined(2);
        assert_eq!(window.read(at(1, 0), 2, &policy), Err(Unreadable::NotInEpoch), "before it joined");
        assert_eq!(window.read(at(2, 0), 3, &policy), Ok(()));
        assert_eq!(window.read(at(2, 1), 4, &policy), Err(Unreadable::ErasedEpoch));
    }
}
