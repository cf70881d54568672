//! Backups of a device: its name, its groups, and the application's archive, sealed under a
//! passphrase.
//!
//! A backup contains no key of a group and no signature key. A restored ratchet would use its keys
//! again (RFC 9420, 9). Therefore a restore creates a new device, which rejoins the groups.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    DeviceId, StoreKey, UserId,
    error::Error,
    layer::SharedCrypto,
    names::GroupId,
    seal::{PROTECTION_BYTES, SEAL_BYTES, SEALED_KEY_BYTES, SealError, Sealer},
    storage::encoding,
    verification::Keys,
};

/// The first bytes of a backup.
const MAGIC: [u8; 4] = *b"Rgrb";

/// The format of new backups.
const FORMAT: u8 = 1;

/// The size of the header: magic, format, and the length of the sealed content.
const HEADER_BYTES: usize = MAGIC.len() + 1 + 8;

/// An opened backup: the content that [`Client::backup`](crate::Client::backup) has written, for
/// [`Client::restore`](crate::Client::restore). The book describes the format in
/// `docs/storage.md`.
pub struct Backup {
    pub(crate) content: BackupContent,
    archive: Zeroizing<Vec<u8>>,
}

/// The content of a backup without the archive.
#[derive(Serialize, Deserialize)]
pub(crate) struct BackupContent {
    pub(crate) device: DeviceId,
    /// The groups, and for each group the devices that the restored device must remove.
    pub(crate) groups: BTreeMap<GroupId, BTreeSet<DeviceId>>,
    pub(crate) verified: BTreeMap<UserId, Keys>,
}

impl Backup {
    /// Opens a backup. This takes 64 MiB of memory and a little more than a tenth of a second. A
    /// hostile file can demand up to 1 GiB of memory and 16 passes instead of three, which takes
    /// about 85 times as long.
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

    /// Returns the device of the backup.
    pub fn device(&self) -> &DeviceId {
        &self.content.device
    }

    /// Returns the groups that the device was in, or still had to rejoin.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.content.groups.keys()
    }

    /// Returns the application's archive. Its memory is erased with the backup.
    pub fn archive(&self) -> &[u8] {
        &self.archive
    }
}

impl BackupContent {
    /// Seals this content and the archive as a backup.
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

/// Assembles the backup: its content is sealed under the data key, and the seal authenticates
/// everything before it.
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
        let BackupContent { device, groups, .. } = &self.content;
        write!(f, "Backup {{ device: {device}, groups: {}, archive: {} bytes }}", groups.len(), self.archive.len())
    }
}

/// A backup cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// The bytes are not a backup.
    #[error("not a backup of this engine")]
    NotABackup,
    /// A later version of this engine created the backup. Use that version.
    #[error("the backup has format {found}, but this version supports formats up to {supported}; use a newer version")]
    NewerFormat {
        /// The backup's format.
        found: u8,
        /// The newest format that this version supports.
        supported: u8,
    },
    /// The end of the backup is missing. Fetch it again.
    #[error("the backup is incomplete: it ends after {bytes} bytes")]
    Truncated {
        /// The number of bytes.
        bytes: usize,
    },
    /// The passphrase is wrong. Ask the user again. (If the passphrase is certainly right, the
    /// parameters beside the key were changed, and the backup cannot be opened.)
    #[error("the passphrase does not open the backup")]
    WrongPassphrase,
    /// The backup's content has changed: the storage has failed, or somebody has changed it. Fetch
    /// another copy.
    #[error("the backup is damaged: {what}")]
    Damaged {
        /// The damaged part.
        what: &'static str,
    },
}

impl From<SealError> for BackupError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::WrongKey => Self::WrongPassphrase,
            SealError::Damaged { what } => Self::Damaged { what },
            // Opening uses only a passphrase and needs no randomness.
            SealError::OtherProtection { .. } | SealError::Crypto(_) => Self::Damaged { what: "its key parameters" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_crypto;
    use crate::layer::Layered;

    fn content() -> BackupContent {
        let device = DeviceId::new("alice", "phone").unwrap();
        let groups = BTreeMap::from([(GroupId::new("chat").unwrap(), BTreeSet::from([device.clone()]))]);
        BackupContent { device, groups, verified: BTreeMap::new() }
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
