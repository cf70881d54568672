//! Steps of the network: connections, key packages, deliveries and time.

use std::time::Duration;

use super::{
    super::{
        describe::{Field, Kind, Object},
        fields::{At, FileReader},
        format::{Action, Delivery},
        name::MemberName,
    },
    StepKind, key_packages,
};

/// The longest `wait`: a century. Longer waits are typing errors, and their sum could overflow the
/// clock.
pub const MAX_WAIT: Duration = Duration::from_secs(100 * 365 * DAY);

const DAY: u64 = 24 * 60 * 60;

const OFFLINE: Object = Object::new(&[Field::required("who", Kind::AnyNames, "The members to disconnect.")]);

const ONLINE: Object = Object::new(&[Field::required("who", Kind::AnyNames, "The members to connect.")]);

const DELIVERY: Object = Object::new(&[
    Field::required("id", Kind::Name, "The message or handshake. The step that makes it may come later."),
    Field::optional("for", Kind::AnyNames, "The receiving members. Without it, everyone."),
]);

pub(super) const STEPS: &[StepKind] = &[
    StepKind::action(
        "offline",
        Kind::Object(&OFFLINE),
        |reader, at| Some(Action::Offline { who: only_who(reader, at, &OFFLINE)? }),
        "Disconnects these members.",
    ),
    StepKind::action(
        "online",
        Kind::Object(&ONLINE),
        |reader, at| Some(Action::Online { who: only_who(reader, at, &ONLINE)? }),
        "Connects these members again. They catch up.",
    ),
    key_packages::STEP,
    StepKind::action(
        "hold",
        Kind::Object(&DELIVERY),
        |reader, at| Some(Action::Hold(delivery(reader, at)?)),
        "Holds the message or handshake back.",
    ),
    StepKind::action(
        "release",
        Kind::Object(&DELIVERY),
        |reader, at| Some(Action::Release(delivery(reader, at)?)),
        "Delivers what is held. A `hold` has to come before it.",
    ),
    StepKind::action(
        "drop",
        Kind::Object(&DELIVERY),
        |reader, at| Some(Action::Drop(delivery(reader, at)?)),
        "Loses the delivery. The receiver fetches a lost handshake later.",
    ),
    StepKind::action(
        "duplicate",
        Kind::Object(&DELIVERY),
        |reader, at| Some(Action::Duplicate(delivery(reader, at)?)),
        "Delivers the message or handshake twice.",
    ),
    StepKind::action(
        "wait",
        Kind::Duration,
        wait,
        "Virtual time passes: a number with `s`, `m`, `h` or `d`, such as `\"90s\"`, `\"15m\"`, `\"3h\"`, `\"7d\"`; \
         from one second to 36,500 days.",
    ),
];

fn only_who<'a>(reader: &mut FileReader<'a>, at: At<'a>, object: &'static Object) -> Option<Vec<MemberName>> {
    reader.described(at, object)?.members(reader, "who")
}

fn delivery<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Delivery> {
    let fields = reader.described(at, &DELIVERY)?;
    let (id, to) = (fields.message(reader, "id"), fields.members(reader, "for"));
    Some(Delivery { id: id?, to })
}

fn wait<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    reader.duration(&at, Duration::from_secs(1)).map(Action::Wait)
}

/// Reads a duration as it is written in a file: `90s`, `15m`, `3h`, `7d`. A longer duration than
/// possible becomes the longest possible one.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => DAY,
        _ => return None,
    };
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(seconds)))
}
