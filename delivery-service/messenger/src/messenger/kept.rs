//! The values that a messenger keeps in the device's store, and their names.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{self, Write},
};

use regrow_engine::{Client, DeviceId, GroupId, UserId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    delivered::Delivered,
    event::{Intent, Rejoin},
};
use crate::{
    audit::Audit,
    device_list::DeviceList,
    envelope::Nonce,
    error::Error,
    names::{Cursor, Sequence},
};

/// Where this device is registered, and the key that it opens sessions with.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct Account {
    #[serde(with = "serde_bytes")]
    pub(super) seed: [u8; 32],
    #[serde(with = "serde_bytes")]
    pub(super) service: [u8; 32],
    /// Whether the service has confirmed it.
    pub(super) registered: bool,
}

/// Key packages that were made and have not reached the service, as far as is known.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) key_packages: Vec<ByteBuf>,
    pub(super) last_resort: Option<ByteBuf>,
    /// The public signature key in their leaves.
    pub(super) signature_key: ByteBuf,
    /// Whether they replace all others at the service.
    pub(super) replaces: bool,
}

/// The key packages that the service has: all were uploaded since it has had them, with this signature key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Published {
    /// The public signature key in their leaves.
    pub(super) signature_key: ByteBuf,
    /// When all key packages before were withdrawn, in seconds since the Unix epoch.
    pub(super) since: u64,
}

/// The messenger's record of a group; the engine has one of its own.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct GroupRecord {
    pub(super) audit: Audit,
    /// The entry by which this device came into the group. 0 if it has made it.
    pub(super) joined: u64,
    /// The group info that the service is to make the group from.
    pub(super) creating: Option<ByteBuf>,
    pub(super) rejoin: Option<Rejoin>,
    pub(super) bad: Option<BadCommit>,
    /// The intents that the engine does not know of yet.
    pub(super) intents: VecDeque<Intent>,
    /// Devices that were removed from the group while their users stayed. Only a person adds them again.
    pub(super) banned: BTreeSet<DeviceId>,
    /// The device that has added this one, while a person has not accepted the group.
    pub(super) invited_by: Option<DeviceId>,
    /// The service is to hear whether this device accepts the group, which another user has added it to.
    pub(super) answer: Option<Answer>,
    /// Nothing is sent.
    pub(super) suspended: bool,
    /// Entries are missing in this epoch: later messages may be too far ahead to be read.
    pub(super) has_gap: bool,
    /// The texts that the application was told and that their senders may send again.
    pub(super) delivered: Delivered,
}

/// The answer to an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Accept,
    Decline,
}

/// The list of a user's devices, as far as it was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KnownList {
    pub(super) list: DeviceList,
    /// The beginning of the list that is accepted: the first that was seen, or a later one that a person has accepted.
    pub(super) accepted: u64,
}

/// A change of this user's list of devices that is still to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ListIntent {
    /// Add the device of this card, in its text form.
    Link(String),
    /// Remove the device, from the list and from the service.
    Remove(DeviceId),
    /// Begin the list anew, with this device alone.
    BeginAnew,
}

/// A commit that this device cannot follow.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct BadCommit {
    pub(super) sequence: Sequence,
    /// When it was met, in seconds since the Unix epoch.
    pub(super) since: u64,
    pub(super) reported: bool,
}

/// Something that waits to be sent, or that was sent in the present epoch.
#[derive(Serialize, Deserialize)]
pub(super) struct Out {
    /// The text; nothing if it is a proposal.
    pub(super) text: Option<OutText>,
    /// The MLSMessage, once there is one, and its epoch.
    pub(super) sealed: Option<Sealed>,
    /// Where the service has ordered it.
    pub(super) ordered: Option<Sequence>,
}

/// A text of this device, and its nonce: the same each time that the text is sent.
#[derive(Serialize, Deserialize)]
pub(super) struct OutText {
    pub(super) nonce: Nonce,
    #[serde(with = "text")]
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) epoch: u64,
    pub(super) bytes: ByteBuf,
}

