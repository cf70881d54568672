//! The scheduled events of members, the earliest first.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{group::Stay, instant::Instant};

/// Events of one kind: at most one for each stay of a member.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schedule {
    events: BinaryHeap<Reverse<(Instant, Stay)>>,
}

impl Schedule {
    pub(crate) fn add(&mut self, time: Instant, stay: Stay) {
        if time < Instant::NEVER {
            self.events.push(Reverse((time, stay)));
        }
    }

    /// The time of the next event.
    pub(crate) fn time(&self) -> Instant {
        self.events.peek().map_or(Instant::NEVER, |Reverse((time, _))| *time)
    }

    /// Takes the next event. The member may have left in the meantime.
    pub(crate) fn take(&mut self) -> Option<(Instant, Stay)> {
        self.events.pop().map(|Reverse(event)| event)
    }
}
