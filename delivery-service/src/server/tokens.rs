//! Tokens: random bytes that let their bearer in, in base64url where they are written.
//!
//! An invitation is 32 random bytes. A session token also carries a mark of the device and a MAC
//! under a key in the store. So a token whose session has ended still shows that its bearer is a
//! device that once logged in, and the rate of such a device is not that of its address.

use data_encoding::BASE64URL_NOPAD;
use hmac::Mac as _;
use sha2::{Digest as _, Sha256};

use super::mac::mac;
use crate::{admission::TokenHash, names::DeviceId};

const RANDOM: usize = 32;
const MARK: usize = 8;
/// Half of an HMAC-SHA256: 128 bits that a stranger would have to guess.
const TAG: usize = 16;
const SESSION: usize = RANDOM + MARK + TAG;

const MARK_LABEL: &[u8] = b"Regrow device mark 1";
const TAG_LABEL: &[u8] = b"Regrow session token 1";

/// Stands for a device in a token and in a table of rates. It says nothing about the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeviceMark([u8; MARK]);

/// An invitation's token.
pub(crate) struct Token([u8; RANDOM]);

impl Token {
    pub(crate) fn new(random: [u8; RANDOM]) -> Self {
        Self(random)
    }

    /// Reads a token as it was written; `None` if it is none.
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

/// A session token as a request bears it.
pub(crate) struct SessionToken([u8; SESSION]);

impl SessionToken {
    /// Reads a token as it was written; `None` if it is none.
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

/// Makes session tokens, and recognizes old ones.
pub(crate) struct SessionTokens {
    key: [u8; 32],
}

impl SessionTokens {
    /// Tokens under the store's key.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A new token for a session of this device.
    pub(crate) fn make(&self, device: &DeviceId, random: [u8; RANDOM]) -> SessionToken {
        let DeviceMark(mark) = self.mark(device);
        let tag = mac(&self.key, &[TAG_LABEL, &random, &mark]).finalize().into_bytes();
        let mut token = [0; SESSION];
        let fields = random.iter().chain(&mark).chain(&tag);
        token.iter_mut().zip(fields).for_each(|(byte, field)| *byte = *field);
        SessionToken(token)
    }

    /// The device that the token was made for, if this service has made it, whether or not its
    /// session has ended.
    pub(crate) fn made_for(&self, token: &SessionToken) -> Option<DeviceMark> {
        let (random, rest) = token.0.split_first_chunk::<RANDOM>()?;
        let (mark, tag) = rest.split_first_chunk::<MARK>()?;
        mac(&self.key, &[TAG_LABEL, random, mark]).verify_truncated_left(tag).ok()?;
        Some(DeviceMark(*mark))
    }

    /// The mark of a device.
    pub(crate) fn mark(&self, device: &DeviceId) -> DeviceMark {
        let tag = mac(&self.key, &[MARK_LABEL, &device.to_identity()]).finalize().into_bytes();
        DeviceMark(tag.first_chunk().copied().unwrap_or_default())
    }
}

/// Decodes a token of this length. A text of another length is not even decoded.
fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    let length = (N * 8).div_ceil(6);
    (text.len() == length).then(|| BASE64URL_NOPAD.decode(text.as_bytes()).ok())??.try_into().ok()
}
