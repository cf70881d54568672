//! Members that the delivery service has cut off: the exception from the promises of a scenario's
//! end.
//!
//! A member is cut off from the step at which the service begins to withhold entries from it, to
//! reorder them, or to show it a second history. It is no longer cut off when the service is honest
//! to it again and it has processed every entry. If it has lost an entry, or has seen the second
//! history, it first has to join again. Only a member that the scenario names is an exception.

use std::ops::Range;

/// The times at which a member was cut off, in numbers of ordered messages.
#[derive(Debug, Default)]
pub(super) struct CutOff {
    /// The number of messages when the present time began.
    since: Option<usize>,
    /// True if the member has to join again.
    must_join: bool,
    /// True if the scenario has named the member since.
    named: bool,
    /// The earlier times at which the scenario has named the member.
    earlier: Vec<Range<usize>>,
}

impl CutOff {
    /// The service begins to lie to the member.
    pub(super) fn begin(&mut self, messages: usize, must_join: bool) {
        self.since.get_or_insert(messages);
        self.must_join |= must_join;
    }

    /// The member could not process an entry.
    pub(super) fn lose_entry(&mut self) {
        self.must_join = true;
    }

    /// The member has a new state of the group.
    pub(super) fn joined(&mut self) {
        self.must_join = false;
    }

    /// The member has processed every entry, and the service is honest to it.
    pub(super) fn caught_up(&mut self, messages: usize) {
        if self.must_join {
            return;
        }
        if let Some(since) = self.since.take()
            && std::mem::take(&mut self.named)
        {
            self.earlier.push(since..messages);
        }
    }

    /// True if the member is cut off.
    pub(super) fn is_now(&self) -> bool {
        self.since.is_some()
    }

    /// Names the member as cut off. False if it is not.
    pub(super) fn name(&mut self) -> bool {
        self.named |= self.since.is_some();
        self.since.is_some()
    }

    /// True if the member is cut off, and the scenario has named it.
    pub(super) fn is_excused(&self) -> bool {
        self.since.is_some() && self.named
    }

    /// True if the scenario has named the member for the time in which this message was ordered.
    pub(super) fn excuses(&self, message: usize) -> bool {
        let now = self.named && self.since.is_some_and(|since| since <= message);
        now || self.earlier.iter().any(|time| time.contains(&message))
    }

    /// The addition to a failure of a member that is cut off and not named.
    pub(super) fn hint(&self) -> &'static str {
        match self.is_now() && !self.named {
            true => {
                "; the delivery service has cut it off: `release` it and let it `rejoin`, or name it in an `expect` \
                 with `cut_off`"
            }
            false => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_is_excused_only_for_the_time_for_which_it_is_named() {
        let mut cut_off = CutOff::default();
        assert!(!cut_off.name());
        cut_off.begin(3, false);
        assert!(!cut_off.excuses(3));
        assert!(cut_off.name());
        assert!(cut_off.excuses(3) && !cut_off.excuses(2));
        cut_off.caught_up(5);
        assert!(cut_off.excuses(4) && !cut_off.excuses(5));
        cut_off.begin(7, false);
        assert!(!cut_off.is_excused() && !cut_off.excuses(7));
    }

    #[test]
    fn member_that_lost_an_entry_is_cut_off_until_it_joins() {
        let mut cut_off = CutOff::default();
        cut_off.begin(0, false);
        cut_off.lose_entry();
        cut_off.caught_up(1);
        assert!(cut_off.is_now());
        cut_off.joined();
        cut_off.caught_up(1);
        assert!(!cut_off.is_now());
    }
}
