//! Reads the steps `network` and `clock`.

use std::{collections::BTreeSet, time::Duration};

use super::{DAY, duration};
use crate::{
    churn::Decimal,
    scenario::{
        fields::{At, Fields, FileReader, shown},
        format::Action,
        name::MemberName,
        names::members,
        network::{ClockChange, ClockOffset, NetworkChange},
    },
};

/// The longest latency or jitter, in milliseconds: ten minutes. A longer outage is a partition.
pub const MAX_LATENCY_MS: u32 = 600_000;

/// The largest difference between the clock of a device and the delivery service's clock: ten
/// years. OpenMLS compares lifetimes with the clock of this machine, and the lifetimes of a scenario
/// are valid only in years after that clock.
pub const MAX_CLOCK_OFFSET: Duration = Duration::from_secs(3650 * DAY);

/// The fastest clock: ten seconds in one second.
pub const MAX_CLOCK_RATE: u32 = 10;

/// The fields of `network` that describe connections.
const CONDITIONS: [&str; 5] = ["latency_ms", "jitter_ms", "loss", "duplicate", "reorder"];

/// The largest probability of a loss. A network that loses everything is a partition.
fn most_loss() -> Decimal {
    Decimal::parse("0.9").unwrap_or_default()
}

/// Reads a step `network`.
pub(in crate::scenario) fn network<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let known = [&["who", "heal", "partition"][..], &CONDITIONS].concat();
    let fields = reader.object(at, &known)?;
    let heal = fields.get("heal").map(|at| reader.just_true(&at)).is_some();
    let partition = fields.get("partition").and_then(|at| sides(reader, at));
    let who = fields.get("who");
    if let (Some(at), Some(_)) = (&who, fields.get("partition")) {
        reader.note(at, "a partition names the members itself; leave `who` out");
    }
    let latency =
        |reader: &mut FileReader<'a>, name| fields.get(name).and_then(|at| reader.small_number(&at, 0, MAX_LATENCY_MS));
    let share = |reader: &mut FileReader<'a>, name, most| {
        fields.get(name).and_then(|at| reader.decimal(&at, Decimal::whole(0), most))
    };
    let change = NetworkChange {
        who: members(reader, who),
        heal,
        latency_ms: latency(reader, "latency_ms"),
        jitter_ms: latency(reader, "jitter_ms"),
        loss: share(reader, "loss", most_loss()),
        duplicate: share(reader, "duplicate", Decimal::whole(1)),
        reorder: share(reader, "reorder", Decimal::whole(1)),
        partition,
    };
    refuse_no_change(reader, &fields, &[&["heal", "partition"][..], &CONDITIONS].concat());
    Some(Action::Network(change))
}

/// Notes a step that changes nothing.
fn refuse_no_change<'a>(reader: &mut FileReader<'a>, fields: &Fields<'a>, changes: &[&str]) {
    if changes.iter().all(|name| fields.get(name).is_none()) {
        reader.note(fields.at(), format!("this step changes nothing: it needs one of `{}`", changes.join("`, `")));
    }
}

/// Reads the sides of a partition: at least two lists, and each member on one side.
fn sides<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Vec<Vec<MemberName>>> {
    let elements = at.elements().unwrap_or_default();
    if elements.len() < 2 {
        let expected = r#"expected at least two lists of members, such as [["alice"], ["bob"]]"#;
        reader.note(&at, expected);
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut sides = Vec::with_capacity(elements.len());
    for element in elements {
        let side = members(reader, Some(element.clone()))?;
        if let Some(twice) = side.iter().find(|name| !seen.insert((*name).clone())) {
            reader.note(&element, format!("`{}` is on two sides of the partition", shown(twice.as_str())));
            return None;
        }
        sides.push(side);
    }
    Some(sides)
}

/// Reads a step `clock`.
pub(in crate::scenario) fn clock<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, &["who", "offset", "rate"])?;
    let who = fields.required(reader, "who");
    let who = members(reader, who);
    let offset = fields.get("offset").and_then(|at| offset(reader, &at));
    let most = Decimal::whole(MAX_CLOCK_RATE);
    let rate = fields.get("rate").and_then(|at| reader.decimal(&at, Decimal::whole(0), most));
    refuse_no_change(reader, &fields, &["offset", "rate"]);
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
