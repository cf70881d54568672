//! Reads the policies of devices: the settings of all members in `group`, and the own settings of
//! some members in `policies`.
//!
//! Both have the same fields. Two fields of the engine's policy are not here: `clock_skew` and
//! `reading_delay` limit times that OpenMLS compares with the clock of the machine, and a scenario
//! has a clock of its own.

use std::time::Duration;

use regrow_protocol::profile::MAX_USE_SECONDS;

use super::{
    describe::{Described, Field, Kind, Object, Presence},
    fields::{At, FileReader},
    format::{Limit, MemberPolicy, PolicySettings},
    step::{MAX_WAIT, duration},
};

/// The largest number of past epochs whose secrets can be kept. Each of them costs a member
/// hundreds of kilobytes in a large group.
pub const MAX_PAST_EPOCHS: u32 = 1_000;

/// The widest window for messages that arrive out of order. A member keeps a key for each message
/// that it skips.
pub const MAX_OUT_OF_ORDER: u32 = 100_000;

/// The largest number of missing messages of a sender. A member computes a key for each of them.
pub const MAX_FORWARD: u32 = 1_000_000;

/// The largest padding. With it, every message of a group is at least this long on the wire.
pub const MAX_PADDING: u32 = 65_536;

/// The largest number of key packages of a member. The delivery service takes 200.
pub const MAX_KEY_PACKAGES: u32 = 200;

/// The number of a policy's fields.
const FIELDS: usize = 14;

/// A limit in time that can be left open.
const TIME_LIMIT: Kind = Kind::Either(&[Kind::Duration, Kind::Only(NEVER)]);

/// A limit in numbers that can be left open.
const NUMBER_LIMIT: Kind = Kind::Either(&[Kind::Number(1, u32::MAX as u64), Kind::Only(NEVER)]);

/// The word for a limit that is left open.
pub(super) const NEVER: &str = "never";

/// The settings of a policy, with the defaults of a group.
pub(super) const POLICY: [Field; FIELDS] = [
    Field::with_default(
        "0",
        "past_epochs",
        Kind::Number(0, MAX_PAST_EPOCHS as u64),
        "The number of past epochs whose message secrets a member keeps. With them a member can still read a message \
         that a commit overtook.",
    ),
    Field::with_default(
        NEVER,
        "past_epoch_age",
        TIME_LIMIT,
        "The age at which a member erases a past epoch, from the end of the epoch. A member that is not connected \
         erases it when it is connected again.",
    ),
    Field::with_default(
        "5",
        "out_of_order",
        Kind::Number(0, MAX_OUT_OF_ORDER as u64),
        "For each sender, the number of latest generations whose unused message keys a member keeps. With them a \
         member can still read a message that later messages overtook.",
    ),
    Field::with_default(
        "1000",
        "max_forward",
        Kind::Number(1, MAX_FORWARD as u64),
        "The number of messages of one sender that may be missing. If more are missing, a member refuses the next one.",
    ),
    Field::with_default(
        "128",
        "padding",
        Kind::Number(0, MAX_PADDING as u64),
        "Each message is padded to a multiple of this many bytes; 0 is no padding.",
    ),
    Field::with_default(
        "90d",
        "key_package_lifetime",
        Kind::Duration,
        "The time in which a key package can be used, at most 400 days. Then its owner erases the private key.",
    ),
    Field::with_default(
        "2",
        "key_packages",
        Kind::Number(0, MAX_KEY_PACKAGES as u64),
        "The number of key packages that a member keeps at the delivery service. A connected member replaces used ones.",
    ),
    Field::with_default(
        "false",
        "publish_group_info",
        Kind::Truth,
        "True: each commit comes with a group info. Devices and thieves join by external commit (`join`, `rejoin`) \
         only with the group info of the current epoch. Each group info costs its committer signatures, and bytes \
         that grow with the tree.",
    ),
    Field::with_default(
        "true",
        "send_ratchet_tree",
        Kind::Truth,
        "False: welcomes and group infos have no ratchet tree, and new members get the tree from the delivery \
         service. The service has only the trees of assisted groups, so opaque groups always send the tree.",
    ),
    Field::with_default(
        "1000",
        "rotate_after_messages",
        NUMBER_LIMIT,
        "The number of own messages after which new keys of the member are due.",
    ),
    Field::with_default("7d", "rotate_after", TIME_LIMIT, "The age of a member's keys at which new ones are due."),
    Field::with_default(
        NEVER,
        "rotate_signature_key_every",
        NUMBER_LIMIT,
        "Every rotation with this number also replaces the signature key; with 1, each one does.",
    ),
    Field::with_default(
        "90d",
        "remove_inactive_after",
        TIME_LIMIT,
        "The time without new keys of another member after which its removal is due.",
    ),
    Field::with_default(
        NEVER,
        "lock_after",
        TIME_LIMIT,
        "The time without use after which the device of a member locks itself, as with the step `lock`.",
    ),
];

