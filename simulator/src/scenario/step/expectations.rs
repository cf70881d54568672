//! The step `expect`: its fields, and the rules for their combination.

use regrow_engine::MAX_GROUP_DATA_BYTES;

use super::{
    super::{
        check::MAX_STEPS,
        describe::{Described, Field, Kind, Object, Rule, words},
        fields::{At, FileReader},
        format::{Action, Bound, Expect, FailCode, ReadingExpectation, VerifiedExpectation},
    },
    StepKind,
    costs::{COSTS, costs},
    due::{DUE, due},
    events::{EVENT, events},
    evidence::{EVIDENCE, evidence},
};

const READER_IS_MISSING: &str = "the reader is missing: name members with `who`, or a thief with `compromise`";

const STEPS_OF_BOUND: Object = Object::new(&[Field::required(
    "steps",
    Kind::Number(1, MAX_STEPS),
    "The number of later steps. A race is one step, each turn of a `repeat` has its own steps, and an `expect` is no step.",
)]);

const EXPECT: Object = Object::new(&[
    Field::optional("epoch", Kind::Number(0, u64::MAX), "The group is in this epoch."),
    Field::optional("members", Kind::Names, "The group has exactly these members, in any order."),
    Field::optional("converged", Kind::True, "All online members have the same epoch authenticator."),
    Field::with_default(
        "group",
        "group",
        Kind::Name,
        "The group that the expectation asks about. With this field, only messages, findings, events and costs of \
         the group count.",
    ),
    Field::optional("who", Kind::AnyNames, "The members that the expectation asks about."),
    Field::optional("compromise", Kind::Name, "The thief that the expectation asks about."),
    Field::optional(
        "reads",
        Kind::AnyNames,
        "Each of the members has decrypted these messages, or the thief can read them.",
    ),
    Field::optional(
        "cannot_read",
        Kind::AnyNames,
        "None of the members has decrypted one of these messages, or the thief cannot read any of them.",
    ),
    Field::optional("healed", Kind::Truth, "True if the group has healed at this moment, false if it has not."),
    Field::optional(
        "exactly",
        Kind::AnyNames,
        "Each of the members has decrypted or sent these messages and no others, or the thief can read these and no \
         others.",
    ),
    Field::optional(
        "heals_within",
        Kind::Number(0, u64::MAX),
        "The group healed at most this many epochs after the compromise.",
    ),
    Field::optional(
        "accepted",
        Kind::Truth,
        "True if the delivery service ordered the thief's last act, false if it did not.",
    ),
    Field::optional("detected", Kind::Truth, "True if a member has noticed the thief, false if none has."),
    Field::optional(
        "equivocation_detected",
        EVIDENCE,
        "These members have found that the delivery service shows two histories. False: no member has.",
    ),
    Field::optional(
        "gap_reported",
        EVIDENCE,
        "These members have found that an entry is missing. False: no member has.",
    ),
    Field::optional(
        "roster_lie_detected",
        EVIDENCE,
        "These members have found that the delivery service tells a false roster. False: no member has.",
    ),
    Field::optional(
        "cut_off",
        Kind::Names,
        "The delivery service has cut these members off. The promises at the end leave them out.",
    ),
    Field::optional("due", Kind::Object(&DUE), "The work that is due by the policies of members."),
    Field::optional(
        "data",
        Kind::Text(MAX_GROUP_DATA_BYTES as u32),
        "Each connected member of the group has this group data.",
    ),
    Field::optional("verified", Kind::Object(&VERIFIED), "The members that a member has verified."),
    Field::optional(
        "events",
        Kind::List(&Kind::Object(&EVENT)),
        "The devices of members have told their applications these events, or have not told them.",
    ),
    Field::optional(
        "costs",
        Kind::Object(&COSTS),
        "The sizes of handshakes and messages are within these limits. A limit of messages that do not exist does not \
         hold.",
    ),
    Field::optional("fails", Kind::Word(words::<FailCode>), "The step before this one failed, with this code."),
    Field::optional(
        "within",
        Kind::Either(&[Kind::Duration, Kind::Object(&STEPS_OF_BOUND)]),
        "The conditions become true together within this time or number of steps from here. They are checked here, and \
         after each later step within the bound.",
    ),
    Field::optional("eventually", Kind::True, "The conditions become true together before the scenario ends."),
])
.rules(&[
    Rule::NotEmpty("nothing is expected"),
    Rule::NotAlone("group", "nothing is expected of the group"),
    Rule::NotBoth("who", "compromise", "an `expect` has either `who` or `compromise`, found both"),
    Rule::NotBoth("reads", "exactly", "`exactly` names all messages; leave `reads` out"),
    Rule::NotBoth("cannot_read", "exactly", "`exactly` excludes all other messages; leave `cannot_read` out"),
    Rule::Needs(&["reads", "cannot_read", "exactly"], &["who", "compromise"], READER_IS_MISSING),
    Rule::Needs(&["healed"], &["compromise"], "`healed` needs a `compromise`"),
    Rule::Needs(&["heals_within"], &["compromise"], "`heals_within` needs a `compromise`"),
    Rule::Needs(&["accepted"], &["compromise"], "`accepted` needs a `compromise`"),
    Rule::Needs(&["detected"], &["compromise"], "`detected` needs a `compromise`"),
    Rule::Needs(
        &["who"],
        &["reads", "cannot_read", "exactly"],
        "the messages are missing: add `reads`, `cannot_read` or `exactly`",
    ),
    Rule::Needs(
        &["compromise"],
        &["reads", "cannot_read", "exactly", "healed", "heals_within", "accepted", "detected"],
        "the result is missing: add `reads`, `cannot_read`, `exactly`, `healed`, `heals_within`, `accepted` or `detected`",
    ),
    Rule::NotBoth("within", "eventually", "an `expect` has either `within` or `eventually`, found both"),
    Rule::NotBoth("within", "cannot_read", NEVER_LATER),
    Rule::NotBoth("eventually", "cannot_read", NEVER_LATER),
    Rule::NotBoth("within", "heals_within", OWN_BOUND),
    Rule::NotBoth("eventually", "heals_within", OWN_BOUND),
    Rule::NotBoth("within", "accepted", KNOWN_AT_ONCE),
    Rule::NotBoth("eventually", "accepted", KNOWN_AT_ONCE),
    Rule::NotBoth("within", "fails", STEP_BEFORE),
    Rule::NotBoth("eventually", "fails", STEP_BEFORE),
    Rule::NotBoth("within", "costs", COSTS_UNTIL_HERE),
    Rule::NotBoth("eventually", "costs", COSTS_UNTIL_HERE),
    Rule::Needs(
        &["within", "eventually"],
        CONDITIONS,
        "nothing is expected to become true: add a condition, such as `converged`, `reads` or `healed`",
    ),
]);

