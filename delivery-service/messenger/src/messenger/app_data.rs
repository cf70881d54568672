//! The messenger's records in the device's store: their names, reading, and writing.
//!
//! The engine stores them as app data. [`records`](super::records) has their types.

use std::{collections::VecDeque, io};

use regrow_engine::{Client, GroupId, UserId};
use regrow_protocol::ByteCounter;
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::records::{Account, KnownList, ListIntent, OutboxItem, PendingUpload, PublishedKeyPackages, StoredGroup};
use crate::{
    error::Error,
    names::{Cursor, Sequence},
};

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

/// Records that are written together.
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

    pub(super) fn upload(mut self, upload: Option<&PendingUpload>) -> Result<Self, Error> {
        self.0.push((UPLOAD.into(), upload.map(encode).transpose()?));
        Ok(self)
    }

    pub(super) fn last_resort(mut self, made: u64) -> Result<Self, Error> {
        self.0.push((LAST_RESORT.into(), Some(encode(&made)?)));
        Ok(self)
    }

    pub(super) fn published(mut self, published: Option<&PublishedKeyPackages>) -> Result<Self, Error> {
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

    pub(super) fn group(mut self, id: &GroupId, group: Option<&StoredGroup<'_>>) -> Result<Self, Error> {
        self.0.push((group_name(GROUP, id), group.map(encode).transpose()?));
        Ok(self)
    }

    pub(super) fn outbox_item(mut self, name: &str, item: Option<&OutboxItem>) -> Result<Self, Error> {
        self.0.push((name.to_owned(), item.map(encode).transpose()?));
        Ok(self)
    }

    /// Writes all records in one transaction.
    pub(super) fn write(self, client: &mut Client) -> Result<(), Error> {
        Ok(client.set_app_data(self.0)?)
    }
}

pub(super) fn account(client: &Client) -> Result<Option<Account>, Error> {
    get(client, ACCOUNT, "account")
}

/// The position in the stream. [`Cursor::START`] if none is stored.
pub(super) fn cursor(client: &Client) -> Result<Cursor, Error> {
    Ok(get(client, CURSOR, "cursor")?.unwrap_or(Cursor::START))
}

pub(super) fn upload(client: &Client) -> Result<Option<PendingUpload>, Error> {
    get(client, UPLOAD, "upload")
}

/// The time when the device made the last-resort key package that the service has.
pub(super) fn last_resort(client: &Client) -> Result<Option<u64>, Error> {
    get(client, LAST_RESORT, "last resort")
}

/// The key packages at the service.
pub(super) fn published(client: &Client) -> Result<Option<PublishedKeyPackages>, Error> {
    get(client, PUBLISHED, "published")
}

/// The pending changes of this user's list of devices.
pub(super) fn list_intents(client: &Client) -> Result<VecDeque<ListIntent>, Error> {
    Ok(get(client, LIST_INTENTS, "list intents")?.unwrap_or_default())
}

/// The known part of the list of a user's devices.
pub(super) fn device_list(client: &Client, user: &UserId) -> Result<Option<KnownList>, Error> {
    get(client, format!("{DEVICE_LIST}{user}"), "devices")
}

/// The groups and their records. A damaged record is an error of its own.
type StoredGroups = Vec<(GroupId, Result<StoredGroup<'static>, Error>)>;

/// The records of all groups.
pub(super) fn groups(client: &Client) -> Result<StoredGroups, Error> {
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

/// The names of a group's texts and proposals that wait to be sent, in order.
pub(super) fn waiting(client: &Client, group: &GroupId) -> Result<Vec<String>, Error> {
    names(client, &items(OUT, group))
}

/// The names of a group's texts that may have to be sent again, in order.
pub(super) fn sent(client: &Client, group: &GroupId) -> Result<Vec<String>, Error> {
    names(client, &items(SENT, group))
}

/// The outbox item of this name.
pub(super) fn outbox_item(client: &Client, name: &str) -> Result<Option<OutboxItem>, Error> {
    get(client, name, "message")
}

/// The name of a group's next outbox item.
pub(super) fn next_waiting(client: &Client, group: &GroupId) -> Result<String, Error> {
    let prefix = items(OUT, group);
    let last = names(client, &prefix)?.pop();
    let last = last.and_then(|name| name[prefix.len()..].parse::<u64>().ok());
    Ok(format!("{prefix}{:020}", last.map_or(0, |last| last.saturating_add(1))))
}

/// The name of the text with that sequence in the group's log.
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

/// Encodes a record.
///
/// The first pass only counts the bytes: a growing buffer would leave copies of texts in freed
/// memory.
fn encode(value: &(impl Serialize + ?Sized)) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |e: ciborium::ser::Error<io::Error>| damaged("value", &e);
    let mut count = ByteCounter::default();
    ciborium::into_writer(value, &mut count).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(count.bytes()));
    ciborium::into_writer(value, &mut *bytes).map_err(failed)?;
    Ok(bytes)
}

