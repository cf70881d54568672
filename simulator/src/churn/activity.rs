//! Messages: a Poisson process for the whole group, with senders by Zipf's law.

use super::{
    draws::Draws,
    instant::Instant,
    quantity::{Decimal, Rate},
    weights::Weights,
};

/// The largest weight of a member. A million of them still fit into 64 bits.
const MAX_WEIGHT: f64 = (1_u64 << 43) as f64;

/// The weight of the least active member. Smaller differences of activity are lost.
const LEAST_WEIGHT: f64 = 1024.0;

/// The messages of a churn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Messages {
    /// The mean rate of messages of one online member.
    pub rate: Rate,
    /// The exponent of Zipf's law; 0 for equal activity.
    pub zipf: Decimal,
    /// The size of a message, in bytes.
    pub size: u32,
}

/// The times and senders of messages.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    per_member: f64,
    zipf: f64,
    times: Draws,
    senders: Draws,
    ranks: Draws,
    number: u32,
    /// The weights of the members that can act.
    weights: Weights,
    /// The number of members that can act, since a time.
    members: u64,
    since: Instant,
    /// The part of the exponential draw that is left at this time.
    left: f64,
}

impl Activity {
    pub(crate) fn new(messages: &Messages, members: usize, draws: impl Fn(&str) -> Draws) -> Self {
        let times = draws("messages");
        let left = times.exponential(0, 0);
        Self {
            per_member: messages.rate.per_second(),
            zipf: messages.zipf.value(),
            times,
            senders: draws("senders"),
            ranks: draws("activity"),
            number: 0,
            weights: Weights::new(members),
            members: 0,
            since: Instant::default(),
            left,
        }
    }

    /// The time of the next message, if the group does not change before.
    pub(crate) fn time(&self) -> Instant {
        let rate = self.per_member * self.members as f64;
        if rate > 0.0 { self.since.after(self.left / rate) } else { Instant::NEVER }
    }

    /// Changes the ability of a member to send.
    pub(crate) fn set_able(&mut self, member: u32, able: bool) {
        let weight = if able { self.weight(member) } else { 0 };
        self.weights.set(member, weight);
    }

    /// Changes the number of members that can send. The rate of messages is proportional to it.
    pub(crate) fn set_members(&mut self, now: Instant, members: u64) {
        if members != self.members {
            let sent = self.per_member * self.members as f64 * now.since(self.since);
            self.left = (self.left - sent).max(0.0);
            (self.since, self.members) = (now, members);
        }
    }

    /// Draws the sender of the message at this time, and goes on to the next message.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u32> {
        let sender = self.weights.pick(self.senders.below(0, self.number, self.weights.total()));
        self.number += 1;
        self.left = self.times.exponential(0, self.number);
        self.since = now;
        sender
    }

    /// The weight of a member. Its rank is a uniform fraction u of all ranks, and its weight is
    /// u^-zipf: so the members are by Zipf's law, and a newcomer changes no rank of the others.
    fn weight(&self, member: u32) -> u64 {
        let rank = self.ranks.uniform(u64::from(member), 0);
        (LEAST_WEIGHT * libm::pow(rank, -self.zipf)).min(MAX_WEIGHT) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(zipf: &str) -> Activity {
        let messages = Messages { rate: Rate::parse("1/s").unwrap(), zipf: Decimal::parse(zipf).unwrap(), size: 32 };
        let mut activity = Activity::new(&messages, 1000, |name| Draws::new(7, 1, name));
        (0..1000).for_each(|member| activity.set_able(member, true));
        activity.set_members(Instant::default(), 1000);
        activity
    }

    /// The numbers of messages of the members, the most active first, of 20,000 messages.
    fn sent(zipf: &str) -> Vec<u32> {
        let mut activity = activity(zipf);
        let mut sent = vec![0; 1000];
        for _ in 0..20_000 {
            let sender = activity.take(activity.time()).unwrap();
            sent[sender as usize] += 1;
        }
        assert!((19..22).contains(&activity.time().whole_seconds()), "1,000 messages in a second");
        sent.sort_unstable_by(|one, other| other.cmp(one));
        sent
    }

    #[test]
    fn members_are_equally_active_with_the_exponent_0() {
        let sent = sent("0");
        assert!(sent[0] < 50 && sent[999] > 3, "{} {}", sent[0], sent[999]);
    }

    #[test]
    fn most_active_tenth_sends_most_messages() {
        // With the exponent 1, the share of the first tenth of 1,000 ranks is
        // (ln 100 + 0.577) / (ln 1000 + 0.577) = 69 %.
        let top: u32 = sent("1").iter().take(100).sum();
        assert!((11_000..16_000).contains(&top), "{top}");
    }

    #[test]
    fn change_of_the_group_keeps_the_draw() {
        let (mut one, mut other) = (activity("0"), activity("0"));
        let half = Instant::from_seconds(0).after(one.time().since(Instant::default()) / 2.0);
        one.set_members(half, 500);
        other.set_members(half, 0);
        assert_eq!(other.time(), Instant::NEVER);
        other.set_members(Instant::from_seconds(9), 1000);
        let total = activity("0").time().since(Instant::default());
        assert!((one.time().since(half) - total).abs() < 1e-5, "half of the draw at half of the rate");
        assert!((other.time().since(Instant::from_seconds(9)) - total / 2.0).abs() < 1e-5);
    }
}