const VERIFIED: Object = Object::new(&[
    Field::required("by", Kind::Name, "The member whose device shows them as verified."),
    Field::required("who", Kind::AnyNames, "The verified members of the group, and no others."),
]);

/// All conditions. Those that cannot become true later have rules of their own.
const CONDITIONS: &[&str] = &[
    "epoch",
    "members",
    "converged",
    "reads",
    "cannot_read",
    "exactly",
    "healed",
    "heals_within",
    "accepted",
    "detected",
    "equivocation_detected",
    "gap_reported",
    "roster_lie_detected",
    "cut_off",
    "due",
    "data",
    "verified",
    "events",
    "costs",
    "fails",
];

const NEVER_LATER: &str = "`cannot_read` cannot become true later: a read message stays read. Ask in an `expect` without \
                           `within` and `eventually`";

const OWN_BOUND: &str =
    "`heals_within` counts epochs and has its own bound: use `healed` with `within` or `eventually`";

const KNOWN_AT_ONCE: &str = "the answer to a thief's act is known at once: ask for `accepted` in an `expect` without \
                             `within` and `eventually`";

const STEP_BEFORE: &str = "`fails` is about the step before: put it into an `expect` without `within` and `eventually`";

const COSTS_UNTIL_HERE: &str =
    "`costs` are the costs until here: put them into an `expect` without `within` and `eventually`";

