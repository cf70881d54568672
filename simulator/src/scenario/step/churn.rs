//! The step `churn`.

use std::time::Duration;

use super::{
    super::{
        describe::{Field, Kind, Object, Rule},
        fields::{At, FileReader, unknown},
        format::{DEFAULT_MESSAGE_SIZE, WrittenStep},
        parse::MAX_MEMBERS,
    },
    Decoder, MAX_MESSAGE_SIZE, StepKind,
};
use crate::churn::{
    Churn, Commits, CommitterPolicy, MAX_BATCH, MAX_CHURN_EVENTS, MAX_PROPOSAL_WAIT, Messages, Presence, RatePiece,
    StayLength, Updates,
};

/// The smallest positive decimal number.
const POSITIVE: &str = "0.000001";

/// The largest exponent or standard deviation. Larger ones overflow every time.
const MAX_SHAPE: &str = "100";

const CHURN: Object = Object::new(&[
    Field::optional(
        "initial",
        Kind::Number(1, MAX_MEMBERS as u64),
        "The number of first members, from the start of the list. Only a churn that creates the group has it.",
    ),
    Field::optional("for", Kind::Duration, "The churn ends after this virtual time."),
    Field::optional("epochs", Kind::Number(1, MAX_CHURN_EVENTS), "The churn ends after this number of commits."),
    Field::optional(
        "events",
        Kind::Number(1, MAX_CHURN_EVENTS),
        "The churn ends after this number of joins, leaves, updates, messages and changes of presence.",
    ),
    Field::optional(
        "joins",
        Kind::Either(&[Kind::Rate, Kind::List(&Kind::Object(&PIECE))]),
        "The rate of a Poisson process of joins, or its rates from several times on.",
    ),
    Field::with_default(
        "forever",
        "stay",
        Kind::Either(&[Kind::Only("forever"), Kind::Object(&STAY)]),
        "The distribution of the time for which a member stays.",
    ),
    Field::optional("messages", Kind::Object(&MESSAGES), "The messages of the members."),
    Field::optional("updates", Kind::Object(&UPDATES), "The updates of the members."),
    Field::with_default(
        "wanter",
        "committer",
        Kind::Either(&[Kind::Word(policies), Kind::Object(&FIXED)]),
        "The member that commits a change.",
    ),
    Field::with_default(
        "direct",
        "commits",
        Kind::Either(&[Kind::Only("direct"), Kind::Object(&WAITING)]),
        "Direct commits, or proposals that wait for one commit.",
    ),
    Field::optional("presence", Kind::Object(&PRESENCE), "The mean lengths of online and offline periods."),
    Field::optional("latency", Kind::Duration, "Changes within this time of one another race."),
])
.rules(&[
    Rule::AtLeastOne(&["for", "epochs", "events"], "the end is missing: add `for`, `epochs` or `events`"),
    Rule::OnlyWith(
        "latency",
        "commits",
        "direct",
        "`latency` needs direct commits: proposals of one epoch do not exclude each other",
    ),
    Rule::WordNeeds(
        "committer",
        "cheapest",
        "initial",
        "`cheapest` needs `initial`: the churn must create the group to know its ratchet tree",
    ),
    Rule::WordExcludes(
        "committer",
        "cheapest",
        "latency",
        "`cheapest` excludes `latency`: the run decides the order of a race, and so the ratchet tree",
    ),
]);

const PIECE: Object = Object::new(&[
    Field::required("from", Kind::Instant, "The time since the start of the churn. The first one is 0s."),
    Field::required("rate", Kind::Rate, "The rate from this time on."),
]);

const STAY: Object = Object::new(&[
    Field::optional("exponential", Kind::Object(&EXPONENTIAL), "An exponential distribution."),
    Field::optional("lognormal", Kind::Object(&LOGNORMAL), "A log-normal distribution."),
    Field::optional("pareto", Kind::Object(&PARETO), "A Pareto distribution."),
])
.rules(&[Rule::ExactlyOne(&["exponential", "lognormal", "pareto"])]);

const EXPONENTIAL: Object = Object::new(&[Field::required("mean", Kind::Duration, "The mean stay.")]);

const LOGNORMAL: Object = Object::new(&[
    Field::required("median", Kind::Duration, "The median stay."),
    Field::required("sigma", Kind::Decimal(POSITIVE, MAX_SHAPE), "The standard deviation of the natural logarithm."),
]);

