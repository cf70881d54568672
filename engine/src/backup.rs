//! What outlives a device that is lost: who it was, which groups it was in, and what the application has kept. Sealed
//! under a passphrase.
//!
//! No key of a group and no signature key is in it: a ratchet that is put back would use its keys again (RFC 9420, 9). Who
//! restores makes a new device, which rejoins.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    DeviceId, StoreKey, UserId,
    error::Error,
    names::GroupId,
    provider::SharedCrypto,
    seal::{PROTECTION_BYTES, SEAL_BYTES, SEALED_KEY_BYTES, SealError, Sealer},
    storage::encoding,
    verification::Keys,
};

/// The first bytes of a backup.
const MAGIC: [u8; 4] = *b"Rgrb";

/// The format that is written.
const FORMAT: u8 = 1;

/// Magic, format, and the length of the sealed content.
const HEADER_BYTES: usize = MAGIC.len() + 1 + 8;

/// A backup that has been opened: what [`Client::backup`](crate::Client::backup) put in, for
/// [`Client::restore`](crate::Client::restore). The format is
/// written down in the book, in `docs/storage.md`.
pub struct Backup {
    pub(crate) content: Content,
    archive: Zeroizing<Vec<u8>>,
}

/// What is in a backup beside the archive.
#[derive(Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) device: DeviceId,
    /// The groups, and the devices whose places in them are to be given up.
    pub(crate) groups: BTreeMap<GroupId, BTreeSet<DeviceId>>,
    pub(crate) verified: BTreeMap<UserId, Keys>,
}

impl Backup {
    /// Opens a backup. It takes 64 MiB of memory and a good tenth of a second, and up to sixteen times as much, in both,
    /// for bytes that were made to ask for it.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn open(bytes: &[u8], passphrase: &str) -> Result<Self, BackupError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(BackupError::NotABackup)?;
        let (&format, rest) = rest.split_first().ok_or(BackupError::NotABackup)?;
        if format > FORMAT {
            return Err(BackupError::NewerFormat { found: format, supported: FORMAT });
        }
        let (length, _) = rest.split_first_chunk().ok_or(BackupError::Truncated { bytes: bytes.len() })?;
        let fixed = HEADER_BYTES + PROTECTION_BYTES + SEALED_KEY_BYTES;
        let expected = usize::try_from(u64::from_be_bytes(*length)).ok().and_then(|length| length.checked_add(fixed));
        match expected {
            Some(expected) if bytes.len() == expected => {}
            Some(expected) if bytes.len() > expected => return Err(BackupError::Damaged { what: "its length" }),
            _ => return Err(BackupError::Truncated { bytes: bytes.len() }),
        }
        let (bound, content) = bytes.split_at(fixed);
        let (protection, sealed_key) = bound[HEADER_BYTES..].split_at(PROTECTION_BYTES);
        let data_key = Sealer::unwrap(&StoreKey::from_passphrase(passphrase), protection, sealed_key)?;
        let damaged = || BackupError::Damaged { what: "its content" };
        let opened = data_key.open(bound, content).ok_or_else(damaged)?;
        let (length, rest) = opened.split_first_chunk().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| damaged())?;
        let (content, archive) = rest.split_at_checked(length).ok_or_else(damaged)?;
        let content = encoding::decode(content).map_err(|_| damaged())?;
        Ok(Self { content, archive: Zeroizing::new(archive.to_vec()) })
    }

    /// The device whose backup it is.
    pub fn device(&self) -> &DeviceId {
        &self.content.device
    }

    /// The groups that it was in, or had still to rejoin itself.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.content.groups.keys()
    }

    /// What the application had kept. It is erased from memory with the backup.
    pub fn archive(&self) -> &[u8] {
        &self.archive
    }
}

impl Content {
    /// The backup of this content and the archive.
    pub(crate) fn seal(&self, archive: &[u8], passphrase: &str, crypto: &SharedCrypto) -> Result<Vec<u8>, Error> {
        let internal = |detail: String| Error::Internal { action: "seal a backup", detail };
        let unsealed = |error| match error {
            SealError::Crypto(error) => Error::Crypto(error),
            other => internal(format!("{other:?}")),
        };
        let content = encoding::encode(self).map_err(|e| internal(e.to_string()))?;
        let data_key = Sealer::generate(crypto).map_err(unsealed)?;
        let wrapped = data_key.wrap(&StoreKey::from_passphrase(passphrase), crypto).map_err(unsealed)?;
        assemble(&content, archive, &data_key, wrapped, crypto).map_err(unsealed)
    }
}

