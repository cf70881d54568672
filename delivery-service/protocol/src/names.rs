//! The names of things: groups, users, devices, epochs, positions, moments. Each is its own type, so that one cannot be passed
//! for another.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use crate::identity::{DeviceId, InvalidName, MAX_NAME_BYTES, UserId};
use crate::{api::Bytes, name_rules};

/// What the text of a group identifier begins with that is shown as bytes.
const HEXADECIMAL: &str = "0x";

/// The identifier of a group (RFC 9420, 8.1), chosen by its creator and unique at one delivery service: 1 to 255 bytes.
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

/// Bytes are not the identifier of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group's identifier has 1 to {MAX_NAME_BYTES} bytes, not {bytes}")]
pub struct InvalidGroupId {
    /// How many bytes there are.
    pub bytes: usize,
}

impl GroupId {
    /// The group identifier of these bytes.
    ///
    /// # Errors
    /// [`InvalidGroupId`] if there are no bytes, or more than [`MAX_NAME_BYTES`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, InvalidGroupId> {
        match bytes.as_ref() {
            bytes if bytes.is_empty() || bytes.len() > MAX_NAME_BYTES => Err(InvalidGroupId { bytes: bytes.len() }),
            bytes => Ok(Self(bytes.to_vec())),
        }
    }

    /// The identifier's bytes, as they stand in MLS messages.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The identifier as it stands in paths and file names: base64url without padding (RFC 4648, 5).
    pub fn to_base64url(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// Reads what [`to_base64url`](Self::to_base64url) wrote. [`None`] if it is anything else.
    pub fn from_base64url(text: impl AsRef<[u8]>) -> Option<Self> {
        BASE64URL_NOPAD.decode(text.as_ref()).ok().and_then(|bytes| Self::new(bytes).ok())
    }
}

impl fmt::Display for GroupId {
    /// The identifier as text if all that is in it can be seen, else `0x` and the bytes in hexadecimal. Different
    /// identifiers have different texts.
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
    /// As [`Bytes`]: base64url in JSON, a byte string in binary formats.
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

/// The number of an epoch (RFC 9420, 8.1): 0 when a group is created, one more with each accepted commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of an entry in its group's log: 1 for the first, without gaps. A reader that sees a gap has missed entries
/// that the retention time or the queue's length limit took away. 0 stands for the group's creation, which is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// A position in a device's stream. Positions grow over all groups together, in the order in which entries were
/// accepted; what a device may not read leaves gaps. [`Cursor::START`] is before everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub u64);

impl Cursor {
    /// Before the first entry: what a device that has read nothing yet reads after.
    pub const START: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A moment, in seconds since the Unix epoch. Neither the engine nor the service has a clock: the caller says what time
/// it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The last second of the year 9999. A later time is none: milliseconds that were passed for seconds, for example.
    pub const LATEST: Self = Self(253_402_300_799);
}

impl Timestamp {
    /// The moment that many seconds later.
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
