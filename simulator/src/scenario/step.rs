//! Reads the steps that do one thing: the fields of each become an [`Action`].

pub(super) mod service;

use std::time::Duration;

use super::{
    expect,
    fields::{At, FileReader},
    format::{Action, DEFAULT_MESSAGE_SIZE, Delivery, MessageBody, Proposal, TheftScope, ThiefAction},
    name::{CompromiseId, MemberName, MessageId},
    names::{member, members},
};

/// The size of the largest message, in bytes of plaintext. One step cannot fill the memory.
pub const MAX_MESSAGE_SIZE: u32 = 1_048_576;

/// The longest `wait`: a century. Longer waits are typing errors, and their sum could overflow the
/// clock.
pub const MAX_WAIT: Duration = Duration::from_secs(100 * 365 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// Reads the value of one step.
pub(super) type Decoder = for<'a> fn(&mut FileReader<'a>, At<'a>) -> Option<Action>;

/// Every step that is an [`Action`], by its name.
pub(super) const DECODERS: &[(&str, Decoder)] = &[
    ("create", create),
    ("add", add),
    ("remove", remove),
    ("update", update),
    ("leave", |reader, at| Some(Action::Leave { who: only_who(reader, at)? })),
    ("propose", propose),
    ("commit", commit),
    ("join", |reader, at| Some(Action::Join { who: only_who(reader, at)? })),
    ("rejoin", |reader, at| Some(Action::Rejoin { who: only_who(reader, at)? })),
    ("send", send),
    ("offline", |reader, at| Some(Action::Offline { who: only_who(reader, at)? })),
    ("online", |reader, at| Some(Action::Online { who: only_who(reader, at)? })),
    ("key_packages", renew_key_packages),
    ("hold", |reader, at| Some(Action::Hold(delivery(reader, at)?))),
    ("release", |reader, at| Some(Action::Release(delivery(reader, at)?))),
    ("drop", |reader, at| Some(Action::Drop(delivery(reader, at)?))),
    ("duplicate", |reader, at| Some(Action::Duplicate(delivery(reader, at)?))),
    ("crash", crash),
    ("compromise", compromise),
    ("impersonate", impersonate),
    ("service", service::service),
    ("compare", service::compare),
    ("wait", wait),
    ("expect", expect::expect),
];

fn create<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, &["by", "with"])?;
    let by = fields.required(reader, "by");
    let by = member(reader, by);
    let with = members(reader, fields.get("with")).unwrap_or_default();
    Some(Action::Create { by: by?, with })
}

fn by_and_who<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<(MemberName, Vec<MemberName>)> {
    let fields = reader.object(at, &["by", "who"])?;
    let by = fields.required(reader, "by");
    let by = member(reader, by);
    let who = fields.required(reader, "who");
    let who = members(reader, who);
    Some((by?, who?))
}

fn add<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    by_and_who(reader, at).map(|(by, who)| Action::Add { by, who })
}

fn remove<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    by_and_who(reader, at).map(|(by, who)| Action::Remove { by, who })
}

fn update<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, &["by", "signature_key"])?;
    let by = fields.required(reader, "by");
    let by = member(reader, by);
    let signature_key = fields.get("signature_key").and_then(|at| reader.truth(&at));
    Some(Action::Update { by: by?, signature_key: signature_key.unwrap_or_default() })
}

fn propose<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    const KINDS: [&str; 3] = ["add", "remove", "update"];
    let fields = reader.object(at, &["by", KINDS[0], KINDS[1], KINDS[2]])?;
    let by = fields.required(reader, "by");
    let by = member(reader, by);
    let given: Vec<_> = KINDS.iter().filter_map(|kind| Some((*kind, fields.get(kind)?))).collect();
    let [(kind, at)] = <[_; 1]>::try_from(given)
        .map_err(|given| {
            let found = if given.is_empty() { "none" } else { "more than one" };
            reader.note(fields.at(), format!("expected one of `add`, `remove` and `update`, found {found}"));
        })
        .ok()?;
    let what = match kind {
        "add" => members(reader, Some(at)).map(Proposal::Add),
        "remove" => members(reader, Some(at)).map(Proposal::Remove),
        _ => reader.just_true(&at).map(|()| Proposal::Update),
    };
    Some(Action::Propose { by: by?, what: what? })
}

