//! Tokens: random bytes that give their bearer access. Their text form is base64url.
//!
//! An invitation is 32 random bytes. A session token also contains a mark of the device, and a MAC
//! under a key in the store. So a token of an ended session still shows that its bearer is a device
//! that once logged in. Such a device has a rate of its own, apart from the rate of its address.

use data_encoding::BASE64URL_NOPAD;
use hmac::Mac as _;
use sha2::{Digest as _, Sha256};

use super::mac::mac;
use crate::{admission::TokenHash, names::DeviceId};

const RANDOM: usize = 32;
const MARK: usize = 8;
/// Half of an HMAC-SHA256. An attacker would have to guess 128 bits.
const TAG: usize = 16;
const SESSION: usize = RANDOM + MARK + TAG;

const MARK_LABEL: &[u8] = b"Regrow device mark 1";
const TAG_LABEL: &[u8] = b"Regrow session token 1";

/// The mark of a device in a token and in a table of rates. It does not reveal the name of the
/// device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeviceMark([u8; MARK]);

/// The token of an invitation.
pub(crate) struct Token([u8; RANDOM]);

impl Token {
    pub(crate) fn new(random: [u8; RANDOM]) -> Self {
        Self(random)
    }

    /// Parses the text form of a token. Returns `None` if the text is not a token.
    pub(crate) fn read(text: &str) -> Option<Self> {
        decoded(text).map(Self)
    }

    pub(crate) fn write(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0).into())
    }
}

/// The session token of a request.
pub(crate) struct SessionToken([u8; SESSION]);

impl SessionToken {
    /// Parses the text form of a token. Returns `None` if the text is not a token.
    pub(crate) fn read(text: &str) -> Option<Self> {
        decoded(text).map(Self)
    }

    pub(crate) fn write(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0).into())
    }
}

/// Makes session tokens, and recognizes the tokens of ended sessions.
pub(crate) struct SessionTokens {
    key: [u8; 32],
}

impl SessionTokens {
    /// Creates tokens under the key of the store.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Makes a token for a new session of this device.
    pub(crate) fn make(&self, device: &DeviceId, random: [u8; RANDOM]) -> SessionToken {
        let DeviceMark(mark) = self.mark(device);
        let tag = mac(&self.key, &[TAG_LABEL, &random, &mark]).finalize().into_bytes();
        let mut token = [0; SESSION];
        let fields = random.iter().chain(&mark).chain(&tag);
        token.iter_mut().zip(fields).for_each(|(byte, field)| *byte = *field);
        SessionToken(token)
    }

    /// Returns the mark of the device that the token was made for, if this service made the token.
    /// The session may have ended.
    pub(crate) fn made_for(&self, token: &SessionToken) -> Option<DeviceMark> {
        let (random, rest) = token.0.split_first_chunk::<RANDOM>()?;
        let (mark, tag) = rest.split_first_chunk::<MARK>()?;
        mac(&self.key, &[TAG_LABEL, random, mark]).verify_truncated_left(tag).ok()?;
        Some(DeviceMark(*mark))
    }

    /// Returns the mark of a device.
    pub(crate) fn mark(&self, device: &DeviceId) -> DeviceMark {
        let tag = mac(&self.key, &[MARK_LABEL, &device.to_identity()]).finalize().into_bytes();
        DeviceMark(tag.first_chunk().copied().unwrap_or_default())
    }
}

/// Decodes a token of `N` bytes. It does not decode a text of another length.
fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    let length = (N * 8).div_ceil(6);
    (text.len() == length).then(|| BASE64URL_NOPAD.decode(text.as_bytes()).ok())??.try_into().ok()
}
