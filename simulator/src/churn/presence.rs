//! Presence: members go offline and come back.

use std::time::Duration;

use super::{
    draws::Draws,
    group::{Group, Stay},
    instant::Instant,
    schedule::Schedule,
};

/// The longest time offline. The delivery service keeps an undelivered entry for 30 days; a device
/// that is away for longer has to rejoin.
pub const MAX_OFFLINE: Duration = Duration::from_secs(25 * 24 * 60 * 60);

/// The lengths of online and offline periods. Both are exponential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The mean length of an online period.
    pub online: Duration,
    /// The mean length of an offline period. A longer draw than [`MAX_OFFLINE`] is cut.
    pub offline: Duration,
}

/// The next changes of presence of all members.
#[derive(Clone, Debug)]
pub(crate) struct PresenceClock {
    presence: Presence,
    starts: Draws,
    periods: Draws,
    /// The number of periods that were drawn for each member.
    drawn: Vec<u32>,
    changes: Schedule,
}

impl PresenceClock {
    pub(crate) fn new(presence: Presence, members: usize, draws: impl Fn(&str) -> Draws) -> Self {
        Self {
            presence,
            starts: draws("presence at the start"),
            periods: draws("presence"),
            drawn: vec![0; members],
            changes: Schedule::default(),
        }
    }

    /// Draws the presence of a member at the start of the churn, from the shares of both periods.
    pub(crate) fn is_online_at_start(&self, member: u32) -> bool {
        let (online, offline) = (self.presence.online.as_secs_f64(), self.presence.offline.as_secs_f64());
        self.starts.uniform(u64::from(member), 0) * (online + offline) <= online
    }

    /// Schedules the end of the period that begins now.
    pub(crate) fn begin(&mut self, now: Instant, stay: Stay, online: bool) {
        let drawn = &mut self.drawn[stay.member as usize];
        let draw = self.periods.exponential(u64::from(stay.member), *drawn);
        *drawn += 1;
        let length = match online {
            true => self.presence.online.as_secs_f64() * draw,
            false => (self.presence.offline.as_secs_f64() * draw).min(MAX_OFFLINE.as_secs_f64()),
        };
        self.changes.add(now.after(length), stay);
    }

    /// The time of the next change.
    pub(crate) fn time(&self) -> Instant {
        self.changes.time()
    }

    /// Takes the member whose presence changes next. [`None`] if its stay has ended.
    pub(crate) fn take(&mut self, group: &Group) -> Option<Stay> {
        self.changes.take().map(|(_, stay)| stay).filter(|stay| group.lasts(*stay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_online_for_their_share_of_time() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let presence = Presence { online: hours(6), offline: hours(18) };
        let mut group = Group::new(1000);
        let mut clock = PresenceClock::new(presence, 1000, |name| Draws::new(7, 1, name));
        for member in 0..1000 {
            let online = clock.is_online_at_start(member);
            group.enter(member);
            let stay = group.stay(member);
            group.set_online(member, online);
            clock.begin(Instant::default(), stay, online);
        }
        assert!((200..300).contains(&group.able()), "{}", group.able());
        while clock.time() < Instant::from_seconds(200_000) {
            let now = clock.time();
            let stay = clock.take(&group).unwrap();
            let online = !group.is_online(stay.member);
            group.set_online(stay.member, online);
            clock.begin(now, stay, online);
        }
        assert!((200..300).contains(&group.able()), "{}", group.able());
    }
}
