//! One entry of a device list: its fields, its encoding, and the signed bytes.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};

use super::{DeviceCard, DeviceKey, ListedKeys, MAX_ENTRY_BYTES, MAX_SIGNATURE_KEY_BYTES};
use crate::{
    identity::{DeviceId, UserId},
    mls,
    receipt::ServicePublicKey,
};

const LABEL: &[u8] = b"Regrow device list 1";

const BEGIN: u8 = 1;
const ADD: u8 = 2;
const REMOVE: u8 = 3;
const SET_SIGNATURE_KEY: u8 = 4;

/// The SHA-256 hash of an entry and its signature. The hash before the first entry is zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryHash(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EntryHash(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The change that an entry makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListChange {
    /// Begins the list with the signing device as its only device. All earlier devices are removed.
    Begin(ListedKeys),
    /// Adds another device of the user.
    Add(DeviceCard),
    /// Removes a device for ever.
    Remove(DeviceId),
    /// Replaces the public signature key of the signing device's key packages.
    SetSignatureKey(ByteBuf),
}

/// One entry of a device list. Its encoding contains neither the user nor the service, because both
/// sides know them. The signature covers both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// The entry's number. The first entry has number 1.
    pub number: u64,
    /// The hash of the previous entry.
    pub previous: EntryHash,
    /// The name of the user's device that has signed the entry.
    pub by: String,
    /// The change.
    pub change: ListChange,
    /// The device's signature (Ed25519).
    pub signature: [u8; 64],
}

/// An error: an entry does not continue the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// The bytes do not encode an entry.
    #[error("the bytes do not encode an entry of a device list")]
    Encoding,
    /// The entry has another number than the next entry. A device that has read the list up to its
    /// end makes the entry again.
    #[error("the entry has the number {found}; the next entry has the number {expected}")]
    Number {
        /// The number of the next entry.
        expected: u64,
        /// The entry's number.
        found: u64,
    },
    /// The entry does not contain the hash of the list's last entry.
    #[error("entry {number} does not contain the hash of the entry before it")]
    Previous {
        /// The entry's number.
        number: u64,
    },
    /// The signature is not the signing device's signature.
    #[error("entry {number} is not signed by its device")]
    Signature {
        /// The entry's number.
        number: u64,
    },
    /// A device that is not on the list has signed the entry, or the entry removes such a device.
    #[error("{device} is not on the list of its user's devices; link it from a device that is")]
    NotListed {
        /// The device.
        device: DeviceId,
    },
    /// The device is or was on the list, or it has a key of another device. The user has to
    /// register the device under a new name.
    #[error("{device} is or was on the list, or has another device's key; register the device under a new name")]
    Taken {
        /// The device.
        device: DeviceId,
    },
    /// The entry adds a device of another user.
    #[error("{device} is not a device of the user")]
    OtherUser {
        /// The device.
        device: DeviceId,
    },
}

impl ListEntry {
    /// Returns the encoded entry.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.unsigned();
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Reads an encoded entry. [`append`](super::DeviceList::append) checks if it is valid.
    ///
    /// # Errors
    /// [`InvalidEntry::Encoding`] if the bytes do not encode an entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidEntry> {
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(InvalidEntry::Encoding);
        }
        decode(bytes).ok_or(InvalidEntry::Encoding)
    }

    /// Returns the bytes that the device signs. They contain the service and the user, so that the
    /// entry is valid in only one list.
    pub(super) fn signed(&self, service: &ServicePublicKey, user: &UserId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        put(&mut bytes, LABEL);
        bytes.extend_from_slice(&service.0);
        put(&mut bytes, user.as_str().as_bytes());
        bytes.extend_from_slice(&self.unsigned());
        bytes
    }

    /// Returns the hash of the entry. `signed` are the entry's signed bytes.
    pub(super) fn hash(&self, signed: &[u8]) -> EntryHash {
        EntryHash(Sha256::new().chain_update(signed).chain_update(self.signature).finalize().into())
    }

    fn unsigned(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.previous.0);
        put(&mut bytes, self.by.as_bytes());
        match &self.change {
            ListChange::Begin(keys) => {
                bytes.push(BEGIN);
                put_keys(&mut bytes, keys);
            }
            ListChange::Add(card) => {
                bytes.push(ADD);
                put_card(&mut bytes, card);
            }
            ListChange::Remove(device) => {
                bytes.push(REMOVE);
                put(&mut bytes, &device.to_identity());
            }
            ListChange::SetSignatureKey(signature_key) => {
                bytes.push(SET_SIGNATURE_KEY);
                put(&mut bytes, signature_key);
            }
        }
        bytes
    }
}

fn decode(bytes: &[u8]) -> Option<ListEntry> {
    let (number, rest) = bytes.split_first_chunk()?;
    let (previous, rest) = rest.split_first_chunk()?;
    let (by, rest) = mls::vector(rest)?;
    let (&kind, rest) = rest.split_first()?;
    let (change, rest) = match kind {
        BEGIN => keys(rest).map(|(keys, rest)| (ListChange::Begin(keys), rest))?,
        ADD => card(rest).map(|(card, rest)| (ListChange::Add(card), rest))?,
        REMOVE => {
            let (identity, rest) = mls::vector(rest)?;
            (ListChange::Remove(DeviceId::from_identity(identity).ok()?), rest)
        }
        SET_SIGNATURE_KEY => signature_key(rest).map(|(key, rest)| (ListChange::SetSignatureKey(key), rest))?,
        _ => return None,
    };
    Some(ListEntry {
        number: u64::from_be_bytes(*number),
        previous: EntryHash(*previous),
        by: str::from_utf8(by).ok()?.to_owned(),
        change,
        signature: rest.try_into().ok()?,
    })
}

pub(super) fn put_card(bytes: &mut Vec<u8>, card: &DeviceCard) {
    put(bytes, &card.device.to_identity());
    put_keys(bytes, &card.keys);
}

pub(super) fn card(bytes: &[u8]) -> Option<(DeviceCard, &[u8])> {
    let (identity, rest) = mls::vector(bytes)?;
    let device = DeviceId::from_identity(identity).ok()?;
    let (keys, rest) = keys(rest)?;
    Some((DeviceCard { device, keys }, rest))
}

fn put_keys(bytes: &mut Vec<u8>, keys: &ListedKeys) {
    bytes.extend_from_slice(&keys.key.0);
    put(bytes, &keys.signature_key);
}

fn keys(bytes: &[u8]) -> Option<(ListedKeys, &[u8])> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (signature_key, rest) = signature_key(rest)?;
    Some((ListedKeys { key: DeviceKey(*key), signature_key }, rest))
}

fn signature_key(bytes: &[u8]) -> Option<(ByteBuf, &[u8])> {
    let (key, rest) = mls::vector(bytes)?;
    (1..=MAX_SIGNATURE_KEY_BYTES).contains(&key.len()).then(|| (ByteBuf::from(key), rest))
}

fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    // Names and keys are far shorter than the longest vector.
    let _fits = mls::put_vector(bytes, field);
}
