//! The rules for names that people read: PRECIS (RFC 8264) through the crate `precis-profiles`.
//!
//! A user's name follows UsernameCasePreserved (RFC 8265, 3.4): letters, digits and ASCII
//! punctuation, no spaces. A device's name follows Nickname (RFC 8266, 2), which allows inner
//! spaces and symbols. Both profiles use the tables of Unicode 6.3 that RFC 8264 registers, so that
//! two versions of this crate agree about every name.

use precis_profiles::{
    Nickname, UsernameCasePreserved,
    precis_core::{self, CodepointInfo, profile::PrecisFastInvocation as _},
};

use serde::{Deserialize, Serialize};

/// The longest name or identity of a device, a user or a group, in bytes.
///
/// Names are part of many store keys and of every leaf of every tree. So a long name costs many
/// times its length. 255 bytes are enough for any identifier that people or UUID libraries make.
pub const MAX_NAME_BYTES: usize = 255;

/// An error: a name or an identity is not valid for a user or a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum InvalidName {
    /// A name is empty, or the names are too long.
    #[error("the names have {bytes} bytes; a name needs at least 1, and an identity has at most {MAX_NAME_BYTES}")]
    Length {
        /// The length of the empty name, of the user's name, or of the whole identity.
        bytes: usize,
    },
    /// A name has a character that is not allowed in this kind of name.
    #[error("a name may not have the character U+{code_point:04X}")]
    Character {
        /// The character.
        code_point: u32,
    },
    /// A name is not in the normal form that [`DeviceId::new`](crate::DeviceId::new) and
    /// [`UserId::new`](crate::UserId::new) make, or it has no normal form.
    #[error("a name is not in the normal form of RFC 8265 and RFC 8266")]
    NotNormal,
    /// The name is "." or "..". These names have a meaning in paths.
    #[error("a name may not be \".\" or \"..\"")]
    Dots,
    /// The bytes or the text do not encode a user and a device.
    #[error("the identity does not encode a user and a device")]
    Encoding,
    /// The identity's encoding has a version that this crate does not know.
    #[error("the identity's encoding has the unknown version {version}")]
    Version {
        /// The version in its first byte.
        version: u8,
    },
}

/// Invisible characters that PRECIS allows, at least in some contexts.
const INVISIBLE: [char; 5] = [
    // The joiners. PRECIS allows them between the letters of some scripts.
    '\u{200c}',
    '\u{200d}',
    // BRAILLE PATTERN BLANK, OBJECT REPLACEMENT CHARACTER and MUSICAL SYMBOL NULL NOTEHEAD count as
    // symbols.
    '\u{2800}',
    '\u{fffc}',
    '\u{1d159}',
];

/// Names with a meaning in paths (RFC 3986, 5.2.4). No address can lead to a user or device with
/// such a name.
const DOTS: [&str; 2] = [".", ".."];

/// Returns the normal form of a user's name.
pub(crate) fn user(name: &str) -> Result<String, InvalidName> {
    if is_plain_ascii(name) {
        return without_dots(name.to_owned());
    }
    normal(name, |name| UsernameCasePreserved::enforce(name).map(Into::into))
}

/// Returns the normal form of a device's name.
pub(crate) fn device(name: &str) -> Result<String, InvalidName> {
    if is_plain_ascii(name) {
        return without_dots(name.to_owned());
    }
    normal(name, |name| Nickname::enforce(name).map(Into::into))
}

/// Returns true if all characters of the text are visible and have only one encoding. Such a text
/// has no control, bidirectional or invisible characters, no outer or repeated spaces, and no
/// second encoding of the same characters.
pub(crate) fn is_plain(text: &str) -> bool {
    device(text).is_ok_and(|normal| normal == text)
}

fn is_plain_ascii(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn normal(name: &str, enforce: impl Fn(&str) -> Result<String, precis_core::Error>) -> Result<String, InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Length { bytes: 0 });
    }
    let enforced = enforce(name).map_err(refused)?;
    if let Some(character) = enforced.chars().find(|character| INVISIBLE.contains(character)) {
        return Err(InvalidName::Character { code_point: character.into() });
    }
    // RFC 8264, 7: a form that the rules change a second time is not stable, and is refused.
    if enforce(&enforced).map_err(refused)? == enforced { without_dots(enforced) } else { Err(InvalidName::NotNormal) }
}

fn without_dots(name: String) -> Result<String, InvalidName> {
    if DOTS.contains(&&*name) { Err(InvalidName::Dots) } else { Ok(name) }
}

fn refused(error: precis_core::Error) -> InvalidName {
    match error {
        precis_core::Error::BadCodepoint(CodepointInfo { cp, .. }) => InvalidName::Character { code_point: cp },
        // The name has only spaces, or mixes text directions in a way that RFC 5893 forbids.
        precis_core::Error::Invalid | precis_core::Error::Unexpected(_) => InvalidName::NotNormal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_leave_visible_ascii_names_unchanged() {
        let graphic: String = (0x21..0x7f_u8).map(char::from).collect();
        let whole = |name: &str| (0..name.len()).map(|at| name[at..].to_owned()).collect::<Vec<_>>();
        for name in whole(&graphic) {
            assert_eq!(UsernameCasePreserved::enforce(&*name).as_deref(), Ok(&*name));
            assert_eq!(Nickname::enforce(&*name).as_deref(), Ok(&*name));
            assert_eq!((user(&name).as_deref(), device(&name).as_deref()), (Ok(&*name), Ok(&*name)));
        }
    }

    #[test]
    fn names_are_brought_into_normal_form() {
        for (name, normal) in [("Alice", "Alice"), ("e\u{301}va", "éva"), ("\u{ff21}lice", "Alice"), ("علي", "علي")]
        {
            assert_eq!(user(name).as_deref(), Ok(normal));
        }
        for (name, normal) in
            [("  Eva's \u{3000} phone ", "Eva's phone"), ("e\u{301}", "é"), ("\u{fb01}ve", "five"), ("😀", "😀")]
        {
            assert_eq!(device(name).as_deref(), Ok(normal));
        }
    }

    #[test]
    fn invisible_characters_are_refused() {
        for character in [
            '\0',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180b}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{fffc}',
            '\u{1d159}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0100}',
        ] {
            for name in
                [format!("a{character}b"), format!("{character}b"), format!("a{character}"), character.to_string()]
            {
                assert!(user(&name).is_err(), "{name:?}");
                assert!(device(&name).is_err(), "{name:?}");
                assert!(!is_plain(&name), "{name:?}");
            }
        }
    }

    #[test]
    fn only_device_names_may_have_spaces_and_only_inner_ones() {
        assert!(user("a b").is_err());
        assert!(device(" ").is_err());
        assert!(is_plain("a b"));
        for text in ["", " a", "a ", "a  b", "a\u{a0}b", "e\u{301}"] {
            assert!(!is_plain(text), "{text:?}");
        }
    }

    #[test]
    fn dot_names_are_refused() {
        for name in [".", "..", "\u{ff0e}", " .. "] {
            assert_eq!(device(name), Err(InvalidName::Dots), "{name}");
        }
        assert_eq!(user(".."), Err(InvalidName::Dots));
        assert_eq!(user("...").as_deref(), Ok("..."));
    }

    #[test]
    fn a_name_that_mixes_directions_is_refused() {
        assert_eq!(user("1\u{5d0}"), Err(InvalidName::NotNormal));
    }
}
