//! The values of an axis that a file gives as a range: on a linear or on a logarithmic scale.
//!
//! The module uses only operations whose results IEEE 754 fixes. So a range has the same values on
//! every machine.

/// The spacing of the values of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeScale {
    /// Equal differences.
    Linear,
    /// Equal quotients.
    Log,
}

/// The whole numbers of a range with this number of points, both ends included. Rounding can make
/// two of them equal.
pub(super) fn values(from: u64, to: u64, points: u64, scale: RangeScale) -> Vec<u64> {
    let last = points.saturating_sub(1);
    let value = |number: u64| match scale {
        _ if number == 0 => from,
        _ if number == last => to,
        RangeScale::Linear => {
            let distance = u128::from(to.saturating_sub(from)) * u128::from(number);
            // The nearest whole number. The quotient is at most `to - from`.
            from + ((distance + u128::from(last) / 2) / u128::from(last)) as u64
        }
        RangeScale::Log => (from as f64 * power(quotient(to as f64 / from as f64, last), number)).round() as u64,
    };
    (0..points).map(value).collect()
}

/// The number whose power with this exponent is `whole`, which is at least 1.
fn quotient(whole: f64, exponent: u64) -> f64 {
    let (mut low, mut high) = (1.0, whole);
    // Each turn halves the interval. After 200 turns it has no number in it any more.
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if power(middle, exponent) < whole { low = middle } else { high = middle }
    }
    high
}

fn power(base: f64, exponent: u64) -> f64 {
    (0..exponent).fold(1.0, |power, _| power * base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_exact_on_a_log_scale() {
        assert_eq!(values(2, 512, 9, RangeScale::Log), [2, 4, 8, 16, 32, 64, 128, 256, 512]);
        assert_eq!(values(1, 1_000_000, 7, RangeScale::Log), [1, 10, 100, 1000, 10_000, 100_000, 1_000_000]);
        assert_eq!(values(10, 1000, 4, RangeScale::Log), [10, 46, 215, 1000]);
    }

    #[test]
    fn a_linear_range_has_equal_distances() {
        assert_eq!(values(0, 100, 5, RangeScale::Linear), [0, 25, 50, 75, 100]);
        assert_eq!(values(1, 2, 2, RangeScale::Linear), [1, 2]);
        assert_eq!(values(0, u64::MAX, 3, RangeScale::Linear), [0, 1 << 63, u64::MAX]);
    }
}
