//! Reads the step `expect`: its fields, and the rules for their combination.

mod evidence;

use super::{
    fields::{At, Fields, FileReader},
    format::{Action, Expect, ReadingExpectation},
    name::CompromiseId,
    names::{members, messages},
};

const FIELDS: &[&str] = &[
    "epoch",
    "members",
    "converged",
    "who",
    "compromise",
    "reads",
    "cannot_read",
    "heals_within",
    "accepted",
    "detected",
    "equivocation_detected",
    "gap_reported",
    "roster_lie_detected",
    "cut_off",
    "fails",
];

/// The fields that need a `compromise`, each with the problem to note if there is none.
const OF_A_THIEF: &[(&str, &str)] = &[
    ("heals_within", "`heals_within` needs a `compromise`"),
    ("accepted", "`accepted` needs a `compromise`"),
    ("detected", "`detected` needs a `compromise`"),
];

/// Reads an `expect`.
pub(super) fn expect<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, FIELDS)?;
    if fields.iter().next().is_none() {
        reader.note(fields.at(), format!("nothing is expected; known are {}", FIELDS.join(", ")));
    }
    go_together(reader, &fields);
    Some(Action::Expect(Expect {
        epoch: fields.get("epoch").and_then(|at| reader.number(&at, 0, u64::MAX)),
        members: members(reader, fields.get("members")),
        converged: fields.get("converged").and_then(|at| reader.just_true(&at)).is_some(),
        reading: reading(reader, &fields),
        evidence: evidence::evidence(reader, &fields),
        cut_off: members(reader, fields.get("cut_off")).unwrap_or_default(),
        fails: fields.get("fails").and_then(|at| reader.word(&at)),
    }))
}

/// Notes a question without a member or thief, and a member or thief without a question.
fn go_together<'a>(reader: &mut FileReader<'a>, fields: &Fields<'a>) {
    let of_anybody = ["reads", "cannot_read"].into_iter();
    let asked = of_anybody.chain(OF_A_THIEF.iter().map(|(name, _)| *name)).find_map(|name| fields.get(name));
    let (at, problem) = match (fields.get("who"), fields.get("compromise"), asked) {
        (Some(_), Some(thief), _) => (thief, "an `expect` has either `who` or `compromise`, found both"),
        (None, None, Some(asked)) => {
            (asked, "the reader is missing: name members with `who`, or a thief with `compromise`")
        }
        (Some(who), None, None) => (who, "the messages are missing: add `reads` or `cannot_read`"),
        (None, Some(thief), None) => {
            (thief, "the result is missing: add `reads`, `cannot_read`, `heals_within`, `accepted` or `detected`")
        }
        (Some(_), None, Some(_)) => {
            let asked = OF_A_THIEF.iter().find_map(|(name, problem)| Some((fields.get(name)?, *problem)));
            let Some(asked) = asked else { return };
            asked
        }
        (None, Some(_), Some(_)) | (None, None, None) => return,
    };
    reader.note(&at, problem);
}

fn reading<'a>(reader: &mut FileReader<'a>, fields: &Fields<'a>) -> Option<ReadingExpectation> {
    let who = members(reader, fields.get("who"));
    let compromise = fields.get("compromise").and_then(|at| reader.name(&at)).map(CompromiseId::new);
    let reads = messages(reader, fields.get("reads")).unwrap_or_default();
    let cannot_read = messages(reader, fields.get("cannot_read")).unwrap_or_default();
    let heals_within = fields.get("heals_within").and_then(|at| reader.number(&at, 0, u64::MAX));
    let accepted = fields.get("accepted").and_then(|at| reader.truth(&at));
    let detected = fields.get("detected").and_then(|at| reader.truth(&at));
    if let Some(both) = reads.iter().find(|id| cannot_read.contains(id)) {
        let problem = format!("`{both}` cannot be both read and not read");
        reader.note(fields.get("cannot_read").as_ref().unwrap_or(fields.at()), problem);
    }
    match (who, compromise) {
        (Some(who), _) => Some(ReadingExpectation::Member { who, reads, cannot_read }),
        (None, Some(compromise)) => {
            Some(ReadingExpectation::Thief { compromise, reads, cannot_read, heals_within, accepted, detected })
        }
        (None, None) => None,
    }
}
