//! The number of a turn in names and texts inside of a `repeat`: `{i}`, `{i+10}`, `{i-1}`, `{i*2}`
//! and `{i*2+1}`.

/// The start of an expression with the number of a turn.
const START: &str = "{i";

/// The number of digits of the largest number in an expression. No result overflows.
const MAX_DIGITS: usize = 7;

/// A text in which the results replace every expression with the number of the turn.
pub(super) fn at_turn(text: &str, turn: u32) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(START) {
        replaced.push_str(before);
        match expression(after) {
            Some((Expression { times, plus }, after)) => {
                replaced.push_str(&(i64::from(turn) * times + plus).to_string());
                rest = after;
            }
            None => {
                replaced.push_str(START);
                rest = after;
            }
        }
    }
    replaced + rest
}

/// True if the text has an expression with the number of the turn.
pub(super) fn has_turn(text: &str) -> bool {
    text.match_indices(START).any(|(at, _)| text.get(at + START.len()..).and_then(expression).is_some())
}

/// The first part of a text that looks like such an expression and is none.
pub(super) fn wrong_turn(text: &str) -> Option<&str> {
    let wrong = |at: usize| {
        let after = text.get(at + START.len()..)?;
        let is_arithmetic = after.starts_with(['+', '-', '*', '/', '%', '^']);
        if !is_arithmetic || expression(after).is_some() {
            return None;
        }
        let length = after.find('}').map_or(after.len(), |end| end + 1);
        text.get(at..at + START.len() + length)
    };
    text.match_indices(START).find_map(|(at, _)| wrong(at))
}

/// The number of the turn times a number, plus a number.
struct Expression {
    times: i64,
    plus: i64,
}

/// Reads an expression after its start, and returns it with the text after it.
fn expression(after: &str) -> Option<(Expression, &str)> {
    let (times, after) = match after.strip_prefix('*') {
        Some(after) => digits(after)?,
        None => (1, after),
    };
    let (plus, after) = match (after.strip_prefix('+'), after.strip_prefix('-')) {
        (Some(after), _) => digits(after)?,
        (None, Some(after)) => digits(after).map(|(number, after)| (-number, after))?,
        (None, None) => (0, after),
    };
    Some((Expression { times, plus }, after.strip_prefix('}')?))
}

fn digits(text: &str) -> Option<(i64, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = text.split_at_checked(length).filter(|_| (1..=MAX_DIGITS).contains(&length))?;
    Some((digits.parse().ok()?, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn results_replace_expressions() {
        for (text, replaced) in [
            ("m{i}", "m3"),
            ("{i}-{i+10}", "3-13"),
            ("x{i-1}", "x2"),
            ("x{i-4}", "x-1"),
            ("{i*2}{i*2+1}{i*10-5}", "6725"),
            ("{i}{", "3{"),
            ("{id} {i/2} {i+} {i+12345678} {i", "{id} {i/2} {i+} {i+12345678} {i"),
            ("{i{i}", "{i3"),
        ] {
            assert_eq!(at_turn(text, 3), replaced, "{text}");
        }
    }

    #[test]
    fn wrong_expressions_are_found() {
        assert_eq!(wrong_turn("m{i/2}"), Some("{i/2}"));
        assert_eq!(wrong_turn("m{i+1}{i+x}y"), Some("{i+x}"));
        assert_eq!(wrong_turn("m{i+1"), Some("{i+1"));
        assert_eq!(wrong_turn("{id}{i}{i*2-1}"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn text_without_expression_stays(text in "[{i}+*0-9é-]{0,12}", turn in 1_u32..1_000_001) {
            let replaced = at_turn(&text, turn);
            if !has_turn(&text) {
                prop_assert_eq!(&replaced, &text);
            }
            if !text.contains('{') {
                prop_assert!(wrong_turn(&text).is_none());
            }
        }
    }
}
