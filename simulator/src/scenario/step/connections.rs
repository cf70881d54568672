//! Faults of the members' connections and clocks.

use std::{collections::BTreeSet, time::Duration};

use super::{
    super::{
        describe::{Field, Kind, Object, Rule},
        fields::{At, FileReader, shown},
        format::Action,
        name::MemberName,
        network::{ClockChange, ClockOffset, NetworkChange},
    },
    StepKind, duration,
};

/// The longest latency or jitter, in milliseconds: ten minutes. A longer outage is a partition.
pub const MAX_LATENCY_MS: u32 = 600_000;

/// The largest difference between the clock of a device and the delivery service's clock: ten
/// years. OpenMLS compares lifetimes with the clock of this machine, and the lifetimes of a scenario
/// are valid only in years after that clock.
pub const MAX_CLOCK_OFFSET: Duration = Duration::from_secs(3650 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// A time on the way, in milliseconds.
const LATENCY: Kind = Kind::Number(0, MAX_LATENCY_MS as u64);

/// The fields of `network` that change something.
const CHANGES: [&str; 7] = ["latency_ms", "jitter_ms", "loss", "duplicate", "reorder", "partition", "heal"];

/// The problem of a step without such a field.
const NO_CHANGE: &str = "this step changes nothing";

const NETWORK: Object = Object::new(&[
    Field::optional("who", Kind::Names, "The members whose connections change. Without it, all members."),
    Field::optional("heal", Kind::True, "The connections are perfect again, before the other fields apply."),
    Field::optional("latency_ms", LATENCY, "The milliseconds of a request, an answer or a delivery on its way."),
    Field::optional("jitter_ms", LATENCY, "The largest random time on top of the latency, in milliseconds."),
    // A network that loses everything is a partition.
    Field::optional(
        "loss",
        Kind::Decimal("0", "0.9"),
        "The probability that a request, an answer or a delivery is lost.",
    ),
    Field::optional(
        "duplicate",
        Kind::Decimal("0", "1"),
        "The probability that a request or a delivery arrives twice.",
    ),
    Field::optional("reorder", Kind::Decimal("0", "1"), "The probability that later deliveries overtake a delivery."),
    Field::optional(
        "partition",
        Kind::List(&Kind::Names),
        "Two or more sides. The service is on the first side, and the members of the others are cut off.",
    ),
])
.rules(&[
    Rule::AtLeastOne(&CHANGES, NO_CHANGE),
    Rule::NotBoth("partition", "who", "a partition names the members itself; leave `who` out"),
]);

const CLOCK: Object = Object::new(&[
    Field::required("who", Kind::Names, "The members whose devices have the clocks."),
    Field::optional(
        "offset",
        Kind::Difference,
        "The difference to the delivery service's clock from now on, at most 3650 days.",
    ),
    Field::optional(
        "rate",
        Kind::Decimal("0", "10"),
        "The seconds of the clock in one second of the delivery service's clock.",
    ),
])
.rules(&[Rule::AtLeastOne(&["offset", "rate"], NO_CHANGE)]);

pub(super) const STEPS: &[StepKind] = &[
    StepKind::action(
        "network",
        Kind::Object(&NETWORK),
        network,
        "Changes the connections of members. A field that is left out changes nothing.",
    ),
    StepKind::action("clock", Kind::Object(&CLOCK), clock, "Changes the clocks of devices."),
];

fn network<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &NETWORK)?;
    Some(Action::Network(NetworkChange {
        who: fields.members(reader, "who"),
        heal: fields.is_true(reader, "heal"),
        latency_ms: fields.small(reader, "latency_ms"),
        jitter_ms: fields.small(reader, "jitter_ms"),
        loss: fields.decimal(reader, "loss"),
        duplicate: fields.decimal(reader, "duplicate"),
        reorder: fields.decimal(reader, "reorder"),
        partition: fields.get("partition").and_then(|at| sides(reader, &at)),
    }))
}

/// Reads the sides of a partition: at least two lists, and each member on one side.
fn sides<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Option<Vec<Vec<MemberName>>> {
    let elements = at.elements().unwrap_or_default();
    if elements.len() < 2 {
        reader.note(at, r#"expected at least two lists of members, such as [["alice"], ["bob"]]"#);
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut sides = Vec::with_capacity(elements.len());
    for element in elements {
        let side: Vec<_> = reader.names(&element, false)?.into_iter().map(MemberName::new).collect();
        if let Some(twice) = side.iter().find(|name| !seen.insert((*name).clone())) {
            reader.note(&element, format!("`{}` is on two sides of the partition", shown(twice.as_str())));
            return None;
        }
        sides.push(side);
    }
    Some(sides)
}

fn clock<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &CLOCK)?;
    let who = fields.members(reader, "who");
    let offset = fields.get("offset").and_then(|at| offset(reader, &at));
    let rate = fields.decimal(reader, "rate");
    Some(Action::Clock { who: who?, change: ClockChange { offset, rate } })
}

fn offset<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Option<ClockOffset> {
    let text = reader.text(at)?;
    let (behind, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (false, rest),
        Some(("-", rest)) => (true, rest),
        _ => (false, ""),
    };
    let Some(by) = duration(rest) else {
        reader.note(at, r#"expected a difference with its sign, such as "+1h", "-2d" or "+0s""#);
        return None;
    };
    if by > MAX_CLOCK_OFFSET {
        let days = MAX_CLOCK_OFFSET.as_secs() / DAY;
        reader.note(at, format!("the clock of a device is at most {days} days ahead or behind"));
        return None;
    }
    Some(ClockOffset { behind: behind && !by.is_zero(), by })
}
