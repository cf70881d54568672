//! Faults and lies of the delivery service, and the comparison of members without it.

use super::{
    super::{
        describe::{Field, Kind, Object, Rule, words},
        fields::{At, FileReader},
        format::{Action, ClockJump, KillPoint, ServiceFault},
        name::MemberName,
    },
    StepKind,
    network::{MAX_WAIT, duration},
};

/// The largest number of entries that a `withhold` or a `reorder` counts.
pub const MAX_ENTRIES: u32 = 1_000;

/// The largest number of members that compare.
const MAX_COMPARING: usize = 1_000;

/// The length of the longest jump of the clock, as a text.
const CLOCK_BYTES: u32 = 32;

const WITHHOLD: Object = Object::new(&[
    Field::required("from", Kind::Names, "The members whose devices do not get the entries."),
    Field::optional(
        "entries",
        Kind::Number(1, MAX_ENTRIES as u64),
        "The number of withheld entries. Without it, every entry from now on.",
    ),
]);

const REORDER: Object = Object::new(&[
    Field::required("to", Kind::Names, "The members whose devices get the entries in this order."),
    Field::required("entries", Kind::Number(2, MAX_ENTRIES as u64), "The number of reordered entries."),
]);

const EQUIVOCATE: Object =
    Object::new(&[Field::required("to", Kind::Names, "The members that see the second history.")]);

const FALSE_ROSTER: Object = Object::new(&[
    Field::required("to", Kind::Names, "The members that get the false answer."),
    Field::optional("add", Kind::Names, "Users in the answer that are no members."),
    Field::optional("hide", Kind::Names, "Members that are not in the answer."),
])
.rules(&[Rule::AtLeastOne(&["add", "hide"], "the lie is missing: add `add`, `hide`, or both")]);

const SERVICE: Object = Object::new(&[
    Field::optional("restart", Kind::True, "The process stops in order, and opens its store again."),
    Field::optional(
        "kill",
        Kind::Word(words::<KillPoint>),
        "The process dies at this point of the next submission, and starts again. The device submits the same bytes \
         again.",
    ),
    Field::optional(
        "lose_reply",
        Kind::Names,
        "The service orders the next submission of each of these members, and the answer is lost. The device submits \
         the same bytes again.",
    ),
    Field::optional(
        "disk_full",
        Kind::Truth,
        "True: the store refuses every write from now on. False: it writes again.",
    ),
    Field::optional(
        "retention",
        Kind::Duration,
        "The time for which the service keeps later entries for devices that have not read them.",
    ),
    Field::optional(
        "clock",
        Kind::Text(CLOCK_BYTES),
        "The service's clock jumps by this duration with a sign, such as `\"+30m\"` or `\"-2d\"`.",
    ),
    Field::optional("withhold", Kind::Object(&WITHHOLD), "The service keeps the next entries of the log from devices."),
    Field::optional("reorder", Kind::Object(&REORDER), "Devices get the next entries in reverse order."),
    Field::optional(
        "equivocate",
        Kind::Object(&EQUIVOCATE),
        "The service keeps a second history, and shows only this one to some members.",
    ),
    Field::optional(
        "false_roster",
        Kind::Object(&FALSE_ROSTER),
        "The service gives members a false answer when they ask for the roster.",
    ),
    Field::optional(
        "release",
        Kind::Names,
        "The service is honest to these members again, and delivers the entries that it kept from them.",
    ),
])
.rules(&[Rule::ExactlyOne(&[
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
])]);

const COMPARE: Object =
    Object::new(&[Field::required("who", Kind::NameList(2, MAX_COMPARING), "The members. All of them are online.")]);

pub(super) const STEPS: &[StepKind] = &[
    StepKind::action(
        "service",
        Kind::Object(&SERVICE),
        service,
        "A fault or a lie of the delivery service, or its end.",
    ),
    StepKind::action(
        "compare",
        Kind::Object(&COMPARE),
        compare,
        "These members compare their latest receipts and their epoch authenticators, without the delivery service.",
    ),
];

fn service<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &SERVICE)?;
    let (fault, at) = fields.only()?;
    let fault = match fault {
        "restart" => fields.is_true(reader, fault).then_some(ServiceFault::Restart),
        "kill" => fields.word(reader, fault).map(ServiceFault::Kill),
        "lose_reply" => fields.members(reader, fault).map(ServiceFault::LoseReply),
        "disk_full" => fields.truth(reader, fault).map(ServiceFault::DiskFull),
        "retention" => fields.duration(reader, fault).map(ServiceFault::Retention),
        "clock" => clock(reader, &at).map(ServiceFault::Clock),
        "withhold" => withhold(reader, at),
        "reorder" => reorder(reader, at),
        "equivocate" => {
            let fields = reader.described(at, &EQUIVOCATE)?;
            fields.members(reader, "to").map(|to| ServiceFault::Equivocate { to })
        }
        "false_roster" => false_roster(reader, at),
        _ => fields.members(reader, fault).map(ServiceFault::Release),
    };
    fault.map(Action::Service)
}

fn compare<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let who = reader.described(at, &COMPARE)?.name_list(reader, "who")?;
    Some(Action::Compare { who: who.into_iter().map(MemberName::new).collect() })
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
        let days = MAX_WAIT.as_secs() / (24 * 60 * 60);
        reader.note(at, format!("a jump is at least one second and at most {days} days"));
        return None;
    }
    Some(ClockJump { back, by })
}

fn withhold<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<ServiceFault> {
    let fields = reader.described(at, &WITHHOLD)?;
    let (from, entries) = (fields.members(reader, "from"), fields.small(reader, "entries"));
    Some(ServiceFault::Withhold { from: from?, entries })
}

fn reorder<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<ServiceFault> {
    let fields = reader.described(at, &REORDER)?;
    let (to, entries) = (fields.members(reader, "to"), fields.small(reader, "entries"));
    Some(ServiceFault::Reorder { to: to?, entries: entries? })
}

fn false_roster<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<ServiceFault> {
    let fields = reader.described(at, &FALSE_ROSTER)?;
    let to = fields.members(reader, "to");
    let add = fields.members(reader, "add").unwrap_or_default();
    let hide = fields.members(reader, "hide").unwrap_or_default();
    Some(ServiceFault::FalseRoster { to: to?, add, hide })
}