fn damaged(name: &'static str, detail: &dyn std::fmt::Display) -> Error {
    Error::Damaged { name, detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use regrow_engine::{DeviceId, MessageId};
    use serde_bytes::ByteBuf;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::{
        audit::Audit,
        device_list::DeviceList,
        envelope::{TextId, TextNonce},
        messenger::{
            delivered::DeliveredTexts,
            event::Rejoin,
            group::MessengerGroup,
            intent::Intent,
            records::{BadCommit, EncodedMessage, InvitationAnswer, OutboxText},
        },
        names::Epoch,
        receipt::{ChainHash, ServiceKey},
    };

    fn bob() -> DeviceId {
        DeviceId::new("bob", "phone").unwrap()
    }

    fn eve() -> UserId {
        UserId::new("eve").unwrap()
    }

    #[track_caller]
    fn assert_encoding(value: &(impl Serialize + ?Sized), sha256: &str) {
        let digest = Sha256::digest(encode(value).unwrap());
        assert_eq!(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), sha256);
    }

    fn group_awaiting_rollback() -> MessengerGroup {
        let group = GroupId::new("room").unwrap();
        let mut audit = Audit::default();
        audit.compare_receipt(&ServiceKey::from_seed(&[1; 32]).sign(&group, Sequence(7), Epoch(2), ChainHash([3; 32])));
        let mut delivered = DeliveredTexts::default();
        delivered.enter(2);
        delivered.admits(&bob(), TextId::of(TextNonce([7; 16]), b"hi"), MessageId::of(b"m"), 2);
        let data = Intent::SetData(ByteBuf::from(vec![1, 2]));
        MessengerGroup::load(StoredGroup {
            audit: Cow::Owned(audit),
            joined: 5,
            bad: Some(Cow::Owned(BadCommit { sequence: Sequence(6), since: 1000, reported: true })),
            intents: Cow::Owned([Intent::AddUser(eve()), Intent::Rotate { signature_key: true }, data].into()),
            banned: Cow::Owned([bob()].into()),
            invited_by: Some(Cow::Owned(bob())),
            suspended: true,
            has_gap: true,
            delivered: Cow::Owned(delivered),
            ..StoredGroup::default()
        })
    }

    #[test]
    fn stored_groups_keep_their_encoding() {
        let flags = StoredGroup { joined: 5, suspended: true, has_gap: true, ..StoredGroup::default() };
        let rejoining = MessengerGroup::load(StoredGroup {
            rejoin: Some(Rejoin::Missed),
            answer: Some(InvitationAnswer::Decline),
            ..flags
        });
        let flags = StoredGroup { joined: 5, suspended: true, has_gap: true, ..StoredGroup::default() };
        let creating =
            MessengerGroup::load(StoredGroup { creating: Some(Cow::Owned(ByteBuf::from(vec![9]))), ..flags });
        assert_encoding(
            &group_awaiting_rollback().record(),
            "7070892a2b80a1dea37d046a1ce4709a65a2eb86516cbdc5ca099cd736604768",
        );
        assert_encoding(&rejoining.record(), "25fae8e637f82110052dac38549496a61359f0190a4fc14730c986cce8ef7029");
        assert_encoding(&creating.record(), "caa0c73f4cafa4a8c2917209864e96b4e34a4ba615f733668c7b1e91b826cd43");
    }

    #[test]
    fn a_stored_group_is_loaded_as_it_was() {
        let stored = encode(&group_awaiting_rollback().record()).unwrap();
        let loaded = MessengerGroup::load(ciborium::from_reader(&stored[..]).unwrap());
        assert_eq!(encode(&loaded.record()).unwrap(), stored);
    }

    #[test]
    fn other_stored_records_keep_their_encoding() {
        let bytes = |byte: u8| ByteBuf::from(vec![byte]);
        let text = OutboxText { nonce: TextNonce([6; 16]), bytes: Zeroizing::new(vec![1]) };
        let sealed = EncodedMessage { epoch: 3, bytes: bytes(8) };
        let upload = PendingUpload {
            key_packages: vec![bytes(1)],
            last_resort: Some(bytes(2)),
            signature_key: bytes(3),
            replaces: true,
        };
        let intents = [ListIntent::Link("card".into()), ListIntent::Remove(bob()), ListIntent::BeginAnew];
        assert_encoding(
            &Account { seed: [4; 32], service: [5; 32], registered: true },
            "c42183fd1ffabc4d0bf89b0f65621d4ccc59bace3d9f8a2261ab5a76e9c7124a",
        );
        assert_encoding(&upload, "b5057856d012210e23e730026a1dd8c2ae397adc2c2af0ce895bd1f4608084fe");
        assert_encoding(
            &PublishedKeyPackages { signature_key: bytes(3), since: 4 },
            "ac55630d5bdc1c4180228080b61940f748b5c308cedff3abe7d4bd17a89be63e",
        );
        let item = OutboxItem { text: Some(text), sealed: Some(sealed), ordered: Some(Sequence(9)) };
        assert_encoding(&item, "74205611040ccb11cc552cfeffaa0504a9c0504db6bb5cf1741faa75912d1082");
        assert_encoding(&VecDeque::from(intents), "c7f0b98d4602597b5bbeac3a6102fe16afbd57ed3d3f460e8dfd4671edde8b5f");
        assert_encoding(
            &KnownList { list: DeviceList::new(eve()), accepted: 2 },
            "e9b8a6797d921df986d050c1d301423b28e5f57dab88a0f567ed5a3874aa2c05",
        );
    }
}