const ACCOUNT: &str = "regrow-ds/account";
const CURSOR: &str = "regrow-ds/cursor";
const UPLOAD: &str = "regrow-ds/upload";
const LAST_RESORT: &str = "regrow-ds/last resort";
const PUBLISHED: &str = "regrow-ds/published";
const LIST_INTENTS: &str = "regrow-ds/list intents";
const DEVICE_LIST: &str = "regrow-ds/devices/";
const GROUP: &str = "regrow-ds/group/";
const OUT: &str = "regrow-ds/out/";
const SENT: &str = "regrow-ds/sent/";

/// Values to be kept together.
#[derive(Default)]
pub(super) struct Changes(Vec<(String, Option<Zeroizing<Vec<u8>>>)>);

impl Changes {
    pub(super) fn account(mut self, account: &Account) -> Result<Self, Error> {
        self.0.push((ACCOUNT.into(), Some(encode(account)?)));
        Ok(self)
    }

    pub(super) fn cursor(mut self, cursor: Cursor) -> Result<Self, Error> {
        self.0.push((CURSOR.into(), Some(encode(&cursor)?)));
        Ok(self)
    }

    pub(super) fn upload(mut self, upload: Option<&Upload>) -> Result<Self, Error> {
        self.0.push((UPLOAD.into(), upload.map(encode).transpose()?));
        Ok(self)
    }

    pub(super) fn last_resort(mut self, made: u64) -> Result<Self, Error> {
        self.0.push((LAST_RESORT.into(), Some(encode(&made)?)));
        Ok(self)
    }

    pub(super) fn published(mut self, published: Option<&Published>) -> Result<Self, Error> {
        self.0.push((PUBLISHED.into(), published.map(encode).transpose()?));
        Ok(self)
    }

    pub(super) fn list_intents(mut self, intents: &VecDeque<ListIntent>) -> Result<Self, Error> {
        self.0.push((LIST_INTENTS.into(), Some(encode(intents)?)));
        Ok(self)
    }

    pub(super) fn device_list(mut self, user: &UserId, list: Option<&KnownList>) -> Result<Self, Error> {
        self.0.push((format!("{DEVICE_LIST}{user}"), list.map(encode).transpose()?));
        Ok(self)
    }

    pub(super) fn group(mut self, id: &GroupId, record: Option<&GroupRecord>) -> Result<Self, Error> {
        self.0.push((group_name(GROUP, id), record.map(encode).transpose()?));
        Ok(self)
    }

    pub(super) fn out(mut self, name: &str, out: Option<&Out>) -> Result<Self, Error> {
        self.0.push((name.to_owned(), out.map(encode).transpose()?));
        Ok(self)
    }

    pub(super) fn keep(self, client: &mut Client) -> Result<(), Error> {
        Ok(client.set_app_data(self.0)?)
    }
}

pub(super) fn account(client: &Client) -> Result<Option<Account>, Error> {
    get(client, ACCOUNT, "account")
}

pub(super) fn cursor(client: &Client) -> Result<Cursor, Error> {
    Ok(get(client, CURSOR, "cursor")?.unwrap_or(Cursor::START))
}

pub(super) fn upload(client: &Client) -> Result<Option<Upload>, Error> {
    get(client, UPLOAD, "upload")
}

/// When the last-resort key package was made that the service has.
pub(super) fn last_resort(client: &Client) -> Result<Option<u64>, Error> {
    get(client, LAST_RESORT, "last resort")
}

/// The key packages that the service has.
pub(super) fn published(client: &Client) -> Result<Option<Published>, Error> {
    get(client, PUBLISHED, "published")
}

/// The changes of this user's list of devices that are still to be made.
pub(super) fn list_intents(client: &Client) -> Result<VecDeque<ListIntent>, Error> {
    Ok(get(client, LIST_INTENTS, "list intents")?.unwrap_or_default())
}

