//! Which messages a member's policy lets it read, reckoned from positions alone.
//!
//! What the engine really does is compared with this, delivery by delivery: it knows no keys and shares no code with
//! the engine.

use std::collections::{BTreeMap, BTreeSet};

use regrow_engine::Policy;

/// Where an application message stands: who sent it, in which epoch, and as which of the sender's messages there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) sender: usize,
    pub(super) epoch: u64,
    /// The generation of its key (RFC 9420, 9.1).
    pub(super) generation: u32,
}

/// What one member has read and can still read, since it joined.
#[derive(Default)]
pub(super) struct Window {
    /// The first epoch that it was in, since it joined or rejoined.
    since: u64,
    ratchets: BTreeMap<(u64, usize), Ratchet>,
}

/// The generations of one sender in one epoch.
#[derive(Default)]
struct Ratchet {
    /// The generation after the latest that was read.
    head: u32,
    read: BTreeSet<u32>,
}

impl Window {
    /// The member is in the group from this epoch on, and has nothing of what was before.
    pub(super) fn joined(&mut self, epoch: u64) {
        *self = Self { since: epoch, ratchets: BTreeMap::new() };
    }

    /// Whether the member, in epoch `now`, can read the message. If so, it has read it.
    pub(super) fn reads(&mut self, at: Position, now: u64, policy: &Policy) -> bool {
        let kept = now.saturating_sub(policy.past_epochs as u64).max(self.since);
        self.ratchets.retain(|(epoch, _), _| *epoch >= kept);
        if at.epoch < kept || at.epoch > now {
            return false;
        }
        let too_far_ahead = self.is_too_far_ahead(at, policy);
        let ratchet = self.ratchets.entry((at.epoch, at.sender)).or_default();
        let too_late = ratchet.head.saturating_sub(at.generation) > policy.out_of_order;
        if too_far_ahead || too_late || !ratchet.read.insert(at.generation) {
            return false;
        }
        ratchet.head = ratchet.head.max(at.generation + 1);
        true
    }

    /// Whether so many of the sender's messages are missing before this one that it is refused.
    pub(super) fn is_too_far_ahead(&self, at: Position, policy: &Policy) -> bool {
        let head = self.ratchets.get(&(at.epoch, at.sender)).map_or(0, |ratchet| ratchet.head);
        at.generation.saturating_sub(head) > policy.max_forward
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, generation: u32) -> Position {
        Position { sender: 0, epoch, generation }
    }

    #[test]
    fn late_messages_are_read_within_the_tolerance_and_once() {
        let policy = Policy { out_of_order: 2, ..Policy::default() };
        let mut window = Window::default();
        assert!(window.reads(at(0, 3), 0, &policy));
        assert!(!window.reads(at(0, 1), 0, &policy), "three behind the head, with a tolerance of two");
        assert!(window.reads(at(0, 2), 0, &policy));
        assert!(!window.reads(at(0, 2), 0, &policy), "read before");
    }

    #[test]
    fn past_epochs_are_read_as_far_as_they_are_kept() {
        let policy = Policy { past_epochs: 1, ..Policy::default() };
        let mut window = Window::default();
        window.joined(2);
        assert!(!window.reads(at(1, 0), 2, &policy), "before it joined");
        assert!(window.reads(at(2, 0), 3, &policy));
        assert!(!window.reads(at(2, 1), 4, &policy));
    }
}