pub(super) const STEPS: &[StepKind] = &[StepKind::action(
    "expect",
    Kind::Object(&EXPECT),
    expect,
    "Fails the scenario if one of these conditions does not hold: at this moment, or with `within` and `eventually` at one \
     later moment.",
)];

fn expect<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &EXPECT)?;
    let group = fields.group(reader);
    let expect = Expect {
        epoch: fields.number(reader, "epoch"),
        members: fields.members(reader, "members"),
        converged: fields.is_true(reader, "converged"),
        reading: reading(reader, &fields),
        exactly: fields.messages(reader, "exactly"),
        evidence: evidence(reader, &fields),
        cut_off: fields.members(reader, "cut_off").unwrap_or_default(),
        due: due(reader, &fields),
        data: fields.text(reader, "data"),
        verified: verified(reader, &fields),
        events: events(reader, &fields),
        costs: costs(reader, &fields),
        fails: fields.word(reader, "fails"),
        bound: bound(reader, &fields),
    };
    if expect.bound.is_some() {
        refuse_absence(reader, &fields, &expect);
    }
    Some(Action::Expect(Box::new(expect)).in_group(group))
}

fn verified<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>) -> Option<VerifiedExpectation> {
    let fields = reader.described(fields.get("verified")?, &VERIFIED)?;
    let (by, who) = (fields.member(reader, "by"), fields.members(reader, "who"));
    Some(VerifiedExpectation { by: by?, who: who? })
}

fn reading<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>) -> Option<ReadingExpectation> {
    let who = fields.members(reader, "who");
    let compromise = fields.compromise(reader, "compromise");
    let reads = fields.messages(reader, "reads").unwrap_or_default();
    let cannot_read = fields.messages(reader, "cannot_read").unwrap_or_default();
    let healed = fields.truth(reader, "healed");
    let heals_within = fields.number(reader, "heals_within");
    let accepted = fields.truth(reader, "accepted");
    let detected = fields.truth(reader, "detected");
    if let Some(both) = reads.iter().find(|id| cannot_read.contains(id)) {
        let problem = format!("`{both}` cannot be both read and not read");
        reader.note(fields.get("cannot_read").as_ref().unwrap_or(fields.at()), problem);
    }
    match (who, compromise) {
        (Some(who), _) => Some(ReadingExpectation::Member { who, reads, cannot_read }),
        (None, Some(compromise)) => {
            Some(ReadingExpectation::Thief { compromise, reads, cannot_read, healed, heals_within, accepted, detected })
        }
        (None, None) => None,
    }
}

/// Reads `within` or `eventually`.
fn bound<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>) -> Option<Bound> {
    let eventually = fields.is_true(reader, "eventually").then_some(Bound::End);
    let Some(at) = fields.get("within") else { return eventually };
    if at.json.kind() != "an object" {
        return fields.duration(reader, "within").map(Bound::Time);
    }
    reader.described(at, &STEPS_OF_BOUND)?.number(reader, "steps").map(Bound::Steps)
}

/// Notes the conditions that hold as long as something has not happened. They cannot become true
/// later.
fn refuse_absence<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>, expect: &Expect) {
    let nothing_found = expect.evidence.iter().filter(|evidence| evidence.found.is_none());
    let undetected = match &expect.reading {
        Some(ReadingExpectation::Thief { detected: Some(false), .. }) => Some("detected"),
        _ => None,
    };
    if expect.events.iter().any(|event| event.times == Some(0)) {
        let problem = "an event with `times` 0 cannot become true later: ask in an `expect` without `within` and \
                       `eventually`";
        reader.note(fields.get("events").as_ref().unwrap_or(fields.at()), problem);
    }
    for field in nothing_found.map(|evidence| evidence.what.field()).chain(undetected) {
        let problem = format!(
            "`{field}` with false cannot become true later: ask in an `expect` without `within` and `eventually`"
        );
        reader.note(fields.get(field).as_ref().unwrap_or(fields.at()), problem);
    }
}