const PARETO: Object = Object::new(&[
    Field::required("least", Kind::Duration, "The shortest stay."),
    Field::required(
        "alpha",
        Kind::Decimal(POSITIVE, MAX_SHAPE),
        "The exponent: a stay longer than t has the probability (least / t)^alpha.",
    ),
]);

const MESSAGES: Object = Object::new(&[
    Field::required("rate", Kind::Rate, "The mean rate of messages of one online member."),
    Field::with_default(
        "0",
        "zipf",
        Kind::Decimal("0", MAX_SHAPE),
        "The exponent of Zipf's law; 0 for equal activity.",
    ),
    Field::with_default(
        "32",
        "size",
        Kind::Number(0, MAX_MESSAGE_SIZE as u64),
        "The number of bytes of each plaintext.",
    ),
]);

/// The rules for updates.
pub(in crate::scenario) const UPDATES: Object = Object::new(&[
    Field::optional("every", Kind::Duration, "The period in which each member updates."),
    Field::optional(
        "after_messages",
        Kind::Number(1, u32::MAX as u64),
        "A member updates after this number of its own messages.",
    ),
    Field::optional(
        "daily_fraction",
        Kind::Decimal(POSITIVE, "86400"),
        "The mean number of updates of a member in a day, at random times.",
    ),
])
.about("The rules for updates. Each rule works by itself.")
.rules(&[Rule::NotEmpty("a rule for updates is missing")])
.shared("updates");

const FIXED: Object = Object::new(&[Field::required("fixed", Kind::Name, "The member that commits every change.")]);

const WAITING: Object = Object::new(&[
    Field::optional("window", Kind::Duration, "The time from the first proposal to the commit; at most 72 hours."),
    Field::optional("batch", Kind::Number(1, MAX_BATCH as u64), "The number of proposals in a commit."),
])
.rules(&[Rule::ExactlyOne(&["window", "batch"])]);

const PRESENCE: Object = Object::new(&[
    Field::required("online", Kind::Duration, "The mean length of an online period."),
    Field::required("offline", Kind::Duration, "The mean length of an offline period."),
]);

pub(super) const STEPS: &[StepKind] = &[StepKind {
    name: "churn",
    about: "Generates a history of joins, leaves, updates and messages from the seed.",
    value: Kind::Object(&CHURN),
    decoder: Decoder::Structure(|reader, at, _| {
        let before = reader.problems.len();
        let churn = churn(reader, at)?;
        (reader.problems.len() == before).then(|| WrittenStep::Churn(Box::new(churn)))
    }),
    races: false,
    repeats: false,
    nested_names: None,
}];

/// The policies that a file writes as words.
pub(in crate::scenario) const POLICIES: [(&str, CommitterPolicy); 4] = [
    ("wanter", CommitterPolicy::Wanter),
    ("random", CommitterPolicy::Random),
    ("last_active", CommitterPolicy::LastActive),
    ("cheapest", CommitterPolicy::Cheapest),
];

fn policies() -> Vec<&'static str> {
    POLICIES.iter().map(|(word, _)| *word).collect()
}

fn churn<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Churn> {
    let fields = reader.described(at, &CHURN)?;
    let value = |name| fields.get(name);
    Some(Churn {
        initial: fields.small(reader, "initial"),
        time: fields.duration(reader, "for"),
        epochs: fields.number(reader, "epochs"),
        events: fields.number(reader, "events"),
        joins: value("joins").and_then(|at| joins(reader, at)).unwrap_or_default(),
        stay: value("stay").and_then(|at| stay(reader, at)).unwrap_or_default(),
        messages: value("messages").and_then(|at| messages(reader, at)),
        updates: value("updates").and_then(|at| updates(reader, at)).unwrap_or_default(),
        committer: value("committer").and_then(|at| committer(reader, at)).unwrap_or_default(),
        commits: value("commits").and_then(|at| commits(reader, at)).unwrap_or_default(),
        presence: value("presence").and_then(|at| presence(reader, at)),
        latency: fields.duration(reader, "latency"),
    })
}

