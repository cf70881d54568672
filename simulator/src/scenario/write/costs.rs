//! Writes the expectation on costs.

use super::LineFields;
use crate::scenario::{
    format::{CostExpectation, CostLimit, ExpectScope},
    word::word,
};

pub(super) fn costs(expected: &CostExpectation) -> LineFields {
    let mut fields = LineFields::default();
    if expected.of != ExpectScope::default() {
        fields.text("of", word(expected.of));
    }
    for CostLimit { figure, at_least, at_most } in &expected.limits {
        let mut limits = LineFields::default();
        for (name, limit) in [("at_least", at_least), ("at_most", at_most)] {
            if let Some(bytes) = limit {
                limits.add(name, bytes);
            }
        }
        fields.add(figure.field(), limits.object());
    }
    fields
}
