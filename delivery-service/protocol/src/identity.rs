//! The names of users and their devices.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    mls,
    name_rules::{self, InvalidName, MAX_NAME_BYTES},
};

/// The version of the identity's encoding. It is the first byte of the identity.
const IDENTITY_VERSION: u8 = 1;

/// The escape character in the text of a [`DeviceId`]. The character after it belongs to the user's
/// name.
const ESCAPE: char = '\\';
/// The separator between the user's and the device's name in the text of a [`DeviceId`].
const SEPARATOR: char = '/';

/// A user: a person or a program that has one or more devices.
///
/// The name is in the normal form of the profile UsernameCasePreserved (RFC 8265, 3.4).
///
/// ```
/// use regrow_protocol::UserId;
///
/// assert_eq!(UserId::new("e\u{301}va")?, UserId::new("éva")?);
/// assert!(UserId::new("eva\u{200b}").is_err());
/// # Ok::<(), regrow_protocol::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = "alice"))]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

impl UserId {
    /// Returns the user with this name, after it has brought the name into its normal form.
    ///
    /// # Errors
    /// [`InvalidName`] if the name is empty, is longer than [`MAX_NAME_BYTES`], or has a forbidden
    /// character: a space, a control, bidirectional or invisible character, or a symbol outside
    /// ASCII.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name_rules::user(within_limit(name.as_ref())?)?;
        within_limit(&name)?;
        Ok(Self(name))
    }

    /// Returns the user with a name that is already in normal form, for example a name from the
    /// wire or from a store.
    ///
    /// # Errors
    /// [`InvalidName::NotNormal`] if [`new`](Self::new) would change the name. Also the errors of
    /// [`new`](Self::new).
    pub fn from_normal(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let user = Self::new(name.as_ref())?;
        if user.0 == name.as_ref() { Ok(user) } else { Err(InvalidName::NotNormal) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the name if it is not too long. The check avoids useless work on a longer name.
fn within_limit(name: &str) -> Result<&str, InvalidName> {
    if name.len() > MAX_NAME_BYTES { Err(InvalidName::Length { bytes: name.len() }) } else { Ok(name) }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for UserId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for UserId {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for UserId {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<UserId> for str {
    fn eq(&self, other: &UserId) -> bool {
        self == other.0
    }
}

impl TryFrom<String> for UserId {
    type Error = InvalidName;

    /// Converts a name as [`UserId::from_normal`] does.
    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::from_normal(name)
    }
}

impl From<UserId> for String {
    fn from(user: UserId) -> Self {
        user.0
    }
}

impl FromStr for UserId {
    type Err = InvalidName;

    /// Parses a name as [`UserId::new`] does.
    fn from_str(name: &str) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

/// One client of one user. A basic credential (RFC 9420, 5.3) names a device.
///
/// The identity in the credential is the byte 1 (the version of this encoding), the user's name and
/// the device's name. Each name is in UTF-8, after its length in the encoding of RFC 9420, 2.1.2.
/// Both names are in their normal form, so a device has exactly one identity. The device's name
/// follows the profile Nickname (RFC 8266), which allows spaces.
///
/// ```
/// use regrow_protocol::DeviceId;
///
/// let phone = DeviceId::new("alice", "phone")?;
/// assert_eq!(phone.to_string(), "alice/phone");
/// assert_eq!(DeviceId::from_identity(&phone.to_identity())?, phone);
/// # Ok::<(), regrow_protocol::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "Names")]
pub struct DeviceId {
    /// The user.
    user: UserId,
    /// The device's name. It is unique among the user's devices.
    #[cfg_attr(feature = "openapi", schema(example = "phone"))]
    device: String,
}

/// The names of a device before they are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    user: UserId,
    device: String,
}

impl TryFrom<Names> for DeviceId {
    type Error = InvalidName;

    fn try_from(Names { user, device }: Names) -> Result<Self, InvalidName> {
        Self::of(user, &device)
    }
}

impl DeviceId {
    /// Returns the device with these names, after it has brought both names into their normal form.
    ///
    /// # Errors
    /// [`InvalidName`] if a name is empty or has a forbidden character, or if the identity is
    /// longer than [`MAX_NAME_BYTES`].
    pub fn new(user: impl AsRef<str>, device: impl AsRef<str>) -> Result<Self, InvalidName> {
        let device = name_rules::device(within_limit(device.as_ref())?)?;
        let id = Self { user: UserId::new(user)?, device };
        match id.to_identity().len() {
            bytes if bytes > MAX_NAME_BYTES => Err(InvalidName::Length { bytes }),
            _ => Ok(id),
        }
    }

    /// Returns the user's device with a name that is already in normal form, for example a name
    /// from the wire or from a store.
    ///
    /// # Errors
    /// [`InvalidName::NotNormal`] if [`new`](Self::new) would change the name. Also the errors of
    /// [`new`](Self::new).
    pub fn of(user: UserId, device: &str) -> Result<Self, InvalidName> {
        let id = Self::new(&user, device)?;
        if id.device == device { Ok(id) } else { Err(InvalidName::NotNormal) }
    }

    /// The user.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Returns the identity in the device's credential.
    pub fn to_identity(&self) -> Vec<u8> {
        let mut identity = Vec::with_capacity(1 + 2 + self.user.0.len() + 2 + self.device.len());
        identity.push(IDENTITY_VERSION);
        for name in [&self.user.0, &self.device] {
            // Names are far shorter than the longest vector.
            let _fits = mls::put_vector(&mut identity, name.as_bytes());
        }
        identity
    }

    /// Reads an identity that [`to_identity`](Self::to_identity) wrote.
    ///
    /// # Errors
    /// [`InvalidName`] if the bytes are not such an identity.
    pub fn from_identity(identity: &[u8]) -> Result<Self, InvalidName> {
        let (&version, rest) = identity.split_first().ok_or(InvalidName::Encoding)?;
        if version != IDENTITY_VERSION {
            return Err(InvalidName::Version { version });
        }
        let (user, rest) = read_name(rest)?;
        let (device, rest) = read_name(rest)?;
        if !rest.is_empty() {
            return Err(InvalidName::Encoding);
        }
        Self::of(UserId::from_normal(user)?, device)
    }
}

/// Returns the name at the beginning of the bytes, and the bytes after it.
fn read_name(bytes: &[u8]) -> Result<(&str, &[u8]), InvalidName> {
    let (name, rest) = mls::vector(bytes).ok_or(InvalidName::Encoding)?;
    Ok((str::from_utf8(name).map_err(|_| InvalidName::Encoding)?, rest))
}

impl fmt::Display for DeviceId {
    /// Writes the user's and the device's name with a slash between them. A slash or a backslash
    /// within the user's name is written after a backslash, so that different devices have
    /// different texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.user.0.chars() {
            if matches!(character, ESCAPE | SEPARATOR) {
                write!(f, "{ESCAPE}")?;
            }
            write!(f, "{character}")?;
        }
        write!(f, "{SEPARATOR}{}", self.device)
    }
}

impl FromStr for DeviceId {
    type Err = InvalidName;

    /// Parses a text that [`Display`](fmt::Display) wrote. Both names are brought into their normal
    /// form.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let mut user = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                SEPARATOR => return Self::new(user, characters.as_str()),
                ESCAPE => user.push(characters.next().ok_or(InvalidName::Encoding)?),
                other => user.push(other),
            }
        }
        Err(InvalidName::Encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_back_from_its_identity() {
        let phone = DeviceId::new("alice", "phone").unwrap();
        assert_eq!(phone.to_identity(), b"\x01\x05alice\x05phone");
        assert_eq!(DeviceId::from_identity(&phone.to_identity()), Ok(phone));
    }

    #[test]
    fn identities_of_two_byte_lengths_are_read() {
        let device = DeviceId::new("u".repeat(100), "d".repeat(100)).unwrap();
        assert_eq!(DeviceId::from_identity(&device.to_identity()), Ok(device));
    }

    #[test]
    fn an_identity_has_at_most_255_bytes() {
        let longest = DeviceId::new("u".repeat(125), "d".repeat(125)).unwrap();
        assert_eq!(longest.to_identity().len(), MAX_NAME_BYTES);
        for (user, device) in
            [(125, 126), (126, 125), (255, 1), (1, 255), (256, 1), (1, 256), (1_000_000, 1), (0, 1), (1, 0)]
        {
            let refused = DeviceId::new("u".repeat(user), "d".repeat(device));
            assert!(matches!(refused, Err(InvalidName::Length { .. })), "{user} {device}");
        }
    }

    #[test]
    fn malformed_identities_are_refused() {
        let bytes: [&[u8]; 7] = [
            b"",
            b"\x01",
            b"\x01\x05alice\x05phone!",
            b"\x01\x40\x05alice\x05phone",
            b"\x01\x05alice\x09phone",
            b"\x01\x01\xff\x05phone",
            b"\x01\xbf\xff\xff\xff",
        ];
        for bytes in bytes {
            assert_eq!(DeviceId::from_identity(bytes), Err(InvalidName::Encoding), "{bytes:?}");
        }
        assert_eq!(DeviceId::from_identity(b"\x02\x01a\x01b"), Err(InvalidName::Version { version: 2 }));
    }

    #[test]
    fn an_identity_in_another_form_is_refused() {
        for (user, device) in [("e\u{301}", "phone"), ("eva", "e\u{301}"), ("eva", " phone"), ("\u{ff21}", "phone")] {
            let mut identity = vec![IDENTITY_VERSION];
            assert!([user, device].iter().all(|name| mls::put_vector(&mut identity, name.as_bytes())));
            assert_eq!(DeviceId::from_identity(&identity), Err(InvalidName::NotNormal), "{user} {device}");
            let json = serde_json::json!({ "user": user, "device": device });
            assert!(serde_json::from_value::<DeviceId>(json).is_err(), "{user} {device}");
            assert!(DeviceId::new(user, device).is_ok());
        }
    }

    #[test]
    fn a_body_has_both_names_and_nothing_else() {
        let phone = DeviceId::new("alice", "my phone").unwrap();
        let json = serde_json::json!({ "user": "alice", "device": "my phone" });
        assert_eq!(serde_json::to_value(&phone).unwrap(), json);
        assert_eq!(serde_json::from_value::<DeviceId>(json).unwrap(), phone);
        for other in [
            serde_json::json!({ "user": "alice" }),
            serde_json::json!({ "user": "alice", "device": "" }),
            serde_json::json!({ "user": "alice", "device": "phone", "more": 1 }),
        ] {
            assert!(serde_json::from_value::<DeviceId>(other).is_err());
        }
    }

    #[test]
    fn different_devices_have_different_texts() {
        let names =
            [("a/b", "c"), ("a", "b/c"), ("a\\", "b/c"), ("a\\/b", "c"), ("a\\\\", "c"), ("/", "/"), ("\\", "\\")];
        let devices = names.map(|(user, device)| DeviceId::new(user, device).unwrap());
        let texts = std::collections::BTreeSet::from_iter(devices.iter().map(DeviceId::to_string));
        assert_eq!(texts.len(), devices.len());
        for device in devices {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
    }

    #[test]
    fn a_text_without_both_names_is_refused() {
        for text in ["", "alice", "/phone", "alice/", "alice\\/phone", "alice\\"] {
            assert!(text.parse::<DeviceId>().is_err(), "{text}");
        }
    }
}
