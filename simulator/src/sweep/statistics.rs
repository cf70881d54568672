//! Mean, median, 95th percentile, and the 95 % confidence interval of a mean.
//!
//! The module uses only operations whose results IEEE 754 fixes: the four basic operations and the
//! square root. So the same numbers give the same statistics on every machine.

/// The statistics of the values of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// The number of values.
    pub n: usize,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub median: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The ends of the 95 % confidence interval of the mean, by Student's t distribution. Not set
    /// for one value.
    pub interval: Option<(f64, f64)>,
}

impl Statistics {
    /// The statistics of these values. [`None`] if there is no value.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        if n == 0 {
            return None;
        }
        let mean = sorted.iter().sum::<f64>() / n as f64;
        let interval = (n > 1).then(|| {
            let squares: f64 = sorted.iter().map(|value| (value - mean) * (value - mean)).sum();
            let half = student_t(n - 1) * (squares / (n - 1) as f64 / n as f64).sqrt();
            (mean - half, mean + half)
        });
        Some(Self { n, mean, median: percentile(&sorted, 50), p95: percentile(&sorted, 95), interval })
    }
}

/// A percentile of sorted values. Between two values the percentile is linear, as in NumPy and R's
/// type 7.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let position = (sorted.len() - 1) * percent;
    let (index, rest) = (position / 100, position % 100);
    let low = sorted[index];
    let high = sorted.get(index + 1).copied().unwrap_or(low);
    low + (high - low) * (rest as f64 / 100.0)
}

/// The 0.975 quantiles of Student's t distribution with 1 to 30 degrees of freedom.
const STUDENT_T: [f64; 30] = [
    12.706204736,
    4.302652730,
    3.182446305,
    2.776445105,
    2.570581836,
    2.446911851,
    2.364624252,
    2.306004135,
    2.262157163,
    2.228138852,
    2.200985160,
    2.178812830,
    2.160368656,
    2.144786688,
    2.131449546,
    2.119905299,
    2.109815578,
    2.100922040,
    2.093024054,
    2.085963447,
    2.079613845,
    2.073873068,
    2.068657610,
    2.063898562,
    2.059538553,
    2.055529439,
    2.051830516,
    2.048407142,
    2.045229642,
    2.042272456,
];

/// The 0.975 quantile of Student's t distribution.
fn student_t(degrees: usize) -> f64 {
    if let Some(quantile) = STUDENT_T.get(degrees.saturating_sub(1)) {
        return *quantile;
    }
    // The expansion of Cornish and Fisher (Abramowitz and Stegun, 26.7.5). Above 30 degrees of
    // freedom its error is below 1e-6.
    let n = degrees as f64;
    let x = Z;
    let x2 = x * x;
    let first = x * (x2 + 1.0) / 4.0;
    let second = x * ((5.0 * x2 + 16.0) * x2 + 3.0) / 96.0;
    let third = x * (((3.0 * x2 + 19.0) * x2 + 17.0) * x2 - 15.0) / 384.0;
    let fourth = x * ((((79.0 * x2 + 776.0) * x2 + 1482.0) * x2 - 1920.0) * x2 - 945.0) / 92160.0;
    x + (first + (second + (third + fourth / n) / n) / n) / n
}

/// The 0.975 quantile of the normal distribution.
const Z: f64 = 1.959963984540054;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_agree_with_numpy_and_scipy() {
        // numpy.percentile, and scipy.stats.t.interval(0.95, 9, mean, sem) of these numbers.
        let values = [12.0, 15.0, 11.0, 19.0, 14.0, 13.0, 16.0, 18.0, 12.0, 15.0];
        let told = Statistics::of(&values).unwrap();
        assert_eq!((told.n, told.mean, told.median), (10, 14.5, 14.5));
        assert!((told.p95 - 18.549999999999997).abs() < 1e-9);
        let (low, high) = told.interval.unwrap();
        assert!((low - 12.614869031).abs() < 1e-7 && (high - 16.385130969).abs() < 1e-7, "{low} {high}");
    }

    #[test]
    fn one_value_has_no_interval_and_none_has_no_statistics() {
        let told = Statistics::of(&[3.0]).unwrap();
        assert_eq!((told.mean, told.median, told.p95, told.interval), (3.0, 3.0, 3.0, None));
        assert_eq!(Statistics::of(&[]), None);
    }

    #[test]
    fn equal_values_have_an_interval_without_width() {
        assert_eq!(Statistics::of(&[7.0; 5]).unwrap().interval, Some((7.0, 7.0)));
    }

    #[test]
    fn quantiles_join_at_thirty_degrees_and_approach_the_normal_distribution() {
        // scipy.stats.t.ppf(0.975, [31, 60, 120]).
        for (degrees, quantile) in [(31, 2.039513446), (60, 2.000297822), (120, 1.979930405)] {
            assert!((student_t(degrees) - quantile).abs() < 1e-6, "{degrees}");
        }
        assert!(student_t(30) > student_t(31) && student_t(100_000) - Z < 1e-4);
    }
}
