//! Reads the step `service`, the step `compare`, and the settings of the service.

use std::time::Duration;

use super::{MAX_WAIT, duration};
use crate::scenario::{
    fields::{At, FileReader},
    format::{Action, ClockJump, ServiceFault, ServiceSettings},
    names::members,
};

/// The largest number of entries that a `withhold` or a `reorder` counts.
pub const MAX_ENTRIES: u32 = 1_000;

const FAULTS: &[&str] = &[
    "restart",
    "kill",
    "lose_reply",
    "disk_full",
    "retention",
    "clock",
    "withhold",
    "reorder",
    "equivocate",
    "false_roster",
    "release",
];

/// Reads a step `service`: an object with one of the faults.
pub(in crate::scenario) fn service<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, FAULTS)?;
    let given: Vec<_> = FAULTS.iter().filter_map(|fault| Some((*fault, fields.get(fault)?))).collect();
    let [(fault, at)] = <[_; 1]>::try_from(given)
        .map_err(|given| {
            let found = if given.is_empty() { "none" } else { "more than one; make them two steps" };
            reader.note(fields.at(), format!("expected one of {}, found {found}", FAULTS.join(", ")));
        })
        .ok()?;
    let fault = match fault {
        "restart" => reader.just_true(&at).map(|()| ServiceFault::Restart),
        "kill" => reader.word(&at).map(ServiceFault::Kill),
        "lose_reply" => members(reader, Some(at)).map(ServiceFault::LoseReply),
        "disk_full" => reader.truth(&at).map(ServiceFault::DiskFull),
        "retention" => retention(reader, &at).map(ServiceFault::Retention),
        "clock" => clock(reader, &at).map(ServiceFault::Clock),
        "withhold" => withhold(reader, at),
        "reorder" => reorder(reader, at),
        "equivocate" => equivocate(reader, at),
        "false_roster" => false_roster(reader, at),
        _ => members(reader, Some(at)).map(ServiceFault::Release),
    };
    fault.map(Action::Service)
}

/// Reads a step `compare`: at least two members.
pub(in crate::scenario) fn compare<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, &["who"])?;
    let who_at = fields.required(reader, "who")?;
    let who = members(reader, Some(who_at.clone()))?;
    if who.len() < 2 {
        reader.note(&who_at, "at least two members compare, found one");
    }
    Some(Action::Compare { who })
}

/// Reads the `service` at the top of a scenario.
pub(in crate::scenario) fn settings<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<ServiceSettings> {
    let fields = reader.object(at, &["retention"])?;
    Some(ServiceSettings { retention: fields.get("retention").and_then(|at| retention(reader, &at)) })
}

fn retention<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Option<Duration> {
    reader.duration(at, Duration::from_secs(1))
}

fn clock<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Option<ClockJump> {
    let text = reader.text(at)?;
    let signed = text.strip_prefix('+').map(|rest| (false, rest));
    let signed = signed.or_else(|| text.strip_prefix('-').map(|rest| (true, rest)));
    let Some((back, by)) = signed.and_then(|(back, rest)| Some((back, duration(rest)?))) else {
        reader.note(at, r#"expected a jump such as "+30m" or "-2d""#);
        return None;
    };
    if by.is_zero() || by > MAX_WAIT {
        let days = MAX_WAIT.as_secs() / super::DAY;
        reader.note(at, format!("a jump is at least one second and at most {days} days"));
        return None;
    }
    Some(ClockJump { back, by })
}

fn withhold<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<ServiceFault> {
    let fields = reader.object(at, &["from", "entries"])?;
    let from = fields.required(reader, "from");
    let from = members(reader, from);
    let entries = fields.get("entries").and_then(|at| reader.small_number(&at, 1, MAX_ENTRIES));
    Some(ServiceFault::Withhold { from: from?, entries })
}

fn reorder<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<ServiceFault> {
    let fields = reader.object(at, &["to", "entries"])?;
    let to = fields.required(reader, "to");
    let to = members(reader, to);
    let entries = fields.required(reader, "entries").and_then(|at| reader.small_number(&at, 2, MAX_ENTRIES));
    Some(ServiceFault::Reorder { to: to?, entries: entries? })
}

fn equivocate<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<ServiceFault> {
    let fields = reader.object(at, &["to"])?;
    let to = fields.required(reader, "to");
    Some(ServiceFault::Equivocate { to: members(reader, to)? })
}

fn false_roster<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<ServiceFault> {
    let fields = reader.object(at, &["to", "add", "hide"])?;
    let to = fields.required(reader, "to");
    let to = members(reader, to);
    let (add, hide) = (fields.get("add"), fields.get("hide"));
    if add.is_none() && hide.is_none() {
        reader.note(fields.at(), "the lie is missing: add `add`, `hide`, or both");
        return None;
    }
    let add = members(reader, add).unwrap_or_default();
    let hide = members(reader, hide).unwrap_or_default();
    Some(ServiceFault::FalseRoster { to: to?, add, hide })
}