/// The settings of a member's own policy: its names, then the settings without defaults.
const OWN: [Field; 1 + FIELDS] = joined(
    [Field::required("who", Kind::Names, "The members. A member has at most one policy of its own.")],
    without_defaults(POLICY),
);

pub(super) const MEMBER_POLICY: Object =
    Object::new(&OWN).about("The policy of some members. A setting that is left out is the one of `group`.");

/// The fields of both lists.
pub(super) const fn joined<const A: usize, const B: usize, const N: usize>(
    first: [Field; A],
    second: [Field; B],
) -> [Field; N] {
    assert!(A > 0 && A + B == N);
    let mut all = [first[0]; N];
    let mut index = 0;
    while index < N {
        all[index] = if index < A { first[index] } else { second[index - A] };
        index += 1;
    }
    all
}

const fn without_defaults<const N: usize>(mut fields: [Field; N]) -> [Field; N] {
    let mut index = 0;
    while index < N {
        fields[index].presence = Presence::Optional;
        index += 1;
    }
    fields
}

/// Reads the settings of a policy among the fields of an object.
pub(super) fn policy<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>) -> PolicySettings {
    let key_package_lifetime = key_package_lifetime(reader, fields, "key_package_lifetime");
    PolicySettings {
        past_epochs: fields.small(reader, "past_epochs"),
        past_epoch_age: time_limit(reader, fields, "past_epoch_age"),
        out_of_order: fields.small(reader, "out_of_order"),
        max_forward: fields.small(reader, "max_forward"),
        padding: fields.small(reader, "padding"),
        key_package_lifetime,
        key_packages: fields.small(reader, "key_packages"),
        publish_group_info: fields.truth(reader, "publish_group_info"),
        send_ratchet_tree: fields.truth(reader, "send_ratchet_tree"),
        rotate_after_messages: number_limit(reader, fields, "rotate_after_messages"),
        rotate_after: time_limit(reader, fields, "rotate_after"),
        rotate_signature_key_every: number_limit(reader, fields, "rotate_signature_key_every"),
        remove_inactive_after: time_limit(reader, fields, "remove_inactive_after"),
        lock_after: time_limit(reader, fields, "lock_after"),
    }
}

/// Reads the time in which key packages can be used.
pub(super) fn key_package_lifetime<'a>(
    reader: &mut FileReader<'a>,
    fields: &Described<'a>,
    name: &str,
) -> Option<Duration> {
    let lifetime = fields.duration(reader, name)?;
    if lifetime.as_secs() > MAX_USE_SECONDS
        && let Some(at) = fields.get(name)
    {
        let days = MAX_USE_SECONDS / (24 * 60 * 60);
        reader.note(&at, format!("a key package can be used for at most {days} days"));
    }
    Some(lifetime)
}

/// Reads the own policies of members.
pub(super) fn policies<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Vec<MemberPolicy> {
    let Some(elements) = at.elements() else {
        reader.wrong_type(at, "a list of policies");
        return Vec::new();
    };
    if elements.is_empty() {
        reader.note(at, "expected at least one policy, found an empty list");
    }
    let policies = elements.into_iter().filter_map(|at| {
        let fields = reader.described(at, &MEMBER_POLICY)?;
        let policy = policy(reader, &fields);
        Some(MemberPolicy { who: fields.members(reader, "who")?, policy })
    });
    policies.collect()
}

fn is_never(at: &At<'_>) -> bool {
    matches!(at.json.text(), Some(Ok(text)) if text == NEVER)
}

fn time_limit<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>, name: &str) -> Option<Limit<Duration>> {
    let at = fields.get(name)?;
    if is_never(&at) {
        return Some(Limit::Never);
    }
    match at.json.text() {
        Some(Ok(text)) if duration(&text).is_some() => reader.duration(&at, Duration::from_secs(1)).map(Limit::At),
        _ => {
            let days = MAX_WAIT.as_secs() / (24 * 60 * 60);
            reader
                .note(&at, format!(r#"expected a duration such as "15m" or "7d", of at most {days} days, or "never""#));
            None
        }
    }
}

fn number_limit<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>, name: &str) -> Option<Limit<u32>> {
    let at = fields.get(name)?;
    if is_never(&at) {
        return Some(Limit::Never);
    }
    if at.json.text().is_some() {
        reader.note(&at, format!("expected a number from 1 to {}, or \"never\"", u32::MAX));
        return None;
    }
    reader.small_number(&at, 1, u32::MAX).map(Limit::At)
}
