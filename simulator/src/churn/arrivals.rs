//! Arrivals of new members: a Poisson process whose rate may change over time.

use std::time::Duration;

use super::{draws::Draws, instant::Instant, quantity::Rate};

/// A rate of arrivals from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RatePiece {
    /// The time since the start of the churn.
    pub from: Duration,
    /// The rate until the next piece.
    pub rate: Rate,
}

/// The times of the arrivals.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    /// The pieces: when they begin, and their rates per second.
    pieces: Vec<(Instant, f64)>,
    draws: Draws,
    number: u32,
    next: Instant,
}

impl Arrivals {
    pub(crate) fn new(pieces: &[RatePiece], draws: Draws) -> Self {
        let start = Instant::default();
        let pieces = pieces.iter().map(|piece| (start.after_duration(piece.from), piece.rate.per_second())).collect();
        let mut arrivals = Self { pieces, draws, number: 0, next: start };
        arrivals.advance();
        arrivals
    }

    /// The time of the next arrival.
    pub(crate) fn time(&self) -> Instant {
        self.next
    }

    /// Goes on to the arrival after the next one. The time between two arrivals is the time in which
    /// the integral of the rate grows by an exponential draw.
    pub(crate) fn advance(&mut self) {
        let mut left = self.draws.exponential(0, self.number);
        self.number += 1;
        let mut now = self.next;
        let ends = self.pieces.iter().skip(1).map(|(from, _)| *from).chain([Instant::NEVER]);
        for ((_, rate), end) in self.pieces.iter().zip(ends) {
            if end <= now {
                continue;
            }
            let grows = rate * end.since(now);
            if *rate > 0.0 && (end == Instant::NEVER || left < grows) {
                self.next = now.after(left / rate);
                return;
            }
            left -= grows;
            now = end;
        }
        self.next = Instant::NEVER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of arrivals in each of ten days.
    fn daily(pieces: &[(u64, &str)]) -> Vec<u32> {
        let piece = |(day, rate): &(u64, &str)| RatePiece {
            from: Duration::from_secs(day * 86_400),
            rate: Rate::parse(rate).unwrap(),
        };
        let pieces: Vec<_> = pieces.iter().map(piece).collect();
        let mut arrivals = Arrivals::new(&pieces, Draws::new(7, 1, "joins"));
        let mut days = vec![0; 10];
        while arrivals.time() < Instant::from_seconds(864_000) {
            days[(arrivals.time().whole_seconds() / 86_400) as usize] += 1;
            arrivals.advance();
        }
        days
    }

    #[test]
    fn arrivals_have_their_rate() {
        let days = daily(&[(0, "1000/d")]);
        assert!(days.iter().all(|count| (900..1100).contains(count)), "{days:?}");
    }

    #[test]
    fn rate_changes_with_time() {
        let days = daily(&[(0, "0/d"), (2, "2000/d"), (3, "0/d"), (5, "100/d"), (7, "0/d")]);
        assert_eq!((days[0], days[1], days[3], days[4], days[7]), (0, 0, 0, 0, 0));
        assert!((1800..2200).contains(&days[2]) && (60..140).contains(&days[5]), "{days:?}");
    }
}
