//! The scale of an axis of a plot: from values to positions, and its ticks.

/// The largest number of labelled ticks of an axis.
const MAX_TICKS: usize = 7;

/// A linear or logarithmic scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    /// The values with a label.
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// A scale over all of these values. A linear scale of numbers that are not negative begins at 0.
    pub(super) fn over(values: impl Iterator<Item = f64>, log: bool) -> Self {
        let usable = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (low, high) =
            usable.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (1.0, 1.0) } else { (low, high) };
        if log { Self::log(low, high) } else { Self::linear(low, high) }
    }

    /// A scale whose labels are these values, as long as there are few. Otherwise it is a usual
    /// scale over them.
    pub(super) fn at(values: &[f64], log: bool) -> Self {
        let mut scale = Self::over(values.iter().copied(), log);
        if values.len() <= MAX_TICKS + 2 && (log || values.len() <= MAX_TICKS) {
            let room = if log { 1.08 } else { 1.0 };
            let fold = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick).unwrap_or(1.0);
            let (low, high) = (fold(f64::min), fold(f64::max));
            if log {
                (scale.low, scale.high) = (low / room, high * room);
            } else {
                let margin = (high - low) * 0.03;
                (scale.low, scale.high) = (low - margin, high + margin);
            }
            scale.ticks = values.to_vec();
        }
        scale.widened()
    }

    /// A linear scale over these values that need not begin at 0.
    pub(super) fn close(values: &[f64]) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if low < high { Self::between(low, high) } else { Self::over(values.iter().copied(), false) }
    }

    /// The scale of shares, from 0 to 1.
    pub(super) fn shares() -> Self {
        Self { low: 0.0, high: 1.0, log: false, ticks: [0.0, 0.25, 0.5, 0.75, 1.0].to_vec() }
    }

    fn linear(low: f64, high: f64) -> Self {
        Self::between(low.min(0.0), high)
    }

    /// A scale with round ticks around these values.
    fn between(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let step = round_step((high - low) / (MAX_TICKS - 1) as f64);
        let first = (low / step).floor();
        let last = (high / step).ceil();
        let count = (last - first) as usize;
        let ticks: Vec<f64> = (0..=count).map(|number| (first + number as f64) * step).collect();
        Self { low: first * step, high: last * step, log: false, ticks }
    }

    fn log(low: f64, high: f64) -> Self {
        let mut tens = Vec::new();
        // The exponents of all positive floating-point numbers.
        for exponent in -323..=308 {
            let ten = format!("1e{exponent}").parse::<f64>().unwrap_or(1.0);
            if ten > low / 10.0 && ten <= high {
                tens.push(ten);
            }
        }
        let all = |factors: &[f64]| -> Vec<f64> {
            let products = tens.iter().flat_map(|ten| factors.iter().map(move |factor| ten * factor));
            products.filter(|tick| *tick >= low * 0.999 && *tick <= high * 1.001).collect()
        };
        // The fewest factors that give at least three ticks.
        let sets: [&[f64]; 4] = [&[1.0], &[1.0, 3.0], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]];
        let ticks = sets.iter().map(|set| all(set)).find(|ticks| ticks.len() >= 3).unwrap_or_else(|| vec![low, high]);
        let every = ticks.len().div_ceil(MAX_TICKS);
        let ticks = ticks.into_iter().step_by(every).collect();
        Self { low: low / 1.12, high: high * 1.12, log: true, ticks }.widened()
    }

    /// The same scale with an extent, even if it has only one value.
    fn widened(mut self) -> Self {
        if self.low >= self.high {
            (self.low, self.high) =
                if self.log { (self.low / 2.0, self.low * 2.0) } else { (self.low - 1.0, self.low + 1.0) };
        }
        self
    }

    /// The place of a value: 0 at the low end, 1 at the high end. A value that the scale cannot show
    /// is at the low end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = if self.log {
            // The last bits of a logarithm may differ between machines. A position has only one
            // decimal place.
            (value.max(f64::MIN_POSITIVE).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below this step.
fn round_step(step: f64) -> f64 {
    let mut power = 1.0;
    while power * 10.0 <= step {
        power *= 10.0;
    }
    while power > step {
        power /= 10.0;
    }
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|round| *round >= step).unwrap_or(step)
}

/// The label of a tick: at most four digits, and a letter for thousands, millions and billions.
pub(super) fn label(value: f64) -> String {
    let (divisor, letter) = match value.abs() {
        large if large >= 1e9 => (1e9, "G"),
        large if large >= 1e6 => (1e6, "M"),
        large if large >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let digits = format!("{:.3}", value / divisor);
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let digits = if digits == "-0" { "0" } else { digits };
    format!("{digits}{letter}").replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_and_begin_at_zero() {
        assert_eq!(Scale::over([3.0, 97.0].into_iter(), false).ticks, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(Scale::over([0.2, 0.9].into_iter(), false).ticks.len(), 6);
    }

    #[test]
    fn log_ticks_are_powers_of_ten_or_round_numbers_between_them() {
        assert_eq!(Scale::over([90.0, 20_000.0].into_iter(), true).ticks, [100.0, 1000.0, 10_000.0]);
        assert_eq!(
            Scale::over([1100.0, 9000.0].into_iter(), true).ticks,
            [1500.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0, 8000.0][..7]
        );
    }

    #[test]
    fn few_values_of_a_grid_are_the_ticks() {
        assert_eq!(Scale::at(&[16.0, 32.0, 64.0], true).ticks, [16.0, 32.0, 64.0]);
        let middle = Scale::at(&[1.0, 10.0, 100.0], true).place(10.0);
        assert!((middle - 0.5).abs() < 1e-9, "{middle}");
    }

    #[test]
    fn a_single_value_and_no_value_have_a_scale() {
        for log in [false, true] {
            for values in [&[][..], &[5.0], &[0.0]] {
                let place = Scale::over(values.iter().copied(), log).place(5.0);
                assert!((0.0..=1.0).contains(&place), "{values:?}");
                let place = Scale::at(values, log).place(5.0);
                assert!((0.0..=1.0).contains(&place), "{values:?}");
            }
        }
    }

    #[test]
    fn labels_are_short() {
        let told = [0.0, 0.5, 1500.0, 12_500.0, 2e6, 3.5e9, -2.0].map(label);
        assert_eq!(told, ["0", "0.5", "1500", "12.5k", "2M", "3.5G", "\u{2212}2"]);
    }
}
