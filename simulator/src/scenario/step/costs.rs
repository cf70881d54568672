//! The expectation on costs.

use super::super::{
    describe::{Described, Field, Kind, Object, Rule, words},
    fields::{At, FileReader},
    format::{CostExpectation, CostFigure, CostLimit, ExpectScope},
};

const LIMITS: Object = Object::new(&[
    Field::optional("at_least", Kind::Number(1, u64::MAX), "The smallest number of bytes."),
    Field::optional(
        "at_most",
        Kind::Number(0, u64::MAX),
        "The largest number of bytes. 0: there is no such message. Any other limit needs one.",
    ),
])
.rules(&[Rule::AtLeastOne(&["at_least", "at_most"], "the limit is missing: add `at_most` or `at_least`")])
.shared("byte_limits");

pub(super) const COSTS: Object = Object::new(&[
    Field::with_default(
        "step",
        "of",
        Kind::Word(words::<ExpectScope>),
        "`step`: the costs of the last step before this `expect`, which is no step itself. `run`: the costs of all steps \
         until here.",
    ),
    Field::optional("commit_bytes", Kind::Object(&LIMITS), "The size of each commit."),
    Field::optional("proposal_bytes", Kind::Object(&LIMITS), "The size of each proposal."),
    Field::optional("welcome_bytes", Kind::Object(&LIMITS), "The size of each welcome, for all of its joiners."),
    Field::optional(
        "joiner_welcome_bytes",
        Kind::Object(&LIMITS),
        "The size of each welcome as one joiner gets it. The joiner with the largest part counts.",
    ),
    Field::optional("group_info_bytes", Kind::Object(&LIMITS), "The size of each group info that a device publishes."),
    Field::optional(
        "handshakes_uploaded_bytes",
        Kind::Object(&LIMITS),
        "All proposals, commits, welcomes and group infos together that the delivery service received and ordered.",
    ),
    Field::optional(
        "handshakes_delivered_bytes",
        Kind::Object(&LIMITS),
        "All proposals, commits and welcomes together that reached devices. Each device counts.",
    ),
    Field::optional(
        "messages_uploaded_bytes",
        Kind::Object(&LIMITS),
        "All application messages together that the delivery service received and ordered.",
    ),
    Field::optional(
        "messages_delivered_bytes",
        Kind::Object(&LIMITS),
        "All application messages together that reached devices. Each device counts, also the sender.",
    ),
])
.rules(&[Rule::NotAlone("of", "no figure has a limit"), Rule::NotEmpty("no figure has a limit")]);

/// Reads the expectation of an `expect`, if there is one.
pub(super) fn costs<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>) -> Option<CostExpectation> {
    let fields = reader.described(fields.get("costs")?, &COSTS)?;
    let of = fields.word(reader, "of").unwrap_or_default();
    let limits = CostFigure::ALL.into_iter().filter_map(|figure| limit(reader, figure, fields.get(figure.field())?));
    Some(CostExpectation { of, limits: limits.collect() })
}

fn limit<'a>(reader: &mut FileReader<'a>, figure: CostFigure, at: At<'a>) -> Option<CostLimit> {
    let fields = reader.described(at, &LIMITS)?;
    let (at_least, at_most) = (fields.number(reader, "at_least"), fields.number(reader, "at_most"));
    if let (Some(least), Some(most)) = (at_least, at_most)
        && least > most
    {
        reader.note(fields.at(), format!("expected `at_least` not above `at_most`, found {least} and {most}"));
    }
    Some(CostLimit { figure, at_least, at_most })
}
