//! The identifiers of groups, users, devices, epochs, log positions and times. Each identifier has
//! its own type, so that a caller cannot pass one in place of another.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{api::Bytes, name_rules};
pub use crate::{
    identity::{DeviceId, UserId},
    name_rules::{InvalidName, MAX_NAME_BYTES},
};

/// The prefix of a group identifier's text that shows the bytes in hexadecimal.
const HEXADECIMAL: &str = "0x";

/// The identifier of a group (RFC 9420, 8.1): 1 to 255 bytes. The group's creator chooses it. It is
/// unique at one delivery service.
///
/// ```
/// use regrow_protocol::GroupId;
///
/// assert_eq!(GroupId::new("chat")?.to_string(), "chat");
/// assert_eq!(GroupId::new([0xa0])?.to_string(), "0xa0");
/// assert!(GroupId::new("").is_err());
/// # Ok::<(), regrow_protocol::InvalidGroupId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(Vec<u8>);

/// An error: the bytes are not the identifier of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group's identifier has 1 to {MAX_NAME_BYTES} bytes, not {bytes}")]
pub struct InvalidGroupId {
    /// The number of bytes.
    pub bytes: usize,
}

impl GroupId {
    /// Returns the group identifier with these bytes.
    ///
    /// # Errors
    /// [`InvalidGroupId`] if there are no bytes, or more than [`MAX_NAME_BYTES`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, InvalidGroupId> {
        match bytes.as_ref() {
            bytes if bytes.is_empty() || bytes.len() > MAX_NAME_BYTES => Err(InvalidGroupId { bytes: bytes.len() }),
            bytes => Ok(Self(bytes.to_vec())),
        }
    }

    /// The identifier's bytes, as MLS messages contain them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the identifier's form for paths and file names: base64url without padding (RFC 4648,
    /// 5).
    pub fn to_base64url(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// Reads an identifier that [`to_base64url`](Self::to_base64url) wrote. Returns [`None`] for
    /// any other text.
    pub fn from_base64url(text: impl AsRef<[u8]>) -> Option<Self> {
        BASE64URL_NOPAD.decode(text.as_ref()).ok().and_then(|bytes| Self::new(bytes).ok())
    }
}

impl fmt::Display for GroupId {
    /// Writes the identifier as text if all its characters are visible, otherwise `0x` and the
    /// bytes in hexadecimal. Different identifiers have different texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match str::from_utf8(&self.0) {
            Ok(text) if !text.starts_with(HEXADECIMAL) && name_rules::is_plain(text) => f.write_str(text),
            _ => {
                f.write_str(HEXADECIMAL)?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupId({self})")
    }
}

impl Serialize for GroupId {
    /// Serializes like [`Bytes`]: base64url in JSON, a byte string in binary formats.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.to_base64url())
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for GroupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Bytes::deserialize(deserializer)?.0).map_err(de::Error::custom)
    }
}

/// The number of an epoch (RFC 9420, 8.1). A new group is in epoch 0, and each accepted commit adds
/// 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of an entry in its group's log. The first entry has number 1, and the numbers have no
/// gaps. A reader that sees a gap has missed entries: the retention time or the queue's length
/// limit removed them. 0 stands for the group's creation, which is not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// A position in a device's stream. Positions increase over all groups together, in the order in
/// which the service accepts entries. Entries that a device may not read leave gaps.
/// [`Cursor::START`] is before all entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub u64);

impl Cursor {
    /// The position before the first entry. A device that has read nothing yet reads from here.
    pub const START: Self = Self(0);

    /// Returns the next position.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns the previous position.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A time, in seconds since the Unix epoch. The engine and the service have no clock: the caller
/// passes the current time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The last second of the year 9999. A later time is not valid: it is, for example, a time in
    /// milliseconds that was passed as seconds.
    pub const LATEST: Self = Self(253_402_300_799);
}

impl Timestamp {
    /// Returns the time this many seconds later.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_identifier_has_1_to_255_bytes() {
        assert_eq!(GroupId::new([]), Err(InvalidGroupId { bytes: 0 }));
        assert_eq!(GroupId::new(vec![7; 256]), Err(InvalidGroupId { bytes: 256 }));
        assert!(GroupId::new([7; 255]).is_ok());
        assert!(serde_json::from_str::<GroupId>("\"\"").is_err());
        let mut cbor = Vec::new();
        ciborium::into_writer(&Bytes(vec![7; 256]), &mut cbor).unwrap();
        assert!(ciborium::from_reader::<GroupId, _>(&cbor[..]).is_err());
    }

    #[test]
    fn a_group_identifier_is_read_back() {
        let group = GroupId::new([0xfb, 0xff, 0]).unwrap();
        assert_eq!(serde_json::to_string(&group).unwrap(), "\"-_8A\"");
        assert_eq!(serde_json::from_str::<GroupId>("\"-_8A\"").unwrap(), group);
        assert_eq!(GroupId::from_base64url(group.to_base64url()), Some(group.clone()));
        let mut cbor = Vec::new();
        ciborium::into_writer(&group, &mut cbor).unwrap();
        assert_eq!(cbor, [0x43, 0xfb, 0xff, 0]);
        assert_eq!(ciborium::from_reader::<GroupId, _>(&cbor[..]).unwrap(), group);
    }

    #[test]
    fn different_groups_have_different_texts() {
        let names: [&[u8]; 12] = [
            b"a0",
            &[0xa0],
            b"0xa0",
            b"0x",
            b"chat",
            b"chat ",
            b" chat",
            b"chat\n",
            "é".as_bytes(),
            "e\u{301}".as_bytes(),
            "ch\u{200b}at".as_bytes(),
            "ch\u{202e}at".as_bytes(),
        ];
        let groups = names.map(|name| GroupId::new(name).unwrap());
        let texts = std::collections::BTreeSet::from_iter(groups.iter().map(GroupId::to_string));
        assert_eq!(texts.len(), groups.len());
        assert_eq!([0, 1, 2, 4].map(|at: usize| groups[at].to_string()), ["a0", "0xa0", "0x30786130", "chat"]);
        assert!(
            texts.iter().all(|text| text.chars().all(|character| !character.is_control() && character != '\u{202e}'))
        );
    }
}