/// Reads one rate, or the rates from several times on.
fn joins<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Vec<RatePiece>> {
    let Some(elements) = at.elements() else {
        return Some(vec![RatePiece { from: Duration::ZERO, rate: reader.rate(&at)? }]);
    };
    if elements.is_empty() {
        reader.note(&at, "expected at least one rate, found an empty list");
    }
    let mut pieces: Vec<RatePiece> = Vec::with_capacity(elements.len());
    for element in elements {
        let fields = reader.described(element, &PIECE)?;
        let (from, rate) = (fields.duration(reader, "from"), fields.rate(reader, "rate"));
        let (Some(from_at), Some(from), Some(rate)) = (fields.get("from"), from, rate) else { continue };
        match pieces.last() {
            None if !from.is_zero() => reader.note(&from_at, "the first rate begins at 0s"),
            Some(before) if from <= before.from => reader.note(&from_at, "the rates are in the order of their times"),
            _ => pieces.push(RatePiece { from, rate }),
        }
    }
    Some(pieces)
}

fn stay<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<StayLength> {
    if at.json.text().is_some() {
        return just_word(reader, &at, "forever").map(|()| StayLength::Forever);
    }
    let (kind, value) = reader.described(at, &STAY)?.only()?;
    Some(match kind {
        "exponential" => {
            let fields = reader.described(value, &EXPONENTIAL)?;
            StayLength::Exponential { mean: fields.duration(reader, "mean")? }
        }
        "lognormal" => {
            let fields = reader.described(value, &LOGNORMAL)?;
            let (median, sigma) = (fields.duration(reader, "median"), fields.decimal(reader, "sigma"));
            StayLength::Lognormal { median: median?, sigma: sigma? }
        }
        _ => {
            let fields = reader.described(value, &PARETO)?;
            let (least, alpha) = (fields.duration(reader, "least"), fields.decimal(reader, "alpha"));
            StayLength::Pareto { least: least?, alpha: alpha? }
        }
    })
}

fn messages<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Messages> {
    let fields = reader.described(at, &MESSAGES)?;
    let (rate, zipf, size) =
        (fields.rate(reader, "rate"), fields.decimal(reader, "zipf"), fields.small(reader, "size"));
    Some(Messages { rate: rate?, zipf: zipf.unwrap_or_default(), size: size.unwrap_or(DEFAULT_MESSAGE_SIZE) })
}

/// Reads the rules for updates.
pub(in crate::scenario) fn updates<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Updates> {
    let fields = reader.described(at, &UPDATES)?;
    Some(Updates {
        every: fields.duration(reader, "every"),
        after_messages: fields.small(reader, "after_messages"),
        daily_fraction: fields.decimal(reader, "daily_fraction"),
    })
}

fn committer<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<CommitterPolicy> {
    if at.json.text().is_none() {
        return reader.described(at, &FIXED)?.member(reader, "fixed").map(CommitterPolicy::Fixed);
    }
    let text = reader.text(&at)?;
    let policy = POLICIES.into_iter().find(|(word, _)| *word == text).map(|(_, policy)| policy);
    if policy.is_none() {
        reader.note(&at, unknown("value", &text, &policies()));
    }
    policy
}

fn commits<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Commits> {
    if at.json.text().is_some() {
        return just_word(reader, &at, "direct").map(|()| Commits::Direct);
    }
    let fields = reader.described(at, &WAITING)?;
    let (window, batch) = (fields.duration(reader, "window"), fields.small(reader, "batch"));
    if let Some(at) = fields.get("window").filter(|_| window.is_some_and(|window| window > MAX_PROPOSAL_WAIT)) {
        let hours = MAX_PROPOSAL_WAIT.as_secs() / 3600;
        reader.note(&at, format!("a window has at most {hours} hours: key packages of proposals expire"));
    }
    window.map(Commits::Window).or(batch.map(Commits::Batch))
}

fn presence<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Presence> {
    let fields = reader.described(at, &PRESENCE)?;
    let (online, offline) = (fields.duration(reader, "online"), fields.duration(reader, "offline"));
    Some(Presence { online: online?, offline: offline? })
}

/// Reads a text that can only be this word.
fn just_word<'a>(reader: &mut FileReader<'a>, at: &At<'a>, word: &str) -> Option<()> {
    if reader.text(at)? == word {
        return Some(());
    }
    reader.note(at, format!("expected `{word}`, or an object"));
    None
}
