//! The time for which a member stays in the group.

use std::time::Duration;

use super::{draws::Draws, quantity::Decimal};

/// The distribution of the time from a member's entry to its wish to leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StayLength {
    /// Members never leave.
    #[default]
    Forever,
    /// The exponential distribution: a member leaves at a constant rate.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// The lognormal distribution: the logarithm of the time is normal.
    Lognormal {
        /// The median.
        median: Duration,
        /// The standard deviation of the natural logarithm.
        sigma: Decimal,
    },
    /// The Pareto distribution: the probability of a stay longer than t is (least / t)^alpha.
    Pareto {
        /// The shortest stay.
        least: Duration,
        /// The exponent. At most 1, the mean is infinite.
        alpha: Decimal,
    },
}

impl StayLength {
    /// Draws the stay of a member in seconds.
    pub(crate) fn draw(&self, draws: &Draws, member: u32) -> f64 {
        let (seconds, entity) = (Duration::as_secs_f64, u64::from(member));
        match self {
            Self::Forever => f64::INFINITY,
            Self::Exponential { mean } => seconds(mean) * draws.exponential(entity, 0),
            Self::Lognormal { median, sigma } => seconds(median) * libm::exp(sigma.value() * draws.normal(entity, 0)),
            Self::Pareto { least, alpha } => seconds(least) * libm::pow(draws.uniform(entity, 0), -1.0 / alpha.value()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// The median and the 90th percentile of many stays, in hours.
    fn percentiles(length: StayLength) -> (f64, f64) {
        let draws = Draws::new(7, 1, "stay");
        let mut stays: Vec<f64> = (0..20_000).map(|member| length.draw(&draws, member) / 3600.0).collect();
        stays.sort_by(f64::total_cmp);
        (stays[10_000], stays[18_000])
    }

    fn near((median, p90): (f64, f64), expected: (f64, f64)) {
        assert!((median / expected.0 - 1.0).abs() < 0.05, "{median}");
        assert!((p90 / expected.1 - 1.0).abs() < 0.05, "{p90}");
    }

    #[test]
    fn stays_have_their_distributions() {
        near(percentiles(StayLength::Exponential { mean: HOUR }), (0.693, 2.303));
        let sigma = Decimal::parse("1.5").unwrap();
        near(percentiles(StayLength::Lognormal { median: HOUR, sigma }), (1.0, 6.838));
        let alpha = Decimal::parse("1.2").unwrap();
        near(percentiles(StayLength::Pareto { least: HOUR, alpha }), (1.782, 6.813));
        assert_eq!(percentiles(StayLength::Forever).0, f64::INFINITY);
    }
}
