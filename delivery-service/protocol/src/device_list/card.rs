//! The card of a device: a text that a person carries from a new device to a device on the list.

use std::{fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};

use super::{ListedKeys, entry};
use crate::identity::DeviceId;

/// The prefix of a card's text.
const PREFIX: &str = "regrow-device:";
/// The length of the checksum, in bytes. The checksum detects typing mistakes.
const CHECK_SUM: usize = 4;
/// The largest length of a text, in bytes, without the prefix.
const MAX_TEXT: usize = 8 * 1024;

/// The name and the public keys of a device that a user wants to link.
///
/// A person carries the card's text from the new device's screen to a device on the list, as a QR
/// code or by hand. The service does not transport it, so that the service cannot replace the keys
/// by its own.
///
/// ```
/// use regrow_protocol::{DeviceId, device_list::{DeviceCard, DeviceKey, ListedKeys}};
///
/// let keys = ListedKeys { key: DeviceKey([1; 32]), signature_key: vec![2; 32].into() };
/// let card = DeviceCard { device: DeviceId::new("bob", "tablet")?, keys };
/// assert_eq!(card.to_string().parse::<DeviceCard>()?, card);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCard {
    /// The device.
    pub device: DeviceId,
    /// Its keys.
    pub keys: ListedKeys,
}

/// An error: a text is not the card of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a device's card, or has a mistake; copy it again from the new device")]
pub struct InvalidCard;

impl fmt::Display for DeviceCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(256);
        entry::put_card(&mut bytes, self);
        bytes.extend_from_slice(&check_sum(&bytes));
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }
}

impl FromStr for DeviceCard {
    type Err = InvalidCard;

    fn from_str(text: &str) -> Result<Self, InvalidCard> {
        let text = text.trim();
        let code = text.strip_prefix(PREFIX).filter(|code| code.len() <= MAX_TEXT).ok_or(InvalidCard)?;
        let bytes = BASE64URL_NOPAD.decode(code.as_bytes()).map_err(|_| InvalidCard)?;
        let (bytes, sum) = bytes.split_last_chunk::<CHECK_SUM>().ok_or(InvalidCard)?;
        match entry::card(bytes) {
            Some((card, [])) if *sum == check_sum(bytes) => Ok(card),
            _ => Err(InvalidCard),
        }
    }
}

fn check_sum(bytes: &[u8]) -> [u8; CHECK_SUM] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(bytes));
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::{super::DeviceKey, *};

    #[test]
    fn mistakes_in_a_card_text_are_detected() {
        let keys = ListedKeys { key: DeviceKey([1; 32]), signature_key: vec![2; 32].into() };
        let text = DeviceCard { device: DeviceId::new("bob", "tablet").unwrap(), keys }.to_string();
        assert_eq!(format!(" {text}\n").parse::<DeviceCard>().unwrap().to_string(), text);
        for at in 0..text.len() {
            for other in ["A", "b", "-", "é"] {
                let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                assert!(changed == text || changed.parse::<DeviceCard>().is_err(), "{changed}");
            }
            assert_eq!(text[..at].parse::<DeviceCard>(), Err(InvalidCard));
        }
    }
}
