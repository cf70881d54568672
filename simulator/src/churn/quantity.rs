//! Decimal numbers and rates of a churn. They are exact, so that a written file reads back as the
//! same scenario.

use std::fmt;

/// The number of millionths in one.
const ONE: u64 = 1_000_000;

/// The number of decimal places.
const PLACES: usize = 6;

/// The largest decimal number.
pub const MAX_DECIMAL: u64 = 1_000_000_000;

/// A decimal number that is not negative, with at most six decimal places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    millionths: u64,
}

impl Decimal {
    /// A whole number.
    #[must_use]
    pub fn whole(number: u32) -> Self {
        Self { millionths: u64::from(number) * ONE }
    }

    /// Reads a number such as `3`, `0.25` or `1.5`. [`None`] if the text has another form, more
    /// than six decimal places, or a value above [`MAX_DECIMAL`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > PLACES {
            return None;
        }
        let whole: u64 = whole.parse().ok().filter(|whole| *whole <= MAX_DECIMAL)?;
        let fraction: u64 = format!("{fraction:0<PLACES$}").parse().ok()?;
        let millionths = whole * ONE + fraction;
        (millionths <= MAX_DECIMAL * ONE).then_some(Self { millionths })
    }

    /// The nearest floating-point number. A division of two exact numbers is the same on every
    /// machine (IEEE 754).
    #[must_use]
    pub fn value(self) -> f64 {
        self.millionths as f64 / ONE as f64
    }

    /// The number in millionths.
    #[must_use]
    pub fn millionths(self) -> u64 {
        self.millionths
    }

    /// True if the number is 0.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.millionths == 0
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.millionths / ONE, self.millionths % ONE);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{fraction:0PLACES$}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

/// The units of a rate, with their lengths in seconds.
const UNITS: [(char, u32); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// A number of events in a unit of time, such as `30/d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    times: Decimal,
    unit: char,
}

impl Rate {
    /// Reads a rate such as `30/d`, `0.5/h`, `2/m` or `1/s`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (times, unit) = text.split_once('/')?;
        let (unit, _) = UNITS.into_iter().find(|(known, _)| unit.chars().eq([*known]))?;
        Some(Self { times: Decimal::parse(times)?, unit })
    }

    /// The number of events in a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        let seconds = UNITS.iter().find(|(unit, _)| *unit == self.unit).map_or(1, |(_, seconds)| *seconds);
        self.times.value() / f64::from(seconds)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.times, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_value() {
        for (text, written, value) in
            [("3", "3", 3.0), ("0.25", "0.25", 0.25), ("1.500", "1.5", 1.5), ("007.000001", "7.000001", 7.000_001)]
        {
            let decimal = Decimal::parse(text).unwrap();
            assert_eq!((decimal.to_string().as_str(), decimal.value()), (written, value));
        }
    }

    #[test]
    fn other_texts_are_no_decimals() {
        for text in ["", ".5", "5.", "-1", "1e3", "1.0000001", "1.2.3", "1000000000.1", "99999999999999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert!(Decimal::parse("1000000000").is_some());
    }

    #[test]
    fn rates_are_events_in_a_second() {
        assert_eq!(Rate::parse("43200/d").unwrap().per_second(), 0.5);
        assert_eq!(Rate::parse("30/m").unwrap().per_second(), 0.5);
        assert_eq!(Rate::parse("0.5/h").unwrap().to_string(), "0.5/h");
        for text in ["", "30", "/d", "30/", "30/w", "30/dd", "30/d/d", "x/d"] {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }
}
