//! Safety numbers. Two people compare them to make sure that each has the other's keys and that
//! nobody is between them.
//!
//! The book describes the format in `docs/safety-numbers.md`.

use std::{collections::BTreeSet, fmt};

use openmls_traits::types::CryptoError;
use sha2::{Digest as _, Sha512};
use tls_codec::{Serialize as _, VLByteSlice};

use super::{digits, write_blocks};
use crate::{DeviceId, SignaturePublicKey, UserId, error::Error};

/// The version of the format. It is part of the hash, and the first byte of the QR payload.
const VERSION: u8 = 1;

/// The number of hash computations for a fingerprint, the same as Signal's. It multiplies the cost
/// of a search for keys with similar digits.
const ITERATIONS: usize = 5200;

/// The number of bytes of the last hash that are compared when a code is scanned.
const FINGERPRINT_BYTES: usize = 32;

/// A short form of the keys of two users for comparison: in person, or over a channel where they
/// know each other's voice.
///
/// The devices of both users compute the same number exactly if they see the same devices and
/// signature keys of both users. The number changes when a device of either user is added or
/// removed, or gets a new signature key. It depends on no other member of the group.
///
/// # Verify a friend
///
/// ```
/// # use std::sync::Arc;
/// # use regrow_engine::{
/// #     Client, Comparison, DeviceId, Error, GroupId, MemoryStore, Policy, Timestamp, UserId,
/// #     default_crypto,
/// # };
/// # fn device(user: &str) -> Result<Client, Error> {
/// #     let id = DeviceId::new(user, "phone").expect("a short name");
/// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
/// # }
/// # let now = Timestamp(
/// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
/// # );
/// # let (mut alice, mut bob) = (device("alice")?, device("bob")?);
/// # let id = GroupId::new("chat")?;
/// # let key_packages = bob.key_packages(1, now)?;
/// # let pending = alice.create_group(id.clone(), now)?.add(&key_packages, now)?;
/// # let welcome = pending.welcome().expect("it adds somebody").to_vec();
/// # alice.confirm(pending, now)?;
/// # bob.join(&welcome, now)?;
/// // Alice and Bob meet. Each device shows their safety number, as digits or as a QR code.
/// let shown = bob.group(&id)?.safety_number(&UserId::new("alice")?)?;
/// let own = alice.group(&id)?.safety_number(&UserId::new("bob")?)?;
/// assert_eq!(own.to_string(), shown.to_string());
///
/// // Alice scans Bob's code. If it matches, Bob is verified until a new key of his appears.
/// if own.compare(&shown.to_qr_payload()) == Comparison::Match {
///     alice.group(&id)?.verify_user(&UserId::new("bob")?, &own)?;
/// }
/// assert_eq!(alice.group(&id)?.verified_users()?, ["bob"]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SafetyNumber {
    /// The fingerprints of both users, the smaller one first.
    fingerprints: [[u8; FINGERPRINT_BYTES]; 2],
}

/// The keys of a user's devices, from the leaves of a group.
pub(crate) type Keys = BTreeSet<(DeviceId, SignaturePublicKey)>;

impl SafetyNumber {
    pub(crate) fn new(one: (&UserId, &Keys), other: (&UserId, &Keys)) -> Result<Self, Error> {
        let mut fingerprints = [fingerprint(one.0, one.1)?, fingerprint(other.0, other.1)?];
        fingerprints.sort_unstable();
        Ok(Self { fingerprints })
    }

    /// Returns the sixty digits, without spaces.
    pub fn digits(&self) -> String {
        self.fingerprints.iter().map(digits).collect()
    }

    /// Returns the bytes for a QR code: the format's version (1), and the two fingerprints of 32
    /// bytes each. The devices of both users show the same bytes.
    pub fn to_qr_payload(&self) -> Vec<u8> {
        [&[VERSION][..], self.fingerprints.as_flattened()].concat()
    }

    /// Compares the scanned code of the other user's device with this number.
    pub fn compare(&self, scanned: &[u8]) -> Comparison {
        match scanned.first() {
            Some(&version) if version != VERSION => Comparison::OtherVersion { version },
            _ if scanned == self.to_qr_payload() => Comparison::Match,
            _ => Comparison::Mismatch,
        }
    }
}

impl fmt::Display for SafetyNumber {
    /// Writes the digits in twelve blocks of five.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_blocks(f, &self.digits())
    }
}

impl fmt::Debug for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafetyNumber({self})")
    }
}

/// The result of comparing a scanned code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Both devices see the same keys. The user can be marked as
    /// [verified](crate::Group::verify_user).
    Match,
    /// The codes differ. There are three possible reasons. One device has not caught up with the
    /// group, the code belongs to another pair of users, or an attacker is between the users.
    Mismatch,
    /// The other device uses another version of the format, or this is another kind of code.
    /// Update the software and compare again.
    OtherVersion {
        /// The version in the code.
        version: u8,
    },
}

/// Computes Signal's iterated hash, over all devices of a user instead of one key.
fn fingerprint(user: &UserId, keys: &Keys) -> Result<[u8; FINGERPRINT_BYTES], Error> {
    let mut entries = keys.iter().map(|(device, key)| entry(device, key)).collect::<Result<Vec<_>, _>>()?;
    entries.sort_unstable();
    let keys = entries.concat();
    let mut hash = Sha512::new()
        .chain_update([VERSION])
        .chain_update(vector(user.as_str().as_bytes())?)
        .chain_update(&keys)
        .finalize();
    for _ in 1..ITERATIONS {
        hash = Sha512::new().chain_update(hash).chain_update(&keys).finalize();
    }
    let mut fingerprint = [0; FINGERPRINT_BYTES];
    fingerprint.copy_from_slice(&hash[..FINGERPRINT_BYTES]);
    Ok(fingerprint)
}

fn entry(device: &DeviceId, key: &SignaturePublicKey) -> Result<Vec<u8>, Error> {
    Ok([vector(&device.to_identity())?, vector(key.as_bytes())?].concat())
}

/// Encodes the bytes with their length before them (RFC 9420, 2.1.2), so no two lists have the
/// same encoding.
fn vector(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    VLByteSlice(bytes).tls_serialize_detached().map_err(|_| Error::Crypto(CryptoError::TooMuchData))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the book's `safety-numbers.md`, computed by another program.
    #[test]
    fn the_books_example() {
        let key = |user, device, byte| {
            (DeviceId::new(user, device).unwrap_or_else(|e| panic!("{e}")), SignaturePublicKey(vec![byte; 32]))
        };
        let alice = Keys::from([key("alice", "phone", 1)]);
        let bob = Keys::from([key("bob", "phone", 2), key("bob", "laptop", 3)]);

        let [of_alice, of_bob] = ["alice", "bob"].map(|user| UserId::new(user).unwrap_or_else(|e| panic!("{e}")));

        let number = SafetyNumber::new((&of_alice, &alice), (&of_bob, &bob)).map(|number| number.to_string());

        assert_eq!(
            number.ok().as_deref(),
            Some("31984 32830 36359 32627 48636 48457 89216 25981 69454 17626 53964 50403")
        );
    }
}