/// The list of a user's devices, as far as it was read.
pub(super) fn device_list(client: &Client, user: &UserId) -> Result<Option<KnownList>, Error> {
    get(client, format!("{DEVICE_LIST}{user}"), "devices")
}

/// The groups and their records. A record that is damaged is an error of its own.
type GroupRecords = Vec<(GroupId, Result<GroupRecord, Error>)>;

/// The records of all groups.
pub(super) fn groups(client: &Client) -> Result<GroupRecords, Error> {
    let mut groups = Vec::new();
    for name in client.app_data_names(GROUP)? {
        let id = GroupId::from_base64url(&name[GROUP.len()..]);
        let id = id.ok_or_else(|| damaged("group", &"its name is none of a group"))?;
        match get(client, &name, "group") {
            Ok(record) => groups.extend(record.map(|record| (id, Ok(record)))),
            Err(error @ Error::Damaged { .. }) => groups.push((id, Err(error))),
            Err(error) => return Err(error),
        }
    }
    Ok(groups)
}

/// The names of the messages and proposals of a group that wait, in order.
pub(super) fn waiting(client: &Client, group: &GroupId) -> Result<Vec<String>, Error> {
    names(client, &items(OUT, group))
}

/// The names of the messages of a group that may have to be sent again, in order.
pub(super) fn sent(client: &Client, group: &GroupId) -> Result<Vec<String>, Error> {
    names(client, &items(SENT, group))
}

pub(super) fn out(client: &Client, name: &str) -> Result<Option<Out>, Error> {
    get(client, name, "message")
}

/// The name of the next thing to be sent in a group.
pub(super) fn next_out(client: &Client, group: &GroupId) -> Result<String, Error> {
    let prefix = items(OUT, group);
    let last = names(client, &prefix)?.pop();
    let last = last.and_then(|name| name[prefix.len()..].parse::<u64>().ok());
    Ok(format!("{prefix}{:020}", last.map_or(0, |last| last.saturating_add(1))))
}

/// The name of the message with that number in the group's log.
pub(super) fn sent_at(group: &GroupId, sequence: Sequence) -> String {
    format!("{}{:020}", items(SENT, group), sequence.0)
}

fn names(client: &Client, prefix: &str) -> Result<Vec<String>, Error> {
    let names = client.app_data_names(prefix)?.into_iter();
    names.map(|name| String::from_utf8(name).map_err(|e| damaged("message", &e))).collect()
}

fn group_name(prefix: &str, group: &GroupId) -> String {
    format!("{prefix}{}", group.to_base64url())
}

fn items(prefix: &str, group: &GroupId) -> String {
    format!("{}/", group_name(prefix, group))
}

fn get<T: DeserializeOwned>(client: &Client, name: impl AsRef<[u8]>, what: &'static str) -> Result<Option<T>, Error> {
    let Some(bytes) = client.app_data(name)? else { return Ok(None) };
    ciborium::from_reader(&bytes[..]).map(Some).map_err(|e| damaged(what, &e))
}

/// Encoded twice, and the first time only counted: a buffer that grows leaves copies of the texts that were in it behind.
fn encode(value: &(impl Serialize + ?Sized)) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |e: ciborium::ser::Error<io::Error>| damaged("value", &e);
    let mut count = Count(0);
    ciborium::into_writer(value, &mut count).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(count.0));
    ciborium::into_writer(value, &mut *bytes).map_err(failed)?;
    Ok(bytes)
}

fn damaged(name: &'static str, detail: &dyn std::fmt::Display) -> Error {
    Error::Damaged { name, detail: detail.to_string() }
}

/// A text as a byte string.
mod text {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use serde_bytes::{ByteBuf, Bytes};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(text: &Zeroizing<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        Bytes::new(text).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<Vec<u8>>, D::Error> {
        Ok(Zeroizing::new(ByteBuf::deserialize(from)?.into_vec()))
    }
}

struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
