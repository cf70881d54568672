//! The expectations on evidence against the delivery service.

use super::super::{
    describe::{Described, Field, Kind, Object},
    fields::{At, FileReader},
    format::{Evidence, EvidenceExpectation, Finders},
};

const FOUND: Object = Object::new(&[
    Field::required("by", Kind::Names, "The members that have found it. Others may have found it too."),
    Field::optional(
        "within",
        Kind::Number(0, u64::MAX),
        "The largest number of epochs from the beginning of the latest lie to the finding.",
    ),
]);

/// `false` if no member has found evidence, or the members that have found it.
pub(super) const EVIDENCE: Kind = Kind::Either(&[Kind::Truth, Kind::Object(&FOUND)]);

/// Reads every expectation on evidence of an `expect`, in the order of [`Evidence::ALL`].
pub(super) fn evidence<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>) -> Vec<EvidenceExpectation> {
    let all = Evidence::ALL.into_iter();
    all.filter_map(|what| {
        let at = fields.get(what.field())?;
        let found = found(reader, at)?;
        Some(EvidenceExpectation { what, found })
    })
    .collect()
}

fn found<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Option<Finders>> {
    if at.json.kind() != "an object" {
        return match reader.truth(&at)? {
            false => Some(None),
            true => {
                reader.note(&at, r#"name the members that find it: { "by": "bob" }"#);
                None
            }
        };
    }
    let fields = reader.described(at, &FOUND)?;
    let (by, within) = (fields.members(reader, "by"), fields.number(reader, "within"));
    Some(Some(Finders { by: by?, within }))
}
