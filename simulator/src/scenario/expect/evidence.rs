//! Reads the expectations on evidence against the delivery service.

use crate::scenario::{
    fields::{At, Fields, FileReader},
    format::{Evidence, EvidenceExpectation, Finders},
    names::members,
};

/// Reads every expectation on evidence of an `expect`, in the order of [`Evidence::ALL`].
pub(super) fn evidence<'a>(reader: &mut FileReader<'a>, fields: &Fields<'a>) -> Vec<EvidenceExpectation> {
    let all = Evidence::ALL.into_iter();
    all.filter_map(|what| {
        let at = fields.get(what.field())?;
        let found = found(reader, at)?;
        Some(EvidenceExpectation { what, found })
    })
    .collect()
}

/// Reads `false`, or the members that have found the evidence.
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
    let fields = reader.object(at, &["by", "within"])?;
    let by = fields.required(reader, "by");
    let by = members(reader, by);
    let within = fields.get("within").and_then(|at| reader.number(&at, 0, u64::MAX));
    Some(Some(Finders { by: by?, within }))
}
