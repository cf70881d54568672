//! Updates: the times at which a member refreshes its keys.

use std::time::Duration;

use super::{
    draws::Draws,
    group::{Group, Stay},
    instant::Instant,
    quantity::Decimal,
    schedule::Schedule,
};

/// The length of a day in seconds.
const DAY: f64 = 86_400.0;

/// The rules for updates. Each of them works by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Updates {
    /// Each member updates in this period. The phase of each member is random.
    pub every: Option<Duration>,
    /// Each member updates after this number of its own messages.
    pub after_messages: Option<u32>,
    /// Each member updates at random times: the mean number of updates in a day.
    pub daily_fraction: Option<Decimal>,
}

/// The next updates of all members.
#[derive(Clone, Debug)]
pub(crate) struct UpdateClock {
    rules: Updates,
    phases: Draws,
    fractions: Draws,
    periodic: Schedule,
    random: Schedule,
    /// The number of random updates that were drawn for each member.
    drawn: Vec<u32>,
    /// The number of messages of each member since its last update by number of messages.
    sent: Vec<u32>,
}

impl UpdateClock {
    pub(crate) fn new(rules: Updates, members: usize, draws: impl Fn(&str) -> Draws) -> Self {
        let counters = |used: bool| if used { vec![0; members] } else { Vec::new() };
        Self {
            rules,
            phases: draws("update phase"),
            fractions: draws("updates"),
            periodic: Schedule::default(),
            random: Schedule::default(),
            drawn: counters(rules.daily_fraction.is_some()),
            sent: counters(rules.after_messages.is_some()),
        }
    }

    /// Schedules the updates of a member that enters the group.
    pub(crate) fn entered(&mut self, now: Instant, stay: Stay) {
        if let Some(every) = self.rules.every {
            let phase = self.phases.uniform(u64::from(stay.member), stay.number);
            self.periodic.add(now.after(every.as_secs_f64() * phase), stay);
        }
        self.schedule_random(now, stay);
        if let Some(sent) = self.sent.get_mut(stay.member as usize) {
            *sent = 0;
        }
    }

    fn schedule_random(&mut self, now: Instant, stay: Stay) {
        if let Some(fraction) = self.rules.daily_fraction.filter(|fraction| !fraction.is_zero()) {
            let drawn = &mut self.drawn[stay.member as usize];
            let draw = self.fractions.exponential(u64::from(stay.member), *drawn);
            *drawn += 1;
            self.random.add(now.after(draw * DAY / fraction.value()), stay);
        }
    }

    /// The time of the next update.
    pub(crate) fn time(&self) -> Instant {
        self.periodic.time().min(self.random.time())
    }

    /// Takes the next update. [`None`] if the member's stay has ended.
    pub(crate) fn take(&mut self, group: &Group) -> Option<u32> {
        let is_periodic = self.periodic.time() <= self.random.time();
        let (now, stay) = if is_periodic { self.periodic.take()? } else { self.random.take()? };
        if !group.lasts(stay) {
            return None;
        }
        match self.rules.every.filter(|_| is_periodic) {
            Some(every) => self.periodic.add(now.after_duration(every), stay),
            None => self.schedule_random(now, stay),
        }
        Some(stay.member)
    }

    /// Counts a message. True if the sender has to update now.
    pub(crate) fn sent(&mut self, member: u32) -> bool {
        let (Some(most), Some(sent)) = (self.rules.after_messages, self.sent.get_mut(member as usize)) else {
            return false;
        };
        *sent += 1;
        let due = *sent >= most;
        if due {
            *sent = 0;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(rules: Updates) -> (UpdateClock, Group) {
        let mut group = Group::new(100);
        let mut clock = UpdateClock::new(rules, 100, |name| Draws::new(7, 1, name));
        for member in 0..100 {
            group.enter(member);
            clock.entered(Instant::default(), group.stay(member));
        }
        (clock, group)
    }

    /// The members that update within a number of days.
    fn within(days: u64, clock: &mut UpdateClock, group: &Group) -> Vec<u32> {
        let mut members = Vec::new();
        while clock.time() <= Instant::from_seconds(days * 86_400) {
            members.extend(clock.take(group));
        }
        members
    }

    #[test]
    fn each_member_updates_once_in_a_period() {
        let rules = Updates { every: Some(Duration::from_secs(7 * 86_400)), ..Updates::default() };
        let (mut clock, mut group) = clock(rules);
        let mut first = within(7, &mut clock, &group);
        assert_eq!(within(14, &mut clock, &group), first, "the phases stay");
        first.sort_unstable();
        assert_eq!(first, (0..100).collect::<Vec<_>>());
        group.remove(3);
        assert_eq!(within(21, &mut clock, &group).len(), 99, "a stay ends the updates");
    }

    #[test]
    fn fraction_of_the_members_updates_each_day() {
        let rules = Updates { daily_fraction: Decimal::parse("0.5"), ..Updates::default() };
        let (mut clock, group) = clock(rules);
        let count = within(20, &mut clock, &group).len();
        assert!((900..1100).contains(&count), "{count}");
    }

    #[test]
    fn number_of_messages_is_counted_for_each_member() {
        let (mut clock, _) = clock(Updates { after_messages: Some(2), ..Updates::default() });
        let due: Vec<_> = [1, 2, 1, 1, 1, 2].into_iter().map(|member| clock.sent(member)).collect();
        assert_eq!(due, [false, false, true, false, true, true]);
        assert_eq!(clock.time(), Instant::NEVER);
    }
}
