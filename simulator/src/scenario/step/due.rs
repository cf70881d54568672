//! The expectation about work that is due by the policies of members.

use super::super::{
    describe::{Described, Field, Kind, Object, Rule, words},
    fields::FileReader,
    format::{DueExpectation, DueRotation},
    policy::MAX_KEY_PACKAGES,
};

pub(super) const DUE: Object = Object::new(&[
    Field::required("who", Kind::Names, "The members for which the work is due."),
    Field::optional(
        "rotation",
        Kind::Word(words::<DueRotation>),
        "The keys that each of these members has to replace. `signature_key`: its signature key, too.",
    ),
    Field::optional("inactive", Kind::AnyNames, "The members whose removal is due, and no others."),
    Field::optional(
        "key_packages",
        Kind::Number(0, MAX_KEY_PACKAGES as u64),
        "The number of key packages that each of these members has to publish.",
    ),
])
.rules(&[Rule::AtLeastOne(
    &["rotation", "inactive", "key_packages"],
    "the work is missing: add `rotation`, `inactive` or `key_packages`",
)]);

/// Reads the expectation of an `expect`, if there is one.
pub(super) fn due<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>) -> Option<DueExpectation> {
    let fields = reader.described(fields.get("due")?, &DUE)?;
    Some(DueExpectation {
        who: fields.members(reader, "who")?,
        rotation: fields.word(reader, "rotation"),
        inactive: fields.members(reader, "inactive"),
        key_packages: fields.small(reader, "key_packages"),
    })
}
