//! Reads the step `churn`.

use std::time::Duration;

use super::{
    fields::{At, Fields, FileReader, unknown},
    format::DEFAULT_MESSAGE_SIZE,
    name::MemberName,
    parse::MAX_MEMBERS,
    step::MAX_MESSAGE_SIZE,
};
use crate::churn::{
    Churn, Commits, CommitterPolicy, Decimal, MAX_BATCH, MAX_CHURN_EVENTS, MAX_PROPOSAL_WAIT, Messages, Presence,
    RatePiece, StayLength, Updates,
};

const FIELDS: &[&str] = &[
    "initial",
    "for",
    "epochs",
    "events",
    "joins",
    "stay",
    "messages",
    "updates",
    "committer",
    "commits",
    "presence",
    "latency",
];

/// The largest exponent or standard deviation. Larger ones overflow every time.
const MAX_SHAPE: u32 = 100;

/// The policies that a file writes as words.
pub(super) const POLICIES: [(&str, CommitterPolicy); 4] = [
    ("wanter", CommitterPolicy::Wanter),
    ("random", CommitterPolicy::Random),
    ("last_active", CommitterPolicy::LastActive),
    ("cheapest", CommitterPolicy::Cheapest),
];

const SECOND: Duration = Duration::from_secs(1);

/// The smallest positive decimal number.
fn positive() -> Decimal {
    Decimal::parse("0.000001").unwrap_or_default()
}