fn commit<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, &["by"])?;
    let by = fields.required(reader, "by");
    Some(Action::Commit { by: member(reader, by)? })
}

fn only_who<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Vec<MemberName>> {
    let fields = reader.object(at, &["who"])?;
    let who = fields.required(reader, "who");
    members(reader, who)
}

fn renew_key_packages<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, &["who", "renew"])?;
    let who = fields.required(reader, "who");
    let who = members(reader, who);
    fields.required(reader, "renew").and_then(|at| reader.just_true(&at))?;
    Some(Action::RenewKeyPackages { who: who? })
}

fn send<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, &["by", "id", "size", "text"])?;
    let by = fields.required(reader, "by");
    let by = member(reader, by);
    let id = fields.required(reader, "id").and_then(|at| reader.name(&at));
    let body = match (fields.get("size"), fields.get("text")) {
        (Some(_), Some(text)) => {
            reader.note(&text, "a message has either a `size` or a `text`, found both");
            None
        }
        (Some(size), None) => reader.small_number(&size, 0, MAX_MESSAGE_SIZE).map(MessageBody::Size),
        (None, Some(text)) => message_text(reader, &text).map(MessageBody::Text),
        (None, None) => Some(MessageBody::Size(DEFAULT_MESSAGE_SIZE)),
    };
    Some(Action::Send { by: by?, id: MessageId::new(id?), body: body? })
}

fn message_text<'a>(reader: &mut FileReader<'a>, at: &At<'a>) -> Option<String> {
    let text = reader.text(at)?;
    if text.len() > MAX_MESSAGE_SIZE as usize {
        reader.note(at, format!("a message has at most {MAX_MESSAGE_SIZE} bytes, found {}", text.len()));
        return None;
    }
    Some(text)
}

fn delivery<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Delivery> {
    let fields = reader.object(at, &["id", "for"])?;
    let id = fields.required(reader, "id").and_then(|at| reader.name(&at));
    let to = members(reader, fields.get("for"));
    Some(Delivery { id: MessageId::new(id?), to })
}

fn crash<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, &["who", "at"])?;
    let who = fields.required(reader, "who");
    let who = member(reader, who);
    let at = fields.required(reader, "at").and_then(|at| reader.word(&at));
    Some(Action::Crash { who: who?, at: at? })
}

fn compromise<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, &["who", "id", "scope"])?;
    let who = fields.required(reader, "who");
    let who = member(reader, who);
    let id = fields.required(reader, "id").and_then(|at| reader.name(&at));
    let scope: Option<TheftScope> = fields.get("scope").and_then(|at| reader.word(&at));
    Some(Action::Compromise { who: who?, id: CompromiseId::new(id?), scope: scope.unwrap_or_default() })
}

fn impersonate<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.object(at, &["compromise", "action", "id"])?;
    let compromise = fields.required(reader, "compromise").and_then(|at| reader.name(&at));
    let act: Option<ThiefAction> = fields.required(reader, "action").and_then(|at| reader.word(&at));
    let id = fields.get("id").and_then(|at| {
        if act.is_some_and(|act| act != ThiefAction::Send) {
            reader.note(&at, "only the action `send` has an `id`");
        }
        reader.name(&at)
    });
    Some(Action::Impersonate { compromise: CompromiseId::new(compromise?), act: act?, id: id.map(MessageId::new) })
}

fn wait<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let text = reader.text(&at)?;
    let Some(duration) = duration(&text) else {
        reader.note(&at, r#"expected a duration such as "90s", "15m", "3h" or "7d""#);
        return None;
    };
    if duration.is_zero() || duration > MAX_WAIT {
        let days = MAX_WAIT.as_secs() / DAY;
        reader.note(&at, format!("a wait is at least one second and at most {days} days"));
        return None;
    }
    Some(Action::Wait(duration))
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