/// The backup, whose content is sealed under the data key; and all that stands before it is bound to that.
fn assemble(
    content: &[u8],
    archive: &[u8],
    data_key: &Sealer,
    (protection, sealed_key): (Vec<u8>, Vec<u8>),
    crypto: &SharedCrypto,
) -> Result<Vec<u8>, SealError> {
    let content = Zeroizing::new([&(content.len() as u64).to_be_bytes(), content, archive].concat());
    let length = (content.len() + SEAL_BYTES) as u64;
    let mut backup = [&MAGIC[..], &[FORMAT], &length.to_be_bytes(), &protection, &sealed_key].concat();
    let sealed = data_key.seal(crypto, &backup, &content)?;
    backup.extend_from_slice(&sealed);
    Ok(backup)
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Content { device, groups, .. } = &self.content;
        write!(f, "Backup {{ device: {device}, groups: {}, archive: {} bytes }}", groups.len(), self.archive.len())
    }
}

/// A backup cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// These bytes are something else.
    #[error("not a backup of this engine")]
    NotABackup,
    /// It was made by a later version of this engine. Use that version.
    #[error("the backup is of format {found}, and this version knows formats up to {supported}")]
    NewerFormat {
        /// The backup's format.
        found: u8,
        /// The newest that this version knows.
        supported: u8,
    },
    /// Its end is missing. Fetch it again.
    #[error("the backup ends after {bytes} bytes, before it is complete")]
    Truncated {
        /// How many bytes there are.
        bytes: usize,
    },
    /// The passphrase is not the one that it was made with. Ask again. (If it surely is: what stands beside the key was
    /// changed, and the backup is of no use.)
    #[error("the passphrase does not open the backup")]
    WrongPassphrase,
    /// It is not what was written: storage has failed, or somebody has changed it. Fetch another copy.
    #[error("the backup is damaged: {what}")]
    Damaged {
        /// What cannot be right.
        what: &'static str,
    },
}

impl From<SealError> for BackupError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::WrongKey => Self::WrongPassphrase,
            SealError::Damaged { what } => Self::Damaged { what },
            // What is opened asks for nothing else, and needs no randomness.
            SealError::OtherProtection { .. } | SealError::Crypto(_) => Self::Damaged { what: "how its key is sealed" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_crypto;
    use crate::layer::Layered;

    fn content() -> Content {
        let device = DeviceId::new("alice", "phone").unwrap();
        let groups = BTreeMap::from([(GroupId::new("chat").unwrap(), BTreeSet::from([device.clone()]))]);
        Content { device, groups, verified: BTreeMap::new() }
    }

    fn cheap(content: &[u8]) -> Vec<u8> {
        let crypto = Layered(default_crypto());
        let data_key = Sealer::generate(&crypto).unwrap();
        assemble(content, b"all that was said", &data_key, data_key.wrap_cheaply("words", &crypto), &crypto).unwrap()
    }

    #[test]
    fn with_any_byte_changed_it_is_refused() {
        let backup = cheap(&encoding::encode(&content()).unwrap());
        assert_eq!(Backup::open(&backup, "words").unwrap().archive(), b"all that was said");
        let mut errors = BTreeSet::new();
        for at in 0..backup.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = backup.clone();
                changed[at] ^= change;
                let error = Backup::open(&changed, "words").expect_err("a changed backup");
                errors.insert(format!("{error:?}").split([' ', '{']).next().unwrap().to_owned());
            }
        }
        let all = ["Damaged", "NewerFormat", "NotABackup", "Truncated", "WrongPassphrase"];
        assert_eq!(errors, BTreeSet::from(all.map(str::to_owned)));
    }

    #[test]
    fn with_any_byte_missing_or_one_too_many_it_is_refused() {
        let backup = cheap(&encoding::encode(&content()).unwrap());
        for length in 0..backup.len() {
            let expected = if length < 5 { BackupError::NotABackup } else { BackupError::Truncated { bytes: length } };
            assert_eq!(Backup::open(&backup[..length], "words").unwrap_err(), expected);
        }
        let longer = [&backup[..], &[0]].concat();
        assert_eq!(Backup::open(&longer, "words").unwrap_err(), BackupError::Damaged { what: "its length" });
    }

    #[test]
    fn content_that_makes_no_sense_is_damage() {
        for content in [&b""[..], b"\xc1", b"\x93\xc0\xc0\xc0", &[0xdd; 40]] {
            let error = Backup::open(&cheap(content), "words").unwrap_err();
            assert_eq!(error, BackupError::Damaged { what: "its content" });
        }
    }
}