/// Reads a churn.
pub(super) fn churn<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Churn> {
    let fields = reader.object(at, FIELDS)?;
    if ["for", "epochs", "events"].iter().all(|end| fields.get(end).is_none()) {
        reader.note(fields.at(), "the end is missing: add `for`, `epochs` or `events`");
    }
    let latency = fields.get("latency");
    let commits = fields.get("commits").and_then(|at| commits(reader, at)).unwrap_or_default();
    if let Some(at) = latency.as_ref().filter(|_| commits != Commits::Direct) {
        reader.note(at, "`latency` needs direct commits: proposals of one epoch do not exclude each other");
    }
    let (initial, policy) = (fields.get("initial"), fields.get("committer"));
    let committer = policy.clone().and_then(|at| committer(reader, at)).unwrap_or_default();
    if let Some(at) = policy.filter(|_| committer == CommitterPolicy::Cheapest) {
        if initial.is_none() {
            reader.note(&at, "`cheapest` needs `initial`: the churn must create the group to know its ratchet tree");
        }
        if latency.is_some() {
            let problem = "`cheapest` excludes `latency`: the run decides the order of a race, and so the ratchet tree";
            reader.note(&at, problem);
        }
    }
    Some(Churn {
        initial: initial.and_then(|at| reader.small_number(&at, 1, MAX_MEMBERS as u32)),
        time: fields.get("for").and_then(|at| reader.duration(&at, SECOND)),
        epochs: fields.get("epochs").and_then(|at| reader.number(&at, 1, MAX_CHURN_EVENTS)),
        events: fields.get("events").and_then(|at| reader.number(&at, 1, MAX_CHURN_EVENTS)),
        joins: fields.get("joins").and_then(|at| joins(reader, at)).unwrap_or_default(),
        stay: fields.get("stay").and_then(|at| stay(reader, at)).unwrap_or_default(),
        messages: fields.get("messages").and_then(|at| messages(reader, at)),
        updates: fields.get("updates").and_then(|at| updates(reader, at)).unwrap_or_default(),
        committer,
        commits,
        presence: fields.get("presence").and_then(|at| presence(reader, at)),
        latency: latency.and_then(|at| reader.duration(&at, SECOND)),
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
        let fields = reader.object(element, &["from", "rate"])?;
        let from_at = fields.required(reader, "from");
        let rate = fields.required(reader, "rate").and_then(|at| reader.rate(&at));
        let from = from_at.as_ref().and_then(|at| reader.duration(at, Duration::ZERO));
        let (Some(from_at), Some(from), Some(rate)) = (from_at, from, rate) else { continue };
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
    let (kind, value) = one_of(reader, at, &["exponential", "lognormal", "pareto"])?;
    let known: &[&str] = match kind {
        "exponential" => &["mean"],
        "lognormal" => &["median", "sigma"],
        _ => &["least", "alpha"],
    };
    let fields = reader.object(value, known)?;
    let time = fields.required(reader, known[0]).and_then(|at| reader.duration(&at, SECOND));
    let mut shape = |name| {
        let at = fields.required(reader, name)?;
        reader.decimal(&at, positive(), Decimal::whole(MAX_SHAPE))
    };
    Some(match kind {
        "exponential" => StayLength::Exponential { mean: time? },
        "lognormal" => {
            let sigma = shape("sigma");
            StayLength::Lognormal { median: time?, sigma: sigma? }
        }
        _ => {
            let alpha = shape("alpha");
            StayLength::Pareto { least: time?, alpha: alpha? }
        }
    })
}

fn messages<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Messages> {
    let fields = reader.object(at, &["rate", "zipf", "size"])?;
    let rate = fields.required(reader, "rate").and_then(|at| reader.rate(&at));
    let zipf = fields.get("zipf").and_then(|at| reader.decimal(&at, Decimal::default(), Decimal::whole(MAX_SHAPE)));
    let size = fields.get("size").and_then(|at| reader.small_number(&at, 0, MAX_MESSAGE_SIZE));
    Some(Messages { rate: rate?, zipf: zipf.unwrap_or_default(), size: size.unwrap_or(DEFAULT_MESSAGE_SIZE) })
}

/// Reads the rules for updates.
pub(super) fn updates<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Updates> {
    const RULES: &[&str] = &["every", "after_messages", "daily_fraction"];
    let fields = reader.object(at, RULES)?;
    if fields.iter().next().is_none() {
        reader.note(fields.at(), format!("a rule for updates is missing; known are {}", RULES.join(", ")));
    }
    let most = Decimal::whole(86_400);
    Some(Updates {
        every: fields.get("every").and_then(|at| reader.duration(&at, SECOND)),
        after_messages: fields.get("after_messages").and_then(|at| reader.small_number(&at, 1, u32::MAX)),
        daily_fraction: fields.get("daily_fraction").and_then(|at| reader.decimal(&at, positive(), most)),
    })
}

fn committer<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<CommitterPolicy> {
    if at.json.text().is_some() {
        let text = reader.text(&at)?;
        let policy = POLICIES.into_iter().find(|(word, _)| *word == text).map(|(_, policy)| policy);
        if policy.is_none() {
            reader.note(&at, unknown("value", &text, &POLICIES.map(|(word, _)| word)));
        }
        return policy;
    }
    let (_, member) = one_of(reader, at, &["fixed"])?;
    reader.name(&member).map(MemberName::new).map(CommitterPolicy::Fixed)
}

fn commits<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Commits> {
    if at.json.text().is_some() {
        return just_word(reader, &at, "direct").map(|()| Commits::Direct);
    }
    let (kind, value) = one_of(reader, at, &["window", "batch"])?;
    match kind {
        "window" => {
            let window = reader.duration(&value, SECOND)?;
            if window > MAX_PROPOSAL_WAIT {
                let hours = MAX_PROPOSAL_WAIT.as_secs() / 3600;
                reader.note(&value, format!("a window has at most {hours} hours: key packages of proposals expire"));
            }
            Some(Commits::Window(window))
        }
        _ => reader.small_number(&value, 1, MAX_BATCH).map(Commits::Batch),
    }
}

fn presence<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Presence> {
    let fields = reader.object(at, &["online", "offline"])?;
    let mut period = |name| {
        let at = fields.required(reader, name)?;
        reader.duration(&at, SECOND)
    };
    let (online, offline) = (period("online"), period("offline"));
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

/// Reads an object with exactly one of the known fields.
fn one_of<'a, 'k>(reader: &mut FileReader<'a>, at: At<'a>, known: &[&'k str]) -> Option<(&'k str, At<'a>)> {
    let fields: Fields<'a> = reader.object(at, known)?;
    let mut given = known.iter().filter_map(|name| Some((*name, fields.get(name)?)));
    match (given.next(), given.next()) {
        (Some(field), None) => Some(field),
        _ => {
            reader.note(fields.at(), format!("expected exactly one of {}", known.join(", ")));
            None
        }
    }
}
