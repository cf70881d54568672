//! Rows of numbered names as a text: `m2..m10`.

use std::ops::RangeInclusive;

use super::parse::MAX_MEMBERS;

/// The names of a row, such as m2 to m10.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameRow<'t> {
    prefix: &'t str,
    numbers: RangeInclusive<u64>,
}

impl<'t> NameRow<'t> {
    /// Reads a row. `None` if the text is a name: a row has a number before and after its two
    /// points.
    pub(super) fn read(text: &'t str) -> Option<Result<Self, String>> {
        let (first, last) = text.split_once("..")?;
        let number = |name: &'t str| {
            let prefix = name.trim_end_matches(|digit: char| digit.is_ascii_digit());
            let digits = name.get(prefix.len()..)?;
            (!digits.is_empty()).then_some((prefix, digits))
        };
        let ((prefix, from), (other, to)) = (number(first)?, number(last)?);
        Some(Self::of(prefix, other, from, to))
    }

    fn of(prefix: &'t str, other: &str, from: &str, to: &str) -> Result<Self, String> {
        if prefix != other {
            return Err("the names of a row differ only in their number, as in `m2..m10`".to_owned());
        }
        if [from, to].iter().any(|digits| digits.len() > 1 && digits.starts_with('0')) {
            return Err("the numbers of a row have no leading zeros, as in `m2..m10`".to_owned());
        }
        let number = |digits: &str| digits.parse::<u64>().ok().filter(|number| *number <= MAX_MEMBERS as u64);
        let (Some(from), Some(to)) = (number(from), number(to)) else {
            return Err(format!("the numbers of a row are at most {MAX_MEMBERS}"));
        };
        if from > to {
            return Err(format!("expected the first number of a row not above the last, found {from} and {to}"));
        }
        Ok(Self { prefix, numbers: from..=to })
    }

    /// The number of names.
    pub(super) fn len(&self) -> u64 {
        self.numbers.end() - self.numbers.start() + 1
    }

    /// The names in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.numbers.clone().map(|number| format!("{}{number}", self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_counts_from_the_first_name_to_the_last() {
        let names = |text| NameRow::read(text).map(|row| row.map(|row| row.names().collect::<Vec<_>>()));
        assert_eq!(names("m9..m11"), Some(Ok(vec!["m9".to_owned(), "m10".to_owned(), "m11".to_owned()])));
        assert_eq!(names("7..7"), Some(Ok(vec!["7".to_owned()])));
        assert_eq!(NameRow::read("a1..a1000000").map(|row| row.map(|row| row.len())), Some(Ok(1_000_000)));
    }

    #[test]
    fn text_without_two_numbers_is_a_name() {
        for name in ["m1", "a..b", "m1..", "..m1", "m1..m", "v1.2"] {
            assert_eq!(NameRow::read(name), None, "{name}");
        }
    }

    #[test]
    fn wrong_row_tells_the_remedy() {
        for (row, told) in [
            ("m1..n2", "differ only in their number"),
            ("m01..m10", "no leading zeros"),
            ("m1..m1000001", "at most 1000000"),
            ("m1..m99999999999999999999", "at most 1000000"),
            ("m3..m2", "found 3 and 2"),
        ] {
            let error = NameRow::read(row).unwrap().unwrap_err();
            assert!(error.contains(told), "{row}: {error}");
        }
    }
}
